use super::*;
use crate::fake::FakeSpace;
use crate::{BusRange, Command, functions};
use proptest::prelude::*;
use std::vec::Vec;

extern crate std;

const PF: Bdf = Bdf::new(0, 1, 0, 0);
/// Offset of the capability.
const AT: u16 = 0x160;
const ROOT: [BusRange; 1] = [BusRange { segment: 0, first: 1, last: 1 }];

/// An 82576 whose virtual functions are at +80h, +82h …, with one 16 KiB BAR at 8 GiB.
fn space(total: u16) -> FakeSpace {
    let mut space = FakeSpace::default();
    space.add(PF, 0x8086, 0x10c9);
    space.put(PF, 0x04, 1 << 20);
    space.put(PF, 0x08, 0x0200_0001);
    space.put(PF, 0x34, 0x40);
    space.put(PF, 0x40, 0x0002_0010);
    // Function level reset.
    space.put(PF, 0x44, 1 << 28);
    space.put(PF, 0x100, 0x1601_0001);
    space.put(PF, AT, 0x0001_0010);
    space.put(PF, AT + 0x0c, u32::from(total) << 16 | u32::from(total));
    space.put(PF, AT + 0x14, 0x0002_0080);
    space.put(PF, AT + 0x18, 0x10ca_0000);
    space.put(PF, AT + 0x20, 1);
    space.put(PF, AT + 0x24, 0x0000_000c);
    space.put(PF, AT + 0x28, 2);
    space.mask(PF, AT + 0x24, !0x3fff);
    for index in 0..total.min(8) {
        let at = Bdf { rid: PF.rid + 0x80 + 2 * index, ..PF };
        space.add(at, 0xffff, 0xffff);
        space.put(at, 0x08, 0x0200_0001);
    }
    space
}

fn enable(space: &mut FakeSpace, count: u16) -> Sriov {
    let mut function = Function::new(space, PF).unwrap();
    let sriov = function.sriov().unwrap().unwrap();
    function.enable_virtual(&sriov, count);
    function.sriov().unwrap().unwrap()
}

#[test]
fn virtual_functions_are_found_once_they_are_on() {
    let mut space = space(8);
    let found = functions(&mut space, &ROOT, 100);
    assert_eq!(found.len(), 1, "those that are off do not count, whatever answers: {found:?}");
    assert_eq!(enable(&mut space, 7).count, 7);
    let found = functions(&mut space, &ROOT, 100);
    let virtuals: Vec<_> = found.iter().filter(|found| found.physical.is_some()).collect();
    assert_eq!(virtuals.len(), 7);
    for (index, found) in (0..).zip(virtuals) {
        assert_eq!(found.bdf.rid, 0x180 + 2 * index);
        assert_eq!(found.requester, found.bdf);
        assert_eq!(found.physical, Some((PF, index)));
        assert_eq!(found.identity, Identity { vendor: 0x8086, device: 0x10ca, class: 0x0002_0000 });
    }
}

#[test]
fn their_number_changes_only_while_there_are_none() {
    let mut space = space(8);
    enable(&mut space, 7);
    assert_eq!(enable(&mut space, 3).count, 3);
    assert_eq!(space.read32(PF, AT + 8) as u16, ENABLE | MEMORY_SPACE);
}

#[test]
fn registers_follow_each_other_by_the_length_of_the_bar() {
    let mut space = space(8);
    enable(&mut space, 7);
    let at = |space: &mut FakeSpace, index| virtual_registers(space, (PF, index), 0).unwrap();
    assert_eq!(at(&mut space, 0), Some((PhysAddr(0x2_0000_0000), 0x4000)));
    assert_eq!(at(&mut space, 6), Some((PhysAddr(0x2_0001_8000), 0x4000)));
    assert_eq!(space.read32(PF, AT + 8) as u16, ENABLE | MEMORY_SPACE, "decoding is on again");
    assert_eq!((space.read32(PF, AT + 0x24), space.read32(PF, AT + 0x28)), (0xc, 2), "and the address as before");
    space.put(PF, AT + 0x28, 0);
    assert_eq!(at(&mut space, 0), None, "nobody gave it an address");
    assert_eq!(virtual_registers(&mut space, (PF, 0), 6), Ok(None));
}

#[test]
fn their_registers_are_told_with_those_of_their_physical_function_while_they_are_on() {
    let mut space = space(8);
    space.put(PF, 0x10, 0x1000_0000);
    // 64 bits, whose second register is no BAR of its own; then an I/O BAR.
    space.put(PF, 0x14, 0x0000_0004);
    space.put(PF, 0x18, 4);
    space.put(PF, 0x1c, 1);
    space.put(PF, 0x20, 0x1100_0000);
    space.put(PF, 0x24, 0x1200_0000);
    let told = |space: &mut FakeSpace| {
        let mut told = Vec::new();
        Function::new(space, PF).unwrap().each_register_block(&mut |at| told.push(at.0));
        // What is not set up begins at 0.
        told.retain(|at| *at != 0);
        told
    };
    let own = [0x1000_0000, 0x4_0000_0000, 0x1100_0000, 0x1200_0000];
    assert_eq!(told(&mut space), own);
    enable(&mut space, 7);
    space.written.clear();
    assert_eq!(told(&mut space), [&own[..], &[0x2_0000_0000]].concat());
    assert!(space.written.is_empty());
}

#[test]
fn a_reset_loses_them_and_they_come_back() {
    let mut space = space(8);
    enable(&mut space, 7);
    let mut function = Function::new(&mut space, PF).unwrap();
    let saved = function.save().unwrap();
    for at in (AT + 0x24..AT + 0x3c).step_by(4).chain([AT + 8, AT + 0x10, AT + 0x20]) {
        function.write32(at, 0);
    }
    assert_eq!(function.sriov().unwrap().unwrap().count, 0);
    function.restore(&saved);
    assert_eq!(function.sriov().unwrap().unwrap().count, 7);
    assert!(!function.command().contains(Command::BUS_MASTER));
    assert_eq!(virtual_registers(&mut space, (PF, 1), 0), Ok(Some((PhysAddr(0x2_0000_4000), 0x4000))));
}

#[test]
fn a_virtual_function_answers_by_all_but_its_vendor() {
    let mut space = space(1);
    let at = Bdf { rid: PF.rid + 0x80, ..PF };
    assert!(Function::new(&mut space, at).is_none());
    assert!(Function::any(&mut space, at).is_some());
    assert!(Function::any(&mut space, Bdf { rid: PF.rid + 0x82, ..PF }).is_none());
}

#[test]
fn a_port_passes_on_device_numbers_where_it_can() {
    let mut space = space(1);
    let port = Bdf::new(0, 0, 4, 0);
    space.add(port, 0x1b36, 0x000c);
    space.put(port, 0x04, 1 << 20);
    space.put(port, 0x0c, 1 << 16);
    space.put(port, 0x18, 0x0001_0100);
    space.put(port, 0x34, 0x40);
    space.put(port, 0x40, 0x0042_0010);
    assert_eq!(crate::port_above(&mut space, &[PF, port], PF), Some(port));
    assert_eq!(crate::port_above(&mut space, &[PF, port], port), None);
    assert!(!forward_ari(&mut space, port), "Device Capabilities 2 does not say that it can");
    space.put(port, 0x64, 1 << 5);
    space.put(port, 0x68, 0x1000);
    assert!(forward_ari(&mut space, port));
    assert_eq!(space.read32(port, 0x68), 0x1020);
}

proptest! {
    #[test]
    fn hostile_numbers_never_hang(first: u16, stride: u16, total: u16, count: u16, bar: u32, high: u32, control: u16) {
        let mut space = space(8);
        space.put(PF, AT + 8, control.into());
        space.put(PF, AT + 0x0c, u32::from(total) << 16 | u32::from(total));
        space.put(PF, AT + 0x10, count.into());
        space.put(PF, AT + 0x14, u32::from(stride) << 16 | u32::from(first));
        space.put(PF, AT + 0x24, bar);
        space.put(PF, AT + 0x28, high);
        let found = functions(&mut space, &ROOT, 1000);
        for found in &found {
            prop_assert!(found.physical.is_none_or(|(physical, index)| physical == PF && index < total.min(count)));
            if let Some(physical) = found.physical {
                let _ = virtual_registers(&mut space, physical, 0);
            }
        }
        let mut numbers: Vec<_> = found.iter().map(|found| found.bdf.rid).collect();
        numbers.dedup();
        prop_assert_eq!(numbers.len(), found.len());
    }
}
