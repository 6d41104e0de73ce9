//! Nothing passes of a log that is not whole.

use super::*;

#[test]
fn nothing_passes_because_nothing_was_seen() {
    let none = watched(|_| {}, phase(30, 0, 0), 100);
    let report = judged(&none);
    let run = &report.runs[0];
    assert_eq!(run.witness.as_ref().unwrap().profile, "none");
    assert_eq!(verdict(run, "witness.saw-accesses"), (Verdict::Fail, Verdict::Pass));
    for id in ["witness.profile-followed", "protocol.no-violation"] {
        assert_eq!(verdict(run, id).0, Verdict::NotCovered, "{id}");
    }
    assert_eq!(report.outcome, Outcome::Fail);
    // A log that is not whole says nothing good.
    let partial = |change: fn(&mut Record<'static>)| {
        let boot = with_end(adopting(Kernel::adopt_v7), change);
        judged(&boot).runs.swap_remove(0)
    };
    let run = partial(|record| {
        if let Record::Witnessed { overflowed, .. } = record {
            *overflowed = true;
        }
    });
    let early =
        ["witness.profile-followed", "gerror.read-before-cmdq", "adopt.l1-validated", "linux.rmr-bypass-in-live-table"];
    for id in ["protocol.no-violation", "adopt.table-unchanged-until-attach"].into_iter().chain(early) {
        assert_eq!(verdict(&run, id), (Verdict::NotCovered, Verdict::Pass), "{id}");
    }
    // One that is full behind the takeover has the whole takeover, and owes nothing at its end.
    let busy = |kernel: &mut Kernel| {
        kernel.adopt_v7();
        kernel.adopted_attach(0x10, 300);
    };
    let mut busy = watched(busy, phase(30, 0, 5), 0);
    busy.request.kernel.as_mut().unwrap().watch_reads = true;
    let mut full = with_end(busy, |record| {
        if let Record::Witnessed { overflowed, .. } = record {
            *overflowed = true;
        }
    });
    let is_doorbell = |record: &Record<'_>| matches!(record, Record::Access { name: "CMDQ_PROD", kind: 1, .. });
    let last = full.records.iter().rfind(|record| is_doorbell(record)).cloned();
    let Some(Record::Access { index: last, .. }) = last else { panic!("{last:?}") };
    full.retain(|record| match record {
        Record::Access { index, .. } | Record::Foreign { index, .. } => *index <= last,
        _ => true,
    });
    let run = judged(&full).runs.swap_remove(0);
    for id in early {
        assert_eq!(verdict(&run, id), (Verdict::Pass, Verdict::Pass), "{id}");
    }
    // Nobody knows either what the kernel had done to a stream that goes astray later.
    let late = ["protocol.no-violation", "adopt.table-unchanged-until-attach", "ste.hitless-order", "dma.no-mis-steer"];
    for id in late {
        assert_eq!(verdict(&run, id), (Verdict::NotCovered, Verdict::Pass), "{id}");
    }
    assert_eq!(run.witness.as_ref().unwrap().violations.len(), 0);
    let run = partial(|record| {
        if let Record::Witnessed { partial, .. } = record {
            *partial = true;
        }
    });
    assert_eq!(verdict(&run, "adopt.table-unchanged-until-attach").0, Verdict::NotCovered);
    // What was stored to a page that is open may have broken any rule; registers and commands were all seen.
    assert_eq!(verdict(&run, "protocol.no-violation"), (Verdict::NotCovered, Verdict::Pass));
    assert_eq!(verdict(&run, "witness.profile-followed").0, Verdict::Pass);
    // Without reads or samples nobody can say which identifiers are used again.
    let mut unseen = watched(
        |kernel| {
            kernel.adopt_v7();
            kernel.adopted_attach(0x10, 300);
        },
        phase(30, 0, 0),
        100,
    );
    // Without what the witness begins with: the kernel's own first access is to IDR0.
    let begun = unseen.records.iter().find_map(|record| match record {
        Record::Access { index, name: "IDR0", .. } => Some(*index),
        _ => None,
    });
    let begun = begun.unwrap();
    unseen.retain(|record| match record {
        Record::Access { index, .. } | Record::Foreign { index, .. } => {
            let is_own = *index >= begun;
            *index = index.saturating_sub(begun);
            is_own
        }
        Record::Sample { .. } => false,
        _ => true,
    });
    let run = judged(&unseen).runs.swap_remove(0);
    assert_eq!(verdict(&run, "asid.not-reused"), (Verdict::NotCovered, Verdict::Pass));
}

#[test]
fn damaged_lines_and_unknown_makers_leave_nothing_covered() {
    let mut boot = adopting(Kernel::adopt_v7);
    let at = boot.records.iter().position(|record| matches!(record, Record::Foreign { index: 9, .. })).unwrap();
    let told = boot.records.remove(at);
    let run = judged(&boot).runs.swap_remove(0);
    let check = check(&run, "protocol.no-violation");
    assert_eq!((check.verdict, check.reason.as_deref()), (Verdict::NotCovered, Some("nobody told who made access 9")));
    boot.records.insert(at, told);
    // A line that is torn on its way.
    let mut log = boot.log();
    let torn = log.len() / 2;
    log[torn] ^= 1;
    let report = from_log(&log);
    assert_eq!(report.outcome, Outcome::Lost);
    assert_eq!(verdict(&report.runs[0], "protocol.no-violation").0, Verdict::NotCovered);
}
