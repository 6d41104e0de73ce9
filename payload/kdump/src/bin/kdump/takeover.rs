//! The takeover of every SMMU, as a crash kernel does it: it knows the boot block and nothing of the oracle.

use crate::quiesce;
use addr::{Bdf, PhysAddr, StreamId};
use alloc::vec::Vec;
use arch::{
    bus::{Devices, Ecam, Smmus},
    frames::FrameRange,
    timer,
};
use handover::boot::{self, Boot, SMMU_COHERENT_OVERRIDE};
use kdump::given;
use pci::Found;
use scenario::Hands;
use smmu::{
    access::{Access, SmmuIndex},
    log::{Log, Logged},
    takeover::{
        Attach, Held, Policy, Site, Taken, TakeoverError,
        plant::{Plant, Sabotaged},
        take_over,
    },
};
use tables::iort::Iort;

/// Queues of 256 entries: a crash kernel's memory is small, and IDR1 may announce megabytes.
const QUEUE_CAP_LOG2: u8 = 8;
/// Where the event queue is left on it takes a storm between two looks: under QEMU one frame that is refused to eight rings
/// makes 55,000 events. All SMMUs together have room for so many: 3 MiB with their command queues.
const EVENT_QUEUE_CAP_LOG2: u8 = 16;
/// Bound of each wait. The reference kernel's second would cost a lab a minute where every wait fails.
const TIMEOUT_US: u64 = 200_000;

/// Moments of a takeover at which the observer may look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment<'a> {
    /// A step begins.
    Step,
    /// Nothing happens for milliseconds: a cyclic buffer may come round unseen.
    Wait,
    /// These functions are told to stop: now.
    Stop(&'a [Bdf]),
    /// What is done to stop them is done.
    Stopped(&'a [Bdf]),
    /// All that are stopped are: the SMMU still translates.
    Quiet,
}

/// What a takeover needs beside the SMMUs.
pub(crate) struct Means<'a> {
    pub(crate) boot: &'a Boot,
    pub(crate) iort: &'a [u8],
    pub(crate) config: &'a mut Ecam,
    pub(crate) devices: Devices,
    pub(crate) frames: &'a mut FrameRange,
    /// Devices that are left alone.
    pub(crate) hands: &'a Hands,
    /// The fault that is planted on the SMMU of its index.
    pub(crate) plants: &'a [Option<Plant>],
    /// A function that is planted to be left at work.
    pub(crate) spared: Option<Bdf>,
    /// The observer; what it does is not the taker's business.
    pub(crate) observer: &'a mut dyn FnMut(Moment<'_>),
}

/// Takes every SMMU over, through the log. Returns the ticks of the whole takeover and how it ended for each SMMU.
pub(crate) fn take_all(
    policy: Policy,
    means: Means<'_>,
    hw: &mut Smmus,
    log: &mut Log,
) -> (u64, Vec<Result<Taken, TakeoverError>>) {
    let Means { boot, iort, config, mut devices, frames, hands, plants, spared, observer } = means;
    // The primary told the findings. Without a readable IORT there is no SMMU in the boot block either.
    let iort = Iort::parse_again(iort).ok();
    let start = timer::now();
    let mut last_ack = start;
    let mut ended = Vec::new();
    let stops = scenario::quiesce::named(policy).is_some();
    let needs_functions = policy == Policy::ResetAttach || stops;
    let functions = if needs_functions { given::functions(boot, iort.as_ref(), config) } else { Vec::new() };
    if stops {
        Logged::new(hw, log).step("quiesce");
        let mut allowed = given::not_denied(&functions, hands);
        // Nor is it to be reset with others: its registers are read meanwhile.
        allowed.retain(|found| Some(found.bdf) != spared);
        // Walks of configuration space take their time where there are many functions.
        observer(Moment::Wait);
        let plan = quiesce::plan(policy, config, &functions, &allowed);
        observer(Moment::Wait);
        quiesce::stop(&plan, &functions, config, &mut devices, observer);
        observer(Moment::Quiet);
    }
    for ((index, smmu), plant) in (0_u8..).zip(boot.smmus()).zip(plants) {
        let smmu_index = SmmuIndex(index);
        let rmr_streams = iort.map_or(Vec::new(), |iort| rmr_streams(&iort, smmu.base));
        let attach = match (policy, iort) {
            (Policy::ResetAttach, Some(iort)) => attach(&iort, smmu.base, &functions),
            _ => Vec::new(),
        };
        let mut site = site(boot, index, smmu, frames, &rmr_streams, &attach);
        if matches!(policy, Policy::ResetEvtq | Policy::ResetAttach) {
            let share_log2 = boot.smmus().len().next_power_of_two().ilog2() as u8;
            site.queue_cap_log2 = EVENT_QUEUE_CAP_LOG2.saturating_sub(share_log2).max(QUEUE_CAP_LOG2);
        }
        let mut logged = Logged::new(hw, log);
        let mut sabotaged;
        let hw: &mut dyn Access = match plant {
            Some(plant) => {
                sabotaged = Sabotaged::new(&mut logged, smmu_index, *plant);
                &mut sabotaged
            }
            None => &mut logged,
        };
        let taken = take_over(policy, &mut Held::new(hw, &mut || observer(Moment::Step)), site);
        last_ack = taken.as_ref().map_or_else(|_| timer::now(), |taken| taken.last_ack_ticks);
        ended.push(taken);
    }
    // What is still pending belongs to the last step.
    hw.step("watch");
    (last_ack.saturating_sub(start), ended)
}

/// An SMMU of the boot block, as [`take_over`] wants it.
pub(crate) fn site<'a>(
    boot: &Boot,
    index: u8,
    smmu: &boot::Smmu,
    frames: &'a mut FrameRange,
    rmr_streams: &'a [StreamId],
    attach: &'a [Attach],
) -> Site<'a> {
    Site {
        smmu: SmmuIndex(index),
        coherent: (smmu.flags & SMMU_COHERENT_OVERRIDE != 0).then_some(true),
        cpu_is_vhe: boot.e2h != 0,
        queue_cap_log2: QUEUE_CAP_LOG2,
        timeout_us: TIMEOUT_US,
        own: given::own_memory(boot),
        frames,
        rmr_streams,
        attach,
    }
}

/// Streams of these functions behind the SMMU at `base`, each once, with the ranges that firmware reserves for them.
pub(crate) fn attach(iort: &Iort<'_>, base: PhysAddr, functions: &[Found]) -> Vec<Attach> {
    /// Ranges are mapped in pages of this size.
    const PAGE: u64 = 4096;
    let mut all: Vec<Attach> = Vec::new();
    for Found { requester, .. } in functions {
        let Some(smmu) = iort.resolve(*requester).smmu.filter(|smmu| smmu.base == base) else { continue };
        let stream = smmu.stream;
        if all.iter().any(|known| known.stream == stream) {
            continue;
        }
        let mut identity = Vec::new();
        for rmr in iort.rmrs() {
            let names = rmr
                .streams()
                .any(|named| named.smmu.offset == smmu.offset && (named.first.0..=named.last.0).contains(&stream.0));
            for range in rmr.ranges().filter(|_| names) {
                // Linux rounds to pages, and says that the firmware is wrong.
                let first = range.base.0 & !(PAGE - 1);
                identity
                    .extend(range.last().map(|last| (PhysAddr(first), (last.0 - first + 1).next_multiple_of(PAGE))));
            }
        }
        all.push(Attach { stream, identity });
    }
    all
}

/// StreamIDs of the RMR nodes that name the SMMU at `base`.
pub(crate) fn rmr_streams(iort: &Iort<'_>, base: PhysAddr) -> Vec<StreamId> {
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
