//! The stream table with which a reset starts: everything aborts, RMR streams bypass.

use super::common::Features;
use super::{Site, TakeoverError};
use crate::access::{Access, Barrier, SmmuIndex, Structure};
use crate::queue::{CommandQueue, QueueError};
use crate::spec::command::cfgi_ste;
use crate::spec::registers::{StrtabBase, StrtabBaseCfg};
use crate::spec::ste::{L1Std, STE_BYTES};
use crate::table::{ABORT, bypass_ste};
use addr::{PhysAddr, StreamId};
use alloc::vec::Vec;

/// The SPLIT that Linux uses: 256 STEs in a level-2 table.
pub(super) const SPLIT: u8 = 8;
/// Linux's bound on level-1 descriptors, as a power of two.
pub(super) const L1_MAX_LOG2: u8 = 17;
/// Bytes of a level-1 descriptor.
pub(super) const L1STD_BYTES: u64 = 8;
/// Bytes of a level-2 table.
pub(super) const L2_BYTES: u64 = STE_BYTES << SPLIT;

/// What a change of a table takes that the SMMU may read meanwhile.
pub(super) struct InForce<'a> {
    pub(super) commands: &'a mut CommandQueue,
    /// The first command that failed.
    pub(super) failed: &'a mut Option<QueueError>,
}

/// A table of our own.
pub(super) struct FreshTable {
    at: PhysAddr,
    log2size: u8,
    two_level: bool,
    /// Level-2 tables by the index of their level-1 descriptor.
    leaves: Vec<(u32, PhysAddr)>,
}

impl FreshTable {
    /// STRTAB_BASE.
    pub(super) fn base(&self) -> StrtabBase {
        StrtabBase::new().with_addr(self.at.0).with_ra(true)
    }

    /// STRTAB_BASE_CFG.
    pub(super) fn config(&self) -> StrtabBaseCfg {
        let config = StrtabBaseCfg::new().with_log2size(self.log2size);
        if self.two_level { config.with_fmt(1).with_split(SPLIT) } else { config }
    }

    /// Address of a stream's STE, `None` where the table is too small; a level-2 table of abort STEs appears at first use.
    /// `live` is `None` until the SMMU is enabled.
    pub(super) fn ste(
        &mut self,
        hw: &mut dyn Access,
        site: &mut Site<'_>,
        stream: StreamId,
        live: Option<InForce<'_>>,
    ) -> Result<Option<PhysAddr>, TakeoverError> {
        if u64::from(stream.0) >> self.log2size != 0 {
            return Ok(None);
        }
        if !self.two_level {
            return Ok(Some(self.at.plus(u64::from(stream.0) * STE_BYTES)));
        }
        let index = stream.0 >> SPLIT;
        let known = self.leaves.iter().find(|(known, _)| *known == index).map(|(_, leaf)| *leaf);
        let leaf = match known {
            Some(leaf) => leaf,
            None => {
                let leaf = allocate(site, L2_BYTES)?;
                hw.fill(site.smmu, Structure::Ste, leaf, STE_BYTES as u32, 1 << SPLIT, ABORT[0]);
                let descriptor = L1Std::new().with_span(SPLIT + 1).with_l2ptr(leaf.0);
                let at = self.at.plus(u64::from(index) * L1STD_BYTES);
                if live.is_some() {
                    // 3.21.3: the SMMU must not follow the pointer to STEs that are not there yet.
                    hw.barrier(Barrier::PublishStructure);
                }
                hw.store(site.smmu, Structure::L1Std, at, descriptor.into());
                if let Some(InForce { commands, failed }) = live {
                    // 5.1.1: a descriptor without span may be cached too; Leaf=1 would leave it in the cache.
                    hw.barrier(Barrier::PublishStructure);
                    if let Err(error) = commands.issue_and_sync(hw, &[cfgi_ste(stream, false)]) {
                        failed.get_or_insert(error);
                    }
                }
                self.leaves.push((index, leaf));
                leaf
            }
        };
        Ok(Some(leaf.plus(u64::from(stream.0 & 0xFF) * STE_BYTES)))
    }
}

/// Builds the table and installs a bypass STE for each RMR stream, whether or not the endpoint is live: with IOVAs that
/// are not physical addresses such an endpoint then writes where nobody told it to.
pub(super) fn build(
    hw: &mut dyn Access,
    site: &mut Site<'_>,
    features: &Features,
) -> Result<FreshTable, TakeoverError> {
    let sid_bits = features.sid_bits();
    // With no more StreamIDs than one level-2 table holds, Linux takes a linear table.
    let two_level = features.idr0.st_level() == 1 && sid_bits > SPLIT;
    let log2size = if two_level { sid_bits.min(L1_MAX_LOG2 + SPLIT) } else { sid_bits };
    let bytes = if two_level { L1STD_BYTES << (log2size - SPLIT) } else { STE_BYTES << log2size };
    let mut table = FreshTable { at: allocate(site, bytes)?, log2size, two_level, leaves: Vec::new() };
    // Frames are zeroed, which is span 0 in every level-1 descriptor.
    if !two_level {
        // sid_bits is 32 at most, and so large a table finds no memory; the count still has to fit.
        let count = 1_u32.checked_shl(log2size.into()).ok_or(TakeoverError::Table { bytes })?;
        hw.fill(site.smmu, Structure::Ste, table.at, STE_BYTES as u32, count, ABORT[0]);
    }
    for stream in site.rmr_streams {
        let Some(at) = table.ste(hw, site, *stream, None)? else { continue };
        let ste = bypass_ste(features.idr1);
        if ste[1] != 0 {
            hw.store(site.smmu, Structure::Ste, at.plus(8), ste[1]);
        }
        hw.store(site.smmu, Structure::Ste, at, ste[0]);
    }
    hw.barrier(Barrier::PublishStructure);
    Ok(table)
}

/// Clears an STE and writes bypass into it, word by word: harmless in a table that is not live, and nowhere else. A fetch in
/// between meets V=0, or words of both; and nobody is told to look again (no CMD_CFGI_STE).
pub(super) fn bypass_in_place(hw: &mut dyn Access, smmu: SmmuIndex, features: &Features, at: PhysAddr) {
    let words = (0..STE_BYTES).step_by(8).map(|offset| at.plus(offset));
    words.for_each(|word| hw.store(smmu, Structure::Ste, word, 0));
    let ste = bypass_ste(features.idr1);
    hw.store(smmu, Structure::Ste, at, ste[0]);
    if ste[1] != 0 {
        hw.store(smmu, Structure::Ste, at.plus(8), ste[1]);
    }
}

fn allocate(site: &mut Site<'_>, bytes: u64) -> Result<PhysAddr, TakeoverError> {
    // 6.3.24: the base is a multiple of the size of the table (or of its first level), and of 64 bytes.
    site.frames.allocate(bytes, bytes.max(64)).ok_or(TakeoverError::Table { bytes })
}
