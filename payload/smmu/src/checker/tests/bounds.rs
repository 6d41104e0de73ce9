//! Long logs and hostile ones.

use super::*;
use crate::access::Structure;
use crate::log::Op;
use crate::spec::registers as reg;
use proptest::prelude::*;
use text::entry;

#[test]
fn millions_of_entries_leave_a_bounded_report() {
    let mut checker = Checker::new(&[enabled()], Coverage::ALL);
    let guarded = entry(Op::RegWrite32, What::Register, reg::STRTAB_BASE_CFG.into(), 0);
    for value in 0..1_000_000_u64 {
        checker.push(&Entry { value, ..guarded });
        let at = 0x5000_0000 + value * 8 % (1 << 30);
        checker.push(&entry(Op::Store, What::Structure(Structure::Ste), at, value));
    }
    let report = checker.finish(true);
    assert_eq!(report.entries, 2_000_000);
    let of_rule: Vec<_> = report.found.iter().filter(|found| found.rule == "guard.strtab-base-cfg").collect();
    assert_eq!(of_rule.len(), 8);
    assert_eq!(of_rule.iter().map(|found| found.count).sum::<u64>(), 1_000_000);
}

#[test]
fn the_same_again_is_counted() {
    let report = judged(enabled(), &log("W CR2 0; W CR2 0; W CR2 0; W CR2 1"));
    let counts: Vec<_> = report.found.iter().map(|found| (found.entries.clone(), found.count)).collect();
    assert_eq!(counts, [(vec![0], 3), (vec![3], 1)]);
}

#[test]
fn tables_that_point_in_a_circle_end() {
    // A CD table that holds the STE which points to it.
    let text = "L l1 0x40254000 0x40260009; L ste 0x40260400 0x280000004026000b; S cd 0x40260400 1; S ste 0x40260440 1";
    let _ = judged(enabled(), &log(text));
    let text = "L l1 0x40254000 0x40254009; S l1 0x40254000 0x40254009; S ste 0x40254000 1; S ste 0x40258000 1";
    let _ = judged(enabled(), &log(text));
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let offset = prop_oneof![0_u64..0x100, Just(0x1_00A8), Just(0x8020)].prop_map(|offset| offset & !3);
    let address =
        (0_u64..0x1000, any::<bool>()).prop_map(|(at, high)| at * 8 + if high { 0x4025_4000 } else { 0x5000_0000 });
    let value = prop_oneof![0_u64..0x20, any::<u64>(), Just(0x4026_0009), Just(0x4027_008B)];
    let registers = prop_oneof![Just(Op::RegRead32), Just(Op::RegWrite32), Just(Op::RegRead64), Just(Op::RegWrite64)];
    let register = (registers, offset, value.clone()).prop_map(|(op, at, value)| entry(op, What::Register, at, value));
    let structures = prop_oneof![
        Just(Structure::L1Std),
        Just(Structure::Ste),
        Just(Structure::L1Cd),
        Just(Structure::Cd),
        Just(Structure::Command),
        Just(Structure::Pte)
    ];
    let accesses = prop_oneof![Just(Op::Load), Just(Op::Store), Just(Op::Fill)];
    let memory = (accesses, structures, address, value, any::<u32>(), any::<u32>()).prop_map(
        |(op, structure, at, value, stride, count)| {
            let (stride, count) = if op == Op::Store { (0, 1) } else { (stride, count >> 12) };
            Entry { stride, count, ..entry(op, What::Structure(structure), at, value) }
        },
    );
    prop_oneof![register, memory]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_log_ends_in_a_report(
        entries in proptest::collection::vec(any_entry(), 0..200),
        idr: [u32; 3],
        cr0: u32,
        config: u32,
        is_whole: bool,
    ) {
        let [idr0, idr1, idr3] = idr;
        let found = Found { idr0, idr1, idr3, cr0, cr0ack: cr0, strtab_base_cfg: config, ..enabled() };
        let report = check(&[found], Coverage::ALL, &entries, is_whole);
        prop_assert_eq!(report.entries, entries.len() as u64);
        for found in &report.found {
            prop_assert!(found.entries.iter().all(|at| *at < report.entries));
        }
    }
}
