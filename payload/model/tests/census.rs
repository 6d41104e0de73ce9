//! A census by marks: devices do DMA at any moment, nothing of it is refused, and who did it is named.

use addr::{Iova, PhysAddr, StreamId};
use model::{
    Choices, FreshFrames, Function, Guard, Hardware, Machine, Outcome, Path, Personality, Schedule, Stop, Window,
};
use smmu::access::{Access, Barrier, SmmuIndex, Structure, Unbacked};
use smmu::bringup::{Options, Unit};
use smmu::census::{
    Census, Exceptions, Known, Mark, NotWatched, Plan, Refuses, Watched, Way, largest_stream, memory, way,
};
use smmu::spec::cd::Cd0;
use smmu::spec::event::id;
use smmu::spec::registers::{CR0, CR0ACK};
use smmu::table::Unknown;
use smmu::translation::{Httu, Memory, SharedTables};
use std::collections::BTreeSet;
use std::ops::Range;

const SMMU: SmmuIndex = SmmuIndex(0);
const GIB: u64 = 1 << 30;
/// All but its last 2 MiB is memory: told in blocks of 2 MiB. The next one is memory throughout, and there is more behind
/// 512 GiB that holds nothing.
const MEMORY: [Range<u64>; 3] = [GIB..2 * GIB - 0x20_0000, 2 * GIB..3 * GIB, 0x180_0000_0000..0x180_4000_0000];
const WRITER: StreamId = StreamId(0x10);
const READER: StreamId = StreamId(0x18);
const QUIET: StreamId = StreamId(0x20);
const KNOWN: Known = Known { coherent_override: false, httu_override: 2, last_memory: 0x180_3FFF_FFFF };
const ROUNDS: usize = 12;

/// Devices by the functions that a machine has: their index in it.
const FIRST: usize = 0;
const SECOND: usize = 1;

fn hardware(httu: u8) -> Hardware {
    Hardware::virt(Personality::Architecture { minor: 1 }).idr0(|idr0| idr0.with_httu(httu))
}

fn window(address: u64, write: bool) -> Window {
    Window { write, ..Window::new(Iova(address), PhysAddr(address)) }
}

fn device(stream: StreamId, address: u64, write: bool) -> Function {
    Function::new(stream, &[window(address, write)])
}

/// What a census saw, and what was refused meanwhile.
struct Seen {
    marks: Vec<Mark>,
    refused: BTreeSet<Outcome>,
    /// Whom the SMMU said that it refused something.
    told: Vec<StreamId>,
    /// When it was let go of before its time, and why.
    ends: Vec<(usize, NotWatched)>,
}

impl Seen {
    fn take_refused(&mut self, machine: &mut Machine) {
        assert_eq!(machine.record.dropped(), 0);
        let rows = machine.record.rows().iter().map(|seen| seen.outcome);
        self.refused.extend(rows.filter(|outcome| !outcome.is_delivered()));
        machine.record.clear();
    }
}

/// Watches for [`ROUNDS`] scans, `each` of which begins with what it does to the devices.
fn census(machine: &mut Machine, fault: Fault, each: &mut dyn FnMut(&mut Machine, usize)) -> Seen {
    census_of(machine, &MEMORY, fault, each)
}

/// The same where this is memory.
fn census_of(
    machine: &mut Machine,
    memory: &[Range<u64>],
    fault: Fault,
    each: &mut dyn FnMut(&mut Machine, usize),
) -> Seen {
    let Way::Marks { httu, .. } = way(machine, SMMU, KNOWN) else { panic!("{:?}", way(machine, SMMU, KNOWN)) };
    let mut frames = FreshFrames::default();
    let largest = largest_stream(machine, SMMU);
    let options = Options { timeout_us: 2000, ..Options::new(PhysAddr(0x0905_0000), largest) };
    let mut hw = Spoiled { machine, fault };
    let mut unit = Unit::prepare(&mut hw, SMMU, &options, &mut frames).expect("prepare");
    let streams = [WRITER, READER, QUIET].map(|stream| (stream, Memory::WriteBack));
    let shared = &mut SharedTables::default();
    let plan = Plan { httu, memory, streams: &streams, shared };
    let census = Census::attach(&mut hw, &mut unit, &mut frames, plan).expect("attach");
    let mut watched = Watched::new(unit, Some(census));
    watched.start(&mut hw).expect("start");
    let mut seen = Seen { marks: Vec::new(), refused: BTreeSet::new(), told: Vec::new(), ends: Vec::new() };
    for round in 0..ROUNDS {
        seen.take_refused(hw.machine);
        each(hw.machine, round);
        if let Err(why) = watched.look(&mut hw, round as u64, &mut |stream| seen.told.push(stream)) {
            seen.ends.push((round, why));
        }
    }
    seen.take_refused(hw.machine);
    let ended = watched.end(&mut hw);
    assert_eq!((ended.is_err(), watched.is_lossy()), (fault == Fault::NotDisabled, false), "{ended:?}");
    seen.take_refused(machine);
    Seen { marks: watched.census().expect("by marks").marks().to_vec(), ..seen }
}

/// The marks of one stream, or of those that nobody knows.
fn of(marks: &[Mark], stream: Option<StreamId>) -> Vec<&Mark> {
    marks.iter().filter(|mark| mark.stream == stream).collect()
}

fn broken(machine: &Machine) -> Vec<Guard> {
    machine.units[0].violations.iter().map(|violation| violation.guard).collect()
}

#[test]
fn each_device_is_named_with_its_block_and_nothing_is_refused() {
    for (httu, written, read) in [(1, None, None), (2, Some(true), Some(false)), (3, Some(true), Some(false))] {
        let mut machine = Machine::new(hardware(httu), Choices::kind());
        machine.functions = vec![
            device(WRITER, GIB + 0x0810_0040, true),
            device(READER, 2 * GIB + 0x1234_5000, false),
            Function { live: false, ..device(QUIET, GIB + 0x1000, true) },
        ];
        machine.schedule = Schedule::EveryAccess;
        let Seen { marks, refused, .. } = census(&mut machine, Fault::None, &mut |_, _| {});
        assert!(refused.is_empty(), "{refused:?}");
        assert_eq!(broken(&machine), []);
        let all = Mark { stream: None, address: PhysAddr(0), bytes: 0, written: None, first: 0, last: 11, scans: 12 };
        let writer = Mark { stream: Some(WRITER), address: PhysAddr(GIB + 0x0800_0000), bytes: 0x20_0000, ..all };
        let reader = Mark { stream: Some(READER), address: PhysAddr(2 * GIB), bytes: GIB, ..all };
        assert_eq!(marks, [Mark { written, ..writer }, Mark { written: read, ..reader }], "HTTU {httu}");
    }
}

#[test]
fn a_device_that_stops_is_seen_to_stop_and_one_that_begins_to_begin() {
    let mut machine = Machine::new(hardware(2), Choices::kind());
    machine.functions =
        vec![device(WRITER, GIB, true), Function { live: false, ..device(READER, 0x180_0000_0000, false) }];
    machine.schedule = Schedule::EveryAccess;
    let Seen { marks, .. } = census(&mut machine, Fault::None, &mut |machine, round| {
        machine.functions[FIRST].live = round < 5;
        machine.functions[SECOND].live = round >= 7;
    });
    // What was done until the scan of round 5 began shows in it.
    let times =
        |stream| of(&marks, Some(stream)).iter().map(|mark| (mark.first, mark.last, mark.scans)).collect::<Vec<_>>();
    assert_eq!(times(WRITER), [(0, 5, 6)]);
    assert_eq!(times(READER), [(7, 11, 5)]);
}

#[test]
fn a_device_that_both_reads_and_writes_is_told_to_write() {
    let mut machine = Machine::new(hardware(2), Choices::kind());
    machine.functions = vec![device(WRITER, GIB, false)];
    let Seen { marks, .. } = census(&mut machine, Fault::None, &mut |machine, round| {
        machine.functions[FIRST].windows = vec![window(GIB, round == 6)];
        machine.dma(FIRST, 0);
        machine.dma(FIRST, 0);
    });
    let [mark] = marks[..] else { panic!("{marks:?}") };
    assert_eq!((mark.written, mark.scans), (Some(true), 12));
}

#[test]
fn what_belongs_to_nobody_passes_and_its_block_is_told() {
    // Beside a known stream in a level 2, at its place in another one, elsewhere, and the last that there is.
    for stream in [0x11, 0x110, 0x4321, 0xFFFF] {
        let mut machine = Machine::new(hardware(2), Choices::kind());
        machine.functions = vec![device(StreamId(stream), 2 * GIB, true)];
        machine.schedule = Schedule::EveryAccess;
        let Seen { marks, refused, .. } = census(&mut machine, Fault::None, &mut |_, _| {});
        assert!(refused.is_empty(), "{stream:#x}");
        let [mark] = marks[..] else { panic!("{marks:?}") };
        assert_eq!((mark.stream, mark.address, mark.written), (None, PhysAddr(2 * GIB), Some(true)));
    }
}

#[test]
fn doorbells_and_peers_are_reached() {
    let mut machine = Machine::new(hardware(2), Choices::kind());
    // Beside memory it shows; in a range of 512 GiB without memory it does not.
    machine.functions = vec![device(WRITER, 0x0809_0040, true), device(READER, 0xFFF_0000_0000, true)];
    machine.schedule = Schedule::EveryAccess;
    let Seen { marks, refused, .. } = census(&mut machine, Fault::None, &mut |_, _| {});
    assert!(refused.is_empty(), "{refused:?}");
    let [mark] = marks[..] else { panic!("{marks:?}") };
    assert_eq!((mark.stream, mark.address, mark.bytes), (Some(WRITER), PhysAddr(0), GIB));
}

#[test]
fn a_doorbell_in_a_hole_of_memory_is_written_as_device_memory() {
    const DOORBELL: u64 = 2 * GIB + 0x0100_0040;
    // A hole of 32 MiB, which would be memory that firmware keeps.
    let ranges = || [GIB..2 * GIB, 2 * GIB + 0x0200_0000..3 * GIB].into_iter();
    for (devices, hazards) in [(&[PhysAddr(DOORBELL & !0xFFFF)][..], 0), (&[], 1)] {
        let mut machine = Machine::new(hardware(2), Choices::kind());
        machine.bus.devices.push(DOORBELL & !0xFFFF..(DOORBELL & !0xFFFF) + 0x2_0000);
        machine.functions = vec![device(WRITER, DOORBELL, true), device(StreamId(0x21), DOORBELL, true)];
        machine.schedule = Schedule::EveryAccess;
        let Seen { marks, refused, .. } =
            census_of(&mut machine, &memory(ranges(), devices), Fault::None, &mut |_, _| {});
        assert!(refused.is_empty() && marks.len() == 2, "{refused:?} {marks:?}");
        assert_eq!(machine.bus.hazards.len(), hazards, "{:?}", machine.bus.hazards);
    }
}

/// Any SMMU that has marks, in any mood: what is written is told exactly, who is named did something, nobody is refused.
#[test]
fn whatever_the_architecture_leaves_open_the_census_holds() {
    let plain_smmu = hardware(2);
    let mut all: Vec<Hardware> = (0..5)
        .map(|minor| Hardware::virt(Personality::Architecture { minor }).idr0(|idr0| idr0.with_httu(2)))
        .collect();
    all.push(Hardware::server(3).idr0(|idr0| idr0.with_httu(1)));
    all.push(plain_smmu.idr0(|idr0| idr0.with_st_level(0)));
    let granule = |k4, k16, k64| {
        let idr5 = plain_smmu.idr5.with_gran4k(k4).with_gran16k(k16).with_gran64k(k64);
        Hardware { idr5, ..plain_smmu }
    };
    all.extend([granule(true, true, false), granule(false, true, true), granule(false, true, false)]);
    all.push(Hardware { idr5: plain_smmu.idr5.with_oas(5), ..plain_smmu });
    for (number, hardware) in all.into_iter().enumerate() {
        for seed in 0..4 {
            let mut machine = Machine::new(hardware, Choices::seeded(seed));
            machine.functions = vec![
                device(WRITER, GIB + 0x0810_0040, true),
                device(READER, 0x180_1234_5000, false),
                Function { live: false, ..device(QUIET, GIB, true) },
            ];
            machine.schedule = Schedule::OneIn(61);
            let Seen { marks, refused, .. } = census(&mut machine, Fault::None, &mut |machine, round| {
                machine.functions[FIRST].live = round < 6;
            });
            let case = format!("SMMU {number}, seed {seed}: {marks:x?}");
            assert!(refused.is_empty(), "{case}");
            assert_eq!(broken(&machine), [], "{case}");
            let holds = |mark: &&Mark, address: u64| address.wrapping_sub(mark.address.0) < mark.bytes;
            let of_writer = of(&marks, Some(WRITER));
            let wrote = of_writer.iter().find(|mark| holds(mark, GIB + 0x0810_0040)).expect(&case);
            assert!(wrote.scans > 1 && wrote.last <= 6 && wrote.written != Some(false), "{case}");
            let read = of(&marks, Some(READER));
            let read = read.iter().find(|mark| holds(mark, 0x180_1234_5000)).expect(&case);
            assert!(read.last == 11 && read.scans == 12, "{case}");
            // A flag may be set ahead, but for nobody else, and no write is.
            for mark in &marks {
                assert!(matches!(mark.stream, Some(WRITER | READER)), "{case}");
                assert!(mark.written != Some(true) || holds(&mark, GIB + 0x0810_0040), "{case}");
            }
        }
    }
}

#[test]
fn before_and_after_it_everything_is_as_firmware_left_it() {
    let mut machine = Machine::new(hardware(2), Choices::kind());
    machine.functions = vec![device(WRITER, GIB, true)];
    assert_eq!(machine.dma(FIRST, 0), Outcome::Delivered(PhysAddr(GIB), Path::Disabled));
    census(&mut machine, Fault::None, &mut |machine, _| {
        assert!(matches!(machine.dma(FIRST, 0), Outcome::Delivered(_, Path::Walk | Path::Tlb)));
    });
    assert_eq!(machine.dma(FIRST, 0), Outcome::Delivered(PhysAddr(GIB), Path::Disabled));
    assert!(machine.units[0].caches.is_empty());
}

#[test]
fn what_hardware_lacks_decides_the_way() {
    let way_of = |hardware: Hardware, known| way(&mut Machine::new(hardware, Choices::kind()), SMMU, known);
    let marks = |httu| Way::Marks { httu, but: Exceptions::NONE };
    assert_eq!(way_of(hardware(0), KNOWN), Way::Refuses(Refuses::NoHttu));
    assert_eq!(way_of(hardware(1), KNOWN), marks(Httu::Access));
    assert_eq!(way_of(hardware(2), KNOWN), marks(Httu::AccessAndDirty));
    let overridden = |httu_override| Known { httu_override, ..KNOWN };
    assert_eq!(way_of(hardware(2), overridden(0)), Way::Refuses(Refuses::Overridden { httu: 2 }));
    assert_eq!(way_of(hardware(2), overridden(1)), marks(Httu::Access));
    // What the IORT promises and the SMMU has not would be illegal in a CD.
    assert_eq!(way_of(hardware(0), overridden(2)), Way::Refuses(Refuses::NoHttu));
    let distant = hardware(2).idr0(|idr0| idr0.with_cohacc(false));
    assert_eq!(way_of(distant, KNOWN), Way::Refuses(Refuses::NotCoherent));
    assert_eq!(way_of(distant, Known { coherent_override: true, ..KNOWN }), marks(Httu::AccessAndDirty));
    let aborting = Hardware { gbpa: 0x10_1000, ..hardware(2) };
    assert_eq!(way_of(aborting, KNOWN), Way::Refuses(Refuses::Aborts));
    let far = Known { last_memory: 1 << 44, ..KNOWN };
    assert_eq!(way_of(hardware(2), far), Way::Refuses(Refuses::MemoryBeyond { bits: 44 }));
    let wide = hardware(2).idr1(|idr1| idr1.with_sidsize(32));
    let some = way_of(wide, KNOWN);
    let but = Exceptions { stream_bits: Some(25), ..Exceptions::NONE };
    assert_eq!(some, Way::Marks { httu: Httu::AccessAndDirty, but });
    // What passes with SMMUEN=0 (3.4, 6.3.9.6), and not through these tables.
    let oas = |oas| Hardware { idr5: hardware(2).idr5.with_oas(oas), ..hardware(2) };
    for (hardware, address_bits, pasids) in
        [(oas(5), None, false), (oas(6), Some(48), false), (hardware(2).idr1(|idr1| idr1.with_ssidsize(8)), None, true)]
    {
        let found = way_of(hardware, KNOWN);
        let but = Exceptions { address_bits, pasids, ..Exceptions::NONE };
        assert_eq!(found, Way::Marks { httu: Httu::AccessAndDirty, but });
        assert_eq!(found.may_refuse(), address_bits.is_some() || pasids);
    }
    assert!(some.may_refuse() && !marks(Httu::Access).may_refuse());
    assert!(way_of(Hardware::virt(Personality::Qemu10), KNOWN).may_refuse());
}

/// What the census could do wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// No TLB invalidation: CMD_SYNC in its place.
    NoInvalidation,
    /// None; but a device writes just before a flag is exchanged.
    Intruder,
    /// Load and store instead of one exchange; a device writes between them.
    NotAtomic,
    /// CD.HA stays 0.
    NoUpdates,
    /// Once it translates it goes on, whatever is written.
    NotDisabled,
}

struct Spoiled<'a> {
    machine: &'a mut Machine,
    fault: Fault,
}

impl Access for Spoiled<'_> {
    fn read32(&mut self, smmu: SmmuIndex, offset: u32) -> u32 {
        self.machine.read32(smmu, offset)
    }
    fn write32(&mut self, smmu: SmmuIndex, offset: u32, value: u32) {
        let is_kept = self.fault == Fault::NotDisabled && offset == CR0 && self.machine.read32(smmu, CR0ACK) & 1 != 0;
        self.machine.write32(smmu, offset, value | u32::from(is_kept));
    }
    fn read64(&mut self, smmu: SmmuIndex, offset: u32) -> u64 {
        self.machine.read64(smmu, offset)
    }
    fn write64(&mut self, smmu: SmmuIndex, offset: u32, value: u64) {
        self.machine.write64(smmu, offset, value);
    }
    fn load(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr) -> Result<u64, Unbacked> {
        self.machine.load(smmu, what, at)
    }
    fn store(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr, value: u64) {
        let value = match (self.fault, what) {
            (Fault::NoInvalidation, Structure::Command) if matches!(value & 0xFF, 0x10..=0x13) => 0x46,
            (Fault::NoUpdates, Structure::Cd) if at.is_aligned(64) => {
                Cd0::from(value).with_ha(false).with_hd(false).into()
            }
            _ => value,
        };
        self.machine.store(smmu, what, at, value);
    }
    fn fill(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr, stride: u32, count: u32, value: u64) {
        self.machine.fill(smmu, what, at, stride, count, value);
    }
    fn swap(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr, value: u64) -> Result<u64, Unbacked> {
        let before = self.machine.load(smmu, what, at);
        if matches!(self.fault, Fault::Intruder | Fault::NotAtomic) {
            self.machine.dma(SECOND, 0);
        }
        if self.fault != Fault::NotAtomic {
            return self.machine.swap(smmu, what, at, value);
        }
        self.machine.store(smmu, what, at, value);
        before
    }
    fn barrier(&mut self, barrier: Barrier) {
        self.machine.barrier(barrier);
    }
    fn ticks(&mut self) -> u64 {
        self.machine.ticks()
    }
    fn frequency(&self) -> u64 {
        self.machine.frequency()
    }
    fn pause(&mut self) {
        self.machine.pause();
    }
    fn step(&mut self, name: &'static str) {
        self.machine.step(name);
    }
}

#[test]
fn without_invalidation_a_device_that_goes_on_seems_to_stop() {
    let mut machine = Machine::new(hardware(2), Choices::kind());
    machine.functions = vec![device(WRITER, GIB, true)];
    machine.schedule = Schedule::EveryAccess;
    let Seen { marks, .. } = census(&mut machine, Fault::NoInvalidation, &mut |_, _| {});
    let [mark] = marks[..] else { panic!("{marks:?}") };
    assert_eq!((mark.first, mark.last, mark.scans), (0, 0, 1));
}

#[test]
fn without_an_atomic_exchange_a_write_is_lost() {
    for (fault, written, guards) in
        [(Fault::Intruder, Some(true), vec![]), (Fault::NotAtomic, Some(false), vec![Guard::PlainStore])]
    {
        let mut machine = Machine::new(hardware(2), Choices::kind());
        machine.functions = vec![device(WRITER, GIB, false), Function { live: false, ..device(WRITER, GIB, true) }];
        let Seen { marks, refused, .. } = census(&mut machine, fault, &mut |machine, round| {
            if round == 3 {
                machine.dma(FIRST, 0);
            }
        });
        let [mark] = marks[..] else { panic!("{marks:?}") };
        assert_eq!((mark.first, mark.written), (3, written), "{fault:?}");
        assert_eq!(broken(&machine), guards, "{fault:?}");
        assert!(refused.is_empty(), "{fault:?}");
    }
}

#[test]
fn the_first_refusal_ends_it_and_nobody_is_refused_any_more() {
    let mut machine = Machine::new(hardware(2), Choices::kind());
    machine.functions = vec![device(WRITER, GIB, true)];
    let Seen { marks, refused, told, ends } = census(&mut machine, Fault::NoUpdates, &mut |machine, round| {
        if round >= 3 {
            let outcome = machine.dma(FIRST, 0);
            assert_eq!(outcome.is_delivered(), round > 3, "round {round}: {outcome:?}");
        }
    });
    assert_eq!((marks, told), (vec![], vec![WRITER]));
    assert_eq!(refused, [Outcome::Blocked(Stop::Fault(id::F_ACCESS))].into());
    assert_eq!(ends, [(3, NotWatched::Refused(id::F_ACCESS))]);
    assert_eq!(ends[0].1.to_string(), "DMA was refused (F_ACCESS): not watched any longer");
}

#[test]
fn a_stranger_with_a_pasid_ends_it() {
    // Whether anybody names it or not: there is no CD for its PASID.
    for stream in [QUIET, StreamId(0x4321)] {
        let mut machine = Machine::new(hardware(2).idr1(|idr1| idr1.with_ssidsize(8)), Choices::kind());
        let stranger = Function { substream: Some(5), ..device(stream, GIB, true) };
        machine.functions = vec![device(WRITER, GIB, true), stranger];
        let Seen { marks, told, ends, .. } = census(&mut machine, Fault::None, &mut |machine, round| {
            machine.dma(FIRST, 0);
            if round >= 5 {
                machine.dma(SECOND, 0);
            }
        });
        assert_eq!((told, ends), (vec![stream], vec![(5, NotWatched::Refused(id::C_BAD_SUBSTREAMID))]));
        // What was seen before it stays.
        let [mark] = marks[..] else { panic!("{marks:?}") };
        assert_eq!((mark.stream, mark.scans), (Some(WRITER), 6));
        // With SMMUEN=0 it passes, PASID or not (6.3.9.6).
        assert!(machine.dma(SECOND, 0).is_delivered());
    }
}

#[test]
fn an_smmu_that_cannot_be_disabled_is_told_and_watched_no_less() {
    let mut machine = Machine::new(hardware(2), Choices::kind());
    machine.functions = vec![device(WRITER, GIB, true)];
    machine.schedule = Schedule::EveryAccess;
    let Seen { marks, refused, ends, .. } = census(&mut machine, Fault::NotDisabled, &mut |_, _| {});
    assert_eq!((marks.len(), refused.len(), ends.len()), (1, 0, 0));
}

/// By refusal nothing ends it, and everyone who is refused is told.
#[test]
fn where_everything_is_refused_a_refusal_ends_nothing() {
    let mut machine = Machine::new(hardware(0), Choices::kind());
    machine.functions = vec![device(WRITER, GIB, true)];
    let mut frames = FreshFrames::default();
    let options = Options { unknown: Unknown::IsRecorded, ..Options::new(PhysAddr(0x0905_0000), WRITER) };
    let mut unit = Unit::prepare(&mut machine, SMMU, &options, &mut frames).expect("prepare");
    let empty = unit.new_domain(&mut machine, &mut frames).expect("a domain");
    unit.attach(&mut machine, &mut frames, WRITER, &empty).expect("attach");
    let mut watched = Watched::new(unit, None);
    watched.start(&mut machine).expect("start");
    let mut told = Vec::new();
    for round in 0..4 {
        if round < 3 {
            assert_eq!(machine.dma(FIRST, 0), Outcome::Blocked(Stop::Fault(id::F_TRANSLATION)));
        }
        assert_eq!(watched.look(&mut machine, round, &mut |stream| told.push(stream)), Ok(()));
    }
    assert_eq!((told, watched.refused().rows()[0].count), (vec![WRITER; 3], 3));
    watched.end(&mut machine).expect("end");
    assert_eq!(machine.dma(FIRST, 0), Outcome::Delivered(PhysAddr(GIB), Path::Disabled));
}
