//! The command queue: which entries a write announces (IHI 0070, 3.5.1, 6.3.26 to 6.3.28).

use addr::PhysAddr;
use smmu::checker::Found;
use smmu::spec::command::COMMAND_BYTES;
use smmu::spec::registers::{self as reg, Cr0, Idr1, QueueBase};

/// Base and indices as they were written last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    base: u64,
    /// IDR1.CMDQS: a larger LOG2SIZE behaves as this.
    most: u8,
    prod: u32,
    cons: u32,
    is_enabled: bool,
}

/// Entries that the SMMU may fetch from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    first: u32,
    count: u32,
}

impl Queue {
    pub(super) fn new(found: &Found) -> Self {
        Self {
            base: found.cmdq_base,
            most: Idr1::from(found.idr1).cmdqs().min(19),
            prod: found.cmdq_prod,
            cons: found.cmdq_cons,
            is_enabled: Cr0::from(found.cr0).cmdqen(),
        }
    }

    /// Takes the write of a 32-bit register, or of a half of a 64-bit one, that is about to happen.
    pub(super) fn write(&mut self, offset: u32, word: u32) -> Option<Announced> {
        const BASE_HIGH: u32 = reg::CMDQ_BASE + 4;
        let wide = u64::from(word);
        match offset {
            reg::CMDQ_BASE => self.base = self.base & !0xFFFF_FFFF | wide,
            BASE_HIGH => self.base = self.base & 0xFFFF_FFFF | wide << 32,
            reg::CMDQ_CONS => self.cons = word,
            reg::CMDQ_PROD => {
                let first = core::mem::replace(&mut self.prod, word);
                return self.is_enabled.then(|| self.between(first, word)).flatten();
            }
            reg::CR0 => {
                let was_enabled = core::mem::replace(&mut self.is_enabled, Cr0::from(word).cmdqen());
                // What lies between the indices when the queue is switched on goes out then.
                return (self.is_enabled && !was_enabled).then(|| self.between(self.cons, self.prod)).flatten();
            }
            _ => {}
        }
        None
    }

    /// Notes how far the SMMU has read: a queue that is switched on again begins there.
    pub(super) const fn read(&mut self, offset: u32, word: u32) {
        if offset == reg::CMDQ_CONS {
            self.cons = word;
        }
    }

    fn size(&self) -> u32 {
        1 << QueueBase::from(self.base).log2size().min(self.most)
    }

    /// From one index with wrap bit to another; more than the queue holds is not announced.
    fn between(&self, first: u32, end: u32) -> Option<Announced> {
        let count = end.wrapping_sub(first) & (2 * self.size() - 1);
        (count != 0).then(|| Announced { first, count: count.min(self.size()) })
    }

    /// Where announced commands lie.
    pub(super) fn addresses(&self, announced: Announced) -> impl Iterator<Item = PhysAddr> + use<> {
        let (base, mask) = (QueueBase::from(self.base).addr(), self.size() - 1);
        let at =
            move |step: u32| base.wrapping_add(u64::from(announced.first.wrapping_add(step) & mask) * COMMAND_BYTES);
        (0..announced.count).map(move |step| PhysAddr(at(step)))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const BASE: u64 = 0x4100_0000;

    fn queue(log2size: u64, cr0: u32, index: u32) -> Queue {
        let cmdq_base = BASE | log2size;
        Queue::new(&Found { idr1: 8 << 21, cr0, cmdq_base, cmdq_prod: index, cmdq_cons: index, ..Found::default() })
    }

    fn announced(queue: &mut Queue, offset: u32, word: u32) -> Vec<u64> {
        let announced = queue.write(offset, word);
        announced.map_or_else(Vec::new, |some| queue.addresses(some).map(|at| (at.0 - BASE) / 16).collect())
    }

    #[test]
    fn a_queue_that_is_off_announces_when_it_is_switched_on() {
        let mut queue = queue(3, 0, 0);
        assert_eq!(announced(&mut queue, reg::CMDQ_PROD, 2), []);
        assert_eq!(announced(&mut queue, reg::CR0, 8), [0, 1]);
        assert_eq!(announced(&mut queue, reg::CR0, 9), [], "it was on");
        assert_eq!(announced(&mut queue, reg::CMDQ_PROD, 3), [2]);
        assert_eq!(announced(&mut queue, reg::CR0, 1), []);
        queue.read(reg::CMDQ_CONS, 3);
        assert_eq!(announced(&mut queue, reg::CR0, 9), [], "all of it was consumed");
    }

    #[test]
    fn an_index_that_runs_round_announces_the_queue_once() {
        let mut queue = queue(3, 8, 0);
        assert_eq!(announced(&mut queue, reg::CMDQ_PROD, 12), [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn a_base_in_halves_is_one_base_and_its_size_is_bounded() {
        let mut queue = queue(3, 8, 0);
        queue.write(reg::CMDQ_BASE, 0x4200_001F);
        queue.write(reg::CMDQ_BASE + 4, 1);
        let all = queue.write(reg::CMDQ_PROD, 0x100).map(|all| queue.addresses(all).collect::<Vec<_>>());
        let all = all.unwrap_or_default();
        assert_eq!((all.len(), all.first()), (256, Some(&PhysAddr(0x1_4200_0000))), "2^8 entries by IDR1");
    }

    proptest! {
        /// Against counting one by one.
        #[test]
        fn entries_between_two_indices_are_counted_round(log2size in 0_u64..=8, first: u32, steps in 0_u32..256) {
            let size = 1_u32 << log2size;
            let steps = steps % (size + 1);
            let first = first % (2 * size);
            let mut queue = queue(log2size, 8, first);
            let expected: Vec<u64> = (0..steps).map(|step| u64::from((first + step) % size)).collect();
            prop_assert_eq!(announced(&mut queue, reg::CMDQ_PROD, (first + steps) % (2 * size)), expected);
        }
    }
}
