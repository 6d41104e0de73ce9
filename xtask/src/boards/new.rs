//! `cargo xtask boards new`: a board's file, begun from what its firmware says.

use minijinja::context;
use minijinja::value::Serde;

use super::facts::Facts;
use crate::cli::NewBoardArgs;
use crate::exit::{Exit, say, tell, usage};
use crate::iort::describe::text_of;
use crate::report::anew;
use crate::template;

/// Reads the tables and writes the file, or prints it.
pub fn run(args: &NewBoardArgs) -> anyhow::Result<Exit> {
    let shown = text_of(args.from.as_os_str().as_encoded_bytes());
    let facts = Facts::read(&args.from).map_err(|why| usage(format!("{shown}: {why}")))?;
    if let Some((first, count)) = facts.errors.as_ref().filter(|_| !args.despite_errors) {
        let more = if *count > 1 { format!(", and {} more errors", count - 1) } else { String::new() };
        let cure = "look at it with `cargo xtask iort`, or take it as it is with --despite-errors";
        return Err(usage(format!("{shown}: {first}{more}; {cure}")));
    }
    let text = text(&args.name, &facts)?;
    let Some(path) = &args.to else {
        say!("{}", text.trim_end());
        return Ok(Exit::Pass);
    };
    if path.exists() {
        return Err(usage(format!("{} is there; nothing is overwritten: give another --to", path.display())));
    }
    anew(path, text.as_bytes())?;
    tell!("{}: fill in what waits there, then `cargo xtask boards check {}`", path.display(), path.display());
    Ok(Exit::Pass)
}

/// The file's text. What it says is read back: a file that `check` refuses is never begun.
pub fn text(name: &str, facts: &Facts) -> anyhow::Result<String> {
    let text = template::render(include_str!("new.toml.jinja"), context! { name, facts => Serde(facts) })?;
    board::parse("the file that would be begun".as_ref(), &text).map_err(|error| usage(error.to_string()))?;
    Ok(text)
}
