extern crate std;
use super::*;
use crate::fake::FakeSpace;
use crate::{BusRange, Function, functions};
use addr::Bdf;
use std::string::ToString;
use std::vec::Vec;

const PORT: Bdf = Bdf::new(0, 0, 1, 0);
const NIC: Bdf = Bdf::new(0, 1, 0, 0);
const AER: u16 = 0x140;

/// A root port and a function behind it, with AER of 48h bytes behind another extended capability.
fn machine() -> FakeSpace {
    let mut space = FakeSpace::default();
    space.bridge(PORT, Some(4), 1, 1);
    space.add(NIC, 0x1af4, 0x1042);
    space.express(NIC, 0);
    for bdf in [PORT, NIC] {
        space.put(bdf, 0x100, 0x1401_0003);
        space.put(bdf, AER, 0x0002_0001);
        space.clears(bdf, 0x04, 0xf900_0000);
        space.clears(bdf, 0x48, 0x000f_0000);
        space.clears(bdf, AER + 4, u32::MAX);
        space.clears(bdf, AER + 0x10, u32::MAX);
        space.clears(bdf, AER + 0x30, 0x7f);
        space.mask(bdf, AER + 0x30, 0x7f);
    }
    space.clears(PORT, 0x1c, 0xf900_0000);
    space
}

fn places(space: &mut FakeSpace) -> Vec<ErrorPlaces> {
    let all = functions(space, &[BusRange { segment: 0, first: 0, last: 255 }], 64);
    let mut places: Vec<_> =
        all.iter().map(|found| ErrorPlaces::find(&mut Function::new(space, found.bdf).unwrap())).collect();
    link(space, &mut places);
    places
}

fn read(space: &mut FakeSpace) -> Vec<ErrorState> {
    places(space).iter().map(|places| places.read(space)).collect()
}

/// A completion time-out at the function, fatal, with its message at the port.
fn time_out(space: &mut FakeSpace) {
    space.put(NIC, 0x48, 0x0004_0000);
    space.put(NIC, AER + 4, 1 << 14);
    space.put(NIC, AER + 0x18, 14 | 1 << 11);
    space.put(NIC, AER + 0x1c, 0x4000_0001);
    space.put(NIC, AER + 0x20, 0x0100_000f);
    space.put(NIC, AER + 0x38, 0x1234);
    space.put(PORT, 0x1c, 0x4000_0000);
    space.put(PORT, AER + 0x30, 0x0800_0054);
    space.put(PORT, AER + 0x34, 0x0100_0000);
}

#[test]
fn an_error_is_told_by_name_at_its_function_and_at_the_root() {
    let mut space = machine();
    let before = read(&mut space);
    assert!(before.iter().all(ErrorState::is_clean));
    time_out(&mut space);
    let after = read(&mut space);
    let new: Vec<_> = before.iter().zip(&after).map(|(before, after)| before.difference(after)).collect();
    assert_eq!(new[1].to_string(), "Uncorrectable: Completion Timeout; Device Status: Fatal Error");
    assert_eq!(
        new[0].to_string(),
        "Secondary Status: Received System Error; Root: ERR_FATAL/NONFATAL, First Uncorrectable Fatal, Fatal Message"
    );
    assert_eq!(new[0].sources(), [None, Some(NIC.rid)]);
    assert_eq!(
        (new[1].first, new[1].header[..2].to_vec(), new[1].prefixes[0]),
        (14, [0x4000_0001, 0x0100_000f].to_vec(), 0x1234)
    );
    assert!(new[1].is_first_hand() && !new[0].is_first_hand());
    assert!(!new[1].is_refusal() && !new[0].is_refusal());
    assert!(after[1].difference(&after[1]).is_clean(), "nothing came since");
}

#[test]
fn clearing_writes_ones_and_leaves_what_stands_beside() {
    let mut space = machine();
    time_out(&mut space);
    space.put(NIC, 0x48, 0x0004_281f);
    let places = places(&mut space);
    assert_eq!(places[1].upstream, 0);
    assert_eq!(places[0].upstream, ErrorPlaces::NONE);
    for place in &places {
        assert!(place.clear(&mut space).is_clean());
        assert!(place.read(&mut space).is_clean());
    }
    assert_eq!(space.get(NIC, 0x48), 0x281f, "Device Control stays");
    assert_eq!(space.get(PORT, AER + 0x30), 0x0800_0000, "the message number stays");
}

#[test]
fn a_bit_that_stays_is_told_after_a_bounded_number_of_writes() {
    let mut space = machine();
    let places = places(&mut space);
    space.mask(NIC, AER + 4, 0);
    space.clears(NIC, AER + 4, 0);
    space.put(NIC, AER + 4, 1 << 18);
    let before = space.accesses;
    assert_eq!(places[1].clear(&mut space).to_string(), "Uncorrectable: Malformed TLP");
    assert!(space.accesses - before < 1000, "{}", space.accesses - before);
}

#[test]
fn a_function_that_is_gone_is_told_once() {
    let mut space = machine();
    let places = places(&mut space);
    let before = places[1].read(&mut space);
    // Between the vendor ID and the AER capability, and before both.
    for left in [0, 1, 2, 3] {
        space.vanishes = Some((NIC, left));
        let after = places[1].read(&mut space);
        assert!(after.is_gone(), "after {left} reads");
        assert_eq!(before.difference(&after).to_string(), "does not answer");
        assert!(after.difference(&after).is_clean() && after.difference(&before).is_clean());
    }
}

#[test]
fn refused_requests_are_told_apart_from_all_else() {
    let state = |register: ErrorRegister, bits: u32| {
        let mut state = ErrorState::default();
        state.bits[register as usize] = bits;
        state
    };
    // Received Master Abort: a read that ended with Unsupported Request.
    assert!(state(ErrorRegister::Status, 1 << 13).is_refusal());
    assert!(state(ErrorRegister::Uncorrectable, 1 << 20).is_refusal());
    assert!(state(ErrorRegister::Root, 0x24).is_refusal());
    for (register, bits) in [
        (ErrorRegister::Status, 1 << 15),
        (ErrorRegister::Uncorrectable, 1 << 20 | 1 << 14),
        (ErrorRegister::Device, 1 << 2),
        (ErrorRegister::Root, 0x54),
        (ErrorRegister::Containment, 1),
    ] {
        assert!(!state(register, bits).is_refusal(), "{register:?} {bits:#x}");
    }
    assert!(!ErrorState::default().is_refusal() && !ErrorState::GONE.is_refusal());
}

#[test]
fn reporting_is_turned_on_without_a_system_error() {
    let mut space = machine();
    space.put(PORT, 0x5c, 0x0017);
    space.put(NIC, 0x48, 0x2810);
    let before: Vec<_> = places(&mut space).iter().map(|place| (*place, place.reporting(&mut space))).collect();
    for place in places(&mut space) {
        place.enable(&mut space);
    }
    assert_eq!(space.get(PORT, 0x5c), 0x0010);
    assert_eq!((space.get(NIC, 0x48), space.get(PORT, 0x48)), (0x281f, 0xf));
    assert_eq!(space.get(PORT, 0x3c) >> 16, 2, "SERR# enable of the bridge");
    assert_eq!(space.get(PORT, 0x04) & 0xffff, 0x100);
    assert_eq!(space.get(NIC, 0x04) & 0xffff, 0, "not a bridge's");
    // And off again, but for what others have set meanwhile.
    space.put(NIC, 0x48, 0x201f);
    before.iter().for_each(|(place, reporting)| place.set_reporting(&mut space, *reporting));
    assert_eq!((space.get(PORT, 0x5c), space.get(PORT, 0x48), space.get(NIC, 0x48)), (0x0017, 0, 0x2010));
    assert_eq!((space.get(PORT, 0x3c) >> 16, space.get(PORT, 0x04) & 0xffff), (0, 0));
}

#[test]
fn an_event_collector_has_the_integrated_endpoints_that_it_names() {
    let collector = Bdf::new(0, 0, 0x1f, 0);
    let mut space = FakeSpace::default();
    for device in [2, 3] {
        space.add(Bdf::new(0, 0, device, 0), 0x8086, 1);
        space.express(Bdf::new(0, 0, device, 0), 9);
    }
    space.add(collector, 0x13b5, 0xdf);
    space.express(collector, 10);
    space.put(collector, 0x100, 0x1402_0001);
    space.put(collector, 0x140, 0x0001_0007);
    space.put(collector, 0x144, 1 << 3);
    let all = places(&mut space);
    assert_eq!(all.iter().map(|place| place.upstream).collect::<Vec<_>>(), [ErrorPlaces::NONE, 2, ErrorPlaces::NONE]);
    assert!(all[2].is_root() && all[2].reports());
    space.put(collector, 0x130, 0x4);
    space.put(collector, 0x134, 0x0018_0000);
    assert_eq!(read(&mut space)[2].sources(), [None, Some(0x18)]);
}

#[test]
fn a_capability_that_reaches_past_the_end_is_none() {
    let mut space = machine();
    space.put(NIC, 0x100, 0xffc1_0003);
    space.put(NIC, 0xffc, 0x0002_0001);
    assert!(read(&mut space)[1].is_clean());
}

#[test]
fn each_error_bit_has_a_name() {
    for register in ErrorRegister::ALL {
        let row = names::row(register);
        assert_eq!(row.bits.split('|').count(), row.mask.count_ones() as usize, "{}", row.name);
        assert!(row.bits.split('|').all(|name| !name.is_empty() && name.trim() == name), "{}", row.name);
    }
    // The first, the last, and one between.
    let mut state = ErrorState::default();
    state.bits[ErrorRegister::Uncorrectable as usize] = 1 << 4 | 1 << 20 | 1 << 31;
    let told = "Uncorrectable: Data Link Protocol Error, Unsupported Request, TLP Translation Egress Blocked";
    assert_eq!(state.to_string(), told);
}

#[test]
fn a_containment_is_told_with_its_source_and_left() {
    let mut space = machine();
    space.put(PORT, AER, 0x2002_0001);
    space.put(PORT, 0x200, 0x0001_001d);
    let places = places(&mut space);
    // Triggered by an ERR_FATAL message, with the RP PIO pointer that means nothing.
    space.put(PORT, 0x208, 0x0100_1f05);
    let state = places[0].read(&mut space);
    assert_eq!((state.to_string().as_str(), state.containment_source), ("DPC: Triggered", 0x100));
    assert!(state.is_first_hand() && !state.is_refusal());
    assert_eq!(places[0].clear(&mut space).to_string(), "DPC: Triggered");
    assert_eq!(space.get(PORT, 0x208), 0x0100_1f05);
}
