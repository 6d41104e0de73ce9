//! PCI Express configuration space: functions, BARs, capabilities.

#![no_std]
#![forbid(unsafe_code)]

use addr::Bdf;

/// Configuration space by ECAM (PCI Firmware Specification 3.3, 4.1.2). Offsets are below 4096 and naturally aligned.
pub trait ConfigSpace {
    /// Reads 32 bits; all ones where no function answers.
    fn read32(&mut self, function: Bdf, offset: u16) -> u32;
    /// Writes 32 bits.
    fn write32(&mut self, function: Bdf, offset: u16, value: u32);
    /// Writes 16 bits, leaving the neighbouring 16 (status bits are write-one-to-clear).
    fn write16(&mut self, function: Bdf, offset: u16, value: u16);
}

/// IDs of a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Vendor ID.
    pub vendor: u16,
    /// Device ID.
    pub device: u16,
    /// Class code 23:0: base class, sub-class, programming interface.
    pub class: u32,
}
