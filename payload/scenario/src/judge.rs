//! The judge: a pure function from what was observed to verdicts.
//!
//! A verdict is what was seen against what the check demands, whatever the scenario. What the scenario's documentation says
//! stands beside it, as the expectation.

mod adopt;
mod attach;
mod crash;
mod damage;
mod dma;
mod events;
mod evidence;
mod guard;
mod off;
mod pcie;
mod reset;
mod rules;
mod seen;
mod trace;

pub use evidence::{AbortTaken, AttachEvidence, Crashed, Evidence, SmmuEvidence, StreamEvidence};

use crate::{Damage, Plant, policy::Expectation};
use alloc::{format, string::String, vec::Vec};
use rules::{Group, RULES, Rule};
use seen::Seen;
use wire::record::{Outcome, Record, Verdict};

#[cfg(test)]
mod tests;

/// One check with its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Stable name.
    pub id: &'static str,
    /// What was seen against what the check demands.
    pub verdict: Verdict,
    /// What the scenario's documentation says.
    pub expected: Verdict,
    /// The run fails where this check did not run.
    pub must_run: bool,
    /// What was seen, where it did not pass or where a pass has something to tell.
    pub reason: String,
    /// Where the rule comes from.
    pub source: &'static str,
}

impl Check {
    /// Tells whether the check ran, if it must, and saw what the scenario's documentation says.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.verdict == self.expected && (!self.must_run || matches!(self.verdict, Verdict::Pass | Verdict::Fail))
    }

    /// The console record of this check.
    #[must_use]
    pub fn record(&self, run: u32, cycle: u32) -> Record<'_> {
        let Self { id, verdict, expected, must_run, ref reason, source } = *self;
        Record::Check { run, cycle, id, verdict, expected, must_run, reason, source }
    }
}

/// Stable names of all checks of a cycle.
pub fn ids() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|rule| rule.id)
}

/// Judges one cycle. Every check is in the result, whether it applies or not.
#[must_use]
pub fn judge(evidence: &Evidence<'_>) -> Vec<Check> {
    RULES.iter().map(|rule| apply(rule, evidence)).collect()
}

/// Outcome of a cycle: every verdict is as expected and every must-run check ran. No check at all is a failure, and so is a
/// planted fault, whatever the checks saw.
#[must_use]
pub fn outcome(checks: &[Check], plant: Option<Plant>) -> Outcome {
    if plant.is_some() || checks.is_empty() || failed(checks) != 0 { Outcome::Fail } else { Outcome::Pass }
}

/// Checks that are not as expected.
#[must_use]
pub fn failed(checks: &[Check]) -> u32 {
    checks.iter().filter(|check| !check.is_as_expected()).fold(0, |count: u32, _| count.saturating_add(1))
}

fn apply(rule: &Rule, evidence: &Evidence<'_>) -> Check {
    let policy = evidence.scenario.policy_expectation();
    // Damage, and a fallback with it, is that of one SMMU: both groups may apply, each to its own.
    let is_any = |such: fn(&Expectation) -> bool| evidence.is_any(such);
    let falls_back = policy.adopts && is_any(|expectation| !expectation.adopts);
    let has_damage = evidence.scenario.damage != Damage::NONE;
    let applies = match rule.group {
        Group::Any => true,
        Group::Adopt => is_any(|expectation| expectation.adopts),
        Group::Reset => is_any(|expectation| expectation.resets),
        Group::Off => is_any(Expectation::turns_off),
        Group::Own => is_any(Expectation::has_own_course) || (falls_back && is_any(|expectation| expectation.adopts)),
        Group::Recording => is_any(|expectation| expectation.records_events),
        Group::Quiesce => is_any(Expectation::quiesces),
        Group::Damaged => has_damage,
        Group::Examined => has_damage && policy.adopts,
        Group::Fallback => falls_back,
        // The taker does not look for another device where the SMMU of its own was reset.
        Group::Attach => {
            is_any(|expectation| expectation.adopts && expectation.attaches)
                && (evidence.attach.is_some() || !falls_back)
        }
        Group::Later => policy.adopts && evidence.scenario.damage.later_rule().is_some(),
    };
    let (seen, expected) = if applies {
        ((rule.check)(evidence), (rule.expected)(evidence))
    } else {
        (Seen::skip(elsewhere(rule, evidence)), Verdict::Skip)
    };
    // What needs the log or the oracle says nothing without it, good or bad.
    let needs_oracle = rule.needs_oracle || (has_damage && rule.group != Group::Any);
    let seen = match seen.verdict {
        Verdict::Skip => seen,
        _ if rule.needs_log && evidence.log_overflowed => Seen::not_covered("the access log overflowed"),
        _ if needs_oracle && evidence.fresh_oracle().is_none() => Seen::not_covered("no oracle of this cycle"),
        _ => seen,
    };
    let must_run = expected != Verdict::Skip;
    Check { id: rule.id, verdict: seen.verdict, expected, must_run, reason: seen.reason, source: rule.source }
}

/// Why a check does not apply; where an adoption was to be refused, by which rule it was.
fn elsewhere(rule: &Rule, evidence: &Evidence<'_>) -> String {
    let refusal = evidence.smmus.iter().find_map(|smmu| smmu.taken.ok()?.refusal);
    match refusal.filter(|_| rule.group == Group::Adopt && evidence.scenario.policy_expectation().adopts) {
        Some(refusal) => format!("reset instead: {refusal}"),
        None => format!("the policy is {}", evidence.scenario),
    }
}
