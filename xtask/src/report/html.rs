//! `report.html`: one file that needs nothing else.

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};

use super::model::Report;
use super::terminal;

/// The name ends in `.html`: everything put into it is escaped.
const NAME: &str = "report.html";

/// Renders the report.
pub fn render(report: &Report) -> anyhow::Result<String> {
    let mut environment = Environment::new();
    // A key that the template spells wrong is an error, not an empty cell.
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_template(NAME, include_str!("report.html"))?;
    let rows = terminal::rows(report);
    let (heading, comparison) = rows.split_first().map_or((&[][..], &[][..]), |(first, rest)| (first.as_slice(), rest));
    let marks = |run: &super::model::Run| run.checks.iter().map(|check| !check.is_as_expected()).collect();
    let unexpected: Vec<Vec<bool>> = report.runs.iter().map(marks).collect();
    let values = context! {
        report => Serde(report),
        heading => Serde(heading),
        comparison => Serde(comparison),
        unexpected => Serde(unexpected),
    };
    Ok(environment.get_template(NAME)?.render(values)?)
}
