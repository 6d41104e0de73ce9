//! What is watched, and what is refused.

use super::*;
use crate::fake::Kernel;
use proptest::prelude::*;
use smmu::checker::Profile;
use std::vec;

fn starts(witness: &Witness, owner: Owner) -> Vec<u64> {
    witness.tables().filter(|region| region.owner == owner).map(|region| region.target.start).collect()
}

#[test]
fn the_dead_kernels_tables_are_watched_from_the_start() {
    let (_, witness) = witness(&mut crashed());
    assert_eq!(starts(&witness, Owner::Dead), [L1, L2, CDS + 128, CDS + 192]);
    assert_eq!(starts(&witness, Owner::New), []);
    assert_eq!(witness.log().entries(), [], "nobody did anything yet");
    let pages: Vec<_> = witness.pages().collect();
    assert_eq!(pages.first().map(|page| (page.start, page.end)), Some((L1, L1 + 0x1000)));
    assert!(pages.contains(&(CDS..CDS + 0x1000)), "a CD lies on its page");
}

#[test]
fn what_is_in_use_is_told_and_a_new_cd_with_an_asid_of_it_is_noticed() {
    let mut fake = crashed();
    let (_, mut witness) = witness(&mut fake);
    witness.tell_found(&mut fake);
    let told = witness.log().entries().iter();
    let told: Vec<_> = told.map(|seen| (seen.entry.op, seen.entry.address, seen.entry.value, seen.how)).collect();
    let load = |at, value| (Op::Load, at, value, How::Snapshot);
    let ste = |stream: u64, asid: u64| {
        let words = [0b1011 | (CDS + asid * 64), 0xD6, 0, 0, 0, 0, 0, 0];
        words.into_iter().enumerate().map(move |(word, value)| load(L2 + stream * 64 + 8 * word as u64, value))
    };
    let asid = |asid: u64| load(CDS + asid * 64, asid << 48 | 1 << 31);
    let stes = ste(0x10, 2).chain(ste(0x18, 3));
    let wanted: Vec<_> = [load(L1, L2 | 9)].into_iter().chain(stes).chain([asid(2), asid(3)]).collect();
    assert_eq!(told, wanted);
    for (asid, expected) in [(2, &["adopt.identifier-reused"][..]), (300, &[])] {
        let mut kernel = Kernel::new();
        kernel.witness.tell_found(&mut kernel.hw);
        kernel.adopt_v7();
        kernel.adopted_attach(0x10, asid);
        assert_eq!(rules(&judged(kernel.found, &kernel.witness, false)), expected, "ASID {asid}");
    }
}

/// Reads of tables are not watched, and yet is known what a store changes.
#[test]
fn a_store_to_a_structure_that_was_told_is_judged() {
    let mut kernel = Kernel::new();
    kernel.witness.tell_found(&mut kernel.hw);
    kernel.adopt_v7();
    for value in [0, 0b1011 | (CDS + 2 * 64)] {
        kernel.store(L2 + 0x10 * 64, value);
    }
    let report = judged(kernel.found, &kernel.witness, false);
    assert!(rules(&report).contains(&"structure.invalid-not-synced"), "{:?}", rules(&report));
    assert_eq!(report.followed.values().next().and_then(|followed| followed.profile), Some(Profile::AdoptV7));
}

#[test]
fn an_smmu_that_is_off_has_no_tables() {
    let mut fake = crashed();
    fake.unit(SMMU).set(reg::CR0, 0);
    let (_, witness) = witness(&mut fake);
    assert_eq!(witness.tables().count(), 0);
}

#[test]
fn damaged_tables_end() {
    let mut fake = crashed();
    // A level-2 table that is its own level 1, one outside memory, a linear one of 2^31 CDs.
    fake.poke(PhysAddr(L1 + 8), L1 | 9);
    fake.poke(PhysAddr(L1 + 16), 0xF_FFFF_0000 | 9);
    fake.poke(PhysAddr(L2 + 0x20 * 64), 0b1011 | 0x4500_0000 | 31 << 59);
    let (_, witness) = witness(&mut fake);
    assert!(witness.is_partial());
    assert!(witness.tables().all(|region| region.target.bytes <= 4 << 20));
    assert!(starts(&witness, Owner::Dead).contains(&0x4500_0000));
}

#[test]
fn a_table_is_let_go_when_nothing_leads_to_it() {
    let mut fake = crashed();
    let (_, mut witness) = witness(&mut fake);
    let (level2, cds) = (0x6000_0000, 0x6001_0000);
    fake.poke(PhysAddr(level2), 0b1011 | cds);
    let before = witness.generation();
    let mut store = |witness: &mut Witness, at, value| witness.store(&mut fake, 0, PhysAddr(at), 8, value);
    assert_eq!(store(&mut witness, L1 + 8, level2 | 9), Ok(()));
    assert_eq!(starts(&witness, Owner::New), [level2, cds]);
    assert_ne!(witness.generation(), before);
    assert_eq!(store(&mut witness, L1 + 8, 0), Ok(()));
    assert_eq!(starts(&witness, Owner::New), []);
    // Of the dead kernel nothing is let go.
    assert_eq!(store(&mut witness, L1, 0), Ok(()));
    assert_eq!(starts(&witness, Owner::Dead), [L1, L2, CDS + 128, CDS + 192]);
}

#[test]
fn the_registers_lead_to_a_new_table_in_any_order_and_width() {
    let table = 0x6100_0000;
    let (base, config) = ((reg::STRTAB_BASE, 8, table), (reg::STRTAB_BASE_CFG, 4, 0x1_0210));
    let halves = [(reg::STRTAB_BASE, 4, table), (reg::STRTAB_BASE + 4, 4, 0)];
    let orders =
        [vec![base, config], vec![config, base], vec![config, halves[0], halves[1]], vec![base, (reg::CR0, 4, 1)]];
    for order in orders {
        let mut fake = crashed();
        fake.poke(PhysAddr(table + 16), 0x6200_0000 | 9);
        let (_, mut witness) = witness(&mut fake);
        let mut write = |witness: &mut Witness, (offset, bytes, value)| {
            witness.store(&mut fake, 0, PhysAddr(FRAME + u64::from(offset)), bytes, value)
        };
        assert_eq!(write(&mut witness, (reg::CR0, 4, 0)), Ok(()));
        let last = order.len() - 1;
        for (index, access) in order.iter().enumerate() {
            assert_eq!(starts(&witness, Owner::New), [], "before {index} of {order:x?}");
            assert_eq!(write(&mut witness, *access), Ok(()));
        }
        assert_eq!(starts(&witness, Owner::New), [table, 0x6200_0000], "after {last} of {order:x?}");
    }
}

#[test]
fn only_the_first_word_of_an_ste_leads_on() {
    let mut fake = crashed();
    let (_, mut witness) = witness(&mut fake);
    // S2TTB, word 3, of a stream that looks like V and Config 5 with a pointer.
    for word in 1..8 {
        let at = PhysAddr(L2 + 0x40 * 64 + word * 8);
        assert_eq!(witness.store(&mut fake, 0, at, 8, 0b1011 | 0x6300_0000), Ok(()));
    }
    assert_eq!(starts(&witness, Owner::New), []);
}

#[test]
fn what_is_no_table_and_no_register_is_refused() {
    let mut fake = crashed();
    let (_, mut witness) = witness(&mut fake);
    let neighbour = CDS + 0x800;
    assert_eq!(witness.store(&mut fake, 0, PhysAddr(neighbour), 8, 1), Err(WatchError::Unwatched(neighbour)));
    assert_eq!(
        witness.load(&mut fake, 0, PhysAddr(FRAME + FRAME_BYTES), 4),
        Err(WatchError::Unwatched(FRAME + FRAME_BYTES))
    );
    for (offset, bytes) in [(0x20, 1), (0x20, 2), (0x22, 4), (0x84, 8), (0x20, 16)] {
        let illegal = Err(WatchError::Illegal { offset, bytes });
        assert_eq!(witness.load(&mut fake, 0, PhysAddr(FRAME + u64::from(offset)), bytes), illegal);
    }
    let crossing = Err(WatchError::Crossing { address: L1 + 6, bytes: 4 });
    assert_eq!(witness.store(&mut fake, 0, PhysAddr(L1 + 6), 4, 0), crossing);
    assert_eq!(witness.log().entries(), [], "nothing of it was carried out");
    assert_eq!(fake.peek(PhysAddr(neighbour)), 0);
}

proptest! {
    /// Narrow stores add up to what the same bytes in memory would be.
    #[test]
    fn narrow_stores_change_their_bytes_alone(
        stores in prop::collection::vec((0_u64..8, prop::sample::select(&[1_u8, 2, 4, 8][..]), any::<u64>()), 1..20),
    ) {
        let mut fake = crashed();
        let (_, mut witness) = witness(&mut fake);
        let at = L2 + 0x40 * 64 + 16;
        let mut bytes = [0_u8; 8];
        for (place, width, value) in stores {
            let place = place / u64::from(width) * u64::from(width);
            prop_assert_eq!(witness.store(&mut fake, 0, PhysAddr(at + place), width, value), Ok(()));
            let (place, width) = (place as usize, usize::from(width));
            bytes[place..place + width].copy_from_slice(&value.to_le_bytes()[..width]);
            prop_assert_eq!(fake.peek(PhysAddr(at)), u64::from_le_bytes(bytes));
            let narrow = u64::from_le_bytes(bytes) >> (8 * place);
            let loaded = witness.load(&mut fake, 0, PhysAddr(at + place as u64), width as u8);
            prop_assert_eq!(loaded, Ok(if width == 8 { narrow } else { narrow & ((1 << (8 * width)) - 1) }));
        }
    }

    /// Whatever the tables hold, a witness begins and its log stays bounded.
    #[test]
    fn arbitrary_tables_are_survived(words in prop::collection::vec((0_u64..256, any::<u64>()), 0..40), base: u64, config: u32) {
        let mut fake = crashed();
        for (index, word) in words {
            fake.poke(PhysAddr(L1 + index * 8), word);
        }
        let (_, mut witness) = witness(&mut fake);
        let at = |offset: u32| PhysAddr(FRAME + u64::from(offset));
        prop_assert_eq!(witness.store(&mut fake, 0, at(reg::STRTAB_BASE), 8, base & !7), Ok(()));
        prop_assert_eq!(witness.store(&mut fake, 0, at(reg::STRTAB_BASE_CFG), 4, (config & !0x30).into()), Ok(()));
        prop_assert!(witness.log().entries().len() < 1 << 14);
    }
}
