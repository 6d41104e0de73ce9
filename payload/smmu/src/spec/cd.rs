//! Context descriptors (IHI 0070, 5.3 and 5.4).

use bitfield_struct::bitfield;

/// Bytes of one CD.
pub const CD_BYTES: u64 = 64;
/// 64-bit words of one CD.
pub const CD_WORDS: usize = 8;

/// Level-1 context descriptor (5.3).
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct L1Cd {
    pub v: bool,
    #[bits(11)]
    __: u16,
    /// Leaf table address bits 55:12.
    #[bits(44)]
    pub l2ptr_55_12: u64,
    #[bits(8)]
    __: u8,
}

impl L1Cd {
    /// Address of the leaf table.
    #[must_use]
    pub const fn l2ptr(self) -> u64 {
        self.l2ptr_55_12() << 12
    }
}

/// CD bits 63:0.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Cd0 {
    #[bits(6)]
    pub t0sz: u8,
    /// 0 4 KiB, 1 64 KiB, 2 16 KiB.
    #[bits(2)]
    pub tg0: u8,
    #[bits(2)]
    pub ir0: u8,
    #[bits(2)]
    pub or0: u8,
    #[bits(2)]
    pub sh0: u8,
    pub epd0: bool,
    pub endi: bool,
    #[bits(6)]
    pub t1sz: u8,
    #[bits(2)]
    pub tg1: u8,
    #[bits(2)]
    pub ir1: u8,
    #[bits(2)]
    pub or1: u8,
    #[bits(2)]
    pub sh1: u8,
    pub epd1: bool,
    pub v: bool,
    #[bits(3)]
    pub ips: u8,
    pub affd: bool,
    pub wxn: bool,
    pub uwxn: bool,
    pub tbi0: bool,
    pub tbi1: bool,
    pub pan: bool,
    pub aa64: bool,
    pub hd: bool,
    pub ha: bool,
    pub s: bool,
    pub r: bool,
    pub a: bool,
    pub aset: bool,
    #[bits(16)]
    pub asid: u16,
}

/// CD bits 127:64.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Cd1 {
    pub nscfg0: bool,
    pub had0: bool,
    #[bits(2)]
    __: u8,
    /// TTB0 bits 55:4.
    #[bits(52)]
    pub ttb0_55_4: u64,
    #[bits(8)]
    __: u8,
}

impl Cd1 {
    /// Address of the first translation table.
    #[must_use]
    pub const fn ttb0(self) -> u64 {
        self.ttb0_55_4() << 4
    }

    /// With the first translation table at `address`.
    #[must_use]
    pub const fn with_ttb0(self, address: u64) -> Self {
        self.with_ttb0_55_4(address >> 4)
    }
}

/// A whole CD, as words 0 to 7. Word 3 is MAIR0 in 31:0 and MAIR1 in 63:32.
pub type Cd = [u64; CD_WORDS];
