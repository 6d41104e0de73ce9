//! What a function is and is set to, in registers as they are read: a few words, which the host puts into words.

use crate::capability::express;
use crate::{CapabilityId, ExtendedCapabilityId, Function, HeaderType, PciError};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

bitflags::bitflags! {
    /// Capabilities that a function has.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Has: u32 {
        /// PCI Express.
        const EXPRESS = 1 << 0;
        /// Power management.
        const POWER = 1 << 1;
        /// Advanced error reporting.
        const AER = 1 << 2;
        /// Downstream port containment.
        const DPC = 1 << 3;
        /// Access control services.
        const ACS = 1 << 4;
        /// Address translation services.
        const ATS = 1 << 5;
        /// Page request interface.
        const PRI = 1 << 6;
        /// Process address space IDs.
        const PASID = 1 << 7;
        /// Single root I/O virtualization.
        const SR_IOV = 1 << 8;
        /// Root complex event collector.
        const COLLECTOR = 1 << 9;
        /// A list of capabilities could not be walked to its end: what is not named here may be there.
        const CUT = 1 << 15;
    }
}

/// A word of [`State`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Word {
    /// Header type in 7:0; of a bridge primary, secondary and subordinate bus in 15:8, 23:16, 31:24.
    Header,
    /// PCI Express Capabilities (PCI Express Base 6.0, 7.5.3.2).
    Express,
    /// Device Capabilities (7.5.3.3).
    DeviceCapabilities,
    /// Device Control, and Device Status in 31:16 (7.5.3.4, 7.5.3.5).
    Device,
    /// Device Capabilities 2 (7.5.3.15).
    DeviceCapabilities2,
    /// Device Control 2 (7.5.3.16).
    Device2,
    /// Link Capabilities (7.5.3.6).
    LinkCapabilities,
    /// Link Status (7.5.3.8).
    Link,
    /// Slot Capabilities (7.5.3.9).
    SlotCapabilities,
    /// Slot Status (7.5.3.11).
    Slot,
    /// Power Management Control/Status (7.5.2.2).
    Power,
    /// ACS Capability, and ACS Control in 31:16 (7.7.11).
    Acs,
    /// ATS Capability, and ATS Control in 31:16 (10.5.1).
    Ats,
    /// Page Request Control, and Page Request Status in 31:16 (10.5.2).
    Pri,
    /// PASID Capability, and PASID Control in 31:16 (7.8.9).
    Pasid,
    /// SR-IOV: TotalVFs, and NumVFs in 31:16, which is 0 while VF Enable is clear (9.3.3).
    Vfs,
}

/// Number of [`Word`]s.
pub const WORDS: usize = Word::Vfs as usize + 1;

/// The state of one function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct State {
    has: u32,
    /// By [`Word`].
    pub words: [u32; WORDS],
}

impl State {
    /// As it lies in memory, for a record of the console.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }

    /// The same read back; `None` where the length is another.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::read_from_bytes(bytes).ok()
    }

    /// Reads it. Nothing is written.
    pub fn read(function: &mut Function<'_>) -> Self {
        let mut state = Self::default();
        let header = function.header_type();
        let mut word = u32::from(header.0);
        if header.layout() == HeaderType::BRIDGE {
            word |= function.read32(0x18) << 8;
        }
        state.put(Word::Header, word);
        if let Some(at) = state.note(Has::POWER, function.capability(CapabilityId::POWER_MANAGEMENT)) {
            state.put(Word::Power, function.read16(at + 4).into());
        }
        let Some(at) = state.note(Has::EXPRESS, function.capability(CapabilityId::EXPRESS)) else { return state };
        state.express(function, at);
        state.extended(function);
        state
    }

    /// Of a function that has these, with all words 0.
    #[must_use]
    pub const fn with(has: Has) -> Self {
        Self { has: has.bits(), words: [0; WORDS] }
    }

    /// What it has; words of what it has not are 0.
    #[must_use]
    pub const fn has(&self) -> Has {
        Has::from_bits_retain(self.has)
    }

    /// One of its words.
    #[must_use]
    pub const fn word(&self, word: Word) -> u32 {
        self.words[word as usize]
    }

    /// Device/Port Type (7.5.3.2).
    #[must_use]
    pub const fn kind(&self) -> Option<u8> {
        if self.has().contains(Has::EXPRESS) { Some((self.word(Word::Express) >> 4 & 0xf) as u8) } else { None }
    }

    /// Function level reset.
    #[must_use]
    pub const fn has_flr(&self) -> bool {
        self.word(Word::DeviceCapabilities) & express::FLR_CAPABLE != 0
    }

    /// The device may have functions 1 to 7.
    #[must_use]
    pub const fn is_multi_function(&self) -> bool {
        HeaderType(self.word(Word::Header) as u8).is_multi_function()
    }

    /// Secondary and subordinate bus of a bridge.
    #[must_use]
    pub const fn buses(&self) -> Option<(u8, u8)> {
        let header = self.word(Word::Header);
        if HeaderType(header as u8).layout() != HeaderType::BRIDGE {
            return None;
        }
        Some(((header >> 16) as u8, (header >> 24) as u8))
    }

    fn put(&mut self, word: Word, value: u32) {
        self.words[word as usize] = value;
    }

    fn note(&mut self, what: Has, found: Result<Option<u16>, PciError>) -> Option<u16> {
        match found {
            Ok(Some(at)) => {
                self.has |= what.bits();
                Some(at)
            }
            Ok(None) => None,
            Err(_) => {
                self.has |= Has::CUT.bits();
                None
            }
        }
    }

    fn express(&mut self, function: &mut Function<'_>, at: u16) {
        let capabilities = function.read16(at + express::CAPABILITIES);
        self.put(Word::Express, capabilities.into());
        self.put(Word::DeviceCapabilities, function.read32(at + express::DEVICE_CAPABILITIES));
        self.put(Word::Device, function.read32(at + express::DEVICE_CONTROL));
        let kind = capabilities >> 4 & 0xf;
        // What is integrated into the root complex has no link.
        if !matches!(kind, express::TYPE_INTEGRATED | express::TYPE_EVENT_COLLECTOR) {
            self.put(Word::LinkCapabilities, function.read32(at + express::LINK_CAPABILITIES));
            self.put(Word::Link, function.read16(at + express::LINK_STATUS).into());
        }
        if capabilities & express::SLOT_IMPLEMENTED != 0 {
            self.put(Word::SlotCapabilities, function.read32(at + express::SLOT_CAPABILITIES));
            self.put(Word::Slot, function.read16(at + express::SLOT_STATUS).into());
        }
        // The second half came with version 2.
        if capabilities & 0xf >= 2 {
            self.put(Word::DeviceCapabilities2, function.read32(at + express::DEVICE_CAPABILITIES_2));
            self.put(Word::Device2, function.read16(at + express::DEVICE_CONTROL_2).into());
        }
    }

    fn extended(&mut self, function: &mut Function<'_>) {
        use ExtendedCapabilityId as Id;
        /// Its bit, its ID, and the offset of a register of 32 bits that says how it is set.
        type Capability = (Has, Id, Option<(Word, u16)>);
        const ALL: [Capability; 8] = [
            (Has::AER, Id::ADVANCED_ERROR_REPORTING, None),
            (Has::DPC, Id::DOWNSTREAM_PORT_CONTAINMENT, None),
            (Has::COLLECTOR, Id::EVENT_COLLECTOR, None),
            (Has::ACS, Id::ACCESS_CONTROL, Some((Word::Acs, 4))),
            (Has::ATS, Id::ADDRESS_TRANSLATION, Some((Word::Ats, 4))),
            (Has::PRI, Id::PAGE_REQUEST, Some((Word::Pri, 4))),
            (Has::PASID, Id::PASID, Some((Word::Pasid, 4))),
            (Has::SR_IOV, Id::SR_IOV, Some((Word::Vfs, 0xc))),
        ];
        for (has, id, register) in ALL {
            let Some(at) = self.note(has, function.extended_capability(id)) else { continue };
            let Some((word, offset)) = register.filter(|(_, offset)| at + offset < 0x1000) else { continue };
            let mut value = function.read32(at + offset);
            if has == Has::SR_IOV {
                // TotalVFs is the upper half there.
                value = value >> 16 | enabled_vfs(function, at) << 16;
            }
            self.put(word, value);
        }
    }
}

/// NumVFs while VF Enable is set.
fn enabled_vfs(function: &mut Function<'_>, at: u16) -> u32 {
    if at + 0x10 >= 0x1000 || function.read32(at + 8) & 1 == 0 { 0 } else { function.read16(at + 0x10).into() }
}

#[cfg(test)]
mod tests;
