//! Every damage with what it documents, and what is not as documented.

extern crate std;

use super::super::outcome;
use super::{
    find,
    verdicts::{Change, edit, write},
    with_verdict,
    world::{World, counts},
};
use crate::{Damage, Policy, Scenario};
use alloc::vec::Vec;
use smmu::{
    access::Structure,
    log::Op,
    spec::registers::{self as reg, Cr0},
    spec::ste::Ste2,
    takeover::{IdSet, Refusal, Rule},
    translation::Identifier,
};
use wire::record::{Outcome, Verdict};

fn scenario(policy: Policy, name: &str) -> Scenario {
    Scenario { damage: Damage::parse(name).unwrap(), ..Scenario::plain(policy) }
}

fn world(name: &str) -> World {
    let scenario = scenario(Policy::Adopt, name);
    World::damaged(scenario, scenario.damage)
}

fn broken(world: &World) -> Vec<&'static str> {
    world.judge().iter().filter(|check| !check.is_as_expected()).map(|check| check.id).collect()
}

#[test]
fn every_damage_passes_with_what_it_documents() {
    for damage in Damage::all().skip(1) {
        let world = world(damage.name());
        assert_eq!(broken(&world), [""; 0], "{}: {:?}", damage.name(), world.taken);
        let checks = world.judge();
        assert_eq!(outcome(&checks, None), Outcome::Pass, "{}", damage.name());
        for id in ["damage.found", "damage.rule-fired"] {
            assert_eq!(find(&checks, id).verdict, Verdict::Pass, "{}", damage.name());
        }
        let contained = if damage.is_adopted() { Verdict::Skip } else { Verdict::Pass };
        assert_eq!(find(&checks, "damage.contained").verdict, contained, "{}", damage.name());
        let adopted = find(&checks, "adopt.adopted");
        if let Some(rule) = damage.rule(&world.before) {
            let wanted = std::format!("reset instead: {}: ", rule.name());
            assert_eq!((adopted.verdict, adopted.reason.starts_with(&wanted)), (Verdict::Skip, true), "{adopted:?}");
        }
        // A fallback shows what a reset shows, an adoption what `adopt` shows.
        let as_policy = World::new(if damage.is_adopted() { Policy::Adopt } else { Policy::Reset });
        let dma = |world: &World| {
            let of_dma = |id: &&str| id.starts_with("dma.");
            with_verdict(&world.judge(), Verdict::Fail).into_iter().filter(of_dma).collect::<Vec<_>>()
        };
        assert_eq!(dma(&world), dma(&as_policy), "{}", damage.name());
    }
}

#[test]
fn damage_that_was_not_done_is_noticed() {
    for damage in Damage::all().skip(1) {
        let world = World::damaged(scenario(Policy::Adopt, damage.name()), Damage::NONE);
        let checks = world.judge();
        assert_eq!(find(&checks, "damage.found").verdict, Verdict::NotCovered, "{}", damage.name());
        assert_eq!(outcome(&checks, None), Outcome::Fail, "{}", damage.name());
    }
}

#[test]
fn no_damage_is_taken_for_another() {
    for damage in Damage::all().skip(1) {
        for done in Damage::all().skip(1).filter(|done| *done != damage) {
            let world = World::damaged(scenario(Policy::Adopt, damage.name()), done);
            assert!(!world.damage_found, "{} is found where {} was done", damage.name(), done.name());
        }
    }
}

#[test]
fn damage_says_nothing_about_policies_that_do_not_adopt() {
    for name in ["l1-span-5", "cd-null"] {
        let scenario = scenario(Policy::Reset, name);
        let world = World::damaged(scenario, scenario.damage);
        assert_eq!(broken(&world), [""; 0]);
        let checks = world.judge();
        assert_eq!(find(&checks, "damage.found").verdict, Verdict::Pass);
        for id in ["damage.rule-fired", "damage.contained", "damage.one-refused"] {
            assert_eq!(find(&checks, id).verdict, Verdict::Skip);
        }
    }
    let off = scenario(Policy::Reset, "smmu-disabled");
    assert_eq!(broken(&World::damaged(off, off.damage)), [""; 0]);
    // Revision 7 looks at the table's shape alone: it falls back for the one, and adopts the other.
    for (name, fired) in [("l1-span-5", true), ("ste-config-unknown", false), ("asid-0", false)] {
        let scenario = scenario(Policy::AdoptV7, name);
        let world = World::damaged(scenario, scenario.damage);
        assert_eq!(world.taken.as_ref().unwrap().refusal.is_some(), fired, "{name}");
        assert_eq!(find(&world.judge(), "damage.rule-fired").verdict, Verdict::Pass, "{name}");
    }
}

/// Damage, check, what makes it fail, what leaves it not covered.
pub(super) const DAMAGES: &[(&str, &str, Change, Option<Change>)] = &[
    ("l1-span-5", "damage.rule-fired", other_rule, Some(|w| w.no_smmu = true)),
    ("l1-span-5", "damage.rule-fired", |w| w.taken = World::new(Policy::Adopt).taken, None),
    ("stale-cmdq-error", "adopt.gerror-acknowledged", unacknowledged, Some(|w| w.after = None)),
    ("stale-cmdq-error", "adopt.gerror-acknowledged", |w| w.after.as_mut().unwrap().gerrorn = w.before.gerrorn, None),
    ("asid-shared", "damage.rule-fired", |w| w.taken = world("asid-0").taken, None),
    ("l1-span-5", "damage.contained", kept_identifiers, Some(|w| w.after = None)),
    ("l1-span-5", "damage.contained", begun_adoption, Some(|w| w.log_overflowed = true)),
    ("l1-span-5", "damage.contained", stored_in_dead_table, Some(|w| w.log.clear())),
    ("l1-span-5", "damage.contained", |w| w.after.as_mut().unwrap().strtab_base = w.before.strtab_base, None),
    ("l1-span-5", "damage.contained", |w| w.after.as_mut().unwrap().cmdq_base = w.before.cmdq_base, None),
    ("smmu-disabled", "damage.contained", |w| edit(w, reg::CR0, |value| value | 1), None),
    (CHANGED, "damage.one-refused", |w| looked(w).victim = Ok(None), Some(|w| w.looked_again = None)),
    (CHANGED, "damage.one-refused", |w| looked(w).other = Ok(None), Some(|w| w.no_smmu = true)),
    (CHANGED, "damage.one-refused", |w| looked(w).other = looked(w).victim, None),
    (CHANGED, "damage.one-refused", |w| refusal(&mut looked(w).victim).rule = Rule::L2Null, None),
];

fn unacknowledged(world: &mut World) {
    world.log.retain(|entry| !(entry.name() == "GERRORN" && entry.op == Op::RegWrite32));
}

const CHANGED: &str = "table-changed-after-validation";

fn looked(world: &mut World) -> &mut crate::damage::LookedAgain {
    world.looked_again.as_mut().unwrap()
}

fn refusal<T>(result: &mut Result<T, Refusal>) -> &mut Refusal {
    result.as_mut().err().unwrap()
}

fn other_rule(world: &mut World) {
    world.taken.as_mut().unwrap().refusal.as_mut().unwrap().rule = Rule::L2Null;
}

fn kept_identifiers(world: &mut World) {
    world.taken.as_mut().unwrap().reserved.asids.insert(7);
}

/// The adoption turned the queues off before it looked at the table.
fn begun_adoption(world: &mut World) {
    write(world, reg::CR0, u32::from(Cr0::new().with_smmuen(true)).into());
    let entry = world.log.pop().unwrap();
    world.log.insert(0, entry);
}

fn stored_in_dead_table(world: &mut World) {
    let dead = world.before.strtab_base.addr();
    let store = world
        .log
        .iter_mut()
        .rfind(|entry| matches!(entry.what, smmu::log::What::Structure(Structure::L1Std)) && entry.op == Op::Store);
    store.unwrap().address = dead;
}

#[test]
fn every_check_of_damage_can_fail_and_none_passes_without_evidence() {
    for (name, id, fail, not_covered) in DAMAGES {
        let verdict = |change: Change| {
            let mut world = world(name);
            change(&mut world);
            let checks = world.judge();
            let check = find(&checks, id);
            // That one tells which rule it was.
            let is_told = check.verdict != Verdict::Pass || (*id == "damage.rule-fired" && *name != "asid-shared");
            assert_eq!(check.reason.is_empty(), !is_told, "{id}: {}", check.reason);
            check.verdict
        };
        assert_eq!(verdict(|_| {}), Verdict::Pass, "{name}: {id}");
        assert_eq!(verdict(*fail), Verdict::Fail, "{name}: {id}");
        if let Some(change) = not_covered {
            assert_eq!(verdict(*change), Verdict::NotCovered, "{name}: {id}");
        }
    }
}

/// Its window is mapped to itself: untranslated it arrives where it did before.
#[test]
fn firmwares_stream_arrives_when_it_bypasses() {
    let scenario = scenario(Policy::Bypass, "firmware-table");
    let mut world = World::damaged(scenario, scenario.damage);
    assert!(broken(&world).contains(&"dma.as-documented"));
    world.streams[2].cuts.end = counts(60, 60, 0);
    assert_eq!(broken(&world), [""; 0]);
}

#[test]
fn firmwares_vmid_must_be_reserved() {
    let mut world = world("firmware-table");
    world.taken.as_mut().unwrap().reserved.vmids = IdSet::default();
    assert_eq!(broken(&world), ["adopt.identifiers-reserved"]);
}

#[test]
fn a_full_event_queue_must_be_told() {
    let mut full = world("evtq-full");
    assert_eq!(find(&full.judge(), "smmu.no-events").verdict, Verdict::Fail);
    full.events = World::new(Policy::Adopt).events;
    assert_eq!(broken(&full), ["smmu.no-events"]);
}

#[test]
fn found_disabled_without_being_told_so_is_not_covered() {
    let mut off = world("smmu-disabled");
    assert_eq!(find(&off.judge(), "reset.abort-before-disable").verdict, Verdict::Skip);
    assert_eq!(find(&off.judge(), "reset.invalidated-before-enable").verdict, Verdict::Pass);
    off.scenario.damage = Damage::parse("l1-span-5").unwrap();
    for id in ["reset.abort-before-disable", "reset.invalidated-before-enable", "reset.strtab-while-disabled"] {
        assert_eq!(find(&off.judge(), id).verdict, Verdict::NotCovered, "{id}");
    }
}

#[test]
fn at_stage_2_vmids_are_judged_as_asids_are_elsewhere() {
    let at_stage2 = |policy: Policy| {
        let scenario = scenario(policy, "stage-2-domains");
        World::damaged(scenario, scenario.damage)
    };
    // The dead kernel's allocator began at 7: 7 to 9 are reserved, and the seventh that is free is 10.
    let mut world = at_stage2(Policy::AdoptAttach);
    assert!(world.known.iter().all(|stream| (stream.asid, stream.ste[0]) == (0, 0xD)));
    assert_eq!(world.attach.as_ref().unwrap().attached.unwrap().id, Identifier::Vmid(10));
    assert_eq!(broken(&world), [""; 0]);
    let fresh = |world: &World| find(&world.judge(), "attach.asid-fresh").clone();
    assert_eq!(fresh(&world).verdict, Verdict::Pass);
    let word = &mut world.known[1].ste[2];
    *word = Ste2::from(*word).with_s2vmid(10).into();
    assert_eq!(broken(&world), ["adopt.identifiers-reserved", "attach.asid-fresh", "attach.others-untouched"]);
    assert!(fresh(&world).reason.contains("VMID 10 is that of"), "{}", fresh(&world).reason);
    // An ASID of the same value is no VMID.
    world.known[1].ste[0] = 0xB;
    world.known[1].asid = 10;
    assert_eq!(fresh(&world).verdict, Verdict::Pass);

    let reused = at_stage2(Policy::AdoptV7Attach);
    assert_eq!(broken(&reused), [""; 0]);
    let failed = with_verdict(&reused.judge(), Verdict::Fail);
    let as_asids = with_verdict(&World::new(Policy::AdoptV7Attach).judge(), Verdict::Fail);
    assert_eq!(failed, as_asids);
    assert!(failed.contains(&"attach.asid-fresh"));
    // A stream that is still at stage 1.
    let scenario = scenario(Policy::AdoptAttach, "stage-2-domains");
    assert!(!World::damaged(scenario, Damage::NONE).damage_found);
}
