//! Breaks a policy: the n-th thing that it does to hardware or memory is dropped, doubled, delayed or altered.

use addr::PhysAddr;
use smmu::access::{Access, Barrier, SmmuIndex, Structure, Unbacked};
use smmu::log::{barrier_name, structure_name};
use smmu::spec::registers;

/// What is done to one write, store, fill or barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// It is not done.
    Drop,
    /// It is done twice.
    Double,
    /// It is done after the access that follows it.
    Swap,
    /// Bits of its value are inverted. Nothing happens to a barrier.
    Alter(u64),
}

/// What the software does to hardware or memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A 32-bit register write.
    Write32(SmmuIndex, u32, u32),
    /// A 64-bit register write.
    Write64(SmmuIndex, u32, u64),
    /// A structure word.
    Store(SmmuIndex, Structure, PhysAddr, u64),
    /// Many structure words.
    Fill(SmmuIndex, Structure, PhysAddr, u32, u32, u64),
    /// A barrier.
    Barrier(Barrier),
}

impl Action {
    /// Register, structure or barrier.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Write32(_, offset, _) | Self::Write64(_, offset, _) => registers::name(*offset),
            Self::Store(_, what, ..) | Self::Fill(_, what, ..) => structure_name(*what),
            Self::Barrier(barrier) => barrier_name(*barrier),
        }
    }

    /// What is written; 0 for a barrier.
    #[must_use]
    pub const fn value(&self) -> u64 {
        match self {
            Self::Write32(_, _, value) => *value as u64,
            Self::Write64(_, _, value) | Self::Store(.., value) | Self::Fill(.., value) => *value,
            Self::Barrier(_) => 0,
        }
    }

    fn altered(mut self, bits: u64) -> Self {
        match &mut self {
            Self::Write32(_, _, value) => *value ^= bits as u32,
            Self::Write64(_, _, value) | Self::Store(.., value) | Self::Fill(.., value) => *value ^= bits,
            Self::Barrier(_) => {}
        }
        self
    }

    fn perform(self, hw: &mut dyn Access) {
        match self {
            Self::Write32(smmu, offset, value) => hw.write32(smmu, offset, value),
            Self::Write64(smmu, offset, value) => hw.write64(smmu, offset, value),
            Self::Store(smmu, what, at, value) => hw.store(smmu, what, at, value),
            Self::Fill(smmu, what, at, stride, count, value) => hw.fill(smmu, what, at, stride, count, value),
            Self::Barrier(barrier) => hw.barrier(barrier),
        }
    }
}

/// Sits between a policy and the machine.
pub struct Mutant<'a> {
    hw: &'a mut dyn Access,
    /// Which action is changed, and how.
    change: Option<(usize, Mutation)>,
    seen: usize,
    held: Option<Action>,
    /// The action that was changed.
    pub changed: Option<Action>,
    /// The step in which it was.
    pub step: &'static str,
    now: &'static str,
}

impl<'a> Mutant<'a> {
    /// Changes the action of number `at`, counted from 0.
    pub const fn new(hw: &'a mut dyn Access, at: usize, mutation: Mutation) -> Self {
        Self { hw, change: Some((at, mutation)), seen: 0, held: None, changed: None, step: "", now: "" }
    }

    /// Changes nothing, and counts.
    pub const fn counting(hw: &'a mut dyn Access) -> Self {
        Self { hw, change: None, seen: 0, held: None, changed: None, step: "", now: "" }
    }

    /// Actions so far.
    #[must_use]
    pub const fn actions(&self) -> usize {
        self.seen
    }

    fn act(&mut self, action: Action) {
        let index = self.seen;
        self.seen += 1;
        let mutation = self.change.filter(|(at, _)| *at == index).map(|(_, mutation)| mutation);
        let Some(mutation) = mutation else {
            action.perform(self.hw);
            self.release();
            return;
        };
        (self.changed, self.step) = (Some(action), self.now);
        match mutation {
            Mutation::Drop => {}
            Mutation::Double => {
                action.perform(self.hw);
                action.perform(self.hw);
            }
            Mutation::Swap => self.held = Some(action),
            Mutation::Alter(bits) => action.altered(bits).perform(self.hw),
        }
    }

    /// The access after a swapped one has passed.
    fn release(&mut self) {
        if let Some(action) = self.held.take() {
            action.perform(self.hw);
        }
    }
}

impl Access for Mutant<'_> {
    fn read32(&mut self, smmu: SmmuIndex, offset: u32) -> u32 {
        let value = self.hw.read32(smmu, offset);
        self.release();
        value
    }

    fn write32(&mut self, smmu: SmmuIndex, offset: u32, value: u32) {
        self.act(Action::Write32(smmu, offset, value));
    }

    fn read64(&mut self, smmu: SmmuIndex, offset: u32) -> u64 {
        let value = self.hw.read64(smmu, offset);
        self.release();
        value
    }

    fn write64(&mut self, smmu: SmmuIndex, offset: u32, value: u64) {
        self.act(Action::Write64(smmu, offset, value));
    }

    fn load(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr) -> Result<u64, Unbacked> {
        let value = self.hw.load(smmu, what, at);
        self.release();
        value
    }

    fn store(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr, value: u64) {
        self.act(Action::Store(smmu, what, at, value));
    }

    fn fill(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr, stride: u32, count: u32, value: u64) {
        self.act(Action::Fill(smmu, what, at, stride, count, value));
    }

    fn swap(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr, value: u64) -> Result<u64, Unbacked> {
        let old = self.hw.swap(smmu, what, at, value);
        self.release();
        old
    }

    fn barrier(&mut self, barrier: Barrier) {
        self.act(Action::Barrier(barrier));
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
        self.now = name;
        self.hw.step(name);
    }
}
