mod matrix;
mod verdicts;
mod world;

use super::{Check, failed, outcome};
use crate::{Plant, Policy, Scenario};
use alloc::{collections::BTreeSet, vec::Vec};
use wire::record::{Outcome, Record, Verdict};
use world::World;

fn with_verdict(checks: &[Check], verdict: Verdict) -> Vec<&'static str> {
    checks.iter().filter(|check| check.verdict == verdict).map(|check| check.id).collect()
}

fn find<'a>(checks: &'a [Check], id: &str) -> &'a Check {
    checks.iter().find(|check| check.id == id).unwrap()
}

#[test]
fn ids_are_unique_readable_and_sourced() {
    let ids: BTreeSet<&str> = super::RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(ids.len(), super::RULES.len());
    for rule in super::RULES {
        assert!(rule.id.split_once('.').is_some() && !rule.id.contains([' ', '#']), "{}", rule.id);
        assert!(!rule.source.is_empty());
    }
}

#[test]
fn a_good_adoption_passes() {
    let checks = World::new(Policy::Adopt).judge();
    for check in &checks {
        let wanted = if check.id.starts_with("reset.") { Verdict::Skip } else { Verdict::Pass };
        assert_eq!((check.verdict, check.expected), (wanted, wanted), "{}: {}", check.id, check.reason);
    }
    assert_eq!((outcome(&checks, None), failed(&checks)), (Outcome::Pass, 0));
}

#[test]
fn a_reset_shows_what_it_does_and_passes_because_that_is_documented() {
    let checks = World::new(Policy::Reset).judge();
    let wanted = ["dma.no-blocked", "dma.no-mis-steer", "dma.delivered-after", "rmr.ste-unchanged"];
    assert_eq!(with_verdict(&checks, Verdict::Fail), wanted);
    for check in checks.iter().filter(|check| check.id.starts_with("adopt.")) {
        assert_eq!((check.verdict, &check.reason[..]), (Verdict::Skip, "the policy is reset"));
    }
    for check in checks.iter().filter(|check| check.id.starts_with("reset.")) {
        assert_eq!(check.verdict, Verdict::Pass, "{}: {}", check.id, check.reason);
    }
    assert_eq!((outcome(&checks, None), failed(&checks)), (Outcome::Pass, 0));
}

#[test]
fn a_reset_without_rmr_streams_mis_steers_nothing() {
    let mut world = World::new(Policy::Reset);
    world.drop_stream(2);
    let checks = world.judge();
    assert_eq!(with_verdict(&checks, Verdict::Fail), ["dma.no-blocked", "dma.delivered-after"]);
    let rmr = find(&checks, "rmr.ste-unchanged");
    assert_eq!((rmr.verdict, rmr.expected, rmr.must_run), (Verdict::Skip, Verdict::Skip, false));
    assert_eq!(outcome(&checks, None), Outcome::Pass);
}

#[test]
fn a_reset_that_behaves_like_an_adoption_is_not_as_documented() {
    let mut world = World::new(Policy::Reset);
    world.streams = World::new(Policy::Adopt).streams;
    let checks = world.judge();
    assert_eq!(outcome(&checks, None), Outcome::Fail);
    assert_eq!(failed(&checks), 4);
}

#[test]
fn no_streams_and_no_checks_fail() {
    let mut world = World::new(Policy::Adopt);
    for _ in 0..3 {
        world.drop_stream(0);
    }
    let checks = world.judge();
    assert_eq!(find(&checks, "dma.live-before").verdict, Verdict::NotCovered);
    assert_eq!(outcome(&checks, None), Outcome::Fail);
    assert_eq!(outcome(&[], None), Outcome::Fail);
}

#[test]
fn a_must_run_check_that_did_not_run_fails_the_cycle_even_if_expected() {
    let mut checks = World::new(Policy::Adopt).judge();
    for verdict in [Verdict::Skip, Verdict::NotCovered] {
        checks[0].verdict = verdict;
        checks[0].expected = verdict;
        assert!(!checks[0].is_as_expected());
        assert_eq!(outcome(&checks, None), Outcome::Fail);
    }
}

#[test]
fn a_planted_run_never_passes() {
    let checks = World::new(Policy::Adopt).judge();
    for plant in Plant::ALL {
        assert_eq!(outcome(&checks, Some(plant)), Outcome::Fail);
    }
}

#[test]
fn a_check_becomes_a_record() {
    let mut world = World::new(Policy::Adopt);
    world.aborts = None;
    let checks = world.judge();
    let reason = "aborts were not listened for";
    let source = find(&checks, "cpu.no-serror").source;
    let (verdict, expected) = (Verdict::NotCovered, Verdict::Pass);
    let wanted =
        Record::Check { run: 1, cycle: 2, id: "cpu.no-serror", verdict, expected, must_run: true, reason, source };
    assert_eq!(find(&checks, "cpu.no-serror").record(1, 2), wanted);
}

#[test]
fn a_verdict_does_not_bend_to_the_scenario() {
    // The same evidence under another scenario's name: what applies to both is seen alike.
    let mut world = World::new(Policy::Reset);
    let as_reset = world.judge();
    world.scenario = Scenario::plain(Policy::Adopt);
    let as_adopt = world.judge();
    for (one, other) in as_reset.iter().zip(&as_adopt) {
        if one.verdict != Verdict::Skip && other.verdict != Verdict::Skip {
            assert_eq!(one.verdict, other.verdict, "{}", one.id);
        }
    }
    assert_eq!(find(&as_adopt, "adopt.adopted").verdict, Verdict::Fail);
    assert_eq!(find(&as_adopt, "adopt.smmuen-kept").verdict, Verdict::Fail);
}
