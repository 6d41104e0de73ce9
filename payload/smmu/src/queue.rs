//! Command and event queues (IHI 0070, 3.5).

use crate::access::{Access, Barrier, SmmuIndex, Structure, Unbacked};
use crate::frames::Frames;
use crate::poll::Deadline;
use crate::spec::command::{COMMAND_BYTES, Command, SYNC};
use crate::spec::event::{EVENT_BYTES, Event};
use crate::spec::registers::{self as reg, Gerror, Idr1, QueueBase};
use addr::PhysAddr;

/// Largest queue that IDR1 may announce (6.3.2): 2^19 entries.
const MAX_LOG2SIZE: u8 = 19;

/// What a command queue did not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// No memory for the queue.
    #[error("no memory for a queue of {bytes} bytes")]
    NoMemory {
        /// Bytes asked for.
        bytes: u64,
    },
    /// Commands were not consumed in time.
    #[error("commands not consumed after {microseconds} µs: CMDQ_PROD {prod:#x}, CMDQ_CONS {cons:#x}")]
    TimedOut {
        /// Value of CMDQ_PROD.
        prod: u32,
        /// Last value of CMDQ_CONS.
        cons: u32,
        /// How long it was polled.
        microseconds: u64,
    },
    /// The SMMU refuses a command, and consumes no more until CMDQ_ERR is acknowledged (7.1).
    #[error("command error {code} at CMDQ_CONS {cons:#x}")]
    Refused {
        /// CMDQ_CONS.ERR: 1 CERROR_ILL, 2 CERROR_ABT, 3 CERROR_ATC_INV_SYNC.
        code: u8,
        /// Last value of CMDQ_CONS.
        cons: u32,
    },
}

/// Bytes and value of `*_BASE` for a queue of 2^`log2size` entries; `None` where there is no memory.
fn allocate(frames: &mut dyn Frames, log2size: u8, entry_bytes: u64) -> Result<QueueBase, QueueError> {
    let bytes = entry_bytes << log2size;
    // 6.3.26, 6.3.29: the base is a multiple of the size of the queue, and of 32 bytes.
    let base = frames.allocate(bytes, bytes.max(32)).ok_or(QueueError::NoMemory { bytes })?;
    Ok(QueueBase::new().with_log2size(log2size).with_addr(base.0).with_allocate(true))
}

/// A new EVENTQ or PRIQ: memory and the value of its `*_BASE` register, 2^min(`announced`, `cap`) entries.
///
/// # Errors
/// [`QueueError::NoMemory`].
pub fn output_queue(
    frames: &mut dyn Frames,
    announced: u8,
    cap: u8,
    entry_bytes: u64,
) -> Result<QueueBase, QueueError> {
    allocate(frames, announced.min(cap).min(MAX_LOG2SIZE), entry_bytes)
}

/// A command queue of ours.
#[derive(Clone, Debug)]
pub struct CommandQueue {
    smmu: SmmuIndex,
    base: QueueBase,
    timeout_us: u64,
    /// Index with wrap bit, as in CMDQ_PROD.
    prod: u32,
    /// As last read from CMDQ_CONS, without ERR.
    cons: u32,
}

impl CommandQueue {
    /// Takes memory for at most 2^`cap` entries, at least two: a whole IDR1.CMDQS would be 8 MiB on some parts.
    ///
    /// # Errors
    /// [`QueueError::NoMemory`].
    pub fn new(
        smmu: SmmuIndex,
        frames: &mut dyn Frames,
        idr1: Idr1,
        cap: u8,
        timeout_us: u64,
    ) -> Result<Self, QueueError> {
        let log2size = idr1.cmdqs().min(cap.max(1)).min(MAX_LOG2SIZE);
        let base = allocate(frames, log2size, COMMAND_BYTES)?;
        Ok(Self { smmu, base, timeout_us, prod: 0, cons: 0 })
    }

    /// Value of CMDQ_BASE.
    #[must_use]
    pub const fn base(&self) -> QueueBase {
        self.base
    }

    /// Writes CMDQ_BASE, CMDQ_PROD and CMDQ_CONS, in this order; CR0.CMDQEN and its acknowledge are 0 (6.3.26 to 6.3.28).
    pub fn program(&mut self, hw: &mut dyn Access) {
        (self.prod, self.cons) = (0, 0);
        hw.write64(self.smmu, reg::CMDQ_BASE, self.base.into());
        hw.write32(self.smmu, reg::CMDQ_PROD, 0);
        hw.write32(self.smmu, reg::CMDQ_CONS, 0);
    }

    const fn size(&self) -> u32 {
        1 << self.base.log2size()
    }

    /// Index bits and the wrap bit.
    const fn mask(&self) -> u32 {
        2 * self.size() - 1
    }

    const fn used(&self) -> u32 {
        self.prod.wrapping_sub(self.cons) & self.mask()
    }

    /// Reads CMDQ_CONS until at most `used` entries are left.
    fn wait(&mut self, hw: &mut dyn Access, used: u32) -> Result<(), QueueError> {
        let deadline = Deadline::after(hw, self.timeout_us);
        loop {
            let late = deadline.passed(hw);
            let cons = hw.read32(self.smmu, reg::CMDQ_CONS);
            self.cons = cons & self.mask();
            if self.used() <= used {
                return Ok(());
            }
            // CMDQ_CONS.ERR means something only while CMDQ_ERR is active (6.3.28).
            let code = (cons >> 24 & 0x7F) as u8;
            if code != 0 && self.error_active(hw) {
                return Err(QueueError::Refused { code, cons });
            }
            if late {
                return Err(QueueError::TimedOut { prod: self.prod, cons, microseconds: self.timeout_us });
            }
            hw.pause();
        }
    }

    fn error_active(&self, hw: &mut dyn Access) -> bool {
        let active = hw.read32(self.smmu, reg::GERROR) ^ hw.read32(self.smmu, reg::GERRORN);
        Gerror::from(active).cmdq_err()
    }

    fn push(&mut self, hw: &mut dyn Access, command: Command) -> Result<(), QueueError> {
        if self.used() >= self.size() {
            self.ring(hw);
            self.wait(hw, self.size() - 1)?;
        }
        let index = self.prod & (self.size() - 1);
        let at = PhysAddr(self.base.addr()).plus(u64::from(index) * COMMAND_BYTES);
        hw.store(self.smmu, Structure::Command, at, command[0]);
        hw.store(self.smmu, Structure::Command, at.plus(8), command[1]);
        self.prod = self.prod.wrapping_add(1) & self.mask();
        Ok(())
    }

    fn ring(&self, hw: &mut dyn Access) {
        hw.barrier(Barrier::BeforeDoorbell);
        hw.write32(self.smmu, reg::CMDQ_PROD, self.prod);
    }

    /// Hands commands over with one PROD write (more where the queue is too small) and does not wait for them.
    ///
    /// # Errors
    /// [`QueueError`] when the queue stays full.
    pub fn issue(&mut self, hw: &mut dyn Access, commands: &[Command]) -> Result<(), QueueError> {
        for command in commands {
            self.push(hw, *command)?;
        }
        self.ring(hw);
        Ok(())
    }

    /// Hands commands and a CMD_SYNC over with one PROD write, as Linux does, and waits until all are complete: a
    /// consumed CMD_SYNC says so of everything before it (4.7.3).
    ///
    /// # Errors
    /// [`QueueError`] when they are refused or not consumed in time.
    pub fn issue_and_sync(&mut self, hw: &mut dyn Access, commands: &[Command]) -> Result<(), QueueError> {
        for command in commands {
            self.push(hw, *command)?;
        }
        self.push(hw, SYNC)?;
        self.ring(hw);
        self.wait(hw, 0)
    }

    /// Waits until everything issued so far is complete.
    ///
    /// # Errors
    /// As [`Self::issue_and_sync`].
    pub fn sync(&mut self, hw: &mut dyn Access) -> Result<(), QueueError> {
        self.issue_and_sync(hw, &[])
    }
}

/// What [`EventQueue::drain`] saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Events handed out.
    pub events: u32,
    /// Events left because of the limit.
    pub left: u32,
    /// EVENTQ_PROD.OVFLG differs from EVENTQ_CONS.OVACKFLG: events were lost (7.4).
    pub overflowed: bool,
    /// PROD and CONS are further apart than the queue is long.
    pub inconsistent: bool,
    /// An entry is in no memory; reading ended there.
    pub unbacked: Option<PhysAddr>,
}

/// A reader of an event queue that may be someone else's, live or dead. It writes no register unless asked to.
#[derive(Clone, Copy, Debug)]
pub struct EventQueue {
    smmu: SmmuIndex,
    base: QueueBase,
    /// EVENTQ_CONS: index of the next entry to read with its wrap bit, and OVACKFLG.
    cons: u32,
}

impl EventQueue {
    /// A queue of ours that was programmed empty.
    #[must_use]
    pub const fn new(smmu: SmmuIndex, base: QueueBase) -> Self {
        Self { smmu, base, cons: 0 }
    }

    /// Reads where the queue is and how far its owner had read it.
    pub fn from_registers(hw: &mut dyn Access, smmu: SmmuIndex) -> Self {
        let base = QueueBase::from(hw.read64(smmu, reg::EVENTQ_BASE));
        let idr1 = Idr1::from(hw.read32(smmu, reg::IDR1));
        // 6.3.29: a larger LOG2SIZE behaves as IDR1.EVENTQS.
        let log2size = base.log2size().min(idr1.eventqs()).min(MAX_LOG2SIZE);
        Self { smmu, base: base.with_log2size(log2size), cons: hw.read32(smmu, reg::EVENTQ_CONS) }
    }

    /// Address and LOG2SIZE, the latter as the SMMU takes it.
    #[must_use]
    pub const fn base(&self) -> QueueBase {
        self.base
    }

    /// Reads at most `limit` events up to EVENTQ_PROD.
    pub fn drain(&mut self, hw: &mut dyn Access, limit: u32, each: &mut dyn FnMut(Event)) -> Drained {
        let prod = hw.read32(self.smmu, reg::EVENTQ_PROD);
        self.drain_to(hw, prod, limit, each)
    }

    /// Reads at most `limit` events up to `prod`, a value of EVENTQ_PROD from before the queue was abandoned.
    pub fn drain_to(&mut self, hw: &mut dyn Access, prod: u32, limit: u32, each: &mut dyn FnMut(Event)) -> Drained {
        let size = 1_u32 << self.base.log2size();
        let mask = 2 * size - 1;
        let overflowed = (prod ^ self.cons) >> 31 != 0;
        let used = prod.wrapping_sub(self.cons) & mask;
        let mut drained = Drained { overflowed, inconsistent: used > size, ..Drained::default() };
        hw.barrier(Barrier::AfterIndexRead);
        let used = used.min(size);
        while drained.events < used.min(limit) {
            let at = PhysAddr(self.base.addr()).plus(u64::from(self.cons & (size - 1)) * EVENT_BYTES);
            match self.read(hw, at) {
                Ok(event) => each(event),
                Err(Unbacked(at)) => {
                    drained.unbacked = Some(at);
                    break;
                }
            }
            self.cons = self.cons & 1 << 31 | self.cons.wrapping_add(1) & mask;
            drained.events += 1;
        }
        drained.left = used - drained.events;
        drained
    }

    fn read(&self, hw: &mut dyn Access, at: PhysAddr) -> Result<Event, Unbacked> {
        let mut event = [0; 4];
        for (word, offset) in event.iter_mut().zip((0..).step_by(8)) {
            *word = hw.load(self.smmu, Structure::Event, at.plus(offset))?;
        }
        Ok(event)
    }

    /// Tells the SMMU how far the queue was read, and acknowledges an overflow: EVENTQ_CONS may be written at any time.
    pub fn acknowledge(&mut self, hw: &mut dyn Access, drained: &Drained) {
        if drained.overflowed {
            self.cons ^= 1 << 31;
        }
        hw.write32(self.smmu, reg::EVENTQ_CONS, self.cons);
    }
}

#[cfg(test)]
mod tests;
