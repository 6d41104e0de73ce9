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
