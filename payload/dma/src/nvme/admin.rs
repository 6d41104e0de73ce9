//! The admin queue: one command at a time, and what the controller says of itself and its namespaces.

use super::start::Read;
use super::*;
use crate::poll::{Pace, ticks_in};
use crate::window::{POISON, POISON_WORD};

/// Entries of each admin queue. All that is ever sent, and one more: no slot is used twice.
const ADMIN_ENTRIES: u64 = 64;
/// How long one command may take. Drives answer in microseconds to milliseconds, and some first finish their own start.
const ANSWER: Pace = Pace { every_us: 20, deadline_us: 5_000_000 };
/// Namespaces that are looked at.
const MOST_NAMESPACES: u64 = 16;

/// A submission entry (4.2).
pub(super) struct Command(pub(super) [u8; COMMAND_BYTES as usize]);

impl Command {
    pub(super) fn new(opcode: u8, namespace: u32) -> Self {
        let mut command = Self([0; COMMAND_BYTES as usize]);
        command.0[0] = opcode;
        command.put(4, &namespace.to_le_bytes());
        command
    }

    /// Puts bytes at an offset; callers stay inside.
    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn with(mut self, dwords: &[(usize, u32)]) -> Self {
        for (index, value) in dwords {
            self.put(4 * index, &value.to_le_bytes());
        }
        self
    }
}

/// The first and the last dword of a completion entry, from where it was written; `None`: nowhere yet. The last one comes
/// from one aligned read of eight bytes, so that it is not half an old one.
fn entry(bus: &mut dyn Bus, place: Place) -> Option<[u32; 2]> {
    bus.after_index_read();
    [Some(place.target), place.canary].into_iter().flatten().find_map(|at| {
        let mut bytes = [0; COMPLETION_BYTES as usize];
        bus.copy_from(at, &mut bytes);
        let dword = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        (dword(12) != POISON_WORD).then(|| [dword(0), dword(12)])
    })
}

/// A namespace with blocks to read.
pub(super) struct Disk {
    namespace: u32,
    blocks: u64,
    block_bytes: u64,
}

impl Disk {
    /// The longest read of its first blocks that fills at most so many pages.
    pub(super) fn read(&self, most_pages: u64) -> Read {
        let blocks = (most_pages * PAGE / self.block_bytes).min(self.blocks);
        // At most 256 pages of at least 512 bytes a block: 2,048.
        Read { namespace: self.namespace, blocks: blocks as u16, pages: (blocks * self.block_bytes).div_ceil(PAGE) }
    }
}

/// The way to the controller.
pub(super) struct Admin {
    stream: Stream,
    shape: Shape,
    /// Commands sent.
    sent: u64,
}

impl Admin {
    /// Empty queues. The controller fetches from the submission queue: commands that it would find there too early are
    /// none (opcode 0 is a deletion, of queue 0, which is refused).
    pub(super) fn lay_out(bus: &mut dyn Bus, stream: &Stream, shape: Shape) -> Self {
        let submissions = Place::new(&stream.window, ADMIN_SUBMISSIONS_AT);
        for slot in 0..ADMIN_ENTRIES {
            submissions.plus(slot * COMMAND_BYTES).publish(bus, &[0; COMMAND_BYTES as usize]);
        }
        Place::new(&stream.window, ADMIN_COMPLETIONS_AT).poison(bus, PAGE);
        Self { stream: *stream, shape, sent: 0 }
    }

    /// Tells the controller where they are.
    pub(super) fn program(&self, bus: &mut dyn Bus) {
        let at = self.stream.registers;
        let last = ADMIN_ENTRIES as u32 - 1;
        bus.write32(at.plus(AQA), last | last << 16);
        for (register, offset) in [(ASQ, ADMIN_SUBMISSIONS_AT), (ACQ, ADMIN_COMPLETIONS_AT)] {
            let base = Place::new(&self.stream.window, offset).iova.0;
            bus.write32(at.plus(register), base as u32);
            bus.write32(at.plus(register + 4), (base >> 32) as u32);
        }
    }

    /// Puts a command into the queue.
    fn submit(&mut self, bus: &mut dyn Bus, mut command: Command) -> Result<u64, DmaError> {
        let slot = self.sent;
        if slot >= ADMIN_ENTRIES - 1 {
            return Err(DmaError::Unsupported("more admin commands than entries"));
        }
        self.sent += 1;
        command.put(2, &identifier(slot).to_le_bytes());
        let place = Place::new(&self.stream.window, ADMIN_SUBMISSIONS_AT + slot * COMMAND_BYTES);
        place.publish(bus, &command.0);
        bus.before_doorbell();
        bus.write32(self.stream.registers.plus(self.shape.doorbell(0)), self.sent as u32);
        Ok(slot)
    }

    /// Sends a command and waits for its end: dword 0 of the completion, and the status field without the phase.
    fn ask(&mut self, bus: &mut dyn Bus, command: Command) -> Result<(u32, u16), DmaError> {
        let slot = self.submit(bus, command)?;
        let place = Place::new(&self.stream.window, ADMIN_COMPLETIONS_AT + slot * COMPLETION_BYTES);
        let limit = ticks_in(bus, ANSWER.deadline_us);
        let start = bus.ticks();
        while entry(bus, place).is_none() {
            if bus.ticks().wrapping_sub(start) > limit && entry(bus, place).is_none() {
                let (what, after_us) = ("NVMe admin completion", ANSWER.deadline_us);
                return Err(DmaError::Timeout { what, at: place.target, last: POISON_WORD, after_us });
            }
            bus.sleep_us(ANSWER.every_us);
        }
        // Once more: what was read before its end may be older than that.
        let [result, last] = entry(bus, place).unwrap_or_default();
        bus.write32(self.stream.registers.plus(self.shape.doorbell(0) + self.shape.stride), self.sent as u32);
        // Bit 16 is the phase.
        Ok((result, (last >> 17) as u16))
    }

    /// The same, where anything but success is an error.
    fn demand(&mut self, bus: &mut dyn Bus, command: Command, refused: &'static str) -> Result<u32, DmaError> {
        match self.ask(bus, command)? {
            (result, 0) => Ok(result),
            _ => Err(DmaError::Unsupported(refused)),
        }
    }

    /// Identify. `false`: the controller refuses.
    fn identify(&mut self, bus: &mut dyn Bus, what: u32, namespace: u32) -> Result<bool, DmaError> {
        let data = Place::new(&self.stream.window, IDENTIFY_AT);
        data.poison(bus, PAGE);
        let mut command = Command::new(IDENTIFY, namespace).with(&[(10, what)]);
        command.put(24, &data.iova.0.to_le_bytes());
        Ok(self.ask(bus, command)?.1 == 0)
    }

    /// Eight bytes of what Identify brought, as a number.
    fn identified(&self, bus: &mut dyn Bus, at: u64) -> u64 {
        let data = Place::new(&self.stream.window, IDENTIFY_AT);
        let mut bytes = [0; 8];
        let is_canary = data.canary.filter(|canary| bus.first_other(*canary, PAGE, POISON).is_some());
        bus.copy_from(is_canary.unwrap_or(data.target).plus(at), &mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// The longest read that the controller takes, in pages.
    pub(super) fn most_pages(&mut self, bus: &mut dyn Bus) -> Result<u64, DmaError> {
        if !self.identify(bus, CNS_CONTROLLER, 0)? {
            return Err(DmaError::Unsupported("Identify is refused"));
        }
        if self.identified(bus, CNTRLTYPE) & 0xff > 1 {
            return Err(DmaError::Unsupported("it is no I/O controller"));
        }
        let mdts = self.identified(bus, MDTS) & 0xff;
        Ok(if mdts == 0 || mdts >= 8 { MOST_PAGES } else { 1 << mdts })
    }

    /// The first active namespace with blocks; namespace 1 where the controller knows no list (before 1.1).
    pub(super) fn find_disk(&mut self, bus: &mut dyn Bus) -> Result<Disk, DmaError> {
        let mut namespaces = [0; MOST_NAMESPACES as usize];
        if self.identify(bus, CNS_ACTIVE, 0)? {
            for (index, namespace) in (0..).zip(&mut namespaces) {
                *namespace = self.identified(bus, 4 * index) as u32;
            }
        } else {
            namespaces[0] = 1;
        }
        // The list ends with a zero.
        for namespace in namespaces.into_iter().take_while(|namespace| *namespace != 0) {
            if let Some(disk) = self.look_at(bus, namespace)? {
                return Ok(disk);
            }
        }
        Err(DmaError::Unsupported("no active namespace has blocks of 512 to 4096 bytes without metadata"))
    }

    fn look_at(&mut self, bus: &mut dyn Bus, namespace: u32) -> Result<Option<Disk>, DmaError> {
        if !self.identify(bus, CNS_NAMESPACE, namespace)? {
            return Ok(None);
        }
        let blocks = self.identified(bus, NSZE);
        let [formats, used, ..] = self.identified(bus, NLBAF).to_le_bytes();
        // Four bits, and two more where there are more than 16 formats.
        let more = if formats < 16 { 0 } else { used >> 1 & 0x30 };
        let format = self.identified(bus, LBAF0 + 4 * u64::from(used & 0xf | more));
        let (metadata, exponent) = (format & 0xffff, format >> 16 & 0xff);
        let fits = blocks != 0 && metadata == 0 && (9..=12).contains(&exponent);
        Ok(fits.then(|| Disk { namespace, blocks, block_bytes: 1 << exponent }))
    }

    /// Asks for so many pairs of I/O queues.
    pub(super) fn ask_for_queues(&mut self, bus: &mut dyn Bus, pairs: usize) -> Result<(), DmaError> {
        let less_one = pairs as u32 - 1;
        let command = Command::new(SET_FEATURES, 0).with(&[(10, FEATURE_QUEUES), (11, less_one | less_one << 16)]);
        let granted = self.demand(bus, command, "it grants no I/O queues")?;
        if granted & 0xffff < less_one || granted >> 16 < less_one {
            return Err(DmaError::Unsupported("one I/O queue pair, where an RMR needs two"));
        }
        Ok(())
    }

    /// Creates a completion queue and its submission queue.
    pub(super) fn create_pair(&mut self, bus: &mut dyn Bus, pair: usize) -> Result<(), DmaError> {
        let id = pair as u32 + 1;
        let size = id | (self.shape.entries as u32 - 1) << 16;
        let mut command = Command::new(CREATE_COMPLETION_QUEUE, 0).with(&[(10, size), (11, CONTIGUOUS)]);
        command.put(24, &completion_place(&self.stream, pair, 0).iova.0.to_le_bytes());
        self.demand(bus, command, "it makes no completion queue")?;
        let mut command = Command::new(CREATE_SUBMISSION_QUEUE, 0).with(&[(10, size), (11, CONTIGUOUS | id << 16)]);
        command.put(24, &command_place(&self.stream, self.shape, pair, 0).iova.0.to_le_bytes());
        self.demand(bus, command, "it makes no submission queue")?;
        Ok(())
    }

    /// Leaves one asynchronous event request armed, as a kernel does (5.2). Tail of the queue after that.
    pub(super) fn leave_event_request(&mut self, bus: &mut dyn Bus) -> u64 {
        // The queue has room: one that is full was an error before.
        let _ = self.submit(bus, Command::new(ASYNCHRONOUS_EVENT_REQUEST, 0));
        self.sent
    }
}
