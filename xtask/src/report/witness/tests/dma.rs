//! What the streams did, and which check tells.

use super::*;

#[test]
fn a_stale_translation_is_told_by_what_lands() {
    // A fresh ASID, and still the second half of all that was delivered came after the attach.
    let mut boot = watched(
        |kernel| {
            kernel.adopt_v7();
            kernel.adopted_attach(0x10, 300);
        },
        phase(30, 0, 0),
        50,
    );
    let (failed, reason) = only_failure(&boot);
    assert_eq!(failed, "asid.not-reused");
    assert!(reason.starts_with("0000:00:02.0: 15 landed in the crashed kernel's window"), "{reason}");
    // The other stream was not attached: its DMA goes on, rightly.
    boot.retain(|record| !matches!(record, Record::Sample { bdf, .. } if *bdf == "0000:00:02.0"));
    // Identifiers are known, so that sets say what no sample does.
    assert_eq!(unexpected(&judged(&boot).runs[0]), [""; 0]);
}

/// The boot with the phases of the first stream changed.
fn with_phases(mut boot: Boot, change: fn(&mut [Phase; 3])) -> Boot {
    boot.retain(|record| {
        if let Record::Stream { bdf: "0000:00:02.0", phases, .. } = record {
            change(phases);
        }
        true
    });
    boot
}

#[test]
fn dma_that_fares_otherwise_fails_its_check_alone() {
    let adopt = || adopting(Kernel::adopt_v7);
    let cases: [(&str, Boot); 6] = [
        ("dma.no-blocked", with_phases(adopt(), |phases| phases[1] = phase(20, 3, 0))),
        ("dma.no-mis-steer", with_phases(adopt(), |phases| phases[2] = phase(30, 0, 2))),
        ("dma.delivered-before", with_phases(adopt(), |phases| phases[0] = phase(0, 0, 0))),
        ("dma.live-after", with_phases(adopt(), |phases| phases[2] = phase(0, 0, 0))),
        ("reset.blocks-dma", with_phases(stock(resets), |phases| phases[2] = phase(4, 25, 0))),
        ("dma.no-mis-steer", with_phases(stock(resets), |phases| phases[2] = phase(0, 25, 1))),
    ];
    for (id, boot) in cases {
        let (failed, reason) = only_failure(&boot);
        assert_eq!(failed, id, "{reason}");
        assert!(reason.starts_with("0000:00:02.0: "), "{id}: {reason}");
    }
    // A device that the kernel's driver has taken is silent, rightly; with all of them nothing is left to see.
    let mut taken = with_phases(adopt(), |phases| phases[2] = phase(0, 0, 0));
    let stopped = wire::record::Stopped {
        means: "the kernel's own driver",
        told: 5,
        done: 5,
        last_dma: None,
        landed: None,
        attempted: None,
    };
    let at = taken.records.iter().position(|record| matches!(record, Record::Register { .. })).unwrap();
    let requester = Record::Requester {
        run: 0,
        cycle: 0,
        bdf: "0000:00:02.0",
        requester: "0000:00:02.0",
        bus_master: true,
        answers: true,
        first_dma: None,
        last_dma: None,
        first_attempt: None,
        last_attempt: None,
        stopped: Some(stopped),
    };
    taken.records.insert(at, requester);
    assert_eq!(unexpected(&judged(&taken).runs[0]), [""; 0]);
    // All of it refused: not what an adoption promises.
    let refused = with_phases(adopt(), |phases| phases[2] = phase(0, 25, 0));
    assert_eq!(unexpected(&judged(&refused).runs[0]), ["dma.no-blocked", "dma.delivered-after"]);
    // A released kernel's bypass for the RMR stream is documented, its absence too.
    let mut rmr = stock(resets);
    rmr.retain(|record| {
        if let Record::Stream { rmr: true, phases, .. } = record {
            phases[2] = phase(10, 0, 10);
        }
        true
    });
    assert_eq!(unexpected(&judged(&rmr).runs[0]), [""; 0]);
}

#[test]
fn what_nobody_attempted_was_not_refused() {
    let mut quiet = stock(resets);
    quiet.retain(|record| {
        if let Record::Stream { phases, .. } = record {
            phases[2] = phase(0, 0, 0);
        }
        true
    });
    let report = judged(&quiet);
    assert_eq!(unexpected(&report.runs[0]), ["dma.live-after", "dma.no-blocked"]);
    for id in ["reset.blocks-dma", "dma.delivered-after"] {
        assert_eq!(verdict(&report.runs[0], id), (Verdict::Skip, Verdict::Skip), "{id}");
    }
}

/// An NVMe controller whose commands a reset refuses says nothing of it.
#[test]
fn what_is_refused_of_a_device_that_does_not_count_is_not_missed() {
    let uncounted = |mut boot: Boot, all: bool| {
        boot.retain(|record| {
            if let Record::Stream { rmr, phases, .. } = record
                && (all || !*rmr)
            {
                phases.iter_mut().for_each(|phase| phase.blocked = None);
            }
            true
        });
        judged(&boot).runs.swap_remove(0)
    };
    let live = |run: &Run| verdict(run, "dma.live-after");
    assert_eq!(live(&uncounted(stock(resets), false)), (Verdict::Pass, Verdict::Pass));
    let none = uncounted(stock(resets), true);
    assert_eq!((live(&none), unexpected(&none)), ((Verdict::Skip, Verdict::Skip), vec![]));
    // What is adopted goes on: that it does not is no refusal that one would not see.
    let quiet = with_phases(adopting(Kernel::adopt_v7), |phases| phases[2] = phase(0, 0, 0));
    assert_eq!(live(&uncounted(quiet, false)), (Verdict::NotCovered, Verdict::Pass));
}

#[test]
fn what_goes_astray_when_the_smmu_is_off_is_told_apart() {
    let ends = |act: fn(&mut Kernel)| {
        // Half of it before the kernel's end, half after the SMMU was turned off.
        let mut boot = watched(
            |kernel| {
                act(kernel);
                shuts_down(kernel);
            },
            phase(30, 0, 8),
            0,
        );
        boot.request.kernel.as_mut().unwrap().watch_reads = true;
        // All was delivered before.
        boot.retain(|record| {
            if let Record::Sample { delivered, ticks: 2.., .. } = record {
                *delivered = 60;
            }
            true
        });
        judged(&boot)
    };
    let report = ends(Kernel::adopt_v7);
    let run = &report.runs[0];
    // Linux leaves GBPA alone: documented, and told.
    assert_eq!(unexpected(run), [""; 0], "{:#?}", run.checks);
    for id in ["linux.off-behind-abort", "dma.no-mis-steer-when-off"] {
        assert_eq!(verdict(run, id), (Verdict::Fail, Verdict::Fail), "{id}");
    }
    assert_eq!(run.witness.as_ref().unwrap().known.len(), 1);
    // Behind a reset, ABORT is set.
    let report = ends(Kernel::stock);
    assert_eq!(verdict(&report.runs[0], "dma.no-mis-steer-when-off"), (Verdict::Fail, Verdict::Pass));
}

#[test]
fn what_is_refused_while_a_device_is_attached_is_not_the_takeovers() {
    // A device that nobody has stopped: all that it lost it lost between the first step of the attach and the last.
    let refused_at = |in_attach: bool| {
        let mut kernel = Kernel::new();
        kernel.witness.tell_found(&mut kernel.hw);
        kernel.adopt_v7();
        let before = ticks(&mut kernel);
        kernel.command([0x05 | 0x10 << 32, 1]);
        let begun = ticks(&mut kernel);
        kernel.adopted_attach(0x10, 300);
        let end = ticks(&mut kernel) + 10;
        let refused = if in_attach { begun } else { before };
        let samples = [(1, 0), (before - 1, 0), (refused, 100), (end, 100)];
        let mut boot = boot(Recorded::of(&mut kernel), [phase(0, 6, 0), phase(30, 0, 0)], &samples);
        boot.request.kernel.as_mut().unwrap().watch_reads = true;
        let report = judged(&boot);
        unexpected(&report.runs[0]).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(refused_at(true), ["dma.delivered-after"; 0]);
    assert!(refused_at(false).contains(&"dma.no-blocked".to_owned()));
}

#[test]
fn an_attach_that_nothing_is_invalidated_for_has_begun_all_the_same() {
    let mut kernel = Kernel::new();
    kernel.witness.tell_found(&mut kernel.hw);
    kernel.adopt_v7();
    let begun = ticks(&mut kernel);
    let cds = 0x6200_0000;
    kernel.store(L2.0 + 0x10 * 64, 0b1011 | cds);
    let end = ticks(&mut kernel) + 10;
    // Once its STE is fetched again, DMA is refused.
    let samples = [(1, 0), (begun, 0), (end, 100)];
    let mut boot = boot(Recorded::of(&mut kernel), [phase(0, 6, 0), phase(30, 0, 0)], &samples);
    boot.request.kernel.as_mut().unwrap().watch_reads = true;
    let report = judged(&boot);
    let wrong = unexpected(&report.runs[0]);
    assert!(wrong.contains(&"ste.hitless-order") && !wrong.contains(&"dma.no-blocked"), "{wrong:?}");
}
