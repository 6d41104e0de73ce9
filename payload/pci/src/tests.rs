extern crate std;
use crate::fake::FakeSpace;
use crate::*;
use addr::PhysAddr;
use proptest::prelude::*;
use std::vec::Vec;

pub(crate) const NIC: Bdf = Bdf::new(0, 0, 3, 0);

pub(crate) fn with_capabilities() -> FakeSpace {
    let mut space = FakeSpace::default();
    space.add(NIC, 0x8086, 0x10d3);
    space.put(NIC, 0x08, 0x0200_0001);
    space.put(NIC, 0x04, 0x0010_0000);
    space.put(NIC, 0x34, 0xc8);
    // Power management in D3hot with PME_Status, then PCI Express with No Snoop and Relaxed Ordering on.
    space.put(NIC, 0xc8, 0x0022_e001);
    space.put(NIC, 0xcc, 0x8003);
    space.put(NIC, 0xe0, 0x0002_0010);
    space.put(NIC, 0xe4, 1 << 28);
    space.put(NIC, 0xe8, 0x0000_2810 | 0x000f_0000);
    space
}

fn found(space: &mut FakeSpace, last: u8) -> Vec<(Bdf, Identity)> {
    let mut all = Vec::new();
    for_each_function(space, BusRange { segment: 0, first: 0, last }, &mut |found| {
        all.push((found.bdf, found.identity));
    });
    all
}

#[test]
fn nobody_answers_with_all_ones() {
    let mut space = FakeSpace::default();
    assert!(Function::new(&mut space, NIC).is_none());
    assert!(found(&mut space, 255).is_empty());
    assert_eq!(space.accesses, 33);
}

#[test]
fn no_snoop_and_relaxed_ordering_go_off_and_status_bits_stay() {
    let mut space = with_capabilities();
    let mut nic = Function::new(&mut space, NIC).unwrap();
    assert_eq!(nic.identity(), Identity { vendor: 0x8086, device: 0x10d3, class: 0x02_0000 });
    nic.enable_for_dma().unwrap();
    assert_eq!(nic.read32(0xe8), 0x000f_2000);
    assert_eq!(nic.command(), Command::MEMORY_SPACE | Command::INTERRUPT_DISABLE);
    assert_eq!(nic.has_flr(), Ok(true));
    nic.set_bus_master(true);
    assert!(nic.command().contains(Command::BUS_MASTER));
    nic.set_bus_master(false);
    assert!(!nic.command().contains(Command::BUS_MASTER));
    assert_eq!(nic.read16(6), 0x10, "16-bit writes do not touch the status register");
}

#[test]
fn a_sleeping_function_is_woken_once_and_its_pme_status_is_not_cleared() {
    let mut space = with_capabilities();
    let mut nic = Function::new(&mut space, NIC).unwrap();
    assert_eq!(nic.wake(), Ok(true));
    assert_eq!(nic.read16(0xcc), 0);
    assert_eq!(nic.wake(), Ok(false));
}

#[test]
fn a_conventional_function_needs_no_express_capability() {
    let mut space = FakeSpace::default();
    space.add(NIC, 0x8086, 0x293e);
    let mut hda = Function::new(&mut space, NIC).unwrap();
    assert_eq!(hda.enable_for_dma(), Ok(()));
    assert_eq!((hda.has_flr(), hda.wake()), (Ok(false), Ok(false)));
}

#[test]
fn a_capability_circle_is_an_error() {
    let mut space = with_capabilities();
    space.put(NIC, 0xe0, 0x0002_c805);
    let mut nic = Function::new(&mut space, NIC).unwrap();
    assert!(matches!(nic.capability(CapabilityId::EXPRESS), Err(PciError::CapabilityLoop { .. })));
    assert!(nic.enable_for_dma().is_err());
    space.put(NIC, 0x34, 0x10);
    let mut nic = Function::new(&mut space, NIC).unwrap();
    assert_eq!(nic.capability(CapabilityId::EXPRESS), Err(PciError::CapabilityPointer { function: NIC, at: 0x10 }));
    space.put(NIC, 0x100, 0x1401_0003);
    space.put(NIC, 0x140, 0x1001_0004);
    let mut nic = Function::new(&mut space, NIC).unwrap();
    let aer = ExtendedCapabilityId::ADVANCED_ERROR_REPORTING;
    assert!(matches!(nic.extended_capability(aer), Err(PciError::CapabilityLoop { .. })));
    assert_eq!(nic.extended_capability(ExtendedCapabilityId(4)), Ok(Some(0x140)));
}

#[test]
fn bars_decode_as_the_firmware_programmed_them() {
    let mut space = with_capabilities();
    space.put(NIC, 0x10, 0x1000_0000);
    space.put(NIC, 0x14, 0x0000_e001);
    space.put(NIC, 0x18, 0x0000_000c);
    space.put(NIC, 0x1c, 0x80);
    space.mask(NIC, 0x10, 0xfffe_0000);
    space.mask(NIC, 0x18, 0xffff_c000);
    space.mask(NIC, 0x20, 0);
    let mut nic = Function::new(&mut space, NIC).unwrap();
    let first = nic.memory_bar(0).unwrap().unwrap();
    assert_eq!(first.address, PhysAddr(0x1000_0000));
    assert_eq!(nic.memory_bar_bytes(&first), 0x2_0000);
    assert_eq!(nic.memory_bar(0).unwrap().unwrap(), first, "sizing leaves the BAR as it was");
    assert_eq!(nic.memory_bar(1), Ok(None));
    let wide = nic.memory_bar(2).unwrap().unwrap();
    assert_eq!((wide.address, wide.is_64_bit, wide.is_prefetchable), (PhysAddr(0x80_0000_0000), true, true));
    assert_eq!(nic.memory_bar_bytes(&wide), 0x4000);
    let absent = nic.memory_bar(4).unwrap().unwrap();
    assert_eq!(nic.memory_bar_bytes(&absent), 0);
    assert_eq!(nic.memory_bar(6), Ok(None));
}

#[test]
fn reserved_and_cut_off_bars_are_errors() {
    let mut space = with_capabilities();
    space.put(NIC, 0x10, 0x6);
    space.put(NIC, 0x24, 0x4);
    let mut nic = Function::new(&mut space, NIC).unwrap();
    assert!(matches!(nic.memory_bar(0), Err(PciError::BarType { index: 0, value: 6, .. })));
    assert!(matches!(nic.memory_bar(5), Err(PciError::BarType { index: 5, .. })));
}

#[test]
fn bridges_and_functions_are_followed_within_the_range() {
    let mut space = FakeSpace::default();
    let mut bridge = |bdf: Bdf, secondary: u32, port: Option<u32>| {
        space.add(bdf, 0x1b36, 0x000c);
        space.put(bdf, 0x0c, 0x0001_0000);
        space.put(bdf, 0x18, secondary << 8);
        if let Some(port) = port {
            space.put(bdf, 0x04, 0x0010_0000);
            space.put(bdf, 0x34, 0x40);
            space.put(bdf, 0x40, port << 20 | 0x10);
        }
    };
    bridge(Bdf::new(0, 0, 1, 0), 1, Some(4));
    bridge(Bdf::new(0, 1, 0, 0), 2, None);
    bridge(Bdf::new(0, 0, 4, 0), 9, Some(4));
    // Claims its own bus and, behind it, the root bus: neither is followed.
    bridge(Bdf::new(0, 2, 7, 0), 0, None);
    space.add(Bdf::new(0, 0, 2, 0), 0x8086, 1);
    space.put(Bdf::new(0, 0, 2, 0), 0x0c, 0x0080_0000);
    space.add(Bdf::new(0, 0, 2, 3), 0x8086, 2);
    // Not multi-function: function 1 is an echo.
    space.add(Bdf::new(0, 0, 3, 0), 0x8086, 3);
    space.add(Bdf::new(0, 0, 3, 1), 0x8086, 3);
    // Behind a link only device 0 is real.
    space.add(Bdf::new(0, 1, 5, 0), 0x8086, 4);
    space.add(Bdf::new(0, 9, 0, 0), 0x8086, 5);
    let seen: Vec<_> = found(&mut space, 8).iter().map(|(bdf, _)| bdf.rid).collect();
    let rid = |bus, device, function| Bdf::new(0, bus, device, function).rid;
    assert_eq!(
        seen,
        [rid(0, 1, 0), rid(0, 2, 0), rid(0, 2, 3), rid(0, 3, 0), rid(0, 4, 0), rid(1, 0, 0), rid(2, 7, 0)]
    );
}

proptest! {
    #[test]
    fn hostile_functions_never_hang(bytes in prop::collection::vec(any::<u8>(), 1..512), many in any::<bool>()) {
        let mut space = FakeSpace::default();
        for device in 0..if many { 32 } else { 1 } {
            space.fill(Bdf::new(0, 0, device, 0), &bytes);
        }
        found(&mut space, 255);
        if let Some(mut function) = Function::new(&mut space, Bdf::new(0, 0, 0, 0)) {
            for id in 0..=255 {
                let _ = function.capability(CapabilityId(id));
            }
            let _ = function.extended_capability(ExtendedCapabilityId(0xffff));
            for index in 0..8 {
                if let Ok(Some(bar)) = function.memory_bar(index) {
                    function.memory_bar_bytes(&bar);
                }
            }
            let _ = function.enable_for_dma();
            let _ = function.has_flr();
            let _ = function.wake();
        }
        prop_assert!(space.accesses < 200_000);
    }
}

#[test]
fn a_space_of_all_ones_or_zeros_never_hangs() {
    for byte in [0xff, 0] {
        let mut space = FakeSpace::default();
        for device in 0..32 {
            space.fill(Bdf::new(0, 0, device, 0), &[byte]);
        }
        assert!(found(&mut space, 255).is_empty());
    }
}

#[test]
fn functions_are_found_once_below_all_roots() {
    let mut space = FakeSpace::default();
    for bus in [0, 8] {
        space.add(Bdf::new(0, bus, 1, 0), 0x8086, 1);
    }
    let window = BusRange { segment: 0, first: 0, last: 15 };
    let mut all = Vec::from([window]);
    for (segment, bus) in [(0, 0), (0, 8), (0, 8), (0, 16), (1, 8)] {
        all.extend(root_at(&[window], segment, bus));
    }
    assert_eq!(all.iter().map(|range| range.first).collect::<Vec<_>>(), [0, 0, 8, 8]);
    let found: Vec<_> = functions(&mut space, &all, 10).into_iter().map(|found| found.bdf).collect();
    assert_eq!(found, [Bdf::new(0, 0, 1, 0), Bdf::new(0, 8, 1, 0)]);
    assert_eq!(functions(&mut space, &all, 1).len(), 1);
}

#[test]
fn a_function_that_is_not_ready_does_not_answer() {
    let mut space = FakeSpace::default();
    for vendor in [0, 1, 0xffff] {
        space.add(NIC, vendor, 0x10d3);
        assert!(Function::new(&mut space, NIC).is_none(), "vendor {vendor:#x}");
    }
}

/// Whose name requests carry: behind ports their own, behind a bridge to PCI that of device 0 of its bus, and so for all that
/// is further down; behind a conventional bridge on the root bus that of the bridge.
#[test]
fn bridges_to_pci_rename_requests() {
    let mut space = FakeSpace::default();
    let bridge = |space: &mut FakeSpace, bdf: Bdf, secondary: u32, port: Option<u32>| {
        space.add(bdf, 0x1b36, 0xe);
        space.put(bdf, 0x0c, 1 << 16);
        space.put(bdf, 0x18, secondary << 8 | u32::from(bdf.bus()));
        if let Some(port) = port {
            space.put(bdf, 0x04, 0x0010_0000);
            space.put(bdf, 0x34, 0x40);
            space.put(bdf, 0x40, port << 20 | 0x10);
        }
    };
    // 0:1 root port, 1:0 bridge to PCI, 2:3 conventional bridge; 0:2 conventional bridge.
    bridge(&mut space, Bdf::new(0, 0, 1, 0), 1, Some(4));
    bridge(&mut space, Bdf::new(0, 1, 0, 0), 2, Some(7));
    bridge(&mut space, Bdf::new(0, 2, 3, 0), 3, None);
    bridge(&mut space, Bdf::new(0, 0, 2, 0), 4, None);
    for (bus, device) in [(2, 5), (3, 6), (4, 7)] {
        space.add(Bdf::new(0, bus, device, 0), 0x8086, 0x2668);
    }
    let all = functions(&mut space, &[BusRange { segment: 0, first: 0, last: 255 }], 64);
    let name = |bus, device| {
        let found = all.iter().find(|found| found.bdf == Bdf::new(0, bus, device, 0)).unwrap();
        (found.requester.bus(), found.requester.rid as u8 >> 3)
    };
    assert_eq!((name(0, 1), name(1, 0)), ((0, 1), (1, 0)), "ports and bridges by themselves");
    assert_eq!((name(2, 5), name(3, 6), name(4, 7)), ((2, 0), (2, 0), (0, 2)));
}

proptest! {
    /// Random pages for bridges and functions: every look ends, within a number of reads that is bounded.
    #[test]
    fn random_configuration_space_never_hangs(
        pages in prop::collection::vec((any::<u16>(), prop::collection::vec(any::<u8>(), 4..300)), 1..24),
        vanishing in prop::option::of((any::<prop::sample::Index>(), 0..2000_usize)),
        bridges in any::<bool>(),
    ) {
        let mut space = FakeSpace::default();
        for (at, (rid, bytes)) in pages.iter().enumerate() {
            // Half of them on the first buses, where they are found.
            let bdf = Bdf { segment: 0, rid: if at % 2 == 0 { rid & 0x1ff } else { *rid } };
            space.fill(bdf, bytes);
            if bridges {
                space.put(bdf, 0x0c, 0x0081_0000);
            }
        }
        space.vanishes = vanishing.map(|(which, left)| (Bdf { segment: 0, rid: pages[which.index(pages.len())].0 }, left));
        let range = [BusRange { segment: 0, first: 0, last: 255 }];
        let mut faults = 0_usize;
        let found = functions_and_faults(&mut space, &range, 4096, &mut |_| faults += 1);
        audit(&mut space, &found, &[], &|_, _| false, &mut |_| faults += 1);
        let mut places: Vec<ErrorPlaces> = Vec::new();
        let mut states = Vec::new();
        for found in &found {
            if let Some(mut function) = Function::new(&mut space, found.bdf) {
                places.push(ErrorPlaces::find(&mut function));
                states.push((found.bdf, State::read(&mut function)));
            }
        }
        error::link(&mut space, &mut places);
        for place in &places {
            place.enable(&mut space);
            let before = place.read(&mut space);
            place.clear(&mut space);
            let _ = std::format!("{}", before.difference(&place.read(&mut space)));
        }
        for (bdf, _) in &states {
            let _ = isolation(&states, *bdf);
        }
        // Each function has two lists of at most 48 and 960 entries, which are asked for a dozen capabilities.
        prop_assert!(space.accesses < 70_000 + 30_000 * found.len(), "{} for {}", space.accesses, found.len());
        prop_assert!(faults < 16 * found.len() + 65_536);
    }
}
