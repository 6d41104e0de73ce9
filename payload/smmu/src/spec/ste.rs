//! Stream table (IHI 0070, 5.1 level-1 descriptor, 5.2 stream table entry).

use bitfield_struct::bitfield;

/// Bytes of one STE.
pub const STE_BYTES: u64 = 64;
/// 64-bit words of one STE.
pub const STE_WORDS: usize = 8;

/// Level-1 stream table descriptor.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct L1Std {
    /// 0: no level-2 table; n in 1..=11: 2^(n-1) STEs; above: reserved, read as 0.
    #[bits(5)]
    pub span: u8,
    #[bits(1)]
    __: u8,
    /// Level-2 table address bits 55:6.
    #[bits(50)]
    pub l2ptr_55_6: u64,
    #[bits(8)]
    __: u8,
}

impl L1Std {
    /// Address of the level-2 table.
    #[must_use]
    pub const fn l2ptr(self) -> u64 {
        self.l2ptr_55_6() << 6
    }

    /// With the level-2 table at `address`, a multiple of its size.
    #[must_use]
    pub const fn with_l2ptr(self, address: u64) -> Self {
        self.with_l2ptr_55_6(address >> 6)
    }
}

/// STE.Config (5.2): what happens to the stream's transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config(pub u8);

impl Config {
    /// Transactions end without an event.
    pub const ABORT: Self = Self(0b000);
    /// Untranslated.
    pub const BYPASS: Self = Self(0b100);
    /// Stage 1 only.
    pub const S1: Self = Self(0b101);
    /// Stage 2 only.
    pub const S2: Self = Self(0b110);
    /// Both stages.
    pub const NESTED: Self = Self(0b111);

    /// `0b0xx` all abort.
    #[must_use]
    pub const fn is_abort(self) -> bool {
        self.0 & 0b100 == 0
    }

    /// Stage 1 is in use.
    #[must_use]
    pub const fn has_s1(self) -> bool {
        self.0 & 0b101 == 0b101
    }

    /// Stage 2 is in use.
    #[must_use]
    pub const fn has_s2(self) -> bool {
        self.0 & 0b110 == 0b110
    }
}

/// STE bits 63:0.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Ste0 {
    pub v: bool,
    #[bits(3)]
    pub config: u8,
    /// 0 linear, 1 4 KiB leaves, 2 64 KiB leaves.
    #[bits(2)]
    pub s1fmt: u8,
    /// S1ContextPtr bits 55:6.
    #[bits(50)]
    pub s1contextptr_55_6: u64,
    #[bits(3)]
    __: u8,
    /// log2 of the number of CDs.
    #[bits(5)]
    pub s1cdmax: u8,
}

impl Ste0 {
    /// Address of the CD or level-1 CD table.
    #[must_use]
    pub const fn s1contextptr(self) -> u64 {
        self.s1contextptr_55_6() << 6
    }

    /// With the CD table at `address`.
    #[must_use]
    pub const fn with_s1contextptr(self, address: u64) -> Self {
        self.with_s1contextptr_55_6(address >> 6)
    }
}

/// STE bits 127:64.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Ste1 {
    /// 0 terminate, 1 bypass, 2 substream 0.
    #[bits(2)]
    pub s1dss: u8,
    /// Cacheability of CD fetches, inner: 0 NC, 1 WBRA, 2 WT, 3 WB no-RA.
    #[bits(2)]
    pub s1cir: u8,
    /// The same, outer.
    #[bits(2)]
    pub s1cor: u8,
    /// 0 NSH, 2 OSH, 3 ISH.
    #[bits(2)]
    pub s1csh: u8,
    #[bits(4)]
    __: u8,
    pub dre: bool,
    #[bits(4)]
    pub cont: u8,
    pub dcp: bool,
    pub ppar: bool,
    pub mev: bool,
    #[bits(4)]
    pub software: u8,
    pub s1pie: bool,
    pub s2fwb: bool,
    pub s1mpam: bool,
    pub s1stalld: bool,
    /// 0 no ATS, 1 full, 2 stage-1 check.
    #[bits(2)]
    pub eats: u8,
    /// 0 NS-EL1, 2 EL2.
    #[bits(2)]
    pub strw: u8,
    #[bits(4)]
    pub memattr: u8,
    pub mtcfg: bool,
    #[bits(4)]
    pub alloccfg: u8,
    #[bits(3)]
    __: u8,
    /// 1: use the incoming shareability.
    #[bits(2)]
    pub shcfg: u8,
    #[bits(2)]
    pub nscfg: u8,
    #[bits(2)]
    pub privcfg: u8,
    #[bits(2)]
    pub instcfg: u8,
    #[bits(12)]
    __: u16,
}

/// STE bits 191:128.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Ste2 {
    #[bits(16)]
    pub s2vmid: u16,
    #[bits(16)]
    __: u16,
    #[bits(6)]
    pub s2t0sz: u8,
    #[bits(2)]
    pub s2sl0: u8,
    #[bits(2)]
    pub s2ir0: u8,
    #[bits(2)]
    pub s2or0: u8,
    #[bits(2)]
    pub s2sh0: u8,
    #[bits(2)]
    pub s2tg: u8,
    #[bits(3)]
    pub s2ps: u8,
    pub s2aa64: bool,
    pub s2endi: bool,
    pub s2affd: bool,
    pub s2ptw: bool,
    pub s2hd: bool,
    pub s2ha: bool,
    pub s2s: bool,
    pub s2r: bool,
    #[bits(5)]
    __: u8,
}

/// STE bits 255:192.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Ste3 {
    #[bits(4)]
    __: u8,
    /// Stage-2 translation table address bits 55:4.
    #[bits(52)]
    pub s2ttb_55_4: u64,
    #[bits(8)]
    __: u8,
}

/// A whole STE, as words 0 to 7.
pub type Ste = [u64; STE_WORDS];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_the_architecture_puts_them() {
        let s1 = Ste0::new().with_v(true).with_config(Config::S1.0).with_s1fmt(2).with_s1contextptr(0x12_3456_7840);
        assert_eq!(s1.into_bits(), 1 | 5 << 1 | 2 << 4 | 0x12_3456_7840);
        assert_eq!(Ste0::new().with_s1cdmax(31).into_bits(), 31 << 59);
        assert_eq!(s1.s1contextptr(), 0x12_3456_7840);

        // Absolute bits 65:64, 71:66, 83, 89, 91, 93:92, 95:94, 100:96, 104:101, 109:108, 111:110, 113:112, 115:114.
        let word = |ste: Ste1| ste.into_bits();
        assert_eq!(word(Ste1::new().with_s1dss(3)), 3);
        assert_eq!(word(Ste1::new().with_s1cir(1).with_s1cor(1).with_s1csh(3)), 1 << 2 | 1 << 4 | 3 << 6);
        assert_eq!(word(Ste1::new().with_dre(true).with_cont(15).with_dcp(true)), 1 << 12 | 15 << 13 | 1 << 17);
        assert_eq!(word(Ste1::new().with_ppar(true).with_mev(true).with_software(15)), 1 << 18 | 1 << 19 | 15 << 20);
        assert_eq!(word(Ste1::new().with_s2fwb(true).with_s1mpam(true)), 1 << 25 | 1 << 26);
        assert_eq!(word(Ste1::new().with_s1stalld(true)), 1 << 27);
        assert_eq!(word(Ste1::new().with_eats(3).with_strw(2)), 3 << 28 | 2 << 30);
        assert_eq!(word(Ste1::new().with_memattr(15).with_mtcfg(true)), 15 << 32 | 1 << 36);
        assert_eq!(word(Ste1::new().with_alloccfg(15).with_shcfg(1)), 15 << 37 | 1 << 44);
        assert_eq!(word(Ste1::new().with_nscfg(3).with_privcfg(3).with_instcfg(3)), 3 << 46 | 3 << 48 | 3 << 50);
    }

    #[test]
    fn stage_2_fields_lie_where_the_architecture_puts_them() {
        let word = |ste: Ste2| ste.into_bits();
        assert_eq!(word(Ste2::new().with_s2vmid(0xFFFF).with_s2t0sz(63).with_s2sl0(3)), 0xFFFF | 63 << 32 | 3 << 38);
        assert_eq!(word(Ste2::new().with_s2sh0(3).with_s2tg(3).with_s2ps(7)), 3 << 44 | 3 << 46 | 7 << 48);
        assert_eq!(word(Ste2::new().with_s2aa64(true).with_s2s(true).with_s2r(true)), 1 << 51 | 1 << 57 | 1 << 58);
        assert_eq!(Ste3::new().with_s2ttb_55_4(1).into_bits(), 1 << 4);
    }

    #[test]
    fn level_1_descriptor_has_span_and_pointer() {
        let descriptor = L1Std::new().with_span(9).with_l2ptr(0x4001_8000);
        assert_eq!(descriptor.into_bits(), 0x4001_8009);
        assert_eq!(descriptor.l2ptr(), 0x4001_8000);
    }

    #[test]
    fn config_values_name_their_stages() {
        assert!(Config::ABORT.is_abort() && Config(0b011).is_abort());
        assert!(!Config::BYPASS.has_s1() && !Config::BYPASS.has_s2() && !Config::BYPASS.is_abort());
        assert!(Config::S1.has_s1() && !Config::S1.has_s2());
        assert!(!Config::S2.has_s1() && Config::S2.has_s2());
        assert!(Config::NESTED.has_s1() && Config::NESTED.has_s2());
    }
}
