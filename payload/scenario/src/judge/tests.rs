mod crash;
mod damages;
mod matrix;
mod pair;
mod pcie;
mod policies;
mod uncounted;
mod verdicts;
mod world;

use super::{Check, failed, outcome};
use crate::{Plant, Policy, Scenario};
use alloc::{collections::BTreeSet, vec::Vec};
use smmu::spec::registers::Cr0;
use wire::record::{Outcome, Record, Verdict};
use world::{World, counts};

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
        let elsewhere = [
            "reset.",
            "off.",
            "evtq.",
            "quiesce.",
            "damage.",
            "attach.",
            "dma.as-documented",
            "smmu.guard",
            "adopt.gerror",
        ];
        let is_elsewhere = elsewhere.iter().any(|group| check.id.starts_with(group)) || crash::IDS.contains(&check.id);
        let wanted = if is_elsewhere { Verdict::Skip } else { Verdict::Pass };
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
fn a_guarded_register_is_tried_only_where_the_architecture_says_ignored() {
    let with = |aidr, is_guarded| {
        let checks = World::with(Policy::Adopt, None, |hw| {
            let unit = hw.unit(world::SMMU);
            unit.set(smmu::spec::registers::AIDR, aidr);
            unit.guards_strtab = is_guarded;
        })
        .judge();
        let check = find(&checks, "smmu.guard-strtab").clone();
        (check.verdict, check.expected, outcome(&checks, None))
    };
    assert_eq!(with(1, false), (Verdict::Skip, Verdict::Skip, Outcome::Pass), "SMMUv3.1: it might do anything");
    assert_eq!(with(2, true), (Verdict::Pass, Verdict::Pass, Outcome::Pass));
    assert_eq!(with(2, false), (Verdict::Fail, Verdict::Pass, Outcome::Fail));
    let mut world = World::new(Policy::Adopt);
    world.after.as_mut().unwrap().aidr = 2;
    assert_eq!(find(&world.judge(), "smmu.guard-strtab").verdict, Verdict::NotCovered, "it was not tried");
    let mut world = World::new(Policy::Adopt);
    world.strtab_guard = Some(smmu::guard::Guard::Ignored);
    assert_eq!(find(&world.judge(), "smmu.guard-strtab").verdict, Verdict::Fail, "never to be written there");
}

#[test]
fn a_reset_without_rmr_streams_mis_steers_nothing() {
    let mut world = World::new(Policy::Reset);
    world.drop_stream(2);
    let checks = world.judge();
    assert_eq!(with_verdict(&checks, Verdict::Fail), ["dma.no-blocked", "dma.delivered-after"]);
    for id in ["rmr.ste-unchanged", "reset.rmr-bypassed"] {
        let rmr = find(&checks, id);
        assert_eq!((rmr.verdict, rmr.expected, rmr.must_run), (Verdict::Skip, Verdict::Skip, false));
    }
    assert_eq!(outcome(&checks, None), Outcome::Pass);
}

#[test]
fn a_reset_that_behaves_like_an_adoption_is_not_as_documented() {
    let mut world = World::new(Policy::Reset);
    world.streams = World::new(Policy::Adopt).streams;
    let checks = world.judge();
    assert_eq!(outcome(&checks, None), Outcome::Fail);
    assert_eq!(failed(&checks), 6);
}

/// Checks that are not as expected after `change` to a reset.
fn broken_reset(change: impl FnOnce(&mut World)) -> Vec<&'static str> {
    let mut world = World::new(Policy::Reset);
    change(&mut world);
    let checks = world.judge();
    assert_eq!(outcome(&checks, None), Outcome::Fail);
    checks.iter().filter(|check| !check.is_as_expected()).map(|check| check.id).collect()
}

#[test]
fn one_stream_that_suffers_as_documented_does_not_excuse_another() {
    // Refused before anybody took over.
    let early = broken_reset(|world| {
        let cuts = &mut world.streams[0].cuts;
        (cuts.crash, cuts.takeover, cuts.end) = (counts(10, 9, 0), counts(30, 29, 0), counts(60, 29, 0));
    });
    assert_eq!(early, ["dma.delivered-before"]);
    // Still translated, or bypassed, after a reset.
    let alive = broken_reset(|world| world.streams[1].cuts.end = counts(60, 40, 0));
    assert_eq!(alive, ["reset.blocks-dma"]);
    let stray = broken_reset(|world| world.streams[1].cuts.end = counts(60, 30, 1));
    assert_eq!(stray, ["reset.blocks-dma", "reset.rmr-bypassed"]);
    let stray = broken_reset(|world| {
        (world.streams[1].cuts.takeover, world.streams[1].cuts.end) = (counts(30, 29, 1), counts(60, 29, 1));
    });
    assert_eq!(stray, ["reset.rmr-bypassed"]);
    // An RMR stream of which one window only is used, or that is refused.
    for end in [counts(60, 60, 0), counts(60, 30, 30), counts(60, 30, 0), counts(60, 40, 10)] {
        let broken = broken_reset(|world| world.streams[2].cuts.end = end);
        assert!(broken.contains(&"reset.rmr-bypassed"), "{broken:?}");
    }
}

#[test]
fn an_rmr_stream_without_an_identity_window_goes_all_astray() {
    let mut world = World::new(Policy::Reset);
    world.known[2].rmr.bytes = 0;
    let cuts = &mut world.streams[2].cuts;
    let left = cuts.end.attempted - cuts.takeover.attempted;
    cuts.end.delivered = cuts.takeover.delivered;
    cuts.end.mis_steered = cuts.takeover.mis_steered + left;
    assert_eq!(outcome(&world.judge(), None), Outcome::Pass);
}

#[test]
fn a_reset_that_ended_disabled_has_not_completed() {
    // No stream is named by an RMR node, and everything is refused all the same.
    let off = broken_reset(|world| {
        world.drop_stream(2);
        world.after.as_mut().unwrap().cr0ack = Cr0::new();
    });
    assert_eq!(off, ["reset.completed"]);
}

#[test]
fn a_used_up_ring_covers_the_phase_only_with_something_blocked() {
    let mut world = World::new(Policy::Adopt);
    world.streams[1].cuts.dry = [1, 2, 2];
    let checks = world.judge();
    assert_eq!(with_verdict(&checks, Verdict::NotCovered), ["dma.live-blackout"]);
    assert!(find(&checks, "dma.live-blackout").reason.contains("used up"));
    world.streams[1].cuts.dry = [1, 1, 2];
    assert_eq!(with_verdict(&world.judge(), Verdict::NotCovered), ["dma.live-after"]);
    world.streams[1].cuts.dry = [1, 1, 1];
    assert_eq!(outcome(&world.judge(), None), Outcome::Pass);
    let mut reset = World::new(Policy::Reset);
    reset.streams[1].cuts.dry = [0, 0, 1];
    assert_eq!(outcome(&reset.judge(), None), Outcome::Pass);
}

#[test]
fn lost_events_are_said_to_be_lost() {
    let mut world = World::new(Policy::Adopt);
    world.events_lost = true;
    let checks = world.judge();
    assert_eq!(with_verdict(&checks, Verdict::Fail), ["smmu.no-events"]);
    assert_eq!(find(&checks, "smmu.no-events").reason, "0 events and others that were lost");
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

#[test]
fn a_range_of_stes_is_not_every_configuration() {
    // The same opcode; Range 31 alone makes it CMD_CFGI_ALL (IHI 0070, 4.3.2).
    for (policy, id) in [(Policy::Adopt, "adopt.invalidated"), (Policy::Reset, "reset.invalidated-before-enable")] {
        let mut world = World::new(policy);
        assert_eq!(find(&world.judge(), id).verdict, Verdict::Pass);
        let is_cfgi = |entry: &smmu::log::Entry| entry.name() == "CMD" && entry.value as u8 == 4;
        let first = world.log.iter().position(is_cfgi).unwrap();
        let at = world.log[first].address + 8;
        world.log[first..].iter_mut().find(|entry| entry.address == at).unwrap().value = 7;
        assert_eq!(find(&world.judge(), id).verdict, Verdict::Fail, "{id}");
    }
}
