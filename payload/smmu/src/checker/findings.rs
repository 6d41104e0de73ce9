//! What was found, kept bounded however often a rule is broken.

use super::rules::{Rule, Severity};
use crate::access::SmmuIndex;
use alloc::string::String;
use alloc::vec::Vec;

/// Violations kept apart of one rule and SMMU; more are counted on the last.
const KEPT: usize = 8;

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Stable name of the rule.
    pub rule: &'static str,
    /// Where it comes from.
    pub clause: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The SMMU.
    pub smmu: SmmuIndex,
    /// Log entries that prove it, ascending; the last is the one that breaks it.
    pub entries: Vec<u64>,
    /// In words, with values.
    pub text: String,
    /// How often, where it is the same again.
    pub count: u64,
}

/// Collects.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    list: Vec<Violation>,
}

impl Findings {
    /// Adds a broken rule. `entries` may have gaps: what happened before the log is no entry.
    pub(super) fn add(&mut self, rule: &'static Rule, smmu: SmmuIndex, entries: &[Option<u64>], text: String) {
        let same = |known: &&mut Violation| known.rule == rule.id && known.smmu == smmu;
        let of_rule = self.list.iter_mut().filter(same).count();
        let repeated = self.list.iter_mut().filter(same).find(|known| known.text == text);
        let last = match repeated {
            Some(known) => Some(known),
            None if of_rule >= KEPT => self.list.iter_mut().rfind(|known| known.rule == rule.id && known.smmu == smmu),
            None => None,
        };
        if let Some(known) = last {
            known.count = known.count.saturating_add(1);
            return;
        }
        let mut entries: Vec<u64> = entries.iter().copied().flatten().collect();
        entries.sort_unstable();
        entries.dedup();
        let Rule { id, clause, severity, .. } = *rule;
        self.list.push(Violation { rule: id, clause, severity, smmu, entries, text, count: 1 });
    }

    /// Counts once more a rule of which no more violations are kept apart; tells whether it is one.
    pub(super) fn count_kept(&mut self, rule: &'static Rule, smmu: SmmuIndex) -> bool {
        let mut same = self.list.iter_mut().filter(|known| known.rule == rule.id && known.smmu == smmu);
        let Some(last) = same.nth(KEPT - 1) else { return false };
        last.count = last.count.saturating_add(1);
        true
    }

    /// Takes in all of `other`.
    pub(super) fn append(&mut self, mut other: Self) {
        self.list.append(&mut other.list);
    }

    /// All, violations first, each in the order of the entries that break them.
    pub(super) fn finish(mut self) -> Vec<Violation> {
        self.list.sort_by_key(|found| (found.severity, found.entries.last().copied().unwrap_or(u64::MAX)));
        self.list
    }
}
