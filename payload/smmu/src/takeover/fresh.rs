//! The stream table with which a reset starts: everything aborts, RMR streams bypass.

use super::common::Features;
use super::{Site, TakeoverError};
use crate::access::{Access, Barrier, Structure};
use crate::spec::registers::{StrtabBase, StrtabBaseCfg};
use crate::spec::ste::{Config, L1Std, STE_BYTES, Ste0, Ste1};
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

/// Register values of a table that is not live yet.
pub(super) struct FreshTable {
    pub(super) base: StrtabBase,
    pub(super) config: StrtabBaseCfg,
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
    let table = allocate(site, bytes)?;
    // Frames are zeroed, which is span 0 in every level-1 descriptor.
    if !two_level {
        // sid_bits is 32 at most, and so large a table finds no memory; the count still has to fit.
        let count = 1_u32.checked_shl(log2size.into()).ok_or(TakeoverError::Table { bytes })?;
        hw.fill(site.smmu, Structure::Ste, table, STE_BYTES as u32, count, abort_ste().into());
    }
    let mut leaves = Vec::new();
    let streams = site.rmr_streams;
    for stream in streams.iter().filter(|stream| u64::from(stream.0) >> log2size == 0) {
        let ste = if two_level {
            two_level_ste(hw, site, table, &mut leaves, *stream)?
        } else {
            table.plus(u64::from(stream.0) * STE_BYTES)
        };
        bypass(hw, site, features, ste);
    }
    hw.barrier(Barrier::PublishStructure);
    let config = StrtabBaseCfg::new().with_log2size(log2size);
    let config = if two_level { config.with_fmt(1).with_split(SPLIT) } else { config };
    Ok(FreshTable { base: StrtabBase::new().with_addr(table.0).with_ra(true), config })
}

fn allocate(site: &mut Site<'_>, bytes: u64) -> Result<PhysAddr, TakeoverError> {
    // 6.3.24: the base is a multiple of the size of the table (or of its first level), and of 64 bytes.
    site.frames.allocate(bytes, bytes.max(64)).ok_or(TakeoverError::Table { bytes })
}

fn abort_ste() -> Ste0 {
    Ste0::new().with_v(true).with_config(Config::ABORT.0)
}

/// Address of the stream's STE; allocates its level-2 table of abort STEs at first use.
fn two_level_ste(
    hw: &mut dyn Access,
    site: &mut Site<'_>,
    table: PhysAddr,
    leaves: &mut Vec<(u32, PhysAddr)>,
    stream: StreamId,
) -> Result<PhysAddr, TakeoverError> {
    let index = stream.0 >> SPLIT;
    let known = leaves.iter().find(|(known, _)| *known == index).map(|(_, leaf)| *leaf);
    let leaf = match known {
        Some(leaf) => leaf,
        None => {
            let leaf = allocate(site, L2_BYTES)?;
            hw.fill(site.smmu, Structure::Ste, leaf, STE_BYTES as u32, 1 << SPLIT, abort_ste().into());
            let descriptor = L1Std::new().with_span(SPLIT + 1).with_l2ptr(leaf.0);
            let at = table.plus(u64::from(index) * L1STD_BYTES);
            hw.store(site.smmu, Structure::L1Std, at, descriptor.into());
            leaves.push((index, leaf));
            leaf
        }
    };
    Ok(leaf.plus(u64::from(stream.0 & 0xFF) * STE_BYTES))
}

fn bypass(hw: &mut dyn Access, site: &Site<'_>, features: &Features, ste: PhysAddr) {
    // SHCFG 1 (use incoming) exists where IDR1.ATTR_TYPES_OVR does (5.2).
    if features.idr1.attr_types_ovr() {
        hw.store(site.smmu, Structure::Ste, ste.plus(8), Ste1::new().with_shcfg(1).into());
    }
    hw.store(site.smmu, Structure::Ste, ste, Ste0::new().with_v(true).with_config(Config::BYPASS.0).into());
}
