//! What an adoption looks at before its first write, and whether it should have refused (facts: smmu-kdump.md 2.2, 2.3).

use crate::access::Structure;
use crate::checker::found::Found;
use crate::checker::structures::Geometry;
use crate::log::Entry;
use crate::spec::cd::Cd0;
use crate::spec::registers::{self as reg, StrtabBaseCfg};
use crate::spec::ste::{L1Std, STE_BYTES, Ste0};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

/// SPLIT that a kernel accepts, and the bytes of its level-2 tables.
const SPLIT: u32 = 8;
const L2_BYTES: u64 = STE_BYTES << SPLIT;
/// Level-2 tables that are counted; past that a table is taken for read.
const MAX_TABLES: usize = 1 << 14;

/// Loads of the dead kernel's tables.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    /// Registers as read last.
    gerror: u32,
    gerrorn: u32,
    config: u32,
    sid_bits: u32,
    /// STRTAB_BASE was read: what is loaded before is no look at the table, which nobody could have found.
    has_begun: bool,
    /// Level-1 descriptors read in the table in force.
    descriptors: u64,
    geometry: Option<Geometry>,
    /// STEs read, by their 16 KiB.
    stes: BTreeMap<u64, u64>,
    /// Something was read that no adoption accepts.
    refused: Option<String>,
}

impl Scan {
    pub(super) fn new(found: &Found) -> Self {
        Self {
            gerror: found.gerror,
            gerrorn: found.gerrorn,
            config: found.strtab_base_cfg,
            sid_bits: u32::from(found.ids().idr1.sidsize()).min(32),
            has_begun: false,
            descriptors: 0,
            geometry: None,
            stes: BTreeMap::new(),
            refused: None,
        }
    }

    pub(super) fn read(&mut self, offset: u32, value: u32) {
        match offset {
            reg::CR0 if value & 1 == 0 => {
                self.refused.get_or_insert_with(|| format!("CR0 was read {value:#x}: SMMUEN is 0"));
            }
            reg::GERROR => self.gerror = value,
            reg::GERRORN => self.gerrorn = value,
            reg::STRTAB_BASE_CFG => self.config = value,
            reg::STRTAB_BASE => self.has_begun = true,
            _ => {}
        }
    }

    /// Identifiers were looked for: revision 10.
    pub(super) fn has_identifiers(&self) -> bool {
        !self.stes.is_empty()
    }

    pub(super) fn load(&mut self, geometry: &Geometry, entry: &Entry, structure: Structure) {
        self.geometry = Some(*geometry);
        if !self.has_begun {
            return;
        }
        let (at, word, count) = (entry.address, entry.value, u64::from(entry.count));
        let refuse = |refused: &mut Option<String>, why: &str| {
            refused.get_or_insert_with(|| format!("{why}: {} at {at:#x} holds {word:#x}", entry.name()));
        };
        match structure {
            Structure::L1Std if geometry.index(at).is_some() => {
                self.descriptors = self.descriptors.saturating_add(count);
                let descriptor = L1Std::from(word);
                let is_aligned = descriptor.l2ptr() % L2_BYTES == 0;
                match u32::from(descriptor.span()) {
                    0 => {}
                    span if span != SPLIT + 1 => refuse(&mut self.refused, "adopted in spite of a span"),
                    // Revision 7 passes over a null pointer.
                    _ if descriptor.l2ptr() != 0 && !is_aligned => {
                        refuse(&mut self.refused, "adopted in spite of a pointer");
                    }
                    _ => {}
                }
            }
            Structure::Ste if at % STE_BYTES == 0 => {
                if self.stes.len() < MAX_TABLES || self.stes.contains_key(&(at / L2_BYTES)) {
                    let seen = self.stes.entry(at / L2_BYTES).or_default();
                    *seen = seen.saturating_add(count);
                }
                let ste = Ste0::from(word);
                if ste.v() && matches!(ste.config(), 1..=3) {
                    refuse(&mut self.refused, "adopted in spite of a Config");
                }
            }
            Structure::Cd if at % STE_BYTES == 0 && Cd0::from(word).v() && Cd0::from(word).asid() == 0 => {
                refuse(&mut self.refused, "adopted in spite of ASID 0");
            }
            _ => {}
        }
    }

    /// Why this should not have been adopted; asked before the first write.
    pub(super) fn refusal(&self) -> Option<String> {
        if (self.gerror ^ self.gerrorn) & 1 << 8 != 0 {
            return Some(format!("GERROR {:#x}, GERRORN {:#x}: service failure", self.gerror, self.gerrorn));
        }
        let config = StrtabBaseCfg::from(self.config);
        let log2size = u32::from(config.log2size());
        let is_two_level = config.fmt() == 1;
        let is_split = u32::from(config.split()) == SPLIT && log2size >= SPLIT;
        // Revision 7 bounds a linear table by 25 only (adopting-kernel.md 9.4).
        let most = if is_two_level || self.has_identifiers() { self.sid_bits.min(25) } else { 25 };
        if config.fmt() > 1 || log2size > most || (is_two_level && !is_split) {
            return Some(format!("STRTAB_BASE_CFG was read {:#x}", self.config));
        }
        if self.refused.is_some() {
            return self.refused.clone();
        }
        self.unread(is_two_level)
    }

    /// A part of the table that was not looked at.
    fn unread(&self, is_two_level: bool) -> Option<String> {
        let entries = self.geometry.map_or(1, |geometry| geometry.entries());
        if is_two_level && self.descriptors < entries {
            return Some(format!("{} level-1 descriptors of {entries} were read", self.descriptors));
        }
        if is_two_level {
            let (at, count) = self.stes.iter().find(|(_, count)| **count < 1 << SPLIT)?;
            return Some(format!("{count} STEs of 256 were read at {:#x}", at * L2_BYTES));
        }
        let count: u64 = self.stes.values().sum();
        let is_short = self.has_identifiers() && count < entries && self.stes.len() < MAX_TABLES;
        is_short.then(|| format!("{count} STEs of {entries} were read"))
    }
}
