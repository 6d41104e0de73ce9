//! Registers and structures, as far as the driver uses them. Numbers in brackets are sections of AHCI 1.3.1.

/// Host capabilities (3.1.1).
pub(super) const CAP: u64 = 0x00;
/// 64-bit addressing.
pub(super) const CAP_S64A: u32 = 1 << 31;
/// Global host control (3.1.2).
pub(super) const GHC: u64 = 0x04;
/// HBA reset.
pub(super) const GHC_HR: u32 = 1 << 0;
/// AHCI enable. Bit 1, the interrupts, stays 0.
pub(super) const GHC_AE: u32 = 1 << 31;
/// Interrupt status, one bit for each port; write-one-to-clear (3.1.3).
pub(super) const IS: u64 = 0x08;
/// Ports implemented (3.1.4).
pub(super) const PI: u64 = 0x0c;
/// Extended host capabilities (3.1.10).
pub(super) const CAP2: u64 = 0x24;
/// Firmware hands the HBA over.
pub(super) const CAP2_BOH: u32 = 1 << 0;
/// Hand-off control and status (3.1.11).
pub(super) const BOHC: u64 = 0x28;
/// Owned by firmware, owned by the operating system.
pub(super) const BOHC_BOS: u32 = 1 << 0;
pub(super) const BOHC_OOS: u32 = 1 << 1;
/// Ownership has changed; write-one-to-clear.
pub(super) const BOHC_OOC: u32 = 1 << 3;
/// Firmware is busy with what it had begun.
pub(super) const BOHC_BB: u32 = 1 << 4;
/// First port, and bytes of each (3.3).
pub(super) const PORTS: u64 = 0x100;
pub(super) const PORT_BYTES: u64 = 0x80;

// Registers of a port.
/// Command list base (3.3.1).
pub(super) const CLB: u64 = 0x00;
/// FIS base (3.3.3).
pub(super) const FB: u64 = 0x08;
/// Interrupt status; write-one-to-clear (3.3.5).
pub(super) const PORT_IS: u64 = 0x10;
/// Host bus fatal error, host bus data error: the HBA could not reach memory.
pub(super) const IS_HOST_BUS: u32 = 1 << 29 | 1 << 28;
/// These two, interface fatal error, task file error: the port has stopped.
pub(super) const IS_STOPPED: u32 = IS_HOST_BUS | 1 << 27 | 1 << 30;
/// Interrupt enable.
pub(super) const PORT_IE: u64 = 0x14;
/// Command and status (3.3.7).
pub(super) const CMD: u64 = 0x18;
/// Start: works off the command list.
pub(super) const CMD_ST: u32 = 1 << 0;
/// Spin-up device, power on device: writable only where the HBA has them.
pub(super) const CMD_UP: u32 = 1 << 1 | 1 << 2;
/// FIS receive enable.
pub(super) const CMD_FRE: u32 = 1 << 4;
/// Command list running.
pub(super) const CMD_CR: u32 = 1 << 15;
/// Task file data (3.3.8).
pub(super) const TFD: u64 = 0x20;
/// ERR of the status byte.
pub(super) const TFD_ERR: u32 = 1 << 0;
/// BSY and DRQ.
pub(super) const TFD_BUSY: u32 = 1 << 7 | 1 << 3;
/// Signature (3.3.9): that of a disk.
pub(super) const SIG: u64 = 0x24;
pub(super) const SIG_DISK: u32 = 0x0000_0101;
/// Serial ATA status (3.3.10): DET 3:0; 3 is a device whose link is up.
pub(super) const SSTS: u64 = 0x28;
/// Serial ATA error; write-one-to-clear (3.3.12).
pub(super) const SERR: u64 = 0x30;
/// Command issue (3.3.14): set to start, cleared by the HBA when the command has ended.
pub(super) const CI: u64 = 0x38;

/// Bytes of a command header (4.2.2), and from one command table of ours to the next (4.2.3).
pub(super) const HEADER_BYTES: u64 = 32;
pub(super) const TABLE_BYTES: u64 = 0x100;
/// Offset of the first region in a command table.
pub(super) const REGION: usize = 0x80;
/// Length of a command FIS, in dwords: the low bits of a header. W, bit 6, stays 0: no command ever writes to the device.
pub(super) const HEADER_CFL: u32 = 5;

// The only ATA commands that are ever sent (ACS-4, 7.12, 7.20).
pub(super) const IDENTIFY_DEVICE: u8 = 0xec;
/// READ SECTOR(S) EXT: the PIO data-in protocol, in which the HBA writes memory as in any other.
pub(super) const READ_SECTORS_EXT: u8 = 0x24;
