//! Events (IHI 0070, chapter 7): 32 bytes, four words.

use bitfield_struct::bitfield;

/// One event queue entry.
pub type Event = [u64; 4];
/// Bytes of one event.
pub const EVENT_BYTES: u64 = 32;

/// Event numbers, bits 7:0 of word 0 (7.3).
pub mod id {
    #![expect(missing_docs, reason = "names are the architecture's")]
    pub const F_UUT: u8 = 0x01;
    pub const C_BAD_STREAMID: u8 = 0x02;
    pub const F_STE_FETCH: u8 = 0x03;
    pub const C_BAD_STE: u8 = 0x04;
    pub const F_BAD_ATS_TREQ: u8 = 0x05;
    pub const F_STREAM_DISABLED: u8 = 0x06;
    pub const F_TRANSL_FORBIDDEN: u8 = 0x07;
    pub const C_BAD_SUBSTREAMID: u8 = 0x08;
    pub const F_CD_FETCH: u8 = 0x09;
    pub const C_BAD_CD: u8 = 0x0A;
    pub const F_WALK_EABT: u8 = 0x0B;
    pub const F_TRANSLATION: u8 = 0x10;
    pub const F_ADDR_SIZE: u8 = 0x11;
    pub const F_ACCESS: u8 = 0x12;
    pub const F_PERMISSION: u8 = 0x13;
    pub const F_TLB_CONFLICT: u8 = 0x20;
    pub const F_CFG_CONFLICT: u8 = 0x21;
    pub const E_PAGE_REQUEST: u8 = 0x24;
    pub const F_VMS_FETCH: u8 = 0x25;
}

/// Event bits 63:0.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Event0 {
    pub id: u8,
    #[bits(3)]
    __: u8,
    /// SubstreamID is valid.
    pub ssv: bool,
    #[bits(20)]
    pub substream_id: u32,
    pub stream_id: u32,
}

/// Event bits 127:64, as the translation faults have them.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Event1 {
    pub stag: u16,
    #[bits(15)]
    __: u16,
    pub stall: bool,
    #[bits(1)]
    __: u8,
    pub pnu: bool,
    pub ind: bool,
    /// 1: read.
    pub rnw: bool,
    #[bits(3)]
    __: u8,
    pub s2: bool,
    /// 0 CD, 1 translation table descriptor, 2 input address.
    #[bits(2)]
    pub class: u8,
    #[bits(2)]
    __: u8,
    pub ttrnw: bool,
    #[bits(19)]
    __: u32,
}
