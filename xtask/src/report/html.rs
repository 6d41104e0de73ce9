//! `report.html`: one file that needs nothing else.

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, context};

use super::model::Report;
use super::view::View;
use super::words;

/// The names end in `.html`: everything put into it is escaped.
const NAME: &str = "report.html";
const PAGES: [(&str, &str); 6] = [
    (NAME, include_str!("page/report.html")),
    ("fleet.html", include_str!("page/fleet.html")),
    ("timeline.html", include_str!("page/timeline.html")),
    ("topology.html", include_str!("page/topology.html")),
    ("witness.html", include_str!("page/witness.html")),
    ("report.css", include_str!("page/report.css")),
];

/// Renders the report.
pub fn render(report: &Report) -> anyhow::Result<String> {
    page(NAME, context! { report => Serde(report), view => Serde(View::of(report)) })
}

/// Renders one of the pages.
pub fn page(name: &str, values: Value) -> anyhow::Result<String> {
    let mut environment = Environment::new();
    // A key that the template spells wrong is an error, not an empty cell.
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    for (name, text) in PAGES {
        environment.add_template(name, text)?;
    }
    environment.add_function("reason_words", |text: String| words::reason(&text).unwrap_or_default());
    environment.add_function("clause", |name: String| words::meaning::clause(&name));
    environment.add_function("access_words", |name: String, address: String, value: String| {
        let [address, value] = [address, value].map(|number| words::hex(&number).unwrap_or_default());
        words::access(&name, address, value)
    });
    Ok(environment.get_template(name)?.render(values)?)
}
