//! Register layout (Intel 82574 data sheet 3.4, chapter 10; Intel 82576 data sheet 2.61, chapter 8).

pub(crate) const CTRL: u64 = 0x0000;
pub(crate) const CTRL_GIO_MASTER_DISABLE: u32 = 1 << 2;
/// Set link up.
pub(crate) const CTRL_SLU: u32 = 1 << 6;
/// Force speed and force duplex: off, the PHY negotiates.
pub(crate) const CTRL_FORCE: u32 = 1 << 11 | 1 << 12;
/// Self-clearing.
pub(crate) const CTRL_RST: u32 = 1 << 26;
pub(crate) const STATUS: u64 = 0x0008;
pub(crate) const STATUS_LU: u32 = 1 << 1;
pub(crate) const STATUS_GIO_MASTER_ENABLE: u32 = 1 << 19;
pub(crate) const EECD: u64 = 0x0010;
pub(crate) const EECD_AUTO_RD: u32 = 1 << 9;
/// Access to the PHY: data 15:0, register 20:16, PHY 25:21, write 26, ready 28.
pub(crate) const MDIC: u64 = 0x0020;
pub(crate) const MDIC_WRITE_PHY1: u32 = 1 << 26 | 1 << 21;
pub(crate) const MDIC_READY: u32 = 1 << 28;
/// PHY register 0 (IEEE 802.3, 22.2.4.1): negotiate, and begin again now.
pub(crate) const PHY_CONTROL_RESTART: u32 = 1 << 12 | 1 << 9;
pub(crate) const IMC: u64 = 0x00d8;
pub(crate) const RCTL: u64 = 0x0100;
pub(crate) const RCTL_EN: u32 = 1 << 1;
/// Broadcasts are accepted; nothing else is.
pub(crate) const RCTL_BAM: u32 = 1 << 15;
pub(crate) const RCTL_BSIZE_256: u32 = 3 << 16;
/// The frame check sequence is stripped.
pub(crate) const RCTL_SECRC: u32 = 1 << 26;
/// Good packets received; cleared by reading.
pub(crate) const GPRC: u64 = 0x4074;
pub(crate) const RAL0: u64 = 0x5400;
pub(crate) const RAH0: u64 = 0x5404;

/// Receive queue 0, 82574.
pub(crate) const QUEUE_82574: u64 = 0x2800;
/// Receive queue 0, 82576.
pub(crate) const QUEUE_82576: u64 = 0xc000;
/// TDT of transmit queue 0, which is never enabled here; 82574.
pub(crate) const TDT_82574: u64 = 0x3818;
/// The same of the 82576.
pub(crate) const TDT_82576: u64 = 0xe018;
// Offsets in a receive queue.
pub(crate) const RDBAL: u64 = 0x00;
pub(crate) const RDBAH: u64 = 0x04;
pub(crate) const RDLEN: u64 = 0x08;
/// 82576 only. Packet buffer size 0: as in RCTL.
pub(crate) const SRRCTL: u64 = 0x0c;
pub(crate) const SRRCTL_ADVANCED_ONE_BUFFER: u32 = 1 << 25;
pub(crate) const RDH: u64 = 0x10;
pub(crate) const RDT: u64 = 0x18;
pub(crate) const RXDCTL: u64 = 0x28;
/// Each descriptor is written back by itself.
pub(crate) const RXDCTL_WTHRESH_1: u32 = 1 << 16;
/// 82574: thresholds are in descriptors.
pub(crate) const RXDCTL_GRAN: u32 = 1 << 24;
/// 82576.
pub(crate) const RXDCTL_ENABLE: u32 = 1 << 25;
