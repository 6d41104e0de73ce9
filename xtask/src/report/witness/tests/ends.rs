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
    // A panic does not turn the SMMU off; without its words nobody knows which it was.
    let goes_on = || {
        to(1)(stock(|kernel| {
            kernel.stock();
            kernel.attach(0x10, false);
        }))
    };
    let mut silent = goes_on();
    let (failed, reason) = only_failure(&silent);
    assert!(failed == "kdump.survived" && reason.contains("nothing shows that it was asked to"), "{reason}");
    assert_eq!(verdict(&judged(&silent).runs[0], "kdump.survived"), (Verdict::NotCovered, Verdict::Pass));
    for words in ["reboot: Restarting system", "sysrq: Resetting"] {
        silent.console = words;
        assert_eq!((ended(&silent), unexpected(&judged(&silent).runs[0]).len()), ("reset".into(), 0), "{words}");
    }
    let off = stock(|kernel| {
        kernel.stock();
        kernel.attach(0x10, false);
    });
    assert_eq!(unexpected(&judged(&off).runs[0]), [""; 0], "no panic powers off");
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
    assert_eq!((&*witness.ended, &*witness.profile, &witness.left), ("hang", "RESET", &None));
    assert_eq!(failures(&report.runs[0]), ["kdump.survived"]);
    assert!(report.runs[0].registers.is_empty(), "nobody has looked again");
    let blackouts = report.runs[0].streams.iter().map(|stream| stream.phases.blackout.delivered);
    assert_eq!(blackouts.collect::<Vec<_>>(), [20, 20]);
}

#[test]
fn one_that_panics_and_is_not_told_to_reset_ends_by_its_panic() {
    let mut boot = stock(resets);
    let at = boot.records.iter().position(|record| matches!(record, Record::Witnessed { .. })).unwrap();
    boot.records.truncate(at);
    let mut log = boot.log();
    log.extend(b"[    1.5] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n");
    log.extend(crate::capture::HostLine::Lost("nothing new for 60 s".into()).write().bytes());
    let report = from_log(&log);
    let lost = report.lost.unwrap().reason;
    assert!(lost.contains("the kernel panicked: Kernel panic - not syncing: VFS"), "{lost}");
    assert_eq!((report.outcome, &*report.runs[0].witness.as_ref().unwrap().ended), (Outcome::Lost, "panic"));
    assert_eq!(failures(&report.runs[0]), ["kdump.survived"]);
}

/// Checks that fail, and are not documented to.
fn failures(run: &Run) -> Vec<&str> {
    let failed = run.checks.iter().filter(|check| check.verdict == Verdict::Fail && !check.is_as_expected());
    failed.map(|check| check.id.as_str()).collect()
}

#[test]
fn what_was_blocked_is_no_failure_where_nobody_says_that_samples_were_in_time() {
    let mut boot = adopting(Kernel::adopt_v7);
    boot.retain(|record| {
        if let Record::CycleStream { phases, .. } | Record::Stream { phases, .. } = record {
            phases[1] = phase(20, 3, 0);
        }
        true
    });
    assert!(failures(&judged(&boot).runs[0]).contains(&"dma.no-blocked"));
    let at = boot.records.iter().position(|record| matches!(record, Record::Witnessed { .. })).unwrap();
    boot.records.truncate(at);
    let run = judged(&boot).runs.swap_remove(0);
    assert_eq!(failures(&run), ["kdump.survived"]);
    let blocked = check(&run, "dma.no-blocked");
    assert_eq!((blocked.verdict, blocked.expected), (Verdict::NotCovered, Verdict::Pass));
    assert!(blocked.reason.as_deref().is_some_and(|reason| reason.starts_with("0000:00:02.0: 3 blocked")));
}

#[test]
fn a_kernel_that_hangs_half_way_says_where_it_left_and_what_it_broke_until_then() {
    let hung = |act: fn(&mut Kernel)| {
        let mut boot = watched(act, phase(0, 25, 0), 100);
        let at = boot.records.iter().position(|record| matches!(record, Record::Watching { .. })).unwrap();
        boot.records.truncate(at);
        let mut log = boot.log();
        log.extend(crate::capture::HostLine::Lost("no record for 60 s".into()).write().bytes());
        from_log(&log).runs.swap_remove(0)
    };
    let run = hung(|kernel| {
        kernel.reset_begins();
        kernel.write64(reg::STRTAB_BASE, 1 << 62 | 0x6110_0000);
    });
    let witness = run.witness.as_ref().unwrap();
    assert_eq!((&*witness.ended, &*witness.profile), ("hang", "RESET"));
    let left = witness.left.as_ref().unwrap();
    let told = run.access_log.len() as u64;
    assert_eq!((left.entry, &*left.expected, &*left.found), (told, "STRTAB_BASE_CFG written", "nothing more"));
    assert_eq!(witness.last.as_ref().map(|last| last.access.is_some()), Some(true), "{:?}", witness.last);
    assert_eq!(failures(&run), ["kdump.survived"]);
    assert_eq!(run.streams.len(), 2);
    // What it did wrong until then.
    let run = hung(|kernel| {
        kernel.adopt_looks();
        kernel.read(reg::CR0);
        kernel.write(reg::EVENTQ_CONS, 0);
        kernel.acked(reg::CR0, 1);
        kernel.reads(&[reg::GERROR, reg::GERRORN]);
        kernel.queue();
        kernel.acked(reg::CR0, 9);
    });
    assert_eq!(failures(&run), ["kdump.survived", "protocol.no-violation"]);
    assert_eq!(run.witness.unwrap().left.map(|left| left.found), Some("EVENTQ_CONS written 0x0".into()));
}
