//! Every check: one thing that makes it fail, one that leaves it not covered. That it passes, the good worlds show.

use super::super::{AbortTaken, rules::RULES};
use super::damages::DAMAGES;
use super::policies::OTHERS;
use super::{
    crash::IDS,
    find,
    world::{SMMU, World, counts},
};
use crate::Policy;
use alloc::{collections::BTreeSet, string::String, vec, vec::Vec};
use handover::{HandoverError, oracle::STREAM_NO_ATTEMPTS};
use smmu::{
    access::{SmmuIndex, Structure},
    log::{Entry, Op, What},
    spec::registers::{self as reg, Cr0, Gerror},
};
use wire::record::Verdict;

pub(super) type Change = fn(&mut World);

const BAD_CRC: HandoverError = HandoverError::Crc { block: "oracle", found: 1, expected: 2 };

/// Check, what makes it fail, what leaves it not covered, for `adopt`. `None`: it always runs.
const ADOPT: &[(&str, Change, Option<Change>)] = &[
    ("handover.verified", |w| w.boot = Err(BAD_CRC), None),
    ("oracle.fresh", |w| w.oracle_cycle += 1, Some(|w| w.oracle_error = Some(BAD_CRC))),
    ("log.complete", |w| w.log_overflowed = true, Some(|w| w.log.clear())),
    ("dma.counts-consistent", |w| w.streams[1].cuts.end.delivered += 1, Some(|w| w.streams[1].overruns = 1)),
    ("dma.no-blocked", |w| w.streams[1].cuts.end.attempted += 1, Some(uncounted)),
    ("dma.no-mis-steer", mis_steer, Some(still)),
    (
        "dma.delivered-after",
        |w| w.streams[1].cuts.end = counts(60, 30, 0),
        Some(|w| w.streams[1].cuts.end = w.streams[1].cuts.takeover),
    ),
    (
        "dma.delivered-before",
        |w| w.streams[1].cuts.crash = counts(11, 10, 0),
        Some(|w| w.streams[1].cuts.crash = counts(0, 0, 0)),
    ),
    ("adopt.adopted", |w| w.taken = World::new(Policy::Reset).taken, Some(|w| w.no_smmu = true)),
    ("adopt.smmuen-kept", |w| edit(w, reg::CR0, |value| value & !1), Some(|w| w.after = None)),
    ("adopt.strtab-untouched", |w| write(w, reg::STRTAB_BASE_CFG, 0), Some(|w| w.after = None)),
    ("adopt.cr1-cr2-untouched", |w| write(w, reg::CR2, 7), Some(|w| w.after = None)),
    ("adopt.gbpa-untouched", |w| write(w, reg::GBPA, 0), Some(|w| w.after = None)),
    ("adopt.tables-identical", |w| w.left[0].level2_digest ^= 1, Some(|w| w.digest_after = None)),
    ("adopt.no-table-stores", |w| store(w, Structure::Cd), Some(|w| w.log.clear())),
    ("adopt.cr0-sequence", |w| edit(w, reg::CR0, |value| value | 4), Some(|w| w.log_overflowed = true)),
    ("adopt.invalidated", |w| w.log.retain(|entry| entry.name() != "CMD"), Some(|w| w.log_overflowed = true)),
    ("adopt.evtq-off", |w| write(w, reg::EVENTQ_BASE, 0), Some(|w| w.after = None)),
    ("adopt.identifiers-reserved", |w| w.known[0].asid += 100, Some(|w| w.known[0].smmu = 9)),
    (
        "rmr.ste-unchanged",
        |w| w.streams[2].ste_after = Some([9, 0, 0, 0, 0, 0, 0, 0]),
        Some(|w| w.streams[2].ste_after = None),
    ),
    ("crash.as-named", |w| w.crashed.before.cause += 1, Some(|w| w.crashed.before.cause = 0)),
    ("cpu.no-serror", |w| w.aborts = Some(vec![ABORT]), Some(|w| w.aborts = None)),
    ("pcie.no-new-errors", |w| w.functions[1].1[2].bits[0] = 1 << 14, Some(|w| w.functions_seen = 1)),
    ("smmu.no-events", |w| w.events.as_mut().unwrap().add([2, 0, 0, 0]), Some(|w| w.events = None)),
];

/// The same for `reset`.
const RESET: &[(&str, Change, Option<Change>)] = &[
    (
        "reset.abort-before-disable",
        |w| edit(w, reg::GBPA, |value| value & !(1 << 20)),
        Some(|w| w.before.cr0 = Cr0::new()),
    ),
    (
        "reset.strtab-while-disabled",
        |w| w.log.insert(0, entry(reg::STRTAB_BASE, 0)),
        Some(|w| w.before.cr0 = Cr0::new()),
    ),
    (
        "reset.invalidated-before-enable",
        |w| w.log.retain(|entry| entry.name() != "CMD"),
        Some(|w| w.before.cr0 = Cr0::new()),
    ),
    ("reset.completed", |w| w.taken = World::new(Policy::Adopt).taken, Some(|w| w.after = None)),
    (
        "reset.blocks-dma",
        |w| w.streams[1].cuts.end.delivered += 1,
        Some(|w| w.streams[1].cuts.end = w.streams[1].cuts.takeover),
    ),
    (
        "reset.rmr-bypassed",
        |w| w.streams[2].cuts.end = counts(60, 60, 0),
        Some(|w| w.streams[2].cuts.end = w.streams[2].cuts.takeover),
    ),
];

pub(super) const ABORT: AbortTaken<'static> =
    AbortTaken { step: "watch", esr: 0xBE00_0000, elr: 0, far: 0, is_serror: true, count: 1 };

fn entry(offset: u32, value: u64) -> Entry {
    let (address, what) = (offset.into(), What::Register);
    Entry { ticks: 0, smmu: SMMU, op: Op::RegWrite32, what, address, value, count: 1, stride: 0, unbacked: false }
}

pub(super) fn write(world: &mut World, offset: u32, value: u64) {
    world.log.push(entry(offset, value));
}

fn store(world: &mut World, structure: Structure) {
    let what = What::Structure(structure);
    world.log.push(Entry { op: Op::Store, what, ..entry(0x4000_0000, 0) });
}

/// Changes what was written to a register.
pub(super) fn edit(world: &mut World, offset: u32, change: fn(u64) -> u64) {
    let is_write = |entry: &&mut Entry| entry.op == Op::RegWrite32 && entry.address == u64::from(offset);
    for entry in world.log.iter_mut().filter(is_write) {
        entry.value = change(entry.value);
    }
}

pub(super) fn still(world: &mut World) {
    for stream in &mut world.streams {
        stream.cuts = Default::default();
    }
}

pub(super) fn uncounted(world: &mut World) {
    for stream in &mut world.known {
        stream.flags |= STREAM_NO_ATTEMPTS;
    }
}

fn mis_steer(world: &mut World) {
    world.streams[1].cuts.end = counts(60, 59, 1);
}

pub(super) fn verdict(policy: Policy, id: &str, change: Change) -> Verdict {
    let mut world = World::new(policy);
    change(&mut world);
    let checks = world.judge();
    let check = find(&checks, id);
    assert_eq!(check.reason.is_empty(), check.verdict == Verdict::Pass, "{id}: {}", check.reason);
    check.verdict
}

#[test]
fn every_check_can_fail_and_none_passes_without_evidence() {
    for (policy, rows) in [(Policy::Adopt, ADOPT), (Policy::Reset, RESET)] {
        for (id, fail, not_covered) in rows {
            assert_eq!(verdict(policy, id, |_| {}), Verdict::Pass, "{id}");
            assert_eq!(verdict(policy, id, *fail), Verdict::Fail, "{id}");
            if let Some(change) = not_covered {
                assert_eq!(verdict(policy, id, *change), Verdict::NotCovered, "{id}");
            }
        }
    }
    for (policy, id, fail, not_covered) in OTHERS {
        assert_eq!(verdict(*policy, id, |_| {}), Verdict::Pass, "{id}");
        assert_eq!(verdict(*policy, id, *fail), Verdict::Fail, "{id}");
        assert_eq!(verdict(*policy, id, *not_covered), Verdict::NotCovered, "{id}");
    }
}

#[test]
fn every_check_is_in_these_tables() {
    // These never fail: a phase without DMA is not covered, and damage that is not there neither.
    let found = "damage.found";
    // Of another AIDR than that of the fake: it has a test of its own.
    let guarded = "smmu.guard-strtab";
    let live = ["dma.live-before", "dma.live-blackout", "dma.live-after"];
    let tabled = ADOPT.iter().chain(RESET).map(|row| row.0).chain(OTHERS.iter().map(|row| row.1));
    let tabled = tabled.chain(DAMAGES.iter().map(|row| row.1)).chain([found, guarded]);
    let tabled: BTreeSet<&str> = tabled.chain(live).chain(IDS).collect();
    let all: BTreeSet<&str> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(tabled, all);
    for id in live {
        assert_eq!(verdict(Policy::Adopt, id, |_| {}), Verdict::Pass);
        assert_eq!(verdict(Policy::Adopt, id, still), Verdict::NotCovered);
    }
}

#[test]
fn without_an_attempt_count_liveness_goes_by_what_arrives() {
    assert_eq!(verdict(Policy::Adopt, "dma.live-after", uncounted), Verdict::Pass);
    assert_eq!(verdict(Policy::Adopt, "dma.counts-consistent", uncounted), Verdict::Pass);
    assert_eq!(verdict(Policy::Adopt, "dma.delivered-before", uncounted), Verdict::Pass);
    assert_eq!(verdict(Policy::Reset, "reset.blocks-dma", uncounted), Verdict::NotCovered);
    assert_eq!(verdict(Policy::Adopt, "dma.counts-consistent", still), Verdict::NotCovered);
}

#[test]
fn samples_that_do_not_belong_to_the_oracle_cover_nothing() {
    for id in ["dma.live-before", "dma.no-blocked", "dma.delivered-after", "rmr.ste-unchanged"] {
        let shorter: Change = |world| {
            world.streams.pop();
        };
        assert_eq!(verdict(Policy::Adopt, id, shorter), Verdict::NotCovered, "{id}");
    }
}

#[test]
fn an_overflowed_log_covers_no_check_that_reads_it() {
    let mut world = World::with(Policy::Adopt, None, |hw| hw.unit(SMMU).raise(Gerror::new().with_cmdq_err(true)));
    world.log_overflowed = true;
    // Not even a failure that the beginning of the log shows.
    write(&mut world, reg::STRTAB_BASE, 0);
    let checks = world.judge();
    let uncovered: Vec<&str> = super::with_verdict(&checks, Verdict::NotCovered);
    let by_log: Vec<&str> =
        RULES.iter().filter(|rule| rule.needs_log && rule.id.starts_with("adopt.")).map(|rule| rule.id).collect();
    assert_eq!(uncovered, by_log);
}

#[test]
fn an_smmu_that_was_not_logged_is_not_judged_by_the_log() {
    for (policy, clear) in [(Policy::Adopt, true), (Policy::Reset, true), (Policy::Adopt, false)] {
        let mut world = World::new(policy);
        if clear {
            world.log.clear();
        }
        // What was logged is of another SMMU.
        world.log.iter_mut().for_each(|entry| entry.smmu = SmmuIndex(1));
        let checks = world.judge();
        for check in RULES.iter().filter(|rule| rule.needs_log).map(|rule| find(&checks, rule.id)) {
            assert!(matches!(check.verdict, Verdict::NotCovered | Verdict::Skip), "{}", check.id);
        }
    }
}

#[test]
fn an_early_change_of_cr0_is_seen() {
    let no_ack: Change = |world| world.log.retain(|entry| entry.name() != "CR0ACK");
    assert_eq!(verdict(Policy::Adopt, "adopt.cr0-sequence", no_ack), Verdict::Fail);
    let none: Change = |world| world.log.retain(|entry| entry.name() != "CR0");
    assert_eq!(verdict(Policy::Adopt, "adopt.cr0-sequence", none), Verdict::Fail);
    let first: Change = |world| world.log.insert(0, entry(reg::CR0, 9));
    assert_eq!(verdict(Policy::Adopt, "adopt.cr0-sequence", first), Verdict::Fail);
}

#[test]
fn an_old_error_must_be_acknowledged_before_the_queue_starts() {
    let crashed = World::with(Policy::Adopt, None, |hw| hw.unit(SMMU).raise(Gerror::new().with_cmdq_err(true)));
    let checks = crashed.judge();
    assert_eq!(find(&checks, "adopt.gerror-acknowledged").verdict, Verdict::Pass);
    let mut late = crashed;
    let place = late.log.iter().position(|entry| entry.name() == "GERRORN" && entry.op == Op::RegWrite32).unwrap();
    let acknowledge = late.log.remove(place);
    late.log.push(acknowledge);
    assert_eq!(find(&late.judge(), "adopt.gerror-acknowledged").verdict, Verdict::Fail);
}

#[test]
fn without_an_active_error_there_is_none_to_acknowledge() {
    let check = |change: Change| {
        let mut world = World::new(Policy::Adopt);
        change(&mut world);
        let check = find(&world.judge(), "adopt.gerror-acknowledged").clone();
        (check.verdict, check.is_as_expected())
    };
    assert_eq!(check(|_| {}), (Verdict::Skip, true));
    let checks = World::new(Policy::Adopt).judge();
    let skipped = find(&checks, "adopt.gerror-acknowledged");
    assert_eq!(
        (skipped.expected, skipped.must_run, &skipped.reason[..]),
        (Verdict::Skip, false, "no error was active")
    );
    // One that the takeover itself brought about is none to pass over.
    let later: Change = |w| w.after.as_mut().unwrap().gerror = Gerror::new().with_eventq_abt_err(true);
    assert_eq!(check(later), (Verdict::Fail, false));
}

/// A reset whose invalidations are moved behind the log entry that `to` finds.
fn invalidated_after(to: fn(&Entry) -> bool) -> (Verdict, String) {
    let mut world = World::new(Policy::Reset);
    let first = world.log.iter().position(|entry| entry.name() == "CMD").unwrap();
    let last = world.log.iter().rposition(|entry| entry.name() == "CMDQ_CONS" && entry.op == Op::RegRead32).unwrap();
    let commands: Vec<Entry> = world.log.drain(first..=last).collect();
    let to = world.log.iter().position(to).unwrap() + 1;
    world.log.splice(to..to, commands);
    let checks = world.judge();
    let check = find(&checks, "reset.invalidated-before-enable");
    (check.verdict, check.reason.clone())
}

#[test]
fn what_is_invalidated_before_the_unit_is_off_is_cached_again() {
    // CR0 was written 0, and CR0ACK was not seen to follow.
    let (verdict, reason) =
        invalidated_after(|entry| entry.name() == "CR0" && entry.value & 1 == 0 && entry.op == Op::RegWrite32);
    assert_eq!((verdict, &reason[..]), (Verdict::Fail, "not completed: CFGI_ALL, TLBI_NSNH_ALL"));
    let (verdict, _) = invalidated_after(|entry| entry.name() == "CR0ACK" && entry.value & 1 == 0);
    assert_eq!(verdict, Verdict::Pass);
}

#[test]
fn the_invalidation_that_is_missing_is_named() {
    let without = |opcode| {
        let mut world = World::new(Policy::Reset);
        // A command of another kind stands in its place.
        let command = world
            .log
            .iter_mut()
            .find(|entry| entry.name() == "CMD" && entry.address % 16 == 0 && entry.value == opcode);
        command.unwrap().value = 1;
        find(&world.judge(), "reset.invalidated-before-enable").reason.clone()
    };
    assert_eq!(without(4), "not completed: CFGI_ALL");
    assert_eq!(without(0x30), "not completed: TLBI_NSNH_ALL");
    let mut hyp = World::with(Policy::Reset, None, |hw| hw.unit(SMMU).edit_idr0(|idr0| idr0.with_hyp(true)));
    assert_eq!(find(&hyp.judge(), "reset.invalidated-before-enable").verdict, Verdict::Pass);
    hyp.log.iter_mut().filter(|entry| entry.name() == "CMD" && entry.value == 0x20).for_each(|entry| entry.value = 1);
    assert_eq!(find(&hyp.judge(), "reset.invalidated-before-enable").reason, "not completed: TLBI_EL2_ALL");
}

#[test]
fn an_adoption_that_fell_back_says_why() {
    let crashed = World::with(Policy::Adopt, None, |hw| hw.unit(SMMU).raise(Gerror::new().with_sfm_err(true)));
    let checks = crashed.judge();
    let adopted = find(&checks, "adopt.adopted");
    assert_eq!(adopted.verdict, Verdict::Fail);
    assert!(adopted.reason.starts_with("reset instead: service-failure: GERROR holds"), "{}", adopted.reason);
}

#[test]
fn invalidation_must_be_complete_before_the_unit_is_enabled() {
    // The wait for the last CMD_SYNC comes after SMMUEN.
    let late: Change = |world| {
        let enable = world.log.iter().rposition(|entry| entry.name() == "CR0" && entry.op == Op::RegWrite32).unwrap();
        let waits: Vec<Entry> = world.log[..enable]
            .iter()
            .filter(|entry| entry.name() == "CMDQ_CONS" && entry.op == Op::RegRead32)
            .copied()
            .collect();
        world.log.retain(|entry| !(entry.name() == "CMDQ_CONS" && entry.op == Op::RegRead32));
        world.log.extend(waits);
    };
    assert_eq!(verdict(Policy::Reset, "reset.invalidated-before-enable", late), Verdict::Fail);
}
