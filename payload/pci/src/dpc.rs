//! Downstream port containment, triggered by software (PCI Express Base 6.0, 6.2.11 and 7.9.14).

use crate::{ExtendedCapabilityId, Function};

// Offsets in the capability; all are 16 bits wide.
const CAPABILITY: u16 = 0x04;
const CONTROL: u16 = 0x06;
const STATUS: u16 = 0x08;

const SOFTWARE_TRIGGER_SUPPORTED: u16 = 1 << 7;
/// Trigger Enable, bits 1:0: 01 is "ERR_FATAL". With 00 the software trigger does nothing.
const ENABLE_MASK: u16 = 3;
const ENABLE_FATAL: u16 = 1;
/// Interrupt and ERR_COR of an event: off, nobody listens.
const TELLS: u16 = 1 << 3 | 1 << 4;
/// Reads as 0.
const SOFTWARE_TRIGGER: u16 = 1 << 6;
/// Write-one-to-clear: releases the port.
const TRIGGERED: u16 = 1 << 0;
/// Write-one-to-clear.
const INTERRUPT: u16 = 1 << 3;
/// The root port still works on outstanding requests: Triggered must not be cleared yet.
const ROOT_PORT_BUSY: u16 = 1 << 4;

/// The capability of a port that software can have contain what lies below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Containment {
    at: u16,
    /// Control as it was found.
    control: u16,
}

impl Containment {
    /// The capability, where the port can be told to.
    pub(crate) fn of(port: &mut Function<'_>) -> Option<Self> {
        let id = ExtendedCapabilityId::DOWNSTREAM_PORT_CONTAINMENT;
        let at = port.extended_capability(id).ok().flatten()?;
        let can = port.read16(at + CAPABILITY) & SOFTWARE_TRIGGER_SUPPORTED != 0;
        can.then(|| Self { at, control: port.read16(at + CONTROL) & !SOFTWARE_TRIGGER })
    }

    /// Takes the link down.
    pub(crate) fn trigger(self, port: &mut Function<'_>) {
        let enabled = self.control & !(ENABLE_MASK | TELLS) | ENABLE_FATAL;
        port.write16(self.at + CONTROL, enabled);
        port.write16(self.at + CONTROL, enabled | SOFTWARE_TRIGGER);
    }

    /// The port has contained, and is done with what was on its way.
    pub(crate) fn is_triggered(self, port: &mut Function<'_>) -> bool {
        port.read16(self.at + STATUS) & (TRIGGERED | ROOT_PORT_BUSY) == TRIGGERED
    }

    /// Lets the link train again, and puts the control back.
    pub(crate) fn release(self, port: &mut Function<'_>) {
        port.write16(self.at + STATUS, TRIGGERED | INTERRUPT);
        port.write16(self.at + CONTROL, self.control);
    }
}
