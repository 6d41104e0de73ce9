//! virtio devices over PCI: random numbers, received frames, read sectors. One queue is filled with buffers, and the device
//! uses them at its own pace; what CPU-free time that gives, the machine decides (a rate limit, a sender, a throttled disk).
//!
//! Only devices that offer ACCESS_PLATFORM: the DMA of any other goes past the SMMU, and nothing could be said of it.
//! No register counts attempts. A device whose ring cannot be read asks for a reset (DEVICE_NEEDS_RESET) and does
//! nothing until then; each sample that finds it so is a sign of refusal, also in a later phase than the refusal's. A disk
//! whose completions are refused notices nothing by itself, and is notified until it does. A function level reset has a
//! device forget its queues.
//!
//! The queue is written here and not by the crate `virtio-drivers` (0.13): its `Hal` is an unsafe trait, its queues keep
//! their state in objects of the image that dies, and it reaches DMA memory by reference, so that there is no place for
//! a canary beside each structure, nor for a device that does not snoop.
//!
//! Document: Virtual I/O Device (VIRTIO) 1.2. Numbers in brackets are its sections.

mod count;
mod queue;
mod registers;
#[cfg(test)]
mod tests;
mod transport;

use crate::poll::Pace;
use crate::window;
use crate::{Bus, DmaError, Doorbell, Endpoint, Stopper, Witness};
use addr::{Bdf, PhysAddr};
use handover::oracle::{STREAM_NO_ATTEMPTS, Stream};
use pci::{ConfigSpace, Function, Identity};
use registers::*;
use transport::Transport;

/// Descriptors of the queue at most.
const MOST_DESCRIPTORS: u64 = 256;

// Layout of the canary window.
const DESCRIPTORS_AT: u64 = 0;
const AVAILABLE_AT: u64 = 0x1000;
const USED_AT: u64 = 0x2000;
const REQUESTS_AT: u64 = 0x3000;
const RESULTS_AT: u64 = 0x3800;
const BUFFERS_AT: u64 = 0x4000;
const WINDOW_BYTES: u64 = 0x2_0000;
const RMR_BYTES: u64 = 0x1_0000;

// Indices into `Stream::state`.
/// Used entries that were taken.
const STATE_USED: usize = 0;
/// Buffers that were given.
const STATE_GIVEN: usize = 1;
/// Entries of the queue (31:0), and buffers (63:32). 0: never armed.
const STATE_SIZE: usize = 2;
/// Offsets of the common structure (31:0) and of the queue's notification (63:32).
const STATE_OFFSETS: usize = 3;
/// Samples that found all buffers used.
const STATE_DRY: usize = 4;
/// Sender (63:32) and low half of the sequence number (31:0) of the newest frame.
const STATE_SEQUENCE: usize = 5;
/// Frames with a sequence number that was counted before.
const STATE_REPEATED: usize = 6;
/// Samples that found the device in need of a reset.
const STATE_REFUSED: usize = 7;

/// Nothing bounds a reset in the specification; a device that is software takes no time.
const RESET: Pace = Pace { every_us: 100, deadline_us: 100_000 };

/// What a device does with the buffers of its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Fills them with random numbers.
    Entropy,
    /// Receives frames.
    Network,
    /// Reads sectors.
    Block,
}

/// One kind of virtio device.
pub struct Virtio {
    id: u32,
    name: &'static str,
    device: u16,
    kind: Kind,
    unit: &'static str,
    witness: &'static str,
    /// Room for what the device writes into one buffer.
    buffer_bytes: u64,
    /// Descriptors of one buffer.
    chain: u64,
}

/// Entropy source (5.4). 64 bytes for each buffer, so that a rate limit of 64 bytes lets one pass.
pub static RNG: Virtio = Virtio {
    id: 21,
    name: "virtio-rng",
    device: 0x1044,
    kind: Kind::Entropy,
    unit: "buffers",
    witness: "poisoned buffer overwritten",
    buffer_bytes: 64,
    chain: 1,
};

/// Network card (5.1): its receive queue. A long frame takes several buffers.
pub static NET: Virtio = Virtio {
    id: 22,
    name: "virtio-net",
    device: 0x1041,
    kind: Kind::Network,
    unit: "frames",
    witness: "sequence number",
    buffer_bytes: 256,
    chain: 1,
};

/// Disk (5.2). Its data may be written to where they led when the request was made: the used ring is the witness, and
/// that lies in the canary window alone.
pub static BLK: Virtio = Virtio {
    id: 23,
    name: "virtio-blk",
    device: 0x1042,
    kind: Kind::Block,
    unit: "requests",
    witness: "used ring entry",
    buffer_bytes: 512,
    chain: 3,
};

/// Frames that arrived with a sequence number that was counted before.
#[must_use]
pub fn repeated_frames(stream: &Stream) -> u64 {
    stream.state[STATE_REPEATED]
}

impl Witness for Virtio {
    fn id(&self) -> u32 {
        self.id
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn unit(&self) -> &'static str {
        self.unit
    }

    fn witness(&self) -> &'static str {
        self.witness
    }

    fn round(&self) -> u64 {
        2
    }

    fn data_page(&self) -> u64 {
        // A disk is judged by its used ring: only a fault there is seen.
        if self.kind == Kind::Block { USED_AT } else { BUFFERS_AT }
    }

    fn sample(&self, bus: &mut dyn Bus, stream: &mut Stream) {
        count::sample(self, bus, stream);
    }

    fn overruns(&self, _stream: &Stream) -> u64 {
        // A queue that is used up stops; it does not wrap.
        0
    }

    fn dry_samples(&self, stream: &Stream) -> u64 {
        stream.state[STATE_DRY]
    }

    fn counts_attempts(&self) -> bool {
        false
    }

    fn refusals(&self, stream: &Stream) -> u64 {
        stream.state[STATE_REFUSED]
    }

    fn tried(&self, since: &Stream, now: &Stream) -> u64 {
        let known = |stream: &Stream| stream.totals.attempted.saturating_add(stream.state[STATE_REFUSED]);
        known(now).saturating_sub(known(since))
    }
}

impl Stopper for Virtio {
    fn claims(&self, identity: &Identity) -> bool {
        identity.vendor == 0x1af4 && identity.device == self.device
    }

    /// The one in which every known device has its structures.
    fn bar(&self) -> u8 {
        transport::BAR
    }

    fn stop(
        &self,
        config: &mut dyn ConfigSpace,
        bus: &mut dyn Bus,
        function: Bdf,
        registers: PhysAddr,
    ) -> Result<(), DmaError> {
        let mut function = Function::new(config, function).ok_or(DmaError::Gone)?;
        function.set_bus_master(false);
        transport::reset(bus, registers.plus(transport::common(&mut function)?))
    }
}

impl Endpoint for Virtio {
    fn window_bytes(&self) -> u64 {
        WINDOW_BYTES
    }

    fn rmr_bytes(&self) -> u64 {
        RMR_BYTES
    }
    /// Where notifications go, only a capability says. Here the features can be read, and writing does nothing.
    fn doorbell(&self) -> Doorbell {
        Doorbell::Wide32(DEVICE_FEATURE)
    }

    fn arm(&self, config: &mut dyn ConfigSpace, bus: &mut dyn Bus, stream: &mut Stream) -> Result<(), DmaError> {
        window::check(stream, self.window_bytes(), self.rmr_bytes())?;
        let mut function = Function::new(config, stream.bdf).ok_or(DmaError::Gone)?;
        function.set_bus_master(false);
        function.enable_for_dma()?;
        let armed = self.start(&mut function, bus, stream);
        if armed.is_err() {
            function.set_bus_master(false);
            // The first error is the one to report.
            let _ = transport::common(&mut function).map(|at| transport::reset(bus, stream.registers.plus(at)));
        }
        armed
    }
}

impl Virtio {
    /// Everything between a function found in any state and a device that uses its buffers (3.1.1).
    fn start(&self, function: &mut Function<'_>, bus: &mut dyn Bus, stream: &mut Stream) -> Result<(), DmaError> {
        // Set first: what is counted means nothing without.
        stream.flags |= STREAM_NO_ATTEMPTS;
        stream.totals = Default::default();
        stream.state = [0; 8];
        let device = Transport::find(function, stream.registers)?;
        transport::reset(bus, device.common)?;
        device.negotiate(bus, if self.kind == Kind::Network { MRG_RXBUF } else { 0 })?;
        if self.kind == Kind::Block {
            device.check_disk(function, bus)?;
        }
        let size = device.queue_size(bus)?;
        let buffers = size / self.chain;
        if buffers < 2 {
            return Err(DmaError::Unsupported("the device's queue takes less than two buffers"));
        }
        queue::lay_out(self, bus, stream, buffers);
        let notify = device.set_queue(bus, stream, size)?;
        bus.before_doorbell();
        function.set_bus_master(true);
        bus.write8(device.common.plus(DEVICE_STATUS), ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
        stream.state[STATE_SIZE] = buffers << 32 | size;
        stream.state[STATE_OFFSETS] = notify << 32 | (device.common.0 - stream.registers.0);
        for buffer in 0..buffers {
            queue::give(self, bus, stream, buffer);
        }
        queue::publish(bus, stream);
        Ok(())
    }
}
