//! Memory as two observers see it: the CPU, which sees its own stores at once, and the SMMU, which need not.

use crate::choice::{Choices, Freedom};
use crate::memory::Memory;
use addr::PhysAddr;
use std::collections::BTreeSet;
use std::ops::Range;

/// Stores that may be invisible at one time; the oldest becomes visible first where there are more.
const MOST: usize = 96;

#[derive(Clone, Copy, Debug)]
struct Store {
    at: PhysAddr,
    before: u64,
}

/// Memory, stores on their way to it, and the choices of the run.
#[derive(Clone, Debug)]
pub struct Bus {
    /// Memory as the CPU sees it.
    pub memory: Memory,
    /// Makes the choices.
    pub choices: Choices,
    /// Stores that the SMMU need not see yet, oldest first.
    pending: Vec<Store>,
    /// Words that the SMMU has updated.
    updated: BTreeSet<PhysAddr>,
    /// Stores do not reach the SMMU at a barrier: the CPU keeps them in a cache that the SMMU does not snoop.
    ///
    /// The contract of `Access::store` excludes it; a test sets it to show what happens when an implementation breaks it.
    pub keeps_stores: bool,
    /// Registers of devices: doorbells, BARs.
    pub devices: Vec<Range<u64>>,
    /// First addresses of blocks that stage 1 maps as Normal memory although such registers lie in them: a write there may be
    /// merged or cached, and a read come ahead. Each once.
    pub hazards: BTreeSet<PhysAddr>,
}

impl Bus {
    /// A bus without stores on their way.
    #[must_use]
    pub const fn new(memory: Memory, choices: Choices) -> Self {
        Self {
            memory,
            choices,
            pending: Vec::new(),
            updated: BTreeSet::new(),
            keeps_stores: false,
            devices: Vec::new(),
            hazards: BTreeSet::new(),
        }
    }

    /// A transaction was translated by a leaf over this range, as Normal memory.
    pub(crate) fn normal(&mut self, range: Range<u64>) {
        if self.devices.iter().any(|device| device.start < range.end && range.start < device.end) {
            self.hazards.insert(PhysAddr(range.start));
        }
    }

    /// The CPU stores a word; tells whether memory answered.
    pub(crate) fn store(&mut self, at: PhysAddr, value: u64) -> bool {
        let Some(before) = self.memory.peek(at) else { return false };
        self.memory.poke(at, value);
        if before != value {
            if self.pending.len() == MOST && !self.keeps_stores {
                self.pending.remove(0);
            }
            self.pending.push(Store { at, before });
        }
        true
    }

    /// A barrier: everything stored so far is visible.
    pub(crate) fn publish(&mut self) {
        if !self.keeps_stores {
            self.pending.clear();
        }
    }

    /// The SMMU reads a word; `None` where no memory answers. Stores to one word are seen in their order, stores to
    /// different words in any; what was seen once stays seen.
    pub(crate) fn fetch(&mut self, at: PhysAddr) -> Option<u64> {
        let newest = self.memory.peek(at)?;
        if self.pending.is_empty() {
            return Some(newest);
        }
        if self.keeps_stores {
            return Some(self.pending.iter().find(|store| store.at == at).map_or(newest, |store| store.before));
        }
        let own = self.pending.iter().filter(|store| store.at == at).count() as u32;
        // The last `back` stores are not seen yet.
        let back = self.choices.pick(Freedom::Visibility, own + 1);
        let seen = own - back;
        let mut passed = 0;
        let mut value = newest;
        self.pending.retain(|store| {
            if store.at != at {
                return true;
            }
            passed += 1;
            if passed == seen + 1 {
                value = store.before;
            }
            passed > seen
        });
        Some(value)
    }

    /// The SMMU sets and clears bits of a word as one atomic access, and remembers where. A store that it does not see yet
    /// comes after that, and undoes it.
    pub(crate) fn update(&mut self, at: PhysAddr, set: u64, clear: u64) {
        self.updated.insert(at);
        let updated = |old: u64| old & !clear | set;
        match self.pending.iter_mut().find(|store| store.at == at) {
            Some(store) => store.before = updated(store.before),
            None => {
                let old = self.memory.peek(at).unwrap_or(0);
                self.memory.poke(at, updated(old));
            }
        }
    }

    /// The CPU exchanges a word as one atomic access, after its own stores to it; `None` where no memory answers.
    pub(crate) fn exchange(&mut self, at: PhysAddr, value: u64) -> Option<u64> {
        let old = self.memory.peek(at)?;
        self.pending.retain(|store| store.at != at);
        self.memory.poke(at, value);
        Some(old)
    }

    /// The SMMU has updated this word.
    pub(crate) fn is_updated(&self, at: PhysAddr) -> bool {
        self.updated.contains(&at)
    }

    /// The SMMU writes a word, which the CPU sees at once.
    pub(crate) fn deposit(&mut self, at: PhysAddr, value: u64) -> bool {
        self.memory.poke(at, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::{Freedoms, exhaust};

    const A: PhysAddr = PhysAddr(0x1000);
    const B: PhysAddr = PhysAddr(0x1008);

    fn bus(choices: Choices) -> Bus {
        Bus::new(Memory::new(0x1000..0x2000), choices)
    }

    #[test]
    fn without_a_barrier_stores_are_seen_in_any_order_but_never_go_back() {
        let mut seen = BTreeSet::new();
        exhaust(Freedoms::ALL, usize::MAX, |choices| {
            let mut bus = bus(choices);
            bus.store(A, 1);
            bus.store(B, 2);
            bus.store(A, 3);
            let first = (bus.fetch(A), bus.fetch(B));
            assert!(bus.fetch(A) >= first.0 && bus.fetch(B) >= first.1);
            seen.insert((first.0.unwrap(), first.1.unwrap()));
            bus.publish();
            assert_eq!((bus.fetch(A), bus.fetch(B)), (Some(3), Some(2)));
            bus.choices
        });
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [(0, 0), (0, 2), (1, 0), (1, 2), (3, 0), (3, 2)]);
    }

    #[test]
    fn a_cpu_that_keeps_its_stores_is_not_helped_by_a_barrier() {
        let mut bus = bus(Choices::kind());
        bus.keeps_stores = true;
        bus.store(A, 1);
        bus.publish();
        assert_eq!((bus.fetch(A), bus.memory.peek(A)), (Some(0), Some(1)));
    }
}
