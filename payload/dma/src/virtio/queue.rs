//! The split virtqueue in target and canary: whichever of them the device reads, it finds the same.

use super::*;
use crate::window::Place;

/// Place of a buffer. With an identity window the odd ones lie there; a disk's do not, because they are no witness.
pub(super) fn buffer_place(device: &Virtio, stream: &Stream, buffer: u64) -> Place {
    let bytes = device.buffer_bytes;
    if stream.rmr.bytes == 0 || device.kind == Kind::Block {
        Place::new(&stream.window, BUFFERS_AT + buffer * bytes)
    } else if buffer.is_multiple_of(2) {
        Place::new(&stream.window, BUFFERS_AT + buffer / 2 * bytes)
    } else {
        Place::new(&stream.rmr, buffer / 2 * bytes)
    }
}

/// Entries of the queue, and its buffers.
pub(super) fn sizes(stream: &Stream) -> (u64, u64) {
    (stream.state[STATE_SIZE] & 0xffff_ffff, stream.state[STATE_SIZE] >> 32)
}

/// Place of a used entry.
pub(super) fn used_place(stream: &Stream, used: u64) -> Place {
    let (size, _) = sizes(stream);
    // The size is a power of two below 2^16, and 0 only before there is a queue.
    Place::new(&stream.window, USED_AT + ENTRIES_AT + used % size.max(1) * USED_BYTES)
}

/// Writes the descriptors of all buffers, empties both rings, poisons what the device will write.
pub(super) fn lay_out(device: &Virtio, bus: &mut dyn Bus, stream: &Stream, buffers: u64) {
    let window = &stream.window;
    for zeroed in [DESCRIPTORS_AT, AVAILABLE_AT, REQUESTS_AT] {
        let place = Place::new(window, zeroed);
        for at in [Some(place.target), place.canary].into_iter().flatten() {
            bus.fill(at, 0x1000, 0);
        }
    }
    Place::new(window, USED_AT).poison(bus, 0x1000);
    // The index counts from zero; the flags (no notification wanted) are the device's to set.
    Place::new(window, USED_AT).publish(bus, &[0; ENTRIES_AT as usize]);
    Place::new(window, AVAILABLE_AT).publish(bus, &NO_INTERRUPT.to_le_bytes());
    for buffer in 0..buffers {
        let place = buffer_place(device, stream, buffer);
        place.poison(bus, device.buffer_bytes);
        let head = buffer * device.chain;
        let data = (place, device.buffer_bytes);
        if device.kind != Kind::Block {
            write_descriptor(bus, stream, head, data, WRITE);
            continue;
        }
        // A read of sector 0, as all are: neighbours might be merged into one.
        let request = Place::new(window, REQUESTS_AT + buffer * REQUEST_BYTES);
        write_descriptor(bus, stream, head, (request, REQUEST_BYTES), NEXT);
        write_descriptor(bus, stream, head + 1, data, NEXT | WRITE);
        write_descriptor(bus, stream, head + 2, (Place::new(window, RESULTS_AT + buffer), 1), WRITE);
    }
}

fn write_descriptor(bus: &mut dyn Bus, stream: &Stream, index: u64, (place, bytes): (Place, u64), flags: u16) {
    let mut descriptor = [0; DESCRIPTOR_BYTES as usize];
    descriptor[..8].copy_from_slice(&place.iova.0.to_le_bytes());
    descriptor[8..12].copy_from_slice(&(bytes as u32).to_le_bytes());
    descriptor[12..14].copy_from_slice(&flags.to_le_bytes());
    descriptor[14..].copy_from_slice(&(index as u16 + 1).to_le_bytes());
    Place::new(&stream.window, DESCRIPTORS_AT + index * DESCRIPTOR_BYTES).publish(bus, &descriptor);
}

/// Puts a buffer into the available ring; the device does not see it yet.
pub(super) fn give(device: &Virtio, bus: &mut dyn Bus, stream: &mut Stream, buffer: u64) {
    let (size, _) = sizes(stream);
    let entry = stream.state[STATE_GIVEN] % size.max(1);
    let head = (buffer * device.chain) as u16;
    let place = Place::new(&stream.window, AVAILABLE_AT + ENTRIES_AT + entry * AVAILABLE_BYTES);
    place.publish(bus, &head.to_le_bytes());
    stream.state[STATE_GIVEN] = stream.state[STATE_GIVEN].wrapping_add(1);
}

/// Shows the device what was given, and notifies it.
pub(super) fn publish(bus: &mut dyn Bus, stream: &Stream) {
    // Entries before the index that announces them (2.7.13.3), and the index before the notification.
    bus.before_doorbell();
    let index = stream.state[STATE_GIVEN] as u16;
    Place::new(&stream.window, AVAILABLE_AT + INDEX_AT).publish(bus, &index.to_le_bytes());
    bus.before_doorbell();
    notify(bus, stream);
}

/// Has the device look into the available ring.
pub(super) fn notify(bus: &mut dyn Bus, stream: &Stream) {
    // The queue's number; there is one.
    bus.write16(stream.registers.plus(stream.state[STATE_OFFSETS] >> 32), 0);
}
