extern crate std;
use super::*;
use crate::access::{Access, SmmuIndex};
use crate::bringup::{Domain, Options, Unit};
use crate::fake::{Fake, FakeFrames, RAM};
use crate::log::{Log, Logged, Op};
use crate::spec::registers as reg;
use crate::spec::ste::STE_BYTES;
use crate::spec::ste::{Ste0, Ste2};
use crate::table::Format;
use crate::translation::{Attributes, Stage, WalkError};
use addr::{Iova, PhysAddr, StreamId};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

const SMMU: SmmuIndex = SmmuIndex(0);
const LIMIT: u64 = 16 << 20;
const SIDS: [StreamId; 3] = [StreamId(0x10), StreamId(0x18), StreamId(0x2FF)];

struct Machine {
    hw: Fake,
    frames: FakeFrames,
    unit: Unit,
    domains: Vec<Domain>,
}

impl Machine {
    /// Three streams with a domain and a window each: 0x7000_0000 to 0x5000_0000, 0x5100_0000 and 0x5200_0000.
    fn new(format: Format) -> Self {
        Self::at(Stage::One, format)
    }

    fn at(stage: Stage, format: Format) -> Self {
        let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
        let options = Options { format: Some(format), stage, ..Options::new(PhysAddr(0x0905_0000), SIDS[2]) };
        let mut unit = Unit::bring_up(&mut hw, SMMU, &options, &mut frames).unwrap();
        let mut domains = Vec::new();
        for (sid, pa) in SIDS.into_iter().zip((0x5000_0000..).step_by(0x0100_0000)) {
            let domain = unit.new_domain(&mut hw, &mut frames).unwrap();
            let (iova, pa) = (Iova(0x7000_0000), PhysAddr(pa));
            domain.tables.map(&mut hw, &mut frames, iova, pa, 0x10000, Attributes::default()).unwrap();
            unit.attach(&mut hw, &mut frames, sid, &domain).unwrap();
            domains.push(domain);
        }
        Self { hw, frames, unit, domains }
    }

    fn registers(&mut self) -> Registers {
        Registers::read(&mut self.hw, SMMU)
    }

    fn digest(&mut self) -> Result<Digest, ObserveError> {
        let registers = self.registers();
        digest(&mut self.hw, &registers, LIMIT)
    }

    fn reaches(&mut self, start: u64, bytes: u64) -> Result<Option<Reach>, ReachError> {
        let registers = self.registers();
        reaches(&mut self.hw, &registers, PhysAddr(start), bytes, LIMIT, &|_| true)
    }

    fn cd_at(&self, stream: usize) -> PhysAddr {
        PhysAddr(Ste0::from(self.domains[stream].ste[0]).s1contextptr())
    }

    fn ste_at(&mut self, sid: StreamId) -> PhysAddr {
        self.unit.table().ste_address(&mut self.hw, sid).unwrap().unwrap()
    }

    /// Every structure word that a digest reads, by address.
    fn words_read(&mut self) -> BTreeSet<u64> {
        let (registers, mut log) = (self.registers(), Log::with_capacity(1 << 16));
        digest(&mut Logged::new(&mut self.hw, &mut log), &registers, LIMIT).unwrap();
        assert!(!log.overflowed());
        let loads = log.entries().iter().filter(|e| e.op == Op::Load);
        loads.flat_map(|e| (0..u64::from(e.count)).map(|i| e.address + i * u64::from(e.stride))).collect()
    }
}

#[test]
fn registers_that_do_not_exist_are_not_read() {
    let (mut hw, mut log) = (Fake::with_units(2), Log::with_capacity(256));
    hw.unit(SmmuIndex(1)).edit_idr0(|idr0| idr0.with_pri(true).with_msi(true));
    hw.unit(SmmuIndex(1)).set(reg::PRIQ_PROD, 0x123);
    let mut logged = Logged::new(&mut hw, &mut log);
    let (plain, rich) = (Registers::read(&mut logged, SMMU), Registers::read(&mut logged, SmmuIndex(1)));
    assert!(log.entries().iter().all(|e| !e.op.is_write()));
    let names = |smmu: u8| -> BTreeMap<_, _> {
        log.entries().iter().filter(|e| e.smmu.0 == smmu).map(|e| (e.name(), e.value)).collect()
    };
    assert!(names(0).keys().all(|name| !name.starts_with("PRIQ") && !name.contains("IRQ_CFG")));
    assert_eq!(names(0), plain.iter().collect());
    assert_eq!(names(1), rich.iter().collect());
    assert_eq!(rich.iter().find(|(name, _)| *name == "PRIQ_PROD"), Some(("PRIQ_PROD", 0x123)));
    assert_eq!(plain.iter().find(|(name, _)| *name == "IDR0"), Some(("IDR0", 0x0D44_101B)));
}

#[test]
fn the_base_loses_the_bits_that_hardware_ignores() {
    let mut registers = Registers::read(&mut Fake::default(), SMMU);
    let shape = |registers: &mut Registers, log2size, split, fmt| {
        registers.strtab_base = reg::StrtabBase::new().with_addr(0x0F_FFFF_FFFF_FFC0);
        registers.strtab_base_cfg = reg::StrtabBaseCfg::new().with_log2size(log2size).with_split(split).with_fmt(fmt);
        registers.stream_table()
    };
    let linear = shape(&mut registers, 8, 0, 0);
    assert_eq!(
        (linear.base.0 & 0x7FFF, linear.base.0 & 0x4000, linear.sid_bits, linear.split),
        (0x4000, 0x4000, 8, None)
    );
    let two_level = shape(&mut registers, 20, 8, 1);
    assert_eq!((two_level.base.0 & 0xFFFF, two_level.sid_bits, two_level.split), (0x8000, 16, Some(8)));
    assert_eq!(shape(&mut registers, 7, 8, 1).base.0 & 0x7F, 0x40, "at least 64 bytes");
    assert_eq!(shape(&mut registers, 16, 7, 1).split, Some(6), "reserved SPLIT");
    assert_eq!(shape(&mut registers, 16, 8, 2).split, None, "reserved FMT");
    assert_eq!(shape(&mut registers, 63, 0, 0).base, PhysAddr(0));
    registers.idr0.set_st_level(0);
    assert_eq!(shape(&mut registers, 16, 8, 1).split, None, "no two-level hardware");
}

#[test]
fn a_look_up_ends_where_the_architecture_ends_it() {
    let mut machine = Machine::new(Format::TwoLevel);
    let registers = machine.registers();
    let level1 = registers.stream_table().base;
    let find = |hw: &mut Fake, sid| ste(hw, &registers, StreamId(sid)).map(|found| found.map(|(at, _)| at));
    let level2 = machine.hw.peek(level1) & !0x1F;
    assert_eq!(find(&mut machine.hw, 0x18), Ok(Some(PhysAddr(level2 + 0x18 * STE_BYTES))));
    assert_eq!(find(&mut machine.hw, 0x1_0000), Ok(None), "beyond LOG2SIZE");
    assert_eq!(find(&mut machine.hw, u32::MAX), Ok(None));
    assert_eq!(find(&mut machine.hw, 0x100), Ok(None), "no span");
    for (span, index, found) in [(1, 0, true), (1, 1, false), (5, 15, true), (5, 16, false), (9, 255, true)] {
        machine.hw.poke(level1, level2 | span);
        assert_eq!(find(&mut machine.hw, index).unwrap().is_some(), found, "span {span} index {index}");
    }
    for span in [10, 11, 12, 31] {
        machine.hw.poke(level1, level2 | span);
        assert_eq!(find(&mut machine.hw, 0), Ok(None), "span {span} with SPLIT 8");
    }
    machine.hw.poke(level1, 0x9_0000_0000 | 9);
    assert_eq!(find(&mut machine.hw, 0), Err(Unbacked(PhysAddr(0x9_0000_0000))));
}

#[test]
fn a_digest_covers_what_it_says() {
    let mut two_level = Machine::new(Format::TwoLevel);
    // Level 1 of 256 descriptors, level 2 for 0x0xx and 0x2xx, three CDs.
    assert_eq!(two_level.digest().unwrap().bytes, 256 * 8 + 2 * 256 * 64 + 3 * 64);
    let mut linear = Machine::new(Format::Linear);
    let digest = linear.digest().unwrap();
    assert_eq!(digest.bytes, 1024 * 64 + 3 * 64);
    let nothing = digest.level2;
    assert_ne!(digest.level1, nothing);
    // The order of the words counts: two of them exchanged are another table.
    let base = linear.registers().stream_table().base;
    let (first, second) = (linear.hw.peek(base), linear.hw.peek(base.plus(8)));
    assert_ne!(first, second);
    linear.hw.poke(base, second);
    linear.hw.poke(base.plus(8), first);
    assert_ne!(linear.digest().unwrap().level1, digest.level1);
    linear.hw.poke(base, first);
    linear.hw.poke(base.plus(8), second);
    assert_eq!(linear.digest().unwrap(), digest, "the same again");
}

#[test]
fn mad_sizes_end_at_the_limit_and_unbacked_structures_are_told() {
    let mut machine = Machine::new(Format::TwoLevel);
    machine.hw.unit(SMMU).set(reg::IDR1, 0x0273_0020);
    machine.hw.unit(SMMU).set(reg::STRTAB_BASE_CFG, 63 | 6 << 6 | 1 << 16);
    machine.hw.unit(SMMU).set64(reg::STRTAB_BASE, RAM.start);
    machine.hw.ram.push(0..1 << 52);
    assert_eq!(machine.digest(), Err(ObserveError::OverBudget(OverBudget { limit: LIMIT })));

    let mut machine = Machine::new(Format::TwoLevel);
    let level1 = machine.registers().stream_table().base;
    machine.hw.poke(level1.plus(8), 0x9_0000_0000 | 9);
    let lost = |what, at| Err(ObserveError::Unbacked { what, unbacked: Unbacked(PhysAddr(at)) });
    assert_eq!(machine.digest(), lost(Structure::Ste, 0x9_0000_0000));
    machine.hw.unit(SMMU).set64(reg::STRTAB_BASE, 0x8_0000_0000);
    assert_eq!(machine.digest(), lost(Structure::L1Std, 0x8_0000_0000));

    let mut machine = Machine::new(Format::Linear);
    let at = machine.ste_at(SIDS[0]);
    machine.hw.poke(at, 0xA_0000_000B);
    assert_eq!(machine.digest(), lost(Structure::Cd, 0xA_0000_0000));
    assert_eq!(machine.reaches(0x5000_0000, 1), machine.digest().map(|_| None).map_err(ReachError::from));
}

#[test]
fn cd_tables_of_all_forms_are_visited() {
    let mut hw = Fake::default();
    hw.unit(SMMU).set(reg::IDR1, 0x0273_0010 | 12 << 6);
    let registers = Registers::read(&mut hw, SMMU);
    let visit = |hw: &mut Fake, ste0: u64| {
        let (mut level1, mut substreams) = (0, Vec::new());
        let ste = [ste0, 0, 0, 0, 0, 0, 0, 0];
        cds(hw, &registers, &ste, &mut Budget::new(LIMIT), &mut |_, _, item| {
            match item {
                CdTable::Level1(_) => level1 += 1,
                CdTable::Cd { substream, at, .. } => substreams.push((substream, at.0)),
            }
            Ok::<(), ObserveError>(())
        })
        .unwrap();
        (level1, substreams)
    };
    let base = RAM.start;
    assert_eq!(visit(&mut hw, base | 0xB).1, [(0, base)], "one CD");
    assert_eq!(visit(&mut hw, base | 0x2B).1, [(0, base)], "S1Fmt is ignored with one CD");
    assert_eq!(visit(&mut hw, base | 0xB | 2 << 59).1.last(), Some(&(3, base + 3 * 64)), "linear");
    assert_eq!(visit(&mut hw, base | 0xB | 13 << 59).1, [], "more than IDR1.SSIDSIZE");
    assert_eq!(visit(&mut hw, base | 0xA).1, [], "not valid");
    assert_eq!(visit(&mut hw, base | 0xF).1, [], "nested: the pointer is an IPA");
    // 2^8 CDs in leaves of 64: four level-1 descriptors, of which the third is valid.
    hw.poke(PhysAddr(base + 16), (base + 0x1_0000) | 1);
    let (level1, substreams) = visit(&mut hw, base | 0x1B | 8 << 59);
    assert_eq!((level1, substreams.len(), substreams[0]), (4, 64, (128, base + 0x1_0000)));
    // 2^12 CDs in leaves of 1024.
    let (level1, substreams) = visit(&mut hw, base | 0x2B | 12 << 59);
    assert_eq!((level1, substreams.len(), substreams[0]), (4, 1024, (2048, base + 0x1_0000)));
}

#[test]
fn reaches_finds_a_planted_leaf_and_nothing_else() {
    let mut machine = Machine::new(Format::TwoLevel);
    let reserved = 0x4800_0000;
    assert_eq!(machine.reaches(reserved, 0x100_0000), Ok(None));
    let window = |offset: u64| Reach { stream_id: SIDS[1], iova: Iova(0x7000_0000 + offset), how: How::Translated };
    assert_eq!(machine.reaches(0x5100_0000, 0x1000), Ok(Some(window(0))));
    assert_eq!(machine.reaches(0x5100_8123, 1), Ok(Some(window(0x8123))));
    assert_eq!(machine.reaches(0x5100_FFFF, 0x1000), Ok(Some(window(0xFFFF))), "the last byte");
    assert_eq!(machine.reaches(0x50FF_0000, 0x10001), Ok(Some(window(0))));
    assert_eq!(machine.reaches(0x50FF_0000, 0x10000), Ok(None));
    assert_eq!(machine.reaches(0x5101_0000, 0x10000), Ok(None));
    assert_eq!(machine.reaches(reserved, 0), Ok(None));

    let tables = machine.domains[2].tables;
    let planted = Iova(0x1234_5678_9000);
    let pa = PhysAddr(reserved + 0xFF_F000);
    tables.map(&mut machine.hw, &mut machine.frames, planted, pa, 0x1000, Attributes::default()).unwrap();
    let reach = Reach { stream_id: SIDS[2], iova: planted, how: How::Translated };
    assert_eq!(machine.reaches(reserved, 0x100_0000), Ok(Some(reach)));
    assert_eq!(machine.reaches(reserved, 0xFF_F000), Ok(None));
    // The stream aborts: its tables no longer matter.
    machine.unit.detach(&mut machine.hw, SIDS[2]).unwrap();
    assert_eq!(machine.reaches(reserved, 0x100_0000), Ok(None));
}

#[test]
fn addresses_in_use_are_found_at_the_other_end() {
    let mut machine = Machine::new(Format::TwoLevel);
    let uses = |machine: &mut Machine, start, bytes| {
        let registers = Registers::read(&mut machine.hw, SMMU);
        uses(&mut machine.hw, &registers, Iova(start), bytes, LIMIT, &|_| true).unwrap().map(|reach| reach.iova)
    };
    // A window leads from 7000_0000h to 5100_0000h.
    assert_eq!(uses(&mut machine, 0x7000_8123, 1), Some(Iova(0x7000_8123)));
    assert_eq!(uses(&mut machine, 0x6FFF_0000, 0x10001), Some(Iova(0x7000_0000)));
    assert_eq!(uses(&mut machine, 0x6FFF_0000, 0x10000), None);
    assert_eq!((uses(&mut machine, 0x5100_0000, 0x1000), uses(&mut machine, 0x7000_0000, 0)), (None, None));
    // What bypasses has no addresses of its own, and nobody translates for a disabled SMMU.
    machine.unit.attach_bypass(&mut machine.hw, &mut machine.frames, SIDS[1]).unwrap();
    assert_eq!(uses(&mut machine, 0x4800_0000, 0x1000), None);
    machine.unit.shut_down(&mut machine.hw).unwrap();
    assert_eq!(uses(&mut machine, 0x7000_8123, 1), None);
}

#[test]
fn reaches_knows_bypass_disabled_smmus_and_its_own_limits() {
    let mut machine = Machine::new(Format::Linear);
    machine.unit.attach_bypass(&mut machine.hw, &mut machine.frames, SIDS[1]).unwrap();
    let bypass = Reach { stream_id: SIDS[1], iova: Iova(0x4800_0000), how: How::Bypass };
    assert_eq!(machine.reaches(0x4800_0000, 0x1000), Ok(Some(bypass)));

    let at = machine.ste_at(SIDS[1]);
    machine.hw.poke(at, 0);
    assert_eq!(machine.reaches(0x4800_0000, 0x1000), Ok(None), "V=0");
    let cd = machine.cd_at(0);
    let word = machine.hw.peek(cd);
    machine.hw.poke(cd, word & !(1 << 41));
    let error = machine.reaches(0x4800_0000, 0x1000).unwrap_err();
    assert!(matches!(error, ReachError::Unwalkable { stream_id: StreamId(0x10), .. }), "AA64=0");
    machine.hw.poke(cd, word & !(1 << 31));
    assert_eq!(machine.reaches(0x5000_0000, 0x1000), Ok(None), "CD.V=0");
    machine.hw.poke(cd, word);
    let root = machine.domains[0].tables.root();
    machine.hw.poke(root.plus(8), 0x9_0000_0003);
    let error = WalkError::Unbacked(Unbacked(PhysAddr(0x9_0000_0000)));
    assert_eq!(machine.reaches(0x4800_0000, 0x1000), Err(ReachError::Walk { stream_id: SIDS[0], error }));

    machine.unit.shut_down(&mut machine.hw).unwrap();
    assert_eq!(machine.reaches(0x4800_0000, 0x1000), Ok(None), "GBPA aborts");
    machine.unit.restore_gbpa(&mut machine.hw).unwrap();
    machine.hw.read32(SMMU, reg::GBPA);
    let disabled = Reach { stream_id: StreamId(0), iova: Iova(0x4800_0000), how: How::Disabled };
    assert_eq!(machine.reaches(0x4800_0000, 0x1000), Ok(Some(disabled)));
}

#[test]
fn reaches_walks_stage_2_and_under_nesting_believes_nothing_of_stage_1() {
    let mut machine = Machine::at(Stage::Two, Format::TwoLevel);
    let reserved = 0x4800_0000;
    assert_eq!(machine.reaches(reserved, 0x100_0000), Ok(None));
    let window = Reach { stream_id: SIDS[1], iova: Iova(0x7000_0123), how: How::Translated };
    assert_eq!(machine.reaches(0x5100_0123, 1), Ok(Some(window)));
    let at = machine.ste_at(SIDS[1]);
    let nested = machine.hw.peek(at) | 0b111 << 1;
    machine.hw.poke(at, nested);
    assert_eq!(machine.reaches(0x5100_0123, 1), Ok(Some(window)), "the CD pointer leads nowhere");

    // AArch32 tables, a granule that is none, a first level that the input range does not fit.
    let word = Ste2::from(machine.hw.peek(at.plus(16)));
    for wrong in [word.with_s2aa64(false), word.with_s2tg(3), word.with_s2sl0(0), word.with_s2sl0(3)] {
        machine.hw.poke(at.plus(16), wrong.into());
        let error = machine.reaches(reserved, 0x1000).unwrap_err();
        assert!(matches!(error, ReachError::Unwalkable { stream_id: StreamId(0x18), .. }), "{error}");
        assert!(std::format!("{error}").contains("the STE has no"), "{error}");
    }
}

#[test]
fn concatenated_first_tables_are_walked_as_one() {
    // 42 bits of input from level 1: eight tables of 512 descriptors, one after the other.
    let mut machine = Machine::at(Stage::Two, Format::Linear);
    let root = machine.frames.free.start.next_multiple_of(0x8000);
    machine.frames.free.start = root + 0x8000;
    let at = machine.ste_at(SIDS[0]);
    let word = Ste2::from(machine.hw.peek(at.plus(16))).with_s2t0sz(64 - 42).with_s2sl0(1);
    machine.hw.poke(at.plus(16), word.into());
    machine.hw.poke(at.plus(24), root | 0x4000);
    // A block of 1 GiB behind the last descriptor of all.
    machine.hw.poke(PhysAddr(root + 8 * 0x1000 - 8), 0x4000_0000 | 0x7FD);
    let reach = Reach { stream_id: SIDS[0], iova: Iova((1 << 42) - (1 << 30) + 0x800_0000), how: How::Translated };
    assert_eq!(machine.reaches(0x4800_0000, 0x1000), Ok(Some(reach)), "and S2TTB is aligned to all of them");
}

#[test]
fn the_upper_half_is_walked_too() {
    let mut machine = Machine::new(Format::Linear);
    let cd = machine.cd_at(0);
    // EPD0 set, EPD1 clear, TG1 4 KiB, T1SZ 16, and TTB1 where TTB0 was.
    let word = machine.hw.peek(cd);
    machine.hw.poke(cd, word & !(1 << 30) | 1 << 14 | 2 << 22 | 16 << 16);
    let root = machine.hw.peek(cd.plus(8));
    machine.hw.poke(cd.plus(16), root);
    let reach = Reach { stream_id: SIDS[0], iova: Iova(0xFFFF_0000_7000_0000), how: How::Translated };
    assert_eq!(machine.reaches(0x5000_0000, 1), Ok(Some(reach)));
    assert_eq!(machine.reaches(0x4800_0000, 0x1000), Ok(None));
}

#[test]
fn the_same_words_are_read_in_the_same_order_through_any_access() {
    let mut machine = Machine::new(Format::TwoLevel);
    let registers = machine.registers();
    let mut log = Log::with_capacity(1 << 12);
    let logged = digest(&mut Logged::new(&mut machine.hw, &mut log), &registers, LIMIT).unwrap();
    assert_eq!(machine.digest().unwrap(), logged);
    assert!(log.entries().iter().all(|e| e.op == Op::Load));
    assert_eq!(log.entries().iter().map(|e| u64::from(e.count) * 8).sum::<u64>(), logged.bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_digest_changes_with_any_bit_of_any_word(two_level: bool, pick: prop::sample::Index, bit in 0_u32..64) {
        let mut machine = Machine::new(if two_level { Format::TwoLevel } else { Format::Linear });
        let before = machine.digest().unwrap();
        let words: Vec<u64> = machine.words_read().into_iter().collect();
        prop_assert_eq!(words.len() as u64 * 8, before.bytes);
        let at = PhysAddr(*pick.get(&words));
        let word = machine.hw.peek(at);
        machine.hw.poke(at, word ^ 1 << bit);
        // A pointer that leads nowhere any more is an error, which is a difference too.
        prop_assert_ne!(machine.digest(), Ok(before));
        machine.hw.poke(at, word);
        prop_assert_eq!(machine.digest(), Ok(before));
    }

    #[test]
    fn every_word_of_a_live_structure_counts(word in 0_u64..8, stream in 0_usize..3, of_cd: bool, bit in 0_u32..64) {
        let mut machine = Machine::new(Format::TwoLevel);
        let before = machine.digest().unwrap();
        let at = if of_cd { machine.cd_at(stream) } else { machine.ste_at(SIDS[stream]) };
        let at = at.plus(word * 8);
        let value = machine.hw.peek(at);
        machine.hw.poke(at, value ^ 1 << bit);
        let after = machine.digest();
        if let Ok(after) = after {
            prop_assert_eq!(after.level1, before.level1);
            prop_assert_eq!(after.level2 != before.level2, !of_cd);
            prop_assert!(after.contexts != before.contexts || !of_cd);
        }
    }

    #[test]
    fn any_registers_and_any_words_are_survived(
        base: u64, cfg: u32, idr1: u32, words in prop::collection::vec((0_u64..0x400, any::<u64>()), 0..64), sid: u32,
    ) {
        let mut hw = Fake::default();
        let unit = hw.unit(SMMU);
        unit.set64(reg::STRTAB_BASE, base & 0x3FFF_FFFF | RAM.start);
        unit.set(reg::STRTAB_BASE_CFG, cfg);
        unit.set(reg::IDR1, idr1);
        unit.set(reg::CR0ACK, 1);
        let registers = Registers::read(&mut hw, SMMU);
        for (word, value) in words {
            // Half of the pointers lead into RAM.
            let value = if value & 1 << 40 == 0 { value & 0xF800_0000_3FFF_FFFF | RAM.start } else { value };
            hw.poke(registers.stream_table().base.plus(word * 8), value);
        }
        let _ = ste(&mut hw, &registers, StreamId(sid));
        let _ = digest(&mut hw, &registers, 1 << 16);
        let _ = reaches(&mut hw, &registers, PhysAddr(0x4800_0000), 0x1000, 1 << 16, &|_| true);
    }

    #[test]
    fn reaches_agrees_with_what_was_mapped(pages in prop::collection::btree_map(0_u64..1 << 20, 0_u64..64, 0..12), target in 0_u64..64) {
        let mut machine = Machine::new(Format::TwoLevel);
        let tables = machine.domains[1].tables;
        for (page, frame) in &pages {
            let (iova, pa) = (Iova(page << 24), PhysAddr(0x4800_0000 + frame * 0x1000));
            tables.map(&mut machine.hw, &mut machine.frames, iova, pa, 0x1000, Attributes::default()).unwrap();
        }
        let found = machine.reaches(0x4800_0000 + target * 0x1000, 0x1000).unwrap();
        let expected = pages.iter().find(|(_, frame)| **frame == target).map(|(page, _)| Iova(page << 24));
        prop_assert_eq!(found.map(|reach| reach.iova), expected);
    }
}

#[test]
fn identity_holds_as_far_as_the_leaves_go() {
    let mut machine = Machine::new(Format::TwoLevel);
    let at = 0x5800_0000;
    let Machine { hw, frames, domains, .. } = &mut machine;
    domains[0].tables.map(hw, frames, Iova(at), PhysAddr(at), 0x2_0000, Attributes::default()).unwrap();
    domains[1].tables.map(hw, frames, Iova(at), PhysAddr(at), 0x1_0000, Attributes::default()).unwrap();
    domains[1].tables.map(hw, frames, Iova(at + 0x1_0000), PhysAddr(at), 0x1_0000, Attributes::default()).unwrap();
    let mut broken = |sid, start: u64, bytes| {
        let registers = machine.registers();
        not_identity(&mut machine.hw, &registers, sid, (PhysAddr(start), bytes), LIMIT)
    };
    assert_eq!(broken(SIDS[0], at, 0x2_0000), Ok(None));
    assert_eq!(broken(SIDS[0], at + 0x800, 0x1_0000), Ok(None), "from the middle of a page");
    assert_eq!(broken(SIDS[0], at, 0x2_1000), Ok(Some(PhysAddr(at + 0x2_0000))), "a hole behind it");
    assert_eq!(broken(SIDS[0], at - 0x1000, 0x2000), Ok(Some(PhysAddr(at - 0x1000))), "a hole before it");
    assert_eq!(broken(SIDS[1], at, 0x2_0000), Ok(Some(PhysAddr(at + 0x1_0000))), "another place half way");
    assert_eq!(broken(SIDS[2], at, 0x1000), Ok(Some(PhysAddr(at))));
    assert_eq!(broken(StreamId(0x11), at, 0x1000), Ok(Some(PhysAddr(at))), "no valid STE");
    assert_eq!(broken(StreamId(0xffff), at, 0x1000), Ok(Some(PhysAddr(at))), "no STE at all");
    assert_eq!(broken(SIDS[0], at, 0), Ok(None));
    let registers = machine.registers();
    let little = not_identity(&mut machine.hw, &registers, SIDS[0], (PhysAddr(at), 0x2_0000), 64);
    assert!(matches!(little, Err(ReachError::Walk { .. } | ReachError::Observe(_))), "{little:?}");
}

#[test]
fn identity_of_bypass_stage_2_and_a_disabled_smmu() {
    let mut machine = Machine::new(Format::TwoLevel);
    let (range, start) = ((PhysAddr(0x5800_0000), 0x1_0000), Some(PhysAddr(0x5800_0000)));
    let with_config = |machine: &mut Machine, config: u64| {
        let (at, registers) = (machine.ste_at(SIDS[0]), machine.registers());
        let word = machine.hw.peek(at) & !0b1110 | config << 1;
        machine.hw.poke(at, word);
        not_identity(&mut machine.hw, &registers, SIDS[0], range, LIMIT)
    };
    assert_eq!(with_config(&mut machine, 0b100), Ok(None));
    assert_eq!(with_config(&mut machine, 0b000), Ok(start));
    assert!(matches!(with_config(&mut machine, 0b110), Err(ReachError::Unwalkable { .. })), "no stage-2 tables");
    let mut second = Machine::at(Stage::Two, Format::TwoLevel);
    assert_eq!(with_config(&mut second, 0b110), Ok(start), "not mapped there");
    let Machine { hw, frames, domains, .. } = &mut second;
    domains[0].tables.map(hw, frames, Iova(range.0.0), range.0, range.1, Attributes::default()).unwrap();
    assert_eq!(with_config(&mut second, 0b110), Ok(None));
    assert!(matches!(with_config(&mut second, 0b111), Err(ReachError::Unwalkable { .. })), "nested");
    let mut hw = Fake::default();
    let registers = Registers::read(&mut hw, SMMU);
    assert_eq!(not_identity(&mut hw, &registers, SIDS[0], range, LIMIT), Ok(None), "GBPA lets through");
    let aborting = Registers { gbpa: registers.gbpa.with_abort(true), ..registers };
    assert_eq!(not_identity(&mut hw, &aborting, SIDS[0], range, LIMIT), Ok(start));
}
