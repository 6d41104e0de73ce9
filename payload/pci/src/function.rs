//! One function: identity, command register, power state, and what a DMA experiment needs switched off.

use crate::capability::{CapabilityId, express};
use crate::{ConfigSpace, Identity, PciError};
use addr::Bdf;

const VENDOR_ID: u16 = 0x00;
/// Vendor ID of a function that is not ready.
pub(crate) const NOT_READY: u16 = 1;
const COMMAND: u16 = 0x04;
const REVISION_ID: u16 = 0x08;
const CACHE_LINE_SIZE: u16 = 0x0c;

bitflags::bitflags! {
    /// Command register (PCI Express Base 6.0, 7.5.1.1.3).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Command: u16 {
        /// The function answers to its I/O BARs.
        const IO_SPACE = 1 << 0;
        /// The function answers to its memory BARs.
        const MEMORY_SPACE = 1 << 1;
        /// The function may issue memory requests, MSIs included.
        const BUS_MASTER = 1 << 2;
        /// The function answers a poisoned request.
        const PARITY_ERROR_RESPONSE = 1 << 6;
        /// The function reports uncorrectable errors.
        const SERR = 1 << 8;
        /// INTx is not asserted.
        const INTERRUPT_DISABLE = 1 << 10;
        const _ = !0;
    }
}

/// Header type (PCI Express Base 6.0, 7.5.1.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderType(pub u8);

impl HeaderType {
    /// Layout of a function that is no bridge.
    pub const ENDPOINT: u8 = 0;
    /// Layout of a PCI-to-PCI bridge, root ports and switch ports included.
    pub const BRIDGE: u8 = 1;

    /// Layout of the header from 10h on.
    #[must_use]
    pub const fn layout(self) -> u8 {
        self.0 & 0x7f
    }

    /// Tells whether the device may have functions 1 to 7.
    #[must_use]
    pub const fn is_multi_function(self) -> bool {
        self.0 & 0x80 != 0
    }
}

/// A function that answered.
pub struct Function<'a> {
    space: &'a mut dyn ConfigSpace,
    bdf: Bdf,
}

impl<'a> Function<'a> {
    /// Finds the function; `None` where nobody answers: vendor ID all ones, zero on some root complexes, or 1 from a function
    /// that is not ready, where the root port makes that visible (PCI Express Base 6.0, 2.3.1).
    pub fn new(space: &'a mut dyn ConfigSpace, bdf: Bdf) -> Option<Self> {
        Self::find(space, bdf).ok()
    }

    /// The same; the error is the vendor ID that was read instead.
    pub(crate) fn find(space: &'a mut dyn ConfigSpace, bdf: Bdf) -> Result<Self, u16> {
        match space.read32(bdf, VENDOR_ID) as u16 {
            vendor @ (0 | NOT_READY | 0xffff) => Err(vendor),
            _ => Ok(Self { space, bdf }),
        }
    }

    /// The function still answers: it is not gone. Of a virtual one vendor ID all ones says nothing.
    pub(crate) fn answers(&mut self) -> bool {
        self.read32(VENDOR_ID) as u16 != u16::MAX || self.read32(REVISION_ID) != u32::MAX
    }

    /// The same for a function that a capability names, virtual ones included: those read vendor ID all ones, and all else as
    /// any function (9.3.4.1).
    pub fn any(space: &'a mut dyn ConfigSpace, bdf: Bdf) -> Option<Self> {
        let is_there = match space.read32(bdf, VENDOR_ID) as u16 {
            0 | 1 => false,
            0xffff => space.read32(bdf, REVISION_ID) != u32::MAX,
            _ => true,
        };
        is_there.then_some(Self { space, bdf })
    }

    /// Its number.
    #[must_use]
    pub fn bdf(&self) -> Bdf {
        self.bdf
    }

    /// Reads 32 bits at a naturally aligned offset below 4096.
    pub fn read32(&mut self, offset: u16) -> u32 {
        self.space.read32(self.bdf, offset)
    }

    /// Writes 32 bits at a naturally aligned offset below 4096.
    pub fn write32(&mut self, offset: u16, value: u32) {
        self.space.write32(self.bdf, offset, value);
    }

    /// Reads 16 bits at a naturally aligned offset below 4096.
    pub fn read16(&mut self, offset: u16) -> u16 {
        (self.read32(offset & !3) >> (8 * (offset & 2))) as u16
    }

    /// Writes 16 bits at a naturally aligned offset below 4096.
    pub fn write16(&mut self, offset: u16, value: u16) {
        self.space.write16(self.bdf, offset, value);
    }

    /// Reads vendor, device and class.
    pub fn identity(&mut self) -> Identity {
        let ids = self.read32(VENDOR_ID);
        Identity { vendor: ids as u16, device: (ids >> 16) as u16, class: self.read32(REVISION_ID) >> 8 }
    }

    /// Reads the header type.
    pub fn header_type(&mut self) -> HeaderType {
        HeaderType((self.read32(CACHE_LINE_SIZE) >> 16) as u8)
    }

    /// Reads the command register.
    pub fn command(&mut self) -> Command {
        Command::from_bits_retain(self.read16(COMMAND))
    }

    /// Sets and clears bits of the command register; reads back, so that the write has arrived on return.
    pub fn change_command(&mut self, set: Command, clear: Command) {
        let new = (self.command() - clear) | set;
        self.write16(COMMAND, new.bits());
        self.command();
    }

    /// Lets the function answer to its memory BARs, or not.
    pub fn set_memory_space(&mut self, on: bool) {
        let bit = Command::MEMORY_SPACE;
        if on { self.change_command(bit, Command::empty()) } else { self.change_command(Command::empty(), bit) }
    }

    /// Lets the function issue requests, or not.
    pub fn set_bus_master(&mut self, on: bool) {
        let bit = Command::BUS_MASTER;
        if on { self.change_command(bit, Command::empty()) } else { self.change_command(Command::empty(), bit) }
    }

    /// Moves the function to D0. `true`: it slept, and needs 10 ms before the next access (PCI Express Base 6.0, 5.9.1)
    /// and its BARs checked, because it may have lost them (No_Soft_Reset clear).
    ///
    /// # Errors
    /// A capability list that cannot be walked.
    pub fn wake(&mut self) -> Result<bool, PciError> {
        let Some(at) = self.capability(CapabilityId::POWER_MANAGEMENT)? else { return Ok(false) };
        let control = self.read16(at + 4);
        // PME_Status is write-one-to-clear: leave it.
        let awake = control & !0x8003;
        if control & 3 == 0 {
            return Ok(false);
        }
        self.write16(at + 4, awake);
        Ok(true)
    }

    /// Makes the function ready for DMA that can be judged: answers to memory accesses, no INTx, and, where it has a PCI
    /// Express capability, neither No Snoop (the observer reads through caches) nor Relaxed Ordering (data must not pass
    /// the index that announces it). Bus mastering stays as it is.
    ///
    /// # Errors
    /// A capability list that cannot be walked.
    pub fn enable_for_dma(&mut self) -> Result<(), PciError> {
        if let Some(at) = self.capability(CapabilityId::EXPRESS)? {
            let control = self.read16(at + express::DEVICE_CONTROL);
            // Bit 15 starts a function level reset (or stands for another thing on bridges); it reads as zero.
            let clear = express::RELAXED_ORDERING | express::NO_SNOOP | express::INITIATE_FLR;
            self.write16(at + express::DEVICE_CONTROL, control & !clear);
        }
        self.change_command(Command::MEMORY_SPACE | Command::INTERRUPT_DISABLE, Command::empty());
        Ok(())
    }

    /// Tells whether the function has function level reset (PCI Express Base 6.0, 7.5.3.3, bit 28); a bridge never has.
    ///
    /// # Errors
    /// A capability list that cannot be walked.
    pub fn has_flr(&mut self) -> Result<bool, PciError> {
        let Some(at) = self.capability(CapabilityId::EXPRESS)? else { return Ok(false) };
        let is_bridge = self.header_type().layout() != HeaderType::ENDPOINT;
        Ok(!is_bridge && self.read32(at + express::DEVICE_CAPABILITIES) & express::FLR_CAPABLE != 0)
    }
}
