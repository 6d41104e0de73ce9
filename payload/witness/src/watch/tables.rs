//! Stream table and CDs: those that the dead kernel left, and those that the new one makes (IHI 0070, 5.1 to 5.4).
//!
//! A table is watched from the moment when a register or a watched word leads to it. The dead kernel's stay watched for
//! good; a new one is let go when the word that led to it leads elsewhere, because its memory may become anything.

mod found;
mod part;
mod snapshot;

use super::WatchError;
use super::seen::How;
use super::trap::Trap;
use addr::PhysAddr;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use part::Part;
use smmu::access::{Barrier, Structure};
use smmu::checker::{Found, Target};
use smmu::log::{Entry, Op, What};
use smmu::spec::registers as reg;
use snapshot::{Runs, Usual};

/// Tables that are watched; past that nothing is added. A stream table of two levels with 2^16 streams has 257.
const MAX_TABLES: usize = 1 << 14;
/// Bytes of one table that are watched: a linear one of 2^16 streams.
const MAX_BYTES: u64 = 4 << 20;
/// Words that are looked at together: 8 STEs, or a page of level-1 descriptors in eight steps.
const WORDS: usize = 64;
/// Links from the registers to a CD: level 1, STE, level-1 CD, CD.
const MAX_DEPTH: u32 = 4;

/// Whose table it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The crashed kernel's.
    Dead,
    /// The kernel's that took over.
    New,
}

/// A table that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Where it lies and what it is made of.
    pub target: Target,
    /// Whose it is.
    pub owner: Owner,
    /// Address of the word that leads to it; none if the registers do.
    pointer: Option<u64>,
}

impl Region {
    /// The first byte behind it.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.target.start.saturating_add(self.target.bytes)
    }
}

/// All tables of one SMMU.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    regions: BTreeMap<u64, Region>,
    idr1: u32,
    base: u64,
    config: u32,
    /// STRTAB_BASE, STRTAB_BASE_CFG were written since the last table was looked at.
    is_written: [bool; 2],
    is_enabled: bool,
    generation: u64,
    is_partial: bool,
}

impl Tables {
    pub(super) const fn new(found: &Found) -> Self {
        Self {
            regions: BTreeMap::new(),
            idr1: found.idr1,
            base: found.strtab_base,
            config: found.strtab_base_cfg,
            is_written: [false; 2],
            is_enabled: found.cr0 & 1 != 0,
            generation: 0,
            is_partial: false,
        }
    }

    pub(super) fn regions(&self) -> impl Iterator<Item = &Region> {
        self.regions.values()
    }

    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) const fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// The table that holds `at`: the one that begins nearest before it.
    pub(super) fn find(&self, at: u64) -> Option<&Region> {
        let near = at.saturating_sub(MAX_BYTES)..=at;
        self.regions.range(near).rev().map(|(_, region)| region).find(|region| region.target.contains(at))
    }

    /// Watches what the registers lead to as the SMMU was found.
    pub(super) fn watch_found(&mut self, trap: &mut Trap<'_>) {
        if let Some(target) = Target::of_registers(self.base, self.config, self.idr1).filter(|_| self.is_enabled) {
            self.add(trap, Region { target, owner: Owner::Dead, pointer: None }, MAX_DEPTH);
        }
    }

    /// A register, or half of one, is about to be written. The table is looked at when both STRTAB registers were written,
    /// or at the latest when SMMUEN is.
    pub(super) fn register(&mut self, trap: &mut Trap<'_>, offset: u32, word: u32) {
        const BASE_HIGH: u32 = reg::STRTAB_BASE + 4;
        let wide = u64::from(word);
        let is_due = match offset {
            reg::STRTAB_BASE => {
                self.base = self.base & !0xFFFF_FFFF | wide;
                // Its other half may be about to follow.
                self.is_written[0] = true;
                false
            }
            BASE_HIGH => {
                self.base = self.base & 0xFFFF_FFFF | wide << 32;
                self.is_written[0] = true;
                self.is_written[1]
            }
            reg::STRTAB_BASE_CFG => {
                self.config = word;
                self.is_written[1] = true;
                self.is_written[0]
            }
            reg::CR0 => {
                let was_enabled = core::mem::replace(&mut self.is_enabled, word & 1 != 0);
                self.is_enabled && !was_enabled && self.is_written != [false; 2]
            }
            _ => false,
        };
        if is_due {
            self.is_written = [false; 2];
            if let Some(target) = Target::of_registers(self.base, self.config, self.idr1) {
                self.add(trap, Region { target, owner: Owner::New, pointer: None }, MAX_DEPTH);
            }
        }
    }

    /// Loads a part of a word.
    pub(super) fn load(&self, trap: &mut Trap<'_>, at: PhysAddr, bytes: u8) -> Result<u64, WatchError> {
        let (region, part) = self.part(at, bytes)?;
        let structure = region.target.structure;
        let word = trap.hw.load(trap.smmu, structure, part.word)?;
        let entry = trap.entry(Op::Load, What::Structure(structure), part.word.0, word);
        trap.record(entry, How::Trapped, None);
        Ok(part.of(word))
    }

    /// Stores a part of a word.
    pub(super) fn store(&mut self, trap: &mut Trap<'_>, at: PhysAddr, bytes: u8, value: u64) -> Result<(), WatchError> {
        let (region, part) = self.part(at, bytes)?;
        let structure = region.target.structure;
        let old = trap.hw.load(trap.smmu, structure, part.word)?;
        let new = part.replaced(old, value);
        let entry = self.stores(trap, &region, part.word, [old, new]);
        trap.hw.store(trap.smmu, structure, part.word, new);
        // Of an SMMU that does not snoop the line was cleaned, and the kernel's own barrier does not complete that.
        trap.hw.barrier(Barrier::PublishStructure);
        trap.record(entry, How::Trapped, Some(old));
        Ok(())
    }

    /// A word that was stored while nobody looked.
    pub(super) fn stored(&mut self, trap: &mut Trap<'_>, at: PhysAddr, [old, new]: [u64; 2]) -> Result<(), WatchError> {
        let (region, part) = self.part(at, 8)?;
        let entry = self.stores(trap, &region, part.word, [old, new]);
        trap.record(entry, How::Trapped, Some(old));
        Ok(())
    }

    /// The entry of a store, after what a new pointer leads to is in the log.
    fn stores(&mut self, trap: &mut Trap<'_>, region: &Region, at: PhysAddr, [old, new]: [u64; 2]) -> Entry {
        let structure = region.target.structure;
        if is_pointer(structure, at.0) {
            let (before, after) = (region.target.behind(old), region.target.behind(new));
            if before != after {
                self.let_go(at.0);
            }
            if let Some(target) = after.filter(|_| before != after) {
                self.add(trap, Region { target, owner: Owner::New, pointer: Some(at.0) }, MAX_DEPTH);
            }
        }
        trap.entry(Op::Store, What::Structure(structure), at.0, new)
    }

    /// What lies at an address, and which bits of its word are meant.
    fn part(&self, at: PhysAddr, bytes: u8) -> Result<(Region, Part), WatchError> {
        let region = *self.find(at.0).ok_or(WatchError::Unwatched(at.0))?;
        let first = at.0 % 8;
        if !matches!(bytes, 1..=8) || first + u64::from(bytes) > 8 {
            return Err(WatchError::Crossing { address: at.0, bytes });
        }
        let bits = 8 * u32::from(bytes);
        let mask = if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
        Ok((region, Part { word: PhysAddr(at.0 - first), shift: 8 * first as u32, mask }))
    }

    /// The word at `pointer` leads elsewhere: what it led to is watched no more, unless it is the dead kernel's.
    fn let_go(&mut self, pointer: u64) {
        let is_below = |region: &Region| region.pointer == Some(pointer) && region.owner == Owner::New;
        while let Some(gone) = self.regions.values().find(|region| is_below(region)).copied() {
            self.regions.remove(&gone.target.start);
            self.generation += 1;
            let pointers = self.regions.values().filter_map(|region| region.pointer);
            let inside: Vec<u64> = pointers.filter(|at| gone.target.contains(*at)).collect();
            for pointer in inside {
                self.let_go(pointer);
            }
        }
    }

    /// Watches a table and what hangs from it; the new kernel's are logged as they are, the lower ones first.
    fn add(&mut self, trap: &mut Trap<'_>, region: Region, depth: u32) {
        let Some(depth) = depth.checked_sub(1) else { return };
        let Region { target: Target { start, structure, .. }, .. } = region;
        let bytes = region.target.bytes.min(MAX_BYTES);
        let known = self.regions.get(&start).map(|known| known.target);
        if known.is_some_and(|known| known.structure == structure && known.bytes >= bytes) {
            return;
        }
        self.is_partial |= bytes != region.target.bytes || self.regions.len() >= MAX_TABLES;
        if self.regions.len() >= MAX_TABLES {
            return;
        }
        let mut region = region;
        region.target.bytes = bytes;
        let target = region.target;
        self.regions.insert(start, region);
        self.generation += 1;
        let chunks = || (start..region.end()).step_by(8 * WORDS);
        let mut usual = Usual::new(structure);
        if trap.log.is_some() {
            for (at, word) in chunks().flat_map(|chunk| Words::read(trap, &target, chunk).iter()) {
                usual.take(at, word);
            }
        }
        let mut runs = Runs::new(usual);
        runs.fills(start, bytes).for_each(|run| run.record(trap));
        for chunk in chunks() {
            for (at, word) in Words::read(trap, &target, chunk).iter() {
                let below = target.behind(word).filter(|_| is_pointer(structure, at));
                if let Some(target) = below {
                    self.add(trap, Region { target, pointer: Some(at), ..region }, depth);
                }
                if let Some(run) = runs.take(at, word) {
                    run.record(trap);
                }
            }
        }
        runs.finish().for_each(|run| run.record(trap));
    }
}

/// Neighbouring words of a table.
struct Words {
    at: u64,
    count: usize,
    words: [u64; WORDS],
}

impl Words {
    /// None where nothing answers: it leads nowhere then.
    fn read(trap: &mut Trap<'_>, target: &Target, at: u64) -> Self {
        let mut words = [0; WORDS];
        let left = target.start.saturating_add(target.bytes).saturating_sub(at) / 8;
        let count = left.min(WORDS as u64) as usize;
        let room = words.get_mut(..count).unwrap_or_default();
        let is_there = trap.hw.load_words(trap.smmu, target.structure, PhysAddr(at), room).is_ok();
        Self { at, count: if is_there { count } else { 0 }, words }
    }

    fn iter(self) -> impl Iterator<Item = (u64, u64)> {
        (self.at..).step_by(8).zip(self.words).take(self.count)
    }
}

/// Only word 0 of an STE leads anywhere; all words of the level-1 tables do.
const fn is_pointer(structure: Structure, at: u64) -> bool {
    match structure {
        Structure::Ste => at.is_multiple_of(64),
        Structure::L1Std | Structure::L1Cd => true,
        _ => false,
    }
}
