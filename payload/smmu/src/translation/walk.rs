//! Walks over translation tables that may be anybody's: bounded, read-only, and of finite depth whatever they hold.

use super::geometry::{Decoded, Geometry};
use crate::access::{Access, SmmuIndex, Structure, Unbacked};
use addr::{Iova, PhysAddr};

/// How much may still be read. Damaged tables can describe more memory than there is time to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    limit: u64,
    left: u64,
}

/// More would have to be read than was allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the structures are larger than the limit of {limit:#x} bytes")]
pub struct OverBudget {
    /// The limit.
    pub limit: u64,
}

impl Budget {
    /// At most `bytes`.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self { limit: bytes, left: bytes }
    }

    /// Uses `bytes` up.
    ///
    /// # Errors
    /// [`OverBudget`] where fewer are left.
    pub const fn take(&mut self, bytes: u64) -> Result<(), OverBudget> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(OverBudget { limit: self.limit }),
        }
    }

    /// Bytes used so far.
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.limit - self.left
    }
}

/// Why a walk did not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    /// A table lies outside memory.
    #[error("translation table: {0}")]
    Unbacked(#[from] Unbacked),
    /// The tables are too large to be read.
    #[error("translation tables: {0}")]
    OverBudget(#[from] OverBudget),
}

/// Descriptors read together.
const AT_ONCE: usize = 32;

/// One page or block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// First input address.
    pub iova: Iova,
    /// First output address.
    pub pa: PhysAddr,
    /// Length.
    pub bytes: u64,
    /// The descriptor as it stands in memory.
    pub descriptor: u64,
    /// Where it stands.
    pub descriptor_at: PhysAddr,
    /// Writes are allowed, at stage 1 unprivileged ones: AP\[2:1\] = 0b01, S2AP\[1\].
    pub writable: bool,
    /// The same of reads: AP\[1\], S2AP\[0\].
    pub readable: bool,
}

impl Leaf {
    /// Output address of `iova`, which lies in the leaf.
    #[must_use]
    pub const fn translate(&self, iova: Iova) -> PhysAddr {
        self.pa.plus(iova.0.wrapping_sub(self.iova.0))
    }
}

/// Where a translation begins, and its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tables {
    /// The SMMU that walks them.
    pub smmu: SmmuIndex,
    /// First table.
    pub root: PhysAddr,
    /// Shape.
    pub geometry: Geometry,
    /// First input address: 0 for TTB0 and S2TTB, the top of the address space less the input range for TTB1.
    pub base: Iova,
}

impl Tables {
    /// The leaf that translates `iova`; `None` where it faults or lies outside the input range.
    ///
    /// Hierarchical restrictions (APTable) are not folded into the permissions.
    ///
    /// # Errors
    /// [`Unbacked`] where a table lies outside memory.
    pub fn lookup(&self, hw: &mut dyn Access, iova: Iova) -> Result<Option<Leaf>, Unbacked> {
        let geometry = self.geometry;
        let Some(offset) = iova.0.checked_sub(self.base.0).filter(|o| o >> geometry.input_bits() == 0) else {
            return Ok(None);
        };
        let mut table = self.root;
        for level in geometry.start_level()..=3 {
            let at = table.plus(geometry.index(level, Iova(offset)) * 8);
            let raw = hw.load(self.smmu, Structure::Pte, at)?;
            match geometry.decode(level, raw) {
                Decoded::Invalid => break,
                Decoded::Table(next) => table = next,
                Decoded::Leaf(pa) => {
                    let first = offset >> geometry.shift(level) << geometry.shift(level);
                    return Ok(Some(self.leaf(level, first, pa, raw, at)));
                }
            }
        }
        Ok(None)
    }

    /// Visits every leaf in order of its input address.
    ///
    /// # Errors
    /// [`WalkError`].
    pub fn for_each_leaf(
        &self,
        hw: &mut dyn Access,
        budget: &mut Budget,
        visit: &mut dyn FnMut(Leaf),
    ) -> Result<(), WalkError> {
        self.find_leaf(hw, self.base, Iova(u64::MAX), budget, &mut |leaf| {
            visit(*leaf);
            false
        })?;
        Ok(())
    }

    /// The first leaf between the input addresses `first` and `last`, in order, that is wanted.
    ///
    /// Whole subtrees behind an invalid descriptor cost nothing.
    ///
    /// # Errors
    /// [`WalkError`].
    pub fn find_leaf(
        &self,
        hw: &mut dyn Access,
        first: Iova,
        last: Iova,
        budget: &mut Budget,
        is_wanted: &mut dyn FnMut(&Leaf) -> bool,
    ) -> Result<Option<Leaf>, WalkError> {
        let most = (1 << self.geometry.input_bits()) - 1;
        let Some(last) = last.0.checked_sub(self.base.0) else { return Ok(None) };
        let range = (first.0.saturating_sub(self.base.0), last.min(most));
        if range.0 > range.1 {
            return Ok(None);
        }
        self.descend(hw, self.geometry.start_level(), self.root, 0, range, budget, is_wanted)
    }

    /// One table of `level` that covers input offsets from `start` on. Recurses at most three times: the level grows.
    #[expect(clippy::too_many_arguments, reason = "the state of the walk; a struct for it would only rename it")]
    fn descend(
        &self,
        hw: &mut dyn Access,
        level: u8,
        table: PhysAddr,
        start: u64,
        (first, last): (u64, u64),
        budget: &mut Budget,
        is_wanted: &mut dyn FnMut(&Leaf) -> bool,
    ) -> Result<Option<Leaf>, WalkError> {
        let geometry = self.geometry;
        let shift = geometry.shift(level);
        let from = first.saturating_sub(start) >> shift;
        let to = (last.saturating_sub(start) >> shift).min(geometry.entries(level) - 1);
        let mut words = [0; AT_ONCE];
        for some in (from..=to).step_by(AT_ONCE) {
            let words = &mut words[..(to - some + 1).min(AT_ONCE as u64) as usize];
            budget.take(8 * words.len() as u64)?;
            hw.load_words(self.smmu, Structure::Pte, table.plus(some * 8), words)?;
            // Most descriptors of most tables are 0, which is not valid in any format.
            if words.iter().fold(0, |all, word| all | word) == 0 {
                continue;
            }
            for (index, raw) in (some..).zip(&*words) {
                let (at, offset) = (table.plus(index * 8), start + (index << shift));
                let found = match geometry.decode(level, *raw) {
                    Decoded::Invalid => None,
                    Decoded::Leaf(pa) => Some(self.leaf(level, offset, pa, *raw, at)).filter(&mut *is_wanted),
                    Decoded::Table(next) => {
                        self.descend(hw, level + 1, next, offset, (first, last), budget, is_wanted)?
                    }
                };
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    fn leaf(&self, level: u8, offset: u64, pa: PhysAddr, raw: u64, at: PhysAddr) -> Leaf {
        let (readable, writable) = self.geometry.permissions(self.geometry.native(raw));
        Leaf {
            iova: self.base.plus(offset),
            pa,
            bytes: 1 << self.geometry.shift(level),
            descriptor: raw,
            descriptor_at: at,
            writable,
            readable,
        }
    }
}
