//! What is seen of a stream whose device is being stopped: when it was told, what landed since, whether it comes back.

use crate::given;
use addr::PhysAddr;
use arch::{
    bus::{Devices, Ecam},
    timer,
};
use handover::oracle::{Counts, Stream};
use pci::Found;
use scenario::quiesce::Means;

/// One stream's device, from the moment on that it was told to stop.
#[derive(Clone, Copy)]
pub struct Stopping {
    /// By what.
    pub means: Means,
    /// Counter and totals when it was told.
    pub told: u64,
    totals: Counts,
    /// Counter when what was done to it was done; 0: not yet.
    pub done: u64,
    /// The last time that something in its windows was seen to change, while its registers were out of bounds.
    last_change: Option<u64>,
    fingerprint: u64,
    /// Its windows were poisoned after the reset.
    is_poisoned: bool,
}

impl Stopping {
    /// The device is told now; the totals are up to date.
    pub fn begin(means: Means, bus: &mut Devices, stream: &Stream) -> Self {
        let fingerprint = if means.hides() { dma::fingerprint(bus, stream) } else { 0 };
        let told = timer::now();
        let totals = stream.totals;
        Self { means, told, totals, done: 0, last_change: None, fingerprint, is_poisoned: false }
    }

    /// Nobody may ask the device what it has done, or its reset has made it forget.
    pub const fn is_hidden(&self) -> bool {
        self.means.hides() || (self.done != 0 && !matches!(self.means, Means::BusMaster))
    }

    /// Looks at the windows of a device whose registers are out of bounds.
    pub fn look(&mut self, bus: &mut Devices, stream: &Stream) {
        if !self.means.hides() || self.is_poisoned {
            return;
        }
        let fingerprint = dma::fingerprint(bus, stream);
        if fingerprint != self.fingerprint {
            (self.fingerprint, self.last_change) = (fingerprint, Some(timer::now()));
        }
    }

    /// It was done. What lands in the windows of a device that was reset is seen from here on.
    pub fn end(&mut self, bus: &mut Devices, stream: &Stream) {
        self.look(bus, stream);
        self.done = timer::now();
        if self.means != Means::BusMaster {
            dma::poison(bus, stream);
            self.is_poisoned = true;
        }
    }

    /// Something landed after the reset: where.
    pub fn landed(&self, bus: &mut Devices, stream: &Stream) -> Option<PhysAddr> {
        if self.is_poisoned { dma::first_landed(bus, stream) } else { None }
    }

    /// When something was last seen to land that nobody could count.
    pub const fn last_change(&self) -> Option<u64> {
        self.last_change
    }

    /// Ticks from the moment that it was told to the last DMA that was seen to land; `None`: nothing has landed since.
    pub fn last_dma(&self, last_arrival: Option<u64>) -> Option<u64> {
        self.last_change.max(last_arrival)?.checked_sub(self.told).filter(|ticks| *ticks != 0)
    }

    /// Units that landed since, and that were attempted; `None` where the device cannot be asked.
    pub fn moved(&self, totals: &Counts) -> Option<(u64, u64)> {
        let moved = || {
            (
                landed(totals).saturating_sub(landed(&self.totals)),
                totals.attempted.saturating_sub(self.totals.attempted),
            )
        };
        (!self.is_hidden()).then(moved)
    }

    /// The function is there, with its registers where they were.
    pub fn answers(config: &mut Ecam, found: &Found, stream: &Stream) -> bool {
        let Some(driver) = dma::stopper_for(&found.identity) else { return false };
        given::registers(config, found, driver.bar()) == Some(stream.registers)
    }
}

/// Units that landed anywhere.
#[must_use]
pub const fn landed(counts: &Counts) -> u64 {
    counts.delivered.saturating_add(counts.mis_steered)
}
