//! Identity tables of stage 1 whose leaves have their access flag clear: hardware sets it where a stream goes (IHI 0070,
//! 3.13.2), and nothing is refused.
//!
//! A leaf is the largest block of the granule, 1 GiB with 4 KiB pages; where one would cover memory and something else it
//! is a table of the next smaller ones. Memory is Normal, everything else Device, as Linux maps doorbells and peers. A
//! stream has tables of its own wherever its range of the first level above the blocks holds memory, and only their flags
//! are clear: elsewhere all streams share tables whose flags are set.

use super::geometry::{ACCESSED, table_descriptor};
use super::{Attributes, Geometry, MapError, Memory, Tables, Translation};
use crate::access::{Access, Barrier, SmmuIndex, Structure, Unbacked};
use crate::frames::Frames;
use addr::PhysAddr;
use alloc::vec::Vec;
use core::ops::Range;

/// DBM: a write to a leaf that is read-only by AP\[2\] alone makes it writable (IHI 0070, 3.13.3.1).
const DIRTY_MODIFIER: u64 = 1 << 51;
/// AP\[2\]: read-only.
const READ_ONLY: u64 = 1 << 7;
/// Descriptors read together.
const AT_ONCE: usize = 32;

/// What hardware updates in the leaves of a stream (CD.HA, CD.HD).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Httu {
    /// The access flag.
    Access,
    /// The access flag, and whether anything was written. Unlike the flag this is never set ahead of a transaction.
    AccessAndDirty,
}

impl Httu {
    /// A leaf that nobody has used.
    const fn clean(self, leaf: u64) -> u64 {
        match self {
            Self::Access => leaf & !ACCESSED,
            Self::AccessAndDirty => leaf & !ACCESSED | DIRTY_MODIFIER | READ_ONLY,
        }
    }

    /// Whether a leaf was written through; `None` where hardware does not tell.
    const fn written(self, leaf: u64) -> Option<bool> {
        match self {
            Self::Access => None,
            Self::AccessAndDirty => Some(leaf & READ_ONLY == 0),
        }
    }
}

/// A leaf that was used since it was last clean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// First address.
    pub address: PhysAddr,
    /// Length.
    pub bytes: u64,
    /// It was written; `None` where hardware does not tell.
    pub written: Option<bool>,
}

/// Makes tables of this kind for the streams of one SMMU.
pub struct Identity<'a> {
    smmu: SmmuIndex,
    geometry: Geometry,
    httu: Httu,
    /// In order, and apart from each other.
    memory: &'a [Range<u64>],
    shared: &'a mut SharedTables,
}

/// Tables without memory below them: shape, level, first address, where they are. All streams of all SMMUs share them.
#[derive(Clone, Debug, Default)]
pub struct SharedTables(Vec<(Geometry, u8, u64, PhysAddr)>);

/// One table whose flags are a stream's own.
#[derive(Clone, Copy, Debug)]
struct Own {
    level: u8,
    first: u64,
    at: PhysAddr,
}

/// The tables of one stream.
#[derive(Clone, Debug)]
pub struct Marked {
    translation: Translation,
    httu: Httu,
    own: Vec<Own>,
}

impl<'a> Identity<'a> {
    /// `memory` is in order, without overlaps.
    #[must_use]
    pub const fn new(
        smmu: SmmuIndex,
        geometry: Geometry,
        httu: Httu,
        memory: &'a [Range<u64>],
        shared: &'a mut SharedTables,
    ) -> Self {
        Self { smmu, geometry, httu, memory, shared }
    }

    /// What hardware updates in them.
    #[must_use]
    pub const fn httu(&self) -> Httu {
        self.httu
    }

    /// Tables for one stream, which reach all addresses of the output range; `memory` says how it reaches memory.
    ///
    /// # Errors
    /// [`MapError::OutOfMemory`].
    pub fn tables(&mut self, hw: &mut dyn Access, frames: &mut dyn Frames, memory: Memory) -> Result<Marked, MapError> {
        let translation = Translation::new(self.smmu, self.geometry, frames)?;
        let mut own = Vec::new();
        let root = Own { level: self.geometry.start_level(), first: 0, at: translation.root() };
        self.fill(hw, frames, root, Some(&mut own), memory)?;
        hw.barrier(Barrier::PublishStructure);
        Ok(Marked { translation, httu: self.httu, own })
    }

    /// Fills `table`; those of one stream alone are put into `own`.
    fn fill(
        &mut self,
        hw: &mut dyn Access,
        frames: &mut dyn Frames,
        table: Own,
        mut own: Option<&mut Vec<Own>>,
        memory: Memory,
    ) -> Result<(), MapError> {
        let Own { level, first, at } = table;
        let (shift, has_leaves) = (self.geometry.shift(level), self.has_leaves(level));
        if let Some(own) = own.as_deref_mut().filter(|_| has_leaves) {
            own.push(table);
        }
        for index in 0..self.geometry.entries(level) {
            let start = first + (index << shift);
            let (is_all, is_some) = self.memory_in(start..start + (1 << shift));
            let is_mixed = is_some && !is_all;
            // One level below the largest blocks nothing is divided any more.
            let goes_deeper = !has_leaves || is_mixed && level < 3 && !self.has_leaves(level - 1);
            let descriptor = match own.as_deref_mut().filter(|_| goes_deeper && is_some) {
                Some(own) => {
                    let below = Own { level: level + 1, first: start, at: self.new_table(frames)? };
                    self.fill(hw, frames, below, Some(own), memory)?;
                    table_descriptor(below.at)
                }
                None if goes_deeper => table_descriptor(self.shared(hw, frames, level + 1, start, memory)?),
                None => {
                    let memory = if is_some { memory } else { Memory::Device };
                    let attributes = Attributes { memory, read_only: false };
                    let leaf = self.geometry.leaf_descriptor(level, PhysAddr(start), attributes);
                    if own.is_some() { self.httu.clean(leaf) } else { leaf }
                }
            };
            hw.store(self.smmu, Structure::Pte, at.plus(index * 8), descriptor);
        }
        Ok(())
    }

    /// The table of `level` for a range without memory.
    fn shared(
        &mut self,
        hw: &mut dyn Access,
        frames: &mut dyn Frames,
        level: u8,
        first: u64,
        memory: Memory,
    ) -> Result<PhysAddr, MapError> {
        let key = (self.geometry, level, first);
        if let Some((.., at)) = self.shared.0.iter().find(|known| (known.0, known.1, known.2) == key) {
            return Ok(*at);
        }
        let at = self.new_table(frames)?;
        self.fill(hw, frames, Own { level, first, at }, None, memory)?;
        self.shared.0.push((self.geometry, level, first, at));
        Ok(at)
    }

    fn new_table(&self, frames: &mut dyn Frames) -> Result<PhysAddr, MapError> {
        let bytes = self.geometry.granule().bytes();
        frames.allocate(bytes, bytes).ok_or(MapError::OutOfMemory(bytes))
    }

    /// Pages, or blocks that the granule has at this level. The first level has something above it only where it has none.
    const fn has_leaves(&self, level: u8) -> bool {
        level == 3 || self.geometry.has_blocks(level)
    }

    /// Whether all of a range is memory, and whether any of it is.
    fn memory_in(&self, range: Range<u64>) -> (bool, bool) {
        let overlaps = self.memory.iter().filter(|known| known.start < range.end && range.start < known.end);
        let bytes: u64 = overlaps.map(|known| known.end.min(range.end) - known.start.max(range.start)).sum();
        (bytes == range.end - range.start, bytes != 0)
    }
}

impl Marked {
    /// The tables, for a CD.
    #[must_use]
    pub const fn translation(&self) -> &Translation {
        &self.translation
    }

    /// Tells each leaf that was used, and makes it clean. Until the TLB entries of the stream are invalidated, what uses
    /// them sets no flag again; returns whether there is anything to invalidate.
    ///
    /// # Errors
    /// [`Unbacked`].
    pub fn collect(&self, hw: &mut dyn Access, tell: &mut dyn FnMut(Touched)) -> Result<bool, Unbacked> {
        let Tables { smmu, geometry, .. } = *self.translation.tables();
        let mut words = [0; AT_ONCE];
        let mut is_any = false;
        for Own { level, first, at } in &self.own {
            let count = geometry.entries(*level);
            for some in (0..count).step_by(AT_ONCE) {
                let words = &mut words[..(count - some).min(AT_ONCE as u64) as usize];
                hw.load_words(smmu, Structure::Pte, at.plus(some * 8), words)?;
                for (index, raw) in (some..).zip(&*words) {
                    let is_leaf = *level == 3 || raw & 0b11 == 0b01;
                    if !is_leaf || raw & ACCESSED == 0 {
                        continue;
                    }
                    // What was written since the load is in what the exchange returns.
                    let used = hw.swap(smmu, Structure::Pte, at.plus(index * 8), self.httu.clean(*raw))?;
                    is_any = true;
                    let shift = geometry.shift(*level);
                    let address = PhysAddr(first + (index << shift));
                    tell(Touched { address, bytes: 1 << shift, written: self.httu.written(used) });
                }
            }
        }
        Ok(is_any)
    }
}

#[cfg(test)]
mod tests;
