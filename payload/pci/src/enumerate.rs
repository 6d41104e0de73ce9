//! All functions below one root bus.

use crate::capability::express;
use crate::{CapabilityId, ConfigSpace, Function, HeaderType, Identity};
use addr::Bdf;
use alloc::vec::Vec;

const BUS_NUMBERS: u16 = 0x18;

/// Buses that one ECAM window covers (MCFG). `first` is taken for a root bus; further root buses in the window are
/// ranges of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusRange {
    /// PCI segment group.
    pub segment: u16,
    /// First bus.
    pub first: u8,
    /// Last bus.
    pub last: u8,
}

/// The rest of the window that holds a root bus, from that bus on: one window may hold several root buses.
#[must_use]
pub fn root_at(windows: &[BusRange], segment: u32, bus: u8) -> Option<BusRange> {
    let holds =
        |window: &&BusRange| u32::from(window.segment) == segment && (window.first..=window.last).contains(&bus);
    windows.iter().find(holds).map(|window| BusRange { first: bus, ..*window })
}

/// All functions below `roots`, each once, in bus order; at most `most`.
pub fn functions(space: &mut dyn ConfigSpace, roots: &[BusRange], most: usize) -> Vec<(Bdf, Identity)> {
    let mut found: Vec<(Bdf, Identity)> = Vec::new();
    for range in roots {
        // A range that begins at a bus behind a bridge found before has nothing new.
        if found.iter().any(|(bdf, _)| bdf.segment == range.segment && bdf.bus() == range.first) {
            continue;
        }
        for_each_function(space, *range, &mut |bdf, identity| {
            if found.len() < most && !found.iter().any(|(known, _)| *known == bdf) {
                found.push((bdf, identity));
            }
        });
    }
    found
}

/// A set of bus numbers.
#[derive(Clone, Copy, Default)]
struct Buses([u64; 4]);

impl Buses {
    fn insert(&mut self, bus: u8) {
        if let Some(word) = self.0.get_mut(usize::from(bus >> 6)) {
            *word |= 1 << (bus & 63);
        }
    }

    fn contains(&self, bus: u8) -> bool {
        self.0.get(usize::from(bus >> 6)).is_some_and(|word| word & 1 << (bus & 63) != 0)
    }
}

/// Calls `visit` for every function on the first bus of `range` and on the buses behind its bridges, as the firmware
/// numbered them, in bus order. A bus is visited once, whatever bridges claim.
pub fn for_each_function(space: &mut dyn ConfigSpace, range: BusRange, visit: &mut dyn FnMut(Bdf, Identity)) {
    let (mut found, mut links) = (Buses::default(), Buses::default());
    found.insert(range.first);
    // A secondary bus has a higher number than its primary (PCI-to-PCI Bridge 1.2, 3.2.5.3), so one pass is enough.
    for bus in range.first..=range.last {
        if !found.contains(bus) {
            continue;
        }
        // A PCI Express link has one device at its far end; some root ports answer for all 32 (base 6.0, 7.3.1).
        let devices = if links.contains(bus) { 1 } else { 32 };
        for device in 0..devices {
            for number in 0..8 {
                let bdf = Bdf::new(range.segment, bus, device, number);
                let Some(mut function) = Function::new(space, bdf) else {
                    if number == 0 {
                        break;
                    }
                    continue;
                };
                let identity = function.identity();
                let header = function.header_type();
                if header.layout() == HeaderType::BRIDGE {
                    let secondary = (function.read32(BUS_NUMBERS) >> 8) as u8;
                    if secondary > bus && secondary <= range.last {
                        found.insert(secondary);
                        if is_link(&mut function) {
                            links.insert(secondary);
                        }
                    }
                }
                visit(bdf, identity);
                if number == 0 && !header.is_multi_function() {
                    break;
                }
            }
        }
    }
}

/// Tells whether the bridge's secondary side is a PCI Express link.
fn is_link(bridge: &mut Function<'_>) -> bool {
    // A list that cannot be walked: look for all 32 devices rather than miss some.
    let Ok(Some(at)) = bridge.capability(CapabilityId::EXPRESS) else { return false };
    let port = bridge.read16(at + express::CAPABILITIES) >> 4 & 0xf;
    port == express::TYPE_ROOT_PORT || port == express::TYPE_DOWNSTREAM_PORT
}
