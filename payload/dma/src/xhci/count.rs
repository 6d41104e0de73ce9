//! Counts reports that landed since the last sample.

use super::*;
use crate::poll::ticks_in;
use crate::window::POISON_WORD;

/// A controller that has given up gives a sign again after a silence of several reports.
const SILENT_US: u64 = 20_000;

/// All buffers are looked at: a refused one leaves a hole, and the order says nothing. None is written twice between two
/// samples, because the event ring is shorter.
pub(super) fn sample(bus: &mut dyn Bus, stream: &mut Stream) {
    let offsets = stream.state[STATE_OFFSETS];
    if offsets == 0 {
        // Never armed.
        return;
    }
    let status = bus.read32(stream.registers.plus((offsets & 0xffff_ffff) + USBSTS));
    if status == u32::MAX {
        // The function is gone, and what is in memory was counted before.
        return;
    }
    bus.after_index_read();
    let fresh = take_events(bus, stream);
    for report in 0..REPORTS {
        let place = report_place(stream, report);
        let (target, canary) = place.words(bus);
        if (target, canary) == (POISON_WORD, POISON_WORD) {
            continue;
        }
        // One report goes to one place. Where both changed, the harm is what counts.
        let is_mis_steered = canary != POISON_WORD;
        place.poison(bus, REPORT_BYTES);
        stream.totals.mis_steered += u64::from(is_mis_steered);
        stream.totals.delivered += u64::from(!is_mis_steered);
    }
    let arrived = stream.totals.delivered + stream.totals.mis_steered;
    note_refusal(bus, stream, status & USBSTS_GIVEN_UP != 0, arrived != stream.totals.attempted);
    // No register tells: what arrived is all that is known to have been attempted.
    stream.totals.attempted = arrived;
    // A controller that somebody stopped or reset is left alone.
    if fresh != 0 && status & (USBSTS_HCH | USBSTS_CNR) == 0 {
        stream.state[STATE_DRY] += u64::from(fresh >= RING - 2);
        bus.before_doorbell();
        let dequeue = Place::new(&stream.window, EVENTS_AT + stream.state[STATE_EVENT] * TRB_BYTES).iova.0;
        write64(bus, stream.registers.plus((offsets >> 32) + ERDP), dequeue | ERDP_EHB);
    }
}

/// Takes all events there are; how far the ring has moved. Refused ones are holes before the newest.
fn take_events(bus: &mut dyn Bus, stream: &mut Stream) -> u64 {
    let first = stream.state[STATE_EVENT] % RING;
    let mut moved = 0;
    for step in 0..RING {
        let place = Place::new(&stream.window, EVENTS_AT + (first + step) % RING * TRB_BYTES);
        let (target, canary) = place.plus(12).words(bus);
        if (target, canary) == (POISON_WORD, POISON_WORD) {
            continue;
        }
        let state = if canary == POISON_WORD { STATE_EVENTS_DELIVERED } else { STATE_EVENTS_MIS_STEERED };
        stream.state[state] += 1;
        place.poison(bus, TRB_BYTES);
        moved = step + 1;
    }
    stream.state[STATE_EVENT] = (first + moved) % RING;
    moved
}

/// Signs of refusal: the controller gives up, and then is silent.
fn note_refusal(bus: &mut dyn Bus, stream: &mut Stream, has_given_up: bool, has_arrived: bool) {
    let now = bus.ticks();
    let is_silent = now.wrapping_sub(stream.state[STATE_TICKS]) > ticks_in(bus, SILENT_US);
    let is_sign = has_given_up && (stream.state[STATE_REFUSED] == 0 || is_silent);
    stream.state[STATE_REFUSED] += u64::from(is_sign);
    if is_sign || has_arrived {
        stream.state[STATE_TICKS] = now;
    }
}
