//! A census by marks: every stream reaches everything at its own addresses, and hardware sets flags where it goes.

use super::Streams;
use crate::machine::Machine;
use addr::{PhysAddr, StreamId};
use alloc::vec::Vec;
use arch::{frames::FramePool, mmu::Kind};
use core::ops::Range;
use pci::{Found, Function};
use smmu::{
    bringup::{BringUpError, Unit},
    census::{self, Census, Plan},
    translation::{Httu, Memory, SharedTables},
};
use tables::iort::RmrFlags;

/// RMR streams without a function that are told by their StreamIDs.
const MOST_RMR_STREAMS: usize = 64;
/// RMR attributes of Normal memory begin here; below are those of devices.
const NORMAL_NON_CACHEABLE: u8 = 4;

/// Leads every stream of an SMMU to such tables.
pub(super) fn attach(
    machine: &mut Machine,
    unit: &mut Unit,
    httu: Httu,
    streams: &Streams,
    (memory, shared): (&[Range<u64>], &mut SharedTables),
    frames: &mut FramePool,
) -> Result<Census, BringUpError> {
    let index = usize::from(unit.smmu().0);
    let of_memory = |is_cacheable| if is_cacheable { Memory::WriteBack } else { Memory::NonCacheable };
    let of_this = streams.iter().filter(|stream| stream.0 == index).map(|stream| (stream.1, stream.2));
    let of_rmrs = machine.rmr_streams(index, MOST_RMR_STREAMS).into_iter().map(|stream| (stream, true));
    let is_bare = |flags: RmrFlags| flags.attributes() == NORMAL_NON_CACHEABLE;
    let is_cached = |stream| !machine.rmr_flags(index, stream).any(is_bare);
    let with_memory = |(stream, snoops)| (stream, of_memory(snoops && is_cached(stream)));
    let streams: Vec<(StreamId, Memory)> = of_this.chain(of_rmrs).map(with_memory).collect();
    let plan = Plan { httu, memory, streams: &streams, shared };
    Census::attach(&mut machine.hw, unit, frames, plan)
}

/// Where memory is, in order: by the map in force, and by RMR nodes, unless they name it as a device's.
pub(super) fn memory(machine: &Machine, devices: &[PhysAddr]) -> Vec<Range<u64>> {
    let rmrs = machine.platform.rmrs.iter().filter(|rmr| rmr.flags.attributes() >= NORMAL_NON_CACHEABLE);
    let regions = machine.regions();
    let regions = regions.iter().filter(|region| is_memory(region.kind));
    let ranges = regions.map(|region| (region.start, region.bytes)).chain(rmrs.map(|rmr| (rmr.base, rmr.bytes)));
    census::memory(ranges.map(|(start, bytes)| start.0..start.0.saturating_add(bytes)), devices)
}

const fn is_memory(kind: Kind) -> bool {
    matches!(kind, Kind::Data | Kind::Image)
}

/// Where registers begin: frames of the tables, ITSs, RMR ranges of devices, and BARs.
pub(super) fn devices(machine: &mut Machine, functions: &[Found]) -> Vec<PhysAddr> {
    let mut devices = Vec::new();
    for region in machine.regions() {
        if !is_memory(region.kind) {
            devices.push(region.start);
        }
    }
    for rmr in &machine.platform.rmrs {
        if rmr.flags.attributes() < NORMAL_NON_CACHEABLE {
            devices.push(rmr.base);
        }
    }
    for its in &machine.platform.gic.its {
        devices.push(its.base);
    }
    for found in functions {
        // What is behind a virtual function's, its physical one tells.
        if let Some(mut function) = Function::new(&mut machine.config, found.bdf) {
            function.each_register_block(&mut |at| devices.push(at));
        }
    }
    devices
}
