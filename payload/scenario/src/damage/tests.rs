extern crate std;

mod each;
mod two_level;

use super::{Damage, NotDone, place::Places};
use crate::{
    Policy, Risks,
    policy::{Expectation, behaviour},
};
use addr::{PhysAddr, StreamId};
use smmu::{
    access::SmmuIndex,
    bringup::{Options, Unit},
    fake::{Fake, FakeFrames, RAM},
    frames::Frames,
    observe::Registers,
    spec::registers::{self as reg, Gerror},
    table::Format,
    takeover::Rule,
};
use std::{collections::BTreeSet, vec::Vec};

const SMMU: SmmuIndex = SmmuIndex(0);
const OWN: PhysAddr = PhysAddr(0x6000_0000);

fn damage(name: &str) -> Damage {
    Damage::parse(name).unwrap()
}

/// A live SMMU with one stream, and a page that is nobody's.
fn live(stream: u32, format: Option<Format>) -> (Fake, PhysAddr) {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let options = Options { format, ..Options::new(PhysAddr(0x0905_0000), StreamId(stream)) };
    let mut unit = Unit::bring_up(&mut hw, SMMU, &options, &mut frames).unwrap();
    let domain = unit.new_domain(&mut hw, &mut frames).unwrap();
    unit.attach(&mut hw, &mut frames, StreamId(stream), &domain).unwrap();
    let scratch = frames.allocate(4096, 4096).unwrap();
    (hw, scratch)
}

#[test]
fn names_are_unique_and_read_back() {
    let names: BTreeSet<_> = Damage::all().map(Damage::name).collect();
    assert_eq!(names.len(), Damage::all().count());
    for damage in Damage::all() {
        assert_eq!(Damage::parse(damage.name()), Some(damage));
    }
    assert_eq!((Damage::parse("none"), Damage::parse("l1-span")), (Some(Damage::NONE), None));
    assert_eq!(Damage::default(), Damage::NONE);
}

#[test]
fn words_name_the_rule_that_must_fire() {
    let registers = Registers::read(&mut live(0x18, None).0, SMMU);
    for damage in Damage::all().skip(1) {
        let documented = damage.documented().unwrap();
        let rule = damage.rule(&registers).or(damage.later_rule());
        if let Some(rule) = rule {
            assert!(documented.expects.contains(rule.name()), "{}: {}", damage.name(), documented.expects);
        } else {
            assert!(documented.expects.starts_with("adopt ") && damage.is_adopted(), "{}", damage.name());
        }
        assert!(!documented.source.is_empty());
    }
    assert_eq!(Damage::NONE.documented(), None);
}

#[test]
fn a_fallback_is_a_reset_and_risks_what_it_does() {
    let adopt = behaviour(Policy::Adopt).expectation;
    let v7 = behaviour(Policy::AdoptV7).expectation;
    let reset = behaviour(Policy::Reset).expectation;
    let both = Risks::BUS_ERROR.with(Risks::STRAY_WRITE);
    let registers = Registers::read(&mut live(0x18, None).0, SMMU);
    for (name, falls_back, falls_back_v7, risks) in [
        ("l1-span-5", true, true, both),
        ("l2-null", true, false, both),
        ("asid-0", true, false, both),
        ("asid-shared", false, false, Risks::NONE),
        ("cmdq-torn", false, false, Risks::NONE),
        ("table-changed-after-validation", false, false, Risks::NONE),
        ("strtab-split-6", true, true, both.with(Risks::POWER_CYCLE)),
    ] {
        let damage = damage(name);
        for (expectation, falls_back) in [(adopt, falls_back), (v7, falls_back_v7), (reset, false)] {
            let wanted = if falls_back { Expectation::RESET } else { expectation };
            assert_eq!(damage.applied_to(expectation, &registers, None), wanted, "{name}");
        }
        assert_eq!(damage.risks(), risks, "{name}");
    }
}

#[test]
fn what_is_too_large_for_any_kernel_is_refused_by_the_first_rule_that_it_breaks() {
    let mut registers = Registers::read(&mut live(0x18, None).0, SMMU);
    let beyond = damage("l1-beyond-2-17");
    for (bits, rule) in [(16, Rule::StrtabLog2size), (25, Rule::StrtabLog2size), (26, Rule::StrtabSize)] {
        registers.idr1.set_sidsize(bits);
        assert_eq!(beyond.rule(&registers), Some(rule));
    }
}

#[test]
fn a_unit_that_cannot_have_it_says_why() {
    let mut registers = Registers::read(&mut live(0x18, None).0, SMMU);
    let lacking = |registers: &Registers, is_linear| {
        Damage::all()
            .filter(|damage| damage.lacks(registers, is_linear).is_some())
            .map(Damage::name)
            .collect::<Vec<_>>()
    };
    assert_eq!(lacking(&registers, false), ["strtab-fmt-two-level", "l1cd-misaligned"]);
    registers.idr1.set_ssidsize(11);
    assert_eq!(lacking(&registers, false), ["strtab-fmt-two-level"]);
    let linear = lacking(&registers, true);
    assert!(!linear.contains(&"strtab-fmt-two-level"), "{linear:?}");
    // 6.3.25: there is no such field without the format.
    let mut one_level = registers;
    one_level.idr0.set_st_level(0);
    assert!(lacking(&one_level, false).contains(&"strtab-fmt-two-level"));
    assert!(linear.contains(&"l1-span-5") && linear.contains(&"strtab-fmt-linear"), "{linear:?}");
    assert!(!linear.contains(&"cd-null") && !linear.contains(&"strtab-fmt-reserved"), "{linear:?}");
    registers.idr0.set_s2p(false);
    assert_eq!(lacking(&registers, false), ["strtab-fmt-two-level", "stage-2-domains"]);
    registers.idr0.set_s2p(true);
    // IHI 0070, 6.3.25: ignored from version 3.2 on.
    registers.aidr = 2;
    let ignored = lacking(&registers, false);
    assert_eq!(ignored, lacking(&registers, false));
    assert!(ignored.iter().all(|name| name.starts_with("strtab-") || *name == "l1-beyond-2-17"), "{ignored:?}");
    assert_eq!(ignored.len(), 10);
}

#[test]
fn live_streams_keep_their_structures() {
    for name in ["l1-span-5", "l2-null", "cd-null", "asid-0", "asid-shared", "s2vmid-0", "cmdq-torn", "evtq-full"] {
        let (mut hw, scratch) = live(0x18, None);
        let old = hw.memory().clone();
        let registers = Registers::read(&mut hw, SMMU);
        let places = Places::find(&mut hw, &registers).unwrap();
        damage(name).apply(&mut hw, SMMU, OWN, scratch).unwrap();
        let queues = [registers.cmdq_base.addr(), registers.eventq_base.addr()];
        let is_free = |at: u64| {
            at == places.free_descriptor.0
                || (places.free_ste.0..places.free_ste.0 + 64).contains(&at)
                || (scratch.0..scratch.0 + 4096).contains(&at)
                || queues.iter().any(|queue| (*queue..*queue + 0x8000).contains(&at))
        };
        for (at, word) in hw.memory() {
            assert!(old.get(at).copied().unwrap_or(0) == *word || is_free(*at), "{name} changes {at:#x}");
        }
        assert!(Registers::read(&mut hw, SMMU).cr0.smmuen());
    }
}

#[test]
fn a_place_in_use_is_not_damaged() {
    // The last StreamID of the level-2 table, and the last level-1 descriptor.
    for (stream, name) in [(0xFF, "cd-null"), (0xFF18, "l1-span-5")] {
        let (mut hw, scratch) = live(stream, None);
        let old = hw.memory().clone();
        assert_eq!(damage(name).apply(&mut hw, SMMU, OWN, scratch), Err(NotDone::NoPlace), "{name}");
        assert_eq!(*hw.memory(), old);
        assert!(!damage(name).is_found(&mut hw, SMMU, OWN));
    }
    // No stream at all.
    let mut hw = Fake::default();
    let options = Options::new(PhysAddr(0x0905_0000), StreamId(0x18));
    Unit::bring_up(&mut hw, SMMU, &options, &mut FakeFrames::default()).unwrap();
    assert_eq!(damage("cd-null").apply(&mut hw, SMMU, OWN, OWN), Err(NotDone::NoPlace));
}

#[test]
fn nowhere_must_be_nowhere() {
    let (mut hw, scratch) = live(0x18, None);
    let end = 1_u64 << 44;
    hw.ram = [RAM, end - 0x1_0000..end].into();
    let error = damage("l2-outside-ram").apply(&mut hw, SMMU, OWN, scratch).unwrap_err();
    assert_eq!(error, NotDone::Memory(PhysAddr(end - 0x4000)));
}

#[test]
fn an_smmu_that_does_not_acknowledge_is_not_damaged() {
    for name in ["cmdq-unconsumed", "evtq-full", "smmu-disabled"] {
        let (mut hw, scratch) = live(0x18, None);
        hw.unit(SMMU).freeze_cr0ack = true;
        assert_eq!(damage(name).apply(&mut hw, SMMU, OWN, scratch), Err(NotDone::NoAck), "{name}");
        assert!(!damage(name).is_found(&mut hw, SMMU, OWN), "{name}");
    }
}

#[test]
fn a_linear_table_has_room_for_a_bad_ste_only() {
    let (mut hw, scratch) = live(0x18, Some(Format::Linear));
    assert_eq!(damage("l1-span-5").apply(&mut hw, SMMU, OWN, scratch), Err(NotDone::NoPlace));
    damage("ste-config-unknown").apply(&mut hw, SMMU, OWN, scratch).unwrap();
    assert!(damage("ste-config-unknown").is_found(&mut hw, SMMU, OWN));
    assert!(!damage("l1-span-5").is_found(&mut hw, SMMU, OWN));
}

#[test]
fn queues_are_left_as_named() {
    let (mut hw, scratch) = live(0x18, None);
    let consumed = hw.unit(SMMU).commands.len();
    damage("cmdq-unconsumed").apply(&mut hw, SMMU, OWN, scratch).unwrap();
    assert_eq!(hw.unit(SMMU).commands.len(), consumed, "nothing is consumed any more");
    let (mut hw, scratch) = live(0x18, None);
    damage("stale-cmdq-error").apply(&mut hw, SMMU, OWN, scratch).unwrap();
    assert_eq!(hw.unit(SMMU).active_errors(), Gerror::new().with_cmdq_err(true));
    let (mut hw, scratch) = live(0x18, None);
    damage("stale-eventq-abort").apply(&mut hw, SMMU, OWN, scratch).unwrap();
    assert_eq!(hw.unit(SMMU).active_errors(), Gerror::new().with_eventq_abt_err(true));
    let (mut hw, scratch) = live(0x18, None);
    damage("smmu-disabled").apply(&mut hw, SMMU, OWN, scratch).unwrap();
    assert_eq!((hw.unit(SMMU).get(reg::GBPA), hw.unit(SMMU).get(reg::CR0) & 1), (0x10_1000, 0));
}

#[test]
fn a_descriptor_that_cannot_be_changed_is_not_looked_at() {
    let (mut hw, scratch) = live(0x18, None);
    let own = OWN..OWN.plus(0x1000);
    let later = damage("table-changed-after-validation");
    later.apply(&mut hw, SMMU, OWN, scratch).unwrap();
    let old = hw.memory().clone();
    let looked = later.change_and_look(&mut hw, SMMU, &own, StreamId(0x18)).unwrap();
    assert_eq!(looked.victim.map_err(|refusal| refusal.rule), Err(Rule::L1Span));
    assert!(matches!(looked.other, Ok(Some(_))));
    assert_eq!(*hw.memory(), old, "it is put back");
    assert_eq!(damage("l1-span-5").change_and_look(&mut hw, SMMU, &own, StreamId(0x18)), None);
    // Stores that meet no memory change nothing.
    let mut lost = hw.clone();
    lost.ram.clear();
    assert_eq!(later.change_and_look(&mut lost, SMMU, &own, StreamId(0x18)), None);
}
