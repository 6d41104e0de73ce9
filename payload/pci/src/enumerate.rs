//! All functions below one root bus.

use crate::capability::express;
use crate::function::NOT_READY;
use crate::{CapabilityId, ConfigSpace, Fault, FaultKind, Function, HeaderType, Identity, sriov};
use addr::Bdf;
use alloc::vec::Vec;

pub(crate) const BUS_NUMBERS: u16 = 0x18;

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

/// A function that answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The function.
    pub bdf: Bdf,
    /// What it is.
    pub identity: Identity,
    /// In whose name its requests reach the host bridge: its own, or that of a bridge which takes them over.
    pub requester: Bdf,
    /// A virtual function: whose, and which of them.
    pub physical: Option<(Bdf, u16)>,
}

/// The rest of the window that holds a root bus, from that bus on: one window may hold several root buses.
#[must_use]
pub fn root_at(windows: &[BusRange], segment: u32, bus: u8) -> Option<BusRange> {
    let holds =
        |window: &&BusRange| u32::from(window.segment) == segment && (window.first..=window.last).contains(&bus);
    windows.iter().find(holds).map(|window| BusRange { first: bus, ..*window })
}

/// All functions below `roots`, each once, in bus order; at most `most`.
pub fn functions(space: &mut dyn ConfigSpace, roots: &[BusRange], most: usize) -> Vec<Found> {
    functions_and_faults(space, roots, most, &mut |_| ())
}

/// The same, telling what cannot be followed.
pub fn functions_and_faults(
    space: &mut dyn ConfigSpace,
    roots: &[BusRange],
    most: usize,
    fault: &mut dyn FnMut(Fault),
) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for range in roots {
        // A range that begins at a bus behind a bridge found before has nothing new.
        if found.iter().any(|Found { bdf, .. }| bdf.segment == range.segment && bdf.bus() == range.first) {
            continue;
        }
        let mut visit = |function: Found| {
            if found.len() < most && !found.iter().any(|known| known.bdf == function.bdf) {
                found.push(function);
            }
        };
        walk(space, *range, &mut visit, fault);
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
pub fn for_each_function(space: &mut dyn ConfigSpace, range: BusRange, visit: &mut dyn FnMut(Found)) {
    walk(space, range, visit, &mut |_| ());
}

fn walk(space: &mut dyn ConfigSpace, range: BusRange, visit: &mut dyn FnMut(Found), fault: &mut dyn FnMut(Fault)) {
    let (mut found, mut links) = (Buses::default(), Buses::default());
    found.insert(range.first);
    // Of the buses behind bridges that give requests a name of their own: bus, name.
    let mut renamed: Vec<(u8, Bdf)> = Vec::new();
    // A secondary bus has a higher number than its primary (PCI-to-PCI Bridge 1.2, 3.2.5.3), so one pass is enough.
    for bus in range.first..=range.last {
        if !found.contains(bus) {
            continue;
        }
        // A PCI Express link has one device at its far end; some root ports answer for all 32 (base 6.0, 7.3.1).
        let devices = if links.contains(bus) { 1 } else { 32 };
        let name = renamed.iter().find(|(behind, _)| *behind == bus).map(|(_, name)| *name);
        for device in 0..devices {
            for number in 0..8 {
                let bdf = Bdf::new(range.segment, bus, device, number);
                let mut function = match Function::find(space, bdf) {
                    Ok(function) => function,
                    Err(vendor) => {
                        if vendor == NOT_READY {
                            fault(Fault::new(FaultKind::NotReady, bdf, 0, vendor.into()));
                        }
                        if number == 0 {
                            break;
                        }
                        continue;
                    }
                };
                let identity = function.identity();
                let header = function.header_type();
                if header.layout() == HeaderType::BRIDGE {
                    let buses = function.read32(BUS_NUMBERS);
                    let secondary = (buses >> 8) as u8;
                    // What another bridge leads to already is visited once, under the first one's name.
                    if secondary <= bus || secondary > range.last || found.contains(secondary) {
                        fault(Fault::new(FaultKind::BusNumbers, bdf, BUS_NUMBERS, buses.into()));
                    }
                    if secondary > bus && secondary <= range.last {
                        found.insert(secondary);
                        let port = port(&mut function);
                        if is_link(&mut function) {
                            links.insert(secondary);
                        }
                        // What a bridge on the way has renamed, no other names again.
                        let name = name.or_else(|| renames(port, bdf, secondary));
                        renamed.extend(name.map(|name| (secondary, name)));
                    }
                }
                visit(Found { bdf, identity, requester: name.unwrap_or(bdf), physical: None });
                if header.layout() == HeaderType::ENDPOINT {
                    sriov::each(space, bdf, name, visit);
                }
                if number == 0 && !header.is_multi_function() {
                    break;
                }
            }
        }
    }
}

/// The port of PCI Express whose link the function is on, among `functions`; `None` on a root bus, and on a conventional one.
pub fn port_above(space: &mut dyn ConfigSpace, functions: &[Bdf], below: Bdf) -> Option<Bdf> {
    functions.iter().copied().find(|bdf| {
        let Some(mut function) = Function::new(space, *bdf) else { return false };
        bdf.segment == below.segment
            && function.header_type().layout() == HeaderType::BRIDGE
            && (function.read32(BUS_NUMBERS) >> 8) as u8 == below.bus()
            && is_link(&mut function)
    })
}

/// Tells whether the bridge's secondary side is a PCI Express link.
pub(crate) fn is_link(bridge: &mut Function<'_>) -> bool {
    matches!(port(bridge), Some(express::TYPE_ROOT_PORT | express::TYPE_DOWNSTREAM_PORT))
}

/// Device/Port Type of a bridge; `None` for a conventional one, or one whose capability list cannot be walked.
fn port(bridge: &mut Function<'_>) -> Option<u16> {
    let at = bridge.capability(CapabilityId::EXPRESS).ok().flatten()?;
    Some(bridge.read16(at + express::CAPABILITIES) >> 4 & 0xf)
}

/// The name that a bridge gives to requests from its secondary bus: ports of PCI Express pass them on as they are; a bridge
/// from PCI Express to PCI takes them over as device 0 of that bus (PCI Express to PCI/PCI-X Bridge 1.0, 2.3); any other as
/// its own (Linux, `pci_for_each_dma_alias()`).
fn renames(port: Option<u16>, bridge: Bdf, secondary: u8) -> Option<Bdf> {
    match port {
        Some(express::TYPE_ROOT_PORT | express::TYPE_UPSTREAM_PORT | express::TYPE_DOWNSTREAM_PORT) => None,
        Some(express::TYPE_TO_PCI_BRIDGE) => Some(Bdf::new(bridge.segment, secondary, 0, 0)),
        _ => Some(bridge),
    }
}
