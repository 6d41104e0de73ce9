//! When a takeover is over, and when its watch: what a kernel writes to SMMU_CR0 cuts the phases in which DMA is counted.
//!
//! A policy of ours says when it is done; a kernel only does. Blackout ends whenever an SMMU that it enabled says so in
//! SMMU_CR0ACK: each later time is a better end, as a kernel that adopts writes CR0 several times, and one that resets enables
//! its SMMUs one after the other. The watch ends where the kernel disables an SMMU that it had enabled: that is its shutdown.

use alloc::vec::Vec;
use smmu::access::SmmuIndex;
use smmu::log::{Entry, Op, What};
use smmu::spec::registers::{CR0, CR0ACK, Cr0};

/// A cut between two phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The takeover is over; an earlier such cut was none.
    Takeover,
    /// The watch is over, and nothing cuts any more.
    End,
}

/// What the kernel has done to one SMMU.
#[derive(Clone, Copy, Debug)]
struct Unit {
    smmu: SmmuIndex,
    /// It wrote CR0 with SMMUEN, and the SMMU has not yet said that it took it.
    is_asked: bool,
    /// The SMMU translates because the kernel wanted it.
    is_enabled: bool,
}

/// The kernel's course so far.
#[derive(Clone, Debug, Default)]
pub struct Course {
    units: Vec<Unit>,
    is_over: bool,
}

impl Course {
    /// Takes what the kernel did next; each entry of the log once, in order.
    pub fn take(&mut self, entry: &Entry) -> Option<Cut> {
        let word = |register: u32| match entry.op {
            _ if entry.what != What::Register => None,
            Op::RegRead32 | Op::RegWrite32 => (entry.address == u64::from(register)).then_some(entry.value as u32),
            // CR0ACK is the upper half of a long at CR0.
            Op::RegRead64 | Op::RegWrite64 if entry.address == u64::from(CR0) => {
                Some(if register == CR0 { entry.value as u32 } else { (entry.value >> 32) as u32 })
            }
            _ => None,
        };
        let is_on = |register| word(register).map(|word| Cr0::from(word).smmuen());
        if entry.op.is_write() { self.write(entry.smmu, is_on(CR0)?) } else { self.read(entry.smmu, is_on(CR0ACK)?) }
    }

    fn write(&mut self, smmu: SmmuIndex, is_on: bool) -> Option<Cut> {
        let unit = match self.units.iter().position(|unit| unit.smmu == smmu) {
            Some(index) => self.units.get_mut(index)?,
            None => {
                self.units.push(Unit { smmu, is_asked: false, is_enabled: false });
                self.units.last_mut()?
            }
        };
        unit.is_asked = is_on;
        if is_on || !core::mem::replace(&mut unit.is_enabled, false) || self.is_over {
            return None;
        }
        self.is_over = true;
        Some(Cut::End)
    }

    fn read(&mut self, smmu: SmmuIndex, is_on: bool) -> Option<Cut> {
        let unit = self.units.iter_mut().find(|unit| unit.smmu == smmu && unit.is_asked && is_on)?;
        (unit.is_asked, unit.is_enabled) = (false, true);
        (!self.is_over).then_some(Cut::Takeover)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec;

    fn entry(smmu: u8, op: Op, offset: u32, value: u64) -> Entry {
        Entry {
            ticks: 0,
            smmu: SmmuIndex(smmu),
            op,
            what: What::Register,
            address: offset.into(),
            value,
            count: 1,
            stride: 0,
            unbacked: false,
        }
    }

    const fn w(value: u64) -> (u8, Op, u32, u64) {
        (0, Op::RegWrite32, CR0, value)
    }

    const fn ack(value: u64) -> (u8, Op, u32, u64) {
        (0, Op::RegRead32, CR0ACK, value)
    }

    /// Where the cuts are, by place of the access.
    fn cuts(accesses: &[(u8, Op, u32, u64)]) -> Vec<(usize, Cut)> {
        let mut course = Course::default();
        let mut cut = |(at, (smmu, op, offset, value)): (usize, &(u8, Op, u32, u64))| {
            Some((at, course.take(&entry(*smmu, *op, *offset, *value))?))
        };
        accesses.iter().enumerate().filter_map(&mut cut).collect()
    }

    #[test]
    fn a_kernel_that_adopts_is_done_at_its_last_acknowledged_write() {
        // Linux, adoption series v7; its shutdown clears SMMUEN.
        let seen = [w(1), ack(1), w(9), ack(1), ack(9), w(9), ack(9), w(0), ack(0)];
        assert_eq!(cuts(&seen), vec![(1, Cut::Takeover), (3, Cut::Takeover), (6, Cut::Takeover), (7, Cut::End)]);
    }

    #[test]
    fn the_clear_that_begins_a_reset_ends_nothing() {
        // Debian's kernel as a kdump kernel.
        let seen = [w(0), ack(0), w(8), ack(8), w(0xC), ack(0xC), w(9), ack(0xC), ack(9), w(0), ack(0)];
        assert_eq!(cuts(&seen), vec![(8, Cut::Takeover), (9, Cut::End)]);
    }

    #[test]
    fn what_is_not_acknowledged_cuts_nothing() {
        assert_eq!(cuts(&[w(1), ack(0), ack(0)]), vec![]);
        assert_eq!(cuts(&[ack(1), (0, Op::RegRead32, CR0, 1)]), vec![], "nobody wrote");
        assert_eq!(cuts(&[w(1), w(0), ack(1)]), vec![], "taken back before it was acknowledged");
        assert_eq!(cuts(&[]), vec![]);
    }

    #[test]
    fn of_two_smmus_the_second_is_no_shutdown_of_the_first() {
        let other = |(_, op, offset, value): (u8, Op, u32, u64)| (1, op, offset, value);
        let seen =
            [w(0), ack(0), w(9), ack(9), other(w(0)), other(ack(0)), other(w(9)), other(ack(9)), other(w(0)), w(0)];
        assert_eq!(cuts(&seen), vec![(3, Cut::Takeover), (7, Cut::Takeover), (8, Cut::End)]);
        assert_eq!(cuts(&[w(9), ack(9), w(0), w(9), ack(9), w(0)]).len(), 2, "nothing cuts after the end");
    }

    #[test]
    fn a_long_holds_both_registers_and_other_registers_neither() {
        let seen = [(0, Op::RegWrite64, CR0, 9), (0, Op::RegRead64, CR0, 9 << 32 | 9)];
        assert_eq!(cuts(&seen), vec![(1, Cut::Takeover)]);
        assert_eq!(cuts(&[w(9), (0, Op::RegRead32, CR0ACK + 4, 9), (0, Op::RegRead64, CR0ACK + 4, 9 << 32)]), vec![]);
    }
}
