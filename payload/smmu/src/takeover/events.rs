//! What reads the event queue where a policy leaves it on: the interrupt handler of a kernel, polled here.

use super::common;
use crate::access::{Access, SmmuIndex};
use crate::event::Counts;
use crate::queue::EventQueue;
use crate::spec::event::Event;
use crate::spec::registers::{self as reg, Gerror};

/// Reads and counts events, and makes room for more.
#[derive(Clone, Debug)]
pub struct EventHandler {
    smmu: SmmuIndex,
    queue: EventQueue,
    counts: Counts,
    is_lossy: bool,
}

impl EventHandler {
    /// For a queue that was just enabled.
    #[must_use]
    pub const fn new(smmu: SmmuIndex, queue: EventQueue, counts: Counts) -> Self {
        Self { smmu, queue, counts, is_lossy: false }
    }

    /// Reads all that is there, one queue's length at most, and acknowledges it. A storm is bounded by how often this is
    /// called: what does not fit meanwhile is lost, and said to be.
    pub fn handle(&mut self, hw: &mut dyn Access) {
        self.handle_each(hw, &mut |_| ());
    }

    /// The same; `each` sees every event, too.
    pub fn handle_each(&mut self, hw: &mut dyn Access, each: &mut dyn FnMut(Event)) {
        let Self { queue, counts, .. } = self;
        let drained = queue.drain(hw, u32::MAX, &mut |event| {
            counts.add(event);
            each(event);
        });
        let active = hw.read32(self.smmu, reg::GERROR) ^ hw.read32(self.smmu, reg::GERRORN);
        // A full queue sets OVFLG (7.4). QEMU's raises EVENTQ_ABT_ERR instead, and records nothing until it is acknowledged.
        self.is_lossy |= drained.overflowed || drained.inconsistent || Gerror::from(active).eventq_abt_err();
        if drained.events != 0 || drained.overflowed {
            self.queue.acknowledge(hw, &drained);
        }
        common::acknowledge_active(hw, self.smmu, active);
    }

    /// What was counted so far.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// There was more.
    #[must_use]
    pub const fn is_lossy(&self) -> bool {
        self.is_lossy
    }

    /// What was counted, and whether there was more.
    #[must_use]
    pub fn into_counts(self) -> (Counts, bool) {
        (self.counts, self.is_lossy)
    }
}
