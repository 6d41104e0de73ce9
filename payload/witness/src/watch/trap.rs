//! One trap of the kernel: where it is carried out, and what of it is logged.

use super::seen::{How, Journal, Seen};
use smmu::access::{Access, SmmuIndex};
use smmu::log::{Entry, Op, What};

/// One trap.
pub(super) struct Trap<'a> {
    pub(super) hw: &'a mut dyn Access,
    /// None where nobody did anything: tables as they were found.
    pub(super) log: Option<&'a mut Journal>,
    pub(super) smmu: SmmuIndex,
    pub(super) pc: u64,
}

impl Trap<'_> {
    /// An entry about one word, now: made before a write and after a read.
    pub(super) fn entry(&mut self, op: Op, what: What, address: u64, value: u64) -> Entry {
        let ticks = self.hw.ticks();
        Entry { ticks, smmu: self.smmu, op, what, address, value, count: 1, stride: 0, unbacked: false }
    }

    pub(super) fn record(&mut self, entry: Entry, how: How, old: Option<u64>) {
        if let Some(log) = &mut self.log {
            log.record(Seen { entry, pc: self.pc, cpu: log.cpu, old, how });
        }
    }
}
