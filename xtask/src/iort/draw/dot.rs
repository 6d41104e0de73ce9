//! Boxes for Graphviz: records, with a port for each row.

use std::fmt::Write;

use tables::Severity;
use tables::iort::NodeKind;

use super::boxes::Box;

/// The graph. Writing to a `String` never fails.
pub fn render(name: &str, boxes: &[Box]) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "digraph iort {{");
    let _ = writeln!(out, "  label=\"{}\"; labelloc=t; rankdir=LR; ranksep=1.5;", quoted(name));
    let _ = writeln!(out, "  node [shape=record, fontname=\"monospace\", fontsize=10];");
    for column in 0..3 {
        let here: Vec<String> = (0..)
            .zip(boxes)
            .filter(|(_, of)| of.column == column)
            .map(|(at, _): (usize, _)| format!("n{at}"))
            .collect();
        if !here.is_empty() {
            let _ = writeln!(out, "  {{ rank=same; {} }}", here.join("; "));
        }
    }
    for (at, of) in boxes.iter().enumerate() {
        let mut label = field(&of.title);
        for (row, content) in of.rows.iter().enumerate() {
            let _ = write!(label, "|<r{row}> {}", field(&content.text));
        }
        let color = match of.severity {
            Some(Severity::Error) => ", color=red, penwidth=2",
            Some(Severity::Warning) => ", color=orange, penwidth=2",
            _ => "",
        };
        let _ = writeln!(out, "  n{at} [label=\"{label}\"{color}];");
    }
    for (at, of) in boxes.iter().enumerate() {
        let style = if of.kind == NodeKind::Rmr { " [style=dashed]" } else { "" };
        for (row, content) in of.rows.iter().enumerate() {
            for to in &content.to {
                let _ = writeln!(out, "  n{at}:r{row} -> n{to}{style};");
            }
        }
    }
    out.push_str("}\n");
    out
}

/// Text inside double quotes, where Graphviz reads entities.
fn quoted(text: &str) -> String {
    text.escape_debug().to_string().replace('&', "&amp;")
}

/// Text as a field of a record: its own marks are escaped too.
fn field(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '\\' | '"' | '{' | '}' | '|' | '<' | '>' | ' ' => out.extend(['\\', letter]),
            '&' => out.push_str("&amp;"),
            control if control.is_control() => out.extend(control.escape_unicode().filter(|letter| *letter != '\\')),
            other => out.push(other),
        }
    }
    out
}
