//! Registers of the three devices. All are in BAR 0 and 32 bits wide as they are used here.

/// What the mark register of the first two holds while the driver is at work; 20 bits.
pub(super) const AT_WORK: u32 = 0xf_1e57;

// QEMU's edu.
/// The mark: reads as the inverse of what was written.
pub(super) const EDU_LIVENESS: u64 = 0x04;
pub(super) const EDU_INTERRUPT_ACKNOWLEDGE: u64 = 0x64;
pub(super) const EDU_SOURCE: u64 = 0x80;
pub(super) const EDU_DESTINATION: u64 = 0x88;
pub(super) const EDU_COUNT: u64 = 0x90;
pub(super) const EDU_COMMAND: u64 = 0x98;
/// Start, and from the device's buffer to memory; without its bit for an interrupt.
pub(super) const EDU_WRITE: u32 = 1 << 0 | 1 << 1;
pub(super) const EDU_BUSY: u32 = 1 << 0;
/// Where the device's own buffer begins, as a source.
pub(super) const EDU_BUFFER: u32 = 0x4_0000;

// Arm's exerciser.
pub(super) const EXERCISER_CONTROL: u64 = 0x08;
/// Trigger, and write. No PASID, address untranslated, snooping.
pub(super) const EXERCISER_WRITE: u32 = 1 << 0 | 1 << 4;
pub(super) const EXERCISER_BUSY: u32 = 0xf;
pub(super) const EXERCISER_OFFSET: u64 = 0x0c;
pub(super) const EXERCISER_ADDRESS: u64 = 0x10;
pub(super) const EXERCISER_LENGTH: u64 = 0x18;
pub(super) const EXERCISER_STATUS: u64 = 0x1c;
pub(super) const EXERCISER_STATUS_CLEAR: u32 = 1 << 2;
/// The mark: the PASID value, which is not used.
pub(super) const EXERCISER_PASID: u64 = 0x20;

// QEMU's iommu-testdev.
/// A read makes the transfer that is armed, and gives 0; where none is armed nothing moves.
pub(super) const TESTDEV_TRIGGER: u64 = 0x00;
/// The address that passes through the SMMU.
pub(super) const TESTDEV_ADDRESS: u64 = 0x04;
pub(super) const TESTDEV_LENGTH: u64 = 0x0c;
/// 0: what was written is found at [`TESTDEV_COMPARED`]; DEAD0002h: the write was refused; DEAD0004h: something else is found.
pub(super) const TESTDEV_RESULT: u64 = 0x10;
/// The mark: a transfer is armed. After a reset and when it was disarmed the register has all ones.
pub(super) const TESTDEV_ARMED: u32 = 0xffff_fffe;
/// Bit 0 arms, without it a write disarms.
pub(super) const TESTDEV_DOORBELL: u64 = 0x14;
pub(super) const TESTDEV_ARM: u32 = 1 << 0;
/// Security state of the requests: bit 0 Secure; bits 2:1 the space, 1 Non-secure; bit 3 the space counts (else it is 1).
pub(super) const TESTDEV_ATTRIBUTES: u64 = 0x18;
pub(super) const TESTDEV_NON_SECURE: u32 = 1 << 1 | 1 << 3;
/// The physical address that it reads afterwards, past the SMMU.
pub(super) const TESTDEV_COMPARED: u64 = 0x1c;
