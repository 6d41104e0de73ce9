//! The shape of a translation: granule, levels, input and output range, and what a descriptor means at a level.

use super::Attributes;
use crate::spec::registers::Idr5;
use addr::{Iova, PhysAddr};

/// Largest output range without LPA/LPA2 (DDI 0487, D8.3): descriptors hold address bits 47:12.
const OUTPUT_BITS_WITHOUT_LPA: u8 = 48;

/// Translation granule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granule {
    /// 4 KiB.
    K4,
    /// 16 KiB.
    K16,
    /// 64 KiB.
    K64,
}

impl Granule {
    /// log2 of the size.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::K4 => 12,
            Self::K16 => 14,
            Self::K64 => 16,
        }
    }

    /// Size.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        1 << self.bits()
    }

    /// CD.TG0.
    #[must_use]
    pub const fn tg0(self) -> u8 {
        match self {
            Self::K4 => 0,
            Self::K64 => 1,
            Self::K16 => 2,
        }
    }

    /// From CD.TG0; 3 is reserved.
    #[must_use]
    pub const fn from_tg0(tg0: u8) -> Option<Self> {
        match tg0 {
            0 => Some(Self::K4),
            1 => Some(Self::K64),
            2 => Some(Self::K16),
            _ => None,
        }
    }

    /// From CD.TG1, which is encoded otherwise than TG0; 0 is reserved.
    #[must_use]
    pub const fn from_tg1(tg1: u8) -> Option<Self> {
        match tg1 {
            1 => Some(Self::K16),
            2 => Some(Self::K4),
            3 => Some(Self::K64),
            _ => None,
        }
    }
}

/// What a descriptor means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// Faults: not valid, reserved at this level, or an address past the output range.
    Invalid,
    /// The next table.
    Table(PhysAddr),
    /// A page or block.
    Leaf(PhysAddr),
}

/// Shape of one translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    granule: Granule,
    input_bits: u8,
    output_bits: u8,
    big_endian: bool,
}

impl Geometry {
    /// `None` where the architecture has no such table: an input range of a granule or less, or of more than 48 bits
    /// (52 with 64 KiB granule).
    #[must_use]
    pub const fn new(granule: Granule, input_bits: u8, output_bits: u8) -> Option<Self> {
        let most = if matches!(granule, Granule::K64) { 52 } else { 48 };
        if input_bits <= granule.bits() || input_bits > most || output_bits < 32 || output_bits > 52 {
            return None;
        }
        Some(Self { granule, input_bits, output_bits, big_endian: false })
    }

    /// The smallest granule that the SMMU has, a 48-bit input range, and the output range of IDR5.OAS up to 48 bits.
    /// `None` where IDR5 names no granule at all.
    #[must_use]
    pub const fn choose(idr5: Idr5) -> Option<Self> {
        let granule = if idr5.gran4k() {
            Granule::K4
        } else if idr5.gran16k() {
            Granule::K16
        } else if idr5.gran64k() {
            Granule::K64
        } else {
            return None;
        };
        let oas = address_bits(idr5.oas());
        Self::new(granule, 48, if oas > OUTPUT_BITS_WITHOUT_LPA { OUTPUT_BITS_WITHOUT_LPA } else { oas })
    }

    /// The same with descriptors in big-endian byte order (CD.ENDI).
    #[must_use]
    pub const fn with_big_endian(self, big_endian: bool) -> Self {
        Self { big_endian, ..self }
    }

    /// Granule.
    #[must_use]
    pub const fn granule(self) -> Granule {
        self.granule
    }

    /// Bits of the input range: 64 - T0SZ.
    #[must_use]
    pub const fn input_bits(self) -> u8 {
        self.input_bits
    }

    /// Bits of the output range.
    #[must_use]
    pub const fn output_bits(self) -> u8 {
        self.output_bits
    }

    /// CD.IPS: the encoding of IDR5.OAS.
    #[must_use]
    pub const fn ips(self) -> u8 {
        let mut ips = 0;
        while address_bits(ips) < self.output_bits {
            ips += 1;
        }
        ips
    }

    /// Address bits that one level resolves.
    const fn stride(self) -> u8 {
        self.granule.bits() - 3
    }

    /// Level of the first table; the last is always 3.
    #[must_use]
    pub const fn start_level(self) -> u8 {
        4 - (self.input_bits - self.granule.bits()).div_ceil(self.stride())
    }

    /// log2 of what one descriptor of `level` covers; `level` is from `start_level` to 3.
    pub(super) const fn shift(self, level: u8) -> u8 {
        self.granule.bits() + self.stride() * (3 - level)
    }

    /// Descriptors in a table of `level`.
    pub(super) const fn entries(self, level: u8) -> u64 {
        let bits = if level == self.start_level() { self.input_bits - self.shift(level) } else { self.stride() };
        1 << bits
    }

    /// Index of `iova` in its table of `level`.
    pub(super) const fn index(self, level: u8, iova: Iova) -> u64 {
        (iova.0 >> self.shift(level)) & (self.entries(level) - 1)
    }

    /// Size and alignment of the first table; TTB0 has no bits below 64 bytes of alignment.
    #[must_use]
    pub const fn root_bytes(self) -> u64 {
        let bytes = self.entries(self.start_level()) * 8;
        if bytes < 64 { 64 } else { bytes }
    }

    /// Reads a descriptor (DDI 0487, D8.3).
    #[must_use]
    pub const fn decode(self, level: u8, raw: u64) -> Decoded {
        let raw = self.native(raw);
        match (raw & 0b11, level) {
            (0b11, 3) => self.output(raw, self.granule.bits(), true),
            (0b11, _) => self.output(raw, self.granule.bits(), false),
            (0b01, _) if self.has_blocks(level) => self.output(raw, self.shift(level), true),
            _ => Decoded::Invalid,
        }
    }

    /// A descriptor in the CPU's byte order.
    pub(super) const fn native(self, raw: u64) -> u64 {
        if self.big_endian { raw.swap_bytes() } else { raw }
    }

    const fn output(self, raw: u64, low_bits: u8, leaf: bool) -> Decoded {
        let mut address = raw & ((1 << OUTPUT_BITS_WITHOUT_LPA) - 1) & !((1 << low_bits) - 1);
        if matches!(self.granule, Granule::K64) && self.output_bits > OUTPUT_BITS_WITHOUT_LPA {
            // LPA: bits 15:12 of the descriptor are address bits 51:48.
            address |= ((raw >> 12) & 0xF) << OUTPUT_BITS_WITHOUT_LPA;
        }
        match (address >> self.output_bits, leaf) {
            (0, true) => Decoded::Leaf(PhysAddr(address)),
            (0, false) => Decoded::Table(PhysAddr(address)),
            // F_ADDR_SIZE.
            _ => Decoded::Invalid,
        }
    }

    const fn has_blocks(self, level: u8) -> bool {
        match self.granule {
            Granule::K4 => level == 1 || level == 2,
            Granule::K16 => level == 2,
            Granule::K64 => level == 2 || (level == 1 && self.output_bits > OUTPUT_BITS_WITHOUT_LPA),
        }
    }
}

/// Address bits that IDR5.OAS and CD.IPS encode.
#[must_use]
pub const fn address_bits(encoded: u8) -> u8 {
    match encoded {
        0 => 32,
        1 => 36,
        2 => 40,
        3 => 42,
        4 => 44,
        5 => 48,
        6 => 52,
        _ => 56,
    }
}

/// A table descriptor without restrictions.
pub(super) const fn table_descriptor(next: PhysAddr) -> u64 {
    next.0 | 0b11
}

/// A page descriptor (DDI 0487, D8.3) for unprivileged DMA.
pub(super) const fn page_descriptor(pa: PhysAddr, attributes: Attributes) -> u64 {
    const AP_UNPRIVILEGED: u64 = 1 << 6;
    const AP_READ_ONLY: u64 = 1 << 7;
    const SH_INNER: u64 = 3 << 8;
    // Hardware does not set it (CD.HA=0); a clear flag would be F_ACCESS.
    const AF: u64 = 1 << 10;
    // Tagged with the ASID, so that CMD_TLBI_NH_ASID finds it.
    const NG: u64 = 1 << 11;
    let read_only = if attributes.read_only { AP_READ_ONLY } else { 0 };
    pa.0 | NG | AF | SH_INNER | read_only | AP_UNPRIVILEGED | (attributes.memory as u64) << 2 | 0b11
}
