//! A stream whose device does not count its attempts: what arrives and signs of refusal stand for them.

use super::{World, counts, find, with_verdict};
use crate::{Policy, judge::outcome, phase::Cuts, quiesce::Means};
use alloc::vec::Vec;
use handover::oracle::STREAM_NO_ATTEMPTS;
use wire::record::{Outcome, Verdict};

/// The second stream does not count; it arrives as it did, and is refused as `refusals` say.
fn uncounted(policy: Policy, refusals: [u64; 3]) -> World {
    let mut world = World::new(policy);
    world.known[1].flags |= STREAM_NO_ATTEMPTS;
    let cuts = &mut world.streams[1].cuts;
    for totals in [&mut cuts.armed, &mut cuts.crash, &mut cuts.takeover, &mut cuts.end] {
        totals.attempted = 0;
    }
    cuts.refusals = refusals;
    world
}

fn failed(world: &World) -> Vec<&'static str> {
    with_verdict(&world.judge(), Verdict::Fail)
}

fn not_covered(world: &World) -> Vec<&'static str> {
    with_verdict(&world.judge(), Verdict::NotCovered)
}

#[test]
fn one_that_arrives_passes_an_adoption() {
    let world = uncounted(Policy::Adopt, [0; 3]);
    assert_eq!(outcome(&world.judge(), None), Outcome::Pass);
}

#[test]
fn one_that_was_stopped_covers_nothing_after_an_adoption() {
    let mut world = uncounted(Policy::Adopt, [0; 3]);
    world.streams[1].cuts.end = world.streams[1].cuts.takeover;
    assert_eq!(not_covered(&world), ["dma.live-after", "dma.delivered-after"]);
    world.streams[1].cuts.takeover = world.streams[1].cuts.crash;
    world.streams[1].cuts.end = world.streams[1].cuts.crash;
    assert!(not_covered(&world).contains(&"dma.live-blackout"));
    world.streams[1].cuts = Cuts::default();
    assert!(not_covered(&world).contains(&"dma.live-before"));
}

#[test]
fn a_sign_of_refusal_fails_an_adoption_in_its_phase() {
    let mut world = uncounted(Policy::Adopt, [0, 0, 1]);
    assert_eq!(failed(&world), ["dma.no-blocked"]);
    let checks = world.judge();
    let reason = &find(&checks, "dma.no-blocked").reason;
    assert!(reason.contains("1 signs of refusal in phase after"), "{reason}");
    // Refused, and nothing arrives: it is live, and what it lost is seen.
    world.streams[1].cuts.end = world.streams[1].cuts.takeover;
    assert_eq!(failed(&world), ["dma.no-blocked", "dma.delivered-after"]);
    assert_eq!(not_covered(&world), [""; 0]);
    let before = uncounted(Policy::Adopt, [1, 1, 1]);
    assert_eq!(failed(&before), ["dma.no-blocked", "dma.delivered-before"]);
}

#[test]
fn a_reset_needs_signs_of_refusal() {
    for policy in [Policy::Reset, Policy::Abort] {
        let id = if policy == Policy::Reset { "reset.blocks-dma" } else { "dma.as-documented" };
        let refused = uncounted(policy, [0, 0, 2]);
        assert_eq!(find(&refused.judge(), id).verdict, Verdict::Pass);
        assert_eq!(outcome(&refused.judge(), None), Outcome::Pass);
        // Silent: stopped, for all that is known.
        let silent = uncounted(policy, [0; 3]);
        assert_eq!(find(&silent.judge(), id).verdict, Verdict::NotCovered);
        assert!(not_covered(&silent).contains(&"dma.live-after"));
        // Refused once, in the phase before, says nothing of this one.
        let earlier = uncounted(policy, [0, 2, 2]);
        assert_eq!(find(&earlier.judge(), id).verdict, Verdict::NotCovered);
        // Something got through.
        let mut leaking = uncounted(policy, [0, 0, 2]);
        leaking.streams[1].cuts.end.delivered += 1;
        assert_eq!(find(&leaking.judge(), id).verdict, Verdict::Fail);
        let mut unrefused = uncounted(policy, [0; 3]);
        unrefused.streams[1].cuts.end.delivered += 1;
        assert_eq!(find(&unrefused.judge(), id).verdict, Verdict::Fail);
    }
}

#[test]
fn a_device_that_still_tries_is_not_silent() {
    let quiet = uncounted(Policy::QuiesceDriver, [0; 3]);
    assert_eq!(outcome(&quiet.judge(), None), Outcome::Pass);
    let trying = uncounted(Policy::QuiesceDriver, [0, 0, 1]);
    assert_eq!(find(&trying.judge(), "quiesce.silent").verdict, Verdict::Fail);
    // Only muted: it may try, and in vain.
    let mut muted = uncounted(Policy::QuiesceBme, [0, 0, 1]);
    muted.streams.iter_mut().for_each(|stream| stream.means = Some(Means::BusMaster));
    assert_eq!(find(&muted.judge(), "quiesce.silent").verdict, Verdict::Pass);
}

#[test]
fn where_nobody_counts_no_blocked_needs_a_sign() {
    let mut world = World::new(Policy::Adopt);
    super::verdicts::uncounted(&mut world);
    assert_eq!(find(&world.judge(), "dma.no-blocked").verdict, Verdict::NotCovered);
    world.streams[0].cuts.refusals = [0, 1, 1];
    assert_eq!(find(&world.judge(), "dma.no-blocked").verdict, Verdict::Fail);
}

#[test]
fn signs_of_a_device_that_counts_are_none() {
    let mut world = World::new(Policy::Adopt);
    world.streams[1].cuts.refusals = [5, 6, 7];
    world.streams[1].cuts.end = counts(60, 60, 0);
    assert_eq!(outcome(&world.judge(), None), Outcome::Pass);
}
