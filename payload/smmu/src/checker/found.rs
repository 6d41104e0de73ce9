//! What the checker is told beside the log.

use crate::access::SmmuIndex;
use crate::observe::Registers;
use crate::spec::registers::{Idr0, Idr1};

/// One SMMU before the first entry of the log. Registers as read; where one was not read, its field is 0 and what depends
/// on it is judged as for a unit after reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "field names are the architecture's")]
pub struct Found {
    pub smmu: SmmuIndex,
    pub idr0: u32,
    pub idr1: u32,
    pub idr3: u32,
    pub aidr: u32,
    pub cr0: u32,
    pub cr0ack: u32,
    pub cr1: u32,
    pub cr2: u32,
    pub gbpa: u32,
    pub irq_ctrl: u32,
    pub irq_ctrlack: u32,
    pub gerror: u32,
    pub gerrorn: u32,
    pub strtab_base: u64,
    pub strtab_base_cfg: u32,
    pub cmdq_base: u64,
    pub cmdq_prod: u32,
    pub cmdq_cons: u32,
}

impl Found {
    /// From registers by name, as reports have them; names that are not needed are passed over. `None` where one that is
    /// needed is missing.
    pub fn named<'a>(smmu: SmmuIndex, registers: impl Iterator<Item = (&'a str, u64)> + Clone) -> Option<Self> {
        let long = |name| registers.clone().find(|(known, _)| *known == name).map(|(_, value)| value);
        let word = |name| long(name).map(|value| value as u32);
        Some(Self {
            smmu,
            idr0: word("IDR0")?,
            idr1: word("IDR1")?,
            idr3: word("IDR3")?,
            aidr: word("AIDR")?,
            cr0: word("CR0")?,
            cr0ack: word("CR0ACK")?,
            cr1: word("CR1")?,
            cr2: word("CR2")?,
            gbpa: word("GBPA")?,
            irq_ctrl: word("IRQ_CTRL")?,
            irq_ctrlack: word("IRQ_CTRLACK")?,
            gerror: word("GERROR")?,
            gerrorn: word("GERRORN")?,
            strtab_base: long("STRTAB_BASE")?,
            strtab_base_cfg: word("STRTAB_BASE_CFG")?,
            cmdq_base: long("CMDQ_BASE")?,
            cmdq_prod: word("CMDQ_PROD")?,
            cmdq_cons: word("CMDQ_CONS")?,
        })
    }

    pub(super) fn ids(&self) -> Ids {
        let (idr0, idr1) = (Idr0::from(self.idr0), Idr1::from(self.idr1));
        // AIDR: major version 3 is 0 in bits 7:4 (6.3.8).
        Ids { idr0, idr1, idr3: self.idr3, ignores_guarded: self.aidr & 0xFF >= 2 }
    }
}

impl From<&Registers> for Found {
    fn from(registers: &Registers) -> Self {
        // Every name is always there.
        Self::named(registers.smmu, registers.iter().collect::<alloc::vec::Vec<_>>().into_iter()).unwrap_or_default()
    }
}

/// ID registers, decoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ids {
    pub(super) idr0: Idr0,
    pub(super) idr1: Idr1,
    pub(super) idr3: u32,
    /// Version 3.2 or later: a guarded write is ignored, where it was CONSTRAINED UNPREDICTABLE before.
    pub(super) ignores_guarded: bool,
}

impl Ids {
    /// What becomes of a guarded write, for texts.
    pub(super) const fn outcome(&self) -> &'static str {
        if self.ignores_guarded { "the write is ignored" } else { "CONSTRAINED UNPREDICTABLE" }
    }
}

/// What the log can show. What it cannot is not claimed to be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Stores to stream table and CDs.
    pub structures: bool,
    /// Loads of them.
    pub loads: bool,
    /// Stores of command queue entries.
    pub commands: bool,
    /// Barriers.
    pub barriers: bool,
}

impl Coverage {
    /// Everything, as [`crate::log::Logged`] records it.
    pub const ALL: Self = Self { structures: true, loads: true, commands: true, barriers: true };
    /// Register accesses only.
    pub const REGISTERS: Self = Self { structures: false, loads: false, commands: false, barriers: false };
}
