//! `report.html`: one file that needs nothing else.

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};

use super::model::Report;
use super::view::View;
use super::words;

/// The name ends in `.html`: everything put into it is escaped.
const NAME: &str = "report.html";

/// Renders the report.
pub fn render(report: &Report) -> anyhow::Result<String> {
    let mut environment = Environment::new();
    // A key that the template spells wrong is an error, not an empty cell.
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_template(NAME, include_str!("report.html"))?;
    environment.add_function("reason_words", |text: String| words::reason(&text).unwrap_or_default());
    environment.add_function("clause", |name: String| words::meaning::clause(&name));
    environment.add_function("access_words", |name: String, address: String, value: String| {
        let [address, value] = [address, value].map(|number| words::hex(&number).unwrap_or_default());
        words::access(&name, address, value)
    });
    let values = context! { report => Serde(report), view => Serde(View::of(report)) };
    Ok(environment.get_template(NAME)?.render(values)?)
}
