//! The bounded access log: what a policy did to the SMMUs, in order, as the judge reads it.

use crate::access::{Access, Barrier, SmmuIndex, Structure, Unbacked};
use crate::spec::registers;
use addr::PhysAddr;
use alloc::vec::Vec;

/// Kind of an entry. The numbers are part of the console format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Op {
    /// 32-bit register read.
    RegRead32 = 0,
    /// 32-bit register write.
    RegWrite32 = 1,
    /// 64-bit register read.
    RegRead64 = 2,
    /// 64-bit register write.
    RegWrite64 = 3,
    /// Structure word read.
    Load = 4,
    /// Structure word written.
    Store = 5,
    /// Barrier.
    Barrier = 6,
    /// A step of the policy begins.
    Step = 7,
    /// The same structure word written `count` times, `stride` bytes apart.
    Fill = 8,
}

impl Op {
    /// Changes a register or memory.
    #[must_use]
    pub const fn is_write(self) -> bool {
        matches!(self, Self::RegWrite32 | Self::RegWrite64 | Self::Store | Self::Fill)
    }
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A register; the entry's address is its offset.
    Register,
    /// A word of a structure; the entry's address is physical.
    Structure(Structure),
    /// A barrier.
    Barrier(Barrier),
    /// A step, by name.
    Step(&'static str),
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// System counter: before a write, after a read; of the first access where several are merged.
    pub ticks: u64,
    /// The SMMU; 0 for barriers and steps, which belong to none.
    pub smmu: SmmuIndex,
    /// Kind of access.
    pub op: Op,
    /// Register, structure, barrier or step.
    pub what: What,
    /// Register offset or physical address, of the first access.
    pub address: u64,
    /// Value read or written, by the first access. A load that met no memory has 0 here and `unbacked` set.
    pub value: u64,
    /// Accesses merged into this entry: a poll that read the same value, a scan or a fill.
    pub count: u32,
    /// Bytes from one word of a scan or fill to the next; 0 for anything else.
    pub stride: u32,
    /// The load met no memory.
    pub unbacked: bool,
}

impl Entry {
    /// Register, structure, barrier or step in words.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.what {
            What::Register => u32::try_from(self.address).map_or("?", registers::name),
            What::Structure(structure) => structure_name(structure),
            What::Barrier(barrier) => barrier_name(barrier),
            What::Step(name) => name,
        }
    }
}

/// What a [`Log`] holds.
pub trait Merge {
    /// Takes `next` in where it continues a poll or a scan; tells whether it did.
    fn merge(&mut self, next: &Self) -> bool;
}

impl Merge for Entry {
    fn merge(&mut self, next: &Self) -> bool {
        if self.op != next.op || self.smmu != next.smmu || self.what != next.what || self.unbacked || next.unbacked {
            return false;
        }
        let Some(count) = self.count.checked_add(1) else { return false };
        match self.op {
            Op::RegRead32 | Op::RegRead64 if self.address == next.address && self.value == next.value => {}
            Op::Load => {
                let Some(distance) = next.address.checked_sub(self.address) else { return false };
                // A second load sets the stride: the next word, or the first word of the next STE or CD.
                let stride = if self.count == 1 { distance } else { u64::from(self.stride) };
                if !matches!(stride, 8 | 64) || stride.checked_mul(u64::from(self.count)) != Some(distance) {
                    return false;
                }
                self.stride = stride as u32;
            }
            _ => return false,
        }
        self.count = count;
        true
    }
}

/// Name of a structure.
#[must_use]
pub const fn structure_name(structure: Structure) -> &'static str {
    match structure {
        Structure::L1Std => "L1STD",
        Structure::Ste => "STE",
        Structure::L1Cd => "L1CD",
        Structure::Cd => "CD",
        Structure::Command => "CMD",
        Structure::Event => "EVENT",
        Structure::Pte => "PTE",
    }
}

/// Name of a barrier.
#[must_use]
pub const fn barrier_name(barrier: Barrier) -> &'static str {
    match barrier {
        Barrier::PublishStructure => "publish-structure",
        Barrier::BeforeDoorbell => "before-doorbell",
        Barrier::AfterIndexRead => "after-index-read",
    }
}

/// A log of bounded size, allocated once.
#[derive(Clone, Debug)]
pub struct Log<T = Entry> {
    entries: Vec<T>,
    capacity: usize,
    dropped: u64,
}

impl<T: Merge> Log<T> {
    /// An empty log of at most `capacity` entries.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { entries: Vec::with_capacity(capacity), capacity, dropped: 0 }
    }

    /// What was recorded, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[T] {
        &self.entries
    }

    /// Something was left out: checks that depend on the log are not covered.
    #[must_use]
    pub const fn overflowed(&self) -> bool {
        self.dropped != 0
    }

    /// Accesses left out.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Empties the log for the next cycle and keeps its memory.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.dropped = 0;
    }

    /// Adds an entry, or merges it with the last one.
    pub fn record(&mut self, entry: T) {
        // After the first loss nothing is merged or added, so that the log is an unbroken beginning.
        if self.dropped == 0 && self.entries.last_mut().is_some_and(|last| last.merge(&entry)) {
            return;
        }
        self.add(entry);
    }

    /// Adds an entry for itself.
    pub fn add(&mut self, entry: T) {
        if self.dropped != 0 || self.entries.len() >= self.capacity {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.entries.push(entry);
    }
}

/// An [`Access`] that records everything that passes through it.
pub struct Logged<'a, A: Access + ?Sized> {
    hw: &'a mut A,
    log: &'a mut Log,
}

impl<'a, A: Access + ?Sized> Logged<'a, A> {
    /// Records the accesses to `hw` in `log`.
    pub const fn new(hw: &'a mut A, log: &'a mut Log) -> Self {
        Self { hw, log }
    }

    fn record(&mut self, ticks: u64, smmu: SmmuIndex, op: Op, what: What, address: u64, value: u64) {
        self.log.record(Entry { ticks, smmu, op, what, address, value, count: 1, stride: 0, unbacked: false });
    }
}

impl<A: Access + ?Sized> Access for Logged<'_, A> {
    fn read32(&mut self, smmu: SmmuIndex, offset: u32) -> u32 {
        let value = self.hw.read32(smmu, offset);
        let ticks = self.hw.ticks();
        self.record(ticks, smmu, Op::RegRead32, What::Register, offset.into(), value.into());
        value
    }

    fn write32(&mut self, smmu: SmmuIndex, offset: u32, value: u32) {
        let ticks = self.hw.ticks();
        self.hw.write32(smmu, offset, value);
        self.record(ticks, smmu, Op::RegWrite32, What::Register, offset.into(), value.into());
    }

    fn read64(&mut self, smmu: SmmuIndex, offset: u32) -> u64 {
        let value = self.hw.read64(smmu, offset);
        let ticks = self.hw.ticks();
        self.record(ticks, smmu, Op::RegRead64, What::Register, offset.into(), value);
        value
    }

    fn write64(&mut self, smmu: SmmuIndex, offset: u32, value: u64) {
        let ticks = self.hw.ticks();
        self.hw.write64(smmu, offset, value);
        self.record(ticks, smmu, Op::RegWrite64, What::Register, offset.into(), value);
    }

    fn load(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr) -> Result<u64, Unbacked> {
        let result = self.hw.load(smmu, what, at);
        let ticks = self.hw.ticks();
        self.log.record(Entry {
            ticks,
            smmu,
            op: Op::Load,
            what: What::Structure(what),
            address: at.0,
            value: result.unwrap_or(0),
            count: 1,
            stride: 0,
            unbacked: result.is_err(),
        });
        result
    }

    fn store(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr, value: u64) {
        let ticks = self.hw.ticks();
        self.hw.store(smmu, what, at, value);
        self.record(ticks, smmu, Op::Store, What::Structure(what), at.0, value);
    }

    fn fill(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr, stride: u32, count: u32, value: u64) {
        let ticks = self.hw.ticks();
        self.hw.fill(smmu, what, at, stride, count, value);
        self.log.record(Entry {
            ticks,
            smmu,
            op: Op::Fill,
            what: What::Structure(what),
            address: at.0,
            value,
            count,
            stride,
            unbacked: false,
        });
    }

    fn swap(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr, value: u64) -> Result<u64, Unbacked> {
        let ticks = self.hw.ticks();
        let old = self.hw.swap(smmu, what, at, value);
        self.record(ticks, smmu, Op::Store, What::Structure(what), at.0, value);
        old
    }

    fn barrier(&mut self, barrier: Barrier) {
        self.hw.barrier(barrier);
        let ticks = self.hw.ticks();
        self.record(ticks, SmmuIndex(0), Op::Barrier, What::Barrier(barrier), 0, barrier as u64);
    }

    fn ticks(&mut self) -> u64 {
        self.hw.ticks()
    }

    fn frequency(&self) -> u64 {
        self.hw.frequency()
    }

    fn pause(&mut self) {
        self.hw.pause();
    }

    fn step(&mut self, name: &'static str) {
        let ticks = self.hw.ticks();
        self.record(ticks, SmmuIndex(0), Op::Step, What::Step(name), 0, 0);
        self.hw.step(name);
    }
}

#[cfg(test)]
mod tests;
