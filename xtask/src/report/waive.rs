//! Waivers, and what a board's file expects, on a judged report: which deviations are accepted, and what that makes of the outcome.

use std::path::Path;

use ::board::waivers::{self, Waiver};
use ::board::{Date, Expectation, Known};

use super::model::{Check, Finding, Outcome, Report, Run, Verdict, Waived};
use crate::exit::usage;
use crate::workspace;

/// Waivers of a file; without one those beside the boards, if there are any.
pub fn load(file: Option<&Path>) -> anyhow::Result<Vec<Waiver>> {
    let beside = workspace::root().join("board-configs").join(waivers::FILE);
    match file {
        None if !beside.is_file() => Ok(Vec::new()),
        _ => waivers::load(file.unwrap_or(&beside)).map_err(|error| usage(error.to_string())),
    }
}

/// Marks what is waived, tells of waivers that are of no use any more, and judges again what is left.
pub fn apply(report: &mut Report, waivers: &[Waiver], today: Date) {
    for waiver in waivers.iter().filter(|waiver| waiver.board == report.board) {
        let Waiver { check, board, scenario, reason, expires } = waiver;
        let waived = Waived { reason: reason.clone(), expires: Some(expires.to_string()), link: None };
        let waived = (today <= *expires).then_some(waived);
        let deviates = mark(&mut report.runs, scenario.as_deref(), |found| found.id == *check, waived);
        if today > *expires {
            let text = format!("the waiver for {check} on {board} ended on {expires}: {reason}");
            report.platform.findings.push(finding("waivers", "waiver-expired", text));
        } else if deviates == Some(false) {
            let text = format!("nothing deviates where {check} on {board} is waived until {expires}: take it out");
            report.platform.findings.push(finding("waivers", "waiver-unused", text));
        }
    }
    settle(report);
}

/// Marks what the board's file says of this board, tells of what did not come so, and judges again what is left.
pub fn expect(report: &mut Report, expectations: &[Expectation]) {
    for Expectation { check, scenario, verdict, reason, link } in expectations {
        let verdict = match verdict {
            Known::Fail => Verdict::Fail,
            Known::NotCovered => Verdict::NotCovered,
        };
        let known = Waived { reason: reason.clone(), expires: None, link: Some(link.clone()) };
        let is_meant = |found: &Check| found.id == *check && found.verdict == verdict;
        if mark(&mut report.runs, scenario.as_deref(), is_meant, Some(known)) == Some(false) {
            let text = format!(
                "{check} is nowhere {}, as the file of board {} expects ({reason}): take it out",
                verdict.word(),
                report.board
            );
            report.platform.findings.push(finding("board", "expectation-unmet", text));
        }
    }
    settle(report);
}

/// Marks the deviations of one scenario, or of all, that `is_meant`: whether there are any; `None` where nothing ran.
fn mark(
    runs: &mut [Run],
    scenario: Option<&str>,
    is_meant: impl Fn(&Check) -> bool,
    waived: Option<Waived>,
) -> Option<bool> {
    let mut deviates = None;
    for run in runs.iter_mut().filter(|run| scenario.is_none_or(|name| name == run.scenario)) {
        let deviates = deviates.get_or_insert(false);
        for check in checks_of(run).filter(|check| is_meant(check) && !check.is_as_expected()) {
            *deviates = true;
            check.waived = check.waived.take().or_else(|| waived.clone());
        }
    }
    deviates
}

/// Runs in which all that deviates is accepted pass, and the report with them.
fn settle(report: &mut Report) {
    for run in &mut report.runs {
        if run.outcome == Outcome::Fail && is_accepted(run) {
            run.outcome = Outcome::Pass;
        }
    }
    let is_accepted = report.outcome == Outcome::Fail
        && report.planted.is_none()
        && report.problems.is_empty()
        && !report.runs.is_empty()
        && report.runs.iter().any(|run| waived(run).next().is_some())
        && report.runs.iter().all(|run| run.outcome == Outcome::Pass);
    if is_accepted {
        report.outcome = Outcome::Pass;
    }
}

/// A waiver says nothing of contradictions and planted faults, nor of what is not told check by check.
fn is_accepted(run: &Run) -> bool {
    let is_told = |cycle: u32| run.cycles == 1 || run.failed_cycles.iter().any(|failed| failed.cycle == cycle);
    run.planted.is_none()
        && run.problems.is_empty()
        && waived(run).next().is_some()
        && run.checks.iter().all(Check::is_accepted)
        && run.failed_cycles.iter().all(|cycle| cycle.checks.iter().all(Check::is_accepted))
        && run
            .cycle_lines
            .iter()
            .all(|line| line.outcome == Outcome::Pass || (line.outcome == Outcome::Fail && is_told(line.cycle)))
}

/// The run's checks whose deviation is accepted.
pub fn waived(run: &Run) -> impl Iterator<Item = &Check> {
    run.checks.iter().filter(|check| check.waived.is_some())
}

/// Why a deviation is accepted.
pub fn why(Waived { reason, expires, link }: &Waived) -> String {
    let link = link.as_ref().map_or_else(String::new, |link| format!(" ({link})"));
    match expires {
        Some(expires) => format!("waived until {expires}: {reason}{link}"),
        None => format!("known of this board: {reason}{link}"),
    }
}

/// The same with what it is that deviates; `None` where nothing is accepted.
pub fn words(check: &Check) -> Option<String> {
    let why = why(check.waived.as_ref()?);
    let (verdict, expected) = (check.verdict.word(), check.expected.word());
    let seen = check.reason.as_ref().map_or_else(String::new, |seen| format!(": {seen}"));
    Some(format!("{why}; {verdict}, expected {expected}{seen}"))
}

fn checks_of(run: &mut Run) -> impl Iterator<Item = &mut Check> {
    let of_cycles = run.failed_cycles.iter_mut().flat_map(|cycle| &mut cycle.checks);
    run.checks.iter_mut().chain(of_cycles)
}

fn finding(table: &str, id: &str, text: String) -> Finding {
    Finding { severity: "warning".into(), table: table.into(), id: id.into(), offset: None, text }
}

#[cfg(test)]
mod tests;
