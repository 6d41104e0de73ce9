//! Counts sectors, and issues again the commands that have ended.

use super::registers::*;
use super::*;
use crate::poll::{Pace, poll32, ticks_in};
use crate::window::POISON;

/// A port that is told to stop does so within 500 ms (10.1.2); one that takes longer than this is looked at in the next sample.
const STOPS: Pace = Pace { every_us: 50, deadline_us: 1_000 };

/// A disk that is up ends its next read within milliseconds. One that takes longer than this was cut off: where the HBA cannot
/// fetch a command it stops with an error, and QEMU's waits until PxCI is written again.
const OWED_US: u64 = 80_000;

/// The totals belong to the instant of the PxCI reading.
pub(super) fn sample(bus: &mut dyn Bus, stream: &mut Stream) {
    let (offset, slots) = (stream.state[STATE_PORT] & 0xffff_ffff, (stream.state[STATE_PORT] >> 32) as u32);
    if offset == 0 || slots > MOST_SLOTS {
        return;
    }
    let port = stream.registers.plus(offset);
    // A function that is gone, or a port that somebody stopped, has ended nothing: no attempt is counted, which the judge sees.
    let command = bus.read32(port.plus(CMD));
    if command == u32::MAX || command & CMD_ST == 0 {
        return;
    }
    let why = bus.read32(port.plus(PORT_IS));
    let under_way = bus.read32(port.plus(CI)) & mask(slots);
    let ended = mask(slots) & !under_way;
    // A register read follows the data of what ended before it.
    bus.after_index_read();
    for slot in (0..slots).filter(|slot| ended & 1 << slot != 0) {
        look(bus, stream, slot);
        // The byte count in the header is the HBA's; it begins with zero (4.2.2).
        let header = own_place(stream, LIST_AT + u64::from(slot) * HEADER_BYTES);
        header.plus(4).publish(bus, &[0; 4]);
    }
    stream.state[STATE_DRY] += u64::from(under_way == 0);
    let now = bus.ticks();
    let has_stopped = why & IS_STOPPED != 0;
    let is_owed = now.saturating_sub(stream.state[STATE_LAST]) > ticks_in(bus, OWED_US);
    // What it stopped at, or does not end, was tried.
    let is_refused = ended == 0 && (why & IS_HOST_BUS != 0 || is_owed);
    stream.totals.attempted += u64::from(is_refused);
    // Whose it was, nobody knows.
    [STATE_ODD, STATE_EVEN].into_iter().for_each(|word| stream.state[word] += u64::from(is_refused));
    if ended != 0 || is_refused {
        stream.state[STATE_LAST] = now;
    }
    bus.before_doorbell();
    if !has_stopped {
        // Only what was counted. Zeros change nothing (3.3.14), but wake QEMU's HBA.
        bus.write32(port.plus(CI), ended);
    } else if restart(bus, port, command) {
        // All bits are cleared.
        bus.write32(port.plus(CI), mask(slots));
    }
}

/// What was tried between two samples: with an identity window as often twice as both windows were. An HBA may end one slot
/// again and again while others wait.
pub(super) fn tried(since: &Stream, now: &Stream) -> u64 {
    if now.rmr.bytes == 0 {
        return now.totals.attempted.saturating_sub(since.totals.attempted);
    }
    let delta = |word: usize| now.state[word].saturating_sub(since.state[word]);
    2 * delta(STATE_ODD).min(delta(STATE_EVEN))
}

/// Counts the sector of a slot whose command has ended, and poisons it again.
fn look(bus: &mut dyn Bus, stream: &mut Stream, slot: u32) {
    let place = sector_place(stream, slot);
    let mut has = |at| bus.first_other(at, SECTOR_BYTES, POISON).is_some();
    let (in_target, in_canary) = (has(place.target), place.canary.is_some_and(&mut has));
    stream.totals.attempted += 1;
    stream.state[if slot.is_multiple_of(2) { STATE_EVEN } else { STATE_ODD }] += 1;
    // Where both changed, the harm is what counts.
    stream.totals.mis_steered += u64::from(in_canary);
    stream.totals.delivered += u64::from(in_target && !in_canary);
    if in_target || in_canary {
        place.poison(bus, SECTOR_BYTES);
    }
}

/// Starts a port again that has stopped with an error (6.2.2.1). `false`: it does not stop yet.
fn restart(bus: &mut dyn Bus, port: PhysAddr, command: u32) -> bool {
    bus.write32(port.plus(CMD), command & !CMD_ST);
    if poll32(bus, "AHCI PxCMD.CR", port.plus(CMD), STOPS, |command| command & CMD_CR == 0).is_err() {
        // Left as if it ran: the next sample tries again.
        bus.write32(port.plus(CMD), command);
        return false;
    }
    bus.write32(port.plus(SERR), u32::MAX);
    bus.write32(port.plus(PORT_IS), u32::MAX);
    bus.write32(port.plus(CMD), command);
    true
}
