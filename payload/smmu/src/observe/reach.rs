//! Does any stream reach a range of memory, or use its addresses? Asked of the region reserved for a crash kernel: no DMA may touch
//! its bytes, and a device that issues its addresses would touch them as soon as nobody translates.

use super::{Budget, CdTable, Entry, ObserveError, Registers, Unwalkable, cds, for_each_ste, stage2_tables, tables};
use crate::access::Access;
use crate::spec::ste::{Config, Ste, Ste0, Ste1};
use crate::translation::{Leaf, Tables, WalkError};
use addr::{Iova, PhysAddr, StreamId};
use alloc::vec::Vec;

/// How a stream gets there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// A page or block of its tables. Under nesting those of stage 2: what stage 1 leads to, its owner can change.
    Translated,
    /// A bypass STE, or S1DSS bypass for traffic without a SubstreamID.
    Bypass,
    /// The SMMU is disabled and GBPA does not abort: so does every stream.
    Disabled,
}

/// A stream that reaches the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Which; 0 with [`How::Disabled`], which holds for all.
    pub stream_id: StreamId,
    /// The first address that a device issues to get there, or under nesting that stage 1 must give out.
    pub iova: Iova,
    /// How.
    pub how: How,
}

/// Why the question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReachError {
    /// A structure cannot be read.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// Its tables cannot be read.
    #[error("StreamID {stream_id}: {error}")]
    Walk {
        /// Which stream.
        stream_id: StreamId,
        /// Why.
        error: WalkError,
    },
    /// Its tables have another form.
    #[error("StreamID {stream_id}: {error}")]
    Unwalkable {
        /// Which stream.
        stream_id: StreamId,
        /// Why.
        error: Unwalkable,
    },
}

/// Ends a visit.
pub(super) enum Stop {
    Found(Reach),
    Failed(ReachError),
}

impl<T: Into<ReachError>> From<T> for Stop {
    fn from(error: T) -> Self {
        Self::Failed(error.into())
    }
}

/// The first of the streams that `is_asked` picks, in StreamID order, that reaches any of the `bytes` from `start` on.
///
/// Permissions and access flags count for nothing here: they can be changed by one store. `limit` bounds the bytes read.
///
/// # Errors
/// [`ReachError`]: the answer is then unknown, which is not "no".
pub fn reaches(
    hw: &mut dyn Access,
    registers: &Registers,
    start: PhysAddr,
    bytes: u64,
    limit: u64,
    is_asked: &dyn Fn(StreamId) -> bool,
) -> Result<Option<Reach>, ReachError> {
    if bytes == 0 {
        return Ok(None);
    }
    let target = (start, PhysAddr(start.0.saturating_add(bytes - 1)));
    if !registers.cr0ack.smmuen() {
        let reach = Reach { stream_id: StreamId(0), iova: Iova(start.0), how: How::Disabled };
        return Ok((!registers.gbpa.abort()).then_some(reach));
    }
    first(hw, registers, (End::Output, target), limit, is_asked)
}

/// The first of the streams that `is_asked` picks that has any of the `bytes` I/O virtual addresses from `start` on in its
/// tables. A stream that bypasses uses whatever addresses it likes, and is not meant.
///
/// # Errors
/// As [`reaches`].
pub fn uses(
    hw: &mut dyn Access,
    registers: &Registers,
    start: Iova,
    bytes: u64,
    limit: u64,
    is_asked: &dyn Fn(StreamId) -> bool,
) -> Result<Option<Reach>, ReachError> {
    if bytes == 0 || !registers.cr0ack.smmuen() {
        return Ok(None);
    }
    let range = (PhysAddr(start.0), PhysAddr(start.0.saturating_add(bytes - 1)));
    first(hw, registers, (End::Input, range), limit, is_asked)
}

/// Which end of a translation is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Input,
    Output,
}

/// A range with its end: first and last address.
type Target = (End, (PhysAddr, PhysAddr));

fn first(
    hw: &mut dyn Access,
    registers: &Registers,
    target: Target,
    limit: u64,
    is_asked: &dyn Fn(StreamId) -> bool,
) -> Result<Option<Reach>, ReachError> {
    // Streams of one domain share their tables.
    let mut seen = Vec::new();
    let mut budget = Budget::new(limit);
    let result =
        for_each_ste(hw, registers, &mut budget, &mut |hw: &mut dyn Access, budget: &mut Budget, entry| match entry {
            Entry::Ste { stream_id, ste, .. } if is_asked(stream_id) => {
                visit_ste(hw, registers, budget, &mut seen, target, stream_id, &ste)
            }
            _ => Ok(()),
        });
    match result {
        Ok(()) => Ok(None),
        Err(Stop::Found(reach)) => Ok(Some(reach)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

fn visit_ste(
    hw: &mut dyn Access,
    registers: &Registers,
    budget: &mut Budget,
    seen: &mut Vec<Tables>,
    target: Target,
    stream_id: StreamId,
    ste: &Ste,
) -> Result<(), Stop> {
    let (ste0, ste1) = (Ste0::from(ste[0]), Ste1::from(ste[1]));
    let config = Config(ste0.config());
    if !ste0.v() || config.is_abort() {
        return Ok(());
    }
    let unwalkable = |error| ReachError::Unwalkable { stream_id, error };
    let mut search = |hw: &mut dyn Access, budget: &mut Budget, tables: Tables| {
        if seen.contains(&tables) {
            return Ok(());
        }
        seen.push(tables);
        let found = find(hw, budget, &tables, target).map_err(|error| ReachError::Walk { stream_id, error })?;
        match found {
            Some(iova) => Err(Stop::Found(Reach { stream_id, iova, how: How::Translated })),
            None => Ok(()),
        }
    };
    if let Some(tables) = stage2_tables(registers, ste).map_err(unwalkable)? {
        return search(hw, budget, tables);
    }
    // S1DSS is ignored where there is one CD only (5.2).
    let bypasses = config == Config::BYPASS || ste0.s1cdmax() > 0 && ste1.s1dss() == 1;
    match target {
        (End::Output, (first, _)) if bypasses => {
            return Err(Stop::Found(Reach { stream_id, iova: Iova(first.0), how: How::Bypass }));
        }
        (End::Input, _) if config == Config::BYPASS => return Ok(()),
        _ => {}
    }
    cds(hw, registers, ste, budget, &mut |hw: &mut dyn Access, budget: &mut Budget, item| {
        let CdTable::Cd { cd, .. } = item else { return Ok(()) };
        let both = tables(registers, &cd).map_err(unwalkable)?;
        both.into_iter().flatten().try_for_each(|tables| search(hw, budget, tables))
    })
}

fn find(
    hw: &mut dyn Access,
    budget: &mut Budget,
    tables: &Tables,
    (end, (first, last)): Target,
) -> Result<Option<Iova>, WalkError> {
    let at = |leaf: &Leaf| if end == End::Input { leaf.iova.0 } else { leaf.pa.0 };
    let leaf = tables.find_leaf(hw, tables.base, Iova(u64::MAX), budget, &mut |leaf| {
        at(leaf) <= last.0 && at(leaf).saturating_add(leaf.bytes - 1) >= first.0
    })?;
    Ok(leaf.map(|leaf| leaf.iova.plus(first.0.saturating_sub(at(&leaf)))))
}
