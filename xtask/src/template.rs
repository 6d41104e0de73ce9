//! Text files from templates.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, Value};

/// Renders one. A key that the template spells wrong is an error, and a line that holds a block alone leaves no line.
/// Filters: `text`, a string in quotes, and `hex`, a number.
pub fn render(source: &str, values: Value) -> anyhow::Result<String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
        .set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build()?);
    environment.add_filter("text", quoted);
    environment.add_filter("hex", |number: u64| format!("{number:#x}"));
    // Its name ends in nothing that would be escaped in another way.
    Ok(environment.render_named_str("text", source, values)?)
}

/// A basic string of TOML and a double-quoted scalar of YAML have the escapes of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
