use super::*;
use proptest::prelude::*;

fn found(prepare: impl FnOnce(&mut Fake)) -> Result<(Vec<u16>, Vec<u16>), Refusal> {
    let mut fake = crashed();
    // 12 SubstreamID bits.
    fake.unit(SMMU).set(reg::IDR1, 0x0273_0010 | 12 << 6);
    prepare(&mut fake);
    let taken = take(Policy::Adopt, &mut fake, &PLAIN).0.expect("either way");
    let ids = |set: &IdSet| set.iter().collect::<Vec<_>>();
    taken.refusal.map_or(Ok((ids(&taken.reserved.asids), ids(&taken.reserved.vmids))), Err)
}

fn cd(asid: u64) -> u64 {
    asid << 48 | 1 << 31
}

#[test]
fn linear_cd_table() {
    let table = PhysAddr(0x4100_0000);
    let s1 = 0b1011 | table.0 | 4 << 59;
    let result = found(|fake| {
        fake.poke(ste(1), s1);
        for (index, asid) in [(0, 7), (3, 0xFFFF), (15, 7)] {
            fake.poke(table.plus(index * 64), cd(asid));
        }
        // Not valid, and outside.
        fake.poke(table.plus(5 * 64), 9 << 48);
        fake.poke(table.plus(16 * 64), cd(99));
    });
    assert_eq!(result, Ok(([2, 3, 7, 0xFFFF].into(), [].into())));
    let misaligned = 0b1011 | (table.0 + 0x40) | 4 << 59;
    let refusal = Refusal { rule: Rule::CdTableAlignment, place: Place::Memory(ste(1)), value: misaligned };
    assert_eq!(found(|fake| fake.poke(ste(1), misaligned)), Err(refusal));
}

#[test]
fn two_level_cd_table() {
    let table = PhysAddr(0x4100_0000);
    let leaf = PhysAddr(0x4101_0000);
    let s1 = 0b1011 | 2 << 4 | table.0 | 12 << 59;
    let prepare = |fake: &mut Fake, descriptor: u64| {
        fake.poke(ste(1), s1);
        // Leaves 0, 1 and 3 were never needed.
        fake.poke(table.plus(16), descriptor);
        fake.poke(leaf, cd(20));
        fake.poke(leaf.plus(1023 * 64), cd(21));
    };
    assert_eq!(found(|fake| prepare(fake, leaf.0 | 1)), Ok(([2, 3, 20, 21].into(), [].into())));
    for descriptor in [1, (leaf.0 + 0x1000) | 1] {
        let refusal = Refusal { rule: Rule::CdLeaf, place: Place::Memory(table.plus(16)), value: descriptor };
        assert_eq!(found(|fake| prepare(fake, descriptor)), Err(refusal));
    }
}

#[test]
fn s1fmt_is_ignored_with_one_cd() {
    let at = PhysAddr(0x4100_0040);
    let result = found(|fake| {
        fake.poke(ste(1), 0b1011 | 2 << 4 | at.0);
        fake.poke(at, cd(50));
    });
    assert_eq!(result, Ok(([2, 3, 50].into(), [].into())));
}

#[test]
fn stage_2_and_nested_reserve_the_vmid_only() {
    let result = found(|fake| {
        fake.poke(ste(1), 0b1101);
        fake.poke(ste(1).plus(16), 5);
        // The guest's CD table is at an IPA, which is no memory here.
        fake.poke(ste(2), 0b1111 | 0x1000);
        fake.poke(ste(2).plus(16), 0xFFFF);
    });
    assert_eq!(result, Ok(([2, 3].into(), [5, 0xFFFF].into())));
}

#[test]
fn invalid_abort_and_bypass_entries_are_skipped() {
    let result = found(|fake| {
        fake.poke(ste(0x10), 0xFFFF_FFFF_FFFF_FFFE);
        fake.poke(ste(0x11), 0b0001 | 0x1000);
        fake.poke(ste(0x12), 0b1001 | 0x1000);
    });
    assert_eq!(result, Ok(([3].into(), [].into())));
}

#[test]
fn asid_and_vmid_bounds() {
    let at = CDS.plus(2 * 64);
    for (asid, asid16) in [(0, true), (0, false), (0x100, false)] {
        let result = found(|fake| {
            fake.unit(SMMU).edit_idr0(|idr0| idr0.with_asid16(asid16));
            fake.poke(at, cd(asid));
        });
        assert_eq!(result, Err(Refusal { rule: Rule::Asid, place: Place::Memory(at), value: cd(asid) }));
    }
    let at = ste(1).plus(16);
    for (vmid, vmid16) in [(0, true), (0, false), (0x100, false)] {
        let result = found(|fake| {
            fake.unit(SMMU).edit_idr0(|idr0| idr0.with_vmid16(vmid16));
            fake.poke(ste(1), 0b1101);
            fake.poke(at, vmid);
        });
        assert_eq!(result, Err(Refusal { rule: Rule::Vmid, place: Place::Memory(at), value: vmid }));
    }
}

#[test]
fn the_scan_is_bounded() {
    let refusal = found(|fake| {
        // 2^20 CDs in each of 256 streams.
        fake.unit(SMMU).set(reg::IDR1, 0x0273_0010 | 20 << 6);
        for stream in 0..256 {
            fake.poke(ste(stream), 0b1011 | 0x4400_0000 | 20 << 59);
        }
    });
    assert_eq!(refusal.map_err(|refusal| refusal.rule), Err(Rule::ScanTooLong));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_anywhere_ends_in_a_decision(
        words in proptest::collection::vec((0_u64..0x2_0000 / 8, any::<u64>()), 1..40),
        config: u32,
        base in prop_oneof![Just(STRTAB_BASE), any::<u64>()],
        keep_config: bool,
    ) {
        let mut fake = crashed();
        for (index, word) in words {
            fake.poke(L1.plus(index * 8), word);
        }
        if !keep_config {
            fake.unit(SMMU).set(reg::STRTAB_BASE_CFG, config);
        }
        fake.unit(SMMU).set64(reg::STRTAB_BASE, base);
        let old = fake.memory().clone();
        let (taken, trace) = take(Policy::Adopt, &mut fake, &PLAIN);
        let taken = taken.expect("adopted or reset");
        prop_assert_eq!(taken.refusal.is_some(), taken.did == Policy::Reset);
        prop_assert!(old.iter().all(|(at, word)| fake.peek(PhysAddr(*at)) == *word));
        if taken.did == Policy::Adopt {
            prop_assert!(written(&trace, "CR0").iter().all(|value| ["0x1", "0x9"].contains(value)));
            let never = ["STRTAB_BASE", "STRTAB_BASE_CFG", "CR1", "CR2", "GBPA"];
            prop_assert!(!writes(&trace).iter().any(|row| never.contains(&row.split(' ').nth(1).unwrap_or(""))));
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in(ids in proptest::collection::btree_set(any::<u16>(), 0..50)) {
        let mut set = IdSet::default();
        for id in &ids {
            set.insert(*id);
        }
        prop_assert_eq!(set.iter().collect::<Vec<_>>(), ids.iter().copied().collect::<Vec<_>>());
        prop_assert_eq!((set.len() as usize, set.is_empty()), (ids.len(), ids.is_empty()));
    }
}
