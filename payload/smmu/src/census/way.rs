//! By which way an SMMU can be watched.

use crate::access::{Access, SmmuIndex};
use crate::spec::registers::{self as reg, Gbpa, Idr0, Idr1, Idr5};
use crate::table::StreamTable;
use crate::translation::{Geometry, Httu};
use addr::StreamId;
use core::fmt;

/// How one SMMU is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Hardware marks what is used, and nothing is refused but StreamIDs of more bits than these, where there are any.
    Marks {
        /// What hardware updates.
        httu: Httu,
        /// Bits of a StreamID that the table has room for, where the SMMU has more.
        only_bits: Option<u8>,
    },
    /// Everything is refused, and recorded.
    Refuses(Refuses),
}

impl Way {
    /// Some DMA may be refused.
    #[must_use]
    pub const fn may_refuse(self) -> bool {
        !matches!(self, Self::Marks { only_bits: None, .. })
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Marks { httu, only_bits } => {
                let what = if *httu == Httu::Access { "used" } else { "used, and what was written" };
                write!(f, "hardware marks what was {what}, and nothing is refused")?;
                only_bits.map_or(Ok(()), |bits| write!(f, " but StreamIDs of more than {bits} bits"))
            }
            Self::Refuses(why) => write!(f, "all DMA is refused and recorded: {why}"),
        }
    }
}

/// Why an SMMU cannot be watched by marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refuses {
    /// Hardware updates no flags; CD.HA would be illegal (5.4).
    NoHttu,
    /// The IORT overrides IDR0.HTTU: the system around the SMMU cannot do the atomic updates.
    Overridden {
        /// SMMU_IDR0.HTTU.
        httu: u8,
    },
    /// Updates need Normal write-back tables (5.4, CD.IR0; 3.15).
    NotCoherent,
    /// Firmware refuses all DMA (GBPA.ABORT): identity would let it through.
    Aborts,
    /// Stage 1 is not there, or has no granule.
    NoTables,
    /// Memory lies where identity tables do not reach.
    MemoryBeyond {
        /// Bits of an address that they translate.
        bits: u8,
    },
}

impl fmt::Display for Refuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHttu => f.write_str("IDR0.HTTU is 0"),
            Self::Overridden { httu } => write!(f, "IDR0.HTTU is {httu}, but the IORT overrides it with 0"),
            Self::NotCoherent => f.write_str("its table walks are not coherent (IDR0.COHACC)"),
            Self::Aborts => {
                f.write_str("firmware refuses all DMA (GBPA.ABORT), which identity tables would let through")
            }
            Self::NoTables => f.write_str("it has no AArch64 stage 1"),
            Self::MemoryBeyond { bits } => write!(f, "memory lies past the {bits} bits that identity tables reach"),
        }
    }
}

/// What the firmware tables say of an SMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// IORT, COHACC override.
    pub coherent_override: bool,
    /// IORT, HTTU override; `None` where a devicetree describes the SMMU, which has none.
    pub httu_override: Option<u8>,
    /// The last address of memory.
    pub last_memory: u64,
}

/// The largest StreamID that a table for marks has room for.
pub fn largest_stream(hw: &mut dyn Access, smmu: SmmuIndex) -> StreamId {
    let [idr0, idr1] = [reg::IDR0, reg::IDR1].map(|at| hw.read32(smmu, at));
    StreamId((1 << StreamTable::most_bits(Idr0::from(idr0), Idr1::from(idr1))) - 1)
}

/// By which way `smmu`, which does not translate, can be watched. Nothing is written.
///
/// Under ACPI Linux believes the IORT's HTTU alone, and under devicetree IDR0's. Here an update needs both: CD.HA without
/// IDR0.HTTU is illegal, and refuses the stream's DMA.
pub fn way(hw: &mut dyn Access, smmu: SmmuIndex, known: Known) -> Way {
    let [idr0, idr1, idr5, gbpa] = [reg::IDR0, reg::IDR1, reg::IDR5, reg::GBPA].map(|at| hw.read32(smmu, at));
    let (idr0, idr1) = (Idr0::from(idr0), Idr1::from(idr1));
    let has = idr0.httu().min(known.httu_override.unwrap_or(u8::MAX));
    // TTF bit 1: VMSAv8-64 tables.
    let geometry = Geometry::identity(Idr5::from(idr5)).filter(|_| idr0.s1p() && idr0.ttf() & 0b10 != 0);
    Way::Refuses(match geometry {
        _ if idr0.httu() == 0 => Refuses::NoHttu,
        _ if has == 0 => Refuses::Overridden { httu: idr0.httu() },
        _ if !idr0.cohacc() && !known.coherent_override => Refuses::NotCoherent,
        _ if Gbpa::from(gbpa).abort() => Refuses::Aborts,
        None => Refuses::NoTables,
        Some(geometry) if known.last_memory >> geometry.output_bits() != 0 => {
            Refuses::MemoryBeyond { bits: geometry.output_bits() }
        }
        Some(_) => {
            let httu = if has == 1 { Httu::Access } else { Httu::AccessAndDirty };
            let bits = StreamTable::most_bits(idr0, idr1);
            return Way::Marks { httu, only_bits: (bits < idr1.sidsize()).then_some(bits) };
        }
    })
}
