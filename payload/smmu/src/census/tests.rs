extern crate std;
use super::*;
use crate::access::SmmuIndex;
use crate::bringup::Options;
use crate::fake::{Fake, FakeFrames};
use crate::spec::registers::{IDR0, Idr0};
use crate::spec::ste::Ste0;
use std::{format, string::ToString};

const SMMU: SmmuIndex = SmmuIndex(0);
const MEMORY: [Range<u64>; 2] = [0x4000_0000..0x6000_0000, 0x6000_0000..0x8000_0000];

/// A census of `count` streams on an SMMU with 8-bit or 16-bit ASIDs.
fn attached(count: u32, asid16: bool) -> (Fake, Unit, Census) {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let idr0 = Idr0::from(hw.unit(SMMU).get(IDR0)).with_httu(2).with_asid16(asid16);
    hw.unit(SMMU).set(IDR0, idr0.into());
    let options = Options::new(PhysAddr(0), largest_stream(&mut hw, SMMU));
    let mut unit = Unit::prepare(&mut hw, SMMU, &options, &mut frames).unwrap();
    let streams: Vec<_> = (0..count).map(|id| (StreamId(id), Memory::WriteBack)).collect();
    let shared = &mut SharedTables::default();
    let plan =
        Plan { httu: Httu::AccessAndDirty, memory: &MEMORY, streams: &streams, unknown: Memory::WriteBack, shared };
    let census = Census::attach(&mut hw, &mut unit, &mut frames, plan).unwrap();
    (hw, unit, census)
}

#[test]
fn every_stream_leads_somewhere_and_those_beyond_the_limit_share() {
    let (mut hw, unit, census) = attached(300, true);
    assert_eq!(census.watched.len(), MOST_DOMAINS + 1);
    let mut ste = |id| {
        let at = unit.table().ste_address(&mut hw, StreamId(id)).unwrap()?;
        Some(Ste0::from(hw.peek(at)))
    };
    assert!(ste(0).unwrap().v() && ste(0) != ste(1));
    // In a level 2 that somebody has, and in the one that all others share.
    assert_eq!(ste(MOST_DOMAINS as u32).unwrap().s1contextptr(), ste(200).unwrap().s1contextptr());
    assert_eq!(ste(299), None);
    let (mut hw, _, census) = attached(0, false);
    assert_eq!((census.watched.len(), largest_stream(&mut hw, SMMU)), (1, StreamId(0xFFFF)));
}

#[test]
fn the_same_stream_twice_has_one_domain() {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let options = Options::new(PhysAddr(0), StreamId(0xFFFF));
    let mut unit = Unit::prepare(&mut hw, SMMU, &options, &mut frames).unwrap();
    let streams = [(StreamId(3), Memory::WriteBack), (StreamId(3), Memory::NonCacheable)];
    let shared = &mut SharedTables::default();
    let plan = Plan { httu: Httu::Access, memory: &MEMORY, streams: &streams, unknown: Memory::WriteBack, shared };
    assert_eq!(Census::attach(&mut hw, &mut unit, &mut frames, plan).unwrap().watched.len(), 2);
}

#[test]
fn what_finds_no_room_is_not_forgotten_in_silence() {
    let mut marks = Vec::new();
    let touched = |block: usize| Touched { address: PhysAddr((block as u64) << 21), bytes: 1 << 21, written: None };
    assert!((0..MOST_MARKS).all(|block| note(&mut marks, None, touched(block), 1)));
    assert!(!note(&mut marks, None, touched(MOST_MARKS), 2));
    assert!(note(&mut marks, None, touched(0), 3));
    assert_eq!((marks[0].first, marks[0].last, marks[0].scans), (1, 3, 2));
}

#[test]
fn a_way_is_told_with_its_reason() {
    let marks = |httu, only_bits| Way::Marks { httu, only_bits }.to_string();
    assert_eq!(marks(Httu::Access, None), "hardware marks what was used, and nothing is refused");
    assert!(marks(Httu::AccessAndDirty, Some(25)).ends_with("nothing is refused but StreamIDs of more than 25 bits"));
    let refuses = [
        (Refuses::NoHttu, "IDR0.HTTU is 0"),
        (Refuses::Overridden { httu: 2 }, "IDR0.HTTU is 2, but the IORT overrides it with 0"),
        (Refuses::MemoryBeyond { bits: 44 }, "memory lies past the 44 bits that identity tables reach"),
    ];
    for (why, text) in refuses {
        assert_eq!(Way::Refuses(why).to_string(), format!("all DMA is refused and recorded: {text}"));
    }
}
