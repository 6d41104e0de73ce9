//! Counts frames between two readings of the ring's head.

use super::registers::{GPRC, PVFGPRC_7, RDH, RDT, VFGPRC};
use super::*;
use crate::frame::{BROADCAST, Frame};
use crate::poll::ticks_in;
use crate::window::{POISON, POISON_WORD};

/// How long the newest frame may take to memory after the head has moved. QEMU moves both at once.
const SETTLE_US: u64 = 200;
/// Bytes of a buffer that tell what it holds: more than [`Frame::parse`] reads.
const LOOK_BYTES: usize = 64;
/// Bytes that tell whether it holds anything: every frame begins with six bytes of ones.
const BEGIN_BYTES: usize = 16;

/// What the descriptors between two heads turned out to be.
#[derive(Default)]
struct Seen {
    delivered: u64,
    mis_steered: u64,
    repeated: u64,
    empty: u64,
}

/// The totals belong to the instant of the RDH reading. The head is the attempt count: the MAC moves it on by one for
/// each frame that it gives to DMA, whether the SMMU lets that pass or not, and a frame that waits for descriptors or
/// was missed does not move it (82574 3.2.8). Exactly the descriptors up to it are looked at.
pub(super) fn sample(bus: &mut dyn Bus, stream: &mut Stream, chip: Chip) {
    if matches!(stream.state[STATE_QUEUE], 0 | BEGUN) {
        // Never armed.
        return;
    }
    let queue = stream.registers.plus(stream.state[STATE_QUEUE]);
    let head = u64::from(bus.read32(queue.plus(RDH)));
    // All ones: the function is gone. A receiver that somebody turned off has lost its place. No attempt is counted, which
    // the judge sees.
    let is_receiving = match chip {
        // A reset of the physical function enables queue 0 again, which is without a ring then.
        Chip::Virtual => {
            bus.read32(queue.plus(RXDCTL)) & RXDCTL_ENABLE != 0 && bus.read32(queue.plus(RDLEN)) == RING_BYTES
        }
        _ => bus.read32(stream.registers.plus(RCTL)) & RCTL_EN != 0,
    };
    if head >= RING || !is_receiving {
        return;
    }
    // After the head: so it includes every frame that moved the head.
    let good = good(bus, stream, chip);
    let first = stream.state[STATE_HEAD] % RING;
    let used = (head + RING - first) % RING;
    settle(bus, stream, head, used);

    let mut seen = Seen::default();
    for slot in (first..first + used).map(|slot| slot % RING) {
        look(bus, stream, slot, &mut seen);
        write_descriptor(bus, stream, slot);
    }
    let blocked = blocked(stream, &seen, good);
    stream.totals.attempted += seen.delivered + seen.mis_steered + blocked;
    stream.totals.delivered += seen.delivered;
    stream.totals.mis_steered += seen.mis_steered;
    stream.state[STATE_REPEATED] += seen.repeated;
    stream.state[STATE_HEAD] = head;
    if used != 0 {
        stream.state[STATE_DRY] += u64::from(used == RING - 1);
        bus.before_doorbell();
        bus.write32(queue.plus(RDT), ((head + RING - 1) % RING) as u32);
    }
}

/// Counts from here on.
pub(super) fn begin(bus: &mut dyn Bus, stream: &mut Stream, chip: Chip) {
    good(bus, stream, chip);
}

/// Good packets of this queue since the last reading.
fn good(bus: &mut dyn Bus, stream: &mut Stream, chip: Chip) -> u64 {
    let at = match chip {
        Chip::Virtual => VFGPRC,
        // Beside pools the MAC counts those of all.
        Chip::I82576 if stream.state[STATE_QUEUE] != QUEUE_82576 => PVFGPRC_7,
        // Cleared by reading.
        _ => return u64::from(bus.read32(stream.registers.plus(GPRC))),
    };
    let count = bus.read32(stream.registers.plus(at));
    let last = core::mem::replace(&mut stream.state[STATE_GOOD], u64::from(count));
    u64::from(count.wrapping_sub(last as u32))
}

/// Waits until the newest frame has arrived somewhere, or as long as it may take. What is read after that is at least as
/// new as the head and this frame.
fn settle(bus: &mut dyn Bus, stream: &Stream, head: u64, used: u64) {
    if used == 0 {
        return;
    }
    let place = buffer_place(stream, (head + RING - 1) % RING);
    let limit = ticks_in(bus, SETTLE_US);
    let start = bus.ticks();
    while place.words(bus) == (POISON_WORD, POISON_WORD) && bus.ticks().wrapping_sub(start) <= limit {
        bus.sleep_us(SETTLE_US / 4);
    }
    bus.after_index_read();
}

fn is_poison(bus: &mut dyn Bus, at: PhysAddr) -> bool {
    let mut bytes = [POISON; BEGIN_BYTES];
    bus.copy_from(at, &mut bytes);
    bytes == [POISON; BEGIN_BYTES]
}

/// Judges one buffer by its content alone (a blocked write-back leaves no DD bit), and poisons it again.
fn look(bus: &mut dyn Bus, stream: &mut Stream, slot: u64, seen: &mut Seen) {
    let place = buffer_place(stream, slot);
    // Most that are empty are many together: a look at their beginnings does.
    if is_poison(bus, place.target) && place.canary.is_none_or(|at| is_poison(bus, at)) {
        seen.empty += 1;
        return;
    }
    let (mut target, mut canary) = ([POISON; LOOK_BYTES], [POISON; LOOK_BYTES]);
    bus.copy_from(place.target, &mut target);
    if let Some(at) = place.canary {
        bus.copy_from(at, &mut canary);
    }
    let is_mis_steered = canary != [POISON; LOOK_BYTES];
    // One frame goes to one place. Where both changed, the harm is what counts.
    let content = if is_mis_steered { canary } else { target };
    place.poison(bus, BUFFER_BYTES);
    if !content.starts_with(&BROADCAST) {
        // The rest of a foreign frame longer than a buffer: the frame was counted where it begins.
        return;
    }
    if is_repeated(stream, Frame::parse(&content)) {
        seen.repeated += 1;
    } else if is_mis_steered {
        seen.mis_steered += 1;
    } else {
        seen.delivered += 1;
    }
}

/// Remembers the sequence number; tells whether it was there before. A frame that is not ours (an ARP request of the
/// lab's network) is DMA like any other and is counted, without a number.
fn is_repeated(stream: &mut Stream, frame: Option<Frame>) -> bool {
    let Some(frame) = frame else { return false };
    let is_same_sender = stream.state[STATE_SENDER] == u64::from(frame.stream);
    if is_same_sender && frame.sequence <= stream.state[STATE_SEQUENCE] {
        return true;
    }
    stream.state[STATE_SENDER] = u64::from(frame.stream);
    stream.state[STATE_SEQUENCE] = frame.sequence;
    false
}

/// Frames behind the descriptors that stayed empty.
///
/// One each on silicon. Under QEMU a descriptor whose fetch is refused reads as zeros, counts as used and gives way to
/// the next one for the same frame: a single blocked frame takes all that are left, and then is not in GPRC. So empty
/// descriptors beyond the MAC's count of good packets are one frame together.
fn blocked(stream: &mut Stream, seen: &Seen, good: u64) -> u64 {
    let known = stream.state[STATE_SPARE].saturating_add(good);
    let left = known.saturating_sub(seen.delivered + seen.mis_steered + seen.repeated);
    stream.state[STATE_SPARE] = left.saturating_sub(seen.empty).min(RING);
    if seen.empty <= left { seen.empty } else { left + 1 }
}
