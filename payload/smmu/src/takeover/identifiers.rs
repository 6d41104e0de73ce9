//! Which ASIDs and VMIDs the adopted streams use (revision 10 of the series).
//!
//! Their translations stay in the TLBs, and are refilled by the DMA that goes on: a new domain with the same identifier
//! would hit them. Nobody may hand these identifiers out again.

use super::common::Features;
use super::validate::{Revision, Table, l2_table, load};
use super::{Refusal, Rule};
use crate::access::{Access, SmmuIndex, Structure};
use crate::spec::cd::{CD_BYTES, Cd0, L1Cd};
use crate::spec::ste::{Config, STE_BYTES, Ste0, Ste2};
use crate::translation::{Identifier, Stage};
use addr::PhysAddr;
use alloc::vec;
use alloc::vec::Vec;

/// Loads after which the scan gives up. A healthy table needs some thousand; a damaged one may ask for 2^45.
const MAX_LOADS: u32 = 1 << 22;
/// CDs in a 64 KiB leaf, as a power of two.
const LEAF_LOG2: u8 = 10;
const LEAF_BYTES: u64 = CD_BYTES << LEAF_LOG2;

/// A set of 16-bit identifiers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdSet {
    /// One bit each; empty until the first is added.
    words: Vec<u64>,
}

impl IdSet {
    /// Adds an identifier.
    pub fn insert(&mut self, id: u16) {
        if self.words.is_empty() {
            self.words = vec![0; 1 << 10];
        }
        if let Some(word) = self.words.get_mut(usize::from(id >> 6)) {
            *word |= 1 << (id & 63);
        }
    }

    /// The identifier is in the set.
    #[must_use]
    pub fn contains(&self, id: u16) -> bool {
        self.words.get(usize::from(id >> 6)).is_some_and(|word| word >> (id & 63) & 1 == 1)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (0..=u16::MAX).filter(|id| self.contains(*id))
    }
}

/// Identifiers in use by adopted streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identifiers {
    /// Of stage-1 contexts.
    pub asids: IdSet,
    /// Of stage-2 contexts.
    pub vmids: IdSet,
}

impl Identifiers {
    /// Those of one stage's domains.
    #[must_use]
    pub const fn of(&self, stage: Stage) -> &IdSet {
        match stage {
            Stage::One => &self.asids,
            Stage::Two => &self.vmids,
        }
    }

    /// The identifier is reserved.
    #[must_use]
    pub fn contains(&self, id: Identifier) -> bool {
        match id {
            Identifier::Asid(asid) => self.asids.contains(asid),
            Identifier::Vmid(vmid) => self.vmids.contains(vmid),
        }
    }
}

/// Reads every STE and every CD that the SMMU can reach.
pub(super) fn scan(
    hw: &mut dyn Access,
    smmu: SmmuIndex,
    features: &Features,
    table: &Table,
) -> Result<Identifiers, Refusal> {
    // No kernel writes a linear table where it can have two levels, but some loader might.
    let is_odd = matches!(table, Table::Linear { .. }) && features.idr0.st_level() == 1;
    let mut scan = Scan { hw, smmu, features, is_odd, loads: 0, found: Identifiers::default() };
    match *table {
        Table::Linear { base, entries } => scan.stes(base, entries)?,
        Table::TwoLevel { base, entries } => {
            for index in 0..entries {
                if let Some(l2) = l2_table(scan.hw, smmu, &features.own, base, index, Revision::V10)? {
                    scan.stes(l2, 256)?;
                }
            }
        }
    }
    Ok(scan.found)
}

struct Scan<'a> {
    hw: &'a mut dyn Access,
    smmu: SmmuIndex,
    features: &'a Features,
    /// The table is linear on an SMMU that has two levels.
    is_odd: bool,
    loads: u32,
    found: Identifiers,
}

impl Scan<'_> {
    fn load(&mut self, what: Structure, at: PhysAddr) -> Result<u64, Refusal> {
        if self.loads == MAX_LOADS {
            return Err(Refusal::memory(Rule::ScanTooLong, at, self.loads.into()));
        }
        self.loads += 1;
        load(self.hw, self.smmu, &self.features.own, what, at)
    }

    fn stes(&mut self, base: PhysAddr, count: u32) -> Result<(), Refusal> {
        for index in 0..u64::from(count) {
            self.ste(base.plus(index * STE_BYTES))?;
        }
        Ok(())
    }

    fn ste(&mut self, at: PhysAddr) -> Result<(), Refusal> {
        let word = self.load(Structure::Ste, at)?;
        let ste = Ste0::from(word);
        if !ste.v() {
            return Ok(());
        }
        match Config(ste.config()) {
            // A level-1 descriptor of span 9 reads as such a bypass STE, whose pointer nobody sets: FMT is wrong. What is
            // left to find here is a level 1 that happens to be aligned as the linear table would be.
            Config::BYPASS if self.is_odd && ste.s1contextptr() != 0 => {
                Err(Refusal::memory(Rule::StrtabFormat, at, word))
            }
            Config::ABORT | Config::BYPASS => Ok(()),
            Config::S1 => self.cd_table(at, ste),
            // Under nesting the CDs are the guest's, at an IPA: out of reach, and their ASIDs are tagged by the VMID.
            Config::S2 | Config::NESTED => self.vmid(at.plus(16)),
            // 0b0xx all abort, but no kernel writes another one than 0: damage.
            _ => Err(Refusal::memory(Rule::SteConfig, at, word)),
        }
    }

    fn vmid(&mut self, at: PhysAddr) -> Result<(), Refusal> {
        let word = self.load(Structure::Ste, at)?;
        let vmid = Ste2::from(word).s2vmid();
        if vmid == 0 || (vmid > 0xFF && !self.features.idr0.vmid16()) {
            return Err(Refusal::memory(Rule::Vmid, at, word));
        }
        self.found.vmids.insert(vmid);
        Ok(())
    }

    fn cd_table(&mut self, at: PhysAddr, ste: Ste0) -> Result<(), Refusal> {
        let refuse = |rule| Err(Refusal::memory(rule, at, ste.into()));
        let table = PhysAddr(ste.s1contextptr());
        let cdmax = ste.s1cdmax();
        if table.0 == 0 {
            return refuse(Rule::CdTableNull);
        }
        if cdmax > self.features.idr1.ssidsize() {
            return refuse(Rule::CdTableSize);
        }
        // 5.2: S1Fmt is ignored with a single CD; a kernel still writes one of its two formats.
        let two_level = match ste.s1fmt() {
            0 => false,
            2 => cdmax != 0,
            _ => return refuse(Rule::CdTableFormat),
        };
        // SSIDSIZE is a 5-bit field, so neither shift leaves 64 bits.
        let entries = if two_level { 1_u64 << cdmax.saturating_sub(LEAF_LOG2) } else { 1 << cdmax };
        let bytes = entries * if two_level { 8 } else { CD_BYTES };
        if !table.is_aligned(bytes.max(64)) {
            return refuse(Rule::CdTableAlignment);
        }
        if !two_level {
            return self.cds(table, entries);
        }
        for index in 0..entries {
            self.leaf(table.plus(index * 8), cdmax)?;
        }
        Ok(())
    }

    /// A leaf that is not valid is one that was never needed.
    fn leaf(&mut self, at: PhysAddr, cdmax: u8) -> Result<(), Refusal> {
        let word = self.load(Structure::L1Cd, at)?;
        let descriptor = L1Cd::from(word);
        let leaf = PhysAddr(descriptor.l2ptr());
        match descriptor.v() {
            false => Ok(()),
            true if leaf.0 == 0 || !leaf.is_aligned(LEAF_BYTES) => Err(Refusal::memory(Rule::CdLeaf, at, word)),
            true => self.cds(leaf, 1 << cdmax.min(LEAF_LOG2)),
        }
    }

    fn cds(&mut self, base: PhysAddr, count: u64) -> Result<(), Refusal> {
        for index in 0..count {
            self.cd(base.plus(index * CD_BYTES))?;
        }
        Ok(())
    }

    fn cd(&mut self, at: PhysAddr) -> Result<(), Refusal> {
        let word = self.load(Structure::Cd, at)?;
        let cd = Cd0::from(word);
        if !cd.v() {
            return Ok(());
        }
        let asid = cd.asid();
        if asid == 0 || (asid > 0xFF && !self.features.idr0.asid16()) {
            return Err(Refusal::memory(Rule::Asid, at, word));
        }
        self.found.asids.insert(asid);
        Ok(())
    }
}
