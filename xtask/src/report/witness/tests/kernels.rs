//! Kernels that are right.

use super::*;

#[test]
fn a_stock_kernel_is_as_documented() {
    let report = judged(&stock(resets));
    let run = &report.runs[0];
    assert_eq!(unexpected(run), [""; 0], "{:#?}", run.checks);
    assert_eq!(report.outcome, Outcome::Pass, "{:?}", run.problems);
    let witness = run.witness.as_ref().unwrap();
    assert_eq!((&*witness.profile, &*witness.ended), ("RESET", "off"));
    assert_eq!((witness.accesses, witness.commands, witness.table_stores), (48, 13, 3));
    assert_eq!((witness.violations.len(), witness.known.len()), (0, 1));
    assert_eq!(witness.known[0].broken.rule, "structure.l1std-leaf");
    assert_eq!(witness.left, None);
    assert_eq!(verdict(run, "linux.l1std-leaf"), (Verdict::Fail, Verdict::Fail));
    assert_eq!(verdict(run, "linux.off-behind-abort"), (Verdict::Pass, Verdict::Pass));
    assert_eq!(verdict(run, "gerror.read-before-cmdq"), (Verdict::Skip, Verdict::Skip));
    for lost in ["dma.no-blocked", "dma.delivered-after"] {
        assert_eq!(verdict(run, lost), (Verdict::Fail, Verdict::Fail), "{lost}");
    }
    assert_eq!(verdict(run, "dma.no-mis-steer"), (Verdict::Pass, Verdict::Pass));
    assert_eq!(witness.kernel.way.as_deref(), Some("devicetree"));
    assert_eq!(witness.kernel.command_line.as_deref(), Some("nr_cpus=1 reset_devices panic=1"));
}

#[test]
fn an_adopting_kernel_is_as_documented() {
    for attach in [false, true] {
        let report = judged(&adopting(|kernel| {
            kernel.adopt_v7();
            if attach {
                kernel.adopted_attach(0x10, 300);
            }
        }));
        let run = &report.runs[0];
        assert_eq!(unexpected(run), [""; 0], "{:#?}", run.checks);
        assert_eq!(report.outcome, Outcome::Pass, "{:?}", run.problems);
        let witness = run.witness.as_ref().unwrap();
        assert_eq!((&*witness.profile, witness.table_stores), ("ADOPT-v7", u64::from(attach)));
        assert_eq!(verdict(run, "adopt.l1-validated"), (Verdict::Pass, Verdict::Pass));
        assert_eq!(verdict(run, "gerror.read-before-cmdq"), (Verdict::Pass, Verdict::Pass));
        let reused = if attach { Verdict::Pass } else { Verdict::Skip };
        assert_eq!(verdict(run, "asid.not-reused"), (reused, reused));
    }
}

#[test]
fn debians_kernel_as_it_was_recorded_resets_and_breaks_no_rule() {
    let recorded = || Recorded::read(include_str!("../recorded/debian-7.3.4.txt"));
    let report = judged(&boot(recorded(), [phase(0, 25, 0); 2], &[(1, 0), (2, 100), (3, 100)]));
    let run = &report.runs[0];
    assert_eq!(unexpected(run), [""; 0], "{:#?}", run.checks);
    assert_eq!(report.outcome, Outcome::Pass);
    let witness = run.witness.as_ref().unwrap();
    assert_eq!((&*witness.profile, &witness.left, witness.fallback), ("RESET", &None, false));
    assert_eq!((witness.accesses, witness.commands, witness.table_stores), (75, 40, 9));
    assert_eq!((witness.violations.len(), witness.known.len()), (0, 1));
    assert_eq!(witness.taken_over, Some(46));
    assert_eq!(verdict(run, "linux.l1std-leaf"), (Verdict::Fail, Verdict::Fail));
    assert_eq!(verdict(run, "ste.hitless-order"), (Verdict::Pass, Verdict::Pass));
    // One value of it changed, and it is told; the rest of the log is as it was.
    let mut other = boot(recorded(), [phase(0, 25, 0); 2], &[(1, 0), (2, 100), (3, 100)]);
    other.retain(|record| {
        if let Record::Access { name: "CR2", value, .. } = record {
            *value = 4;
        }
        true
    });
    let (failed, reason) = only_failure(&other);
    assert!(
        failed == "witness.profile-followed" && reason.contains("CR2 written 0x4; expected: CR2 written 0x6"),
        "{reason}"
    );
}

#[test]
fn two_revisions_of_an_adoption_are_one_where_nobody_saw_the_reads() {
    let followed = |boot: &Boot| judged(boot).runs[0].witness.clone().unwrap().followed;
    let unread = |act: fn(&mut Kernel)| {
        let mut boot = adopting(act);
        boot.request.kernel.as_mut().unwrap().watch_reads = false;
        boot
    };
    let blind = unread(Kernel::adopt_v7);
    assert_eq!(followed(&blind), "ADOPT-v7 (v10 not told apart without --watch-reads)");
    assert_eq!(judged(&blind).runs[0].witness.as_ref().unwrap().profile, "ADOPT-v7");
    let page = crate::report::html::render(&judged(&blind)).unwrap();
    assert!(page.contains("It followed <b>ADOPT-v7 (v10 not told apart without --watch-reads)</b>"));
    assert_eq!(followed(&adopting(Kernel::adopt_v7)), "ADOPT-v7");
    // No kernel of revision 10 uses an identifier again.
    let reused = unread(|kernel| {
        kernel.adopt_v7();
        kernel.adopted_attach(0x10, 3);
    });
    assert_eq!(followed(&reused), "ADOPT-v7");
    assert_eq!(followed(&stock(resets)), "RESET");
}

/// Ticks of the recorded log: before the first attach of a live stream, behind the last, and before the SMMU is turned off.
const RECORDED: [u64; 3] = [100_000_000, 115_000_000, 130_000_000];

fn revision_7(shares: [u64; 3]) -> Boot {
    let recorded = Recorded::read(include_str!("../recorded/adopt-v7-7.3.4.txt"));
    let samples: Vec<_> = RECORDED.into_iter().zip(shares).collect();
    let mut boot = boot(recorded, [phase(30, 0, 0); 2], &samples);
    boot.request.kernel.as_mut().unwrap().watch_reads = true;
    boot
}

#[test]
fn revision_7_as_it_was_recorded_uses_an_identifier_again_and_is_right_else() {
    let (failed, reason) = only_failure(&revision_7([100; 3]));
    assert_eq!(failed, "asid.not-reused");
    assert!(reason.contains("a new CD at 0x9a2f3000 has ASID 1, as the adopted one at 0xbd7f3000"), "{reason}");
    assert!(!reason.contains("stale"), "{reason}");
    let report = judged(&revision_7([100; 3]));
    let run = &report.runs[0];
    let witness = run.witness.as_ref().unwrap();
    assert_eq!((&*witness.profile, &witness.left, witness.fallback), ("ADOPT-v7", &None, false));
    assert_eq!((witness.accesses, witness.commands, witness.table_stores), (57, 27, 4));
    assert_eq!((witness.violations.len(), witness.known.len()), (3, 1));
    for id in
        ["adopt.l1-validated", "adopt.table-unchanged-until-attach", "ste.hitless-order", "gerror.read-before-cmdq"]
    {
        assert_eq!(verdict(run, id), (Verdict::Pass, Verdict::Pass), "{id}");
    }
    assert_eq!(verdict(run, "linux.off-behind-abort"), (Verdict::Fail, Verdict::Fail));
    // What the streams showed of it: DMA went on to where the crashed kernel's translation led.
    let (failed, reason) = only_failure(&revision_7([20, 40, 100]));
    assert!(failed == "asid.not-reused" && reason.contains("18 landed in the crashed kernel's window"), "{reason}");
    // One descriptor fewer is read.
    let mut other = revision_7([100; 3]);
    other.retain(|record| {
        if let Record::Access { name: "L1STD", count, .. } = record {
            *count = (*count).min(255);
        }
        true
    });
    let run = judged(&other).runs.swap_remove(0);
    assert_eq!(unexpected(&run), ["adopt.l1-validated", "asid.not-reused"]);
}

#[test]
fn identifiers_of_a_crashed_kernel_with_stage_2_are_known_from_its_stream_table() {
    let with = |config: u64| {
        let mut boot = revision_7([100; 3]);
        boot.retain(|record| {
            match record {
                Record::Access { name, kind: 4, .. } if *name == "CD" => *name = "PTE",
                Record::Access { name: "STE", kind: 4, address, value, .. } if *address % 64 == 0 && *value > 1 => {
                    *value = *value & !0xE | config << 1;
                }
                _ => {}
            }
            !matches!(record, Record::Sample { .. })
        });
        verdict(&judged(&boot).runs[0], "asid.not-reused").0
    };
    assert_eq!([with(6), with(5)], [Verdict::Pass, Verdict::NotCovered]);
}
