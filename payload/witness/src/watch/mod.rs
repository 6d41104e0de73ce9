//! What a foreign kernel does to the SMMUs, as entries of the log that our own policies write.
//!
//! Whoever runs at EL2 unmaps the register frames in stage 2, makes the pages of [`Witness::pages`] read-only, and hands each
//! access that traps to [`Witness::load`] or [`Witness::store`]: it is carried out and logged. Commands lie in the kernel's
//! own memory and are read when SMMU_CMDQ_PROD announces them; a table is read as a whole when something begins to point to
//! it, because nobody saw how it was filled.

mod frame;
mod queue;
mod seen;
mod tables;
mod trap;

pub use frame::Unit;
pub use seen::{How, Seen};
pub use tables::{Owner, Region};

use addr::PhysAddr;
use alloc::vec::Vec;
use core::ops::Range;
use seen::Journal;
use smmu::access::{Access, Unbacked};
use smmu::log::Log;
use thiserror::Error;
use trap::Trap;

/// Bytes of a register frame: page 0 and page 1 (IHI 0070, 6.1).
pub const FRAME_BYTES: u64 = 0x2_0000;

/// The access was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WatchError {
    /// It belongs to no frame and no table: a neighbour on a page of a table, if the page is watched at all.
    #[error("{0:#x} is in no watched table and no register frame")]
    Unwatched(u64),
    /// An illegal register access (IHI 0070, 6.2): what an SMMU makes of it is CONSTRAINED UNPREDICTABLE.
    #[error("an access of {bytes} bytes at register offset {offset:#x}: an SMMU takes 4 or 8 bytes, aligned")]
    Illegal {
        /// Offset in the frame.
        offset: u32,
        /// Bytes.
        bytes: u8,
    },
    /// It is no part of one 64-bit word of a table.
    #[error("an access of {bytes} bytes at {address:#x} crosses a word of a table")]
    Crossing {
        /// Physical address.
        address: u64,
        /// Bytes.
        bytes: u8,
    },
    /// Nothing answers where a table was.
    #[error(transparent)]
    Unbacked(#[from] Unbacked),
}

/// All SMMUs of the machine, and the log.
#[derive(Clone, Debug)]
pub struct Witness {
    units: Vec<Unit>,
    journal: Journal,
}

impl Witness {
    /// Watches these SMMUs, and the tables that they are found with; `capacity` entries of the log are allocated now.
    pub fn new(hw: &mut dyn Access, units: impl IntoIterator<Item = Unit>, capacity: usize) -> Self {
        let mut units: Vec<Unit> = units.into_iter().collect();
        for unit in &mut units {
            unit.watch_found(&mut Trap { hw, log: None, smmu: unit.smmu(), pc: 0 });
        }
        Self { units, journal: Journal { log: Log::with_capacity(capacity), closed: 0, cpu: 0, beyond: None } }
    }

    /// Logs the crashed kernel's structures as they are, as loads that nobody made: to be called before a kernel runs.
    pub fn tell_found(&mut self, hw: &mut dyn Access) {
        for unit in &self.units {
            unit.tell_found(&mut Trap { hw, log: Some(&mut self.journal), smmu: unit.smmu(), pc: 0 });
        }
    }

    /// From here on the CPU with this affinity traps.
    pub const fn running_on(&mut self, cpu: u64) {
        self.journal.cpu = cpu;
    }

    /// The one that trapped last.
    #[must_use]
    pub const fn cpu(&self) -> u64 {
        self.journal.cpu
    }

    /// What was seen, in order.
    #[must_use]
    pub const fn log(&self) -> &Log<Seen> {
        &self.journal.log
    }

    /// Nothing of it changes any more: it was told. A poll that goes on is an entry of its own.
    pub fn close_log(&mut self) {
        self.journal.closed = self.log().entries().len();
    }

    /// The last access to a register for which the log has no room, once: what it does to the course of the kernel is known all
    /// the same.
    pub const fn take_beyond(&mut self) -> Option<Seen> {
        self.journal.beyond.take()
    }

    /// The tables that are watched. Every page that one of them lies on belongs read-only into stage 2.
    pub fn tables(&self) -> impl Iterator<Item = &Region> {
        self.units.iter().flat_map(Unit::tables)
    }

    /// The pages of 4 KiB that they lie on, as ranges that may overlap.
    pub fn pages(&self) -> impl Iterator<Item = Range<u64>> {
        self.tables().map(|region| region.target.start & !0xFFF..(region.end() + 0xFFF) & !0xFFF)
    }

    /// Changes whenever [`Witness::pages`] does.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.units.iter().fold(0, |sum, unit| sum.wrapping_add(unit.generation()))
    }

    /// Some table is not watched, or not to its end: there were too many, or it was too long.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.units.iter().any(Unit::is_partial)
    }

    /// Carries a trapped load out: the bytes read, zero-extended.
    ///
    /// # Errors
    /// [`WatchError`]; then nothing was read, nor logged.
    pub fn load(&mut self, hw: &mut dyn Access, pc: u64, at: PhysAddr, bytes: u8) -> Result<u64, WatchError> {
        let (unit, offset) = self.unit_at(at)?;
        let Some(unit) = self.units.get_mut(unit) else { return Err(WatchError::Unwatched(at.0)) };
        let mut trap = Trap { hw, log: Some(&mut self.journal), smmu: unit.smmu(), pc };
        match offset {
            Some(offset) => unit.read(&mut trap, offset, bytes),
            None => unit.load(&mut trap, at, bytes),
        }
    }

    /// What a table holds there, zero-extended. Nobody has loaded it.
    ///
    /// # Errors
    /// [`WatchError`]; [`WatchError::Unwatched`] of a register.
    pub fn peek(&self, hw: &mut dyn Access, at: PhysAddr, bytes: u8) -> Result<u64, WatchError> {
        let (unit, None) = self.unit_at(at)? else { return Err(WatchError::Unwatched(at.0)) };
        let Some(unit) = self.units.get(unit) else { return Err(WatchError::Unwatched(at.0)) };
        unit.load(&mut Trap { hw, log: None, smmu: unit.smmu(), pc: 0 }, at, bytes)
    }

    /// Whether a register of an SMMU's is there.
    #[must_use]
    pub fn has_register_at(&self, at: PhysAddr) -> bool {
        matches!(self.unit_at(at), Ok((_, Some(_))))
    }

    /// Carries a trapped store out; of `value` the lower `bytes` count.
    ///
    /// # Errors
    /// [`WatchError`]; then nothing was written, nor logged.
    pub fn store(
        &mut self,
        hw: &mut dyn Access,
        pc: u64,
        at: PhysAddr,
        bytes: u8,
        value: u64,
    ) -> Result<(), WatchError> {
        let (unit, offset) = self.unit_at(at)?;
        let Some(unit) = self.units.get_mut(unit) else { return Err(WatchError::Unwatched(at.0)) };
        let mut trap = Trap { hw, log: Some(&mut self.journal), smmu: unit.smmu(), pc };
        match offset {
            Some(offset) => unit.write(&mut trap, offset, bytes, value),
            None => unit.store(&mut trap, at, bytes, value),
        }
    }

    /// Logs a word of a table that was stored while nobody looked: what it held, and what it holds.
    ///
    /// # Errors
    /// [`WatchError`] of what is no such word.
    pub fn stored(&mut self, hw: &mut dyn Access, pc: u64, at: PhysAddr, values: [u64; 2]) -> Result<(), WatchError> {
        let (unit, None) = self.unit_at(at)? else { return Err(WatchError::Unwatched(at.0)) };
        let Some(unit) = self.units.get_mut(unit) else { return Err(WatchError::Unwatched(at.0)) };
        unit.stored(&mut Trap { hw, log: Some(&mut self.journal), smmu: unit.smmu(), pc }, at, values)
    }

    /// Whose frame, with the offset, or whose table lies at an address.
    fn unit_at(&self, at: PhysAddr) -> Result<(usize, Option<u32>), WatchError> {
        let frame = |unit: &Unit| at.0.checked_sub(unit.frame().0).filter(|offset| *offset < FRAME_BYTES);
        let found = self.units.iter().enumerate().find_map(|(index, unit)| match frame(unit) {
            Some(offset) => Some((index, Some(offset as u32))),
            None => unit.has_table_at(at).then_some((index, None)),
        });
        found.ok_or(WatchError::Unwatched(at.0))
    }
}

#[cfg(test)]
mod tests;
