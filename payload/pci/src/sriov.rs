//! Single root I/O virtualization (PCI Express Base 6.0, 9.3.3): virtual functions, each with a requester ID of its own.
//!
//! A virtual function answers with vendor and device ID all ones, and its BARs read as zero (9.3.4.1): what it is and where its
//! registers are, its physical function tells.

use crate::capability::express;
use crate::{CapabilityId, ConfigSpace, ExtendedCapabilityId, Found, Function, Identity, PciError};
use addr::{Bdf, PhysAddr};

#[cfg(test)]
mod tests;

/// How long virtual functions may take until they answer (9.3.3.3.1).
pub const ENABLE_US: u64 = 100_000;

const CONTROL: u16 = 0x08;
const ENABLE: u16 = 1 << 0;
const MEMORY_SPACE: u16 = 1 << 3;
const INITIAL_AND_TOTAL: u16 = 0x0c;
/// NumVFs; 16 bits.
const COUNT: u16 = 0x10;
const OFFSET_AND_STRIDE: u16 = 0x14;
const DEVICE_ID: u16 = 0x18;
const PAGE_SIZE: u16 = 0x20;
const BAR0: u16 = 0x24;
/// Number of the last VF BAR.
pub(crate) const LAST_BAR: u8 = 5;
/// Device Capabilities 2 and Device Control 2: ARI forwarding (7.5.3.15, 7.5.3.16).
const ARI_FORWARDING: u16 = 1 << 5;

/// What a physical function says of its virtual functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sriov {
    /// Offset of the capability.
    at: u16,
    /// Most that the function can have.
    pub most: u16,
    /// How many there are now.
    pub count: u16,
    first: u16,
    stride: u16,
    device: u16,
}

impl Sriov {
    /// Offset of VF BAR 0.
    pub(crate) const fn bars(&self) -> u16 {
        self.at + BAR0
    }

    /// Requester ID of a virtual function, and so its StreamID's origin; `None` where it would be past the last bus, or the
    /// numbers make no sense.
    #[must_use]
    pub fn bdf(&self, physical: Bdf, index: u16) -> Option<Bdf> {
        if self.first == 0 || (self.stride == 0 && index != 0) {
            return None;
        }
        let rid = physical.rid.checked_add(self.first)?.checked_add(self.stride.checked_mul(index)?)?;
        Some(Bdf { rid, ..physical })
    }
}

/// What a reset loses of the capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Saved {
    at: u16,
    control: u16,
    count: u16,
    page_size: u32,
    bars: [u32; LAST_BAR as usize + 1],
}

impl Function<'_> {
    /// Reads the capability; `None` where the function has none.
    ///
    /// # Errors
    /// A capability list that cannot be walked.
    pub fn sriov(&mut self) -> Result<Option<Sriov>, PciError> {
        if self.capability(CapabilityId::EXPRESS)?.is_none() {
            return Ok(None);
        }
        let Some(at) = self.extended_capability(ExtendedCapabilityId::SR_IOV)? else { return Ok(None) };
        let (limits, places) = (self.read32(at + INITIAL_AND_TOTAL), self.read32(at + OFFSET_AND_STRIDE));
        let most = (limits as u16).min((limits >> 16) as u16);
        let is_enabled = self.read16(at + CONTROL) & ENABLE != 0;
        let count = if is_enabled { self.read16(at + COUNT).min(most) } else { 0 };
        let device = (self.read32(at + DEVICE_ID) >> 16) as u16;
        Ok(Some(Sriov { at, most, count, first: places as u16, stride: (places >> 16) as u16, device }))
    }

    /// Turns `count` virtual functions on, at the addresses that firmware left for them; they answer [`ENABLE_US`] later.
    /// Page size and ARI stay as firmware sized its windows for them.
    pub fn enable_virtual(&mut self, sriov: &Sriov, count: u16) {
        let control = self.read16(sriov.at + CONTROL);
        // NumVFs may change only while there are none (9.3.3.7).
        self.write16(sriov.at + CONTROL, control & !(ENABLE | MEMORY_SPACE));
        self.write16(sriov.at + COUNT, count);
        self.write16(sriov.at + CONTROL, control | ENABLE | MEMORY_SPACE);
    }

    /// Address and length of one BAR of the first virtual function; those of the others follow it. `None`: it has none, or
    /// nobody gave it an address. Virtual functions do not answer to memory accesses while it is asked.
    ///
    /// # Errors
    /// A reserved type of BAR.
    pub fn virtual_bar(&mut self, sriov: &Sriov, index: u8) -> Result<Option<(PhysAddr, u64)>, PciError> {
        let Some(bar) = self.memory_bar_at(sriov.bars(), index, LAST_BAR)?.filter(|bar| bar.address.0 != 0) else {
            return Ok(None);
        };
        let control = self.read16(sriov.at + CONTROL);
        self.write16(sriov.at + CONTROL, control & !MEMORY_SPACE);
        let bytes = self.bar_bytes_at(sriov.bars() + 4 * u16::from(index), bar.is_64_bit);
        self.write16(sriov.at + CONTROL, control);
        Ok((bytes != 0).then_some((bar.address, bytes)))
    }

    pub(crate) fn save_virtual(&mut self) -> Result<Option<Saved>, PciError> {
        let Some(Sriov { at, .. }) = self.sriov()?.filter(|sriov| sriov.count != 0) else { return Ok(None) };
        let mut bars = [0; LAST_BAR as usize + 1];
        for (bar, place) in bars.iter_mut().zip((at + BAR0..).step_by(4)) {
            *bar = self.read32(place);
        }
        let (control, count) = (self.read16(at + CONTROL), self.read16(at + COUNT));
        Ok(Some(Saved { at, control, count, page_size: self.read32(at + PAGE_SIZE), bars }))
    }

    pub(crate) fn restore_virtual(&mut self, saved: &Saved) {
        self.write32(saved.at + PAGE_SIZE, saved.page_size);
        for (bar, place) in saved.bars.iter().zip((saved.at + BAR0..).step_by(4)) {
            self.write32(place, *bar);
        }
        // ARI Capable Hierarchy decides about offset and stride, before there are any.
        self.write16(saved.at + CONTROL, saved.control & !(ENABLE | MEMORY_SPACE));
        self.write16(saved.at + COUNT, saved.count);
        self.write16(saved.at + CONTROL, saved.control);
    }
}

/// Where the registers of a virtual function are: one BAR, its address and length.
///
/// # Errors
/// As [`Function::sriov`] and [`Function::virtual_bar`].
pub fn virtual_registers(
    space: &mut dyn ConfigSpace,
    (physical, index): (Bdf, u16),
    bar: u8,
) -> Result<Option<(PhysAddr, u64)>, PciError> {
    let Some(mut function) = Function::new(space, physical) else { return Ok(None) };
    let Some(sriov) = function.sriov()? else { return Ok(None) };
    let first = function.virtual_bar(&sriov, bar)?;
    Ok(first.and_then(|(start, bytes)| Some((start.checked_add(bytes.checked_mul(index.into())?)?, bytes))))
}

/// Visits the virtual functions of `physical` that answer. `name` is what a bridge on the way calls them.
pub(crate) fn each(space: &mut dyn ConfigSpace, physical: Bdf, name: Option<Bdf>, visit: &mut dyn FnMut(Found)) {
    let Some(mut function) = Function::new(space, physical) else { return };
    let vendor = function.identity().vendor;
    let Ok(Some(sriov)) = function.sriov() else { return };
    for index in 0..sriov.count {
        let Some(bdf) = sriov.bdf(physical, index) else { return };
        let Some(mut function) = Function::any(space, bdf) else { continue };
        let identity = Identity { vendor, device: sriov.device, ..function.identity() };
        visit(Found { bdf, identity, requester: name.unwrap_or(bdf), physical: Some((physical, index)) });
    }
}

/// Has the port above `bus` pass on what is for device numbers other than 0, as virtual functions have them. `false`: it cannot.
pub fn forward_ari(space: &mut dyn ConfigSpace, port: Bdf) -> bool {
    let Some(mut function) = Function::new(space, port) else { return false };
    let Ok(Some(at)) = function.capability(CapabilityId::EXPRESS) else { return false };
    if function.read16(at + express::CAPABILITIES) & 0xf < 2
        || function.read32(at + express::DEVICE_CAPABILITIES_2) & u32::from(ARI_FORWARDING) == 0
    {
        return false;
    }
    let control = function.read16(at + express::DEVICE_CONTROL_2);
    function.write16(at + express::DEVICE_CONTROL_2, control | ARI_FORWARDING);
    true
}
