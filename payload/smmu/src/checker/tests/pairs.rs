//! Every rule has a log that keeps it and one that breaks it.

use super::*;

fn all() -> Vec<Pair> {
    [guards::pairs(), commands::pairs(), order::pairs(), profiles::pairs()].into_iter().flatten().collect()
}

#[test]
fn every_rule_has_a_pair_and_every_pair_a_rule() {
    let pairs = all();
    for rule in RULES {
        assert!(pairs.iter().any(|pair| pair.rule == rule.id), "no pair of logs for {}", rule.id);
    }
    assert!(pairs.iter().all(|pair| RULES.iter().any(|rule| rule.id == pair.rule)));
}

#[test]
fn a_log_that_keeps_a_rule_has_no_violation_and_one_that_breaks_it_names_it() {
    for Pair { rule, found, keeps, breaks } in all() {
        let report = judged(found, &keeps);
        assert_eq!(report.violations().collect::<Vec<_>>(), Vec::<&Violation>::new(), "{rule} kept");
        assert!(!broken(&report).contains(&rule), "{rule} kept: {:#?}", report.found);
        let report = judged(found, &breaks);
        let named = report.found.iter().find(|violation| violation.rule == rule);
        let violation = named.unwrap_or_else(|| panic!("{rule} broken: {:#?}", report.found));
        let entries = &violation.entries;
        assert!(!entries.is_empty() && entries.iter().all(|at| *at < breaks.len() as u64), "{rule}: {entries:?}");
        assert!(entries.is_sorted() && !violation.text.is_empty());
    }
}

#[test]
fn doubtful_rules_are_remarks_only() {
    for rule in RULES {
        let is_doubtful = rule.clause.starts_with("inferred");
        assert!(!is_doubtful || rule.severity == Severity::Remark, "{}", rule.id);
    }
    let mut ids: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), RULES.len());
}
