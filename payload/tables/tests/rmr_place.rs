//! Reserved memory ranges against a machine that is given as plain data.

#![expect(clippy::unwrap_used, reason = "the tables are made here")]

mod made;

use addr::{PhysAddr, StreamId};
use tables::Finding;
use tables::iort::amend::{RmrWish, amend, amended_len};
use tables::iort::rmr_place::{
    MemoryRange, Occupant, Passage, Place, check_devices, check_memory, check_passage, check_places,
};
use tables::iort::{Iort, disagreement};

const BASE: u64 = 0x5000_0000;
const BYTES: u64 = 0x2_0000;
/// Base of the SMMU in QEMU's table.
const SMMU: u64 = 0x0905_0000;

/// QEMU's table with a range for stream 0x10.
fn with_range(base: u64, bytes: u64) -> Vec<u8> {
    let firmware = made::IORTS[0];
    let smmu = Iort::parse(firmware, &mut |_| {}).unwrap().smmus().next().unwrap().node.offset;
    let wish = RmrWish { stream: StreamId(0x10), smmu, base: PhysAddr(base), bytes };
    let mut out = vec![0; amended_len(firmware)];
    let length = amend(firmware, &wish, &mut out).unwrap();
    out.truncate(length);
    out
}

fn found(bytes: &[u8], check: impl FnOnce(Iort<'_>, &mut dyn FnMut(Finding))) -> Vec<&'static str> {
    let mut ids = Vec::new();
    let iort = Iort::parse(bytes, &mut |_| {}).unwrap();
    check(iort, &mut |finding| {
        // The added node is the last: its places are behind the table's others.
        assert!(finding.offset.unwrap() >= 236 || finding.id() == "W_READINGS_DIFFER", "{finding}");
        ids.push(finding.id());
    });
    ids
}

fn memory(parts: &[(u64, u64, u32)]) -> Vec<&'static str> {
    let parts: Vec<MemoryRange> = parts
        .iter()
        .map(|(base, bytes, kind)| MemoryRange { base: PhysAddr(*base), bytes: *bytes, kind: *kind })
        .collect();
    found(&with_range(BASE, BYTES), |iort, sink| check_memory(iort, &parts, sink))
}

#[test]
fn memory_that_nobody_vouches_for_is_no_ram() {
    let is_ram = |kind| MemoryRange { base: PhysAddr(BASE), bytes: BYTES, kind }.is_ram();
    // Reserved, unusable, registers, PAL code, persistent, unaccepted, and types of vendors.
    let others = [0, 8, 11, 12, 13, 14, 15, 16, 0x7000_0000, 0x8000_0000, u32::MAX];
    assert_eq!(others.into_iter().filter(|kind| is_ram(*kind)).collect::<Vec<u32>>(), []);
    assert_eq!((0..=10).filter(|kind| !is_ram(*kind)).collect::<Vec<u32>>(), [0, 8]);
}

#[test]
fn range_lies_in_one_descriptor_of_a_kept_type() {
    assert_eq!(memory(&[(0x4000_0000, 0x1000_0000, 7), (BASE, BYTES, 0)]), [""; 0]);
    assert_eq!(memory(&[(BASE - 0x1000, BYTES + 0x2000, 6)]), [""; 0]);
    // Conventional memory, and memory of runtime services' code.
    assert_eq!(memory(&[(0x4000_0000, 0x8000_0000, 7)]), ["W_RMR_MEMORY_TYPE"]);
    assert_eq!(memory(&[(BASE, BYTES, 5)]), ["W_RMR_MEMORY_TYPE"]);
    assert_eq!(memory(&[(BASE, BYTES - 0x1000, 0), (BASE + BYTES - 0x1000, 0x1000, 0)]), ["W_RMR_MEMORY_SPLIT"]);
    assert_eq!(memory(&[(BASE + 0x1000, BYTES, 0)]), ["W_RMR_MEMORY_SPLIT"]);
    assert_eq!(memory(&[(BASE + BYTES, BYTES, 0), (0, BASE, 0)]), ["W_RMR_MEMORY_ABSENT"]);
    assert_eq!(memory(&[(BASE, 0, 0), (u64::MAX, 2, 0)]), ["W_RMR_MEMORY_ABSENT"], "descriptors that are none");
}

#[test]
fn range_lies_on_nothing_else() {
    let at = |base: u64, places: &[(u64, u64, Occupant)]| {
        let places: Vec<Place> = places
            .iter()
            .map(|(base, bytes, occupant)| Place { base: PhysAddr(*base), bytes: *bytes, occupant: *occupant })
            .collect();
        found(&with_range(base, BYTES), |iort, sink| check_places(iort, &places, sink))
    };
    let last = BASE + BYTES - 1;
    assert_eq!(at(BASE, &[(BASE + BYTES, 0x1000, Occupant::Its), (BASE - 1, 1, Occupant::Ecam)]), [""; 0]);
    assert_eq!(at(BASE, &[(last, 1, Occupant::Its)]), ["W_RMR_ON_ITS"]);
    assert_eq!(at(BASE, &[(0, u64::MAX, Occupant::Ecam)]), ["E_RMR_ON_ECAM"]);
    assert_eq!(at(BASE, &[(BASE, 1, Occupant::Mmio), (last, 1, Occupant::Kdump)]), ["W_RMR_ON_MMIO", "E_RMR_ON_KDUMP"]);
    // The table's own SMMU needs nobody to name it, and is told once; its second page only a caller knows.
    assert_eq!(at(SMMU, &[]), ["E_RMR_ON_SMMU"]);
    assert_eq!(at(SMMU, &[(SMMU, 0x2_0000, Occupant::Smmu)]), ["E_RMR_ON_SMMU"]);
    assert_eq!(at(SMMU + 0x1_0000, &[(SMMU, 0x2_0000, Occupant::Smmu)]), ["E_RMR_ON_SMMU"]);
    assert_eq!(at(SMMU + 0x2_0000, &[(SMMU, 0x2_0000, Occupant::Smmu)]), [""; 0]);
}

#[test]
fn range_belongs_to_a_device_that_is_there() {
    let bytes = with_range(BASE, BYTES);
    let there = |has: bool| {
        found(&bytes, |iort, sink| {
            let mut asked = |smmu: &tables::iort::Node<'_>, first, last| {
                assert_eq!(
                    (smmu.smmu_v3().unwrap().base, first, last),
                    (PhysAddr(SMMU), StreamId(0x10), StreamId(0x10))
                );
                has
            };
            check_devices(iort, &mut asked, sink);
        })
    };
    assert_eq!((there(true), there(false)), (vec![], vec!["W_RMR_NO_DEVICE"]));
}

#[test]
fn range_is_passed_unchanged() {
    let bytes = with_range(BASE, BYTES);
    let seen = |passage| {
        found(&bytes, |iort, sink| {
            check_passage(
                iort,
                &mut |_, stream, range| {
                    assert_eq!((stream, range.base, range.bytes), (StreamId(0x10), PhysAddr(BASE), BYTES));
                    passage
                },
                sink,
            );
        })
    };
    assert_eq!(seen(Passage::Whole), [""; 0]);
    assert_eq!(seen(Passage::BrokenAt(PhysAddr(BASE + 0x1000))), ["W_RMR_NOT_PASSED"]);
    assert_eq!(seen(Passage::Unknown), ["N_RMR_PASSAGE_UNKNOWN"]);
}

#[test]
fn device_that_two_readings_place_apart_is_named() {
    let iort = Iort::parse(made::IORTS[3], &mut |_| {}).unwrap();
    let complex = iort.root_complexes().next().unwrap().node;
    let of = |id| disagreement(&complex, &iort.resolve_from(&complex, id), &iort.resolve_from_as_linux(&complex, id));
    let shared =
        complex.mappings().find(|one| complex.mappings().any(|two| two.input_base == one.input_last())).unwrap();
    assert_eq!(of(shared.input_last()).unwrap().id(), "W_READINGS_DIFFER");
    assert_eq!(of(shared.input_last() - 1), None);
}
