extern crate std;
use super::*;
use crate::fake::{Fake, FakeFrames};
use crate::spec::registers::Idr5;
use addr::Iova;
use std::vec;

const SMMU: SmmuIndex = SmmuIndex(0);
const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
/// A GiB with a hole of 4 MiB, a whole one, and one behind 512 GiB.
const MEMORY: [Range<u64>; 3] = [GIB..GIB + 600 * MIB, GIB + 604 * MIB..3 * GIB, 512 * GIB..513 * GIB];

fn geometry(oas: u8, k4: bool) -> Geometry {
    Geometry::identity(Idr5::new().with_oas(oas).with_gran4k(k4).with_gran64k(true)).unwrap()
}

/// Tables of one stream, and what they cost beyond what streams share.
fn tables(hw: &mut Fake, frames: &mut FakeFrames, geometry: Geometry, httu: Httu) -> (Marked, u64) {
    let mut shared = SharedTables::default();
    let mut identity = Identity::new(SMMU, geometry, httu, &MEMORY, &mut shared);
    let first = identity.tables(hw, frames, Memory::WriteBack).unwrap();
    let before = frames.free.start;
    identity.tables(hw, frames, Memory::WriteBack).unwrap();
    (first, frames.free.start - before)
}

#[test]
fn every_address_leads_to_itself_and_only_a_streams_own_flags_are_clear() {
    let mut hw = Fake::default();
    let (marked, cost) = tables(&mut hw, &mut FakeFrames::default(), geometry(4, true), Httu::Access);
    // Address, block, AttrIndx, access flag.
    let cases = [
        (0x0900_0000, GIB, Memory::Device, 0),
        (GIB, 2 * MIB, Memory::WriteBack, 0),
        (GIB + 601 * MIB, 2 * MIB, Memory::Device, 0),
        (GIB + 605 * MIB, 2 * MIB, Memory::WriteBack, 0),
        (2 * GIB + 5, GIB, Memory::WriteBack, 0),
        (513 * GIB, GIB, Memory::Device, 0),
        (1024 * GIB, GIB, Memory::Device, ACCESSED),
        ((1 << 44) - 1, GIB, Memory::Device, ACCESSED),
    ];
    for (address, bytes, memory, accessed) in cases {
        let leaf = marked.translation.walk(&mut hw, Iova(address)).unwrap().unwrap();
        assert_eq!((leaf.translate(Iova(address)), leaf.bytes), (PhysAddr(address), bytes), "{address:#x}");
        assert_eq!((leaf.descriptor >> 2 & 7, leaf.descriptor & ACCESSED), (memory as u64, accessed), "{address:#x}");
        assert!(leaf.readable && leaf.writable, "{address:#x}");
    }
    assert_eq!(marked.translation.walk(&mut hw, Iova(1 << 44)).unwrap(), None);
    // A root, two tables of 512 GiB, and one of the GiB that holds a hole.
    assert_eq!(cost, 4 * 4096);
}

#[test]
fn the_largest_granule_below_64k_blocks_of_a_gib_is_4k() {
    for (oas, k4, block) in [(0, true, GIB), (2, true, GIB), (4, false, 512 * MIB), (5, false, 512 * MIB)] {
        let mut hw = Fake::default();
        let mut frames = FakeFrames::default();
        let memory = [0..GIB, GIB..2 * GIB];
        let mut shared = SharedTables::default();
        let mut identity = Identity::new(SMMU, geometry(oas, k4), Httu::Access, &memory, &mut shared);
        let marked = identity.tables(&mut hw, &mut frames, Memory::NonCacheable).unwrap();
        let leaf = marked.translation.walk(&mut hw, Iova(GIB)).unwrap().unwrap();
        assert_eq!((leaf.bytes, leaf.descriptor >> 2 & 7), (block, Memory::NonCacheable as u64), "{oas}");
    }
}

#[test]
fn a_used_leaf_is_told_once_and_whether_it_was_written() {
    for (httu, written) in [(Httu::Access, None), (Httu::AccessAndDirty, Some(true))] {
        let mut hw = Fake::default();
        let (marked, _) = tables(&mut hw, &mut FakeFrames::default(), geometry(4, true), httu);
        let at = |hw: &mut Fake, address| marked.translation.walk(hw, Iova(address)).unwrap().unwrap();
        // As hardware marks a write, and a read.
        let (writes, reads) = (at(&mut hw, GIB + 605 * MIB), at(&mut hw, 2 * GIB));
        hw.poke(writes.descriptor_at, writes.descriptor & !READ_ONLY | ACCESSED);
        hw.poke(reads.descriptor_at, reads.descriptor | ACCESSED);
        let mut told = vec![];
        assert_eq!(marked.collect(&mut hw, &mut |touched| told.push(touched)), Ok(true));
        let address = PhysAddr(GIB + 604 * MIB);
        let wrote = Touched { address, bytes: 2 * MIB, written };
        let read = Touched { address: PhysAddr(2 * GIB), bytes: GIB, written: written.map(|_| false) };
        told.sort_unstable_by_key(|touched| touched.address);
        assert_eq!(told, [wrote, read]);
        assert_eq!((at(&mut hw, GIB + 605 * MIB), at(&mut hw, 2 * GIB)), (writes, reads));
        assert_eq!(marked.collect(&mut hw, &mut |_| panic!("told twice")), Ok(false));
    }
}

#[test]
fn without_memory_there_are_no_tables() {
    let mut frames = FakeFrames::default();
    frames.free.end = frames.free.start + 0x2000;
    let mut shared = SharedTables::default();
    let mut identity = Identity::new(SMMU, geometry(4, true), Httu::Access, &MEMORY, &mut shared);
    let error = identity.tables(&mut Fake::default(), &mut frames, Memory::WriteBack).unwrap_err();
    assert_eq!(error, MapError::OutOfMemory(0x1000));
}
