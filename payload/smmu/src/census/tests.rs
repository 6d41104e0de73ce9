extern crate std;
use super::*;
use crate::access::SmmuIndex;
use crate::bringup::Options;
use crate::fake::{Fake, FakeFrames};
use crate::spec::registers::{IDR0, IDR1, Idr0, Idr1};
use crate::spec::ste::{Ste0, Ste1};
use addr::Iova;
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
    let plan = Plan { httu: Httu::AccessAndDirty, memory: &MEMORY, streams: &streams, shared };
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
fn a_stream_beyond_the_table_stops_nobody_and_is_told() {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let mut unit = Unit::prepare(&mut hw, SMMU, &Options::new(PhysAddr(0), StreamId(0xFFFF)), &mut frames).unwrap();
    let streams = [StreamId(0x10_0000), StreamId(0x20_0000), StreamId(3)].map(|stream| (stream, Memory::WriteBack));
    let shared = &mut SharedTables::default();
    let plan = Plan { httu: Httu::Access, memory: &MEMORY, streams: &streams, shared };
    let census = Census::attach(&mut hw, &mut unit, &mut frames, plan).unwrap();
    assert_eq!(census.unreached(), Some(StreamId(0x10_0000)));
    assert!(census.knows(StreamId(3)) && !census.knows(StreamId(0x10_0000)));
}

/// Frames that end after so many.
struct Few(FakeFrames, u32);

impl Frames for Few {
    fn allocate(&mut self, bytes: u64, alignment: u64) -> Option<PhysAddr> {
        self.1 = self.1.checked_sub(1)?;
        self.0.allocate(bytes, alignment)
    }
}

#[test]
fn streams_without_memory_stay_with_the_others() {
    let mut least = None;
    for count in 0..60 {
        let (mut hw, mut frames) = (Fake::default(), Few(FakeFrames::default(), u32::MAX));
        let mut unit = Unit::prepare(&mut hw, SMMU, &Options::new(PhysAddr(0), StreamId(0xFFFF)), &mut frames).unwrap();
        frames.1 = count;
        let streams: Vec<_> = (0..4).map(|id| (StreamId(id << 8), Memory::WriteBack)).collect();
        let shared = &mut SharedTables::default();
        let plan = Plan { httu: Httu::Access, memory: &MEMORY, streams: &streams, shared };
        match Census::attach(&mut hw, &mut unit, &mut frames, plan) {
            Ok(census) => {
                least = least.or(Some(census.watched.len()));
                // Who has none of its own is led to those of all others, by the level 2 that these have.
                for id in (0..4).map(|id| StreamId(id << 8)).filter(|id| !census.knows(*id)) {
                    assert_eq!(unit.table().ste_address(&mut hw, id).unwrap(), None);
                }
            }
            Err(error) => assert!(least.is_none() && error.is_out_of_memory(), "{count}: {error}"),
        }
    }
    assert_eq!(least, Some(1));
}

#[test]
fn instruction_fetches_are_reads_of_data_where_the_smmu_can_say_so() {
    for can in [false, true] {
        let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
        let idr1 = Idr1::from(hw.unit(SMMU).get(IDR1)).with_attr_perms_ovr(can);
        hw.unit(SMMU).set(IDR1, idr1.into());
        let mut unit = Unit::prepare(&mut hw, SMMU, &Options::new(PhysAddr(0), StreamId(0xFFFF)), &mut frames).unwrap();
        let streams = [(StreamId(3), Memory::WriteBack)];
        let shared = &mut SharedTables::default();
        let plan = Plan { httu: Httu::Access, memory: &MEMORY, streams: &streams, shared };
        Census::attach(&mut hw, &mut unit, &mut frames, plan).unwrap();
        // Its own, and one of all others' in the same level 2.
        for stream in [3, 4] {
            let at = unit.table().ste_address(&mut hw, StreamId(stream)).unwrap().unwrap();
            assert_eq!(Ste1::from(hw.peek(at.plus(8))).instcfg(), if can { 2 } else { 0 });
        }
    }
}

#[test]
fn the_same_stream_twice_has_one_domain() {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let options = Options::new(PhysAddr(0), StreamId(0xFFFF));
    let mut unit = Unit::prepare(&mut hw, SMMU, &options, &mut frames).unwrap();
    let streams = [(StreamId(3), Memory::WriteBack), (StreamId(3), Memory::NonCacheable)];
    let shared = &mut SharedTables::default();
    let plan = Plan { httu: Httu::Access, memory: &MEMORY, streams: &streams, shared };
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
    let marks = |httu, but| Way::Marks { httu, but }.to_string();
    assert_eq!(marks(Httu::Access, Exceptions::NONE), "hardware marks what was used, and nothing is refused");
    let but = Exceptions { stream_bits: Some(25), ..Exceptions::NONE };
    assert!(marks(Httu::AccessAndDirty, but).ends_with("nothing is refused but StreamIDs of more than 25 bits"));
    let but = Exceptions { address_bits: Some(48), pasids: true, ..but };
    assert!(
        marks(Httu::Access, but)
            .ends_with(" but StreamIDs of more than 25 bits, addresses of more than 48 bits, DMA with a PASID")
    );
    assert!(
        marks(Httu::Access, Exceptions { pasids: true, ..Exceptions::NONE }).ends_with("refused but DMA with a PASID")
    );
    let refuses = [
        (Refuses::NoHttu, "IDR0.HTTU is 0"),
        (Refuses::Overridden { httu: 2 }, "IDR0.HTTU is 2, but the IORT overrides it with 0"),
        (Refuses::MemoryBeyond { bits: 44 }, "memory lies past the 44 bits that identity tables reach"),
    ];
    for (why, text) in refuses {
        assert_eq!(
            Way::Refuses(why).to_string(),
            format!("all DMA but to ranges of RMR nodes is refused and recorded: {text}")
        );
    }
}

#[test]
fn whom_nobody_names_reaches_memory_write_back_even_where_no_function_snoops() {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let mut unit = Unit::prepare(&mut hw, SMMU, &Options::new(PhysAddr(0), StreamId(0xFFFF)), &mut frames).unwrap();
    let streams = [(StreamId(3), Memory::NonCacheable)];
    let shared = &mut SharedTables::default();
    let plan = Plan { httu: Httu::Access, memory: &MEMORY, streams: &streams, shared };
    let census = Census::attach(&mut hw, &mut unit, &mut frames, plan).unwrap();
    let memory_of = |(stream, _, marked): &(Option<StreamId>, Domain, Marked)| {
        let leaf = marked.translation().walk(&mut hw, Iova(0x4000_0000)).unwrap().unwrap();
        // AttrIndx.
        (*stream, leaf.descriptor >> 2 & 7)
    };
    let memory: Vec<_> = census.watched.iter().map(memory_of).collect();
    assert_eq!(memory, [(None, Memory::WriteBack as u64), (Some(StreamId(3)), Memory::NonCacheable as u64)]);
}
