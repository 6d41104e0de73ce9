//! The two capability lists, walked with a bound.

use crate::{Function, PciError};

const STATUS: u16 = 0x06;
const STATUS_CAPABILITIES: u16 = 1 << 4;
const CAPABILITIES_POINTER: u16 = 0x34;
const EXTENDED: u16 = 0x100;
/// Four-byte places between 40h and 100h: no list without a circle is longer.
const MAX_CAPABILITIES: usize = (0x100 - 0x40) / 4;
/// Four-byte places between 100h and 1000h.
const MAX_EXTENDED: usize = (0x1000 - 0x100) / 4;

/// Offsets and bits in the PCI Express capability (PCI Express Base 6.0, 7.5.3).
pub(crate) mod express {
    /// PCI Express Capabilities: Device/Port Type in 7:4.
    pub(crate) const CAPABILITIES: u16 = 0x02;
    pub(crate) const DEVICE_CAPABILITIES: u16 = 0x04;
    pub(crate) const DEVICE_CONTROL: u16 = 0x08;
    /// 16 bits.
    pub(crate) const DEVICE_STATUS: u16 = 0x0a;
    pub(crate) const LINK_CAPABILITIES: u16 = 0x0c;
    /// 16 bits.
    pub(crate) const LINK_STATUS: u16 = 0x12;
    pub(crate) const SLOT_CAPABILITIES: u16 = 0x14;
    /// 16 bits.
    pub(crate) const SLOT_STATUS: u16 = 0x1a;
    /// 16 bits.
    pub(crate) const ROOT_CONTROL: u16 = 0x1c;
    pub(crate) const DEVICE_CAPABILITIES_2: u16 = 0x24;
    pub(crate) const DEVICE_CONTROL_2: u16 = 0x28;
    pub(crate) const SLOT_IMPLEMENTED: u16 = 1 << 8;
    pub(crate) const TRANSACTIONS_PENDING: u16 = 1 << 5;
    pub(crate) const RELAXED_ORDERING: u16 = 1 << 4;
    pub(crate) const NO_SNOOP: u16 = 1 << 11;
    pub(crate) const INITIATE_FLR: u16 = 1 << 15;
    pub(crate) const FLR_CAPABLE: u32 = 1 << 28;
    /// The port says whether its link is up.
    pub(crate) const LINK_ACTIVE_REPORTED: u32 = 1 << 20;
    pub(crate) const LINK_ACTIVE: u16 = 1 << 13;
    pub(crate) const TYPE_ROOT_PORT: u16 = 4;
    pub(crate) const TYPE_UPSTREAM_PORT: u16 = 5;
    pub(crate) const TYPE_DOWNSTREAM_PORT: u16 = 6;
    pub(crate) const TYPE_TO_PCI_BRIDGE: u16 = 7;
    pub(crate) const TYPE_FROM_PCI_BRIDGE: u16 = 8;
    pub(crate) const TYPE_INTEGRATED: u16 = 9;
    pub(crate) const TYPE_EVENT_COLLECTOR: u16 = 10;
}

/// ID of a capability below 100h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapabilityId(pub u8);

impl CapabilityId {
    /// Power management.
    pub const POWER_MANAGEMENT: Self = Self(0x01);
    /// Message signalled interrupts.
    pub const MSI: Self = Self(0x05);
    /// PCI Express.
    pub const EXPRESS: Self = Self(0x10);
    /// MSI-X.
    pub const MSI_X: Self = Self(0x11);
}

/// ID of a capability from 100h on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedCapabilityId(pub u16);

impl ExtendedCapabilityId {
    /// Advanced error reporting.
    pub const ADVANCED_ERROR_REPORTING: Self = Self(0x0001);
    /// Root complex event collector endpoint association.
    pub const EVENT_COLLECTOR: Self = Self(0x0007);
    /// Access control services.
    pub const ACCESS_CONTROL: Self = Self(0x000d);
    /// Resizable BAR.
    pub const RESIZABLE_BAR: Self = Self(0x0015);
    /// Address translation services.
    pub const ADDRESS_TRANSLATION: Self = Self(0x000f);
    /// Single root I/O virtualization.
    pub const SR_IOV: Self = Self(0x0010);
    /// Page request interface.
    pub const PAGE_REQUEST: Self = Self(0x0013);
    /// Process address space IDs.
    pub const PASID: Self = Self(0x001b);
    /// Downstream port containment.
    pub const DOWNSTREAM_PORT_CONTAINMENT: Self = Self(0x001d);
}

impl Function<'_> {
    /// Finds the first capability with this ID; its offset.
    ///
    /// # Errors
    /// A list with a circle or with a pointer outside 40h to FFh.
    pub fn capability(&mut self, id: CapabilityId) -> Result<Option<u16>, PciError> {
        let function = self.bdf();
        if self.read16(STATUS) & STATUS_CAPABILITIES == 0 {
            return Ok(None);
        }
        // The two low bits of every pointer are reserved and to be masked (7.5.1.1.11).
        let mut at = (self.read32(CAPABILITIES_POINTER) & 0xfc) as u16;
        for _ in 0..MAX_CAPABILITIES {
            if at == 0 {
                return Ok(None);
            }
            if at < 0x40 {
                return Err(PciError::CapabilityPointer { function, at });
            }
            let header = self.read32(at);
            if header as u8 == id.0 {
                return Ok(Some(at));
            }
            at = (header >> 8 & 0xfc) as u16;
        }
        if at == 0 { Ok(None) } else { Err(PciError::CapabilityLoop { function, at }) }
    }

    /// The next, of a PCI Express function: what others have above the first 256 bytes is nobody's word.
    pub(crate) fn extended_if_any(&mut self, id: ExtendedCapabilityId) -> Result<Option<u16>, PciError> {
        match self.capability(CapabilityId::EXPRESS) {
            Ok(Some(_)) => self.extended_capability(id),
            // What is wrong there is told of that list.
            _ => Ok(None),
        }
    }

    /// Finds the first extended capability with this ID; its offset.
    ///
    /// # Errors
    /// A list with a circle or with a pointer below 100h.
    pub fn extended_capability(&mut self, id: ExtendedCapabilityId) -> Result<Option<u16>, PciError> {
        let function = self.bdf();
        let mut at = EXTENDED;
        for _ in 0..MAX_EXTENDED {
            let header = self.read32(at);
            // No extended space reads as zero or, on a conventional function, as all ones.
            if header == 0 || header == u32::MAX {
                return Ok(None);
            }
            if header as u16 == id.0 {
                return Ok(Some(at));
            }
            at = (header >> 20 & 0xffc) as u16;
            if at == 0 {
                return Ok(None);
            }
            if at < EXTENDED {
                return Err(PciError::CapabilityPointer { function, at });
            }
        }
        Err(PciError::CapabilityLoop { function, at })
    }
}
