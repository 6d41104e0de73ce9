//! The census: nothing of ours is started, and whoever does DMA all the same is named.
//!
//! Where hardware can mark who touched what, it does, and nobody is refused anything ([`mark`]); elsewhere DMA is refused and
//! recorded ([`refuse`]).

mod checks;
mod mark;
mod refuse;
mod tell;

use crate::{
    endpoints,
    machine::{Machine, SmmuAt},
    session::Session,
    streams,
};
use addr::StreamId;
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use arch::{console, exceptions, frames::FramePool, timer};
use checks::Checks;
use pci::Found;
use smmu::{
    access::SmmuIndex,
    bringup::{BringUpError, Options, Unit},
    census::{Census, Known, Watched, Way, largest_stream, way},
    observe::Registers,
    table::Unknown,
    translation::SharedTables,
};
use wire::{Record, record::Outcome};

/// Least time that is watched; `watch_us` may ask for more.
const WATCH_US: u64 = 1_000_000;
const STEP_US: u64 = 250;
/// A device that is refused may be recorded once for each four bytes.
const EVENTQ_LOG2: u8 = 13;
/// StreamIDs that are told apart.
const MOST_STREAMS: usize = 256;

const SOURCE: &str = "ARCHITECTURE.md, census";

/// Streams of functions: SMMU, StreamID, and whether the function snoops the CPU's caches.
type Streams = Vec<(usize, StreamId, bool)>;

/// A StreamID that did DMA; `None` for those that nobody knows, and that are watched together.
struct Seen {
    smmu: u8,
    stream_id: Option<StreamId>,
    first: u64,
    last: u64,
    events: u64,
}

/// What the SMMUs recorded.
#[derive(Default)]
struct Recorded {
    seen: Vec<Seen>,
    /// Something was lost: someone may be missing.
    is_lossy: bool,
    /// An SMMU did not do what it was told.
    broken: Option<String>,
}

/// Some SMMU is watched by refusing.
pub(crate) fn may_refuse(machine: &mut Machine) -> bool {
    ways(machine).into_iter().any(Way::may_refuse)
}

/// How each SMMU can be watched.
fn ways(machine: &mut Machine) -> Vec<Way> {
    let last_memory = mark::memory(machine, &[]).last().map_or(0, |range| range.end.saturating_sub(1));
    let Machine { smmus, hw, .. } = machine;
    let way = |(index, at): (u8, &SmmuAt)| {
        let SmmuAt { coherent_override, httu_override, .. } = *at;
        way(hw, SmmuIndex(index), Known { coherent_override, httu_override, last_memory })
    };
    (0..).zip(&*smmus).map(way).collect()
}

/// One census, from SMMUs as they were found back to that.
pub(crate) fn run(session: &mut Session, run: u32, cycle: u32) -> Outcome {
    let machine = &mut session.machine;
    let functions = endpoints::functions(machine);
    let arena = machine.memory.arena;
    // SAFETY: the arena is ours and mapped; everything of the last cycle in it was stopped and dropped.
    let mut frames = unsafe { FramePool::new(arena.start, arena.bytes) };
    exceptions::clear();
    exceptions::record_aborts(true);
    exceptions::step("census");
    let ways = ways(machine);
    let began = timer::now();
    let mut watched = Vec::new();
    let prepared = prepare_all(machine, &functions, &ways, &mut frames, &mut watched);
    let watch_us = u64::from(session.options.watch_us).max(WATCH_US);
    let mut recorded = match &prepared {
        Ok(()) => watch(machine, &mut watched, began, watch_us),
        Err(_) => Recorded::default(),
    };
    let time = timer::now() - began;
    let mut ends = Checks { run, cycle, checks: 0, failed: 0 };
    for watched in &mut watched {
        if let Err(error) = watched.end(&mut machine.hw) {
            let smmu = watched.unit().smmu();
            machine.not_disabled = Some(smmu);
            ends.fail("cycle.smmu-disabled", &format!("SMMU {}: {error}", smmu.0), "IHI 0070 6.3.9");
        }
    }
    exceptions::step("");
    exceptions::record_aborts(false);
    for (smmu, way) in (0..).zip(&ways) {
        let marks = matches!(way, Way::Marks { .. });
        let is_released = watched.get(usize::from(smmu)).is_some_and(Watched::is_released);
        let how = if is_released { "not watched: its marks failed".into() } else { way.to_string() };
        console::record(&Record::Watched { run, cycle, smmu, marks, how: &how });
    }
    tell::marks(machine, &functions, &watched, &mut recorded, (run, cycle, began));
    tell::requesters(machine, &functions, &watched, &recorded, (run, cycle, began));
    console::record(&Record::Timing {
        run,
        cycle,
        crash_to_kdump: 0,
        takeover: 0,
        hold: 0,
        watch: time,
        counted: time,
        cycle_total: timer::now() - began,
    });
    let lossy = || recorded.is_lossy.then(|| "more was seen than there is room for: someone may be missing".into());
    let gap: Option<String> = prepared.err().or(recorded.broken.take()).or_else(lossy);
    match &gap {
        Some(reason) => ends.not_covered("census.watched", reason, SOURCE),
        None => ends.pass("census.watched", SOURCE),
    }
    match (recorded.seen.first(), &gap) {
        // Nobody was seen where nobody looked.
        (None, Some(reason)) => ends.not_covered("census.quiet", reason, SOURCE),
        (None, None) => ends.pass("census.quiet", SOURCE),
        (Some(first), _) => {
            let who = tell::name_of(machine, &functions, first);
            let others = recorded.seen.len() - 1;
            let more = if others == 0 { String::new() } else { format!(", and {others} more") };
            ends.fail("census.quiet", &format!("{who} does DMA that nobody of ours has started{more}"), SOURCE);
        }
    }
    match exceptions::record(0) {
        None => ends.pass("cpu.no-serror", SOURCE),
        Some(abort) => {
            let text = format!("{} taken, the first with ESR {:#x}", exceptions::recorded(), abort.esr);
            ends.fail("cpu.no-serror", &text, SOURCE);
        }
    }
    let outcome = if ends.failed == 0 { Outcome::Pass } else { Outcome::Fail };
    console::record(&Record::Cycle { run, cycle, outcome, checks: ends.checks, failed: ends.failed });
    outcome
}

/// Has every SMMU mark, or refuse and record, what its streams do.
fn prepare_all(
    machine: &mut Machine,
    functions: &[Found],
    ways: &[Way],
    frames: &mut FramePool,
    watched: &mut Vec<Watched>,
) -> Result<(), String> {
    if machine.smmus.is_empty() {
        return Err("there is no SMMU to record anything".into());
    }
    let stream = |found: &Found| {
        let (smmu, stream_id) = machine.stream_of(found.requester)?;
        Some((smmu, stream_id, machine.is_coherent(found.bdf)))
    };
    let streams: Streams = functions.iter().filter_map(stream).collect();
    let devices = mark::devices(machine, functions);
    let memory = mark::memory(machine, &devices);
    let mut shared = SharedTables::default();
    for ((index, at), way) in machine.smmus.clone().into_iter().enumerate().zip(ways) {
        let SmmuAt { base, coherent_override, .. } = at;
        let named = |error: BringUpError| format!("SMMU at {base}: {error}");
        let smmu = SmmuIndex(index as u8);
        if Registers::read(&mut machine.hw, smmu).cr0.smmuen() {
            return Err(format!("SMMU at {base} was left translating: who uses its table is not recorded"));
        }
        let largest = match way {
            Way::Marks { .. } => largest_stream(&mut machine.hw, smmu),
            Way::Refuses(_) => refuse::largest_stream(machine, index, &streams),
        };
        let options = Options { coherent_override, eventq_log2: EVENTQ_LOG2, ..Options::new(base, largest) };
        let options = Options { unknown: Unknown::IsRecorded, ..options };
        let mut unit = Unit::prepare(&mut machine.hw, smmu, &options, frames).map_err(named)?;
        let census = match *way {
            Way::Marks { httu, .. } => {
                let tables = (&*memory, &mut shared);
                Some(mark::attach(machine, &mut unit, httu, &streams, tables, frames).map_err(named)?)
            }
            Way::Refuses(_) => {
                streams::attach_foreign_rmrs(machine, &mut unit, index, frames, &[])?;
                refuse::attach(machine, &mut unit, index, &streams, frames).map_err(named)?;
                None
            }
        };
        let mut one = Watched::new(unit, census);
        let started = one.start(&mut machine.hw);
        watched.push(one);
        started.map_err(named)?;
    }
    Ok(())
}

/// Looks at every SMMU, for as long as is watched.
fn watch(machine: &mut Machine, watched: &mut [Watched], began: u64, watch_us: u64) -> Recorded {
    let mut recorded = Recorded::default();
    let deadline = began + timer::ticks_of_us(watch_us);
    loop {
        let now = timer::now();
        for (smmu, watched) in (0_u8..).zip(&mut *watched) {
            let Recorded { seen, is_lossy, broken } = &mut recorded;
            let mut refused = |stream_id| {
                let stream_id = Some(stream_id);
                *is_lossy |= !note(seen, Seen { smmu, stream_id, first: now, last: now, events: 1 });
            };
            if let Err(error) = watched.look(&mut machine.hw, now, &mut refused) {
                *broken = Some(format!("SMMU {smmu}: {error}"));
            }
        }
        if now >= deadline {
            break;
        }
        timer::sleep_us(STEP_US);
    }
    for (smmu, watched) in watched.iter().enumerate() {
        recorded.is_lossy |= watched.is_lossy();
        if let Some(stream) = watched.census().and_then(Census::unreached).filter(|_| recorded.broken.is_none()) {
            recorded.broken = Some(format!("StreamID {stream} of the IORT is beyond the table of SMMU {smmu}"));
        }
    }
    recorded
}

/// Adds to what is known of a stream; tells whether there was room.
fn note(seen: &mut Vec<Seen>, more: Seen) -> bool {
    let has_room = seen.len() < MOST_STREAMS;
    match seen.iter_mut().find(|seen| (seen.smmu, seen.stream_id) == (more.smmu, more.stream_id)) {
        Some(known) => {
            known.first = known.first.min(more.first);
            known.last = known.last.max(more.last);
            known.events += more.events;
        }
        None if has_room => seen.push(more),
        None => return false,
    }
    true
}
