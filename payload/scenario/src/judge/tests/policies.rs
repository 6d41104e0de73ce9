//! Every policy with what it documents, and what is not as documented.

use super::super::outcome;
use super::{
    find,
    verdicts::{Change, edit, still, uncounted, verdict},
    with_verdict,
    world::{Reattached, World, counts},
};
use crate::{Policy, judge::StreamEvidence, policy::behaviour, quiesce::Means};
use addr::{PhysAddr, StreamId};
use alloc::vec::Vec;
use smmu::{
    event::Counts,
    queue::QueueError,
    spec::{
        event::id,
        registers::{self as reg, Cr0},
    },
    takeover::TakeoverError,
};
use wire::record::{Outcome, Verdict};

/// Policy, check, what makes it fail, what leaves it not covered.
pub(super) const OTHERS: &[(Policy, &str, Change, Change)] = &[
    (
        Policy::Bypass,
        "dma.as-documented",
        |w| w.streams[0].cuts.end = counts(60, 31, 29),
        |w| w.streams[0].cuts.end = w.streams[0].cuts.takeover,
    ),
    (Policy::Abort, "dma.as-documented", |w| w.streams[1].cuts.end = counts(60, 60, 0), uncounted),
    (Policy::ResetAttach, "dma.as-documented", |w| w.streams[2].cuts.end = counts(60, 45, 15), still),
    (Policy::Abort, "off.gbpa-set", |w| edit(w, reg::GBPA, |value| value ^ 1 << 20), |w| w.log.clear()),
    (Policy::Bypass, "off.gbpa-set", |w| edit(w, reg::GBPA, |value| value ^ 1 << 20), |w| w.before.cr0 = Cr0::new()),
    (Policy::Abort, "off.disabled", |w| w.after.as_mut().unwrap().cr0ack.set_smmuen(true), |w| w.after = None),
    (Policy::Bypass, "off.disabled", |w| w.after.as_mut().unwrap().gbpa.set_abort(true), |w| w.no_smmu = true),
    (Policy::ResetAttach, "evtq.recorded", |w| w.events = Some(Counts::with_capacity(4)), |w| w.events = None),
    (Policy::QuiesceDriver, "quiesce.silent", |w| w.streams[0].cuts.end = counts(31, 30, 0), |w| w.streams.clear()),
    (Policy::QuiesceBme, "quiesce.silent", |w| w.streams[0].cuts.end = counts(31, 31, 0), |w| w.streams.clear()),
    (Policy::AdoptAttach, "attach.completed", |w| attach(w).is_armed = false, |w| w.attach = None),
    (Policy::AdoptAttach, "attach.asid-fresh", |w| w.known[1].asid = 10, |w| w.attach = None),
    (
        Policy::AdoptAttach,
        "attach.no-stale-translation",
        |w| w.streams[0].at_end = counts(40, 39, 1),
        |w| w.streams[0].at_end = counts(0, 0, 0),
    ),
    (Policy::AdoptAttach, "attach.delivered", |w| w.streams[0].at_end = counts(40, 39, 0), |w| attach(w).overruns = 1),
    (
        Policy::AdoptAttach,
        "attach.others-live",
        |w| w.streams[1].at_end.attempted += 1,
        |w| w.streams[1].at_end = w.streams[1].cuts.end,
    ),
    (
        Policy::AdoptAttach,
        "attach.others-untouched",
        |w| w.streams[1].ste_at_end = Some([1; 8]),
        |w| w.streams[1].ste_at_end = None,
    ),
];

fn attach(world: &mut World) -> &mut Reattached {
    world.attach.as_mut().unwrap()
}

/// Checks that fail as documented; every other one passes or does not apply.
fn documented(policy: Policy) -> &'static [&'static str] {
    let reset = &["dma.no-blocked", "dma.no-mis-steer", "dma.delivered-after", "rmr.ste-unchanged"];
    match policy {
        Policy::Adopt => &[],
        Policy::AdoptV7 => &["adopt.identifiers-reserved"],
        Policy::AdoptRmrBypass => {
            &["dma.no-mis-steer", "adopt.tables-identical", "adopt.no-table-stores", "rmr.ste-unchanged"]
        }
        Policy::Reset | Policy::ResetEvtq => reset,
        Policy::ResetAttach => &["dma.no-blocked", "dma.delivered-after", "rmr.ste-unchanged", "smmu.no-events"],
        Policy::Abort => &["dma.no-blocked", "dma.delivered-after"],
        Policy::Bypass => &["dma.no-mis-steer", "dma.delivered-after"],
        Policy::QuiesceBme
        | Policy::QuiesceDriver
        | Policy::QuiesceFlr
        | Policy::QuiesceBusReset
        | Policy::QuiesceDpc => &["rmr.ste-unchanged"],
        Policy::AdoptAttach => &[],
        Policy::AdoptV7Attach => {
            &["adopt.identifiers-reserved", "attach.asid-fresh", "attach.no-stale-translation", "attach.delivered"]
        }
    }
}

#[test]
fn every_policy_passes_with_what_it_documents() {
    for policy in Policy::ALL {
        let checks = World::new(policy).judge();
        assert_eq!(with_verdict(&checks, Verdict::Fail), documented(policy), "{policy}");
        let unexpected: Vec<_> = checks.iter().filter(|check| !check.is_as_expected()).collect();
        assert_eq!((unexpected.len(), outcome(&checks, None)), (0, Outcome::Pass), "{policy}: {unexpected:?}");
    }
}

#[test]
fn no_policy_passes_with_what_another_documents() {
    for policy in Policy::ALL {
        for other in Policy::ALL {
            let (own, others) = (behaviour(policy).expectation, behaviour(other).expectation);
            let courses = [own, others].map(|e| [e.of(false), e.of(true)]);
            if courses[0] == courses[1] {
                continue;
            }
            let mut world = World::new(policy);
            world.streams = World::new(other).streams;
            assert_eq!(outcome(&world.judge(), None), Outcome::Fail, "{policy} that behaves like {other}");
        }
    }
}

#[test]
fn a_stream_without_a_level_2_table_must_be_recorded() {
    let bad_streamid = |world: &mut World| {
        world.streams[0].ste_after = None;
        let [sid, id] = [world.known[0].stream_id.0, id::C_BAD_STREAMID.into()].map(u64::from);
        world.events.as_mut().unwrap().add([id | sid << 32, 0, 0, 0]);
    };
    assert_eq!(verdict(Policy::ResetEvtq, "evtq.recorded", |_| {}), Verdict::Skip);
    assert_eq!(verdict(Policy::ResetEvtq, "evtq.recorded", |w| w.streams[0].ste_after = None), Verdict::Fail);
    assert_eq!(verdict(Policy::ResetEvtq, "evtq.recorded", bad_streamid), Verdict::Pass);
    let mut world = World::new(Policy::ResetEvtq);
    bad_streamid(&mut world);
    assert_eq!(outcome(&world.judge(), None), Outcome::Pass);
    let lossy = |world: &mut World| (world.streams[0].ste_after, world.events_lost) = (None, true);
    assert_eq!(verdict(Policy::ResetEvtq, "evtq.recorded", lossy), Verdict::NotCovered);
    // The same events under a policy that turns the queue off are not as documented.
    let mut world = World::new(Policy::Reset);
    bad_streamid(&mut world);
    assert_eq!(outcome(&world.judge(), None), Outcome::Fail);
}

#[test]
fn where_nothing_is_left_to_move_that_is_no_lack() {
    let checks = World::new(Policy::QuiesceDriver).judge();
    for id in ["dma.live-after", "dma.delivered-after", "reset.blocks-dma", "reset.rmr-bypassed"] {
        let check = find(&checks, id);
        assert_eq!((check.verdict, check.must_run), (Verdict::Skip, false), "{id}");
    }
    assert_eq!(find(&checks, "dma.live-blackout").verdict, Verdict::Pass);
    // A counter that runs on behind a closed door is told, and excused where nothing stops it.
    let counts_on = |world: &mut World| world.streams[0].cuts.end = counts(60, 30, 0);
    let mut muted = World::new(Policy::QuiesceBme);
    muted.streams[0].means = Some(Means::BusMaster);
    counts_on(&mut muted);
    let checks = muted.judge();
    assert_eq!(find(&checks, "dma.no-blocked").verdict, Verdict::Fail);
    assert_eq!(outcome(&checks, None), Outcome::Pass);
    assert_eq!(verdict(Policy::QuiesceDriver, "quiesce.silent", counts_on), Verdict::Fail);
}

#[test]
fn a_device_that_goes_on_after_it_was_stopped_is_no_pass() {
    let silent = |spoil: fn(&mut StreamEvidence)| {
        let mut world = World::new(Policy::QuiesceFlr);
        spoil(&mut world.streams[0]);
        let checks = world.judge();
        (find(&checks, "quiesce.silent").verdict, outcome(&checks, None))
    };
    assert_eq!(silent(|_| {}), (Verdict::Pass, Outcome::Pass));
    let goes_on = |stream: &mut StreamEvidence| stream.cuts.end = counts(60, 60, 0);
    let counts_on = |stream: &mut StreamEvidence| stream.cuts.end = counts(60, 30, 0);
    assert_eq!(silent(goes_on), (Verdict::Fail, Outcome::Fail));
    assert_eq!(silent(counts_on), (Verdict::Fail, Outcome::Fail));
    // A function that is not reset may count on, and one that ignores its command register is seen.
    let by_bus_master = |stream: &mut StreamEvidence| {
        (stream.means, stream.cuts.end) = (Some(Means::BusMaster), counts(60, 30, 0));
    };
    assert_eq!(silent(by_bus_master), (Verdict::Pass, Outcome::Pass));
    let ignores_it = |stream: &mut StreamEvidence| {
        (stream.means, stream.cuts.end) = (Some(Means::BusMaster), counts(60, 31, 0));
    };
    assert_eq!(silent(ignores_it), (Verdict::Fail, Outcome::Fail));
    // What a device that was reset cannot be asked, its windows tell.
    let writes = |stream: &mut StreamEvidence| stream.landed_when_stopped = Some(PhysAddr(0x4000_0000));
    assert_eq!(silent(writes), (Verdict::Fail, Outcome::Fail));
    assert_eq!(silent(|stream| stream.landed_since_stopped = 1), (Verdict::Fail, Outcome::Fail));
    assert_eq!(silent(|stream| stream.means = None), (Verdict::NotCovered, Outcome::Fail));
}

#[test]
fn what_strays_before_the_domain_is_told_and_excused() {
    let mut world = World::new(Policy::ResetAttach);
    (world.streams[2].cuts.takeover, world.streams[2].cuts.end) = (counts(30, 28, 2), counts(60, 43, 2));
    let checks = world.judge();
    assert_eq!(find(&checks, "dma.no-mis-steer").verdict, Verdict::Fail);
    assert_eq!(outcome(&checks, None), Outcome::Pass);
    // Not once it is attached.
    world.streams[2].cuts.end = counts(60, 42, 3);
    assert_eq!(outcome(&world.judge(), None), Outcome::Fail);
}

#[test]
fn an_entry_cleared_under_a_live_stream_may_refuse_it_for_a_moment() {
    let mut world = World::new(Policy::AdoptRmrBypass);
    (world.streams[2].cuts.takeover, world.streams[2].cuts.end) = (counts(30, 28, 0), counts(60, 43, 15));
    let checks = world.judge();
    assert_eq!(find(&checks, "dma.no-blocked").verdict, Verdict::Fail);
    assert_eq!(outcome(&checks, None), Outcome::Pass);
    // Not for longer, and no other stream.
    world.streams[2].cuts.end = counts(61, 43, 15);
    assert_eq!(outcome(&world.judge(), None), Outcome::Fail);
    let mut world = World::new(Policy::AdoptRmrBypass);
    (world.streams[0].cuts.takeover, world.streams[0].cuts.end) = (counts(30, 28, 0), counts(60, 58, 0));
    assert_eq!(outcome(&world.judge(), None), Outcome::Fail);
}

#[test]
fn an_adoption_without_rmr_streams_writes_no_table() {
    let mut world = World::new(Policy::AdoptRmrBypass);
    world.log.retain(|entry| entry.name() != "STE" || entry.op == smmu::log::Op::Load);
    world.digest_after = World::new(Policy::Adopt).digest_after;
    world.drop_stream(2);
    assert_eq!(with_verdict(&world.judge(), Verdict::Fail), [""; 0]);
}

#[test]
fn a_stale_translation_is_luck_on_silicon_and_certain_under_qemu() {
    let run = |iidr, totals, change: fn(&mut World)| {
        let mut world = World::new(Policy::AdoptV7Attach);
        world.before.iidr = iidr;
        world.streams[0].at_end = totals;
        change(&mut world);
        outcome(&world.judge(), None)
    };
    let (all, some, none) = (counts(40, 0, 40), counts(40, 25, 15), counts(40, 40, 0));
    // QEMU does not evict: no stale hit means that nothing was shown.
    assert_eq!(run(0, all, |_| {}), Outcome::Pass);
    assert_eq!(run(0, none, |_| {}), Outcome::Fail);
    for totals in [all, some, none] {
        assert_eq!(run(0x43B, totals, |_| {}), Outcome::Pass, "{totals:?}");
    }
    // That the ASID was in use does not depend on luck, nor does a device that stands still.
    assert_eq!(run(0x43B, none, |world| world.known.iter_mut().for_each(|known| known.asid += 100)), Outcome::Fail);
    assert_eq!(run(0x43B, counts(0, 0, 0), |_| {}), Outcome::Fail);
    // With a reserved one there is no luck.
    let mut world = World::new(Policy::AdoptAttach);
    (world.before.iidr, world.streams[0].at_end) = (0x43B, some);
    assert_eq!(outcome(&world.judge(), None), Outcome::Fail);
}

#[test]
fn only_the_attached_entry_may_be_written() {
    let stored = |address, structure| {
        let mut world = World::new(Policy::AdoptAttach);
        let mut entry = world.log[0];
        (entry.op, entry.address) = (smmu::log::Op::Store, address);
        entry.what = smmu::log::What::Structure(structure);
        attach(&mut world).log.push(entry);
        find(&world.judge(), "attach.others-untouched").verdict
    };
    let at = attach(&mut World::new(Policy::AdoptAttach)).attached.unwrap().ste_at.0;
    use smmu::access::Structure::{Cd, Ste};
    assert_eq!(stored(at, Ste), Verdict::Pass);
    assert_eq!(stored(at + 64, Ste), Verdict::Fail);
    assert_eq!(stored(at, Cd), Verdict::Fail);
}

#[test]
fn an_attach_that_did_not_come_about_is_told() {
    for change in [
        (|world| attach(world).attached = Err(TakeoverError::Domain { stream: StreamId(0x10) })) as Change,
        |world| attach(world).attached.as_mut().unwrap().ignored = Some(QueueError::Refused { code: 1, cons: 2 }),
        |world| attach(world).stream = 9,
    ] {
        let mut world = World::new(Policy::AdoptAttach);
        change(&mut world);
        let completed = find(&world.judge(), "attach.completed").clone();
        assert!(!completed.is_as_expected(), "{completed:?}");
        assert_eq!(outcome(&world.judge(), None), Outcome::Fail);
    }
}
