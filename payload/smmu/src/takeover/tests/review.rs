//! What the review of the adoption patch asked for (mail of 28 Jun 2026), each by its name.

use super::*;

/// As [`take`], with the frames that were used up.
fn take_and_count(policy: Policy, fake: &mut Fake) -> (Taken, u64) {
    let mut frames = FakeFrames::default();
    let start = frames.free.start;
    let site = site(&mut frames);
    let taken = take_over(policy, fake, site).expect("adopted or reset");
    (taken, frames.free.start - start)
}

/// A damaged level-1 descriptor behind healthy ones: refused half-way.
fn damaged() -> Fake {
    let mut fake = crashed();
    fake.poke(L1.plus(200 * 8), L2.0 | 5);
    fake
}

#[test]
fn no_leak_on_error() {
    let (refused, used) = take_and_count(Policy::Adopt, &mut damaged());
    assert!(refused.refusal.is_some());
    // Everything that the attempt took is in use by the reset; a kernel without adoption takes as much.
    assert_eq!(used, take_and_count(Policy::Reset, &mut damaged()).1);
    // And a table that asks for 2^32 streams does not ask for memory.
    let mut large = crashed();
    large.unit(SMMU).set(reg::STRTAB_BASE_CFG, 0x1_023F);
    assert_eq!(take_and_count(Policy::Adopt, &mut large).1, used);
}

#[test]
fn unmapped_on_error() {
    // Nothing of the dead kernel is touched once it is refused: not read, not written.
    let mut fake = damaged();
    let dead = fake.memory().clone();
    let (_, trace) = take(Policy::Adopt, &mut fake, &PLAIN);
    let refused = trace.iter().rposition(|row| row.starts_with("L L1STD")).unwrap();
    assert!(!trace[refused + 1..].iter().any(|row| row.starts_with("L ")), "{trace:#?}");
    assert!(dead.iter().all(|(at, word)| fake.peek(PhysAddr(*at)) == *word));
}

#[test]
fn no_register_reads_in_cleanup() {
    let (_, trace) = take(Policy::Adopt, &mut damaged(), &PLAIN);
    let refused = trace.iter().rposition(|row| row.starts_with("L L1STD")).unwrap();
    let table = |row: &&String| row.starts_with("R STRTAB") || row.starts_with("R64 STRTAB");
    // Twice before the refusal, for the format and the base, and then never again: the registers may be off by then.
    assert_eq!(trace[..refused].iter().filter(table).count(), 2);
    assert_eq!(trace[refused..].iter().filter(table).count(), 0);
}

#[test]
fn state_is_filled_in_consistently() {
    let mut linear = crashed();
    linear_table(&mut linear);
    for (mut fake, policy, adopted) in [
        (crashed(), Policy::Adopt, true),
        (linear, Policy::Adopt, true),
        (damaged(), Policy::Adopt, false),
        (crashed(), Policy::Reset, false),
    ] {
        let strtab = fake.unit(SMMU).get64(reg::STRTAB_BASE);
        let (taken, _) = take_and_count(policy, &mut fake);
        let unit = fake.unit(SMMU);
        assert_eq!((taken.did == Policy::Adopt, unit.get64(reg::STRTAB_BASE) == strtab), (adopted, adopted));
        assert_eq!(taken.reserved.asids.is_empty(), !adopted);
        assert_eq!(taken.refusal.is_some(), !adopted && policy == Policy::Adopt);
        let commands = taken.commands.expect("the unit is enabled");
        assert_eq!(unit.get64(reg::CMDQ_BASE), u64::from(commands.base()));
        assert_eq!(unit.get(reg::CMDQ_PROD), unit.get(reg::CMDQ_CONS));
    }
}

/// 32 STEs in a linear table at [`L2`], of which 0x10 and 0x18 translate.
fn linear_table(fake: &mut Fake) {
    fake.unit(SMMU).set(reg::STRTAB_BASE_CFG, 5);
    fake.unit(SMMU).set64(reg::STRTAB_BASE, L2.0);
}

#[test]
fn a_linear_table_on_two_level_hardware_is_adopted_as_linear() {
    let mut fake = crashed();
    assert_eq!(fake.unit(SMMU).idr0().st_level(), 1);
    linear_table(&mut fake);
    let (taken, trace) = take(Policy::Adopt, &mut fake, &PLAIN);
    let taken = taken.expect("adopted");
    assert_eq!((taken.did, taken.refusal), (Policy::Adopt, None));
    assert_eq!(taken.reserved.asids.iter().collect::<Vec<_>>(), [2, 3]);
    assert!(!trace.iter().any(|row| row.contains("L1STD")), "read as two levels: {trace:#?}");
    // And a two-level table that FMT calls linear is not.
    fake = crashed();
    fake.unit(SMMU).set(reg::STRTAB_BASE_CFG, 16);
    let taken = take(Policy::Adopt, &mut fake, &PLAIN).0.expect("reset instead");
    assert_eq!(taken.refusal.map(|refusal| refusal.rule), Some(Rule::StrtabAlignment));
}

#[test]
fn a_descriptor_that_changed_since_adoption_refuses_its_own_streams_alone() {
    let mut fake = crashed();
    fake.poke(L1.plus(8), L2.0 | 9);
    assert_eq!(take(Policy::Adopt, &mut fake, &PLAIN).0.map(|taken| taken.did), Ok(Policy::Adopt));
    let look = |fake: &mut Fake, stream| look_again(fake, SMMU, &OWN, StreamId(stream));
    assert_eq!(look(&mut fake, 0x118), Ok(Some(ste(0x18))));
    let refusal = |rule, at, value| Err(Refusal { rule, place: Place::Memory(at), value });
    for (word, expected) in [
        (L2.0 | 5, refusal(Rule::L1Span, L1.plus(8), L2.0 | 5)),
        (9, refusal(Rule::L2Null, L1.plus(8), 9)),
        ((L2.0 + 64) | 9, refusal(Rule::L2Alignment, L1.plus(8), (L2.0 + 64) | 9)),
        (0x0B00_0009, refusal(Rule::Unbacked, PhysAddr(0x0B00_0600), 0)),
        (OWN.start.0 | 9, refusal(Rule::OwnMemory, OWN.start.plus(0x600), 0)),
        (0, Ok(None)),
    ] {
        fake.poke(L1.plus(8), word);
        assert_eq!(look(&mut fake, 0x118), expected);
        assert_eq!(look(&mut fake, 0x18), Ok(Some(ste(0x18))), "others are as they were");
    }
    assert_eq!(look(&mut fake, 0x1_0000), Ok(None));
}
