//! One SMMU: each access to its registers is carried out, logged, and followed to queue and tables.

use super::queue::{Announced, Queue};
use super::seen::How;
use super::tables::{Region, Tables};
use super::trap::Trap;
use super::{FRAME_BYTES, WatchError};
use addr::PhysAddr;
use smmu::access::{SmmuIndex, Structure};
use smmu::checker::Found;
use smmu::log::{Entry, Op, What};

/// An SMMU that is watched.
#[derive(Clone, Debug)]
pub struct Unit {
    smmu: SmmuIndex,
    frame: PhysAddr,
    queue: Queue,
    tables: Tables,
}

impl Unit {
    /// The SMMU whose registers begin at `frame`, as it was found.
    #[must_use]
    pub fn new(frame: PhysAddr, found: &Found) -> Self {
        Self { smmu: found.smmu, frame, queue: Queue::new(found), tables: Tables::new(found) }
    }

    pub(super) const fn frame(&self) -> PhysAddr {
        self.frame
    }

    pub(super) const fn smmu(&self) -> SmmuIndex {
        self.smmu
    }

    pub(super) fn watch_found(&mut self, trap: &mut Trap<'_>) {
        self.tables.watch_found(trap);
    }

    pub(super) fn tell_found(&self, trap: &mut Trap<'_>) {
        self.tables.tell_found(trap);
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = &Region> {
        self.tables.regions()
    }

    pub(super) fn has_table_at(&self, at: PhysAddr) -> bool {
        self.tables.find(at.0).is_some()
    }

    pub(super) const fn generation(&self) -> u64 {
        self.tables.generation()
    }

    pub(super) const fn is_partial(&self) -> bool {
        self.tables.is_partial()
    }

    /// Reads a register.
    pub(super) fn read(&mut self, trap: &mut Trap<'_>, offset: u32, bytes: u8) -> Result<u64, WatchError> {
        let (op, value) = match legal(offset, bytes)? {
            Width::Word => (Op::RegRead32, u64::from(trap.hw.read32(self.smmu, offset))),
            Width::Long => (Op::RegRead64, trap.hw.read64(self.smmu, offset)),
        };
        for (offset, word) in halves(offset, bytes, value) {
            self.queue.read(offset, word);
        }
        let entry = trap.entry(op, What::Register, offset.into(), value);
        trap.record(entry, How::Trapped, None);
        Ok(value)
    }

    /// Writes a register, after what the write announces or publishes is in the log.
    pub(super) fn write(&mut self, trap: &mut Trap<'_>, offset: u32, bytes: u8, value: u64) -> Result<(), WatchError> {
        let width = legal(offset, bytes)?;
        for (offset, word) in halves(offset, bytes, value) {
            if let Some(announced) = self.queue.write(offset, word) {
                self.log_commands(trap, announced);
            }
            self.tables.register(trap, offset, word);
        }
        let entry = match width {
            Width::Word => {
                let entry = trap.entry(Op::RegWrite32, What::Register, offset.into(), value & 0xFFFF_FFFF);
                trap.hw.write32(self.smmu, offset, value as u32);
                entry
            }
            Width::Long => {
                let entry = trap.entry(Op::RegWrite64, What::Register, offset.into(), value);
                trap.hw.write64(self.smmu, offset, value);
                entry
            }
        };
        trap.record(entry, How::Trapped, None);
        Ok(())
    }

    /// Loads from a table.
    pub(super) fn load(&self, trap: &mut Trap<'_>, at: PhysAddr, bytes: u8) -> Result<u64, WatchError> {
        self.tables.load(trap, at, bytes)
    }

    /// Stores to a table.
    pub(super) fn store(&mut self, trap: &mut Trap<'_>, at: PhysAddr, bytes: u8, value: u64) -> Result<(), WatchError> {
        self.tables.store(trap, at, bytes, value)
    }

    /// A word of a table that was stored while nobody looked.
    pub(super) fn stored(&mut self, trap: &mut Trap<'_>, at: PhysAddr, values: [u64; 2]) -> Result<(), WatchError> {
        self.tables.stored(trap, at, values)
    }

    /// Commands as the stores that somebody must have made.
    fn log_commands(&self, trap: &mut Trap<'_>, announced: Announced) {
        for command in self.queue.addresses(announced) {
            for at in [command, command.plus(8)] {
                let word = trap.hw.load(self.smmu, Structure::Command, at);
                // Where nothing answers nothing was stored: the checker then says that nobody wrote it.
                let op = if word.is_ok() { Op::Store } else { Op::Load };
                let entry = trap.entry(op, What::Structure(Structure::Command), at.0, word.unwrap_or(0));
                trap.record(Entry { unbacked: word.is_err(), ..entry }, How::Announced, None);
            }
        }
    }
}

/// Widths that every SMMU takes (IHI 0070, 6.2).
#[derive(Clone, Copy)]
enum Width {
    Word,
    Long,
}

fn legal(offset: u32, bytes: u8) -> Result<Width, WatchError> {
    let is_inside = u64::from(offset) + u64::from(bytes) <= FRAME_BYTES;
    match bytes {
        4 if is_inside && offset.is_multiple_of(4) => Ok(Width::Word),
        8 if is_inside && offset.is_multiple_of(8) => Ok(Width::Long),
        _ => Err(WatchError::Illegal { offset, bytes }),
    }
}

/// An access as accesses of 32 bits: bits 63:32 of a 64-bit register are at its offset + 4 (6.2).
fn halves(offset: u32, bytes: u8, value: u64) -> impl Iterator<Item = (u32, u32)> {
    let high = (bytes == 8).then_some((offset.wrapping_add(4), (value >> 32) as u32));
    core::iter::once((offset, value as u32)).chain(high)
}
