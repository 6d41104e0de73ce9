//! A census by refusal: streams of functions that are there lead to an empty domain, so that the SMMU records address and
//! direction (F_TRANSLATION); all other StreamIDs meet an STE that is not valid, or none (C_BAD_STE, C_BAD_STREAMID). Ranges
//! that RMR nodes name stay reachable for their streams. Nothing aborts by its STE: that would be silent.

use super::Streams;
use crate::machine::Machine;
use addr::StreamId;
use arch::frames::FramePool;
use smmu::bringup::{BringUpError, Unit};

/// The largest StreamID that is attached.
pub(super) fn largest_stream(machine: &Machine, index: usize, streams: &Streams) -> StreamId {
    let of_this = streams.iter().filter(|stream| stream.0 == index).map(|stream| stream.1);
    of_this.chain(machine.largest_rmr_stream(index)).max().unwrap_or(StreamId(0))
}

/// Leads the streams of functions to an empty domain, but those that lead to ranges of RMR nodes.
pub(super) fn attach(
    machine: &mut Machine,
    unit: &mut Unit,
    index: usize,
    streams: &Streams,
    frames: &mut FramePool,
) -> Result<(), BringUpError> {
    let empty = unit.new_domain(&mut machine.hw, frames)?;
    for (_, stream_id, _) in streams.iter().filter(|stream| stream.0 == index) {
        // Of its range, or of another function that goes by the same name.
        if !unit.table().serves(&mut machine.hw, *stream_id)? {
            unit.attach(&mut machine.hw, frames, *stream_id, &empty)?;
        }
    }
    Ok(())
}
