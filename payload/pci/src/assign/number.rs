//! Bus numbers, depth first (PCI Express Base 6.0, 7.5.1.3.2 to 7.5.1.3.4).

use super::{
    Assigned, for_each_on_bus,
    tree::{Bridge, Bus, Node},
};
use crate::enumerate::is_link;
use crate::{BusRange, Command, ConfigSpace, Function, HeaderType};
use addr::Bdf;
use alloc::vec::Vec;

/// Primary, secondary and subordinate bus number; the byte above is the latency timer, 0 in PCI Express.
pub(super) const BUS_NUMBERS: u16 = 0x18;
/// Prefetchable memory base: bits 3:0 say 64 bits or 32 (7.5.1.3.9).
const PREFETCHABLE: u16 = 0x24;
/// More bridges than this, one behind the other, are damage; and each takes stack.
const DEEPEST: u32 = 24;

/// Numbers what is below a host bridge.
pub(super) fn number(space: &mut dyn ConfigSpace, buses: BusRange, assigned: &mut Assigned) -> Bus {
    let mut next = u32::from(buses.first) + 1;
    scan(space, buses, Place { bus: buses.first, devices: 32, depth: 0 }, &mut next, assigned)
}

/// A bus that is looked at.
#[derive(Clone, Copy)]
struct Place {
    bus: u8,
    /// At the far end of a link there is one; some ports answer for all 32.
    devices: u8,
    /// Bridges before it.
    depth: u32,
}

/// Looks at one bus, and numbers the buses behind its bridges from `next` on.
fn scan(space: &mut dyn ConfigSpace, buses: BusRange, place: Place, next: &mut u32, assigned: &mut Assigned) -> Bus {
    let Place { bus, devices, depth } = place;
    let mut here: Vec<Bdf> = Vec::new();
    for_each_on_bus(space, buses.segment, bus, devices, &mut |function| here.push(function.bdf()));
    let mut found = Bus::default();
    for bdf in here {
        let Some(mut function) = Function::new(space, bdf) else { continue };
        assigned.functions += 1;
        // No function decodes while addresses are moved, and none issues requests.
        function.change_command(Command::empty(), Command::IO_SPACE | Command::MEMORY_SPACE | Command::BUS_MASTER);
        let bars = bars(&mut function);
        let mut behind = None;
        if function.header_type().layout() == HeaderType::BRIDGE {
            let has_64_bit_window = function.read32(PREFETCHABLE) & 0xf == 1;
            let devices = if is_link(&mut function) { 1 } else { 32 };
            match u8::try_from(*next).ok().filter(|next| *next <= buses.last && depth < DEEPEST) {
                Some(secondary) => {
                    *next += 1;
                    // All buses that are left are behind it, until it is known how many there are.
                    set(&mut function, bus, secondary, buses.last);
                    let place = Place { bus: secondary, devices, depth: depth + 1 };
                    let below = scan(space, buses, place, next, assigned);
                    // `next` is above `secondary`, and at most one above the last bus.
                    let subordinate = (*next - 1) as u8;
                    if let Some(mut function) = Function::new(space, bdf) {
                        set(&mut function, bus, secondary, subordinate);
                    }
                    behind = Some(Bridge { bus: below, has_64_bit_window });
                }
                None => {
                    set(&mut function, 0, 0, 0);
                    assigned.unreached += 1;
                }
            }
        }
        found.functions.push(Node { bdf, bars, behind });
    }
    found
}

fn set(bridge: &mut Function<'_>, primary: u8, secondary: u8, subordinate: u8) {
    let numbers = u32::from(primary) | u32::from(secondary) << 8 | u32::from(subordinate) << 16;
    let latency = bridge.read32(BUS_NUMBERS) & 0xff00_0000;
    bridge.write32(BUS_NUMBERS, latency | numbers);
}

/// Memory BARs that are there, each with its size. One of a reserved type ends the list: what follows cannot be told.
fn bars(function: &mut Function<'_>) -> Vec<(crate::Bar, u64)> {
    let mut all = Vec::new();
    let mut index = 0;
    while index < 6 {
        let Ok(bar) = function.memory_bar(index) else { break };
        index += 1;
        let Some(bar) = bar else { continue };
        if bar.is_64_bit {
            index += 1;
        }
        let bytes = function.memory_bar_bytes(&bar);
        if bytes.is_power_of_two() {
            all.push((bar, bytes));
        }
    }
    all
}
