//! Waivers on a judged report: which deviations are accepted, and what that makes of the outcome.

use std::path::Path;

use ::board::Date;
use ::board::waivers::{self, Waiver};

use super::model::{Check, Finding, Outcome, Report, Run, Waived};
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
        let is_meant = |run: &&mut Run| waiver.scenario.as_ref().is_none_or(|name| *name == run.scenario);
        let mut has_run = false;
        let mut deviations = 0_usize;
        for run in report.runs.iter_mut().filter(is_meant) {
            has_run = true;
            for check in checks_of(run).filter(|check| check.id == waiver.check && !check.is_as_expected()) {
                deviations += 1;
                if today <= waiver.expires {
                    let (reason, expires) = (waiver.reason.clone(), waiver.expires.to_string());
                    check.waived = Some(Waived { reason, expires });
                }
            }
        }
        let name = format!("{} on {}", waiver.check, waiver.board);
        if today > waiver.expires {
            let text = format!("the waiver for {name} ended on {}: {}", waiver.expires, waiver.reason);
            report.platform.findings.push(finding("waiver-expired", text));
        } else if has_run && deviations == 0 {
            let text = format!("nothing deviates where {name} is waived until {}: take it out", waiver.expires);
            report.platform.findings.push(finding("waiver-unused", text));
        }
    }
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

/// The run's checks that are waived.
pub fn waived(run: &Run) -> impl Iterator<Item = &Check> {
    run.checks.iter().filter(|check| check.waived.is_some())
}

/// What a check's waiver accepts, and until when; `None` where there is none.
pub fn words(check: &Check) -> Option<String> {
    let Waived { reason, expires } = check.waived.as_ref()?;
    let (verdict, expected) = (check.verdict.word(), check.expected.word());
    let seen = check.reason.as_ref().map_or_else(String::new, |seen| format!(": {seen}"));
    Some(format!("waived until {expires}: {reason}; {verdict}, expected {expected}{seen}"))
}

fn checks_of(run: &mut Run) -> impl Iterator<Item = &mut Check> {
    let of_cycles = run.failed_cycles.iter_mut().flat_map(|cycle| &mut cycle.checks);
    run.checks.iter_mut().chain(of_cycles)
}

fn finding(id: &str, text: String) -> Finding {
    Finding { severity: "warning".into(), table: "waivers".into(), id: id.into(), offset: None, text }
}

#[cfg(test)]
mod tests;
