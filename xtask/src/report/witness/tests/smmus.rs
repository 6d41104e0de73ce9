//! More than one SMMU.

use super::*;

#[test]
fn a_smmu_that_was_left_alone_is_told() {
    let mut boot = adopting(Kernel::adopt_v7);
    let others: Vec<Record<'static>> = boot
        .records
        .iter()
        .copied()
        .filter_map(|record| match record {
            Record::Register { run, cycle, name, before, after, .. } => {
                Some(Record::Register { run, cycle, smmu: 1, name, before, after })
            }
            _ => None,
        })
        .collect();
    let at = boot.records.iter().rposition(|record| matches!(record, Record::Register { .. })).unwrap();
    boot.records.splice(at + 1..at + 1, others);
    let (failed, reason) = only_failure(&boot);
    assert_eq!((&*failed, &*reason), ("witness.saw-accesses", "the kernel left SMMU 1 enabled and never touched it"));
}

/// Two SMMUs, with a stream of the same StreamID behind each, which did this after the takeover; samples as of `boot`.
fn two(first: fn(&mut Kernel), second: fn(&mut Kernel), after: [Phase; 2], samples: &[(u64, u64)]) -> Boot {
    let recorded = |act: fn(&mut Kernel)| {
        let mut kernel = Kernel::new();
        kernel.witness.tell_found(&mut kernel.hw);
        act(&mut kernel);
        Recorded::of(&mut kernel)
    };
    let mut boot = boot(recorded(first).and_of_a_second(recorded(second)), after, samples);
    boot.request.kernel.as_mut().unwrap().watch_reads = true;
    boot.retain(|record| {
        if let Record::Stream { stream_id, rmr, .. } = record {
            (*stream_id, *rmr) = (0x10, false);
        }
        true
    });
    let is_first = |record: &Record<'_>| matches!(record, Record::Endpoint { .. });
    let mut second = *boot.records.iter().rfind(|record| is_first(record)).unwrap();
    if let Record::Endpoint { bdf, smmu, .. } = &mut second {
        (*bdf, *smmu) = (crate::capture::fixture::STREAMS[1], Some(1));
    }
    let at = boot.records.iter().rposition(is_first).unwrap();
    boot.records.insert(at + 1, second);
    boot
}

#[test]
fn of_two_smmus_each_has_its_own_profile_and_what_is_expected_of_dma_goes_by_that() {
    let samples = [(1, 0), (2, 100), (1 << 20, 100)];
    let report = judged(&two(Kernel::stock, Kernel::adopt_v7, [phase(0, 25, 0), phase(30, 0, 0)], &samples));
    let run = &report.runs[0];
    assert_eq!(unexpected(run), [""; 0], "{:#?}", run.checks);
    let witness = run.witness.as_ref().unwrap();
    let profiles: Vec<_> = witness.profiles.iter().map(|it| (it.smmu, &*it.profile)).collect();
    assert_eq!((&*witness.profile, &profiles[..]), ("none", &[(0, "RESET"), (1, "ADOPT-v7")][..]));
    assert_eq!(witness.followed, "RESET on SMMU 0, ADOPT-v7 on SMMU 1");
    assert_eq!(verdict(run, "gerror.read-before-cmdq"), (Verdict::Pass, Verdict::Pass));
    // The same on both is one.
    let report = judged(&two(Kernel::stock, Kernel::stock, [phase(0, 25, 0); 2], &samples));
    let witness = report.runs[0].witness.as_ref().unwrap();
    assert_eq!((&*witness.profile, &*witness.followed, witness.profiles.len()), ("RESET", "RESET", 2));
    assert_eq!(unexpected(&report.runs[0]), [""; 0]);
    // What one may lose the other may not.
    let report = judged(&two(Kernel::stock, Kernel::adopt_v7, [phase(0, 25, 0); 2], &samples));
    assert!(unexpected(&report.runs[0]).contains(&"dma.no-blocked"));
}

#[test]
fn a_stream_of_another_smmu_is_not_attached_by_its_number() {
    let attaches = |kernel: &mut Kernel| {
        kernel.adopt_v7();
        kernel.adopted_attach(0x10, 300);
    };
    // Half of what each stream moved came after the attach: of the attached one it would be stale, of the other it is right.
    let delivered = [phase(30, 0, 0), phase(0, 0, 0)];
    let samples = [(1, 0), (1 << 20, 50), (1 << 21, 100)];
    let run = judged(&two(Kernel::adopt_v7, attaches, delivered, &samples)).runs.swap_remove(0);
    assert_eq!(
        verdict(&run, "asid.not-reused"),
        (Verdict::Pass, Verdict::Pass),
        "{:?}",
        check(&run, "asid.not-reused")
    );
    let run = judged(&two(attaches, Kernel::adopt_v7, delivered, &samples)).runs.swap_remove(0);
    assert_eq!(verdict(&run, "asid.not-reused").0, Verdict::Fail);
}

#[test]
fn each_smmu_says_where_it_was_left_and_without_a_profile_where_each_sequence_was() {
    let half = |kernel: &mut Kernel| {
        kernel.reset_begins();
        kernel.write64(reg::STRTAB_BASE, 1 << 62 | 0x6110_0000);
    };
    let mut boot = two(Kernel::stock, half, [phase(0, 25, 0); 2], &[]);
    let end = boot.records.iter().position(|record| matches!(record, Record::Witnessed { .. })).unwrap();
    boot.records.truncate(end);
    let witness = judged(&boot).runs.swap_remove(0).witness.unwrap();
    let left = |smmu: usize| witness.profiles[smmu].left.iter().map(|left| &*left.expected).collect::<Vec<_>>();
    assert_eq!((left(0), left(1)), (vec![], vec!["STRTAB_BASE_CFG written"]));
    // It follows none.
    let other = |kernel: &mut Kernel| {
        kernel.read(reg::CR0);
        kernel.write(reg::CR1, 0xD75);
        kernel.acked(reg::CR0, 0);
    };
    let run = judged(&stock(other)).runs.swap_remove(0);
    let reason = check(&run, "witness.profile-followed").reason.clone().unwrap();
    assert!(reason.contains("follow no reference sequence; not ADOPT v7: CR1 written 0xd75 at log entry "), "{reason}");
    assert!(reason.contains("; not RESET: CR1 written 0xd75 at log entry "), "{reason}");
    let witness = run.witness.unwrap();
    assert_eq!((&*witness.profile, witness.profiles[0].left.len()), ("none", 3));
}
