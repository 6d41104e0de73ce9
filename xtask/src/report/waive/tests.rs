use wire::record::{Outcome as Said, Record, Verdict};

use super::*;
use crate::capture::Request;
use crate::capture::fixture::*;
use crate::report::{from_log, html, junit, ktap, terminal};

const TODAY: Date = Date { year: 2026, month: 11, day: 27 };

/// Both runs; in each a check deviates, and the payload says so.
fn failed() -> Report {
    from_log(&log(Some(&request()), &failing_records()))
}

fn failing_records() -> Vec<Record<'static>> {
    let mut records = two_runs();
    for record in &mut records {
        match record {
            Record::Check { id: "cpu.no-serror", verdict, reason, .. } => {
                (*verdict, *reason) = (Verdict::Fail, "2 SErrors");
            }
            Record::Cycle { outcome, failed, .. } => (*outcome, *failed) = (Said::Fail, 1),
            Record::RunEnd { outcome, cycles_failed, .. } => (*outcome, *cycles_failed) = (Said::Fail, 1),
            Record::End { outcome, .. } => *outcome = Said::Fail,
            _ => {}
        }
    }
    records
}

fn waiver(scenario: Option<&str>) -> Waiver {
    Waiver {
        check: "cpu.no-serror".into(),
        board: "qemu-virt".into(),
        scenario: scenario.map(Into::into),
        reason: "erratum 1234".into(),
        expires: TODAY,
    }
}

fn judged(waivers: &[Waiver]) -> Report {
    let mut report = failed();
    assert_eq!(report.outcome, Outcome::Fail);
    apply(&mut report, waivers, TODAY);
    report
}

fn findings(report: &Report) -> Vec<&str> {
    let own = report.platform.findings.iter().filter(|finding| finding.table == "waivers");
    own.map(|finding| &*finding.id).collect()
}

#[test]
fn a_run_passes_only_when_each_deviation_is_waived_on_its_last_day_too() {
    let report = judged(&[waiver(None)]);
    assert_eq!((report.outcome, findings(&report)), (Outcome::Pass, vec![]));
    let report = judged(&[waiver(Some("adopt"))]);
    let outcomes: Vec<Outcome> = report.runs.iter().map(|run| run.outcome).collect();
    assert_eq!((report.outcome, outcomes), (Outcome::Fail, vec![Outcome::Pass, Outcome::Fail]));
}

#[test]
fn an_expired_waiver_accepts_nothing_and_is_a_finding() {
    let expired = Waiver { expires: Date { day: 26, ..TODAY }, ..waiver(None) };
    let report = judged(&[expired]);
    assert_eq!((report.outcome, findings(&report)), (Outcome::Fail, vec!["waiver-expired"]));
    assert!(report.runs.iter().all(|run| waived(run).next().is_none()));
}

#[test]
fn a_waiver_that_nothing_needs_is_a_finding_but_not_on_another_board_or_scenario() {
    let unused = Waiver { check: "adopt.smmuen-kept".into(), ..waiver(None) };
    let elsewhere = Waiver { board: "another".into(), ..unused.clone() };
    let not_run = waiver(Some("abort"));
    assert_eq!(findings(&judged(&[unused])), vec!["waiver-unused"]);
    assert!(findings(&judged(&[elsewhere, not_run])).is_empty());
}

#[test]
fn no_waiver_covers_a_planted_fault_a_contradiction_or_a_lost_boot() {
    let check = |change: fn(&mut Report)| {
        let mut report = failed();
        change(&mut report);
        apply(&mut report, &[waiver(None)], TODAY);
        report.outcome
    };
    assert_eq!(check(|_| {}), Outcome::Pass);
    assert_eq!(check(|report| report.planted = Some("leaf-canary".into())), Outcome::Fail);
    assert_eq!(check(|report| report.problems.push("a contradiction".into())), Outcome::Fail);
    assert_eq!(check(|report| report.runs[0].problems.push("no end".into())), Outcome::Fail);
    assert_eq!(check(|report| report.runs[1].planted = Some("leaf-canary".into())), Outcome::Fail);
    assert_eq!(check(|report| report.runs[0].outcome = Outcome::Lost), Outcome::Fail);
    assert_eq!(check(|report| report.outcome = Outcome::Lost), Outcome::Lost);
    // A cycle that failed without a word of which check.
    assert_eq!(check(|report| report.runs[0].cycles = 2), Outcome::Fail);
}

fn known(verdict: Known, scenario: Option<&str>) -> Expectation {
    let (check, scenario) = ("cpu.no-serror".into(), scenario.map(Into::into));
    Expectation { check, scenario, verdict, reason: "erratum 1234".into(), link: "ERR-1".into() }
}

/// As a kept log is judged: what the board's file said then stands in its first line.
fn expected(expectations: Vec<Expectation>) -> Report {
    let request = Request { expectations, ..request() };
    from_log(&log(Some(&request), &failing_records()))
}

#[test]
fn what_a_board_is_known_for_is_accepted_with_that_verdict_only_and_for_good() {
    let findings = |report: &Report| -> Vec<String> {
        report.platform.findings.iter().filter(|finding| finding.table == "board").map(|f| f.id.clone()).collect()
    };
    let report = expected(vec![known(Known::Fail, None)]);
    assert_eq!((report.outcome, findings(&report)), (Outcome::Pass, vec![]));
    let text = ktap::render(&report);
    assert!(
        text.contains("# TODO known of this board: erratum 1234 (ERR-1); fail, expected pass: 2 SErrors\n"),
        "{text}"
    );
    assert!(terminal::summary(&report).contains("; known of this board: erratum 1234 (ERR-1)"));
    assert!(html::render(&report).unwrap().contains("known of this board: erratum 1234 (ERR-1)"));

    let report = expected(vec![known(Known::Fail, Some("adopt"))]);
    let outcomes: Vec<Outcome> = report.runs.iter().map(|run| run.outcome).collect();
    assert_eq!((report.outcome, outcomes), (Outcome::Fail, vec![Outcome::Pass, Outcome::Fail]));

    let report = expected(vec![known(Known::NotCovered, None)]);
    assert_eq!((report.outcome, findings(&report)), (Outcome::Fail, vec!["expectation-unmet".into()]));
    // Of a scenario that did not run it says nothing.
    assert!(findings(&expected(vec![known(Known::Fail, Some("abort"))])).is_empty());
}

#[test]
fn every_rendering_shows_it_as_waived_and_none_as_passed() {
    let report = judged(&[waiver(None)]);
    let json = serde_json::to_value(&report).unwrap();
    let check = &json["runs"][0]["checks"][1];
    assert_eq!((&check["verdict"], &check["waived"]["reason"]), (&"fail".into(), &"erratum 1234".into()));
    assert_eq!(check["waived"]["expires"], "2026-11-27");
    assert!(json["runs"][0]["checks"][0].get("waived").is_none());
    let text = ktap::render(&report);
    assert!(
        text.contains(
            "not ok 2 cpu.no-serror # TODO waived until 2026-11-27: erratum 1234; fail, expected pass: 2 SErrors\n"
        ),
        "{text}"
    );
    let text = junit::render(&report).unwrap();
    assert!(text.contains("waived until 2026-11-27: erratum 1234; fail, expected pass: 2 SErrors"), "{text}");
    assert!(!text.contains("<failure"), "{text}");
    let page = html::render(&report).unwrap();
    assert!(page.contains("waived until 2026-11-27: erratum 1234") && page.contains("2 of them waived or known"));
    let summary = terminal::summary(&report);
    assert!(
        summary.contains(
            "cpu.no-serror: fail, expected pass: 2 SErrors [IHI 0070 6.3.9]; waived until 2026-11-27: erratum 1234"
        ),
        "{summary}"
    );
}
