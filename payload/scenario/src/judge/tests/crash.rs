//! Crash kinds: each has its evidence, and another kind's evidence is not taken for it.

use super::{
    find,
    world::{NOTE, World},
};
use crate::{Crash, Policy, crash::FAULT_ADDRESS};
use alloc::vec::Vec;
use handover::crash_note::{CAUSE_EXCEPTION, CAUSE_PANIC, CrashNote};
use wire::record::{Outcome, Verdict};

/// ESR_EL2 of a translation fault at level 0 (class 0x25), and of an SError that was taken for a fault.
const ABORT: u64 = 0x9600_0004;
const SERROR: u64 = 0xbe00_0000;

/// Checks that are about one kind of crash.
pub(super) const IDS: [&str; 2] = ["cpu.other-than-boot", "cpu.others-ran"];

/// A good adoption after a crash of this kind.
fn crashed(crash: Crash) -> World {
    let mut world = World::new(Policy::Adopt);
    world.scenario.crash = crash;
    let crashed = &mut world.crashed;
    match crash {
        Crash::Jump => {}
        Crash::Panic => crashed.before = CrashNote { cause: CAUSE_PANIC, ..NOTE },
        Crash::Fault => {
            crashed.before = CrashNote { cause: CAUSE_EXCEPTION, esr: ABORT, far: FAULT_ADDRESS, ..NOTE };
        }
        Crash::HungCpu => {
            crashed.before = CrashNote { spins: 90_000, rings: 5, ..NOTE };
            crashed.after = CrashNote { spins: 190_000, rings: 11, ..NOTE };
        }
        Crash::OtherCpu => crashed.taker_cpu = 0x100,
    }
    world
}

fn verdict(crash: Crash, id: &str, change: impl FnOnce(&mut World)) -> Verdict {
    let mut world = crashed(crash);
    change(&mut world);
    let checks = world.judge();
    let outcome = super::outcome(&checks, None);
    let check = find(&checks, id);
    let is_good = check.verdict == check.expected;
    assert_eq!(outcome == Outcome::Pass, is_good, "{id} decides the cycle: {}", check.reason);
    check.verdict
}

#[test]
fn every_kind_passes_on_its_own_evidence() {
    for crash in Crash::ALL {
        let checks = crashed(crash).judge();
        let broken: Vec<_> = checks.iter().filter(|check| !check.is_as_expected()).collect();
        assert!(broken.is_empty(), "{}: {broken:?}", crash.name());
        assert_eq!(find(&checks, "crash.as-named").verdict, Verdict::Pass);
        for (id, own) in IDS.into_iter().zip([Crash::OtherCpu, Crash::HungCpu]) {
            let (check, is_own) = (find(&checks, id), crash == own);
            assert_eq!((check.must_run, check.verdict == Verdict::Pass), (is_own, is_own), "{id}");
            assert_eq!(check.verdict == Verdict::Skip, !is_own, "{id}");
        }
    }
}

#[test]
fn a_crash_that_came_another_way_is_seen() {
    for crash in Crash::ALL {
        for other in [Crash::Jump, Crash::Panic, Crash::Fault] {
            let note = crashed(other).crashed.before;
            let found = verdict(crash, "crash.as-named", |world| {
                let before = &mut world.crashed.before;
                *before = CrashNote { spins: before.spins, rings: before.rings, ..note };
            });
            let calls = [Crash::Jump, Crash::HungCpu, Crash::OtherCpu];
            let is_alike = crash == other || calls.contains(&crash) && calls.contains(&other);
            assert_eq!(found, if is_alike { Verdict::Pass } else { Verdict::Fail }, "{crash:?} by {other:?}");
        }
        let none = verdict(crash, "crash.as-named", |world| world.crashed.before.cause = 0);
        assert_eq!(none, Verdict::NotCovered);
    }
}

#[test]
fn another_fault_than_the_planned_one_is_seen() {
    let elsewhere = verdict(Crash::Fault, "crash.as-named", |world| world.crashed.before.far = 0x10);
    assert_eq!(elsewhere, Verdict::Fail);
    let serror = verdict(Crash::Fault, "crash.as-named", |world| world.crashed.before.esr = SERROR);
    assert_eq!(serror, Verdict::Fail);
}

#[test]
fn a_taker_on_the_boot_cpu_is_seen() {
    let same = verdict(Crash::OtherCpu, "cpu.other-than-boot", |world| world.crashed.boot_cpu = 0x100);
    assert_eq!(same, Verdict::Fail);
    let highest = verdict(Crash::OtherCpu, "cpu.other-than-boot", |world| {
        (world.crashed.boot_cpu, world.crashed.taker_cpu) = (0, 1 << 32);
    });
    assert_eq!(highest, Verdict::Pass);
}

#[test]
fn cpus_that_stopped_are_no_hung_cpus() {
    let found = |change: fn(&mut World)| verdict(Crash::HungCpu, "cpu.others-ran", change);
    assert_eq!(found(|world| world.crashed.after.spins = world.crashed.before.spins), Verdict::Fail);
    assert_eq!(found(|world| world.crashed.after.rings = world.crashed.before.rings), Verdict::Fail);
    assert_eq!(found(|world| world.crashed.after.rings = 0), Verdict::Fail);
    assert_eq!(found(|world| world.crashed.before.spins = 0), Verdict::NotCovered);
    assert_eq!(found(|world| world.crashed.before.rings = 0), Verdict::NotCovered);
}
