//! By which way an SMMU can be watched.

use crate::access::{Access, SmmuIndex};
use crate::spec::registers::{self as reg, Gbpa, Idr0, Idr1, Idr5};
use crate::table::StreamTable;
use crate::translation::{Geometry, Httu, address_bits};
use addr::StreamId;
use core::fmt;

/// How one SMMU is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Hardware marks what is used, and nothing is refused but this.
    Marks {
        /// What hardware updates.
        httu: Httu,
        /// What an SMMU with SMMUEN=0 lets through, and these tables do not.
        but: Exceptions,
    },
    /// Everything is refused, and recorded.
    Refuses(Refuses),
}

impl Way {
    /// Some DMA may be refused.
    #[must_use]
    pub const fn may_refuse(self) -> bool {
        !matches!(self, Self::Marks { but: Exceptions::NONE, .. })
    }
}

/// What is refused in a census by marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceptions {
    /// StreamIDs of more bits than these, which the table has room for, where the SMMU has more.
    pub stream_bits: Option<u8>,
    /// Addresses of more bits than these, where the SMMU has more (3.4: up to OAS).
    pub address_bits: Option<u8>,
    /// Transactions with a SubstreamID (IDR1.SSIDSIZE): they pass in bypass (6.3.9.6), and there is no CD for them.
    pub pasids: bool,
}

impl Exceptions {
    /// Nothing is.
    pub const NONE: Self = Self { stream_bits: None, address_bits: None, pasids: false };

    /// Of an SMMU whose tables translate so many address bits.
    const fn of(idr0: Idr0, idr1: Idr1, idr5: Idr5, geometry: Geometry) -> Self {
        let bits = StreamTable::most_bits(idr0, idr1);
        let reached = geometry.output_bits();
        Self {
            stream_bits: if bits < idr1.sidsize() { Some(bits) } else { None },
            address_bits: if reached < address_bits(idr5.oas()) { Some(reached) } else { None },
            pasids: idr1.ssidsize() > 0,
        }
    }
}

impl fmt::Display for Exceptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = " but ";
        for (what, bits) in [("StreamIDs", self.stream_bits), ("addresses", self.address_bits)] {
            if let Some(bits) = bits {
                write!(f, "{before}{what} of more than {bits} bits")?;
                before = ", ";
            }
        }
        if self.pasids { write!(f, "{before}DMA with a PASID") } else { Ok(()) }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Marks { httu, but } => {
                let what = if *httu == Httu::Access { "used" } else { "used, and what was written" };
                write!(f, "hardware marks what was {what}, and nothing is refused{but}")
            }
            Self::Refuses(why) => write!(f, "all DMA but to ranges of RMR nodes is refused and recorded: {why}"),
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
    /// IORT, HTTU override.
    pub httu_override: u8,
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
    let has = idr0.httu().min(known.httu_override);
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
        Some(geometry) => {
            let httu = if has == 1 { Httu::Access } else { Httu::AccessAndDirty };
            return Way::Marks { httu, but: Exceptions::of(idr0, idr1, idr5.into(), geometry) };
        }
    })
}
