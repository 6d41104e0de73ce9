//! Counts the buffers that were used since the last sample, and gives them back.

use super::queue::{buffer_place, give, notify, publish, sizes, used_place};
use super::*;
use crate::frame::{BROADCAST, Frame};
use crate::window::{POISON, POISON_WORD, Place};

/// Bytes of a buffer that tell what it holds: header and head of a frame.
const LOOK_BYTES: usize = 64;

pub(super) fn sample(device: &Virtio, bus: &mut dyn Bus, stream: &mut Stream) {
    let (size, buffers) = sizes(stream);
    if size == 0 {
        // Never armed.
        return;
    }
    let common = stream.registers.plus(stream.state[STATE_OFFSETS] & 0xffff_ffff);
    let status = bus.read8(common.plus(DEVICE_STATUS));
    if status == u8::MAX {
        // The function is gone, and what is in memory was counted before.
        return;
    }
    stream.state[STATE_REFUSED] += u64::from(status & NEEDS_RESET != 0);
    let first = stream.state[STATE_USED];
    let outstanding = stream.state[STATE_GIVEN].wrapping_sub(first);
    let fresh = fresh(bus, stream, outstanding);
    for used in (0..fresh).map(|step| first.wrapping_add(step)) {
        let place = used_place(stream, used);
        let ((target, canary), is_stray) = (place.words(bus), place.plus(4).words(bus).1 != POISON_WORD);
        let id = u64::from(if is_stray { canary } else { target });
        place.poison(bus, USED_BYTES);
        // A refused entry names nobody: its buffer stays with the device.
        if !id.is_multiple_of(device.chain) || id / device.chain >= buffers {
            continue;
        }
        let buffer = id / device.chain;
        look(device, bus, stream, buffer, is_stray);
        give(device, bus, stream, buffer);
    }
    stream.state[STATE_USED] = first.wrapping_add(fresh);
    // No register tells: what arrived is all that is known to have been attempted.
    stream.totals.attempted = stream.totals.delivered + stream.totals.mis_steered;
    // A device that somebody stopped or reset is left alone.
    if fresh != 0 && status & DRIVER_OK != 0 {
        stream.state[STATE_DRY] += u64::from(fresh >= outstanding);
        publish(bus, stream);
    } else if device.kind == Kind::Block && status & (DRIVER_OK | NEEDS_RESET) == DRIVER_OK {
        // A disk took its requests long ago, and does not notice that their ends are refused. It does when it looks for more;
        // a notification without cause is allowed (2.9).
        notify(bus, stream);
    }
}

/// Used entries since the last sample. The device has one index and writes it to where it is led: the copy that is ahead is
/// the newer one. More than was given is nonsense.
fn fresh(bus: &mut dyn Bus, stream: &Stream, outstanding: u64) -> u64 {
    let (target, canary) = Place::new(&stream.window, USED_AT).words(bus);
    bus.after_index_read();
    let ahead = |word: u32| {
        let ahead = ((word >> 16) as u16).wrapping_sub(stream.state[STATE_USED] as u16);
        Some(u64::from(ahead)).filter(|ahead| *ahead <= outstanding).unwrap_or(0)
    };
    let canary = if stream.window.canary == stream.window.target { 0 } else { ahead(canary) };
    ahead(target).max(canary)
}

/// Judges what the device has written into a buffer, and poisons it again; a disk by where its used entry lies.
fn look(device: &Virtio, bus: &mut dyn Bus, stream: &mut Stream, buffer: u64, is_stray: bool) {
    let place = buffer_place(device, stream, buffer);
    let (mut target, mut canary) = ([POISON; LOOK_BYTES], [POISON; LOOK_BYTES]);
    bus.copy_from(place.target, &mut target);
    if let Some(at) = place.canary {
        bus.copy_from(at, &mut canary);
    }
    place.poison(bus, device.buffer_bytes);
    // One buffer goes to one place. Where both changed, the harm is what counts.
    let is_mis_steered = if device.kind == Kind::Block { is_stray } else { canary != [POISON; LOOK_BYTES] };
    let content = if is_mis_steered { canary } else { target };
    if device.kind != Kind::Block && content == [POISON; LOOK_BYTES] {
        return;
    }
    if device.kind == Kind::Network {
        let frame = &content[NET_HEADER_BYTES..];
        // The rest of a foreign frame longer than a buffer was counted where it begins.
        if !frame.starts_with(&BROADCAST) {
            return;
        }
        if is_repeated(stream, Frame::parse(frame)) {
            stream.state[STATE_REPEATED] += 1;
            return;
        }
    }
    stream.totals.mis_steered += u64::from(is_mis_steered);
    stream.totals.delivered += u64::from(!is_mis_steered);
}

/// Remembers the newest frame of ours; tells whether it is not newer. A frame that is not ours is counted, without a number.
fn is_repeated(stream: &mut Stream, frame: Option<Frame>) -> bool {
    let Some(frame) = frame else { return false };
    let last = stream.state[STATE_SEQUENCE];
    let sequence = frame.sequence & 0xffff_ffff;
    if last >> 32 == u64::from(frame.stream) && sequence <= last & 0xffff_ffff {
        return true;
    }
    stream.state[STATE_SEQUENCE] = u64::from(frame.stream) << 32 | sequence;
    false
}
