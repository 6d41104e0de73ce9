//! The structures by which a device is set up, found by its capabilities.

use super::*;
use crate::poll::{poll8, poll16};
use crate::window::Place;

/// QEMU, and hardware that follows it, has all structures in this BAR.
pub(super) const BAR: u8 = 4;
/// What is mapped of a BAR at least.
const MAPPED_BYTES: u64 = 0x1000;
const OTHER_BAR: DmaError = DmaError::Unsupported("the device has its structures elsewhere than in BAR 4");

/// The receive queue of a network card, and the only one of the others.
const QUEUE: u16 = 0;

pub(super) struct Transport {
    pub(super) common: PhysAddr,
    notify: u64,
    notify_bytes: u64,
    multiplier: u64,
    bar_bytes: u64,
    registers: PhysAddr,
}

/// Finds the first structure of this type in [`BAR`]: where its capability is, and its offset and length.
fn structure(function: &mut Function<'_>, wanted: u8) -> Option<(u16, u64, u64)> {
    /// Four-byte places between 40h and 100h: no list without a circle is longer.
    const MOST: usize = 48;
    let mut at = (function.read32(0x34) & 0xfc) as u16;
    for _ in 0..MOST {
        if at < 0x40 {
            return None;
        }
        let header = function.read32(at);
        // The longest of these capabilities has 20 bytes.
        if header as u8 == VENDOR_SPECIFIC && (header >> 24) as u8 == wanted && at <= 0x100 - 20 {
            let bar = function.read32(at + 4) as u8;
            if bar == BAR {
                return Some((at, function.read32(at + 8).into(), function.read32(at + 12).into()));
            }
        }
        at = (header >> 8 & 0xfc) as u16;
    }
    None
}

/// Offset of the common structure.
pub(super) fn common(function: &mut Function<'_>) -> Result<u64, DmaError> {
    let (_, offset, bytes) = structure(function, COMMON_CFG).ok_or(OTHER_BAR)?;
    if bytes < COMMON_BYTES || offset + COMMON_BYTES > MAPPED_BYTES || !offset.is_multiple_of(4) {
        return Err(OTHER_BAR);
    }
    Ok(offset)
}

/// Resets the device: nothing lands after that (2.4).
pub(super) fn reset(bus: &mut dyn Bus, common: PhysAddr) -> Result<(), DmaError> {
    let status = common.plus(DEVICE_STATUS);
    bus.write8(status, 0);
    poll8(bus, "virtio device_status", status, RESET, |status| status == 0)
}

/// Writes a 64-bit field as two halves, each its own (4.1.3.1).
fn write64(bus: &mut dyn Bus, at: PhysAddr, value: u64) {
    bus.write32(at, value as u32);
    bus.write32(at.plus(4), (value >> 32) as u32);
}

impl Transport {
    /// Finds the device's structures; `registers` is the address of [`BAR`].
    pub(super) fn find(function: &mut Function<'_>, registers: PhysAddr) -> Result<Self, DmaError> {
        let common = common(function)?;
        let (capability, notify, notify_bytes) = structure(function, NOTIFY_CFG).ok_or(OTHER_BAR)?;
        let multiplier = u64::from(function.read32(capability + 16));
        let bar = function.memory_bar(BAR)?.ok_or(OTHER_BAR)?;
        let bar_bytes = function.memory_bar_bytes(&bar);
        Ok(Self { common: registers.plus(common), notify, notify_bytes, multiplier, bar_bytes, registers })
    }

    /// Agrees on features (3.1.1): all that the driver needs and `wanted`, nothing else.
    pub(super) fn negotiate(&self, bus: &mut dyn Bus, wanted: u64) -> Result<(), DmaError> {
        let status = self.common.plus(DEVICE_STATUS);
        bus.write8(status, ACKNOWLEDGE);
        bus.write8(status, ACKNOWLEDGE | DRIVER);
        let mut offered = 0;
        for half in [0_u32, 1] {
            bus.write32(self.common.plus(DEVICE_FEATURE_SELECT), half);
            offered |= u64::from(bus.read32(self.common.plus(DEVICE_FEATURE))) << (32 * half);
        }
        if offered & ACCESS_PLATFORM == 0 {
            return Err(DmaError::Unsupported("the device has no ACCESS_PLATFORM: its DMA goes past the SMMU"));
        }
        let needed = VERSION_1 | ACCESS_PLATFORM | wanted;
        if offered & needed != needed {
            return Err(DmaError::Unsupported("the device is none of virtio 1, or cannot merge receive buffers"));
        }
        // A device that asks for barriers of the platform's strength gets none but those anyhow.
        let accepted = needed | offered & ORDER_PLATFORM;
        for half in [0_u32, 1] {
            bus.write32(self.common.plus(DRIVER_FEATURE_SELECT), half);
            bus.write32(self.common.plus(DRIVER_FEATURE), (accepted >> (32 * half)) as u32);
        }
        bus.write8(status, ACKNOWLEDGE | DRIVER | FEATURES_OK);
        if bus.read8(status) & FEATURES_OK == 0 {
            return Err(DmaError::Unsupported("the device does not accept the features that it offered"));
        }
        Ok(())
    }

    /// Refuses a disk of no sectors (5.2.4).
    pub(super) fn check_disk(&self, function: &mut Function<'_>, bus: &mut dyn Bus) -> Result<(), DmaError> {
        let (_, offset, bytes) = structure(function, DEVICE_CFG).ok_or(OTHER_BAR)?;
        if bytes < 8 || offset + 8 > self.bar_bytes || !offset.is_multiple_of(4) {
            return Err(OTHER_BAR);
        }
        let at = self.registers.plus(offset);
        if (bus.read32(at), bus.read32(at.plus(4))) == (0, 0) {
            return Err(DmaError::Unsupported("the disk has no sector"));
        }
        Ok(())
    }

    /// Descriptors that the queue will have: a power of two (2.7).
    pub(super) fn queue_size(&self, bus: &mut dyn Bus) -> Result<u64, DmaError> {
        bus.write16(self.common.plus(QUEUE_SELECT), QUEUE);
        match u64::from(bus.read16(self.common.plus(QUEUE_SIZE))).min(MOST_DESCRIPTORS) {
            0 => Err(DmaError::Unsupported("the device has no queue")),
            most => Ok(1 << most.ilog2()),
        }
    }

    /// Tells the device where the queue lies, and enables it without an interrupt; where it is notified.
    pub(super) fn set_queue(&self, bus: &mut dyn Bus, stream: &Stream, size: u64) -> Result<u64, DmaError> {
        let at = self.common;
        let notify = self.notify + u64::from(bus.read16(at.plus(QUEUE_NOTIFY_OFF))) * self.multiplier;
        let is_inside = notify + 2 <= (self.notify + self.notify_bytes).min(self.bar_bytes);
        if !is_inside || !notify.is_multiple_of(2) {
            return Err(DmaError::Unsupported("the queue's notification lies outside its structure"));
        }
        bus.write16(at.plus(CONFIG_MSIX_VECTOR), NO_VECTOR);
        bus.write16(at.plus(QUEUE_SIZE), size as u16);
        bus.write16(at.plus(QUEUE_MSIX_VECTOR), NO_VECTOR);
        for (field, offset) in [(QUEUE_DESC, DESCRIPTORS_AT), (QUEUE_DRIVER, AVAILABLE_AT), (QUEUE_DEVICE, USED_AT)] {
            write64(bus, at.plus(field), Place::new(&stream.window, offset).iova.0);
        }
        bus.write16(at.plus(QUEUE_ENABLE), 1);
        poll16(bus, "virtio queue_enable", at.plus(QUEUE_ENABLE), RESET, |enabled| enabled == 1)?;
        Ok(notify)
    }
}
