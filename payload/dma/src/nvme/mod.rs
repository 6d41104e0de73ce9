//! NVM Express: deep queues of reads, which the controller works through without the CPU.
//!
//! **Reads only.** An I/O queue is given no opcode but Read, always of the first blocks of one namespace; the admin queue is
//! given Identify, Set Features (number of queues, lost at the reset), the creation of queues, and one asynchronous event
//! request, which is left armed. Nothing writes, formats or sanitizes.
//!
//! **Witness.** A completion queue entry, at its target or in its canary. The data is none: what is on the disk is not known,
//! and QEMU maps data pages when it takes a command and writes them whatever the SMMU says later. One read goes to the same
//! few pages as all others: so deep a queue of so long reads needs little memory.
//!
//! **No attempt count.** No register counts what a controller tries, so that `attempted` and `blocked` stay unknown
//! ([`STREAM_NO_ATTEMPTS`](handover::oracle::STREAM_NO_ATTEMPTS)). In their place stand *signs of refusal*, which do not pass
//! through the SMMU: CSTS.CFS raised, or standing while nothing arrives; reads owed for many times the longest wait so far;
//! and an entry that was passed over: entries are posted in order, so one that stays empty before a written one was
//! posted and lost.
//!
//! **Windows.** One pair of queues; with an identity window two, whose completion queues lie one in each. How finely they alternate
//! is the controller's choice: a loaded QEMU may end tens of reads of one before it turns to the other. Everything that the
//! controller fetches (submission queues, PRP lists) is valid in target and canary.
//!
//! **Function level reset** loses the queues, the feature and the event request: the controller is disabled after it, and the
//! stream is silent until it is armed anew.
//!
//! Documents: NVM Express 1.4, numbers in brackets; NVM Express Base 2.0.

mod admin;
mod count;
mod registers;
mod start;
#[cfg(test)]
mod tests;

use crate::window::{self, Place};
use crate::{Bus, DmaError, Doorbell, Endpoint, Stopper, Witness};
use addr::{Bdf, PhysAddr};
use handover::oracle::Stream;
use pci::{ConfigSpace, Function, Identity};
use registers::*;
use start::{disable, start};

/// Entries of all I/O queues of a kind together, and so of the one pair without an identity window.
const ENTRIES: u64 = 256;
const PAGE: u64 = 0x1000;
/// Pages that reads go to, in turn.
const DATA_PAGES: u64 = 4;
/// The longest read: as many pages as one list names. 255 such reads keep a drive of 1.5 GB/s busy for 170 ms.
const MOST_PAGES: u64 = 256;
/// CAP.TO says up to 127.5 s; a console that is silent for longer than this is taken for dead.
const LONGEST_READY_US: u64 = 20_000_000;

// Layout of the canary window.
const ADMIN_SUBMISSIONS_AT: u64 = 0x0000;
const ADMIN_COMPLETIONS_AT: u64 = 0x1000;
const IDENTIFY_AT: u64 = 0x2000;
/// Two pages, one for each pair of queues.
const LISTS_AT: u64 = 0x3000;
const COMPLETIONS_AT: u64 = 0x5000;
const SUBMISSIONS_AT: u64 = 0x8000;
const DATA_AT: u64 = 0xc000;
const WINDOW_BYTES: u64 = 0x1_0000;
// And of the identity window.
const RMR_COMPLETIONS_AT: u64 = 0;
const RMR_DATA_AT: u64 = 0x1000;
const RMR_BYTES: u64 = 0x5000;

// Indices into `Stream::state`.
/// Entries of one queue (15:0), pairs of queues (23:16), DSTRD (31:24), samples that found all reads of a queue done (62:32),
/// [`SHAPE_FATAL`].
const STATE_SHAPE: usize = 0;
/// Completions posted on the first and on the second pair since they were made. Behind them stand `entries - 1` reads.
const STATE_POSTED: [usize; 2] = [1, 2];
/// Signs of refusal that belong to a queue: of the first (31:0) and of the second pair (63:32). [`SHAPE_FATAL`] is one more.
const STATE_SIGNS: usize = 3;
/// Ticks of the sample that last saw a completion, on the first and on the second pair; 0: none yet.
const STATE_LAST: [usize; 2] = [4, 5];
/// Ticks of the last sample.
const STATE_LOOKED: usize = 6;
/// Tail of the admin submission queue (31:0); the longest wait for a completion, the first of all left out, in microseconds
/// (63:32).
const STATE_TAIL_AND_WAIT: usize = 7;
/// CSTS.CFS was seen.
const SHAPE_FATAL: u64 = 1 << 63;

/// The driver.
pub struct Nvme;

/// What the queues look like.
#[derive(Clone, Copy)]
struct Shape {
    entries: u64,
    pairs: usize,
    stride: u64,
}

impl Shape {
    /// As [`start`] left it; `None` in a stream that was never armed, or whose state is nonsense.
    fn of(stream: &Stream) -> Option<Self> {
        let word = stream.state[STATE_SHAPE];
        let shape = Self {
            entries: word & 0xffff,
            // 1 and 2 are all that is used.
            pairs: (word >> 16 & 3) as usize,
            stride: 4 << (word >> 24 & 0xf),
        };
        (shape.entries.is_power_of_two() && shape.entries * shape.pairs as u64 <= ENTRIES && shape.pairs <= 2)
            .then_some(shape)
    }

    /// Slot of the `number`th entry of a queue. Queues have a power of two of them.
    const fn slot(self, number: u64) -> u64 {
        number & self.owed()
    }

    /// Reads that are under way on a queue: all that it takes.
    const fn owed(self) -> u64 {
        self.entries.wrapping_sub(1)
    }

    /// Offset of the tail doorbell of submission queue `queue`; the completion queue's head doorbell follows it.
    fn doorbell(self, queue: u64) -> u64 {
        DOORBELLS + 2 * queue * self.stride
    }
}

/// Place of an entry of a completion queue. The second one lies in the identity window.
fn completion_place(stream: &Stream, pair: usize, slot: u64) -> Place {
    let (window, at) = if pair == 0 { (&stream.window, COMPLETIONS_AT) } else { (&stream.rmr, RMR_COMPLETIONS_AT) };
    Place::new(window, at + slot * COMPLETION_BYTES)
}

/// Place of a command.
fn command_place(stream: &Stream, shape: Shape, pair: usize, slot: u64) -> Place {
    let first = pair as u64 * shape.entries;
    Place::new(&stream.window, SUBMISSIONS_AT + (first + slot) * COMMAND_BYTES)
}

/// Place of the data of a read's `page`th page.
fn data_place(stream: &Stream, pair: usize, page: u64) -> Place {
    let (window, at) = if pair == 0 { (&stream.window, DATA_AT) } else { (&stream.rmr, RMR_DATA_AT) };
    Place::new(window, at + page % DATA_PAGES * PAGE)
}

/// Command identifier of the `number`th read of a queue. No two that are under way have the same, whatever order they
/// end in; FFFFh is not to be used (Base 2.0, 3.3.3.1).
const fn identifier(number: u64) -> u16 {
    number as u16 & 0x7fff
}

impl Witness for Nvme {
    fn id(&self) -> u32 {
        10
    }

    fn name(&self) -> &'static str {
        "nvme"
    }

    fn unit(&self) -> &'static str {
        "completions"
    }

    fn witness(&self) -> &'static str {
        "completion queue entry"
    }

    fn counts_attempts(&self) -> bool {
        false
    }

    fn round(&self) -> u64 {
        2
    }

    /// The completion queue's: the witness.
    fn data_page(&self) -> u64 {
        COMPLETIONS_AT
    }

    fn sample(&self, bus: &mut dyn Bus, stream: &mut Stream) {
        count::sample(bus, stream);
    }

    fn overruns(&self, _stream: &Stream) -> u64 {
        // There are fewer reads than entries for their completions.
        0
    }

    fn dry_samples(&self, stream: &Stream) -> u64 {
        (stream.state[STATE_SHAPE] & !SHAPE_FATAL) >> 32
    }

    fn refusals(&self, stream: &Stream) -> u64 {
        count::signs(stream, 0) + count::signs(stream, 1) + u64::from(count::is_fatal(stream))
    }

    fn tried(&self, since: &Stream, now: &Stream) -> u64 {
        count::tried(since, now)
    }
}

impl Stopper for Nvme {
    fn claims(&self, identity: &Identity) -> bool {
        // Mass storage, non-volatile memory, NVM Express I/O controller.
        identity.class == 0x01_0802
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
        disable(bus, registers)
    }
}

impl Endpoint for Nvme {
    fn window_bytes(&self) -> u64 {
        WINDOW_BYTES
    }

    fn rmr_bytes(&self) -> u64 {
        RMR_BYTES
    }

    /// The admin submission queue's tail: doorbells cannot be read (3.1.16).
    fn doorbell(&self) -> Doorbell {
        Doorbell::Kept32 { at: DOORBELLS, state: STATE_TAIL_AND_WAIT }
    }

    fn arm(&self, config: &mut dyn ConfigSpace, bus: &mut dyn Bus, stream: &mut Stream) -> Result<(), DmaError> {
        window::check(stream, self.window_bytes(), self.rmr_bytes())?;
        let mut function = Function::new(config, stream.bdf).ok_or(DmaError::Gone)?;
        function.set_bus_master(false);
        function.enable_for_dma()?;
        let armed = start(&mut function, bus, stream);
        if armed.is_err() {
            function.set_bus_master(false);
            // The first error is the one to report.
            let _ = disable(bus, stream.registers);
        }
        armed
    }
}
