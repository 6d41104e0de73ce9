//! `report diff A B`: what changed from one run to another, new failures first.

mod figures;
mod kernels;
mod machine;
#[cfg(test)]
mod tests;
mod text;

use serde::Serialize;

use super::model::{Check, Outcome, Report, Run};
use super::read;
use crate::cli::DiffArgs;
use crate::exit::Exit;

/// All differences.
#[derive(Debug, PartialEq, Serialize)]
pub struct Diff {
    pub before: Side,
    pub after: Side,
    /// What is not as expected now, and was, or was not there.
    pub new_failures: Vec<Verdicts>,
    /// What was not as expected, and is now.
    pub fixed: Vec<Verdicts>,
    /// Other verdicts that changed.
    pub changed: Vec<Verdicts>,
    /// Scenarios and checks that only the first has.
    pub gone: Vec<String>,
    /// Scenarios that only the second has.
    pub added: Vec<String>,
    /// Kernels that were watched: who they are, where they part first, what became of each stream.
    pub kernels: Vec<Change>,
    /// What became of streams, and times beyond their noise.
    pub figures: Vec<Change>,
    /// Board, firmware, tables, images, emulator.
    pub machine: Vec<Change>,
}

/// One of the two.
#[derive(Debug, PartialEq, Serialize)]
pub struct Side {
    pub report: String,
    pub board: String,
    pub outcome: Outcome,
    pub started: Option<String>,
    pub revision: Option<String>,
}

/// A check in both.
#[derive(Debug, PartialEq, Serialize)]
pub struct Verdicts {
    pub scenario: String,
    pub check: String,
    /// In words; absent where it was not there.
    pub before: Option<String>,
    pub after: Option<String>,
    /// Of the side that is not as expected.
    pub reason: Option<String>,
}

/// A thing that differs.
#[derive(Debug, PartialEq, Serialize)]
pub struct Change {
    pub what: String,
    pub before: String,
    pub after: String,
}

impl Change {
    /// A change, where there is one.
    fn of(what: impl Into<String>, before: impl Into<String>, after: impl Into<String>) -> Option<Self> {
        let (before, after) = (before.into(), after.into());
        (before != after).then(|| Self { what: what.into(), before, after })
    }
}

/// `cargo xtask report diff A B`.
pub fn run(args: &DiffArgs) -> anyhow::Result<Exit> {
    let side = |path: &std::path::Path| Ok::<_, anyhow::Error>((path.display().to_string(), read::report(path)?));
    let (before, after) = (side(&args.before)?, side(&args.after)?);
    let diff = of((&before.0, &before.1), (&after.0, &after.1));
    if args.json {
        crate::exit::say!("{}", serde_json::to_string_pretty(&diff)?);
    } else {
        crate::exit::say!("{}", text::of(&diff).trim_end());
    }
    Ok(if diff.new_failures.is_empty() { Exit::Pass } else { Exit::Fail })
}

/// Compares two reports, each with its name.
pub fn of((name_before, before): (&str, &Report), (name_after, after): (&str, &Report)) -> Diff {
    let mut diff = Diff {
        before: side(name_before, before),
        after: side(name_after, after),
        new_failures: Vec::new(),
        fixed: Vec::new(),
        changed: Vec::new(),
        gone: Vec::new(),
        added: Vec::new(),
        kernels: Vec::new(),
        figures: Vec::new(),
        machine: machine::of(before, after),
    };
    whole(before, after, &mut diff);
    for run in &after.runs {
        let old = before.runs.iter().find(|old| old.scenario == run.scenario);
        if old.is_none() {
            diff.added.push(run.scenario.clone());
        }
        one_run(old, run, &mut diff);
    }
    for old in &before.runs {
        if !after.runs.iter().any(|run| run.scenario == old.scenario) {
            diff.gone.push(old.scenario.clone());
        }
    }
    diff
}

fn side(name: &str, report: &Report) -> Side {
    let provenance = report.provenance.as_ref();
    Side {
        report: name.to_owned(),
        board: report.board.clone(),
        outcome: report.outcome,
        started: provenance.map(|from| from.started.clone()),
        revision: provenance.and_then(|from| from.revision.clone()),
    }
}

/// What no check tells: a boot without a verdict, or with contradictions.
fn whole(before: &Report, after: &Report, diff: &mut Diff) {
    let wrong = |report: &Report| match &report.lost {
        Some(lost) => Some(lost.reason.clone()),
        None => report.problems.first().cloned(),
    };
    put("boot", "whole-log", (Some(wrong(before)), wrong(after)), diff);
}

fn one_run(old: Option<&Run>, run: &Run, diff: &mut Diff) {
    for check in &run.checks {
        let old = old.and_then(|old| old.checks.iter().find(|old| old.id == check.id));
        verdicts(&run.scenario, old, check, diff);
    }
    // What no check of the run tells.
    let wrong = |run: &Run| {
        let is_untold = run.outcome != Outcome::Pass && run.checks.iter().all(Check::is_accepted);
        is_untold.then(|| {
            run.problems.first().cloned().unwrap_or_else(|| {
                format!("{}, {} of {} cycles failed", run.outcome.word(), run.cycles_failed, run.cycles_done)
            })
        })
    };
    put(&run.scenario, "run.outcome", (old.map(wrong), wrong(run)), diff);
    let Some(old) = old else { return };
    for check in &old.checks {
        if !run.checks.iter().any(|new| new.id == check.id) {
            diff.gone.push(format!("{} {}", run.scenario, check.id));
        }
    }
    diff.kernels.extend(kernels::of(old, run));
    diff.figures.extend(figures::of(old, run));
}

/// Sorts a thing that is right, or wrong for a reason, into the differences; it may not have been there before.
fn put(scenario: &str, check: &str, (before, after): (Option<Option<String>>, Option<String>), diff: &mut Diff) {
    let word = |wrong: &Option<String>| if wrong.is_some() { "fail" } else { "pass" }.to_owned();
    let old = before.clone().flatten();
    let list = match (old.is_some(), after.is_some()) {
        (false, true) => &mut diff.new_failures,
        (true, false) => &mut diff.fixed,
        _ => return,
    };
    let (scenario, check) = (scenario.to_owned(), check.to_owned());
    let (before, reason, after) = (before.as_ref().map(word), after.clone().or(old), Some(word(&after)));
    list.push(Verdicts { scenario, check, before, after, reason });
}

fn verdicts(scenario: &str, old: Option<&Check>, check: &Check, diff: &mut Diff) {
    let is_new = !check.is_accepted() && old.is_none_or(Check::is_accepted);
    let is_fixed = check.is_accepted() && old.is_some_and(|old| !old.is_accepted());
    let differs = old.is_some_and(|old| (old.verdict, old.expected) != (check.verdict, check.expected));
    let list = match (is_new, is_fixed, differs) {
        (true, ..) => &mut diff.new_failures,
        (_, true, _) => &mut diff.fixed,
        (.., true) => &mut diff.changed,
        _ => return,
    };
    let reason = if is_fixed { old.and_then(|old| old.reason.clone()) } else { check.reason.clone() };
    let (scenario, id) = (scenario.to_owned(), check.id.clone());
    list.push(Verdicts { scenario, check: id, before: old.map(words), after: Some(words(check)), reason });
}

fn words(check: &Check) -> String {
    let expected = if check.is_as_expected() { String::new() } else { format!(", expected {}", check.expected.word()) };
    let waived = if check.waived.is_some() { ", waived" } else { "" };
    format!("{}{expected}{waived}", check.verdict.word())
}
