//! Logs with one access wrong: dropped, doubled, swapped with its neighbour, or with another value. They show what the
//! checker would notice of a policy that does so.

use super::{Coverage, Found, Report, check};
use crate::log::{Entry, Op};
use alloc::vec::Vec;

/// What was done to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It is missing.
    Dropped,
    /// It is there twice.
    Doubled,
    /// It comes after the next one.
    Swapped,
    /// Bits of its value differ.
    Altered(u64),
}

/// Bits that are altered: an enable, a size or valid bit; an address bit.
const BITS: [u64; 2] = [1, 0x40];

/// A log with one access wrong.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// What was done.
    pub kind: Kind,
    /// To which entry.
    pub at: usize,
    /// The whole log.
    pub entries: Vec<Entry>,
}

/// Every mutant of a log. Steps are names and no accesses: they are left alone.
pub fn mutants(log: &[Entry]) -> impl Iterator<Item = Mutant> + '_ {
    let places = log.iter().enumerate().filter(|(_, entry)| entry.op != Op::Step);
    places.flat_map(move |(at, entry)| {
        let altered = BITS.map(Kind::Altered).into_iter().filter(|_| entry.op != Op::Barrier);
        let kinds = [Kind::Dropped, Kind::Doubled, Kind::Swapped].into_iter().chain(altered);
        kinds.filter_map(move |kind| Some(Mutant { kind, at, entries: mutated(log, at, kind)? }))
    })
}

fn mutated(log: &[Entry], at: usize, kind: Kind) -> Option<Vec<Entry>> {
    let mut entries = log.to_vec();
    let entry = *entries.get(at)?;
    match kind {
        Kind::Dropped => {
            entries.remove(at);
        }
        Kind::Doubled => entries.insert(at, entry),
        Kind::Swapped => {
            let next = entries.iter().skip(at + 1).position(|other| other.op != Op::Step)? + at + 1;
            (*entries.get(next)? != entry).then(|| entries.swap(at, next))?;
        }
        Kind::Altered(bits) => entries.get_mut(at)?.value ^= bits,
    }
    Some(entries)
}

/// The mutant breaks a rule or leaves its profile.
#[must_use]
pub fn is_caught(report: &Report) -> bool {
    report.violations().next().is_some() || report.departures().next().is_some() || no_profile(report)
}

fn no_profile(report: &Report) -> bool {
    report.followed.values().all(|followed| followed.profile.is_none())
}

/// Judges a mutant as a log of everything.
#[must_use]
pub fn judge(found: &[Found], mutant: &Mutant) -> Report {
    check(found, Coverage::ALL, &mutant.entries, true)
}
