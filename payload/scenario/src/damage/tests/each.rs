//! Several SMMUs: which of them are damaged, and what becomes of each.

use super::super::{NotDone, Undone};
use super::{OWN, damage};
use addr::{PhysAddr, StreamId};
use alloc::vec::Vec;
use smmu::{
    access::SmmuIndex,
    bringup::{Options, Unit},
    fake::{self, Fake, FakeFrames},
    observe::Registers,
    spec::registers as reg,
    table::Format,
    takeover::{Policy, Rule, take_over},
};

const STREAM: StreamId = StreamId(0x18);

/// Enabled SMMUs; those that say so have a live stream, and a table of this format.
fn live(units: &[(bool, Option<Format>)]) -> (Fake, FakeFrames) {
    let (mut hw, mut frames) = (Fake::with_units(units.len()), FakeFrames::default());
    for (index, (has_stream, format)) in (0..).map(SmmuIndex).zip(units) {
        let options = Options { format: *format, ..Options::new(PhysAddr(0x0905_0000), STREAM) };
        let mut unit = Unit::bring_up(&mut hw, index, &options, &mut frames).unwrap();
        if *has_stream {
            let domain = unit.new_domain(&mut hw, &mut frames).unwrap();
            unit.attach(&mut hw, &mut frames, STREAM, &domain).unwrap();
        }
    }
    (hw, frames)
}

const TWO_LEVEL: (bool, Option<Format>) = (true, None);
const NO_STREAM: (bool, Option<Format>) = (false, None);
const LINEAR: (bool, Option<Format>) = (true, Some(Format::Linear));

#[test]
fn each_smmu_that_can_have_it_is_damaged_found_so_and_taken_over_by_itself() {
    for (name, units, done, rule) in [
        ("cd-null", [TWO_LEVEL, NO_STREAM], [true, false], Rule::CdTableNull),
        ("cd-null", [NO_STREAM, TWO_LEVEL], [false, true], Rule::CdTableNull),
        ("cd-null", [TWO_LEVEL, TWO_LEVEL], [true, true], Rule::CdTableNull),
        ("l1-span-5", [LINEAR, TWO_LEVEL], [false, true], Rule::L1Span),
        ("l2-null", [NO_STREAM, TWO_LEVEL], [false, true], Rule::L2Null),
        // A register needs no stream, but a table of the right kind.
        ("strtab-split-6", [NO_STREAM, TWO_LEVEL], [true, true], Rule::StrtabSplit),
        ("strtab-split-6", [LINEAR, TWO_LEVEL], [false, true], Rule::StrtabSplit),
        // The first table lies at a multiple of everything.
        ("strtab-fmt-linear", [TWO_LEVEL, LINEAR], [true, false], Rule::StrtabFormat),
        ("strtab-fmt-two-level", [TWO_LEVEL, LINEAR], [false, true], Rule::StrtabLog2size),
        ("smmu-disabled", [NO_STREAM, LINEAR], [true, true], Rule::SmmuDisabled),
    ] {
        let (mut hw, mut frames) = live(&units);
        let damage = damage(name);
        assert_eq!(damage.apply_to_each(&mut hw, 2, OWN, &mut frames), Ok(done.to_vec()), "{name} on {units:?}");
        let smmus: Vec<_> = (0..2).map(SmmuIndex).collect();
        // All are looked at before the first is taken over.
        let found: Vec<_> = smmus.iter().map(|smmu| damage.is_found(&mut hw, *smmu, OWN)).collect();
        assert_eq!(found, done, "{name} on {units:?}");
        let mut own = FakeFrames { free: OWN.0..OWN.0 + 0x1000_0000 };
        for (smmu, done) in smmus.into_iter().zip(done) {
            let before = Registers::read(&mut hw, smmu);
            let site = fake::site(smmu, OWN..OWN.plus(0x1000_0000), &mut own);
            let taken = take_over(Policy::Adopt, &mut hw, site).unwrap();
            let (fired, wanted) = (taken.refusal.map(|refusal| refusal.rule), done.then_some(rule));
            assert_eq!(fired, wanted, "{name} on {units:?}, SMMU {}", smmu.0);
            assert_eq!(taken.did, if done { Policy::Reset } else { Policy::Adopt });
            let after = Registers::read(&mut hw, smmu);
            assert_eq!(before.strtab_base == after.strtab_base, !done, "{name}, SMMU {}", smmu.0);
        }
    }
}

#[test]
fn queues_are_damaged_everywhere() {
    for name in ["stale-cmdq-error", "stale-eventq-abort", "cmdq-unconsumed", "cmdq-torn", "evtq-full"] {
        let (mut hw, mut frames) = live(&[NO_STREAM, TWO_LEVEL, LINEAR]);
        assert_eq!(damage(name).apply_to_each(&mut hw, 3, OWN, &mut frames), Ok([true; 3].to_vec()), "{name}");
        assert!((0..3).all(|index| damage(name).is_found(&mut hw, SmmuIndex(index), OWN)), "{name}");
    }
}

#[test]
fn one_is_enough_and_none_is_told() {
    let apply = |name: &str, units: &[_], edit: fn(&mut Fake)| {
        let (mut hw, mut frames) = live(units);
        edit(&mut hw);
        let memory = hw.memory().clone();
        let done = damage(name).apply_to_each(&mut hw, units.len(), OWN, &mut frames);
        assert!(done.is_ok() || *hw.memory() == memory, "{name}");
        done
    };
    let none = |index, why| Err(Undone { smmu: SmmuIndex(index), why });
    assert_eq!(apply("cd-null", &[NO_STREAM, NO_STREAM], |_| {}), none(0, NotDone::NoPlace));
    assert_eq!(
        apply("l1-span-5", &[LINEAR, NO_STREAM], |_| {}),
        none(0, NotDone::Lacks("the stream table has one level"))
    );
    let guarded: fn(&mut Fake) = |hw| hw.unit(SmmuIndex(0)).set(reg::AIDR, 2);
    assert_eq!(apply("strtab-split-6", &[TWO_LEVEL, TWO_LEVEL], guarded), Ok([false, true].to_vec()));
    // One that does not follow is in no state that anybody named.
    let frozen: fn(&mut Fake) = |hw| hw.unit(SmmuIndex(1)).freeze_cr0ack = true;
    assert_eq!(apply("smmu-disabled", &[TWO_LEVEL, TWO_LEVEL], frozen), none(1, NotDone::NoAck));
    assert_eq!(apply("none", &[TWO_LEVEL], |_| {}), Ok(Vec::new()));
    let (mut hw, _) = live(&[TWO_LEVEL]);
    let error = damage("cd-null").apply_to_each(&mut hw, 1, OWN, &mut FakeFrames { free: 0..0 });
    assert_eq!(error, none(0, NotDone::NoMemory));
}

#[test]
fn a_scenario_is_skipped_only_where_no_smmu_can_have_it() {
    let mut hw = Fake::with_units(2);
    let split = damage("strtab-split-6");
    assert_eq!(split.lacks_everywhere(&mut hw, 2, false), None);
    hw.unit(SmmuIndex(0)).set(reg::AIDR, 2);
    assert_eq!(split.lacks_everywhere(&mut hw, 2, false), None);
    hw.unit(SmmuIndex(1)).set(reg::AIDR, 2);
    assert!(split.lacks_everywhere(&mut hw, 2, false).is_some_and(|why| why.contains("6.3.25")));
    assert!(damage("l1-span-5").lacks_everywhere(&mut hw, 2, true).is_some());
    assert_eq!(damage("none").lacks_everywhere(&mut hw, 2, true), None);
}
