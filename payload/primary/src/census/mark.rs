//! A census by marks: every stream reaches everything at its own addresses, and hardware sets flags where it goes.

use super::Streams;
use crate::machine::Machine;
use addr::StreamId;
use alloc::vec::Vec;
use arch::{frames::FramePool, mmu::Kind};
use core::ops::Range;
use smmu::{
    bringup::{BringUpError, Unit},
    census::{Census, Plan},
    translation::{Httu, Memory, SharedTables},
};

/// RMR streams without a function that are told by their StreamIDs.
const MOST_RMR_STREAMS: usize = 64;
/// A hole in memory of up to so many bytes is memory that firmware keeps for itself.
const MOST_KEPT: u64 = 64 << 20;

/// Leads every stream of an SMMU to such tables.
pub(super) fn attach(
    machine: &mut Machine,
    unit: &mut Unit,
    httu: Httu,
    streams: &Streams,
    shared: &mut SharedTables,
    frames: &mut FramePool,
) -> Result<Census, BringUpError> {
    let index = usize::from(unit.smmu().0);
    let of_memory = |is_coherent| if is_coherent { Memory::WriteBack } else { Memory::NonCacheable };
    let unknown = of_memory(streams.iter().all(|stream| stream.2));
    let of_this = streams.iter().filter(|stream| stream.0 == index);
    let mut streams: Vec<(StreamId, Memory)> = of_this.map(|stream| (stream.1, of_memory(stream.2))).collect();
    for stream in machine.rmr_streams(index, MOST_RMR_STREAMS) {
        streams.push((stream, unknown));
    }
    let memory = memory(machine);
    let plan = Plan { httu, memory: &memory, streams: &streams, unknown, shared };
    Census::attach(&mut machine.hw, unit, frames, plan)
}

/// Where memory is, in order: by the map in force, and by RMR nodes.
pub(super) fn memory(machine: &Machine) -> Vec<Range<u64>> {
    let rmrs = machine.platform.rmrs.iter().map(|rmr| (rmr.base, rmr.bytes));
    let regions = machine.regions();
    let regions = regions.iter().filter(|region| matches!(region.kind, Kind::Data | Kind::Image));
    let mut memory: Vec<Range<u64>> = Vec::new();
    for (start, bytes) in regions.map(|region| (region.start, region.bytes)).chain(rmrs) {
        let mut range = start.0..start.0.saturating_add(bytes);
        // What it reaches becomes part of it; the rest stays in order.
        let is_apart = |known: &Range<u64>| {
            known.end.saturating_add(MOST_KEPT) < range.start || range.end.saturating_add(MOST_KEPT) < known.start
        };
        let first = memory.iter().take_while(|known| is_apart(known) && known.end < range.start).count();
        let reached = memory.iter().skip(first).take_while(|known| !is_apart(known)).count();
        for known in memory.drain(first..first + reached) {
            range = range.start.min(known.start)..range.end.max(known.end);
        }
        memory.insert(first, range);
    }
    memory
}
