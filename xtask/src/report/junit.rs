//! `junit.xml`: one suite for each scenario, one case for each check.

use quick_junit::{NonSuccessKind, Report as JunitReport, TestCase, TestCaseStatus, TestSuite};

use super::model::{Check, Outcome, Report, Run, Verdict};
use super::waive;

/// Renders the report.
pub fn render(report: &Report) -> anyhow::Result<String> {
    let mut junit = JunitReport::new(format!("inflight {}", report.board));
    junit.add_test_suite(boot(report));
    for run in &report.runs {
        junit.add_test_suite(suite(run));
    }
    Ok(junit.to_string()?)
}

/// What belongs to no check: a boot without a verdict, a planted fault, a contradiction.
fn boot(report: &Report) -> TestSuite {
    let mut suite = TestSuite::new("boot");
    let status = match (&report.lost, &report.planted) {
        (Some(lost), _) => {
            let text = format!("{}; last seen: {}", lost.reason, lost.last_seen);
            non_success(NonSuccessKind::Error, "lost", text)
        }
        (None, Some(planted)) => non_success(NonSuccessKind::Failure, "planted", format!("planted fault: {planted}")),
        (None, None) if !report.problems.is_empty() => {
            non_success(NonSuccessKind::Failure, "contradiction", report.problems.join("; "))
        }
        (None, None) => TestCaseStatus::success(),
    };
    suite.add_test_case(TestCase::new("boot.whole-log", status));
    suite
}

fn suite(run: &Run) -> TestSuite {
    let mut suite = TestSuite::new(run.scenario.as_str());
    for check in &run.checks {
        suite.add_test_case(case(&run.scenario, check.id.clone(), check));
    }
    for cycle in &run.failed_cycles {
        for check in cycle.checks.iter().filter(|check| !check.is_as_expected()) {
            suite.add_test_case(case(&run.scenario, format!("cycle {}: {}", cycle.cycle, check.id), check));
        }
    }
    let status = match run.outcome {
        Outcome::Lost => non_success(NonSuccessKind::Error, "lost", "the run has no end"),
        _ if !run.problems.is_empty() => non_success(NonSuccessKind::Failure, "contradiction", run.problems.join("; ")),
        Outcome::Fail if run.cycles_failed > 0 => {
            let text = format!("{} of {} cycle(s) failed", run.cycles_failed, run.cycles_done);
            non_success(NonSuccessKind::Failure, "cycles", text)
        }
        Outcome::Fail => non_success(NonSuccessKind::Failure, "fail", "not as expected"),
        Outcome::Pass => TestCaseStatus::success(),
    };
    let mut outcome = TestCase::new("run.outcome", status);
    outcome.set_classname(run.scenario.as_str());
    suite.add_test_case(outcome);
    suite
}

fn case(scenario: &str, name: String, check: &Check) -> TestCase {
    let reason = check.reason.clone().unwrap_or_default();
    let status = match (check.verdict, check.is_as_expected()) {
        (_, false) if let Some(waived) = waive::words(check) => skipped(waived),
        (Verdict::Pass, true) => TestCaseStatus::success(),
        // JUnit has no expected failure; as with other runners it is skipped, so that it never counts as passed.
        (Verdict::Fail, true) => skipped(format!("fails as expected: {reason}")),
        (Verdict::Skip, true) => skipped(reason),
        (Verdict::NotCovered, true) => skipped(format!("not covered, as expected: {reason}")),
        (verdict, false) => {
            let text = format!("{}, expected {}: {reason}", verdict.word(), check.expected.word());
            non_success(NonSuccessKind::Failure, verdict.word(), text)
        }
    };
    let mut case = TestCase::new(name, status);
    case.set_classname(scenario);
    if !check.source.is_empty() {
        case.add_property(("source", check.source.as_str()));
    }
    case
}

fn skipped(message: String) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(message);
    status
}

fn non_success(kind: NonSuccessKind, word: &str, message: impl Into<String>) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(word).set_message(message.into());
    status
}
