//! Rules that a scenario breaks by what it documents: the check then fails, as expected. Any other rule stays a surprise.

use crate::report::collect::Cycle;
use crate::report::model::Verdict;
use smmu::checker::{Departure, Report as Judged};
use smmu::spec::registers::Cr0;

/// Rules that `scenario` is there to break, given what the cycle's streams are.
fn rules(scenario: &str, cycle: &Cycle) -> &'static [&'static str] {
    let has_rmr = cycle.streams.iter().any(|stream| stream.rmr);
    // A damaged table may be reset before it comes to what the policy is known for; a disabled SMMU is not turned off.
    let is_skipped = |id: &str| cycle.checks.iter().any(|check| check.id == id && check.verdict == Verdict::Skip);
    let was_off = scenario.contains("+smmu-disabled");
    match scenario.split(['+', '@']).next() {
        // The bug of Chen v6 6/7: live STEs are cleared and written in place. Without an RMR stream nothing is written.
        Some("adopt-rmr-bypass") if has_rmr && !is_skipped("adopt.smmuen-kept") => &[
            "adopt.table-store",
            "structure.words-before-valid",
            "structure.no-barrier",
            "structure.invalid-not-synced",
        ],
        // Translation is turned off, and GBPA lets everything through.
        Some("bypass") if !was_off => &["disable.without-abort"],
        // No identifier is kept out of use, ASID or VMID.
        Some("adopt-v7-attach") if !is_skipped("attach.completed") => &["adopt.identifier-reused"],
        _ => &[],
    }
}

/// The scenario documents that its policy parts from the reference here. Any other departure fails the check.
pub fn may_part(scenario: &str, left: Option<&Departure>) -> bool {
    match scenario.split(['+', '@']).next() {
        // Sequences of their own.
        Some("adopt-rmr-bypass" | "abort" | "bypass") => true,
        // The event queue stays on: the last CR0 write, and nothing before it.
        Some("reset-evtq" | "reset-attach") => left.is_some_and(|left| {
            let cr0 = |text: &str| {
                let digits = text.strip_prefix("CR0 written 0x")?;
                u32::from_str_radix(digits, 16).ok().map(Cr0::from)
            };
            cr0(&left.expected).zip(cr0(&left.found)).is_some_and(|(due, found)| {
                due.smmuen() && found == due.with_eventqen(true).with_priqen(found.priqen())
            })
        }),
        _ => false,
    }
}

/// What the check is expected to say: a failure where the scenario documents one, and no rule but those is broken.
pub fn expected(scenario: &str, cycle: &Cycle, report: &Judged) -> Verdict {
    let documented = rules(scenario, cycle);
    let is_documented = report.violations().all(|broken| documented.contains(&broken.rule));
    if documented.is_empty() || !is_documented { Verdict::Pass } else { Verdict::Fail }
}
