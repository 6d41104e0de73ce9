extern crate std;
use super::*;
use crate::fake::{Fake, FakeFrames};
use crate::log::{Log, Logged, Op, What};
use crate::queue::CommandQueue;
use crate::spec::command::opcode;
use crate::spec::registers::{self as reg, Cr0, Idr5};
use crate::translation::{Geometry, Granule, Stage, Translation};
use std::vec;
use std::vec::Vec;

const SMMU: SmmuIndex = SmmuIndex(0);
const IDR0: Idr0 = Idr0::from_bits(0x0D44_101B);
const IDR1: Idr1 = Idr1::from_bits(0x0273_0010);
const CD: PhysAddr = PhysAddr(0x4567_8940);

fn build(hw: &mut Fake, frames: &mut FakeFrames, format: Option<Format>, largest: u32) -> StreamTable {
    let options = TableOptions { format, largest: StreamId(largest), unknown: Unknown::Aborts };
    StreamTable::build(hw, SMMU, IDR0, IDR1, options, frames).unwrap()
}

fn refused(idr0: Idr0, idr1: Idr1, format: Option<Format>, largest: u32) -> TableError {
    let options = TableOptions { format, largest: StreamId(largest), unknown: Unknown::Aborts };
    StreamTable::build(&mut Fake::default(), SMMU, idr0, idr1, options, &mut FakeFrames::default()).unwrap_err()
}

fn queue(hw: &mut Fake, frames: &mut FakeFrames) -> CommandQueue {
    let mut commands = CommandQueue::new(SMMU, frames, IDR1, 6, 1000).unwrap();
    commands.program(hw);
    hw.write32(SMMU, reg::CR0, Cr0::new().with_cmdqen(true).into());
    commands
}

#[test]
fn streams_that_are_to_be_recorded_have_no_valid_ste() {
    for format in [Format::Linear, Format::TwoLevel] {
        let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
        let options = TableOptions { format: Some(format), largest: StreamId(0x1ff), unknown: Unknown::IsRecorded };
        let table = StreamTable::build(&mut hw, SMMU, IDR0, IDR1, options, &mut frames).unwrap();
        let ste = stage1_ste(CD, true);
        table.write_ste(&mut hw, None, &mut frames, StreamId(0x105), &ste).unwrap();
        for neighbour in [0x100, 0x104, 0x106, 0x1ff] {
            let at = table.ste_address(&mut hw, StreamId(neighbour)).unwrap().expect("one level 2 has them all");
            assert_eq!(table.read(&mut hw, at).unwrap(), [0; STE_WORDS], "{format:?} {neighbour:#x}");
        }
        assert!(table.serves(&mut hw, StreamId(0x105)).unwrap());
    }
}

/// What an SMMU would notice, in order: stores, publishing barriers, and commands by their opcode and Leaf bit.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Store(u64, u64),
    /// Address, stride, count, value.
    Fill(u64, u32, u32, u64),
    Publish,
    Command(u8, u64),
}

fn seen(log: &Log) -> Vec<Seen> {
    let mut all = Vec::new();
    for entry in log.entries() {
        match (entry.op, entry.what) {
            // The first word of a command holds its opcode, the second its Leaf bit.
            (Op::Store, What::Structure(Structure::Command)) if entry.address % 16 == 0 => {
                all.push(Seen::Command(entry.value as u8, 0));
            }
            (Op::Store, What::Structure(Structure::Command)) => {
                if let Some(Seen::Command(_, leaf)) = all.last_mut() {
                    *leaf = entry.value;
                }
            }
            (Op::Fill, _) => all.push(Seen::Fill(entry.address, entry.stride, entry.count, entry.value)),
            (Op::Store, _) => all.push(Seen::Store(entry.address, entry.value)),
            (_, What::Barrier(Barrier::PublishStructure)) => all.push(Seen::Publish),
            _ => {}
        }
    }
    all
}

fn cfgi_and_sync(leaf: bool) -> [Seen; 3] {
    [Seen::Publish, Seen::Command(opcode::CFGI_STE, u64::from(leaf)), Seen::Command(opcode::SYNC, 0)]
}

#[test]
fn a_two_level_table_covers_all_streamids() {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let table = build(&mut hw, &mut frames, None, 0x18);
    assert_eq!(table.format(), Format::TwoLevel);
    // FMT 1, SPLIT 8, LOG2SIZE 16; a level 1 of 256 descriptors.
    assert_eq!(u32::from(table.strtab_base_cfg()), 1 << 16 | 8 << 6 | 16);
    let base = table.strtab_base().addr();
    assert_eq!(u64::from(table.strtab_base()), 1 << 62 | base);
    assert_eq!(base % 2048, 0);
    assert!(hw.memory().is_empty(), "no level 2 yet");
    assert_eq!(table.ste_address(&mut hw, StreamId(0x18)), Ok(None));
}

#[test]
fn a_level_2_appears_with_its_first_stream_and_aborts_the_others() {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let table = build(&mut hw, &mut frames, None, 0x118);
    table.write_ste(&mut hw, None, &mut frames, StreamId(0x118), &stage1_ste(CD, true)).unwrap();
    let descriptor = hw.peek(PhysAddr(table.strtab_base().addr() + 8));
    assert_eq!(descriptor & 0x1F, 9, "Span");
    let level2 = descriptor & !0x1F;
    assert_eq!(level2 % 0x4000, 0);
    for index in 0..256 {
        let words: Vec<u64> = (0..8).map(|word| hw.peek(PhysAddr(level2 + index * 64 + word * 8))).collect();
        let expected = if index == 0x18 { vec![CD.0 | 5 << 1 | 1, 3 << 6 | 1 << 4 | 1 << 2 | 2] } else { vec![1, 0] };
        assert_eq!(words[..2], expected);
        assert_eq!(words[2..], [0; 6]);
    }
    assert_eq!(table.ste_address(&mut hw, StreamId(0x118)), Ok(Some(PhysAddr(level2 + 0x18 * 64))));
    let before = frames.free.start;
    table.write_ste(&mut hw, None, &mut frames, StreamId(0x1FF), &bypass_ste(IDR1)).unwrap();
    assert_eq!(frames.free.start, before, "the second stream uses the same level 2");
}

#[test]
fn a_linear_table_is_as_large_as_its_largest_streamid_and_aborts() {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let table = build(&mut hw, &mut frames, Some(Format::Linear), 0x18);
    assert_eq!(u32::from(table.strtab_base_cfg()), 5);
    let base = PhysAddr(table.strtab_base().addr());
    assert!(base.is_aligned(32 * 64));
    assert_eq!(hw.memory().len(), 32);
    assert!(hw.memory().values().all(|word| *word == 1));
    table.write_ste(&mut hw, None, &mut frames, StreamId(0x18), &stage1_ste(CD, true)).unwrap();
    assert_eq!(hw.peek(base.plus(0x18 * 64)), CD.0 | 0xB);
    let beyond = table.write_ste(&mut hw, None, &mut frames, StreamId(0x20), &ABORT);
    assert_eq!(beyond, Err(TableError::StreamIdRange { stream_id: StreamId(0x20), bits: 5 }));
}

#[test]
fn the_form_follows_the_hardware() {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let options = TableOptions { format: None, largest: StreamId(3), unknown: Unknown::Aborts };
    let linear_only = IDR0.with_st_level(0);
    let table = StreamTable::build(&mut hw, SMMU, linear_only, IDR1, options, &mut frames).unwrap();
    assert_eq!(table.format(), Format::Linear);
    let table = StreamTable::build(&mut hw, SMMU, IDR0, IDR1.with_sidsize(7), options, &mut frames).unwrap();
    assert_eq!(table.format(), Format::Linear);
    assert!(matches!(refused(linear_only, IDR1, Some(Format::TwoLevel), 3), TableError::NoTwoLevel { .. }));
    let too_large = TableError::StreamIdRange { stream_id: StreamId(0x1_0000), bits: 16 };
    assert_eq!(refused(IDR0, IDR1, None, 0x1_0000), too_large);
    assert_eq!(refused(IDR0, IDR1.with_sidsize(24), Some(Format::Linear), 0x1_0000), too_large);
    // The largest level 1 is 1 MiB.
    let options = TableOptions { format: None, largest: StreamId(0), unknown: Unknown::Aborts };
    let table = StreamTable::build(&mut hw, SMMU, IDR0, IDR1.with_sidsize(32), options, &mut frames).unwrap();
    assert_eq!(table.strtab_base_cfg().log2size(), 25);
}

#[test]
fn an_ste_becomes_valid_in_the_order_of_the_architecture() {
    let (mut hw, mut frames, mut log) = (Fake::default(), FakeFrames::default(), Log::with_capacity(256));
    let table = build(&mut hw, &mut frames, Some(Format::Linear), 7);
    let mut commands = queue(&mut hw, &mut frames);
    let at = table.strtab_base().addr() + 7 * 64;
    let ste = stage1_ste(CD, true);
    let mut logged = Logged::new(&mut hw, &mut log);
    table.write_ste(&mut logged, Some(&mut commands), &mut frames, StreamId(7), &ste).unwrap();
    let mut expected: Vec<Seen> = (1..8).map(|word| Seen::Store(at + word * 8, ste[word as usize])).collect();
    expected.extend(cfgi_and_sync(true));
    expected.push(Seen::Store(at, ste[0]));
    expected.extend(cfgi_and_sync(true));
    assert_eq!(seen(&log), expected);
    assert_eq!(hw.unit(SMMU).commands.len(), 4);
}

#[test]
fn an_ste_in_use_is_broken_before_it_is_rebuilt() {
    let (mut hw, mut frames, mut log) = (Fake::default(), FakeFrames::default(), Log::with_capacity(256));
    let table = build(&mut hw, &mut frames, Some(Format::Linear), 7);
    let mut commands = queue(&mut hw, &mut frames);
    table.write_ste(&mut hw, Some(&mut commands), &mut frames, StreamId(7), &stage1_ste(CD, true)).unwrap();
    let at = table.strtab_base().addr() + 7 * 64;
    let bypass = bypass_ste(IDR1);
    let mut logged = Logged::new(&mut hw, &mut log);
    table.write_ste(&mut logged, Some(&mut commands), &mut frames, StreamId(7), &bypass).unwrap();
    let mut expected = vec![Seen::Store(at, 0)];
    expected.extend(cfgi_and_sync(true));
    expected.extend((1..8).map(|word| Seen::Store(at + word * 8, bypass[word as usize])));
    expected.extend(cfgi_and_sync(true));
    expected.push(Seen::Store(at, 9));
    expected.extend(cfgi_and_sync(true));
    assert_eq!(seen(&log), expected);
}

#[test]
fn abort_is_one_store() {
    let (mut hw, mut frames, mut log) = (Fake::default(), FakeFrames::default(), Log::with_capacity(256));
    let table = build(&mut hw, &mut frames, None, 7);
    let mut commands = queue(&mut hw, &mut frames);
    table.abort(&mut hw, Some(&mut commands), StreamId(7)).unwrap();
    assert!(hw.unit(SMMU).commands.is_empty(), "no level 2, nothing to do");
    table.write_ste(&mut hw, Some(&mut commands), &mut frames, StreamId(7), &stage1_ste(CD, true)).unwrap();
    let at = table.ste_address(&mut hw, StreamId(7)).unwrap().unwrap();
    table.abort(&mut Logged::new(&mut hw, &mut log), Some(&mut commands), StreamId(7)).unwrap();
    let mut expected = vec![Seen::Store(at.0, 1)];
    expected.extend(cfgi_and_sync(true));
    assert_eq!(seen(&log), expected);
}

#[test]
fn the_same_ste_again_writes_nothing() {
    let (mut hw, mut frames, mut log) = (Fake::default(), FakeFrames::default(), Log::with_capacity(256));
    let table = build(&mut hw, &mut frames, Some(Format::Linear), 7);
    table.write_ste(&mut hw, None, &mut frames, StreamId(7), &stage1_ste(CD, true)).unwrap();
    let mut logged = Logged::new(&mut hw, &mut log);
    table.write_ste(&mut logged, None, &mut frames, StreamId(7), &stage1_ste(CD, true)).unwrap();
    assert_eq!(seen(&log), []);
}

#[test]
fn a_new_level_2_is_published_before_its_descriptor_which_is_invalidated_with_leaf_0() {
    let (mut hw, mut frames, mut log) = (Fake::default(), FakeFrames::default(), Log::with_capacity(1024));
    let table = build(&mut hw, &mut frames, None, 0x18);
    let mut commands = queue(&mut hw, &mut frames);
    let mut logged = Logged::new(&mut hw, &mut log);
    table.write_ste(&mut logged, Some(&mut commands), &mut frames, StreamId(0x18), &bypass_ste(IDR1)).unwrap();
    let seen = seen(&log);
    let descriptor = table.strtab_base().addr();
    let level2 = table.ste_address(&mut hw, StreamId(0)).unwrap().unwrap().0;
    let mut expected = vec![Seen::Fill(level2, 64, 256, 1), Seen::Publish, Seen::Store(descriptor, level2 | 9)];
    expected.extend(cfgi_and_sync(false));
    assert_eq!(seen[..6], expected);
}

#[test]
fn bypass_has_shcfg_only_where_it_exists() {
    assert_eq!(bypass_ste(IDR1)[..2], [9, 0]);
    assert_eq!(bypass_ste(IDR1.with_attr_types_ovr(true))[..2], [9, 1 << 44]);
}

#[test]
fn a_cd_is_what_linux_would_write() {
    let (mut hw, mut frames, mut log) = (Fake::default(), FakeFrames::default(), Log::with_capacity(64));
    let geometry = Geometry::choose(Idr5::from(0x74), Stage::One).unwrap();
    let tables = Translation::new(SMMU, geometry, &mut frames).unwrap();
    let cd = context_descriptor(&tables, 0x1234, IDR0, true);
    // ASID, ASET, A, R, AA64, IPS 44 bits, V, EPD1, SH0, OR0, IR0, T0SZ 16.
    let bits = 1 << 47 | 1 << 46 | 1 << 45 | 1 << 41 | 4 << 32 | 1 << 31 | 1 << 30 | 3 << 12 | 1 << 10 | 1 << 8 | 16;
    assert_eq!(cd, [0x1234 << 48 | bits, tables.root().0, 0, 0x04_44_FF, 0, 0, 0, 0]);
    write_cd(&mut Logged::new(&mut hw, &mut log), SMMU, CD, &cd);
    let seen = seen(&log);
    assert_eq!(seen.len(), 10);
    assert_eq!(seen[7..], [Seen::Publish, Seen::Store(CD.0, cd[0]), Seen::Publish]);
    assert_eq!((0..8).map(|word| hw.peek(CD.plus(word * 8))).collect::<Vec<_>>(), cd);
}

#[test]
fn a_cd_follows_the_hardware() {
    let mut frames = FakeFrames::default();
    let tables = Translation::new(SMMU, Geometry::new(Stage::One, Granule::K64, 48, 40).unwrap(), &mut frames).unwrap();
    let cd = context_descriptor(&tables, 1, IDR0.with_stall_model(2), false);
    assert_eq!(cd[0] >> 44 & 1, 1, "S where stalls are forced");
    assert_eq!(cd[0] >> 6 & 3, 1, "TG0 64 KiB");
    assert_eq!(cd[0] >> 32 & 7, 2, "IPS 40 bits");
    assert_eq!(cd[0] >> 8 & 0x3F, 2 << 4, "non-cacheable, outer shareable");
    assert_eq!(stage1_ste(CD, false)[1], 2 << 6 | 2, "outer shareable, S1DSS as Linux has it");
}

#[test]
fn memory_that_runs_out_and_commands_that_hang_are_errors() {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let table = build(&mut hw, &mut frames, None, 7);
    let mut commands = queue(&mut hw, &mut frames);
    hw.unit(SMMU).freeze_cmdq = true;
    let hung = table.write_ste(&mut hw, Some(&mut commands), &mut frames, StreamId(7), &ABORT);
    assert!(matches!(hung, Err(TableError::Queue(QueueError::TimedOut { .. }))));
    frames.free.end = frames.free.start;
    let full = table.write_ste(&mut hw, None, &mut frames, StreamId(0x107), &ABORT);
    assert_eq!(full, Err(TableError::OutOfMemory(0x4000)));
}
