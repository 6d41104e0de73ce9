extern crate std;
use super::*;
use crate::fake::FakeSpace;
use crate::{BusRange, Command, Saved, functions};
use std::vec::Vec;

const PORT: Bdf = Bdf::new(0, 0, 1, 0);
const SWITCH: Bdf = Bdf::new(0, 1, 0, 0);
const DOWN: Bdf = Bdf::new(0, 2, 0, 0);
const NIC: Bdf = Bdf::new(0, 3, 0, 0);
const ON_ROOT_BUS: Bdf = Bdf::new(0, 0, 2, 0);
const ROOTS: BusRange = BusRange { segment: 0, first: 0, last: 7 };

/// A root port, a switch and a network card, which lose what they were told when the port says so.
struct Machine {
    space: FakeSpace,
    has_dpc: bool,
    is_up: bool,
    resets: usize,
}

impl Machine {
    fn new(has_dpc: bool) -> Self {
        let mut space = FakeSpace::default();
        for (bdf, numbers, kind) in [(PORT, 0x05_01_00, 4), (SWITCH, 0x05_02_01, 5), (DOWN, 0x05_03_02, 6)] {
            space.add(bdf, 0x1b36, 0x000c);
            space.put(bdf, 0x0c, 0x0001_0000);
            space.put(bdf, 0x18, numbers);
            space.put(bdf, 0x20, 0x1010_1000);
            express(&mut space, bdf, kind);
        }
        for nic in [NIC, ON_ROOT_BUS] {
            space.add(nic, 0x8086, 0x10d3);
            space.put(nic, 0x10, 0x1000_0000);
            express(&mut space, nic, 0);
        }
        // Link Capabilities of the port: it says whether the link is up.
        space.put(PORT, 0x4c, 1 << 20);
        if has_dpc {
            space.put(PORT, 0x100, 0x1d);
            space.put(PORT, 0x104, 1 << 7);
        }
        let mut machine = Self { space, has_dpc, is_up: true, resets: 0 };
        machine.set_link(true);
        for bdf in [SWITCH, DOWN, NIC, ON_ROOT_BUS] {
            Function::new(&mut machine, bdf).unwrap().set_bus_master(true);
        }
        machine
    }

    fn set_link(&mut self, is_up: bool) {
        self.is_up = is_up;
        self.space.put(PORT, 0x50, u32::from(is_up) << 29);
    }

    fn reset_below(&mut self) {
        self.resets += 1;
        for bdf in [SWITCH, DOWN, NIC] {
            for at in [0x04, 0x10, 0x18, 0x20, 0x48] {
                self.space.put(bdf, at, 0);
            }
        }
    }
}

/// Capability list with the PCI Express capability alone, at 40h.
fn express(space: &mut FakeSpace, bdf: Bdf, kind: u32) {
    space.put(bdf, 0x04, 1 << 20);
    space.put(bdf, 0x34, 0x40);
    space.put(bdf, 0x40, kind << 20 | 0x10);
}

impl ConfigSpace for Machine {
    fn read32(&mut self, function: Bdf, offset: u16) -> u32 {
        // Behind a link that is down, and behind a bridge without bus numbers, nobody answers.
        let numbers = self.space.read32(SWITCH, 0x18) >> 8 & 0xff;
        let is_lost = function.bus() > 0 && !self.is_up || function.bus() > 1 && numbers == 0;
        if is_lost { u32::MAX } else { self.space.read32(function, offset) }
    }

    fn write32(&mut self, function: Bdf, offset: u16, value: u32) {
        self.space.write32(function, offset, value);
    }

    fn write16(&mut self, function: Bdf, offset: u16, value: u16) {
        if (function, offset) == (PORT, BRIDGE_CONTROL) && value & SECONDARY_BUS_RESET != 0 {
            self.reset_below();
        }
        if self.has_dpc && function == PORT && offset == 0x106 && value & 0x40 != 0 {
            // Trigger Enable must have been set by an earlier write.
            assert_eq!((value & 3, self.space.read32(PORT, 0x104) >> 16 & 3), (1, 1));
            self.reset_below();
            self.set_link(false);
            self.space.put(PORT, 0x108, 1);
            return;
        }
        if self.has_dpc && function == PORT && offset == 0x108 {
            assert_eq!(value & 1, 1);
            self.set_link(true);
            self.space.put(PORT, 0x108, 0);
            return;
        }
        self.space.write16(function, offset, value);
    }
}

fn found(machine: &mut Machine) -> Vec<Found> {
    functions(machine, &[ROOTS], 64)
}

fn saved(machine: &mut Machine, port: &Port, functions: &[Found]) -> Vec<(Bdf, Saved)> {
    let below = functions.iter().filter(|found| port.holds(found.bdf));
    below.map(|found| (found.bdf, Function::new(machine, found.bdf).unwrap().save().unwrap())).collect()
}

#[test]
fn the_port_on_the_root_bus_holds_all_that_lies_below_it() {
    let mut machine = Machine::new(false);
    let functions = found(&mut machine);
    assert_eq!(functions.len(), 5);
    let ports = ports(&mut machine, &functions);
    let [port] = ports[..] else { panic!("{ports:?}") };
    assert_eq!(port.bdf, PORT);
    assert!([SWITCH, DOWN, NIC].iter().all(|bdf| port.holds(*bdf)));
    assert!(![PORT, ON_ROOT_BUS, Bdf::new(1, 3, 0, 0), Bdf::new(0, 6, 0, 0)].iter().any(|bdf| port.holds(*bdf)));
}

#[test]
fn what_a_reset_of_the_bus_loses_is_written_again_from_the_top() {
    for how in [Stop::BusReset, Stop::Containment] {
        let mut machine = Machine::new(how == Stop::Containment);
        let functions = found(&mut machine);
        let port = ports(&mut machine, &functions)[0];
        assert_eq!(port.contains_errors(), how == Stop::Containment);
        let all = saved(&mut machine, &port, &functions);
        let before: Vec<u32> = all.iter().map(|(bdf, _)| machine.space.read32(*bdf, 0x20)).collect();
        port.stop(&mut machine, how);
        assert!(port.has_stopped(&mut machine, how));
        port.release(&mut machine, how);
        assert!(port.is_up(&mut machine));
        assert_eq!(machine.resets, 1);
        assert!(Function::new(&mut machine, NIC).is_none(), "the switch has no bus numbers");
        for (bdf, saved) in &all {
            let mut function = Function::new(&mut machine, *bdf).expect("what lies above is there again");
            assert!(!function.is_as_before(saved));
            function.restore(saved);
            assert!(function.is_as_before(saved));
        }
        let after: Vec<u32> = all.iter().map(|(bdf, _)| machine.space.read32(*bdf, 0x20)).collect();
        assert_eq!(before, after);
        let mut is_master = |bdf| Function::new(&mut machine, bdf).unwrap().command().contains(Command::BUS_MASTER);
        assert_eq!([SWITCH, DOWN, NIC, ON_ROOT_BUS].map(&mut is_master), [true, true, false, true]);
        let control = Function::new(&mut machine, PORT).unwrap().read16(BRIDGE_CONTROL);
        assert_eq!(control & SECONDARY_BUS_RESET, 0);
    }
}

#[test]
fn status_that_is_cleared_by_writing_is_left_alone() {
    let mut machine = Machine::new(false);
    // Secondary Status and Discard Timer Status: all set.
    machine.space.put(PORT, 0x1c, 0xffff_0000);
    machine.space.put(PORT, 0x3c, u32::from(DISCARD_TIMER_STATUS) << 16);
    let functions = found(&mut machine);
    let port = ports(&mut machine, &functions)[0];
    port.stop(&mut machine, Stop::BusReset);
    port.release(&mut machine, Stop::BusReset);
    // The fake stores what is written: a one would stay.
    assert_eq!(machine.space.read32(PORT, 0x3c) >> 16, 0);
    let saved = Function::new(&mut machine, PORT).unwrap().save().unwrap();
    machine.space.put(PORT, 0x1c, 0);
    Function::new(&mut machine, PORT).unwrap().restore(&saved);
    assert_eq!(machine.space.read32(PORT, 0x1c), 0);
}

#[test]
fn containment_is_over_when_the_port_is_no_longer_busy() {
    let mut machine = Machine::new(true);
    let functions = found(&mut machine);
    let port = ports(&mut machine, &functions)[0];
    assert!(!port.has_stopped(&mut machine, Stop::Containment), "not triggered");
    port.stop(&mut machine, Stop::Containment);
    machine.space.put(PORT, 0x108, 1 | 1 << 4);
    assert!(!port.has_stopped(&mut machine, Stop::Containment), "busy");
    machine.space.put(PORT, 0x108, 1);
    assert!(port.has_stopped(&mut machine, Stop::Containment));
    // A function that is gone reads as all ones, and keeps nobody waiting.
    port.release(&mut machine, Stop::Containment);
    machine.space.put(PORT, 0, u32::MAX);
    assert!(port.has_stopped(&mut machine, Stop::Containment) && port.is_up(&mut machine));
}

#[test]
fn a_port_without_sensible_bus_numbers_is_none() {
    for numbers in [0, 0x00_01_00, 0x05_00_00, u32::MAX >> 8 << 16] {
        let mut machine = Machine::new(false);
        machine.space.put(PORT, 0x18, numbers);
        let identity = crate::Identity::default();
        let functions = [Found { bdf: PORT, identity, requester: PORT, physical: None }];
        let ports = ports(&mut machine, &functions);
        assert!(ports.is_empty(), "{numbers:#x}");
    }
}

#[test]
fn a_port_is_offered_only_where_it_and_all_below_may_be_touched() {
    let mut machine = Machine::new(true);
    let all = found(&mut machine);
    let mut offers = |denied: Option<Bdf>| {
        let all = crate::offers(&mut machine, &all, &|bdf| Some(bdf) != denied);
        let of_nic = all.iter().find(|(found, _)| found.bdf == NIC).unwrap();
        (of_nic.1.port, of_nic.1.containment)
    };
    assert_eq!(offers(None), (true, true));
    assert_eq!(offers(Some(ON_ROOT_BUS)), (true, true));
    for denied in [PORT, SWITCH, DOWN, NIC] {
        assert_eq!(offers(Some(denied)), (false, false), "{denied}");
    }
}
