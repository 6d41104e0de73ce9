//! How a kernel ended.

use super::*;

#[test]
fn a_kernel_ends_in_one_of_the_known_ways() {
    let to = |number: u8| {
        move |boot: Boot| {
            let mut boot = boot;
            boot.retain(|record| {
                if let Record::Witnessed { ended, .. } = record {
                    *ended = number;
                }
                true
            });
            boot
        }
    };
    let ended = |boot: &Boot| judged(boot).runs[0].witness.clone().unwrap().ended.into_owned();
    let reset = to(1)(stock(resets));
    assert_eq!((ended(&reset), unexpected(&judged(&reset).runs[0]).len()), ("reset".into(), 0));
    let mut panic = to(1)(stock(resets));
    panic.console = "Kernel panic - not syncing: Attempted to kill init!";
    assert_eq!(ended(&panic), "panic");
    let (failed, reason) = only_failure(&panic);
    assert_eq!(failed, "kdump.survived");
    assert!(
        reason.contains(
            "Attempted to kill init!, last seen at PC 0xffff800080600004; its last access: read32 of CR0ACK, 0x0"
        ),
        "{reason}"
    );
    // An `off` after such words is not what it seems either: the words are another boot's, or a test's.
    let stopped = with_end(to(2)(stock(resets)), |record| {
        if let Record::Witnessed { reason, .. } = record {
            *reason = "an access that nobody can carry out";
        }
    });
    assert_eq!(ended(&stopped), "stopped");
    let (failed, reason) = only_failure(&stopped);
    assert!(failed == "kdump.survived" && reason.contains("nobody can carry out"), "{reason}");
}

#[test]
fn that_a_kernel_survived_is_said_by_the_image_or_by_nobody() {
    let mut silent = stock(resets);
    silent.retain(|record| match record {
        Record::Check { id: "kdump.survived", .. } => false,
        Record::Cycle { checks, .. } => {
            *checks = 0;
            true
        }
        _ => true,
    });
    let report = judged(&silent);
    assert_eq!(verdict(&report.runs[0], "kdump.survived"), (Verdict::NotCovered, Verdict::Pass));
    assert_eq!(report.outcome, Outcome::Fail);
}

#[test]
fn a_kernel_that_hangs_is_lost_with_its_last_sign_of_life() {
    let mut boot = stock(resets);
    let at = boot.records.iter().position(|record| matches!(record, Record::Witnessed { .. })).unwrap();
    boot.records.truncate(at);
    let mut log = boot.log();
    log.extend(crate::capture::HostLine::Lost("no record for 60 s".into()).write().bytes());
    let report = from_log(&log);
    assert_eq!(report.outcome, Outcome::Lost);
    let lost = report.lost.unwrap().reason;
    assert!(lost.contains("no record for 60 s") && lost.contains("was not heard of again after"), "{lost}");
    assert!(lost.contains("last seen at PC 0xffff800080600000; its last access: read32 of CR0ACK"), "{lost}");
    let witness = report.runs[0].witness.as_ref().unwrap();
    // Registers are told at the end: without them nobody can judge.
    assert_eq!((&*witness.ended, &*witness.profile), ("hang", "none"));
    let failed = report.runs[0].checks.iter().filter(|check| check.verdict == Verdict::Fail);
    assert_eq!(failed.map(|check| &*check.id).collect::<Vec<_>>(), ["kdump.survived"]);
}
