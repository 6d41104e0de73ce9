//! Two SMMUs, one of them damaged: the fallback, and all that is expected with it, is that of one SMMU.

use super::super::outcome;
use super::{
    find,
    verdicts::{Change, edit},
    with_verdict,
    world::{World, counts},
};
use crate::{Damage, Policy, Scenario};
use alloc::{format, vec::Vec};
use handover::oracle::SMMU_DAMAGED;
use smmu::{access::SmmuIndex, log::Op, spec::registers as reg};
use wire::record::{Outcome, Verdict};

fn scenario(name: &str) -> Scenario {
    Scenario { damage: Damage::parse(name).unwrap(), ..Scenario::plain(Policy::Adopt) }
}

/// The damage on the SMMU of this index alone.
fn one(name: &str, index: usize) -> World {
    let scenario = scenario(name);
    let mut done = [Damage::NONE; 2];
    done[index] = scenario.damage;
    World::pair(scenario, done)
}

fn broken(world: &World) -> Vec<&'static str> {
    world.judge().iter().filter(|check| !check.is_as_expected()).map(|check| check.id).collect()
}

#[test]
fn the_damaged_one_is_reset_and_the_other_adopted() {
    for damage in Damage::all().skip(1) {
        for index in [0, 1] {
            let world = one(damage.name(), index);
            let checks = world.judge();
            let name = format!("{} on SMMU {index}", damage.name());
            assert_eq!((broken(&world), outcome(&checks, None)), (Vec::new(), Outcome::Pass), "{name}: {checks:?}");
            let verdict = |id| find(&checks, id).verdict;
            for id in ["damage.found", "damage.rule-fired", "adopt.adopted", "adopt.tables-identical"] {
                assert_eq!(verdict(id), Verdict::Pass, "{name}: {id}");
            }
            let fallback = if damage.is_adopted() { Verdict::Skip } else { Verdict::Pass };
            for id in ["damage.contained", "reset.completed", "reset.blocks-dma", "dma.as-documented"] {
                assert_eq!(verdict(id), fallback, "{name}: {id}");
            }
            if let Some(rule) =
                damage.rule(if index == 0 { &world.before } else { &world.second.as_ref().unwrap().before })
            {
                let told = &find(&checks, "damage.rule-fired").reason;
                assert!(told.starts_with(&format!("SMMU {index}: {}: ", rule.name())), "{name}: {told}");
            }
        }
    }
}

#[test]
fn both_may_be_damaged_and_one_must_be() {
    let damage = scenario("l1-span-5").damage;
    let both = World::pair(scenario("l1-span-5"), [damage; 2]);
    assert_eq!(broken(&both), [""; 0]);
    assert_eq!(find(&both.judge(), "adopt.adopted").verdict, Verdict::Skip);
    let none = World::pair(scenario("l1-span-5"), [Damage::NONE; 2]);
    assert_eq!(broken(&none), ["damage.found"]);
    assert_eq!(with_verdict(&none.judge(), Verdict::NotCovered), ["damage.found"]);
}

/// What is broken with the first SMMU damaged and the second not, or the other way round; and which checks notice.
const TWINS: &[(&str, usize, Change, &[&str])] = &[
    // The undamaged one was reset too.
    (
        "l1-span-5",
        0,
        |w| second(w).taken = w.taken.clone(),
        &["adopt.adopted", "adopt.identifiers-reserved", "damage.rule-fired"],
    ),
    // The damaged one was adopted.
    (
        "l1-span-5",
        0,
        |w| w.taken = second(w).taken.clone(),
        &["reset.completed", "damage.rule-fired", "damage.contained"],
    ),
    // A stream of the undamaged one is refused after the takeover or during it, or goes astray.
    ("cd-null", 0, |w| w.streams[3].cuts.end = counts(60, 30, 0), &["dma.as-documented"]),
    (
        "cd-null",
        0,
        |w| (w.streams[3].cuts.takeover, w.streams[3].cuts.end) = (counts(30, 29, 0), counts(60, 59, 0)),
        &["dma.as-documented"],
    ),
    ("cd-null", 0, |w| w.streams[3].cuts.end = counts(60, 59, 1), &["reset.rmr-bypassed", "dma.as-documented"]),
    ("cd-null", 1, |w| w.streams[0].cuts.end = counts(60, 30, 0), &["dma.as-documented"]),
    // One of the damaged one goes on.
    ("cd-null", 0, |w| w.streams[0].cuts.end = counts(60, 60, 0), &["reset.blocks-dma", "dma.as-documented"]),
    ("cd-null", 1, |w| w.streams[3].cuts.end = counts(60, 60, 0), &["reset.blocks-dma", "dma.as-documented"]),
    // An RMR stream of the undamaged one is untranslated.
    ("cd-null", 0, |w| w.streams[5].cuts.end = counts(60, 45, 15), &["reset.rmr-bypassed", "dma.as-documented"]),
    // The observer does not find it where it was left.
    ("cd-null", 0, |w| w.damage_found = false, &["damage.found"]),
    ("cd-null", 1, |w| second(w).damage_found = false, &["damage.found"]),
    // The undamaged one was touched.
    ("l2-null", 0, |w| w.left[1].level2_digest ^= 1, &["adopt.tables-identical"]),
    ("l2-null", 1, |w| w.left[0].contexts_digest ^= 1, &["adopt.tables-identical"]),
    ("l2-null", 1, |w| write_cr0(w, 0), &["adopt.smmuen-kept", "adopt.cr0-sequence"]),
    ("l2-null", 0, |w| w.known[3].asid += 100, &["adopt.identifiers-reserved"]),
    // Something of the adoption is left on the damaged one.
    (
        "l2-null",
        1,
        |w| second(w).after.as_mut().unwrap().strtab_base = second(w).before.strtab_base,
        &["damage.contained"],
    ),
    ("l2-null", 0, |w| w.taken.as_mut().unwrap().reserved.asids.insert(7), &["damage.contained"]),
    ("table-changed-after-validation", 1, |w| second(w).looked_again = None, &["damage.one-refused"]),
    ("smmu-disabled", 0, |w| edit_of(w, 1), &["adopt.smmuen-kept"]),
];

fn second(world: &mut World) -> &mut World {
    world.second.as_mut().unwrap()
}

/// One more write of CR0, with SMMUEN 0.
fn write_cr0(world: &mut World, smmu: u8) {
    let is_write = |entry: &&smmu::log::Entry| entry.name() == "CR0" && entry.op == Op::RegWrite32;
    let mut entry = *world.log.iter().find(is_write).unwrap();
    (entry.smmu, entry.value) = (SmmuIndex(smmu), 0);
    world.log.push(entry);
}

/// What was written to CR0 of one SMMU had SMMUEN 0.
fn edit_of(world: &mut World, smmu: u8) {
    let others: Vec<_> = world.log.extract_if(.., |entry| entry.smmu.0 != smmu).collect();
    edit(world, reg::CR0, |value| value & !1);
    world.log.splice(0..0, others);
}

#[test]
fn what_befalls_one_smmu_is_not_excused_by_the_other() {
    for (row, (name, index, change, noticed)) in TWINS.iter().enumerate() {
        let mut world = one(name, *index);
        change(&mut world);
        assert_eq!(broken(&world), *noticed, "row {row}, {name} on SMMU {index}");
        assert_eq!(outcome(&world.judge(), None), Outcome::Fail);
    }
}

#[test]
fn the_oracle_says_which_was_damaged() {
    let mut swapped = one("cd-null", 0);
    swapped.left.iter_mut().for_each(|left| left.flags ^= SMMU_DAMAGED);
    let noticed = broken(&swapped);
    for id in ["damage.found", "damage.rule-fired", "adopt.adopted", "reset.completed", "dma.as-documented"] {
        assert!(noticed.contains(&id), "{id}: {noticed:?}");
    }
    // Without it nobody knows, and nothing that depends on it passes.
    let mut unknown = one("cd-null", 0);
    unknown.oracle_cycle += 1;
    for check in
        unknown.judge().iter().filter(|check| check.id.starts_with("damage.") || check.id.starts_with("adopt."))
    {
        assert!(matches!(check.verdict, Verdict::NotCovered | Verdict::Skip), "{check:?}");
    }
}

#[test]
fn an_smmu_without_streams_is_adopted_beside_a_damaged_one() {
    let mut world = one("cd-null", 0);
    for _ in 3..6 {
        world.drop_stream(3);
    }
    let checks = world.judge();
    assert_eq!(broken(&world), [""; 0]);
    for (id, verdict) in [("adopt.adopted", Verdict::Pass), ("adopt.identifiers-reserved", Verdict::Skip)] {
        assert_eq!(find(&checks, id).verdict, verdict, "{id}");
    }
}

#[test]
fn a_policy_that_does_not_adopt_resets_both() {
    for name in ["l1-span-5", "smmu-disabled"] {
        let scenario = Scenario { policy: Policy::Reset, ..scenario(name) };
        let world = World::pair(scenario, [scenario.damage, Damage::NONE]);
        assert_eq!(broken(&world), [""; 0], "{name}");
        // That one was found disabled is not said of the other.
        let check = find(&world.judge(), "reset.abort-before-disable").clone();
        assert_eq!(check.verdict, Verdict::Pass, "{name}: {check:?}");
    }
}
