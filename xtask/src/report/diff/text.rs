//! The differences for a person.

use std::fmt::Write;

use super::{Change, Diff, Side, Verdicts};

/// All of them, new failures first. Writing to a `String` never fails.
pub fn of(diff: &Diff) -> String {
    let mut text = String::new();
    for (letter, side) in [("A", &diff.before), ("B", &diff.after)] {
        let Side { report, board, outcome, started, revision } = side;
        let told = [started, revision].into_iter().flatten().fold(String::new(), |all, word| format!("{all}, {word}"));
        let _ = writeln!(text, "{letter}: {board} {}{told} - {report}", outcome.word());
    }
    verdicts(&mut text, "New failures", &diff.new_failures);
    verdicts(&mut text, "Fixed", &diff.fixed);
    verdicts(&mut text, "Other verdicts that changed", &diff.changed);
    changes(&mut text, "Kernels", &diff.kernels);
    changes(&mut text, "Streams and times", &diff.figures);
    changes(&mut text, "Machine and images", &diff.machine);
    for (what, names) in [("Only in A", &diff.gone), ("Only in B", &diff.added)] {
        if !names.is_empty() {
            let _ = writeln!(text, "\n{what}: {}", names.join(", "));
        }
    }
    if text.lines().count() == 2 {
        let _ = writeln!(text, "\nNothing differs beyond noise.");
    }
    text
}

fn verdicts(text: &mut String, title: &str, all: &[Verdicts]) {
    if all.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title} ({}):", all.len());
    for Verdicts { scenario, check, before, after, reason } in all {
        let word = |side: &Option<String>| side.clone().unwrap_or_else(|| "not there".into());
        let reason = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        let _ = writeln!(text, "  {scenario} {check}: {} -> {}{reason}", word(before), word(after));
    }
}

fn changes(text: &mut String, title: &str, all: &[Change]) {
    if all.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title} ({}):", all.len());
    for Change { what, before, after } in all {
        let _ = writeln!(text, "  {what}: {before} -> {after}");
    }
}
