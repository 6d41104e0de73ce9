//! What a person reads at the end of a run: verdicts, what is not as expected, the comparison, one last line.

use std::fmt::Write;
use std::path::Path;

use super::judge::SKIPPED;
use super::model::{Attach, Report, Run, Stream};

/// Failed checks and cycles that are shown; the report has all.
const SHOWN: usize = 12;

/// Prints the summary.
pub fn print(report: &Report, folder: &Path) {
    crate::exit::say!("{}\n", summary(report).trim_end());
    crate::exit::say!("{} {} - report in {}", report.board, report.outcome.word(), folder.display());
}

/// The summary without its last line.
pub fn summary(report: &Report) -> String {
    let mut text = String::new();
    for finding in report.platform.findings.iter().filter(|finding| finding.severity != "note").take(SHOWN) {
        let at = finding.offset.map_or_else(String::new, |offset| format!("+{offset:#x}"));
        let (severity, table) = (finding.severity, &finding.table);
        line(&mut text, &format!("{severity} {table}{at} {}: {}", finding.id, finding.text));
    }
    for run in &report.runs {
        one_run(&mut text, run);
    }
    for problem in &report.problems {
        line(&mut text, &format!("  not as it should be: {problem}"));
    }
    let rows = rows(report);
    if rows.len() > 1 {
        line(&mut text, "\nFrom the crash on:");
        table(&mut text, &rows);
        line(&mut text, "");
    }
    if let Some(planted) = &report.planted {
        line(&mut text, &format!("planted fault: {planted}; such a run never passes"));
    }
    if let Some(lost) = &report.lost {
        line(&mut text, &format!("lost: {}; last seen: {}", lost.reason, lost.last_seen));
    }
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn one_run(text: &mut String, run: &Run) {
    let expected = run.checks.iter().filter(|check| check.is_as_expected()).count();
    let mut head =
        format!("{} {}: {expected} of {} checks as expected", run.outcome.word(), run.scenario, run.checks.len());
    if run.cycles > 1 {
        // Writing to a String cannot fail.
        let _ = write!(head, ", {} of {} cycles passed", run.cycles_done.saturating_sub(run.cycles_failed), run.cycles);
    }
    line(text, &head);
    if let Some(Attach { bdf, asid, attempted, delivered, mis_steered, .. }) = &run.attach {
        line(
            text,
            &format!(
                "  {bdf} in a new domain, ASID {asid}: {delivered} of {attempted} delivered, \
                 {mis_steered} into the dead kernel's pages"
            ),
        );
    }
    let unexpected: Vec<_> = run.checks.iter().filter(|check| !check.is_as_expected()).collect();
    for check in unexpected.iter().take(SHOWN) {
        let reason = check.reason.as_deref().unwrap_or("no reason given");
        let (verdict, expected) = (check.verdict.word(), check.expected.word());
        line(text, &format!("  {}: {verdict}, expected {expected}: {reason} [{}]", check.id, check.source));
    }
    if unexpected.len() > SHOWN {
        line(text, &format!("  and {} more", unexpected.len() - SHOWN));
    }
    let cycles: Vec<String> = run.failed_cycles.iter().take(SHOWN).map(|cycle| cycle.cycle.to_string()).collect();
    if !cycles.is_empty() {
        let more = if run.failed_cycles.len() > SHOWN { ", …" } else { "" };
        line(text, &format!("  failed cycles: {}{more}", cycles.join(", ")));
    }
    for check in run.checks.iter().filter(|check| SKIPPED.contains(&&*check.id)) {
        line(text, &format!("  skipped: {}", check.reason.as_deref().unwrap_or("")));
    }
    for problem in run.problems.iter().take(SHOWN) {
        line(text, &format!("  not as it should be: {problem}"));
    }
}

/// The comparison's cells, the heading first: policy, stream, what became of its DMA from the crash on.
pub fn rows(report: &Report) -> Vec<[String; 7]> {
    let mut rows = vec![["policy", "stream", "delivered", "blocked", "mis-steered", "gap", "events"].map(String::from)];
    for run in &report.runs {
        for stream in &run.streams {
            rows.push(row(run, stream));
        }
    }
    rows
}

fn row(run: &Run, stream: &Stream) -> [String; 7] {
    let counts = stream.phases.since_crash();
    let events: u64 = run.events.iter().filter(|e| e.stream_id == stream.stream_id).map(|event| event.count).sum();
    let rmr = if stream.rmr { " RMR" } else { "" };
    [
        run.scenario.clone(),
        format!("{} {}{rmr}", stream.bdf, stream.endpoint),
        format!("{} {}", counts.delivered, stream.unit),
        counts.blocked.map_or_else(|| "?".into(), |blocked| blocked.to_string()),
        counts.mis_steered.to_string(),
        gap(stream.gap_ticks, run.timing.map_or(0, |timing| timing.counter_hz)),
        with_rate(events, run),
    ]
}

/// Events with how many there were in a second of the watch, where the queue was on for it.
fn with_rate(events: u64, run: &Run) -> String {
    let Some(timing) = run.timing.filter(|timing| events > 0 && run.cycles == 1 && timing.watch > 0) else {
        return events.to_string();
    };
    let rate = u128::from(events) * u128::from(timing.counter_hz) / u128::from(timing.watch);
    format!("{events} ({rate}/s)")
}

/// A gap in milliseconds, where the counter's frequency is known.
fn gap(ticks: Option<u64>, counter_hz: u64) -> String {
    match ticks {
        None => "never".into(),
        Some(ticks) if counter_hz == 0 => format!("{ticks} ticks"),
        Some(ticks) => {
            let us = u128::from(ticks) * 1_000_000 / u128::from(counter_hz);
            format!("{}.{:02} ms", us / 1000, us % 1000 / 10)
        }
    }
}

fn table(text: &mut String, rows: &[[String; 7]]) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    for row in rows {
        let mut out = String::from(" ");
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Names to the left, numbers to the right. Writing to a String cannot fail.
            let _ = if column < 2 { write!(out, " {cell:<width$}") } else { write!(out, "  {cell:>width$}") };
        }
        line(text, out.trim_end());
    }
}
