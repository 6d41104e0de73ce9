use wire::record::{Record, Verdict as Said};

use super::CHECK;
use crate::capture::fixture::*;
use crate::report::model::{Check, Outcome, Run, Verdict};
use crate::report::{from_log, html};
use smmu::log::Op;
use smmu::takeover::Policy;

/// Adopt and reset with the records changed.
fn runs(change: impl FnOnce(&mut Vec<Record<'static>>)) -> Vec<Run> {
    let mut records = two_runs();
    change(&mut records);
    from_log(&log(Some(&request()), &records)).runs
}

fn protocol_check(run: &Run) -> &Check {
    run.checks.iter().find(|check| check.id == CHECK).unwrap()
}

fn verdict(run: &Run) -> (Verdict, String) {
    let check = protocol_check(run);
    (check.verdict, check.reason.clone().unwrap_or_default())
}

fn is_access(record: &Record<'_>, number: u32) -> bool {
    matches!(record, Record::Access { run: 0, index, .. } if *index == number)
}

#[test]
fn adopt_and_reset_pass_with_their_profiles() {
    let runs = runs(|_| {});
    for (run, profile) in runs.iter().zip(["ADOPT v10", "RESET"]) {
        assert_eq!(verdict(run), (Verdict::Pass, String::new()));
        assert!(protocol_check(run).must_run && protocol_check(run).expected == Verdict::Pass);
        let protocol = run.protocol.as_ref().unwrap();
        assert!(protocol.complete && protocol.entries as usize > run.access_log.len());
        assert_eq!((protocol.violations.len(), protocol.remarks.len()), (0, 0));
        assert_eq!((protocol.smmus[0].profile.as_deref(), &protocol.smmus[0].left), (Some(profile), &None));
        assert_eq!(run.outcome, Outcome::Pass);
    }
}

#[test]
fn a_violation_fails_the_run_and_names_rule_clause_and_entry() {
    let mut records = two_runs();
    records.retain(|record| {
        let of_adopt = matches!(record, Record::Access { run: 0, .. } | Record::Step { run: 0, .. });
        !of_adopt && !matches!(record, Record::Register { run: 0, .. })
    });
    let place = records.iter().position(|record| matches!(record, Record::Timing { .. })).unwrap();
    records.splice(place..place, takeover::records(0, 0, Policy::Adopt, true));
    let report = from_log(&log(Some(&request()), &records));
    let run = &report.runs[0];
    let protocol = run.protocol.as_ref().unwrap();
    let (found, reason) = verdict(run);
    assert_eq!(found, Verdict::Fail);
    let first = &protocol.violations[0];
    assert_eq!(first.rule, "disable.without-abort");
    let at = first.entries.last().unwrap();
    assert!(
        reason.starts_with(&format!("disable.without-abort [{}], log entry {at}, SMMU 0: ", first.clause)),
        "{reason}"
    );
    // The entry is the write that the payload told.
    let access = run.access_log.iter().find(|access| u64::from(access.index) == *at).unwrap();
    assert_eq!((access.name.as_str(), access.kind.as_str(), access.value.0), ("CR0", "write32", 0));
    assert_eq!(protocol.smmus[0].left.as_ref().unwrap().entry, *at);
    assert_eq!((run.outcome, report.outcome), (Outcome::Fail, Outcome::Fail));
    let page = html::render(&report).unwrap();
    assert!(page.contains("disable.without-abort") && page.contains("<details open>"));
}

#[test]
fn a_departure_from_the_reference_fails_too() {
    // A register that is written with another value than the reference writes: legal, and no RESET.
    let with = |name: &'static str| {
        let runs = runs(|records| {
            for record in records {
                match record {
                    Record::Access { run: 1, name: "CR1", value, .. } => *value = 0xD35,
                    Record::RunBegin { run: 1, scenario, .. } => *scenario = name,
                    _ => {}
                }
            }
        });
        (verdict(&runs[1]), runs[1].protocol.clone().unwrap())
    };
    // Also where a policy documents to part from it, but elsewhere.
    for name in ["reset", "reset@panic", "reset-evtq", "reset-attach", "quiesce-bme"] {
        let ((found, reason), _) = with(name);
        assert_eq!(found, Verdict::Fail);
        assert!(reason.contains("leaves RESET at log entry") && reason.contains("CR1 written 0xd75"), "{reason}");
    }
    // A policy of its own follows no reference: told, and no failure.
    let ((found, _), protocol) = with("abort");
    assert_eq!(found, Verdict::Pass);
    assert!(protocol.smmus[0].left.is_some());
}

#[test]
fn an_incomplete_log_is_not_covered_but_a_violation_in_it_is_told() {
    let gap = |records: &mut Vec<Record<'static>>| records.retain(|record| !is_access(record, 3));
    let (found, reason) = verdict(&runs(gap)[0]);
    assert_eq!(found, Verdict::NotCovered);
    assert!(reason.contains("entry 3"), "{reason}");
    let overflow = |records: &mut Vec<Record<'static>>| {
        records.insert(20, check(0, 0, "log.complete", Said::Fail, Said::Fail));
    };
    assert_eq!(verdict(&runs(overflow)[0]).0, Verdict::NotCovered);
    let unknown = |records: &mut Vec<Record<'static>>| {
        records.iter_mut().filter(|record| is_access(record, 3)).for_each(|record| {
            if let Record::Access { kind, .. } = record {
                *kind = 77;
            }
        });
    };
    assert_eq!(verdict(&runs(unknown)[0]).0, Verdict::NotCovered);
    let registers = |records: &mut Vec<Record<'static>>| {
        records.retain(|record| !matches!(record, Record::Register { run: 0, name: "AIDR", .. }));
    };
    let (found, reason) = verdict(&runs(registers)[0]);
    assert_eq!(found, Verdict::NotCovered);
    assert!(reason.contains("registers"), "{reason}");
}

#[test]
fn a_run_without_a_takeover_has_no_such_check() {
    let runs = runs(|records| records.retain(|record| !matches!(record, Record::Access { run: 0, .. })));
    assert!(runs[0].checks.iter().all(|check| check.id != CHECK) && runs[0].protocol.is_none());
    assert_eq!(verdict(&runs[1]).0, Verdict::Pass);
}

/// The first run with another scenario's name and the access log of `policy`.
fn as_scenario(name: &'static str, policy: Policy) -> Run {
    let mut records = two_runs();
    for record in &mut records {
        if let Record::RunBegin { run: 0, scenario, .. } = record {
            *scenario = name;
        }
    }
    records.retain(|record| {
        !matches!(record, Record::Access { run: 0, .. } | Record::Step { run: 0, .. } | Record::Register { run: 0, .. })
    });
    let place = records.iter().position(|record| matches!(record, Record::Timing { .. })).unwrap();
    records.splice(place..place, takeover::records(0, 0, policy, false));
    from_log(&log(Some(&request()), &records)).runs.swap_remove(0)
}

#[test]
fn a_documented_violation_is_expected_and_its_absence_or_another_is_not() {
    let said = |name, policy| {
        let run = as_scenario(name, policy);
        let check = protocol_check(&run);
        (check.verdict, check.expected)
    };
    assert_eq!(said("bypass", Policy::Bypass), (Verdict::Fail, Verdict::Fail));
    assert_eq!(said("bypass", Policy::Abort), (Verdict::Pass, Verdict::Fail), "it did not bypass");
    assert_eq!(said("abort", Policy::Bypass), (Verdict::Fail, Verdict::Pass), "nobody documents that");
    assert_eq!(said("adopt-rmr-bypass", Policy::Bypass), (Verdict::Fail, Verdict::Pass), "another rule");
}

#[test]
fn a_reused_identifier_is_what_the_attach_of_revision_7_is_to_show() {
    let with = |name: &'static str, asids: [u64; 2]| {
        let runs = runs(|records| {
            for record in records.iter_mut() {
                if let Record::RunBegin { run: 0, scenario, .. } = record {
                    *scenario = name;
                }
            }
            let is_own =
                |record: &Record<'_>| matches!(record, Record::Access { run: 0, .. } | Record::Step { run: 0, .. });
            let last = records.iter().rposition(is_own).unwrap();
            let (Record::Access { index, .. } | Record::Step { index, .. }) = records[last] else { panic!() };
            let access = |kind: Op, index, address, asid: u64| Record::Access {
                run: 0,
                cycle: 0,
                index,
                ticks: 0,
                smmu: 0,
                kind: kind as u8,
                name: "CD",
                address,
                value: asid << 48 | 1 << 31,
                count: 1,
                stride: 0,
                unbacked: false,
            };
            let added = [(Op::Load, 0x4028_0000), (Op::Store, 0x5010_0000)];
            let added = (1..).zip(added.into_iter().zip(asids));
            let added: Vec<_> = added.map(|(more, ((kind, at), asid))| access(kind, index + more, at, asid)).collect();
            records.splice(last + 1..last + 1, added);
        });
        let check = protocol_check(&runs[0]).clone();
        (check.verdict, check.expected, check.reason.unwrap_or_default())
    };
    let (found, expected, reason) = with("adopt-v7-attach", [9, 9]);
    assert_eq!((found, expected), (Verdict::Fail, Verdict::Fail));
    assert!(reason.starts_with("adopt.identifier-reused"), "{reason}");
    // So it is at stage 2, and beside damage that is adopted.
    for name in ["adopt-v7-attach+stage-2-domains", "adopt-v7-attach+asid-shared"] {
        assert_eq!(with(name, [9, 9]).1, Verdict::Fail, "{name}");
    }
    // Not shown is not as documented, and elsewhere it is no excuse.
    assert_eq!(with("adopt-v7-attach", [9, 10]), (Verdict::Pass, Verdict::Fail, String::new()));
    assert_eq!(with("adopt-attach", [9, 10]), (Verdict::Pass, Verdict::Pass, String::new()));
    let (found, expected, _) = with("adopt-attach", [9, 9]);
    assert_eq!((found, expected), (Verdict::Fail, Verdict::Pass));
}
