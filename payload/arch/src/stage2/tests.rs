use alloc::vec::Vec;

use super::*;

/// ID_AA64MMFR0_EL1 of a Neoverse N1 (48 bits), a Cortex-A72 (44) and one of 40 bits; TGran4 is there.
const BITS: [(u64, u32); 3] = [(5, 48), (4, 44), (2, 40)];
const AT: PhysAddr = PhysAddr(0x4800_0000);

#[derive(Default)]
struct Counted(usize);

impl Tlb for Counted {
    fn invalidate(&mut self) {
        self.0 += 1;
    }
}

fn tables(number: usize) -> Vec<Table> {
    (0..number).map(|_| core::array::from_fn(|_| AtomicU64::new(u64::MAX))).collect()
}

/// What a walk as DDI 0487 D8.2 describes it, written anew here, finds: the output address and S2AP; `None`: a fault.
fn translated(map: &Stage2<'_>, tables: &[Table], address: u64) -> Option<(u64, u64)> {
    let (t0sz, sl0) = (map.vtcr() & 0x3f, map.vtcr() >> 6 & 3);
    assert!(address < 1 << (64 - t0sz));
    let mut table = ((map.vttbr() & ADDRESS) - AT.0) / 4096;
    for level in (2 - sl0) as u32..4 {
        let shift = 39 - 9 * level;
        let mask = if level == (2 - sl0) as u32 { u64::MAX } else { 0x1ff };
        let index = address >> shift & mask;
        let entry = tables[(table + index / 512) as usize][(index % 512) as usize].load(Ordering::Relaxed);
        if entry & 1 == 0 {
            return None;
        }
        if level == 3 || entry & 2 == 0 {
            assert_eq!(entry & (0xf << 2 | 3 << 8 | 1 << 10), NORMAL);
            assert!(level != 3 || entry & 2 != 0);
            let low = (1 << shift) - 1;
            return Some((entry & ADDRESS & !low | address & low, entry >> 6 & 3));
        }
        table = ((entry & ADDRESS) - AT.0) / 4096;
    }
    None
}

#[test]
fn what_the_guest_turns_to_is_mapped_to_itself_in_blocks() {
    for (mmfr0, bits) in BITS {
        let tables = tables(20);
        assert_eq!(root_bytes(mmfr0), if bits == 40 { 8192 } else { 4096 });
        let mut map = Stage2::new(&tables, AT, mmfr0).unwrap();
        let mut tlb = Counted::default();
        for address in [0x4000_1234, 0x80_0000_0010, (1 << bits) - 8] {
            assert_eq!(translated(&map, &tables, address), None);
            assert_eq!(map.fault(PhysAddr(address), &mut tlb), Ok(true));
            assert_eq!(translated(&map, &tables, address), Some((address, 3)));
            let neighbour = address ^ 1 << 29;
            assert_eq!(translated(&map, &tables, neighbour), Some((neighbour, 3)));
            // Mapped already: it is no fault of ours.
            assert_eq!(map.fault(PhysAddr(address), &mut tlb), Ok(false));
        }
        assert_eq!(tlb.0, 3);
        let beyond = PhysAddr(1 << bits);
        assert_eq!(map.fault(beyond, &mut tlb), Err(Stage2Error::Beyond { address: beyond, bits }));
    }
}

#[test]
fn a_watched_page_changes_none_of_its_neighbours() {
    for (mmfr0, _) in BITS {
        let tables = tables(20);
        let mut map = Stage2::new(&tables, AT, mmfr0).unwrap();
        let mut tlb = Counted::default();
        // One in a block that is in use, one where nothing is mapped yet.
        map.fault(PhysAddr(0x5e00_0000), &mut tlb).unwrap();
        let before = tlb.0;
        map.set_guest(PhysAddr(0x5e00_0800), 0x1000, Guest::ReadOnly, &mut tlb).unwrap();
        assert_eq!(tlb.0 - before, 3, "broken at two levels before it is made, and told in the end");
        map.set_guest(PhysAddr(0x905_0000), 0x2_0000, Guest::Closed, &mut tlb).unwrap();
        for (address, wanted) in [
            (0x5dff_fff8, Some(3)),
            (0x5e00_0000, Some(1)),
            (0x5e00_1ff8, Some(1)),
            (0x5e00_2000, Some(3)),
            (0x7fff_fff8, Some(3)),
            (0x905_0000, None),
            (0x906_fff8, None),
        ] {
            let found = translated(&map, &tables, address);
            assert_eq!(found, wanted.map(|allowed| (address, allowed)), "{address:#x}");
        }
        // A closed page is no page that was never mapped.
        assert_eq!(map.fault(PhysAddr(0x906_0000), &mut tlb), Ok(false));
        map.set_guest(PhysAddr(0x905_0000), 0x1000, Guest::Open, &mut tlb).unwrap();
        assert_eq!(translated(&map, &tables, 0x905_0010), Some((0x905_0010, 3)));
    }
}

#[test]
fn what_lies_beside_a_page_that_is_closed_first_is_reachable() {
    let tables = tables(20);
    let mut map = Stage2::new(&tables, AT, 5).unwrap();
    let mut tlb = Counted::default();
    map.set_guest(PhysAddr(0x905_0000), 0x1000, Guest::Closed, &mut tlb).unwrap();
    // The console's page, in the same block of 1 GiB.
    for address in [0x900_0000, 0x904_f000, 0x905_1000, 0x3fff_f000] {
        let _ = map.fault(PhysAddr(address), &mut tlb);
        assert_eq!(translated(&map, &tables, address), Some((address, 3)), "{address:#x}");
    }
    assert_eq!(translated(&map, &tables, 0x905_0000), None);
}

#[test]
fn what_is_allowed_is_what_a_walk_finds_until_all_is_closed() {
    for (mmfr0, bits) in BITS {
        let tables = tables(20);
        let mut map = Stage2::new(&tables, AT, mmfr0).unwrap();
        let mut tlb = Counted::default();
        map.set_guest(PhysAddr(0x5e00_0000), 0x1000, Guest::ReadOnly, &mut tlb).unwrap();
        map.set_guest(PhysAddr(0x905_0000), 0x1000, Guest::Closed, &mut tlb).unwrap();
        map.fault(PhysAddr((1 << bits) - 8), &mut tlb).unwrap();
        let seen = [0x5e00_0010, 0x5e00_1000, 0x905_0000, 0x8000_0000, (1 << bits) - 8];
        let wanted = [Guest::ReadOnly, Guest::Open, Guest::Closed, Guest::Closed, Guest::Open];
        for (address, wanted) in seen.into_iter().zip(wanted) {
            assert_eq!(map.allowed(PhysAddr(address)), Ok(wanted), "{address:#x}");
        }
        let before = tlb.0;
        map.close_all(&mut tlb);
        assert_eq!(tlb.0 - before, 1);
        for address in seen {
            assert_eq!(translated(&map, &tables, address), None, "{address:#x}");
        }
    }
}

#[test]
fn without_room_or_granule_it_says_so() {
    let tables = tables(4);
    let mut map = Stage2::new(&tables, AT, 5).unwrap();
    let mut tlb = Counted::default();
    assert_eq!(map.set_guest(PhysAddr(0), 0x1000, Guest::Closed, &mut tlb), Ok(()));
    assert_eq!(map.fault(PhysAddr(1 << 40), &mut tlb), Err(Stage2Error::Full(4)));
    assert!(matches!(Stage2::new(&tables[..1], AT, 2), Err(Stage2Error::Full(1))));
    // TGran4_2: none; TGran4_2: as stage 1, which has none.
    for mmfr0 in [1 << 40 | 5, 0xf << 28 | 5] {
        assert!(matches!(Stage2::new(&tables, AT, mmfr0), Err(Stage2Error::Granule)));
    }
}
