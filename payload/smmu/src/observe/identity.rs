//! Does a stream arrive where it points? Asked of reserved memory ranges, which DMA must reach unchanged.

use super::reach::Stop;
use super::{Budget, CdTable, ReachError, Registers, Unwalkable, cds, stage2_tables, ste, tables};
use crate::access::{Access, Structure};
use crate::observe::ObserveError;
use crate::spec::ste::{Config, Ste0, Ste1};
use crate::translation::{Leaf, Tables, WalkError};
use addr::{Iova, PhysAddr, StreamId};

/// S1DSS: traffic without a SubstreamID is terminated, bypasses stage 1, or uses CD 0 (5.2).
const TERMINATE: u8 = 0;
const BYPASS: u8 = 1;

/// The first of the `bytes` from `start` on that does not arrive at its own address when `stream_id` accesses it; `None`
/// where all do.
///
/// Asked of traffic without a SubstreamID. Permissions and access flags count for nothing, as in [`super::reaches`].
/// `limit` bounds the bytes read.
///
/// # Errors
/// [`ReachError`]: the answer is then unknown.
pub fn not_identity(
    hw: &mut dyn Access,
    registers: &Registers,
    stream_id: StreamId,
    (start, bytes): (PhysAddr, u64),
    limit: u64,
) -> Result<Option<PhysAddr>, ReachError> {
    if bytes == 0 {
        return Ok(None);
    }
    if !registers.cr0ack.smmuen() {
        return Ok(registers.gbpa.abort().then_some(start));
    }
    let unbacked = |unbacked| ObserveError::Unbacked { what: Structure::Ste, unbacked };
    let Some((_, words)) = ste(hw, registers, stream_id).map_err(unbacked)? else { return Ok(Some(start)) };
    let (ste0, ste1) = (Ste0::from(words[0]), Ste1::from(words[1]));
    let config = Config(ste0.config());
    if !ste0.v() || config.is_abort() {
        return Ok(Some(start));
    }
    let unwalkable = |error| ReachError::Unwalkable { stream_id, error };
    let walk = |error| ReachError::Walk { stream_id, error };
    let mut budget = Budget::new(limit);
    if let Some(tables) = stage2_tables(registers, &words).map_err(unwalkable)? {
        // Under nesting stage 1's tables lie behind stage 2, and are not walked.
        return match config {
            Config::S2 => broken_at(hw, &mut budget, &tables, start, bytes).map_err(walk),
            _ => Err(unwalkable(Unwalkable { structure: Structure::Ste, words: [words[2], words[3]] })),
        };
    }
    // S1DSS is ignored where there is one CD only (5.2).
    let has_substreams = config == Config::S1 && ste0.s1cdmax() > 0;
    if config == Config::BYPASS || has_substreams && ste1.s1dss() == BYPASS {
        return Ok(None);
    }
    if has_substreams && ste1.s1dss() == TERMINATE {
        return Ok(Some(start));
    }
    let mut first_cd = None;
    let mut keep = |_: &mut dyn Access, _: &mut Budget, item| {
        if let CdTable::Cd { substream: 0, cd, .. } = item {
            first_cd = Some(cd);
        }
        Ok(())
    };
    if let Err(Stop::Failed(error)) = cds(hw, registers, &words, &mut budget, &mut keep) {
        return Err(error);
    }
    let Some(cd) = first_cd else { return Ok(Some(start)) };
    let [lower, upper] = tables(registers, &cd).map_err(unwalkable)?;
    // An address with its top bit set is TTB1's.
    let Some(tables) = (if start.0 >> 63 == 0 { lower } else { upper }) else { return Ok(Some(start)) };
    broken_at(hw, &mut budget, &tables, start, bytes).map_err(walk)
}

/// The first address of the range that is not translated to itself.
fn broken_at(
    hw: &mut dyn Access,
    budget: &mut Budget,
    tables: &Tables,
    start: PhysAddr,
    bytes: u64,
) -> Result<Option<PhysAddr>, WalkError> {
    let last = start.0.saturating_add(bytes - 1);
    // The next address that must come; a leaf may begin before the range.
    let mut next = Some(start.0);
    let mut takes = |leaf: &Leaf| {
        let Some(at) = next else { return true };
        let is_here = leaf.iova.0 <= at && leaf.iova.0 == leaf.pa.0;
        if is_here {
            next = leaf.iova.0.checked_add(leaf.bytes).filter(|end| *end <= last);
        }
        // The walk ends at the first leaf that is somewhere else, or behind a hole.
        !is_here
    };
    tables.find_leaf(hw, Iova(start.0), Iova(last), budget, &mut takes)?;
    Ok(next.map(PhysAddr))
}
