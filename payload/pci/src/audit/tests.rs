extern crate std;
use super::*;
use crate::fake::FakeSpace;
use crate::{BusRange, functions_and_faults};
use std::string::ToString;
use std::vec::Vec;

const A: Bdf = Bdf::new(0, 0, 2, 0);
const B: Bdf = Bdf::new(0, 0, 3, 0);
const ALL: [BusRange; 1] = [BusRange { segment: 0, first: 0, last: 255 }];

fn faults(space: &mut FakeSpace) -> Vec<Fault> {
    faults_but(space, &[])
}

fn faults_but(space: &mut FakeSpace, denied: &[Bdf]) -> Vec<Fault> {
    let mut all = Vec::new();
    let found = functions_and_faults(space, &ALL, 4096, &mut |fault| all.push(fault));
    audit(space, &found, denied, &|first, last| first < 0x8000_0000 && last >= 0x4000_0000, &mut |fault| {
        all.push(fault);
    });
    all
}

fn ids(space: &mut FakeSpace) -> Vec<&'static str> {
    faults(space).iter().map(Fault::id).collect()
}

/// A function whose first BAR is at `address`, of `bytes`.
fn function(space: &mut FakeSpace, bdf: Bdf, address: u32, bytes: u32) {
    space.add(bdf, 0x8086, 0x10d3);
    space.put(bdf, 0x08, 0x0200_0001);
    space.put(bdf, 0x10, address);
    space.mask(bdf, 0x10, bytes.wrapping_neg());
    for at in [0x14, 0x18, 0x1c, 0x20, 0x24] {
        space.mask(bdf, at, 0);
    }
}

#[test]
fn a_good_machine_has_no_fault() {
    let mut space = FakeSpace::default();
    function(&mut space, A, 0x1000_0000, 0x2_0000);
    function(&mut space, B, 0x1002_0000, 0x1000);
    space.bridge(Bdf::new(0, 0, 4, 0), Some(4), 1, 2);
    space.bridge(Bdf::new(0, 1, 0, 0), Some(5), 2, 2);
    space.bridge(Bdf::new(0, 0, 5, 0), Some(4), 3, 5);
    assert_eq!(faults(&mut space), []);
    assert_eq!(space.get(A, 0x10), 0x1000_0000, "BARs are as they were");
}

#[test]
fn a_virtual_function_is_not_gone() {
    const VIRTUAL: Bdf = Bdf::new(0, 0, 2, 1);
    let mut space = FakeSpace::default();
    function(&mut space, A, 0x1000_0000, 0x2_0000);
    space.express(A, 0);
    // SR-IOV: one virtual function, on, one further on (9.3.3).
    space.put(A, 0x100, 0x0001_0010);
    for (at, value) in [(0x108, 1), (0x10c, 0x0001_0001), (0x110, 1), (0x114, 1)] {
        space.put(A, at, value);
    }
    space.add(VIRTUAL, 0xffff, 0xffff);
    space.put(VIRTUAL, 0x08, 0x0200_0001);
    assert_eq!(faults(&mut space), []);
    space.fill(VIRTUAL, &[0xff]);
    let found =
        Found { bdf: VIRTUAL, physical: Some((A, 0)), ..functions_and_faults(&mut space, &ALL, 1, &mut |_| ())[0] };
    let mut all = Vec::new();
    audit(&mut space, &[found], &[], &|_, _| false, &mut |fault| all.push(fault));
    assert_eq!(all, [Fault::gone(VIRTUAL)]);
}

#[test]
fn a_denied_function_is_read_and_never_written() {
    let mut space = FakeSpace::default();
    function(&mut space, A, 0x1000_0000, 0x2_0000);
    function(&mut space, B, 0x1001_0000, 0x1000);
    let overlap = Fault { other: Some(A), ..Fault::new(FaultKind::BarOverlap, B, 0x10, 0x1001_0000) };
    assert_eq!(faults_but(&mut space, &[B]), [overlap]);
    assert!(space.written.contains(&A) && !space.written.contains(&B));
    // How far it reaches is not known.
    space.written.clear();
    assert_eq!(faults_but(&mut space, &[A]), []);
    assert!(space.written.contains(&B) && !space.written.contains(&A));
    function(&mut space, A, 0x4000_0000, 0x1000);
    assert_eq!(faults_but(&mut space, &[A]).iter().map(Fault::id).collect::<Vec<_>>(), ["bar-over-ram"]);
}

#[test]
fn bars_that_cannot_be_are_told() {
    let mut space = FakeSpace::default();
    function(&mut space, A, 0x1000_0000, 0x2_0000);
    function(&mut space, B, 0x1001_0000, 0x1000);
    assert_eq!(
        faults(&mut space),
        [Fault { other: Some(A), ..Fault::new(FaultKind::BarOverlap, B, 0x10, 0x1001_0000) }]
    );
    // The same address; the wider one first or last.
    function(&mut space, B, 0x1000_0000, 0x1000);
    assert_eq!(ids(&mut space), ["bar-overlap"]);
    function(&mut space, B, 0x4000_0000, 0x1000);
    assert_eq!(faults(&mut space), [Fault::new(FaultKind::BarOverRam, B, 0x10, 0x4000_0000)]);
    // Hard-wired: no bit of it can be written.
    function(&mut space, B, 0x2000_0000, 0);
    space.mask(B, 0x10, 0);
    assert_eq!(ids(&mut space), ["bar-size"]);
    assert_eq!(faults(&mut space)[0].offset, 0x10);
    function(&mut space, B, 0x2000_0000, 0x3000);
    assert_eq!(ids(&mut space), ["bar-size"]);
    function(&mut space, B, 0x2000_0006, 0x1000);
    assert_eq!(ids(&mut space), ["bar-type"]);
}

#[test]
fn lists_and_headers_that_cannot_be_are_told_with_their_offset() {
    let mut space = FakeSpace::default();
    function(&mut space, A, 0x1000_0000, 0x2_0000);
    space.express(A, 9);
    space.put(A, 0x40, 0x0092_4005);
    assert_eq!(ids(&mut space), ["capability-list"]);
    space.express(A, 9);
    space.put(A, 0x100, 0x0401_0003);
    let all = faults(&mut space);
    assert_eq!((all.len(), all[0].id(), all[0].offset), (1, "capability-list", 0x40));
    assert_eq!(all[0].to_string(), "0000:00:02.0: the capability list does not end, or leaves its space, at 0x40");
    space.put(A, 0x100, 0);
    space.put(A, 0x0c, 0x0002_0000);
    assert_eq!(faults(&mut space), [Fault::new(FaultKind::Header, A, 0x0e, 2)]);
}

#[test]
fn bus_numbers_that_cannot_be_are_told() {
    let first = Bdf::new(0, 0, 4, 0);
    let second = Bdf::new(0, 0, 5, 0);
    // No secondary; its own bus; the bus of another; a range that ends before it begins; ranges that cut each other.
    for (numbers, expected) in [
        ((0, 0), &["bridge-bus-numbers"][..]),
        ((1, 1), &["bridge-bus-numbers", "bridge-bus-overlap"]),
        ((5, 4), &["bridge-bus-overlap"]),
        ((2, 3), &["bridge-bus-overlap"]),
    ] {
        let mut space = FakeSpace::default();
        space.bridge(first, Some(4), 1, 2);
        space.bridge(second, Some(4), numbers.0, numbers.1);
        assert_eq!(ids(&mut space), expected, "{numbers:?}");
    }
    // A circle: the second leads back.
    let mut space = FakeSpace::default();
    space.bridge(first, Some(4), 1, 1);
    space.bridge(Bdf::new(0, 1, 0, 0), Some(5), 1, 1);
    assert_eq!(ids(&mut space), ["bridge-bus-numbers"]);
}

#[test]
fn functions_that_are_not_ready_or_vanish_are_told() {
    let mut space = FakeSpace::default();
    space.add(A, 1, 0xffff);
    function(&mut space, B, 0x1000_0000, 0x1000);
    assert_eq!(faults(&mut space), [Fault::new(FaultKind::NotReady, A, 0, 1)]);
    // Wherever it vanishes between its first answer and the last look.
    let mut looks = 0;
    for left in 1.. {
        let mut space = FakeSpace::default();
        function(&mut space, B, 0x1000_0000, 0x1000);
        space.vanishes = Some((B, left));
        let all = faults(&mut space);
        if Function::new(&mut space, B).is_some() {
            break;
        }
        looks = left;
        // Exactly at the last read nobody can know.
        let is_told = all.iter().any(|fault| fault.kind == FaultKind::Gone);
        let mut space = FakeSpace::default();
        function(&mut space, B, 0x1000_0000, 0x1000);
        space.vanishes = Some((B, left + 1));
        faults(&mut space);
        assert!(is_told || Function::new(&mut space, B).is_some(), "{left}: {all:?}");
    }
    assert!(looks > 20, "{looks}");
}
