//! `ktap.txt`: the console's KTAP lines, with the host's verdict instead of the payload's.

use embedded_io::Write;
use wire::{WriteError, Writer};

use super::model::{Outcome, Report, Run};
use super::waive;

/// Renders the report. Nothing can refuse a line here: memory takes all.
pub fn render(report: &Report) -> String {
    let mut text = Vec::new();
    let mut writer = Writer::new(&mut text, 0);
    // `Vec` takes every byte (its error type is empty), and KTAP lines have no length that could be too long.
    let _ = lines(&mut writer, report);
    String::from_utf8_lossy(&text).replace("\r\n", "\n")
}

fn lines<W: Write>(writer: &mut Writer<W>, report: &Report) -> Result<(), WriteError<W::Error>> {
    writer.ktap_start()?;
    // What is wrong with the boot as a whole is a result of its own.
    let wrong: Vec<&str> = report
        .problems
        .iter()
        .map(String::as_str)
        .chain(report.lost.as_ref().map(|lost| lost.reason.as_str()))
        .collect();
    // The plan follows the version line at once, as in all examples of ktap.rst.
    writer.ktap_plan(0, number(report.runs.len() + usize::from(!wrong.is_empty())))?;
    if let Some(planted) = &report.planted {
        writer.ktap_comment(0, &format!("planted fault: {planted}"))?;
    }
    if let Some(lost) = &report.lost {
        writer.ktap_comment(0, &format!("lost: {}; last seen: {}", lost.reason, lost.last_seen))?;
    }
    for problem in &report.problems {
        writer.ktap_comment(0, problem)?;
    }
    for (index, run) in report.runs.iter().enumerate() {
        one_run(writer, run)?;
        writer.ktap_result(0, number(index + 1), &run.scenario, to_wire(run.outcome))?;
    }
    if !wrong.is_empty() {
        let (fail, pass) = (wire::record::Verdict::Fail, wire::record::Verdict::Pass);
        writer.ktap_check(0, number(report.runs.len() + 1), "boot", fail, pass, &wrong.join("; "))?;
    }
    writer.ktap_end(to_wire(report.outcome))
}

fn one_run<W: Write>(writer: &mut Writer<W>, run: &Run) -> Result<(), WriteError<W::Error>> {
    writer.ktap_version(1)?;
    writer.ktap_plan(1, number(run.checks.len()))?;
    for (index, check) in run.checks.iter().enumerate() {
        let reason = check.reason.as_deref().unwrap_or("");
        if let Some(waived) = waive::words(check) {
            writer.ktap_todo(1, number(index + 1), &check.id, &waived)?;
            continue;
        }
        writer.ktap_check(1, number(index + 1), &check.id, check.verdict.wire(), check.expected.wire(), reason)?;
    }
    for problem in &run.problems {
        writer.ktap_comment(1, problem)?;
    }
    if run.cycles > 1 {
        writer.ktap_comment(1, &format!("{} cycle(s), {} failed", run.cycles_done, run.cycles_failed))?;
    }
    Ok(())
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

const fn to_wire(outcome: Outcome) -> wire::record::Outcome {
    match outcome {
        Outcome::Pass => wire::record::Outcome::Pass,
        Outcome::Fail => wire::record::Outcome::Fail,
        Outcome::Lost => wire::record::Outcome::Lost,
    }
}

#[cfg(test)]
mod tests;
