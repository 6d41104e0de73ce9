//! FMT says two levels, and the table is linear.

use super::{OWN, SMMU, damage, live};
use crate::policy::behaviour;
use addr::{PhysAddr, StreamId};
use alloc::format;
use smmu::{
    bringup::{Options, Unit},
    fake::{self, Fake, FakeFrames},
    observe::Registers,
    table::Format,
    takeover::{Policy, Rule, take_over},
};

/// A linear table that reaches up to `largest`, with one stream.
fn linear(stream: u32, largest: u32) -> (Fake, FakeFrames) {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let options = Options { format: Some(Format::Linear), ..Options::new(PhysAddr(0x0905_0000), StreamId(largest)) };
    let mut unit = Unit::bring_up(&mut hw, SMMU, &options, &mut frames).unwrap();
    let domain = unit.new_domain(&mut hw, &mut frames).unwrap();
    unit.attach(&mut hw, &mut frames, StreamId(stream), &domain).unwrap();
    (hw, frames)
}

#[test]
fn the_rule_follows_from_size_and_streams() {
    let two_level = damage("strtab-fmt-two-level");
    // LOG2SIZE 16 makes descriptors of the STEs of the first 32 streams, 11 of that of StreamID 0 alone, 9 of a part of it.
    for (stream, largest, rule, falls_back_v7) in [
        (0x18, 0x18, Rule::StrtabLog2size, true),
        (0x18, 0x7F, Rule::StrtabLog2size, true),
        (0x18, 0xFF, Rule::L1Span, false),
        (0x118, 0x118, Rule::L1Span, false),
        (0x000, 0x7FF, Rule::L1Span, true),
        (0x001, 0x7FF, Rule::L1Span, false),
        (0x01F, 0xFFFF, Rule::L1Span, true),
        (0x020, 0xFFFF, Rule::L1Span, false),
    ] {
        for (policy, falls_back) in [(Policy::Adopt, true), (Policy::AdoptV7, falls_back_v7)] {
            let (mut hw, mut frames) = linear(stream, largest);
            assert_eq!(two_level.apply_to_each(&mut hw, 1, OWN, &mut frames), Ok([true].to_vec()));
            assert!(two_level.is_found(&mut hw, SMMU, OWN));
            let registers = Registers::read(&mut hw, SMMU);
            let expectation = behaviour(policy).expectation;
            let documented = two_level.falls_back(expectation, &registers, Some(StreamId(stream)));
            let mut own = FakeFrames { free: OWN.0..OWN.0 + 0x1000_0000 };
            let site = fake::site(SMMU, OWN..OWN.plus(0x1000_0000), &mut own);
            let fired = take_over(policy, &mut hw, site).unwrap().refusal.map(|refusal| refusal.rule);
            let name = format!("{policy}, stream {stream:#x} of {largest:#x}");
            assert_eq!((documented, fired), (falls_back, falls_back.then_some(rule)), "{name}");
            assert_eq!(two_level.rule(&registers), Some(rule), "{name}");
        }
    }
}

#[test]
fn what_fmt_says_must_be_wrong_to_be_found() {
    let (mut two_level, _) = live(0x18, None);
    let (mut one_level, _) = live(0x18, Some(Format::Linear));
    for (name, sound) in [("strtab-fmt-two-level", &mut two_level), ("strtab-fmt-linear", &mut one_level)] {
        assert!(!damage(name).is_found(sound, SMMU, OWN), "{name}");
        assert!(damage(name).apply_to_each(sound, 1, OWN, &mut FakeFrames::default()).is_err(), "{name}");
    }
    // No StreamID of the first 256 is live: the first descriptor is 0.
    let (mut high, scratch) = live(0x118, None);
    damage("strtab-fmt-linear").apply(&mut high, SMMU, OWN, scratch).unwrap();
    assert!(damage("strtab-fmt-linear").is_found(&mut high, SMMU, OWN));
}
