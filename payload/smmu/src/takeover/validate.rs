//! Is what the registers call a stream table one that can be adopted? Addresses are not believed: a load may meet no
//! memory, which refuses the table instead of ending the crash kernel.

use super::common::Features;
use super::fresh::{L1_MAX_LOG2, L1STD_BYTES, L2_BYTES, SPLIT};
use super::{Refusal, Rule};
use crate::access::{Access, SmmuIndex, Structure};
use crate::spec::registers::{self as reg, StrtabBase, StrtabBaseCfg};
use crate::spec::ste::{L1Std, STE_BYTES};
use addr::{PhysAddr, StreamId};
use core::ops::Range;

/// A table that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// So many STEs.
    Linear { base: PhysAddr, entries: u32 },
    /// So many level-1 descriptors.
    TwoLevel { base: PhysAddr, entries: u32 },
}

/// Whose rules.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Revision {
    /// No alignment is asked for, FMT is believed, and a null pointer passes for an unused entry.
    V7,
    /// What is believed here is what an SMMU of this kind can have been given.
    V10,
}

/// Reads STRTAB_BASE_CFG and STRTAB_BASE, and every level-1 descriptor.
pub(super) fn table(
    hw: &mut dyn Access,
    smmu: SmmuIndex,
    features: &Features,
    revision: Revision,
) -> Result<Table, Refusal> {
    let config = StrtabBaseCfg::from(hw.read32(smmu, reg::STRTAB_BASE_CFG));
    let base = StrtabBase::from(hw.read64(smmu, reg::STRTAB_BASE));
    let refuse = |rule| Err(Refusal::register(rule, reg::STRTAB_BASE_CFG, u32::from(config).into()));
    let two_level = match config.fmt() {
        0 => false,
        1 => true,
        _ => return refuse(Rule::StrtabFormat),
    };
    let log2size = config.log2size();
    if two_level {
        if features.idr0.st_level() != 1 {
            return refuse(Rule::TwoLevelUnsupported);
        }
        // The architecture has 6 and 10 too; no kernel writes them.
        if config.split() != SPLIT {
            return refuse(Rule::StrtabSplit);
        }
        if log2size < SPLIT {
            return refuse(Rule::StrtabLog2size);
        }
    }
    // Revision 7 bounds a linear table by 25 only where the SMMU could do two levels: a table that no SMMU of this
    // SIDSIZE reads in full is not one that its owner wrote so.
    let believes = revision == Revision::V7 && !two_level && features.idr0.st_level() == 1;
    if log2size > features.sid_bits() && !believes {
        return refuse(Rule::StrtabLog2size);
    }
    if log2size > L1_MAX_LOG2 + SPLIT {
        return refuse(Rule::StrtabSize);
    }
    // Revision 10. With FMT=0 it is also what tells a two-level table from a linear one: its level 1 is hardly ever
    // aligned to the size of the linear table that it would have to be.
    let bytes = if two_level { L1STD_BYTES << (log2size - SPLIT) } else { STE_BYTES << log2size };
    let at = PhysAddr(base.addr());
    if revision == Revision::V10 && !at.is_aligned(bytes.max(64)) {
        return Err(Refusal::register(Rule::StrtabAlignment, reg::STRTAB_BASE, base.into()));
    }
    if !two_level {
        return Ok(Table::Linear { base: at, entries: 1 << log2size });
    }
    let entries = 1_u32 << (log2size - SPLIT);
    for index in 0..entries {
        l2_table(hw, smmu, &features.own, at, index, revision)?;
    }
    Ok(Table::TwoLevel { base: at, entries })
}

/// The level-2 table of a level-1 descriptor, if it has one.
pub(super) fn l2_table(
    hw: &mut dyn Access,
    smmu: SmmuIndex,
    own: &Range<PhysAddr>,
    base: PhysAddr,
    index: u32,
    revision: Revision,
) -> Result<Option<PhysAddr>, Refusal> {
    let at = base.plus(u64::from(index) * L1STD_BYTES);
    let word = load(hw, smmu, own, Structure::L1Std, at)?;
    let descriptor = L1Std::from(word);
    let refuse = |rule| Err(Refusal::memory(rule, at, word));
    let pointer = PhysAddr(descriptor.l2ptr());
    match descriptor.span() {
        0 => Ok(None),
        // A null pointer counts as unused there, whatever the span.
        _ if revision == Revision::V7 && pointer.0 == 0 => Ok(None),
        span if span != SPLIT + 1 => refuse(Rule::L1Span),
        // Revision 10, both.
        _ if pointer.0 == 0 => refuse(Rule::L2Null),
        _ if revision == Revision::V10 && !pointer.is_aligned(L2_BYTES) => refuse(Rule::L2Alignment),
        _ => Ok(Some(pointer)),
    }
}

/// Loads a word of the dead kernel. It cannot lie in our own memory, where our own data would be taken for it. That is
/// stricter than revision 10, which vets no address.
pub(super) fn load(
    hw: &mut dyn Access,
    smmu: SmmuIndex,
    own: &Range<PhysAddr>,
    what: Structure,
    at: PhysAddr,
) -> Result<u64, Refusal> {
    if own.contains(&at) {
        return Err(Refusal::memory(Rule::OwnMemory, at, 0));
    }
    hw.load(smmu, what, at).map_err(|unbacked| Refusal::memory(Rule::Unbacked, unbacked.0, 0))
}

/// Looks again at what leads to one stream of an adopted table, as a kernel does when it meets a device of it: the dead
/// kernel's memory may have changed since it was validated, and then this device alone is refused. Returns the address of
/// the STE, `None` where the table has none.
///
/// # Errors
/// [`Refusal`]: the rule that the table breaks now.
pub fn look_again(
    hw: &mut dyn Access,
    smmu: SmmuIndex,
    own: &Range<PhysAddr>,
    stream: StreamId,
) -> Result<Option<PhysAddr>, Refusal> {
    let config = StrtabBaseCfg::from(hw.read32(smmu, reg::STRTAB_BASE_CFG));
    let base = PhysAddr(StrtabBase::from(hw.read64(smmu, reg::STRTAB_BASE)).addr());
    let entries = 1_u32.checked_shl(config.log2size().into()).unwrap_or(0);
    let table = match config.fmt() {
        0 => Table::Linear { base, entries },
        _ => Table::TwoLevel { base, entries: entries >> SPLIT },
    };
    let at = ste_at(hw, smmu, own, &table, stream)?;
    at.map_or(Ok(None), |at| load(hw, smmu, own, Structure::Ste, at).map(|_| Some(at)))
}

/// Where the STE of a stream is; `None` where the table has none.
pub(super) fn ste_at(
    hw: &mut dyn Access,
    smmu: SmmuIndex,
    own: &Range<PhysAddr>,
    table: &Table,
    stream: StreamId,
) -> Result<Option<PhysAddr>, Refusal> {
    let index = u64::from(stream.0);
    Ok(match *table {
        Table::Linear { base, entries } => (index < entries.into()).then(|| base.plus(index * STE_BYTES)),
        Table::TwoLevel { base, entries } if index >> SPLIT < entries.into() => {
            let leaf = l2_table(hw, smmu, own, base, stream.0 >> SPLIT, Revision::V10)?;
            leaf.map(|leaf| leaf.plus((index & 0xFF) * STE_BYTES))
        }
        Table::TwoLevel { .. } => None,
    })
}
