//! The protocol checker: judges an access log against the architecture and the reference sequences.
//!
//! It is told the ID registers and the state in which each SMMU was found, and then one entry of the log after another. Its
//! memory does not grow with the log: it keeps the state of each SMMU, and of each broken rule the entries that prove it.
//! Between a write and its acknowledge a field counts as old and as new, a command as incomplete until a CMD_SYNC behind it
//! was seen consumed, and a store as unseen until a barrier. What a log cannot show is not claimed.
//!
//! The images do not call it.

mod adoption;
mod change;
mod command;
mod control;
mod enable;
mod findings;
mod found;
mod geometry;
mod guards;
pub mod mutants;
mod profile;
mod queue;
mod rules;
mod structures;
mod unit;

use crate::access::SmmuIndex;
use crate::log::{Entry, What};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use findings::Findings;
pub use findings::Violation;
pub use found::{Coverage, Found};
pub use geometry::Target;
pub use profile::{Departure, Followed, Profile};
pub use rules::{RULES, Rule, Severity};
use unit::{Barriers, Context, Unit};

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Broken rules: violations, then remarks, each in the order of the log.
    pub found: Vec<Violation>,
    /// What each SMMU's part of the log follows.
    pub followed: BTreeMap<SmmuIndex, Followed>,
    /// Entries taken.
    pub entries: u64,
    /// Entries of SMMUs of which nothing was told; they were not judged.
    pub unjudged: u64,
}

impl Report {
    /// Violations alone.
    pub fn violations(&self) -> impl Iterator<Item = &Violation> {
        self.found.iter().filter(|found| found.severity == Severity::Violation)
    }

    /// Where some SMMU's part leaves its profile.
    pub fn departures(&self) -> impl Iterator<Item = (SmmuIndex, &Departure)> {
        self.followed.iter().filter_map(|(smmu, followed)| Some((*smmu, followed.left.as_ref()?)))
    }
}

/// Judges a log as it comes.
#[derive(Clone, Debug)]
pub struct Checker {
    units: BTreeMap<SmmuIndex, Unit>,
    coverage: Coverage,
    barriers: Barriers,
    out: Findings,
    entries: u64,
    unjudged: u64,
}

impl Checker {
    /// A checker for these SMMUs.
    #[must_use]
    pub fn new(found: &[Found], coverage: Coverage) -> Self {
        let unit = |found: &Found| (found.smmu, Unit::new(found, coverage));
        Self {
            units: found.iter().map(unit).collect(),
            coverage,
            barriers: Barriers::default(),
            out: Findings::default(),
            entries: 0,
            unjudged: 0,
        }
    }

    /// Takes the next entry.
    pub fn push(&mut self, entry: &Entry) {
        let index = self.entries;
        self.entries += 1;
        match entry.what {
            What::Barrier(barrier) => self.barriers.take(barrier, index),
            What::Step(_) => {}
            What::Register | What::Structure(_) => {
                let Some(unit) = self.units.get_mut(&entry.smmu) else {
                    self.unjudged += 1;
                    return;
                };
                let ids = unit.ids;
                let (coverage, barriers) = (self.coverage, self.barriers);
                let out = &mut self.out;
                unit.take(&mut Context { index, smmu: entry.smmu, ids: &ids, coverage, barriers, out }, entry);
            }
        }
    }

    /// The log ends; `is_whole` unless it was cut: then nothing is claimed to be missing at its end.
    #[must_use]
    pub fn finish(mut self, is_whole: bool) -> Report {
        let mut followed = BTreeMap::new();
        for (smmu, unit) in self.units {
            let ids = unit.ids;
            if is_whole {
                let (coverage, barriers, out) = (self.coverage, self.barriers, &mut self.out);
                unit.finish(&mut Context { index: self.entries, smmu, ids: &ids, coverage, barriers, out });
            }
            let Unit { profiles, adoption, .. } = unit;
            let this = profiles.finish(self.entries, is_whole);
            if this.profile.is_some_and(Profile::is_adoption) {
                adoption.confirm(&mut self.out);
            }
            followed.insert(smmu, this);
        }
        Report { found: self.out.finish(), followed, entries: self.entries, unjudged: self.unjudged }
    }
}

/// Judges a whole log.
pub fn check<'a>(
    found: &[Found],
    coverage: Coverage,
    entries: impl IntoIterator<Item = &'a Entry>,
    is_whole: bool,
) -> Report {
    let mut checker = Checker::new(found, coverage);
    entries.into_iter().for_each(|entry| checker.push(entry));
    checker.finish(is_whole)
}

#[cfg(test)]
mod tests;
