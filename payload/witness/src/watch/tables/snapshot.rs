//! What a table holds, as few stores and fills: what most STEs, CDs or descriptors hold first, and then the others. Where
//! that is zero it is no entry: memory that nobody wrote holds it, too.

use crate::watch::seen::How;
use crate::watch::trap::Trap;
use smmu::access::Structure;
use smmu::log::{Entry, Op, What};

/// The same word in neighbouring STEs, CDs or descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    structure: Structure,
    start: u64,
    stride: u32,
    count: u32,
    value: u64,
}

impl Run {
    const fn end(&self) -> u64 {
        self.start + self.count as u64 * self.stride as u64
    }

    /// As the store or fill that somebody must have made.
    pub(super) fn record(&self, trap: &mut Trap<'_>) {
        let (op, stride) = if self.count == 1 { (Op::Store, 0) } else { (Op::Fill, self.stride) };
        let entry = trap.entry(op, What::Structure(self.structure), self.start, self.value);
        trap.record(Entry { count: self.count, stride, ..entry }, How::Snapshot, None);
    }
}

const fn stride(structure: Structure) -> u32 {
    match structure {
        Structure::L1Std | Structure::L1Cd => 8,
        _ => 64,
    }
}

/// Which word of an STE or CD this is; of a descriptor it is the first.
const fn place(structure: Structure, at: u64) -> usize {
    (at % stride(structure) as u64 / 8) as usize
}

/// The word that most have at each place, if there is one (the majority vote of Boyer and Moore).
pub(super) struct Usual {
    structure: Structure,
    words: [(u64, u64); 8],
}

impl Usual {
    pub(super) const fn new(structure: Structure) -> Self {
        Self { structure, words: [(0, 0); 8] }
    }

    pub(super) fn take(&mut self, at: u64, value: u64) {
        let Some((word, lead)) = self.words.get_mut(place(self.structure, at)) else { return };
        match lead {
            _ if *word == value => *lead += 1,
            0 => (*word, *lead) = (value, 1),
            _ => *lead -= 1,
        }
    }
}

/// Runs of what is unusual.
pub(super) struct Runs {
    usual: Usual,
    open: [Option<Run>; 8],
}

impl Runs {
    pub(super) const fn new(usual: Usual) -> Self {
        Self { usual, open: [None; 8] }
    }

    /// What the table of `bytes` at `start` was filled with.
    pub(super) fn fills(&self, start: u64, bytes: u64) -> impl Iterator<Item = Run> + use<> {
        let (structure, stride) = (self.usual.structure, stride(self.usual.structure));
        let count = (bytes / u64::from(stride)) as u32;
        let words = self.usual.words.into_iter().zip((start..).step_by(8));
        let filled = words.filter(|((value, _), _)| *value != 0);
        filled.map(move |((value, _), start)| Run { structure, start, stride, count, value })
    }

    /// Takes the next word; a run that ends with it.
    pub(super) fn take(&mut self, at: u64, value: u64) -> Option<Run> {
        let structure = self.usual.structure;
        let place = place(structure, at);
        let open = self.open.get_mut(place)?;
        if let Some(run) = open.as_mut().filter(|run| run.value == value && run.end() == at) {
            run.count += 1;
            return None;
        }
        let is_usual = self.usual.words.get(place).is_some_and(|(usual, _)| *usual == value);
        let fresh = (!is_usual).then_some(Run { structure, start: at, stride: stride(structure), count: 1, value });
        core::mem::replace(open, fresh)
    }

    /// The table ends.
    pub(super) fn finish(self) -> impl Iterator<Item = Run> {
        self.open.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    fn runs(structure: Structure, words: &[u64]) -> Vec<Run> {
        let placed = || words.iter().zip((0x1000..).step_by(8)).map(|(word, at)| (at, *word));
        let mut usual = Usual::new(structure);
        placed().for_each(|(at, word)| usual.take(at, word));
        let mut runs = Runs::new(usual);
        let mut all: Vec<Run> = runs.fills(0x1000, 8 * words.len() as u64).collect();
        all.extend(placed().filter_map(|(at, word)| runs.take(at, word)));
        all.extend(runs.finish());
        all
    }

    #[test]
    fn one_ste_among_many_is_a_fill_and_a_store() {
        let mut words = [[1, 0, 0, 0, 0, 0, 0, 0]; 16];
        (words[5][0], words[5][1]) = (0x900D, 0xD6);
        let seen: Vec<_> =
            runs(Structure::Ste, words.as_flattened()).iter().map(|r| (r.start, r.count, r.value)).collect();
        assert_eq!(seen, [(0x1000, 16, 1), (0x1140, 1, 0x900D), (0x1148, 1, 0xD6)]);
    }

    proptest! {
        /// Carried out in order on memory of zeros, the runs make the table again.
        #[test]
        fn runs_say_what_the_table_holds(
            is_wide: bool, words in prop::collection::vec(prop_oneof![Just(0_u64), Just(1), 0_u64..4], 1..200),
        ) {
            let structure = if is_wide { Structure::Ste } else { Structure::L1Std };
            let words = if is_wide { &words[..words.len() / 8 * 8] } else { &words[..] };
            let mut memory = BTreeMap::new();
            for run in runs(structure, words) {
                for step in 0..u64::from(run.count) {
                    memory.insert(run.start + step * u64::from(run.stride), run.value);
                }
            }
            let made: Vec<u64> = (0x1000..).step_by(8).take(words.len()).map(|at| memory.get(&at).copied().unwrap_or(0)).collect();
            prop_assert_eq!(&made[..], words);
            prop_assert!(memory.range(0x1000 + 8 * words.len() as u64..).next().is_none(), "past the table");
        }
    }
}
