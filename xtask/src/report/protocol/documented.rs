//! Rules that a scenario breaks by what it documents: the check then fails, as expected. Any other rule stays a surprise.

use crate::report::collect::Cycle;
use crate::report::model::Verdict;
use smmu::checker::Report as Judged;

/// Rules that `scenario` is there to break, given what the cycle's streams are.
fn rules(scenario: &str, cycle: &Cycle) -> &'static [&'static str] {
    let has_rmr = cycle.streams.iter().any(|stream| stream.rmr);
    match scenario.split(['+', '@']).next() {
        // The bug of Chen v6 6/7: live STEs are cleared and written in place. Without an RMR stream nothing is written.
        Some("adopt-rmr-bypass") if has_rmr => {
            &["adopt.table-store", "structure.words-before-valid", "structure.no-barrier"]
        }
        // Translation is turned off, and GBPA lets everything through.
        Some("bypass") => &["disable.without-abort"],
        // No identifier is kept out of use. A damaged table may be reset before it comes to that.
        Some("adopt-v7-attach") if !scenario.contains('+') => &["adopt.identifier-reused"],
        _ => &[],
    }
}

/// What the check is expected to say: a failure where the scenario documents one, and no rule but those is broken.
pub fn expected(scenario: &str, cycle: &Cycle, report: &Judged) -> Verdict {
    let documented = rules(scenario, cycle);
    let is_documented = report.violations().all(|broken| documented.contains(&broken.rule));
    if documented.is_empty() || !is_documented { Verdict::Pass } else { Verdict::Fail }
}
