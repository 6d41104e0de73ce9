use wire::record::{Record, Verdict as Said};

use super::*;
use crate::capture::fixture::*;
use crate::report::from_log;

#[test]
fn every_damage_is_described() {
    for damage in scenario::Damage::all() {
        assert!(left(damage.name()).is_some(), "{}", damage.name());
    }
    assert_eq!(left("rust"), None);
}

/// The second run as a scenario with damage, with more checks.
fn with(scenario: &'static str, checks: &[(&'static str, Said, &'static str)]) -> Damaged {
    let mut records = two_runs();
    for record in &mut records {
        if let Record::RunBegin { run: 1, scenario: name, .. } = record {
            *name = scenario;
        }
    }
    let end = records.iter().position(|record| matches!(record, Record::Cycle { run: 1, .. })).unwrap();
    let made = |(id, verdict, reason): &(&'static str, Said, &'static str)| Record::Check {
        run: 1,
        cycle: 0,
        id,
        verdict: *verdict,
        expected: *verdict,
        must_run: false,
        reason,
        source: "",
    };
    records.splice(end..end, checks.iter().map(made).collect::<Vec<_>>());
    row(&from_log(&log(Some(&request()), &records)).runs[1]).unwrap()
}

#[test]
fn a_refusal_is_told_with_its_rule_and_what_dma_showed() {
    let told = with(
        "adopt+strtab-split-6",
        &[("damage.rule-fired", Said::Pass, "strtab-split: STRTAB_BASE_CFG holds 0x10190")],
    );
    assert_eq!(told.left, "STRTAB_BASE_CFG.SPLIT 6");
    let value = "STRTAB_BASE_CFG: LOG2SIZE 16, SPLIT 6, FMT 1 (two-level)";
    assert_eq!(told.rule, format!("strtab-split: STRTAB_BASE_CFG holds 0x10190 ({value})"));
    assert_eq!(told.did, "RESET");
    assert_eq!((told.streams, told.delivered, told.blocked, told.mis_steered), (2, 0, 2, 2));
}

#[test]
fn of_several_smmus_the_one_that_was_refused_is_named() {
    let said = "SMMU 1: strtab-split: STRTAB_BASE_CFG holds 0x10190";
    let told =
        with("adopt+strtab-split-6", &[("adopt.adopted", Said::Pass, ""), ("damage.rule-fired", Said::Pass, said)]);
    assert_eq!(told.rule, format!("{said} (STRTAB_BASE_CFG: LOG2SIZE 16, SPLIT 6, FMT 1 (two-level))"));
}

#[test]
fn another_rule_than_documented_and_no_rule_are_told_apart() {
    let wrong = with("adopt+asid-0", &[("damage.rule-fired", Said::Fail, "it was adopted in spite of asid")]);
    assert_eq!(wrong.rule, "not as documented: it was adopted in spite of asid");
    let later = with("adopt+table-changed-after-validation", &[("damage.one-refused", Said::Pass, "")]);
    assert!(later.rule.contains("when its device was met"));
    let skipped = with("adopt+l1cd-misaligned", &[("scenario.possible", Said::Skip, "no room")]);
    assert_eq!(skipped.rule, "did not run: no room");
    assert!(with("adopt+evtq-full", &[]).rule.starts_with("none"));
}
