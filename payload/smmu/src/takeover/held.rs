//! Time between two steps: what happens to DMA in a window of microseconds is seen when the window is held open.

use crate::access::{Access, Barrier, SmmuIndex, Structure, Unbacked, forward};
use addr::PhysAddr;

/// Sits between a policy and the SMMU, and lets the observer look before each step. The policy knows nothing of it.
pub struct Held<'a> {
    hw: &'a mut dyn Access,
    before_step: &'a mut dyn FnMut(),
}

impl<'a> Held<'a> {
    /// Calls `before_step` whenever a step begins.
    pub fn new(hw: &'a mut dyn Access, before_step: &'a mut dyn FnMut()) -> Self {
        Self { hw, before_step }
    }
}

impl Access for Held<'_> {
    fn write32(&mut self, smmu: SmmuIndex, offset: u32, value: u32) {
        self.hw.write32(smmu, offset, value);
    }

    fn step(&mut self, name: &'static str) {
        (self.before_step)();
        self.hw.step(name);
    }

    forward!(self => self.hw);
}
