//! Register layout (Intel 82574 data sheet 3.4, chapter 10; Intel 82576 data sheet 2.61, chapter 8; Intel I210 data sheet 3.7,
//! chapter 8).

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
pub(crate) const CTRL_EXT: u64 = 0x0018;
/// Virtual functions are told that their physical one is there again.
pub(crate) const CTRL_EXT_RESET_DONE: u32 = 1 << 14;
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
/// From one to the next.
pub(crate) const QUEUE_82576_STRIDE: u64 = 0x40;
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
/// Frames for a queue without descriptors are dropped.
pub(crate) const SRRCTL_DROP: u32 = 1 << 31;
pub(crate) const RDH: u64 = 0x10;
pub(crate) const RDT: u64 = 0x18;
pub(crate) const RXDCTL: u64 = 0x28;
/// Each descriptor is written back by itself.
pub(crate) const RXDCTL_WTHRESH_1: u32 = 1 << 16;
/// 82574: thresholds are in descriptors.
pub(crate) const RXDCTL_GRAN: u32 = 1 << 24;
/// 82576.
pub(crate) const RXDCTL_ENABLE: u32 = 1 << 25;

// 82576 with virtual functions.
/// Frames that find no descriptor are dropped, by queue.
pub(crate) const QDE: u64 = 0x2408;
/// Receive enables, by pool.
pub(crate) const VFRE: u64 = 0x0c8c;
pub(crate) const MRQC: u64 = 0x5818;
/// Queues belong to pools.
pub(crate) const MRQC_POOLS: u32 = 3;
pub(crate) const VT_CTL: u64 = 0x581c;
/// The pool of frames for nobody: bits 9:7.
pub(crate) const VT_CTL_DEFAULT_POOL: u32 = 7;
/// Every pool that accepts broadcasts gets each.
pub(crate) const VT_CTL_REPLICATE: u32 = 1 << 30;
/// Offloads of pool 0; four bytes to the next.
pub(crate) const VMOLR: u64 = 0x5ad0;
pub(crate) const VMOLR_UNTAGGED: u32 = 1 << 24;
pub(crate) const VMOLR_BROADCAST: u32 = 1 << 27;
/// Good packets received by pool 7; not cleared by reading.
pub(crate) const PVFGPRC_7: u64 = 0x10710;
// Of a virtual function's own.
pub(crate) const VTEIMC: u64 = 0x1528;
/// Good packets received; not cleared by reading.
pub(crate) const VFGPRC: u64 = 0x0f10;
