//! Why a crashed kernel's table is not adopted.

use crate::spec::registers;
use addr::PhysAddr;
use core::fmt;

/// The rule that was broken. Names are part of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// CR0.SMMUEN is 0.
    SmmuDisabled,
    /// The SMMU does not snoop: the old tables may be in dead caches.
    NotCoherent,
    /// GERROR.SFM_ERR is active: nothing but a reset leaves Service Failure Mode.
    ServiceFailure,
    /// STRTAB_BASE_CFG.FMT is neither 0 nor 1, or the table has another format than it says.
    StrtabFormat,
    /// FMT is 1 on an SMMU without two-level tables.
    TwoLevelUnsupported,
    /// SPLIT is not 8.
    StrtabSplit,
    /// LOG2SIZE is below SPLIT or above IDR1.SIDSIZE.
    StrtabLog2size,
    /// More than 2^17 level-1 descriptors, or a linear table as large as that would cover.
    StrtabSize,
    /// STRTAB_BASE is no multiple of the size of the table.
    StrtabAlignment,
    /// A span that is neither 0 nor SPLIT+1.
    L1Span,
    /// A level-2 table at 0.
    L2Null,
    /// A level-2 table that is no multiple of its size.
    L2Alignment,
    /// A pointer to something that is no memory.
    Unbacked,
    /// A pointer into the crash kernel's own memory.
    OwnMemory,
    /// A valid STE with a reserved Config.
    SteConfig,
    /// A CD table at 0.
    CdTableNull,
    /// S1CDMax is above IDR1.SSIDSIZE.
    CdTableSize,
    /// S1Fmt is neither linear nor two-level with 64 KiB leaves.
    CdTableFormat,
    /// A CD table that is no multiple of its size.
    CdTableAlignment,
    /// A CD leaf at 0, or no multiple of 64 KiB.
    CdLeaf,
    /// ASID 0, or more bits than the SMMU has.
    Asid,
    /// VMID 0, or more bits than the SMMU has.
    Vmid,
    /// Reading all of it would take too long.
    ScanTooLong,
}

impl Rule {
    /// Name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SmmuDisabled => "smmu-disabled",
            Self::NotCoherent => "not-coherent",
            Self::ServiceFailure => "service-failure",
            Self::StrtabFormat => "strtab-format",
            Self::TwoLevelUnsupported => "two-level-unsupported",
            Self::StrtabSplit => "strtab-split",
            Self::StrtabLog2size => "strtab-log2size",
            Self::StrtabSize => "strtab-size",
            Self::StrtabAlignment => "strtab-alignment",
            Self::L1Span => "l1-span",
            Self::L2Null => "l2-null",
            Self::L2Alignment => "l2-alignment",
            Self::Unbacked => "unbacked",
            Self::OwnMemory => "own-memory",
            Self::SteConfig => "ste-config",
            Self::CdTableNull => "cd-table-null",
            Self::CdTableSize => "cd-table-size",
            Self::CdTableFormat => "cd-table-format",
            Self::CdTableAlignment => "cd-table-alignment",
            Self::CdLeaf => "cd-leaf",
            Self::Asid => "asid",
            Self::Vmid => "vmid",
            Self::ScanTooLong => "scan-too-long",
        }
    }
}

/// Where the broken rule was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A register, by offset.
    Register(u32),
    /// A descriptor.
    Memory(PhysAddr),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Register(offset) => f.write_str(registers::name(*offset)),
            Self::Memory(at) => at.fmt(f),
        }
    }
}

/// A rule that the crashed kernel's SMMU or table breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {place} holds {value:#x}", .rule.name())]
pub struct Refusal {
    /// The rule.
    pub rule: Rule,
    /// The register or descriptor that breaks it; for [`Rule::Unbacked`] and [`Rule::OwnMemory`] the address
    /// that was to be read.
    pub place: Place,
    /// Its value; 0 where nothing was read.
    pub value: u64,
}

impl Refusal {
    pub(super) const fn register(rule: Rule, offset: u32, value: u64) -> Self {
        Self { rule, place: Place::Register(offset), value }
    }

    pub(super) const fn memory(rule: Rule, at: PhysAddr, value: u64) -> Self {
        Self { rule, place: Place::Memory(at), value }
    }
}
