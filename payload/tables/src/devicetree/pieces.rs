//! Ranges of IDs that were given out: the first that asks for an ID has it.

use alloc::{collections::BTreeMap, vec::Vec};
use core::ops::RangeInclusive;

/// IDs, both ends included, that go to consecutive output IDs of one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) output: u32,
    /// Place in the caller's list of targets.
    pub(super) target: usize,
}

impl Run {
    /// The part of the run from `first` to `last`, which are inside it.
    pub(super) const fn part(&self, first: u32, last: u32) -> Self {
        Self { first, last, output: self.output + (first - self.first), target: self.target }
    }

    /// Takes `next` in, where it goes on where this run ends, on both sides.
    pub(super) fn join(&mut self, next: &Self) -> bool {
        let joins = self.target == next.target
            && self.last.checked_add(1) == Some(next.first)
            && self.output.checked_add(next.first - self.first) == Some(next.output);
        if joins {
            self.last = next.last;
        }
        joins
    }
}

/// Whether IDs were given out before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Met {
    /// None of them.
    Nothing,
    /// Some of them, to the same outputs.
    Same,
    /// Some of them, to others.
    Other,
}

/// Where an ID goes: target and output ID; `None`: to nothing, and nobody else has it either.
type To = Option<(usize, u32)>;

#[derive(Clone, Copy)]
struct Piece {
    last: u32,
    to: To,
}

/// Disjoint ranges of IDs, by their first one.
#[derive(Default)]
pub(super) struct Pieces(BTreeMap<u32, Piece>);

impl Pieces {
    /// Gives out what is left of `first..=last`. Outputs are counted from `first`; the last one fits 32 bits.
    pub(super) fn add(&mut self, first: u32, last: u32, to: To) -> Met {
        let output = |at: u32| to.map(|(target, output)| (target, output + (at - first)));
        let (mut at, mut met) = (first, Met::Nothing);
        while at <= last {
            let before = self.0.range(..=at).next_back().map(|(start, piece)| (*start, *piece));
            let end = if let Some((start, piece)) = before.filter(|(_, piece)| piece.last >= at) {
                let is_same = piece.to.map(|(target, output)| (target, output + (at - start))) == output(at);
                met = met.max(if is_same { Met::Same } else { Met::Other });
                piece.last
            } else {
                let next = self.0.range(at..).next().map(|(next, _)| *next).filter(|next| *next <= last);
                let end = next.map_or(last, |next| next - 1);
                self.0.insert(at, Piece { last: end, to: output(at) });
                end
            };
            let Some(next) = end.checked_add(1) else { break };
            at = next;
        }
        met
    }

    /// Where an ID goes.
    pub(super) fn get(&self, id: u32) -> To {
        let (first, piece) = self.0.range(..=id).next_back()?;
        let (target, output) = piece.to.filter(|_| id <= piece.last)?;
        Some((target, output + (id - first)))
    }

    /// Everything that goes somewhere, cut to `ids`, sorted, with neighbours joined.
    pub(super) fn runs(&self, ids: RangeInclusive<u32>) -> Vec<Run> {
        let run = |(first, piece): (&u32, &Piece)| {
            let (target, output) = piece.to?;
            let (from, last) = ((*first).max(*ids.start()), piece.last.min(*ids.end()));
            let run = Run { first: *first, last: piece.last, output, target };
            (from <= last).then(|| run.part(from, last))
        };
        let mut runs: Vec<Run> = self.0.iter().filter_map(run).collect();
        runs.dedup_by(|later, earlier| earlier.join(later));
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::{Met, Pieces, Run};

    #[test]
    fn first_has_it() {
        let mut pieces = Pieces::default();
        assert_eq!(pieces.add(10, 19, Some((0, 110))), Met::Nothing);
        assert_eq!(pieces.add(12, 13, None), Met::Other);
        assert_eq!(pieces.add(5, 24, Some((0, 105))), Met::Same);
        assert_eq!(pieces.add(30, 39, None), Met::Nothing);
        assert_eq!(pieces.add(35, 44, Some((1, 0))), Met::Other);
        assert_eq!((pieces.get(12), pieces.get(31), pieces.get(41)), (Some((0, 112)), None, Some((1, 6))));
        assert_eq!((pieces.get(4), pieces.get(25), pieces.get(45)), (None, None, None));
        let runs =
            [Run { first: 6, last: 24, output: 106, target: 0 }, Run { first: 40, last: 42, output: 5, target: 1 }];
        assert_eq!(pieces.runs(6..=42), runs);
    }

    #[test]
    fn last_id_of_all_ends_the_walk() {
        let mut pieces = Pieces::default();
        assert_eq!(pieces.add(0, u32::MAX, Some((0, 0))), Met::Nothing);
        assert_eq!(pieces.add(u32::MAX, u32::MAX, Some((0, 0))), Met::Other);
        assert_eq!(pieces.get(u32::MAX), Some((0, u32::MAX)));
    }
}
