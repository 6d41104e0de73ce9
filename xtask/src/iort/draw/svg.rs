//! Boxes as SVG.

use std::fmt::Write;

use tables::Severity;
use tables::iort::NodeKind;

use super::boxes::Box;
use super::layout::{LINE, MARGIN, Place, place};

/// Colours of lines, by the box that they lead to: neighbours differ.
const LINES: [&str; 8] = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#bc8f00", "#17a2b8"];

/// The picture. Writing to a `String` never fails.
pub fn render(name: &str, boxes: &[Box]) -> String {
    let (places, width, height) = place(boxes);
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" font-family=\"monospace\" font-size=\"12\">"
    );
    let _ = writeln!(out, "<title>{0}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>", escaped(name));
    let _ = writeln!(out, "<text x=\"{MARGIN}\" y=\"{MARGIN}\" font-weight=\"bold\">{}</text>", escaped(name));
    if boxes.is_empty() {
        let _ = writeln!(out, "<text x=\"{MARGIN}\" y=\"{:.0}\">no table to draw</text>", MARGIN + 2.0 * LINE);
    }
    for (of, from) in boxes.iter().zip(&places) {
        for (row, content) in of.rows.iter().enumerate() {
            for to in &content.to {
                if let (Some(target), Some(at)) = (boxes.get(*to), places.get(*to)) {
                    line(&mut out, of, from, row, target, at, *to);
                }
            }
        }
    }
    for (of, at) in boxes.iter().zip(&places) {
        a_box(&mut out, of, at);
    }
    out.push_str("</svg>\n");
    out
}

fn line(out: &mut String, of: &Box, from: &Place, row: usize, target: &Box, at: &Place, to: usize) {
    let color = LINES[to % LINES.len()];
    let dash = if of.kind == NodeKind::Rmr { " stroke-dasharray=\"5 4\"" } else { "" };
    let (x, y, y_to) = (from.x + from.width, from.row(Some(row)), at.row(None));
    // A line that leads back or aside goes round the right.
    let is_back = target.column <= of.column;
    let x_to = if is_back { at.x + at.width } else { at.x };
    let (bend, bend_to) = if is_back { (x + 90.0, x_to + 90.0) } else { (x + 80.0, x_to - 80.0) };
    let tip = if is_back { x_to + 7.0 } else { x_to - 7.0 };
    let _ = writeln!(
        out,
        "<path d=\"M{x:.1} {y:.1} C{bend:.1} {y:.1} {bend_to:.1} {y_to:.1} {x_to:.1} {y_to:.1}\" fill=\"none\" \
         stroke=\"{color}\" stroke-opacity=\"0.75\"{dash}/><path d=\"M{x_to:.1} {y_to:.1} L{tip:.1} {:.1} L{tip:.1} {:.1} Z\" \
         fill=\"{color}\"/>",
        y_to - 4.0,
        y_to + 4.0
    );
}

fn a_box(out: &mut String, of: &Box, at: &Place) {
    let fill = match of.kind {
        NodeKind::RootComplex => "#dbe9f9",
        NodeKind::NamedComponent => "#e2f3de",
        NodeKind::SmmuV1V2 | NodeKind::SmmuV3 => "#fdecd2",
        NodeKind::ItsGroup => "#ebe1f5",
        NodeKind::Rmr => "#fbdede",
        NodeKind::Pmcg | NodeKind::Iwb | NodeKind::Unknown(_) => "#eeeeee",
    };
    let (stroke, thick) = match of.severity {
        Some(Severity::Error) => ("#c00000", 2.5),
        Some(Severity::Warning) => ("#d07000", 2.0),
        _ => ("#555555", 1.0),
    };
    let Place { x, y, width, height } = at;
    let _ = writeln!(
        out,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"4\" fill=\"{fill}\" \
         stroke=\"{stroke}\" stroke-width=\"{thick}\"/>"
    );
    let mut text = |row: Option<usize>, weight: &str, text: &str| {
        let (x, y) = (x + 10.0, at.row(row) + 4.0);
        let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\"{weight}>{}</text>", escaped(text));
    };
    text(None, " font-weight=\"bold\"", &of.title);
    for (row, content) in of.rows.iter().enumerate() {
        text(Some(row), "", &content.text);
    }
}

/// Text between tags. What XML has no place for at all becomes a mark.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            control if control.is_control() => out.push('\u{fffd}'),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}
