//! The census: nothing of ours is started, and whoever does DMA all the same is refused it, and named.
//!
//! Streams of functions that are there lead to an empty domain, so that the SMMU records address and direction
//! (F_TRANSLATION); all other StreamIDs meet an STE that is not valid, or none (C_BAD_STE, C_BAD_STREAMID). Ranges that RMR
//! nodes name stay reachable for their streams. Nothing aborts by its STE: that would be silent.

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
use pci::{Command, Found, Function};
use smmu::{
    access::SmmuIndex,
    bringup::{Options, Unit},
    event::{self, Counts},
    observe::Registers,
    queue::EventQueue,
    table::Unknown,
    takeover::EventHandler,
};
use wire::{
    Record,
    record::{Outcome, Verdict},
};

/// Least time that is watched; `watch_us` may ask for more.
const WATCH_US: u64 = 1_000_000;
const STEP_US: u64 = 250;
/// A device that is refused may be recorded once for each four bytes.
const EVENTQ_LOG2: u8 = 13;
/// Kinds of events that are told apart, and StreamIDs.
const MOST_ROWS: usize = 512;
const MOST_STREAMS: usize = 256;

const SOURCE: &str = "ARCHITECTURE.md, census";

/// A StreamID that did DMA.
struct Seen {
    smmu: u8,
    stream_id: StreamId,
    first: u64,
    last: u64,
    events: u64,
}

/// What the SMMUs recorded.
#[derive(Default)]
struct Recorded {
    seen: Vec<Seen>,
    counts: Vec<Counts>,
    /// Events were lost: someone may be missing.
    is_lossy: bool,
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
    let began = timer::now();
    let mut units = Vec::new();
    let prepared = refuse_all(machine, &functions, &mut frames, &mut units);
    let watch_us = u64::from(session.options.watch_us).max(WATCH_US);
    let recorded = match &prepared {
        Ok(()) => watch(machine, &units, began, watch_us),
        Err(_) => Recorded::default(),
    };
    let watched = timer::now() - began;
    let mut ends = Checks { run, cycle, checks: 0, failed: 0 };
    for unit in &mut units {
        let done = unit.shut_down(&mut machine.hw).and_then(|()| unit.restore_gbpa(&mut machine.hw));
        if let Err(error) = done {
            ends.fail("cycle.smmu-disabled", &format!("SMMU {}: {error}", unit.smmu().0), "IHI 0070 6.3.9");
        }
    }
    exceptions::step("");
    exceptions::record_aborts(false);
    tell(machine, &functions, &recorded, (run, cycle, began));
    console::record(&Record::Timing {
        run,
        cycle,
        crash_to_kdump: 0,
        takeover: 0,
        hold: 0,
        watch: watched,
        counted: watched,
        cycle_total: timer::now() - began,
    });
    match prepared {
        Err(reason) => ends.not_covered("census.watched", &reason, SOURCE),
        Ok(()) if recorded.is_lossy => {
            ends.not_covered("census.watched", "events were lost in a storm: someone may be missing", SOURCE);
        }
        Ok(()) => ends.pass("census.watched", SOURCE),
    }
    match recorded.seen.first() {
        None => ends.pass("census.quiet", SOURCE),
        Some(first) => {
            let who = name_of(machine, &functions, first);
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

/// Has every SMMU refuse and record all but what RMR nodes name.
fn refuse_all(
    machine: &mut Machine,
    functions: &[Found],
    frames: &mut FramePool,
    units: &mut Vec<Unit>,
) -> Result<(), String> {
    if machine.smmus.is_empty() {
        return Err("there is no SMMU to record anything".into());
    }
    let streams: Vec<(usize, StreamId)> =
        functions.iter().filter_map(|found| machine.stream_of(found.requester)).collect();
    for (index, at) in machine.smmus.clone().into_iter().enumerate() {
        let SmmuAt { base, coherent_override, .. } = at;
        let named = |what: &str, error: &dyn core::fmt::Display| format!("SMMU at {base}: {what}: {error}");
        let smmu = SmmuIndex(index as u8);
        if Registers::read(&mut machine.hw, smmu).cr0.smmuen() {
            return Err(format!("SMMU at {base} was left translating: who uses its table is not recorded"));
        }
        let of_this = || streams.iter().filter(|(at, _)| *at == index).map(|(_, stream_id)| *stream_id);
        let largest = of_this().chain(machine.largest_rmr_stream(index)).max().unwrap_or(StreamId(0));
        let options = Options {
            coherent_override,
            eventq_log2: EVENTQ_LOG2,
            unknown: Unknown::IsRecorded,
            ..Options::new(base, largest)
        };
        let unit = Unit::prepare(&mut machine.hw, smmu, &options, frames);
        let mut unit = unit.map_err(|error| named("bring-up", &error))?;
        streams::attach_foreign_rmrs(machine, &mut unit, index, frames, &[])?;
        let empty = unit.new_domain(&mut machine.hw, frames).map_err(|error| named("domain", &error))?;
        for stream_id in of_this() {
            // Of its range, or of another function that goes by the same name.
            if unit.table().serves(&mut machine.hw, stream_id).map_err(|error| named("table", &error))? {
                continue;
            }
            unit.attach(&mut machine.hw, frames, stream_id, &empty).map_err(|error| named("attach", &error))?;
        }
        let started = unit.start(&mut machine.hw);
        units.push(unit);
        started.map_err(|error| named("start", &error))?;
    }
    Ok(())
}

/// Reads the event queues for as long as is watched.
fn watch(machine: &mut Machine, units: &[Unit], began: u64, watch_us: u64) -> Recorded {
    let handler = |unit: &Unit| {
        let (smmu, counts) = (unit.smmu(), Counts::with_capacity(MOST_ROWS));
        EventHandler::new(smmu, EventQueue::new(smmu, unit.eventq()), counts)
    };
    let mut handlers: Vec<EventHandler> = units.iter().map(handler).collect();
    let mut recorded = Recorded::default();
    let deadline = began + timer::ticks_of_us(watch_us);
    loop {
        let now = timer::now();
        for (smmu, handler) in (0_u8..).zip(&mut handlers) {
            let Recorded { seen, is_lossy, .. } = &mut recorded;
            handler.handle_each(&mut machine.hw, &mut |event| {
                let stream_id = event::decode(event).stream;
                let has_room = seen.len() < MOST_STREAMS;
                match seen.iter_mut().find(|seen| (seen.smmu, seen.stream_id) == (smmu, stream_id)) {
                    Some(seen) => {
                        seen.events += 1;
                        seen.last = now;
                    }
                    None if has_room => {
                        seen.push(Seen { smmu, stream_id, first: now, last: now, events: 1 });
                    }
                    None => *is_lossy = true,
                }
            });
        }
        if now >= deadline {
            break;
        }
        timer::sleep_us(STEP_US);
    }
    for handler in handlers {
        let (counts, is_lossy) = handler.into_counts();
        recorded.counts.push(counts);
        recorded.is_lossy |= is_lossy;
    }
    recorded
}

/// The function that a StreamID belongs to.
fn function_of<'a>(machine: &Machine, functions: &'a [Found], seen: &Seen) -> Option<&'a Found> {
    let key = (usize::from(seen.smmu), seen.stream_id);
    functions.iter().find(|found| machine.stream_of(found.requester) == Some(key))
}

fn name_of(machine: &Machine, functions: &[Found], seen: &Seen) -> String {
    let Seen { smmu, stream_id, .. } = seen;
    match function_of(machine, functions, seen) {
        Some(found) => format!("{} (StreamID {stream_id})", found.bdf),
        None => format!("StreamID {stream_id} of SMMU {smmu}, which is no function's,"),
    }
}

/// Records for every function, every stranger, and every kind of event.
fn tell(machine: &mut Machine, functions: &[Found], recorded: &Recorded, (run, cycle, began): (u32, u32, u64)) {
    for found in functions {
        let function = Function::new(&mut machine.config, found.bdf);
        let bus_master = function.is_some_and(|mut function| function.command().contains(Command::BUS_MASTER));
        let is_own = |seen: &&Seen| function_of(machine, functions, seen).is_some_and(|own| own.bdf == found.bdf);
        let seen = recorded.seen.iter().find(is_own);
        console::record(&Record::Requester {
            run,
            cycle,
            bdf: &found.bdf.to_string(),
            requester: &found.requester.to_string(),
            bus_master,
            answers: true,
            first_dma: None,
            last_dma: None,
            first_attempt: seen.map(|seen| seen.first.saturating_sub(began)),
            last_attempt: seen.map(|seen| seen.last.saturating_sub(began)),
            stopped: None,
        });
    }
    for seen in &recorded.seen {
        if function_of(machine, functions, seen).is_none() {
            let Seen { smmu, stream_id: StreamId(stream_id), first, last, events } = *seen;
            let (first, last) = (first.saturating_sub(began), last.saturating_sub(began));
            console::record(&Record::Stranger { run, cycle, smmu, stream_id, first, last, events });
        }
    }
    for (smmu, counts) in (0_u8..).zip(&recorded.counts) {
        for row in counts.rows() {
            let key = Seen { smmu, stream_id: row.stream, first: 0, last: 0, events: 0 };
            let bdf = function_of(machine, functions, &key).map_or_else(String::new, |found| found.bdf.to_string());
            console::record(&Record::Event {
                run,
                cycle,
                smmu,
                id: row.id,
                name: event::name(row.id),
                stream_id: row.stream.0,
                bdf: &bdf,
                input_address: row.page.map_or(0, |page| page.0),
                read: row.read.unwrap_or(false),
                count: u64::from(row.count),
            });
        }
    }
}

/// Checks of one census, sent and counted.
struct Checks {
    run: u32,
    cycle: u32,
    checks: u32,
    failed: u32,
}

impl Checks {
    fn pass(&mut self, id: &str, source: &str) {
        self.say(id, Verdict::Pass, "", source);
    }

    fn fail(&mut self, id: &str, reason: &str, source: &str) {
        self.say(id, Verdict::Fail, reason, source);
    }

    fn not_covered(&mut self, id: &str, reason: &str, source: &str) {
        self.say(id, Verdict::NotCovered, reason, source);
    }

    fn say(&mut self, id: &str, verdict: Verdict, reason: &str, source: &str) {
        let (run, cycle, expected) = (self.run, self.cycle, Verdict::Pass);
        self.checks += 1;
        self.failed += u32::from(verdict != expected);
        console::record(&Record::Check { run, cycle, id, verdict, expected, must_run: true, reason, source });
    }
}
