use super::*;
use crate::fake::Fake;
use crate::log::{Log, Logged, Op};

const SMMU: SmmuIndex = SmmuIndex(0);
const BASE: u64 = 1 << 62 | 0x4000_0000;

/// An enabled SMMU with this AIDR; its STRTAB_BASE is ignored while enabled, or not.
fn enabled(aidr: u32, is_guarded: bool) -> Fake {
    let mut fake = Fake::default();
    let unit = fake.unit(SMMU);
    unit.set(reg::AIDR, aidr);
    unit.set64(reg::STRTAB_BASE, BASE);
    unit.set(reg::CR0, 1);
    unit.set(reg::CR0ACK, 1);
    unit.guards_strtab = is_guarded;
    fake
}

/// The result, and how often the register was written.
fn tried(fake: &mut Fake) -> (Option<Guard>, usize) {
    let mut log = Log::with_capacity(64);
    let guard = strtab(&mut Logged::new(fake, &mut log), SMMU);
    let writes = log.entries().iter().filter(|entry| matches!(entry.op, Op::RegWrite32 | Op::RegWrite64));
    (guard, writes.count())
}

#[test]
fn both_outcomes_are_told_apart_and_the_register_is_as_found() {
    let mut fake = enabled(2, true);
    assert_eq!(tried(&mut fake), (Some(Guard::Ignored), 1));
    assert_eq!(fake.unit(SMMU).get64(reg::STRTAB_BASE), BASE);
    let mut fake = enabled(2, false);
    assert_eq!(tried(&mut fake), (Some(Guard::Changed), 2));
    assert_eq!(fake.unit(SMMU).get64(reg::STRTAB_BASE), BASE);
}

#[test]
fn nothing_is_written_where_the_architecture_does_not_say_ignored() {
    // SMMUv3.0, 3.1, and a major version that nobody knows.
    for aidr in [0, 1, 0x10, 0x12] {
        assert_eq!(tried(&mut enabled(aidr, false)), (None, 0), "{aidr:#x}");
    }
    for register in [reg::CR0, reg::CR0ACK] {
        let mut fake = enabled(3, false);
        fake.unit(SMMU).set(register, 0);
        assert_eq!(tried(&mut fake), (None, 0), "{register:#x}");
    }
    let mut fake = enabled(3, false);
    let preset = fake.unit(SMMU).get(reg::IDR1) | 1 << 30;
    fake.unit(SMMU).set(reg::IDR1, preset);
    assert_eq!(tried(&mut fake), (None, 0));
    assert_eq!(tried(&mut enabled(3, true)).0, Some(Guard::Ignored));
}
