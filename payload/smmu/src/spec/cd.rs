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

/// CD bits 191:128.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Cd2 {
    #[bits(4)]
    __: u8,
    /// TTB1 bits 55:4.
    #[bits(52)]
    pub ttb1_55_4: u64,
    #[bits(8)]
    __: u8,
}

impl Cd2 {
    /// Address of the first translation table of the upper half.
    #[must_use]
    pub const fn ttb1(self) -> u64 {
        self.ttb1_55_4() << 4
    }
}

/// CDs in a leaf table of S1Fmt 1 (4 KiB).
pub const LEAF_4K_CDS: u64 = 64;
/// CDs in a leaf table of S1Fmt 2 (64 KiB).
pub const LEAF_64K_CDS: u64 = 1024;

/// A whole CD, as words 0 to 7. Word 3 is MAIR0 in 31:0 and MAIR1 in 63:32.
pub type Cd = [u64; CD_WORDS];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_the_architecture_puts_them() {
        let word = |cd: Cd0| cd.into_bits();
        assert_eq!(word(Cd0::new().with_t0sz(63).with_tg0(3).with_ir0(3).with_or0(3).with_sh0(3)), 0x3FFF);
        assert_eq!(word(Cd0::new().with_epd0(true).with_endi(true)), 1 << 14 | 1 << 15);
        assert_eq!(word(Cd0::new().with_t1sz(63).with_tg1(3)), 63 << 16 | 3 << 22);
        assert_eq!(word(Cd0::new().with_epd1(true).with_v(true)), 1 << 30 | 1 << 31);
        assert_eq!(word(Cd0::new().with_ips(7).with_affd(true).with_wxn(true)), 7 << 32 | 1 << 35 | 1 << 36);
        assert_eq!(word(Cd0::new().with_tbi0(true).with_pan(true).with_aa64(true)), 1 << 38 | 1 << 40 | 1 << 41);
        assert_eq!(word(Cd0::new().with_hd(true).with_ha(true).with_s(true)), 1 << 42 | 1 << 43 | 1 << 44);
        assert_eq!(word(Cd0::new().with_r(true).with_a(true).with_aset(true)), 1 << 45 | 1 << 46 | 1 << 47);
        assert_eq!(word(Cd0::new().with_asid(0xFFFF)), 0xFFFF << 48);
        assert_eq!(Cd1::new().with_nscfg0(true).with_had0(true).with_ttb0(0x1230).into_bits(), 0x1233);
        assert_eq!(Cd2::new().with_ttb1_55_4(0x123).ttb1(), 0x1230);
    }

    #[test]
    fn level_1_descriptor_has_valid_bit_and_pointer() {
        let descriptor = L1Cd::from(0x4567_8000 | 1);
        assert!(descriptor.v());
        assert_eq!(descriptor.l2ptr(), 0x4567_8000);
    }
}
