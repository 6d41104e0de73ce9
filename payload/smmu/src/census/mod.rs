//! Who does DMA without being refused any: hardware marks the blocks that a stream uses (IHI 0070, 3.13).
//!
//! Every StreamID leads to identity tables whose leaves have their access flag clear ([`Identity`]). A mark says that the
//! stream, or a fetch ahead on its behalf, was translated there; where hardware tells writes apart, a written block was
//! really written (3.13.7: nothing is marked dirty ahead of a write).

mod memory;
mod watched;
mod way;

use crate::access::Access;
use crate::bringup::{BringUpError, Domain, Unit};
use crate::frames::Frames;
use crate::spec::registers::{self as reg, Idr5};
use crate::translation::{Geometry, Httu, Identity, Marked, Memory, SharedTables, Touched, WalkError};
use addr::{PhysAddr, StreamId};
use alloc::vec::Vec;
use core::ops::Range;
pub use memory::memory;
pub use watched::{NotWatched, Watched};
pub use way::{Exceptions, Known, Refuses, Way, largest_stream, way};

/// Streams that get tables of their own; the others share one set.
const MOST_DOMAINS: usize = 128;
/// Blocks that are told apart; more are lost.
const MOST_MARKS: usize = 512;

/// What is to be watched.
#[derive(Debug)]
pub struct Plan<'a> {
    /// What hardware updates.
    pub httu: Httu,
    /// Memory of the machine, in order and without overlaps.
    pub memory: &'a [Range<u64>],
    /// Streams that are told by their names, and how they reach memory.
    pub streams: &'a [(StreamId, Memory)],
    /// What the streams of several SMMUs have in common.
    pub shared: &'a mut SharedTables,
}

/// A block that a stream used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Whose; `None` for all StreamIDs that share tables.
    pub stream: Option<StreamId>,
    /// First address of the block.
    pub address: PhysAddr,
    /// Its length.
    pub bytes: u64,
    /// It was written; `None` where hardware does not tell.
    pub written: Option<bool>,
    /// When a scan first found it, in ticks.
    pub first: u64,
    /// When one last did.
    pub last: u64,
    /// How many did.
    pub scans: u32,
}

/// The streams of one SMMU, watched.
#[derive(Clone, Debug)]
pub struct Census {
    watched: Vec<(Option<StreamId>, Domain, Marked)>,
    marks: Vec<Mark>,
    is_lossy: bool,
    unreached: Option<StreamId>,
}

impl Census {
    /// Leads every StreamID of `unit` to tables that hardware marks. The unit is prepared and not started. A stream for which
    /// there is no memory, or no identifier, stays with the others; one that the table cannot hold is [`Self::unreached`].
    ///
    /// # Errors
    /// [`BringUpError`].
    pub fn attach(
        hw: &mut dyn Access,
        unit: &mut Unit,
        frames: &mut dyn Frames,
        plan: Plan<'_>,
    ) -> Result<Self, BringUpError> {
        let smmu = unit.smmu();
        let idr5 = Idr5::from(hw.read32(smmu, reg::IDR5));
        // `Unit::prepare` has found a granule.
        let geometry = Geometry::identity(idr5).unwrap_or(unit.geometry());
        let mut identity = Identity::new(smmu, geometry, plan.httu, plan.memory, plan.shared);
        // That one function does not snoop says nothing of StreamIDs that nobody names.
        let (others, marked) = unit.new_marked_domain(hw, frames, &mut identity, Memory::WriteBack)?;
        unit.attach_unknown(hw, frames, &others)?;
        let mut census =
            Self { watched: [(None, others, marked)].into(), marks: Vec::new(), is_lossy: false, unreached: None };
        for (stream, memory) in plan.streams {
            let is_known = census.watched.iter().any(|(known, ..)| known == &Some(*stream));
            let is_beyond = u64::from(stream.0) >> unit.table().stream_bits() != 0;
            if is_beyond {
                census.unreached = census.unreached.or(Some(*stream));
            }
            // What has no identifier left stays with the others.
            if is_known || is_beyond || census.watched.len() > MOST_DOMAINS || !unit.has_identifier() {
                continue;
            }
            let domain = unit.new_marked_domain(hw, frames, &mut identity, *memory);
            let attached = domain.and_then(|(domain, marked)| {
                unit.attach(hw, frames, *stream, &domain)?;
                Ok((Some(*stream), domain, marked))
            });
            match attached {
                Ok(attached) => census.watched.push(attached),
                Err(error) if error.is_out_of_memory() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(census)
    }

    /// Whether a stream has tables of its own.
    #[must_use]
    pub fn knows(&self, stream: StreamId) -> bool {
        self.watched.iter().any(|(known, ..)| *known == Some(stream))
    }

    /// The first stream asked for that the stream table cannot hold: its DMA is refused.
    #[must_use]
    pub const fn unreached(&self) -> Option<StreamId> {
        self.unreached
    }

    /// Notes every block that was used since the last scan, and makes its use show again.
    ///
    /// # Errors
    /// [`BringUpError`].
    pub fn scan(&mut self, hw: &mut dyn Access, unit: &mut Unit, now: u64) -> Result<(), BringUpError> {
        let Self { watched, marks, is_lossy, .. } = self;
        // What completed transactions marked is visible once a later CMD_SYNC is complete (3.13.4).
        unit.sync(hw)?;
        for (stream, domain, marked) in watched {
            let tell = &mut |touched| *is_lossy |= !note(marks, *stream, touched, now);
            if marked.collect(hw, tell).map_err(|error| BringUpError::Map(WalkError::from(error).into()))? {
                // The clean descriptors are there before the old ones leave the TLB.
                unit.publish_and_invalidate(hw, domain)?;
            }
        }
        Ok(())
    }

    /// What was used.
    #[must_use]
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// There was no room for all.
    #[must_use]
    pub const fn is_lossy(&self) -> bool {
        self.is_lossy
    }
}

/// Adds to what is known of a block; tells whether there was room.
fn note(marks: &mut Vec<Mark>, stream: Option<StreamId>, touched: Touched, now: u64) -> bool {
    let Touched { address, bytes, written } = touched;
    let is_same = |mark: &&mut Mark| (mark.stream, mark.address, mark.bytes) == (stream, address, bytes);
    if let Some(mark) = marks.iter_mut().find(is_same) {
        mark.written = mark.written.max(written);
        mark.last = now;
        mark.scans = mark.scans.saturating_add(1);
        return true;
    }
    if marks.len() == MOST_MARKS {
        return false;
    }
    marks.push(Mark { stream, address, bytes, written, first: now, last: now, scans: 1 });
    true
}

#[cfg(test)]
mod tests;
