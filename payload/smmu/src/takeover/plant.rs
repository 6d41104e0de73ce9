//! Faults planted on purpose: proof that the checks see a broken rule.

use crate::access::{Access, Barrier, SmmuIndex, Structure, Unbacked, forward};
use crate::poll::until;
use crate::spec::registers::{self as reg, Cr0};
use crate::spec::ste::STE_BYTES;
use addr::PhysAddr;

/// How long the planted CR0 write waits for its acknowledge.
const ACK_US: u64 = 100_000;

/// A rule to break, once per takeover and SMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// A CR0 write without SMMUEN goes before the policy's first, and is acknowledged: translation is off for a moment.
    SmmuenCleared,
    /// Every word of a live STE is stored again with the value that it has: no effect, and forbidden.
    SteRewritten {
        /// Address of the STE.
        at: PhysAddr,
    },
}

/// Sits between a policy and the log, and does what the policy does not.
pub struct Sabotaged<'a, A: Access + ?Sized> {
    hw: &'a mut A,
    smmu: SmmuIndex,
    plant: Option<Plant>,
}

impl<'a, A: Access + ?Sized> Sabotaged<'a, A> {
    /// Breaks the rule at the first CR0 write to `smmu`.
    pub const fn new(hw: &'a mut A, smmu: SmmuIndex, plant: Plant) -> Self {
        Self { hw, smmu, plant: Some(plant) }
    }

    /// The rule was broken.
    #[must_use]
    pub const fn done(&self) -> bool {
        self.plant.is_none()
    }

    fn before_cr0(&mut self, value: u32) {
        let hw = &mut *self.hw;
        match self.plant {
            Some(Plant::SmmuenCleared) => {
                let cleared = u32::from(Cr0::from(value).with_smmuen(false));
                hw.write32(self.smmu, reg::CR0, cleared);
                // Without the acknowledge it may have had no effect, and is no plant.
                if until(&mut By(hw), self.smmu, reg::CR0ACK, u32::MAX, cleared, ACK_US).is_ok() {
                    self.plant = None;
                }
            }
            Some(Plant::SteRewritten { at }) => {
                for word in (0..STE_BYTES).step_by(8) {
                    let Ok(value) = hw.load(self.smmu, Structure::Ste, at.plus(word)) else { return };
                    hw.store(self.smmu, Structure::Ste, at.plus(word), value);
                }
                self.plant = None;
            }
            None => {}
        }
    }
}

/// A sized handle, to lend an unsized [`Access`] as a trait object.
struct By<'a, A: Access + ?Sized>(&'a mut A);

impl<A: Access + ?Sized> Access for By<'_, A> {
    fn write32(&mut self, smmu: SmmuIndex, offset: u32, value: u32) {
        self.0.write32(smmu, offset, value);
    }
    forward!(self => self.0);

    fn step(&mut self, name: &'static str) {
        self.0.step(name);
    }
}

impl<A: Access + ?Sized> Access for Sabotaged<'_, A> {
    fn write32(&mut self, smmu: SmmuIndex, offset: u32, value: u32) {
        if smmu == self.smmu && offset == reg::CR0 {
            self.before_cr0(value);
        }
        self.hw.write32(smmu, offset, value);
    }
    forward!(self => self.hw);

    fn step(&mut self, name: &'static str) {
        self.hw.step(name);
    }
}
