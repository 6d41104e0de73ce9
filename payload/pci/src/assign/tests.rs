extern crate std;

use super::*;
use crate::fake::FakeSpace;
use proptest::prelude::*;
use std::vec::Vec;

const LOW: Window = Window { start: 0x1000_0000, bytes: 0x2000_0000, is_prefetchable: false };
const HIGH: Window = Window { start: 0x80_0000_0000, bytes: 0x80_0000_0000, is_prefetchable: true };
const ALL: BusRange = BusRange { segment: 0, first: 0, last: 255 };

fn at(bus: u8, device: u8) -> Bdf {
    Bdf::new(0, bus, device, 0)
}

#[derive(Clone, Copy, Debug)]
enum BarKind {
    Low32,
    Low64,
    High,
}

fn add_bar(space: &mut FakeSpace, bdf: Bdf, index: u16, bytes: u64, kind: BarKind) {
    let flags = match kind {
        BarKind::Low32 => 0,
        BarKind::Low64 => 4,
        BarKind::High => 0xc,
    };
    let register = 0x10 + 4 * index;
    space.put(bdf, register, flags);
    space.mask(bdf, register, (bytes.wrapping_neg() as u32) & !0xf);
    if !matches!(kind, BarKind::Low32) {
        space.mask(bdf, register + 4, (bytes.wrapping_neg() >> 32) as u32);
    }
}

fn endpoint(space: &mut FakeSpace, bdf: Bdf) {
    space.add(bdf, 0x8086, 0x10d3);
    (0..6).for_each(|index| space.mask(bdf, 0x10 + 4 * index, 0));
}

fn bridge(space: &mut FakeSpace, bdf: Bdf, has_64_bit_window: bool) {
    space.add(bdf, 0x1b36, 0xc);
    space.put(bdf, 0xc, 1 << 16);
    (0..2).for_each(|index| space.mask(bdf, 0x10 + 4 * index, 0));
    let kind = u32::from(has_64_bit_window);
    space.put(bdf, 0x24, kind | kind << 16);
    space.mask(bdf, 0x24, 0xfff0_fff0);
}

fn bar(space: &mut FakeSpace, bdf: Bdf, index: u8) -> u64 {
    Function::new(space, bdf).unwrap().memory_bar(index).unwrap().unwrap().address.0
}

fn read(space: &mut FakeSpace, bdf: Bdf, offset: u16) -> u32 {
    Function::new(space, bdf).unwrap().read32(offset)
}

fn command(space: &mut FakeSpace, bdf: Bdf) -> Command {
    Function::new(space, bdf).unwrap().command()
}

#[test]
fn functions_of_the_root_bus_get_addresses_and_answer() {
    let mut space = FakeSpace::default();
    let (nic, audio) = (at(0, 4), at(0, 2));
    endpoint(&mut space, nic);
    add_bar(&mut space, nic, 0, 0x2_0000, BarKind::Low32);
    add_bar(&mut space, nic, 1, 0x100, BarKind::Low64);
    endpoint(&mut space, audio);
    add_bar(&mut space, audio, 0, 0x4000, BarKind::High);
    assert!(!is_assigned(&mut space, ALL));
    let host = HostBridge { buses: ALL, windows: &[LOW, HIGH] };
    let assigned = assign(&mut space, &host);
    assert_eq!(assigned, Assigned { functions: 2, bars: 3, left_out: 0, unreached: 0 });
    assert_eq!(bar(&mut space, nic, 0), 0x1000_0000);
    assert_eq!(bar(&mut space, nic, 1), 0x1002_0000);
    assert_eq!(bar(&mut space, audio, 0), 0x80_0000_0000);
    for bdf in [nic, audio] {
        assert_eq!(command(&mut space, bdf), Command::MEMORY_SPACE, "no bus mastering");
    }
    assert!(is_assigned(&mut space, ALL));
}

#[test]
fn one_address_tells_of_a_firmware() {
    let mut space = FakeSpace::default();
    endpoint(&mut space, at(0, 4));
    add_bar(&mut space, at(0, 4), 2, 0x1000, BarKind::Low32);
    assert!(!is_assigned(&mut space, ALL));
    space.put(at(0, 4), 0x18, 0x1000_0000);
    assert!(is_assigned(&mut space, ALL));
}

#[test]
fn without_a_high_window_all_is_low() {
    let mut space = FakeSpace::default();
    endpoint(&mut space, at(0, 1));
    add_bar(&mut space, at(0, 1), 0, 0x10_0000, BarKind::High);
    assign(&mut space, &HostBridge { buses: ALL, windows: &[LOW] });
    assert_eq!(bar(&mut space, at(0, 1), 0), LOW.start);
}

#[test]
fn bridges_get_numbers_and_windows_around_what_is_behind() {
    let mut space = FakeSpace::default();
    // Bus 0: a bridge to bus 1, where a bridge leads to bus 2, and another to bus 3.
    bridge(&mut space, at(0, 1), true);
    bridge(&mut space, at(1, 0), true);
    bridge(&mut space, at(0, 3), false);
    for (bdf, bytes, kind) in
        [(at(2, 0), 0x40_0000, BarKind::Low32), (at(2, 1), 0x1000, BarKind::High), (at(3, 0), 0x4000, BarKind::High)]
    {
        endpoint(&mut space, bdf);
        add_bar(&mut space, bdf, 0, bytes, kind);
    }
    let assigned = assign(&mut space, &HostBridge { buses: ALL, windows: &[LOW, HIGH] });
    assert_eq!(assigned, Assigned { functions: 6, bars: 3, left_out: 0, unreached: 0 });
    assert_eq!(read(&mut space, at(0, 1), 0x18), 0x0002_0100);
    assert_eq!(read(&mut space, at(1, 0), 0x18), 0x0002_0201);
    assert_eq!(read(&mut space, at(0, 3), 0x18), 0x0003_0300);
    // 4 MiB at its alignment, then what the second bridge takes: its device is 64 bits wide, but the bridge is not.
    assert_eq!((bar(&mut space, at(2, 0), 0), bar(&mut space, at(3, 0), 0)), (0x1000_0000, 0x1040_0000));
    assert_eq!(bar(&mut space, at(2, 1), 0), 0x80_0000_0000);
    for bdf in [at(0, 1), at(1, 0)] {
        assert_eq!(read(&mut space, bdf, 0x20), 0x1030_1000);
        assert_eq!(read(&mut space, bdf, 0x24), 0x0001_0001, "64 bits wide, one MiB");
        assert_eq!((read(&mut space, bdf, 0x28), read(&mut space, bdf, 0x2c)), (0x80, 0x80));
        assert_eq!(command(&mut space, bdf), Command::MEMORY_SPACE | Command::BUS_MASTER);
    }
    assert_eq!(read(&mut space, at(0, 3), 0x20), 0x1040_1040);
    let (base, limit) = (read(&mut space, at(0, 3), 0x24) & 0xfff0, read(&mut space, at(0, 3), 0x24) >> 16);
    assert!(base > limit, "nothing is forwarded there");
    assert_eq!(read(&mut space, at(0, 1), 0x1c) as u16, 0x00f0, "no I/O");
}

#[test]
fn what_does_not_fit_is_left_out_and_does_not_answer() {
    let mut space = FakeSpace::default();
    for (device, bytes) in [(1, 0x4000_0000), (2, 0x1000)] {
        endpoint(&mut space, at(0, device));
        add_bar(&mut space, at(0, device), 0, bytes, BarKind::Low32);
    }
    let assigned = assign(&mut space, &HostBridge { buses: ALL, windows: &[LOW] });
    assert_eq!(assigned, Assigned { functions: 2, bars: 1, left_out: 1, unreached: 0 });
    assert_eq!(command(&mut space, at(0, 1)), Command::empty());
    assert_eq!(bar(&mut space, at(0, 2), 0), LOW.start);
    let none = assign(&mut space, &HostBridge { buses: ALL, windows: &[] });
    assert_eq!((none.bars, none.left_out), (0, 2));
}

#[test]
fn buses_that_are_not_there_are_not_used() {
    let mut space = FakeSpace::default();
    bridge(&mut space, at(0, 1), true);
    bridge(&mut space, at(0, 2), true);
    let buses = BusRange { last: 1, ..ALL };
    let assigned = assign(&mut space, &HostBridge { buses, windows: &[LOW] });
    assert_eq!(assigned.unreached, 1);
    assert_eq!(read(&mut space, at(0, 2), 0x18), 0);
}

/// Bus, device, what is there.
#[derive(Clone, Debug)]
enum Thing {
    Bridge(bool),
    Endpoint(Vec<(u32, u8)>),
}

fn things() -> impl Strategy<Value = Vec<(u8, u8, Thing)>> {
    let bars = proptest::collection::vec((8_u32..34, 0_u8..3), 0..3);
    let thing = prop_oneof![
        1 => any::<bool>().prop_map(Thing::Bridge),
        3 => bars.prop_map(Thing::Endpoint),
        1 => Just(Thing::Bridge(true)),
    ];
    proptest::collection::vec((0_u8..6, 0_u8..32, thing), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is there: addresses are aligned, inside the windows, and nobody's twice; what is behind a bridge lies in the
    /// bridge's windows.
    #[test]
    fn addresses_are_apart_and_reached(things in things()) {
        let mut space = FakeSpace::default();
        let mut there = Vec::new();
        for (bus, device, thing) in &things {
            let bdf = at(*bus, *device);
            if there.contains(&bdf) {
                continue;
            }
            there.push(bdf);
            match thing {
                Thing::Bridge(is_wide) => bridge(&mut space, bdf, *is_wide),
                Thing::Endpoint(bars) => {
                    endpoint(&mut space, bdf);
                    for (index, (log2, kind)) in (0_u16..).step_by(2).zip(bars) {
                        let kind = [BarKind::Low32, BarKind::Low64, BarKind::High][usize::from(*kind)];
                        let log2 = if matches!(kind, BarKind::Low32) { *log2.min(&31) } else { *log2 };
                        add_bar(&mut space, bdf, index, 1 << log2, kind);
                    }
                }
            }
        }
        let windows = [LOW, HIGH];
        assign(&mut space, &HostBridge { buses: ALL, windows: &windows });
        let mut taken: Vec<(u64, u64)> = Vec::new();
        let mut all = Vec::new();
        crate::for_each_function(&mut space, ALL, &mut |found| all.push(found.bdf));
        for bdf in &all {
            let mut function = Function::new(&mut space, *bdf).unwrap();
            if !function.command().contains(Command::MEMORY_SPACE) {
                continue;
            }
            for index in [0, 2, 4] {
                let Some(bar) = function.memory_bar(index).unwrap_or(None) else { continue };
                let bytes = function.memory_bar_bytes(&bar);
                if bytes == 0 {
                    continue;
                }
                let start = bar.address.0;
                prop_assert!(start.is_multiple_of(bytes) && start != 0, "{bdf} BAR {index} at {start:#x}");
                let is_inside = |window: &Window| start >= window.start && start + bytes <= window.start + window.bytes;
                prop_assert!(windows.iter().any(is_inside));
                prop_assert!(taken.iter().all(|(from, to)| start >= *to || start + bytes <= *from), "{bdf} shares");
                taken.push((start, start + bytes));
                let mut bus = bdf.bus();
                while bus != 0 {
                    let mut above = None;
                    for upper in &all {
                        let is_bridge = read(&mut space, *upper, 0xc) >> 16 & 0x7f == 1;
                        if is_bridge && (read(&mut space, *upper, 0x18) >> 8) as u8 == bus {
                            above = Some(*upper);
                        }
                    }
                    let above = above.expect("a bridge to the bus");
                    prop_assert!(forwards(&mut space, above, start, start + bytes - 1), "{above} to {bdf}");
                    bus = above.bus();
                }
                function = Function::new(&mut space, *bdf).unwrap();
            }
        }
    }
}

fn forwards(space: &mut FakeSpace, bridge: Bdf, first: u64, last: u64) -> bool {
    let low = read(space, bridge, 0x20);
    let window = |value: u32| (u64::from(value & 0xfff0) << 16, u64::from(value & 0xfff0_0000) | 0xf_ffff);
    let (base, limit) = window(low);
    let (mut high_base, mut high_limit) = window(read(space, bridge, 0x24));
    high_base |= u64::from(read(space, bridge, 0x28)) << 32;
    high_limit |= u64::from(read(space, bridge, 0x2c)) << 32;
    (first >= base && last <= limit) || (first >= high_base && last <= high_limit)
}
