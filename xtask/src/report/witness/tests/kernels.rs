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
