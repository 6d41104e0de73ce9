//! Commands (IHI 0070, chapter 4): 16 bytes, two words.

/// One command queue entry.
pub type Command = [u64; 2];
/// Bytes of one command.
pub const COMMAND_BYTES: u64 = 16;

/// Opcode, bits 7:0 of word 0.
pub mod opcode {
    pub const PREFETCH_CONFIG: u8 = 0x01;
    pub const CFGI_STE: u8 = 0x03;
    pub const CFGI_ALL: u8 = 0x04;
    pub const CFGI_CD: u8 = 0x05;
    pub const CFGI_CD_ALL: u8 = 0x06;
    pub const TLBI_NH_ALL: u8 = 0x10;
    pub const TLBI_NH_ASID: u8 = 0x11;
    pub const TLBI_EL2_ALL: u8 = 0x20;
    pub const TLBI_NSNH_ALL: u8 = 0x30;
    pub const SYNC: u8 = 0x46;
}
