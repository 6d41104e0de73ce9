extern crate std;
use super::*;
use crate::access::SmmuIndex;
use crate::fake::{Fake, FakeFrames, RAM};
use crate::log::{Log, Logged, What};
use crate::spec::registers::Idr5;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::vec::Vec;

const SMMU: SmmuIndex = SmmuIndex(0);
const RW: Attributes = Attributes { memory: Memory::WriteBack, read_only: false };

fn qemu() -> Geometry {
    Geometry::choose(Idr5::from(0x74), Stage::One).unwrap()
}

fn leaves(hw: &mut Fake, tables: &Tables) -> Vec<Leaf> {
    let mut all = Vec::new();
    tables.for_each_leaf(hw, &mut Budget::new(1 << 24), &mut |leaf| all.push(leaf)).unwrap();
    all
}

#[test]
fn four_levels_are_written_as_the_architecture_lays_them_out() {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let tables = Translation::new(SMMU, qemu(), &mut frames).unwrap();
    let root = tables.root();
    assert!(root.is_aligned(4096));
    tables.map(&mut hw, &mut frames, Iova(0x80_4060_3000), PhysAddr(0x5000_0000), 0x1000, RW).unwrap();
    let (level1, level2, level3) = (root.plus(0x1000), root.plus(0x2000), root.plus(0x3000));
    assert_eq!(hw.peek(root.plus(8)), level1.0 | 3, "bits 47:39 are 1");
    assert_eq!(hw.peek(level1.plus(8)), level2.0 | 3, "bits 38:30 are 1");
    assert_eq!(hw.peek(level2.plus(3 * 8)), level3.0 | 3, "bits 29:21 are 3");
    // nG, AF, inner shareable, AP[1], AttrIndx 0, page.
    assert_eq!(hw.peek(level3.plus(3 * 8)), 0x5000_0000 | 1 << 11 | 1 << 10 | 3 << 8 | 1 << 6 | 3);
    assert_eq!(hw.memory().len(), 4);
}

#[test]
fn attributes_reach_the_descriptor() {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let tables = Translation::new(SMMU, qemu(), &mut frames).unwrap();
    let attributes = Attributes { memory: Memory::NonCacheable, read_only: true };
    tables.map(&mut hw, &mut frames, Iova(0), PhysAddr(0x5000_0000), 0x1000, attributes).unwrap();
    let leaf = tables.walk(&mut hw, Iova(0xFFF)).unwrap().unwrap();
    assert_eq!(leaf.descriptor, 0x5000_0000 | 1 << 11 | 1 << 10 | 3 << 8 | 0b11 << 6 | 1 << 2 | 3);
    assert!(leaf.readable && !leaf.writable);
    assert_eq!(MAIR0 >> (8 * Memory::NonCacheable as u32) & 0xFF, 0x44);
}

#[test]
fn stage_2_descriptors_have_types_and_permissions_of_their_own() {
    let geometry = Geometry::choose(Idr5::from(0x74), Stage::Two).unwrap();
    for (memory, memattr) in [(Memory::WriteBack, 0xF), (Memory::NonCacheable, 5), (Memory::Device, 1)] {
        for (read_only, s2ap) in [(false, 3), (true, 1)] {
            let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
            let tables = Translation::new(SMMU, geometry, &mut frames).unwrap();
            let attributes = Attributes { memory, read_only };
            tables.map(&mut hw, &mut frames, Iova(0), PhysAddr(0x5000_0000), 0x1000, attributes).unwrap();
            let leaf = tables.walk(&mut hw, Iova(0xFFF)).unwrap().unwrap();
            // AF, inner shareable, S2AP, MemAttr, page; bit 11 is no nG here.
            assert_eq!(leaf.descriptor, 0x5000_0000 | 1 << 10 | 3 << 8 | s2ap << 6 | memattr << 2 | 3);
            assert_eq!((leaf.readable, leaf.writable), (true, !read_only));
        }
    }
    // S2AP 0b10: writes alone.
    assert_eq!(geometry.permissions(0b10 << 6), (false, true));
}

#[test]
fn stage_2_begins_where_the_output_range_lets_it() {
    // Granule, OAS: input bits, first level, S2SL0, bytes of the first table.
    for (granule, oas, wanted) in [
        (Granule::K4, 0, (32, 1, 1, 32)),
        (Granule::K4, 2, (39, 1, 1, 0x1000)),
        (Granule::K4, 3, (39, 1, 1, 0x1000)),
        (Granule::K4, 4, (44, 0, 2, 0x100)),
        (Granule::K4, 5, (48, 0, 2, 0x1000)),
        (Granule::K4, 6, (48, 0, 2, 0x1000)),
        (Granule::K16, 2, (36, 2, 1, 0x4000)),
        (Granule::K16, 3, (42, 1, 2, 0x200)),
        (Granule::K16, 5, (47, 1, 2, 0x4000)),
        (Granule::K64, 0, (32, 2, 1, 64)),
        (Granule::K64, 3, (42, 2, 1, 0x1_0000)),
        (Granule::K64, 4, (44, 1, 2, 32)),
        (Granule::K64, 6, (48, 1, 2, 512)),
    ] {
        let idr5 = Idr5::new().with_oas(oas);
        let idr5 = match granule {
            Granule::K4 => idr5.with_gran4k(true),
            Granule::K16 => idr5.with_gran16k(true),
            Granule::K64 => idr5.with_gran64k(true),
        };
        let found = Geometry::choose(idr5, Stage::Two).unwrap();
        let shape = (found.input_bits(), found.start_level(), found.s2sl0(), found.root_bytes());
        assert_eq!(shape, wanted, "{granule:?}, OAS {oas}");
        assert!(found.input_bits() <= address_bits(oas));
    }
}

#[test]
fn a_first_level_other_than_the_usual_needs_tables_that_exist() {
    let geometry = |stage, bits| Geometry::new(stage, Granule::K4, bits, 44).unwrap();
    // 43 bits from level 1: 16 tables at stage 2; 44 would be 32.
    let concatenated = geometry(Stage::Two, 43).with_start_level(1).unwrap();
    assert_eq!((concatenated.root_bytes(), concatenated.entries(1)), (0x1_0000, 0x2000));
    assert_eq!(geometry(Stage::Two, 44).with_start_level(1), None);
    assert_eq!(geometry(Stage::One, 43).with_start_level(1), None, "stage 1 has no concatenation");
    assert_eq!(geometry(Stage::Two, 39).with_start_level(0), None, "no bit is left for level 0");
    assert_eq!(geometry(Stage::Two, 39).with_start_level(4), None);
}

#[test]
fn a_new_table_is_published_before_it_is_linked() {
    let (mut hw, mut frames, mut log) = (Fake::default(), FakeFrames::default(), Log::with_capacity(64));
    let tables = Translation::new(SMMU, qemu(), &mut frames).unwrap();
    tables.map(&mut Logged::new(&mut hw, &mut log), &mut frames, Iova(0), PhysAddr(0x5000_0000), 0x1000, RW).unwrap();
    let entries = log.entries();
    let is_barrier = |i: usize| entries[i].what == What::Barrier(Barrier::PublishStructure);
    let stores: Vec<usize> = (0..entries.len()).filter(|i| entries[*i].op.is_write()).collect();
    assert_eq!(stores.len(), 4);
    assert!(stores[..3].iter().all(|store| is_barrier(store - 1)));
    assert!(is_barrier(entries.len() - 1));
}

#[test]
fn wrong_ranges_are_refused_and_nothing_is_written() {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let tables = Translation::new(SMMU, qemu(), &mut frames).unwrap();
    let mut map = |iova, pa, bytes| tables.map(&mut hw, &mut frames, Iova(iova), PhysAddr(pa), bytes, RW).unwrap_err();
    assert!(matches!(map(0x800, 0, 0x1000), MapError::Misaligned { what: "IOVA", value: 0x800, granule: 0x1000 }));
    assert!(matches!(map(0, 0x10, 0x1000), MapError::Misaligned { what: "physical address", .. }));
    assert!(matches!(map(0, 0, 0x10), MapError::Misaligned { what: "length", .. }));
    assert_eq!(map(0, 0, 0), MapError::Empty(Iova(0)));
    assert!(matches!(map(1 << 48, 0, 0x1000), MapError::InputRange { bits: 48, .. }));
    assert!(matches!(map((1 << 48) - 0x1000, 0, 0x2000), MapError::InputRange { .. }));
    assert!(matches!(map(u64::MAX - 0xFFF, 0, 0x2000), MapError::InputRange { .. }));
    assert!(matches!(map(0, 1 << 44, 0x1000), MapError::OutputRange { bits: 44, .. }));
    assert!(matches!(map(0, u64::MAX - 0xFFF, 0x1000), MapError::OutputRange { .. }));
    assert!(hw.memory().is_empty());
}

#[test]
fn a_range_that_is_mapped_in_part_is_refused_whole() {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let tables = Translation::new(SMMU, qemu(), &mut frames).unwrap();
    tables.map(&mut hw, &mut frames, Iova(0x3000), PhysAddr(0x5000_0000), 0x1000, RW).unwrap();
    let before = hw.memory().clone();
    let refused = tables.map(&mut hw, &mut frames, Iova(0x1000), PhysAddr(0x6000_0000), 0x4000, RW);
    assert_eq!(refused, Err(MapError::Overlap { iova: Iova(0x3000), pa: PhysAddr(0x5000_0000) }));
    assert_eq!(tables.unmap(&mut hw, Iova(0x3000), 0x2000), Err(MapError::NotMapped(Iova(0x4000))));
    assert_eq!(*hw.memory(), before);
}

#[test]
fn a_block_is_found_and_not_split() {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let tables = Translation::new(SMMU, qemu(), &mut frames).unwrap();
    tables.map(&mut hw, &mut frames, Iova(0x20_0000), PhysAddr(0x5000_0000), 0x1000, RW).unwrap();
    let page = tables.walk(&mut hw, Iova(0x20_0000)).unwrap().unwrap();
    // The same level-2 table, first entry: a 2 MiB block at the first 2 MiB.
    let level2 = PhysAddr(page.descriptor_at.0 - 0x1000);
    hw.poke(level2, 0x6000_0000 | 1 << 10 | 1 << 6 | 1);
    let block = tables.walk(&mut hw, Iova(0x1_2345)).unwrap().unwrap();
    assert_eq!((block.iova, block.pa, block.bytes), (Iova(0), PhysAddr(0x6000_0000), 0x20_0000));
    assert_eq!(block.translate(Iova(0x1_2345)), PhysAddr(0x6001_2345));
    let refused = tables.unmap(&mut hw, Iova(0x1000), 0x1000);
    assert_eq!(refused, Err(MapError::Block { iova: Iova(0), bytes: 0x20_0000 }));
    assert_eq!(leaves(&mut hw, tables.tables()).len(), 2);
}

#[test]
fn memory_that_runs_out_is_an_error() {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let tables = Translation::new(SMMU, qemu(), &mut frames).unwrap();
    frames.free.end = frames.free.start + 0x1000;
    let refused = tables.map(&mut hw, &mut frames, Iova(0), PhysAddr(0x5000_0000), 0x1000, RW);
    assert_eq!(refused, Err(MapError::OutOfMemory(0x1000)));
}

#[test]
fn a_table_outside_memory_is_an_error() {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let tables = Translation::new(SMMU, qemu(), &mut frames).unwrap();
    hw.poke(tables.root(), 0x1_0000_0000 | 3);
    assert_eq!(tables.walk(&mut hw, Iova(0)), Err(Unbacked(PhysAddr(0x1_0000_0000))));
}

#[test]
fn tables_that_loop_end_by_the_budget() {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let tables = Translation::new(SMMU, qemu(), &mut frames).unwrap();
    for index in 0..512 {
        hw.poke(tables.root().plus(index * 8), tables.root().0 | 3);
    }
    let result = tables.tables().for_each_leaf(&mut hw, &mut Budget::new(1 << 16), &mut |_| {});
    assert_eq!(result, Err(WalkError::OverBudget(OverBudget { limit: 1 << 16 })));
}

#[test]
fn geometry_follows_idr5() {
    let choose = |gran4k, gran16k, gran64k, oas| {
        Geometry::choose(
            Idr5::new().with_gran4k(gran4k).with_gran16k(gran16k).with_gran64k(gran64k).with_oas(oas),
            Stage::One,
        )
    };
    assert_eq!(choose(false, false, false, 4), None);
    let small = choose(true, true, true, 4).unwrap();
    assert_eq!((small.granule(), small.start_level(), small.output_bits(), small.ips()), (Granule::K4, 0, 44, 4));
    let large = choose(false, false, true, 6).unwrap();
    assert_eq!((large.granule(), large.start_level(), large.output_bits(), large.ips()), (Granule::K64, 1, 48, 5));
    assert_eq!(large.root_bytes(), 64 * 8);
    let middle = choose(false, true, false, 0).unwrap();
    assert_eq!((middle.granule(), middle.start_level(), middle.root_bytes(), middle.ips()), (Granule::K16, 0, 64, 0));
    assert_eq!(Geometry::new(Stage::One, Granule::K4, 49, 48), None);
    assert_eq!(Geometry::new(Stage::One, Granule::K64, 16, 48), None);
}

#[test]
fn reserved_descriptors_fault() {
    let g = qemu();
    assert_eq!(g.decode(3, 0x5000_0001), Decoded::Invalid, "0b01 at level 3");
    assert_eq!(g.decode(0, 0x5000_0001), Decoded::Invalid, "a block at level 0");
    assert_eq!(g.decode(1, 1 << 44 | 3), Decoded::Invalid, "past the output range");
    assert_eq!(g.decode(1, 2), Decoded::Invalid);
    assert_eq!(g.decode(1, 0x4000_0001), Decoded::Leaf(PhysAddr(0x4000_0000)));
    let big = g.with_big_endian(true);
    assert_eq!(big.decode(3, 0x5000_0003_u64.swap_bytes()), Decoded::Leaf(PhysAddr(0x5000_0000)));
    let lpa = Geometry::new(Stage::One, Granule::K64, 52, 52).unwrap();
    assert_eq!(lpa.decode(3, 0x5001_A003), Decoded::Leaf(PhysAddr(0xA_0000_5001_0000)));
}

#[derive(Clone, Debug)]
struct Step {
    unmap: bool,
    page: u64,
    pages: u64,
    target: u64,
}

fn step() -> impl Strategy<Value = Step> {
    // Pages near the ends of tables of each level, so that ranges cross them.
    let page = prop_oneof![0_u64..40, 500_u64..530, 0x3FFF0_u64..0x40010, 0x7FF_FFF0_u64..0x800_0010];
    (any::<bool>(), page, 1_u64..40, 0_u64..0x1000).prop_map(|(unmap, page, pages, target)| Step {
        unmap,
        page,
        pages,
        target,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn tables_agree_with_a_map_of_pages(
        steps in prop::collection::vec(step(), 1..24), granule in 0_u8..3, is_stage2: bool,
    ) {
        let granule = Granule::from_tg0(granule).unwrap();
        let stage = if is_stage2 { Stage::Two } else { Stage::One };
        let geometry = Geometry::new(stage, granule, 48, 44).unwrap();
        let unit = granule.bytes();
        let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
        let tables = Translation::new(SMMU, geometry, &mut frames).unwrap();
        let mut model = BTreeMap::new();
        for Step { unmap, page, pages, target } in steps {
            let present = (page..page + pages).filter(|p| model.contains_key(p)).count() as u64;
            if unmap {
                let result = tables.unmap(&mut hw, Iova(page * unit), pages * unit);
                prop_assert_eq!(result.is_ok(), present == pages);
                if result.is_ok() {
                    (page..page + pages).for_each(|p| { model.remove(&p); });
                }
            } else {
                let pa = PhysAddr(RAM.start + target * unit);
                let result = tables.map(&mut hw, &mut frames, Iova(page * unit), pa, pages * unit, RW);
                prop_assert_eq!(result.is_ok(), present == 0);
                if result.is_ok() {
                    model.extend((0..pages).map(|i| (page + i, pa.0 + i * unit)));
                }
            }
            for p in page.saturating_sub(1)..page + pages + 1 {
                let leaf = tables.walk(&mut hw, Iova(p * unit + 8)).unwrap();
                prop_assert_eq!(leaf.map(|l| l.pa.0), model.get(&p).copied());
            }
        }
        let found: BTreeMap<u64, u64> = leaves(&mut hw, tables.tables()).iter().map(|l| (l.iova.0 / unit, l.pa.0)).collect();
        prop_assert_eq!(found, model);
        prop_assert!(hw.stray_stores.is_empty());
    }

    #[test]
    fn a_walk_over_any_words_ends(words in prop::collection::vec((0_u64..512, any::<u64>()), 0..64), iova: u64) {
        let mut hw = Fake::default();
        let tables = Tables { smmu: SMMU, root: PhysAddr(RAM.start), geometry: qemu(), base: Iova(0) };
        for (index, word) in words {
            hw.poke(tables.root.plus(index * 8), word);
        }
        let _ = tables.lookup(&mut hw, Iova(iova));
        let _ = tables.for_each_leaf(&mut hw, &mut Budget::new(1 << 16), &mut |_| {});
    }
}
