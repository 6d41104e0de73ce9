//! Ports: what lies below one, and how all of it is stopped at once, by resetting its secondary bus or by containment.

use crate::capability::{CapabilityId, express};
use crate::dpc::Containment;
use crate::reset::{BRIDGE_CONTROL, DISCARD_TIMER_STATUS, SECONDARY_BUS_RESET};
use crate::{ConfigSpace, Found, Function, HeaderType};
use addr::Bdf;
use alloc::vec::Vec;

#[cfg(test)]
mod tests;

const BUS_NUMBERS: u16 = 0x18;
/// How long the secondary bus is held in reset: at least 1 ms (PCI Express Base 6.0, 7.5.1.3.13).
pub const HOLD_US: u64 = 2_000;
/// How long a link may take to come up again; one that stays down has nobody below.
pub const LINK_US: u64 = 1_000_000;

/// How a port stops what lies below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Secondary bus reset, which a link passes on as a hot reset.
    BusReset,
    /// Downstream port containment, triggered by software: the link goes down.
    Containment,
}

/// A bridge on a root bus, with everything below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// The bridge.
    pub bdf: Bdf,
    first: u8,
    last: u8,
    /// Offset of its PCI Express capability, where it reports whether its link is up.
    link: Option<u16>,
    containment: Option<Containment>,
}

/// The ports that lie on root buses: one for each tree of functions that can be reset apart from all others.
#[must_use]
pub fn ports(space: &mut dyn ConfigSpace, functions: &[Found]) -> Vec<Port> {
    let mut ports: Vec<Port> = Vec::new();
    for Found { bdf, .. } in functions {
        // Functions come in bus order: the bridge above is known.
        if ports.iter().any(|port| port.holds(*bdf)) {
            continue;
        }
        let port = Function::new(space, *bdf).and_then(|mut function| port(&mut function));
        ports.extend(port);
    }
    ports
}

fn port(bridge: &mut Function<'_>) -> Option<Port> {
    if bridge.header_type().layout() != HeaderType::BRIDGE {
        return None;
    }
    let numbers = bridge.read32(BUS_NUMBERS);
    let (first, last) = ((numbers >> 8) as u8, (numbers >> 16) as u8);
    if first <= bridge.bdf().bus() || last < first {
        return None;
    }
    let express = bridge.capability(CapabilityId::EXPRESS).ok().flatten();
    let link = express.filter(|at| bridge.read32(at + express::LINK_CAPABILITIES) & express::LINK_ACTIVE_REPORTED != 0);
    let containment = express.and_then(|_| Containment::of(bridge));
    Some(Port { bdf: bridge.bdf(), first, last, link, containment })
}

impl Port {
    /// The function lies below it.
    #[must_use]
    pub fn holds(&self, function: Bdf) -> bool {
        function.segment == self.bdf.segment && (self.first..=self.last).contains(&function.bus())
    }

    /// It has downstream port containment that software can trigger.
    #[must_use]
    pub const fn contains_errors(&self) -> bool {
        self.containment.is_some()
    }

    /// Stops everything below. Nothing there may be accessed until [`Self::release`], and [`crate::RESET_US`] more.
    pub fn stop(&self, space: &mut dyn ConfigSpace, how: Stop) {
        let Some(mut bridge) = Function::new(space, self.bdf) else { return };
        match how {
            Stop::BusReset => {
                let control = bridge.read16(BRIDGE_CONTROL) & !DISCARD_TIMER_STATUS;
                bridge.write16(BRIDGE_CONTROL, control | SECONDARY_BUS_RESET);
            }
            Stop::Containment => self.containment.iter().for_each(|containment| containment.trigger(&mut bridge)),
        }
    }

    /// Whether it has done so: [`Self::release`] may follow, after [`HOLD_US`].
    pub fn has_stopped(&self, space: &mut dyn ConfigSpace, how: Stop) -> bool {
        let Some(mut bridge) = Function::new(space, self.bdf) else { return true };
        match how {
            Stop::BusReset => true,
            // A port that is still busy would ignore what clears it (PCI Express Base 6.0, 7.9.14.4).
            Stop::Containment => {
                self.containment.is_none_or(|containment| containment.is_triggered(&mut bridge)) && !self.is_up(space)
            }
        }
    }

    /// Lets the bus, and its link, come back.
    pub fn release(&self, space: &mut dyn ConfigSpace, how: Stop) {
        let Some(mut bridge) = Function::new(space, self.bdf) else { return };
        match how {
            Stop::BusReset => {
                let control = bridge.read16(BRIDGE_CONTROL) & !(DISCARD_TIMER_STATUS | SECONDARY_BUS_RESET);
                bridge.write16(BRIDGE_CONTROL, control);
            }
            Stop::Containment => self.containment.iter().for_each(|containment| containment.release(&mut bridge)),
        }
    }

    /// Its link is up; `true` where it does not say.
    pub fn is_up(&self, space: &mut dyn ConfigSpace) -> bool {
        let (Some(at), Some(mut bridge)) = (self.link, Function::new(space, self.bdf)) else { return true };
        bridge.read16(at + express::LINK_STATUS) & express::LINK_ACTIVE != 0
    }
}
