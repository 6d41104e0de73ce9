//! The whole report in one sentence.

use crate::report::model::{Check, Outcome, Report, Run};
use crate::report::waive::waived;

use super::Line;

/// Scenarios that the sentence tells one by one.
const FEW: usize = 4;

/// What a reader takes along who reads nothing else.
pub fn sentence(report: &Report) -> String {
    let board = &report.board;
    if let Some(lost) = &report.lost {
        return format!("{board}: no verdict, because {}.", lost.reason.trim_end_matches('.'));
    }
    let deviations: Vec<(&Run, &Check)> =
        report.runs.iter().flat_map(|run| deviating(run).map(move |check| (run, check))).collect();
    let first = deviations.first().map(|(run, check)| {
        let reason = check.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        let (word, scenario) = (check.verdict.word(), &run.scenario);
        let head = if deviations.len() == 1 { "" } else { ", first " };
        format!("{head}{} under {scenario} ({word}, expected {}{reason})", check.id, check.expected.word())
    });
    let number = match deviations.len() {
        1 => "only ".to_owned(),
        many => format!("{many} checks deviate"),
    };
    if let Some(planted) = &report.planted {
        let seen = first.map_or_else(|| "no check deviates".to_owned(), |first| format!("{number}{first}"));
        return format!("{board} had a fault planted ({planted}), so that nothing here passes; seen of it: {seen}.");
    }
    if report.outcome == Outcome::Pass {
        return format!("{board} {}.", passed(report));
    }
    let why = match (first, other(report)) {
        (Some(first), _) => format!("{number}{first}"),
        (None, Some(problem)) => problem,
        (None, None) => "the payload says so".to_owned(),
    };
    format!("{board} is not as expected: {}.", why.trim_end_matches('.'))
}

/// Checks that count against a run, of it and of its failed cycles.
fn deviating(run: &Run) -> impl Iterator<Item = &Check> {
    let in_cycles = run.failed_cycles.iter().flat_map(|cycle| &cycle.checks);
    let is_new = |check: &&Check| !run.checks.iter().any(|known| known.id == check.id && !known.is_accepted());
    run.checks
        .iter()
        .filter(|check| !check.is_accepted())
        .chain(in_cycles.filter(|check| !check.is_accepted()).filter(is_new))
}

/// What is wrong without a check that says so.
fn other(report: &Report) -> Option<String> {
    let of_runs =
        report.runs.iter().flat_map(|run| run.problems.iter().map(|text| format!("{}: {text}", run.scenario)));
    let failed = report.runs.iter().filter(|run| run.outcome != Outcome::Pass);
    let failed = failed.map(|run| format!("{} ended as {}", run.scenario, run.outcome.word()));
    report.problems.iter().cloned().chain(of_runs).chain(failed).next()
}

fn passed(report: &Report) -> String {
    let runs = report.runs.len();
    let checks: usize = report.runs.iter().map(|run| run.checks.len()).sum();
    let waived = match report.runs.iter().flat_map(waived).count() {
        0 => String::new(),
        number => format!(", {number} of them waived or known"),
    };
    let scenarios = match runs {
        1 => "the one scenario".to_owned(),
        2 => "both scenarios".to_owned(),
        _ => format!("all {runs} scenarios"),
    };
    let head = format!("does what is documented in {scenarios} ({checks} checks{waived})");
    let told: Vec<String> = report.runs.iter().filter_map(|run| of_run(&Line::of(run))).collect();
    if told.is_empty() || told.len() > FEW { head } else { format!("{head}: {}", told.join("; ")) }
}

/// What a scenario does to the streams; `None` where none was live.
fn of_run(line: &Line) -> Option<String> {
    let Line { scenario, streams, delivered, blocked, mis_steered, .. } = line;
    let blocked = if *blocked > 0 { format!(", blocks {blocked}") } else { String::new() };
    let mis_steered = if *mis_steered > 0 { format!(", mis-steers {mis_steered}") } else { String::new() };
    let delivered = if *delivered == 0 { "none".to_owned() } else { delivered.to_string() };
    (*streams > 0).then(|| format!("{scenario} delivers {delivered} of {streams} streams{blocked}{mis_steered}"))
}
