//! The table that a reset makes before it needs it: whole, and linked.

use crate::access::Structure;
use crate::checker::found::Found;
use crate::log::{Entry, Op};
use crate::spec::registers::{StrtabBase, StrtabBaseCfg};
use crate::spec::ste::{L1Std, STE_BYTES};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Level-2 tables, descriptors and STEs that are kept; past that nothing is claimed.
const MAX: usize = 1 << 12;

/// A table in the making.
#[derive(Clone, Debug)]
pub(super) struct Fresh {
    pub(super) base: u64,
    /// Word 1 of a bypass STE may have SHCFG=1 (5.2).
    has_attributes: bool,
    config: Option<(StrtabBaseCfg, u64)>,
    /// Presets: address and number of STEs.
    presets: Vec<(u64, u64)>,
    /// Address and value of level-1 descriptors.
    descriptors: Vec<(u64, u64)>,
    /// Addresses of single STE words.
    words: Vec<u64>,
    /// A word that neither an abort nor a bypass STE has.
    odd: Option<String>,
}

/// Word 0 of an STE that aborts and of one that bypasses.
const ABORT: u64 = 1;
const BYPASS: u64 = 9;
/// Word 1 of the latter: SHCFG, use incoming.
const SHCFG: u64 = 1 << 44;
/// Span of a level-1 descriptor with 256 STEs.
const SPAN: u8 = 9;

impl Fresh {
    pub(super) fn new(found: &Found) -> Self {
        let has_attributes = found.ids().idr1.attr_types_ovr();
        let (presets, descriptors, words) = (Vec::new(), Vec::new(), Vec::new());
        Self { base: 0, has_attributes, config: None, presets, descriptors, words, odd: None }
    }

    pub(super) fn config(&mut self, value: u32, at: u64) {
        self.config = Some((value.into(), at));
    }

    /// STRTAB_* point to it.
    pub(super) const fn is_in_force(&self) -> bool {
        self.config.is_some()
    }

    pub(super) fn store(&mut self, entry: &Entry, structure: Structure) {
        if self.presets.len().max(self.descriptors.len()).max(self.words.len()) >= MAX {
            return;
        }
        let is_usual = match structure {
            Structure::Ste if entry.op == Op::Fill => entry.value == ABORT,
            Structure::Ste if entry.address.is_multiple_of(STE_BYTES) => entry.value == BYPASS,
            Structure::Ste if entry.address % STE_BYTES == 8 => entry.value == SHCFG && self.has_attributes,
            Structure::L1Std => L1Std::from(entry.value).span() == SPAN,
            _ => false,
        };
        if !is_usual {
            let (at, value) = (entry.address, entry.value);
            self.odd.get_or_insert_with(|| format!("{} at {at:#x} was stored {value:#x}", entry.name()));
        }
        match structure {
            Structure::Ste if entry.op == Op::Fill => self.presets.push((entry.address, u64::from(entry.count))),
            Structure::Ste => self.words.push(entry.address),
            Structure::L1Std => self.descriptors.push((entry.address, entry.value)),
            _ => {}
        }
    }

    /// What is wrong with it when it is about to be read, and the entry that put it in force.
    pub(super) fn judge(&self) -> Option<(u64, String)> {
        let (config, at) = self.config?;
        if self.presets.len().max(self.descriptors.len()).max(self.words.len()) >= MAX {
            return None;
        }
        let base = StrtabBase::from(self.base).addr();
        let log2size = u32::from(config.log2size()).min(32);
        let preset = |start: u64, count: u64| self.presets.iter().any(|(at, stes)| *at == start && *stes >= count);
        let reason = if config.fmt() == 1 {
            self.two_level(base, log2size.saturating_sub(config.split().into()), preset)
        } else {
            let is_preset = preset(base, 1 << log2size);
            (!is_preset).then(|| format!("the linear table at {base:#x} was not preset to abort"))
        };
        let within =
            |word: &&u64| self.presets.iter().any(|(at, stes)| **word >= *at && **word - *at < stes * STE_BYTES);
        let stray = || {
            let word = self.words.iter().find(|word| !within(word))?;
            Some(format!("the STE word at {word:#x} is in no preset table"))
        };
        self.odd.clone().or(reason).or_else(stray).map(|reason| (at, reason))
    }

    fn two_level(&self, base: u64, bits: u32, preset: impl Fn(u64, u64) -> bool) -> Option<String> {
        let bytes = 8_u64 << bits;
        let mut linked = Vec::new();
        for (at, word) in &self.descriptors {
            let descriptor = L1Std::from(*word);
            if at.checked_sub(base).is_none_or(|distance| distance >= bytes) {
                return Some(format!("the level-1 descriptor at {at:#x} is outside the table at {base:#x}"));
            }
            let count = 1_u64 << u32::from(descriptor.span()).saturating_sub(1);
            if descriptor.span() == 0 || !preset(descriptor.l2ptr(), count) {
                return Some(format!("the level-2 table at {:#x} was not preset to abort", descriptor.l2ptr()));
            }
            linked.push(descriptor.l2ptr());
        }
        let lost = self.presets.iter().find(|(at, _)| !linked.contains(at))?;
        Some(format!("the level-2 table at {:#x} is in no level-1 descriptor", lost.0))
    }
}
