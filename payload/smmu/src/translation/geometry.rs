//! The shape of a translation: granule, levels, input and output range, and what a descriptor means at a level.

use super::{Attributes, Memory};
use crate::spec::registers::Idr5;
use addr::{Iova, PhysAddr};

/// Largest output range without LPA/LPA2 (DDI 0487, D8.3): descriptors hold address bits 47:12.
const OUTPUT_BITS_WITHOUT_LPA: u8 = 48;

/// AF: the translation was used (DDI 0487, D8.3).
pub(super) const ACCESSED: u64 = 1 << 10;

/// log2 of the tables that a stage 2 may begin with.
const MOST_CONCATENATED_LOG2: u8 = 4;

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

    /// CD.TG0, and STE.S2TG.
    #[must_use]
    pub const fn tg0(self) -> u8 {
        match self {
            Self::K4 => 0,
            Self::K64 => 1,
            Self::K16 => 2,
        }
    }

    /// The deepest level at which a stage 2 may begin (STE.S2SL0 0b00).
    pub(crate) const fn deepest_stage2_start(self) -> u8 {
        if matches!(self, Self::K4) { 2 } else { 3 }
    }

    /// Bits that one first table of a stage 2 resolves with all levels below it. One level more exists only with so many
    /// output address bits (STE.S2SL0).
    const fn stage2_input_bits(self, oas: u8) -> u8 {
        match self {
            Self::K4 if oas < 44 => 39,
            Self::K4 | Self::K64 if oas >= 44 => 48,
            Self::K16 if oas < 42 => 36,
            Self::K16 => 47,
            _ => 42,
        }
    }

    /// From CD.TG0 or STE.S2TG; 3 is reserved.
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

/// Stage of translation: of the same shape, but for descriptor attributes and what the first level may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Behind a CD.
    #[default]
    One,
    /// Behind an STE.
    Two,
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
    stage: Stage,
    granule: Granule,
    input_bits: u8,
    output_bits: u8,
    start_level: u8,
    big_endian: bool,
}

impl Geometry {
    /// With as few levels as do without concatenated tables. `None` where the architecture has no such table: an input
    /// range of a granule or less, or of more than 48 bits (52 with 64 KiB granule).
    #[must_use]
    pub const fn new(stage: Stage, granule: Granule, input_bits: u8, output_bits: u8) -> Option<Self> {
        let most = if matches!(granule, Granule::K64) { 52 } else { 48 };
        if input_bits <= granule.bits() || input_bits > most || output_bits < 32 || output_bits > 52 {
            return None;
        }
        let start_level = 4 - (input_bits - granule.bits()).div_ceil(granule.bits() - 3);
        Some(Self { stage, granule, input_bits, output_bits, start_level, big_endian: false })
    }

    /// The smallest granule that the SMMU has, and the output range of IDR5.OAS up to 48 bits. The input range is 48 bits at
    /// stage 1; at stage 2 as much of the output range as needs no concatenated tables. `None` where IDR5 names no granule
    /// at all.
    #[must_use]
    pub const fn choose(idr5: Idr5, stage: Stage) -> Option<Self> {
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
        let output_bits = if oas > OUTPUT_BITS_WITHOUT_LPA { OUTPUT_BITS_WITHOUT_LPA } else { oas };
        let input_bits = match stage {
            Stage::One => 48,
            Stage::Two => {
                let most = granule.stage2_input_bits(oas);
                if output_bits < most { output_bits } else { most }
            }
        };
        Self::new(stage, granule, input_bits, output_bits)
    }

    /// For stage-1 identity over the whole output range, up to 48 bits: the granule whose tables are fewest (1 GiB blocks at
    /// 4 KiB, 512 MiB at 64 KiB, 32 MiB at 16 KiB). `None` where IDR5 names no granule at all.
    #[must_use]
    pub const fn identity(idr5: Idr5) -> Option<Self> {
        let granule = if idr5.gran4k() {
            Granule::K4
        } else if idr5.gran64k() {
            Granule::K64
        } else if idr5.gran16k() {
            Granule::K16
        } else {
            return None;
        };
        let oas = address_bits(idr5.oas());
        let bits = if oas > OUTPUT_BITS_WITHOUT_LPA { OUTPUT_BITS_WITHOUT_LPA } else { oas };
        Self::new(Stage::One, granule, bits, bits)
    }

    /// The same with another first level, whose table then has fewer descriptors, or is several tables one after the other
    /// (DDI 0487, D8.2: at most 16 at stage 2). `None` where there is no such table.
    #[must_use]
    pub const fn with_start_level(self, start_level: u8) -> Option<Self> {
        if start_level > 3 {
            return None;
        }
        let most_bits = self.stride() + if matches!(self.stage, Stage::Two) { MOST_CONCATENATED_LOG2 } else { 0 };
        let shift = self.shift(start_level);
        if self.input_bits <= shift || self.input_bits > shift + most_bits {
            return None;
        }
        Some(Self { start_level, ..self })
    }

    /// The same with descriptors in big-endian byte order (CD.ENDI).
    #[must_use]
    pub const fn with_big_endian(self, big_endian: bool) -> Self {
        Self { big_endian, ..self }
    }

    /// Stage.
    #[must_use]
    pub const fn stage(self) -> Stage {
        self.stage
    }

    /// Granule.
    #[must_use]
    pub const fn granule(self) -> Granule {
        self.granule
    }

    /// Bits of the input range: 64 - T0SZ, or 64 - S2T0SZ.
    #[must_use]
    pub const fn input_bits(self) -> u8 {
        self.input_bits
    }

    /// Bits of the output range.
    #[must_use]
    pub const fn output_bits(self) -> u8 {
        self.output_bits
    }

    /// CD.IPS or STE.S2PS: the encoding of IDR5.OAS.
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
        self.start_level
    }

    /// STE.S2SL0: the first level, counted from the deepest that may be first.
    #[must_use]
    pub const fn s2sl0(self) -> u8 {
        self.granule.deepest_stage2_start() - self.start_level
    }

    /// log2 of what one descriptor of `level` covers; `level` is from `start_level` to 3.
    pub(super) const fn shift(self, level: u8) -> u8 {
        self.granule.bits() + self.stride() * (3 - level)
    }

    /// Descriptors in a table of `level`.
    pub(super) const fn entries(self, level: u8) -> u64 {
        let bits = if level == self.start_level { self.input_bits - self.shift(level) } else { self.stride() };
        1 << bits
    }

    /// Index of `iova` in its table of `level`.
    pub(super) const fn index(self, level: u8, iova: Iova) -> u64 {
        (iova.0 >> self.shift(level)) & (self.entries(level) - 1)
    }

    /// Size and alignment of the first table; TTB0 has no bits below 64 bytes of alignment, S2TTB has.
    #[must_use]
    pub const fn root_bytes(self) -> u64 {
        let bytes = self.entries(self.start_level) * 8;
        if bytes < 64 && matches!(self.stage, Stage::One) { 64 } else { bytes }
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

    /// A page descriptor, or from level 2 up a block descriptor (DDI 0487, D8.3), at stage 1 for unprivileged DMA.
    pub(super) const fn leaf_descriptor(self, level: u8, pa: PhysAddr, attributes: Attributes) -> u64 {
        const SH_INNER: u64 = 3 << 8;
        let Attributes { memory, read_only } = attributes;
        let of_stage = match self.stage {
            Stage::One => {
                // AP[1]: unprivileged; nG: tagged with the ASID, so that CMD_TLBI_NH_ASID finds it.
                let ap = if read_only { 0b11 << 6 } else { 0b01 << 6 };
                1 << 11 | ap | (memory as u64) << 2
            }
            Stage::Two => {
                let s2ap = if read_only { 0b01 << 6 } else { 0b11 << 6 };
                s2ap | stage2_memattr(memory) << 2
            }
        };
        let kind = if level == 3 { 0b11 } else { 0b01 };
        // Where hardware does not set the flag (CD.HA=0, S2HA=0), a clear one would be F_ACCESS.
        pa.0 | ACCESSED | SH_INNER | of_stage | kind
    }

    /// A leaf of this value may be read, and written: AP\[2:1\] of unprivileged DMA, or S2AP.
    pub(super) const fn permissions(self, value: u64) -> (bool, bool) {
        let (bit6, bit7) = (value >> 6 & 1 == 1, value >> 7 & 1 == 1);
        match self.stage {
            Stage::One => (bit6, bit6 && !bit7),
            Stage::Two => (bit6, bit7),
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

    pub(super) const fn has_blocks(self, level: u8) -> bool {
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

/// MemAttr of a stage-2 descriptor (DDI 0487, D8.5, without FWB): the weaker of it and what the device asks for holds.
const fn stage2_memattr(memory: Memory) -> u64 {
    match memory {
        Memory::WriteBack => 0b1111,
        Memory::NonCacheable => 0b0101,
        Memory::Device => 0b0001,
    }
}
