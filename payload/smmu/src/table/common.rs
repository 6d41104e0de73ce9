//! StreamIDs that nobody attached, and that lead somewhere all the same: they share one STE.

use super::{Format, SPLIT, StreamTable, TableError};
use crate::access::{Access, Barrier, SmmuIndex, Structure};
use crate::frames::Frames;
use crate::spec::ste::{L1Std, STE_BYTES, Ste};
use addr::PhysAddr;

/// The STE of all StreamIDs that nobody attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Common {
    ste: Ste,
    /// The one level 2 that all level-1 descriptors without another name: an STE is found by its index there alone (5.1).
    pub(super) level2: Option<PhysAddr>,
}

impl Common {
    /// Writes `count` STEs that nothing leads to yet.
    pub(super) fn fill(&self, hw: &mut dyn Access, smmu: SmmuIndex, base: PhysAddr, count: u32) {
        for (word, index) in self.ste.iter().zip(0..) {
            hw.fill(smmu, Structure::Ste, base.plus(index * 8), STE_BYTES as u32, count, *word);
        }
    }
}

impl StreamTable {
    /// Has all StreamIDs share `ste` that this table has room for. Before anything is attached, and before the SMMU is
    /// enabled and has everything invalidated for that.
    ///
    /// # Errors
    /// [`TableError::OutOfMemory`].
    pub(crate) fn lead_unknown(
        &mut self,
        hw: &mut dyn Access,
        frames: &mut dyn Frames,
        ste: Ste,
    ) -> Result<(), TableError> {
        let bytes = STE_BYTES << SPLIT;
        match self.format {
            Format::Linear => {
                self.common = Some(Common { ste, level2: None });
                self.fill_with_unknown(hw, self.base, 1 << self.log2size);
            }
            Format::TwoLevel => {
                let level2 = frames.allocate(bytes, bytes).ok_or(TableError::OutOfMemory(bytes))?;
                self.common = Some(Common { ste, level2: Some(level2) });
                self.fill_with_unknown(hw, level2, 1 << SPLIT);
                hw.barrier(Barrier::PublishStructure);
                let descriptor = L1Std::new().with_span(SPLIT + 1).with_l2ptr(level2.0);
                let count = 1 << (self.log2size - SPLIT);
                hw.fill(self.smmu, Structure::L1Std, self.base, 8, count, descriptor.into());
            }
        }
        hw.barrier(Barrier::PublishStructure);
        Ok(())
    }
}
