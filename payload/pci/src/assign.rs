//! Bus numbers and addresses where no firmware has given any: what UEFI or U-Boot does before an image starts.
//!
//! Memory only: nothing here uses I/O space, which stays off. Three passes: numbers, sizes, addresses.

mod number;
mod place;
mod tree;

use crate::{BusRange, Command, ConfigSpace, Function, HeaderType};
use addr::Bdf;

pub use place::Window;

/// One host bridge and what it forwards to memory space.
#[derive(Clone, Copy, Debug)]
pub struct HostBridge<'a> {
    /// Its buses.
    pub buses: BusRange,
    /// Windows on the bus; of each kind the largest is used.
    pub windows: &'a [Window],
}

/// What was done below one host bridge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Assigned {
    /// Functions that answered, bridges included.
    pub functions: u32,
    /// BARs with an address.
    pub bars: u32,
    /// BARs without: the windows are too small, or a bridge on the way has none for them.
    pub left_out: u32,
    /// Buses behind bridges that got no number: the range of buses ended, or bridges lie too deep.
    pub unreached: u32,
}

/// Whether some firmware was here: a bridge forwards configuration accesses, a function answers to memory accesses, or a BAR
/// holds an address (UEFI lets functions answer only when a driver starts). Then nothing should be assigned anew; devices may
/// be at work.
pub fn is_assigned(space: &mut dyn ConfigSpace, buses: BusRange) -> bool {
    let mut is_found = false;
    for_each_on_bus(space, buses.segment, buses.first, 32, &mut |function| {
        let is_numbered = function.header_type().layout() == HeaderType::BRIDGE
            && (function.read32(number::BUS_NUMBERS) >> 8) as u8 != 0;
        let has_address = (0..6).any(|index| matches!(function.memory_bar(index), Ok(Some(bar)) if bar.address.0 != 0));
        is_found |= is_numbered || has_address || function.command().contains(Command::MEMORY_SPACE);
    });
    is_found
}

/// Numbers all buses below the host bridge, gives every memory BAR an address, opens bridges, and lets functions answer to
/// memory accesses. Bus mastering goes on in bridges alone, which must forward what comes from below.
pub fn assign(space: &mut dyn ConfigSpace, host: &HostBridge<'_>) -> Assigned {
    let mut assigned = Assigned::default();
    let root = number::number(space, host.buses, &mut assigned);
    place::place(space, &root, host, &mut assigned);
    assigned
}

/// Calls `visit` for every function of the first `devices` on one bus.
fn for_each_on_bus(
    space: &mut dyn ConfigSpace,
    segment: u16,
    bus: u8,
    devices: u8,
    visit: &mut dyn FnMut(&mut Function<'_>),
) {
    for device in 0..devices {
        for number in 0..8 {
            let Some(mut function) = Function::new(space, Bdf::new(segment, bus, device, number)) else {
                if number == 0 {
                    break;
                }
                continue;
            };
            let is_multi_function = function.header_type().is_multi_function();
            visit(&mut function);
            if number == 0 && !is_multi_function {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests;
