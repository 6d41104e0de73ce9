//! Counts completions, hands new reads over for them, and looks for signs of refusal.

use super::registers::*;
use super::start::hand_over;
use super::*;
use crate::poll::ticks_in;
use crate::window::{POISON, POISON_WORD};

/// Offset of the last dword of an entry: identifier, phase and status. No identifier of ours is that of poison.
const NEWEST: u64 = 12;
/// A wait is too long when it is so many times the longest so far,
const TIMES: u64 = 8;
/// and this much more; it takes a pause of this length for a refusal only where there was none like it before.
const MORE_US: u64 = 80_000;
/// Where the controller has a fatal status it says itself that something is wrong: the limit is at least and at most this.
const FATAL_US: [u64; 2] = [20_000, 60_000];

/// The totals belong to the instant of each queue's scan: one completion later is the next sample's.
pub(super) fn sample(bus: &mut dyn Bus, stream: &mut Stream) {
    let Some(shape) = Shape::of(stream) else { return };
    let at = stream.registers;
    let (status, control) = (bus.read32(at.plus(CSTS)), bus.read32(at.plus(CC)));
    // A function that is gone, or a controller that somebody disabled, owes nothing. Nothing is counted, which the judge
    // sees. CSTS.RDY says nothing here: QEMU clears it when it raises CFS.
    if status == u32::MAX || control & CC_EN == 0 {
        return;
    }
    let is_fatal = status & CSTS_CFS != 0;
    if is_fatal {
        stream.state[STATE_SHAPE] |= SHAPE_FATAL;
    }
    let now = bus.ticks();
    let mut ended = [0; 2];
    for (pair, ended) in ended.iter_mut().enumerate().take(shape.pairs) {
        *ended = scan(bus, stream, shape, pair);
        if *ended == 0 {
            add_signs(stream, pair, waits_too_long(bus, stream, pair, is_fatal, now).into());
        } else {
            remember_wait(bus, stream, pair, now);
        }
    }
    stream.state[STATE_LOOKED] = now;
    hand_over(bus, stream, shape, ended);
}

/// CSTS.CFS was seen since the stream was armed.
pub(super) const fn is_fatal(stream: &Stream) -> bool {
    stream.state[STATE_SHAPE] & SHAPE_FATAL != 0
}

/// Signs that belong to the queues of `pair`.
pub(super) fn signs(stream: &Stream, pair: usize) -> u64 {
    stream.state[STATE_SIGNS] >> (32 * pair) & 0xffff_ffff
}

fn add_signs(stream: &mut Stream, pair: usize, count: u64) {
    stream.state[STATE_SIGNS] = stream.state[STATE_SIGNS].wrapping_add(count << (32 * pair));
}

/// What was tried between two samples: as often twice as each queue completed something or was refused. A fatal status does
/// not say whose doing it is.
pub(super) fn tried(since: &Stream, now: &Stream) -> u64 {
    let one = |pair: usize| {
        let completed = now.state[STATE_POSTED[pair]].saturating_sub(since.state[STATE_POSTED[pair]]);
        completed + signs(now, pair).saturating_sub(signs(since, pair))
    };
    let least = if Shape::of(now).is_some_and(|shape| shape.pairs == 2) {
        one(0).min(one(1))
    } else {
        one(0) + u64::from(is_fatal(now) && !is_fatal(since))
    };
    least.saturating_mul(2)
}

/// One completion queue: counts what was posted since the last scan, poisons it, and makes as many new reads ready.
fn scan(bus: &mut dyn Bus, stream: &mut Stream, shape: Shape, pair: usize) -> u64 {
    let posted = stream.state[STATE_POSTED[pair]];
    let owed = shape.owed();
    let Some(last) = last_written(bus, stream, shape, pair) else { return 0 };
    // Entries are posted in order: all up to that one are there now, where they were written.
    bus.after_index_read();
    let (mut delivered, mut mis_steered) = (0, 0);
    for number in posted..=posted + last {
        let place = completion_place(stream, pair, shape.slot(number));
        match place.plus(NEWEST).words(bus) {
            (POISON_WORD, POISON_WORD) => {}
            (_, POISON_WORD) => delivered += 1,
            // Where both changed, the harm is what counts.
            _ => mis_steered += 1,
        }
        place.poison(bus, COMPLETION_BYTES);
    }
    let passed = last + 1;
    // The slots of reads that ended are free; what is in them is valid but for its identifier.
    for number in posted + owed..posted + owed + passed {
        command_place(stream, shape, pair, shape.slot(number)).plus(2).publish(bus, &identifier(number).to_le_bytes());
    }
    stream.totals.delivered += delivered;
    stream.totals.mis_steered += mis_steered;
    add_signs(stream, pair, passed - delivered - mis_steered);
    stream.state[STATE_SHAPE] += u64::from(passed == owed) << 32;
    stream.state[STATE_POSTED[pair]] = posted + passed;

    // The entries are poisoned before they are given back.
    bus.before_doorbell();
    let head = stream.registers.plus(shape.doorbell(pair as u64 + 1) + shape.stride);
    bus.write32(head, shape.slot(posted + passed) as u32);
    passed
}

/// How many entries on from the first that is not counted yet lies the last that was written, in target or canary.
fn last_written(bus: &mut dyn Bus, stream: &Stream, shape: Shape, pair: usize) -> Option<u64> {
    const CHUNK: u64 = 32;
    const BYTES: usize = (CHUNK * COMPLETION_BYTES) as usize;
    let first = stream.state[STATE_POSTED[pair]];
    let mut last = None;
    bus.after_index_read();
    for start in (0..shape.entries).step_by(CHUNK as usize) {
        let place = completion_place(stream, pair, start);
        let count = CHUNK.min(shape.entries - start);
        // At most BYTES.
        let used = (count * COMPLETION_BYTES) as usize;
        for at in [Some(place.target), place.canary].into_iter().flatten() {
            let mut bytes = [POISON; BYTES];
            bus.copy_from(at, &mut bytes[..used]);
            for (slot, entry) in (start..).zip(bytes[..used].chunks_exact(COMPLETION_BYTES as usize)) {
                let index = shape.slot(slot.wrapping_sub(first));
                if entry[NEWEST as usize..] != [POISON; 4] && index < shape.owed() {
                    last = last.max(Some(index));
                }
            }
        }
    }
    last
}

/// Something arrived: how long it was waited for, as far as samples saw nothing of it.
fn remember_wait(bus: &dyn Bus, stream: &mut Stream, pair: usize, now: u64) {
    let since = core::mem::replace(&mut stream.state[STATE_LAST[pair]], now);
    // How long the first takes says nothing: a drive may have to wake up, and QEMU's throttle pays its debt.
    if since == 0 {
        return;
    }
    let waited = stream.state[STATE_LOOKED].saturating_sub(since);
    let frequency = bus.frequency().max(1);
    let us = (waited / frequency).saturating_mul(1_000_000).saturating_add(waited % frequency * 1_000_000 / frequency);
    let word = &mut stream.state[STATE_TAIL_AND_WAIT];
    let longest = (*word >> 32).max(us.min(u32::MAX.into()));
    *word = longest << 32 | *word & 0xffff_ffff;
}

/// Nothing arrived, and the controller owes reads for too long. How long one queue may be kept waiting for the other nobody
/// says; with a fatal status one that stands still is suspect by itself.
fn waits_too_long(bus: &dyn Bus, stream: &Stream, pair: usize, is_fatal: bool, now: u64) -> bool {
    let [own, other] = [stream.state[STATE_LAST[pair]], stream.state[STATE_LAST[1 - pair]]];
    let since = if is_fatal { own } else { own.max(other) };
    let limit_us = match (stream.state[STATE_TAIL_AND_WAIT] >> 32) * TIMES {
        limit if is_fatal => limit.clamp(FATAL_US[0], FATAL_US[1]),
        limit => limit + MORE_US,
    };
    (since != 0 || is_fatal) && now.saturating_sub(since) > ticks_in(bus, limit_us)
}
