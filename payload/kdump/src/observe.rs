//! What is looked at before and after the takeover, and how it becomes evidence. Nothing here writes, but for one register
//! when all is seen, where the architecture says that the write is ignored.

use crate::streams::{Streams, Watched};
use addr::PhysAddr;
use alloc::vec::Vec;
use arch::{bus::Smmus, exceptions, mmio, timer};
use core::ops::Range;
use handover::crash_note::CrashNote;
use scenario::{
    Damage, Plant,
    damage::LookedAgain,
    judge::{AbortTaken, SmmuEvidence, StreamEvidence},
};
use smmu::{
    access::SmmuIndex,
    event,
    guard::{self, Guard},
    observe::{Digest, Registers, digest, ste},
    queue::EventQueue,
    spec::{
        registers::{IDR0, Idr0},
        ste::Ste,
    },
    takeover::{EventHandler, Taken, TakeoverError, plant},
};

/// As the primary's limit: both must read the same bytes.
const DIGEST_LIMIT: u64 = 16 << 20;
/// Events read of one dead queue, and kinds kept apart.
const MOST_EVENTS: u32 = 1 << 20;
const EVENT_ROWS: usize = 256;
/// Time between two looks at the crash note.
const STEP_US: u64 = 250;

/// One SMMU before the takeover's first write.
pub struct Before {
    /// Its registers.
    pub registers: Registers,
    damage_found: bool,
    events: EventQueue,
}

/// One SMMU after the watch.
pub struct After {
    /// Its registers.
    pub registers: Registers,
    /// Events of its queues.
    pub events: Events,
    digest: Option<Digest>,
    strtab_guard: Option<Guard>,
    /// STEs of the oracle's streams, in its order; `None` for another SMMU's.
    stes: Vec<Option<Ste>>,
}

/// Whether an SMMU's structure reads snoop the CPU's caches, by its own word.
pub fn has_cohacc(base: PhysAddr) -> bool {
    exceptions::probe_read32(base.0 + u64::from(IDR0)).is_some_and(|idr0| Idr0::from(idr0).cohacc())
}

/// The crashed image's note as it is now; other CPUs may be writing it.
pub fn note(at: PhysAddr) -> CrashNote {
    // SAFETY: the place that the verified boot block names, in this image's region; each word is read by one load.
    let word = |index: usize| unsafe { mmio::read64(at.0 + 8 * index as u64) };
    CrashNote { cause: word(0), esr: word(1), elr: word(2), far: word(3), spins: word(4), rings: word(5) }
}

/// The note once both of its counts have moved on from `before`, or after `limit_us`: an emulator may give a CPU no time
/// for as long as a watch takes.
pub fn moved_note(at: PhysAddr, before: &CrashNote, limit_us: u64) -> CrashNote {
    let deadline = timer::now().saturating_add(timer::ticks_of_us(limit_us));
    loop {
        let now = note(at);
        if (now.spins > before.spins && now.rings > before.rings) || timer::now() >= deadline {
            return now;
        }
        timer::sleep_us(STEP_US);
    }
}

/// Looks at every SMMU before anything is written, and for `damage`. `own` is where this image's memory begins.
pub fn before(hw: &mut Smmus, count: usize, damage: Damage, own: PhysAddr) -> Vec<Before> {
    let indices = (0_u8..).map(SmmuIndex).take(count);
    let look = |index| Before {
        registers: Registers::read(hw, index),
        damage_found: damage.is_found(hw, index, own),
        events: EventQueue::from_registers(hw, index),
    };
    indices.map(look).collect()
}

/// Has the taker look again at tables that it adopted, after something in them was changed.
pub fn look_again(
    hw: &mut Smmus,
    before: &[Before],
    damage: Damage,
    own: &Range<PhysAddr>,
    streams: &Streams,
) -> Vec<Option<LookedAgain>> {
    let of = |old: &Before| {
        // Nothing changes on an SMMU that was left alone.
        let smmu = old.damage_found.then_some(old.registers.smmu)?;
        let live = streams.all.iter().find(|watched| watched.stream.smmu == u32::from(smmu.0))?;
        damage.change_and_look(hw, smmu, own, live.stream.stream_id)
    };
    before.iter().map(of).collect()
}

/// Events of an SMMU's queues, the dead image's and the one in its place.
pub struct Events {
    /// By kind, stream and page.
    pub counts: event::Counts,
    is_readable: bool,
    is_lost: bool,
}

impl Events {
    /// What `handler` has not read of them yet; `registers` are those after the watch.
    pub fn read(hw: &mut Smmus, old: &Before, registers: &Registers, handler: Option<EventHandler>) -> Self {
        let new_events = EventQueue::from_registers(hw, old.registers.smmu);
        let (mut counts, mut is_lost) =
            handler.map_or_else(|| (event::Counts::with_capacity(EVENT_ROWS), false), EventHandler::into_counts);
        let mut is_readable = true;
        let mut drain = |mut queue: EventQueue, prod| {
            let drained = queue.drain_to(hw, prod, MOST_EVENTS, &mut |event| counts.add(event));
            is_readable &= drained.unbacked.is_none() && !drained.inconsistent;
            is_lost |= drained.overflowed || drained.left != 0;
        };
        // A queue that was kept may have grown. One that was given away stays as long as it was before; the one in its
        // place was enabled for a moment, and may hold what the SMMU had buffered.
        if registers.eventq_base == old.registers.eventq_base {
            drain(old.events, registers.eventq_prod);
        } else {
            drain(old.events, old.registers.eventq_prod);
            drain(new_events, registers.eventq_prod);
        }
        Self { counts, is_readable, is_lost }
    }
}

/// Looks at every SMMU after the watch. Tables are found by the registers as they are then.
/// `handlers` have read what there was to read in queues that were left on.
pub fn after(hw: &mut Smmus, before: &[Before], streams: &Streams, handlers: Vec<Option<EventHandler>>) -> Vec<After> {
    let one = |(old, handler): (&Before, Option<EventHandler>)| {
        let index = old.registers.smmu;
        let registers = Registers::read(hw, index);
        let events = Events::read(hw, old, &registers, handler);
        let stes = stes(hw, &registers, streams);
        let digest = digest(hw, &registers, DIGEST_LIMIT).ok();
        // The last look: after it the SMMU may be written, where its architecture says that nothing comes of it.
        let strtab_guard = guard::strtab(hw, index);
        After { registers, events, digest, strtab_guard, stes }
    };
    before.iter().zip(handlers).map(one).collect()
}

/// STEs in force of the oracle's streams, in its order; `None` for another SMMU's.
pub fn stes(hw: &mut Smmus, registers: &Registers, streams: &Streams) -> Vec<Option<Ste>> {
    let of = |watched: &Watched| {
        let is_here = watched.stream.smmu == u32::from(registers.smmu.0);
        is_here.then(|| ste(hw, registers, watched.stream.stream_id).ok().flatten()).flatten().map(|(_, ste)| ste)
    };
    streams.all.iter().map(of).collect()
}

/// Who reads the event queues that were left on, by SMMU.
pub fn handlers(taken: &[Result<Taken, TakeoverError>]) -> Vec<Option<EventHandler>> {
    let handler = |(index, taken): (u8, &Result<Taken, TakeoverError>)| {
        let queue = taken.as_ref().ok()?.events?;
        Some(EventHandler::new(SmmuIndex(index), queue, event::Counts::with_capacity(EVENT_ROWS)))
    };
    (0_u8..).zip(taken).map(handler).collect()
}

/// The faults that are planted in the takeover, for each SMMU.
pub fn plants(hw: &mut Smmus, before: &[Before], plant: Option<Plant>, streams: &Streams) -> Vec<Option<plant::Plant>> {
    let of = |hw: &mut Smmus, old: &Before| match plant? {
        Plant::SmmuenCleared => Some(plant::Plant::SmmuenCleared),
        Plant::SteRewritten => {
            let index = u32::from(old.registers.smmu.0);
            let watched = streams.all.iter().find(|watched| watched.stream.smmu == index)?;
            let (at, _) = ste(hw, &old.registers, watched.stream.stream_id).ok()??;
            Some(plant::Plant::SteRewritten { at })
        }
        _ => None,
    };
    before.iter().map(|old| of(hw, old)).collect()
}

/// All that the judge is given beside the log.
pub struct Seen<'a> {
    /// By SMMU.
    pub smmus: Vec<SmmuEvidence<'a>>,
    /// By stream, in the oracle's order.
    pub streams: Vec<StreamEvidence>,
    /// Taken since the takeover began.
    pub aborts: Vec<AbortTaken<'static>>,
}

impl<'a> Seen<'a> {
    /// Gathers what was seen.
    pub fn new(
        before: &'a [Before],
        after: &'a [After],
        taken: &'a [Result<Taken, TakeoverError>],
        looked_again: &[Option<LookedAgain>],
        streams: &Streams,
        stes_at_end: &[Vec<Option<Ste>>],
    ) -> Self {
        let all = before.iter().zip(after).zip(taken).zip(looked_again);
        let smmus = all.map(|(((before, after), taken), looked_again)| SmmuEvidence {
            before: &before.registers,
            damage_found: before.damage_found,
            looked_again: *looked_again,
            after: Some(&after.registers),
            digest_after: after.digest,
            taken: taken.as_ref().map_err(|error| *error),
            events: after.events.is_readable.then_some(&after.events.counts),
            events_lost: after.events.is_lost,
            strtab_guard: after.strtab_guard,
        });
        let stream = |(index, watched): (usize, &Watched)| StreamEvidence {
            cuts: watched.cuts,
            overruns: watched.overruns(),
            first_delivery: watched.first_delivery,
            means: watched.means,
            landed_when_stopped: watched.landed_when_stopped,
            landed_since_stopped: watched.landed_in_quiet,
            ste_after: after.get(watched.stream.smmu as usize).and_then(|after| *after.stes.get(index)?),
            at_end: streams.totals(index),
            ste_at_end: stes_at_end.get(watched.stream.smmu as usize).and_then(|stes| *stes.get(index)?),
        };
        let streams = streams.all.iter().enumerate().map(stream).collect();
        Self { smmus: smmus.collect(), streams, aborts: aborts() }
    }
}

/// Aborts recorded since the takeover began; those past the kept ones are counted on the last.
fn aborts() -> Vec<AbortTaken<'static>> {
    let (all, kept) = (exceptions::recorded(), exceptions::recorded().min(exceptions::KEPT));
    (0..kept)
        .filter_map(|index| {
            let exceptions::Exception { esr, elr, far, serror, step } = exceptions::record(index)?;
            let count = if index + 1 == kept { (all - kept) as u32 + 1 } else { 1 };
            Some(AbortTaken { step, esr, elr, far, is_serror: serror, count })
        })
        .collect()
}
