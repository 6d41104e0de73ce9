//! Counts bytes between two readings of the link position.

use super::registers::SD_LPIB;
use super::*;
use crate::poll::ticks_in;
use crate::window::POISON_WORD;

/// Bytes judged at once: a sample of both channels. One DMA never writes less, and silence on a real microphone may
/// well hit one byte of the poison, but not this pair of loud samples.
const WORD: u64 = 4;
/// A sample later than this after the one before may have missed a full cycle of 170.7 ms.
const LATE_US: u64 = 160_000;
/// How long the last bytes may take from the link through the FIFO to memory: LPIB counts what came off the link
/// (3.3.36). QEMU moves both at once and never waits here.
const SETTLE_US: u64 = 400;
/// Distance ahead of the position that is left alone while a late sample cleans up: 21 ms.
const GUARD_BYTES: u64 = 4_096;

pub(super) fn sample(bus: &mut dyn Bus, stream: &mut Stream) {
    if stream.state[STATE_TICKS] == 0 {
        // Never armed: there is nothing to count, and nothing to be late for.
        return;
    }
    // A controller that somebody put into reset has no position, nor one that is gone: no attempt is counted, which the
    // judge sees.
    let control = bus.read32(stream.registers.plus(GCTL));
    if control & GCTL_CRST == 0 || control == u32::MAX {
        return;
    }
    let ticks = bus.ticks();
    let link = u64::from(bus.read32(stream.registers.plus(SD_LPIB)));
    if link > CYCLE_BYTES {
        return;
    }
    let position = link / WORD * WORD % CYCLE_BYTES;
    let last = stream.state[STATE_POSITION] % CYCLE_BYTES;
    let late = ticks.wrapping_sub(stream.state[STATE_TICKS]) > ticks_in(bus, LATE_US);
    let bytes = (position + CYCLE_BYTES - last) % CYCLE_BYTES;

    // The totals belong to the instant of the LPIB reading: exactly the bytes up to there are looked at, and DMA that
    // goes on meanwhile writes behind them.
    settle(bus, stream, position, bytes);
    count_bytes(bus, stream, last, bytes);
    count_position(bus, stream);
    if late {
        stream.state[STATE_OVERRUNS] = stream.state[STATE_OVERRUNS].wrapping_add(1);
        clean_up(bus, stream, position, CYCLE_BYTES - bytes);
    }
    stream.state[STATE_POSITION] = position;
    stream.state[STATE_TICKS] = ticks;
}

/// Splits `bytes` of the cyclic buffer from `at` on into pieces that lie in one entry.
fn pieces(stream: &Stream, at: u64, bytes: u64) -> impl Iterator<Item = (Place, u64)> + use<> {
    let stream = *stream;
    let mut done = 0;
    core::iter::from_fn(move || {
        let from = (at + done) % CYCLE_BYTES;
        let length = (ENTRY_BYTES - from % ENTRY_BYTES).min(bytes - done);
        done += length;
        let place = entry_place(&stream, from / ENTRY_BYTES).plus(from % ENTRY_BYTES);
        (length != 0).then_some((place, length))
    })
}

/// Waits until the newest word has arrived somewhere, or as long as it may take. What is read after that is at least as
/// new as the position and this word.
fn settle(bus: &mut dyn Bus, stream: &Stream, position: u64, bytes: u64) {
    if bytes == 0 {
        return;
    }
    let newest = (position + CYCLE_BYTES - WORD) % CYCLE_BYTES;
    let place = entry_place(stream, newest / ENTRY_BYTES).plus(newest % ENTRY_BYTES);
    let limit = ticks_in(bus, SETTLE_US);
    let start = bus.ticks();
    while place.words(bus) == (POISON_WORD, POISON_WORD) && bus.ticks().wrapping_sub(start) <= limit {
        bus.sleep_us(SETTLE_US / 4);
    }
    bus.after_index_read();
}

fn count_bytes(bus: &mut dyn Bus, stream: &mut Stream, at: u64, bytes: u64) {
    for (place, length) in pieces(stream, at, bytes) {
        let (mut target, mut canary) = ([0; ENTRY_BYTES as usize], [POISON_WORD as u8; ENTRY_BYTES as usize]);
        // `length` is at most ENTRY_BYTES.
        let used = length as usize;
        bus.copy_from(place.target, &mut target[..used]);
        if let Some(at) = place.canary {
            bus.copy_from(at, &mut canary[..used]);
        }
        let (mut delivered, mut mis_steered) = (0, 0);
        for (target, canary) in
            target[..used].chunks_exact(WORD as usize).zip(canary[..used].chunks_exact(WORD as usize))
        {
            // A word is moved once a cycle. Where both copies changed, the harm is what counts.
            if canary != POISON_WORD.to_le_bytes() {
                mis_steered += WORD;
            } else if target != POISON_WORD.to_le_bytes() {
                delivered += WORD;
            }
        }
        if delivered + mis_steered != 0 {
            place.poison(bus, length);
        }
        stream.totals.attempted += length;
        stream.totals.delivered += delivered;
        stream.totals.mis_steered += mis_steered;
    }
}

/// Notes where the position buffer was written since the last sample.
fn count_position(bus: &mut dyn Bus, stream: &mut Stream) {
    let place = Place::new(&stream.window, POSITIONS_AT);
    let (target, canary) = place.words(bus);
    for (word, state) in [(target, STATE_POSITION_DELIVERED), (canary, STATE_POSITION_MIS_STEERED)] {
        if word != POISON_WORD {
            stream.state[state] = stream.state[state].wrapping_add(1);
        }
    }
    place.poison(bus, WORD);
}

/// After a late sample the rest of the buffer may hold data of a cycle that nobody counted: poisons it, so that it is
/// not taken for data of the next one. What the device writes in the next moments is left alone.
fn clean_up(bus: &mut dyn Bus, stream: &Stream, position: u64, rest: u64) {
    let Some(bytes) = rest.checked_sub(GUARD_BYTES) else { return };
    for (place, length) in pieces(stream, (position + GUARD_BYTES) % CYCLE_BYTES, bytes) {
        place.poison(bus, length);
    }
}
