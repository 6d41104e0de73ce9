//! The takeover of every SMMU, as a crash kernel does it: it knows the boot block and nothing of the oracle.

use addr::{PhysAddr, StreamId};
use alloc::vec::Vec;
use arch::{bus::Smmus, frames::FrameRange, timer};
use handover::boot::{Boot, SMMU_COHERENT_OVERRIDE};
use smmu::{
    access::{Access, SmmuIndex},
    log::{Log, Logged},
    takeover::{
        Policy, Site, Taken, TakeoverError,
        plant::{Plant, Sabotaged},
        take_over,
    },
};
use tables::iort::Iort;

/// Queues of 256 entries: a crash kernel's memory is small, and IDR1 may announce megabytes.
const QUEUE_CAP_LOG2: u8 = 8;
/// Bound of each wait. The reference kernel's second would cost a lab a minute where every wait fails.
const TIMEOUT_US: u64 = 200_000;

/// Takes every SMMU over, through the log; each fault of `plants` is planted on the SMMU of its index.
/// Returns the ticks of the whole takeover and how it ended for each SMMU.
pub(crate) fn take_all(
    policy: Policy,
    boot: &Boot,
    iort: &[u8],
    hw: &mut Smmus,
    frames: &mut FrameRange,
    log: &mut Log,
    plants: &[Option<Plant>],
) -> (u64, Vec<Result<Taken, TakeoverError>>) {
    // The primary told the findings. Without a readable IORT there is no SMMU in the boot block either.
    let iort = Iort::parse_again(iort).ok();
    let start = timer::now();
    let mut last_ack = start;
    let mut ended = Vec::new();
    for ((index, smmu), plant) in (0_u8..).zip(boot.smmus()).zip(plants) {
        let smmu_index = SmmuIndex(index);
        let rmr_streams = iort.map_or(Vec::new(), |iort| rmr_streams(&iort, smmu.base));
        let site = Site {
            smmu: smmu_index,
            coherent: (smmu.flags & SMMU_COHERENT_OVERRIDE != 0).then_some(true),
            cpu_is_vhe: boot.e2h != 0,
            queue_cap_log2: QUEUE_CAP_LOG2,
            timeout_us: TIMEOUT_US,
            frames,
            rmr_streams: &rmr_streams,
        };
        let mut logged = Logged::new(hw, log);
        let taken = match plant {
            Some(plant) => take_over(policy, &mut Sabotaged::new(&mut logged, smmu_index, *plant), site),
            None => take_over(policy, &mut logged, site),
        };
        last_ack = taken.as_ref().map_or_else(|_| timer::now(), |taken| taken.last_ack_ticks);
        ended.push(taken);
    }
    // What is still pending belongs to the last step.
    hw.step("watch");
    (last_ack.saturating_sub(start), ended)
}

/// StreamIDs of the RMR nodes that name the SMMU at `base`.
fn rmr_streams(iort: &Iort<'_>, base: PhysAddr) -> Vec<StreamId> {
    /// More than any table of the corpus names.
    const MOST: usize = 4096;
    let mut streams: Vec<StreamId> = Vec::new();
    // An RMR all of whose ranges are empty or pass 64 bits reserves nothing.
    for rmr in iort.rmrs().filter(|rmr| rmr.ranges().any(|range| range.last().is_some())) {
        for named in rmr.streams().filter(|named| named.smmu.smmu_v3().is_some_and(|smmu| smmu.base == base)) {
            for id in (named.first.0..=named.last.0).take(MOST) {
                if streams.len() < MOST && !streams.contains(&StreamId(id)) {
                    streams.push(StreamId(id));
                }
            }
        }
    }
    streams
}
