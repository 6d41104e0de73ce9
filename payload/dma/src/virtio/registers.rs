//! Layouts of virtio over PCI (Virtual I/O Device 1.2, 4.1.4) and of the split virtqueue (2.7).

// A capability that says where a structure lies (4.1.4): cfg_type in 31:24 of its first word, then BAR, offset, length.
pub(crate) const VENDOR_SPECIFIC: u8 = 0x09;
pub(crate) const COMMON_CFG: u8 = 1;
pub(crate) const NOTIFY_CFG: u8 = 2;
pub(crate) const DEVICE_CFG: u8 = 4;

// Common configuration structure (4.1.4.3).
pub(crate) const DEVICE_FEATURE_SELECT: u64 = 0x00;
pub(crate) const DEVICE_FEATURE: u64 = 0x04;
pub(crate) const DRIVER_FEATURE_SELECT: u64 = 0x08;
pub(crate) const DRIVER_FEATURE: u64 = 0x0c;
pub(crate) const CONFIG_MSIX_VECTOR: u64 = 0x10;
/// 8 bits.
pub(crate) const DEVICE_STATUS: u64 = 0x14;
pub(crate) const QUEUE_SELECT: u64 = 0x16;
pub(crate) const QUEUE_SIZE: u64 = 0x18;
pub(crate) const QUEUE_MSIX_VECTOR: u64 = 0x1a;
pub(crate) const QUEUE_ENABLE: u64 = 0x1c;
pub(crate) const QUEUE_NOTIFY_OFF: u64 = 0x1e;
pub(crate) const QUEUE_DESC: u64 = 0x20;
pub(crate) const QUEUE_DRIVER: u64 = 0x28;
pub(crate) const QUEUE_DEVICE: u64 = 0x30;
pub(crate) const COMMON_BYTES: u64 = 0x38;
pub(crate) const NO_VECTOR: u16 = 0xffff;

// Device status (2.1).
pub(crate) const ACKNOWLEDGE: u8 = 1;
pub(crate) const DRIVER: u8 = 2;
pub(crate) const DRIVER_OK: u8 = 4;
pub(crate) const FEATURES_OK: u8 = 8;
pub(crate) const NEEDS_RESET: u8 = 0x40;

// Features (6).
pub(crate) const MRG_RXBUF: u64 = 1 << 15;
pub(crate) const VERSION_1: u64 = 1 << 32;
pub(crate) const ACCESS_PLATFORM: u64 = 1 << 33;
pub(crate) const ORDER_PLATFORM: u64 = 1 << 36;

// Descriptors (2.7.5): address, length, flags, next.
pub(crate) const DESCRIPTOR_BYTES: u64 = 16;
pub(crate) const NEXT: u16 = 1;
pub(crate) const WRITE: u16 = 2;
/// Available ring (2.7.6): flags, index, entries.
pub(crate) const NO_INTERRUPT: u16 = 1;
pub(crate) const INDEX_AT: u64 = 2;
pub(crate) const ENTRIES_AT: u64 = 4;
pub(crate) const AVAILABLE_BYTES: u64 = 2;
/// Used ring (2.7.8): flags, index, pairs of id and length.
pub(crate) const USED_BYTES: u64 = 8;

/// Bytes of struct virtio_net_hdr in front of a frame (5.1.6).
pub(crate) const NET_HEADER_BYTES: usize = 12;
/// Bytes of a block request's head: type 0 is a read (5.2.6).
pub(crate) const REQUEST_BYTES: u64 = 16;
