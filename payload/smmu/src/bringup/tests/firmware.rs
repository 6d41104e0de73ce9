//! An SMMU that firmware left translating, and who comes after.

use super::*;
use crate::takeover::Rule;

/// Streams of firmware's, and one that it does not serve.
const SERVED: [StreamId; 3] = [StreamId(0), SID, StreamId(0x100)];
const OTHER: StreamId = StreamId(0x19);

/// The STE that a walk from the registers finds for a StreamID.
fn found_ste(hw: &mut Fake, stream: StreamId) -> Ste {
    let registers = Registers::read(hw, SMMU);
    observe::ste(hw, &registers, stream).unwrap().unwrap().1
}

fn firmware(hw: &mut Fake, frames: &mut FakeFrames, options: &Options) {
    let mut unit = Unit::prepare(hw, SMMU, options, frames).unwrap();
    unit.pass(hw, frames, &SERVED).unwrap();
    unit.start(hw).unwrap();
}

fn wide() -> Options {
    Options { largest: StreamId(0x1FF), ..options() }
}

#[test]
fn firmware_passes_streams_at_stage_2_and_the_next_owner_may_take_over_behind_abort() {
    let (mut hw, mut frames, mut log) = (Fake::default(), FakeFrames::default(), Log::with_capacity(2048));
    firmware(&mut hw, &mut frames, &wide());
    for stream in SERVED {
        let ste = found_ste(&mut hw, stream);
        // Config 6, SHCFG 1 absent without ATTR_TYPES_OVR; VMID 1, T0SZ 25, SL0 1, PS 44 bits, AA64, R.
        assert_eq!(ste[..2], [0xD, 0]);
        assert_eq!(ste[2], 1 | 25 << 32 | 1 << 38 | 1 << 40 | 1 << 42 | 3 << 44 | 4 << 48 | 1 << 51 | 1 << 58);
        assert_eq!(hw.peek(PhysAddr(ste[3])), 0x7FD);
        assert_eq!(hw.peek(PhysAddr(ste[3] + 511 * 8)), 511 << 30 | 0x7FD);
    }
    assert_eq!(found_ste(&mut hw, OTHER), crate::table::ABORT);

    let consumed = hw.unit(SMMU).commands.len();
    let unit = Unit::bring_up(&mut Logged::new(&mut hw, &mut log), SMMU, &options(), &mut frames).unwrap();
    assert!(unit.found().cr0.smmuen());
    let writes = writes(&log);
    let place = |wanted| writes.iter().position(|write| *write == wanted).unwrap();
    assert!(place(("GBPA", 0x8010_1000)) < place(("CR0", 0xC)));
    assert_eq!(hw.unit(SMMU).commands[consumed..], [CFGI_ALL, SYNC, TLBI_NSNH_ALL, SYNC]);
    unit.restore_gbpa(&mut hw).unwrap();
    assert_eq!(hw.read32(SMMU, reg::GBPA), 0x10_1000, "what it was meant nothing while firmware translated");
}

#[test]
fn firmware_bypasses_without_stage_2_and_in_a_linear_table_too() {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    hw.unit(SMMU).edit_idr0(|idr0| idr0.with_s2p(false));
    firmware(&mut hw, &mut frames, &Options { format: Some(Format::Linear), ..wide() });
    for stream in SERVED {
        assert_eq!(found_ste(&mut hw, stream), [9, 0, 0, 0, 0, 0, 0, 0]);
    }
}

#[test]
fn firmware_without_memory_says_so() {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let mut unit = Unit::bring_up(&mut hw, SMMU, &options(), &mut frames).unwrap();
    frames.free.end = frames.free.start;
    let error = unit.pass(&mut hw, &mut frames, &SERVED).unwrap_err();
    assert!(matches!(error, BringUpError::OutOfMemory { .. }), "{error}");
}

#[test]
fn an_adopted_table_stays_in_force_and_serves_new_streams_beside_the_old() {
    for format in [None, Some(Format::Linear)] {
        let (mut hw, mut frames, mut log) = (Fake::default(), FakeFrames::default(), Log::with_capacity(8192));
        firmware(&mut hw, &mut frames, &Options { format, ..wide() });
        let before = Registers::read(&mut hw, SMMU);
        let old: Vec<Ste> = SERVED.iter().map(|stream| found_ste(&mut hw, *stream)).collect();

        let mut logged = Logged::new(&mut hw, &mut log);
        let mut unit = Unit::adopt(&mut logged, SMMU, &options(), &mut frames).unwrap();
        let domain = unit.new_domain(&mut logged, &mut frames).unwrap();
        unit.attach(&mut logged, &mut frames, OTHER, &domain).unwrap();
        assert!(unit.has_adopted());

        let never = ["GBPA", "STRTAB_BASE", "STRTAB_BASE_CFG", "CR1", "CR2"];
        let writes = writes(&log);
        assert!(writes.iter().all(|(name, _)| !never.contains(name)), "{writes:x?}");
        assert!(writes.iter().all(|(name, value)| *name != "CR0" || value & 1 == 1), "{writes:x?}");
        let after = Registers::read(&mut hw, SMMU);
        assert_eq!(after.strtab_base, before.strtab_base);
        // SMMUEN, EVENTQEN, CMDQEN; the queue is the new owner's.
        assert_eq!(u32::from(after.cr0), 0xD);
        assert_eq!(after.eventq_base, unit.eventq());
        assert_ne!(after.eventq_base, before.eventq_base);
        let kept: Vec<Ste> = SERVED.iter().map(|stream| found_ste(&mut hw, *stream)).collect();
        assert_eq!(kept, old);
        assert_eq!(found_ste(&mut hw, OTHER)[0] & 0xF, 0xB);

        unit.shut_down(&mut hw).unwrap();
        unit.restore_gbpa(&mut hw).unwrap();
        assert_eq!((hw.read32(SMMU, reg::CR0), hw.read32(SMMU, reg::GBPA)), (0, 0x10_1000), "it aborts");
    }
}

#[test]
fn identifiers_of_firmwares_streams_are_in_no_new_domain() {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let mut first = Unit::bring_up(&mut hw, SMMU, &options(), &mut frames).unwrap();
    let taken: Vec<Domain> = (0..2).map(|_| first.new_domain(&mut hw, &mut frames).unwrap()).collect();
    for (stream, domain) in [StreamId(0), SID].into_iter().zip(&taken) {
        first.attach(&mut hw, &mut frames, stream, domain).unwrap();
    }
    let mut unit = Unit::adopt(&mut hw, SMMU, &options(), &mut frames).unwrap();
    let ids: Vec<Identifier> = (0..2).map(|_| unit.new_domain(&mut hw, &mut frames).unwrap().id).collect();
    assert_eq!((taken[0].id, taken[1].id), (Identifier::Asid(1), Identifier::Asid(2)));
    assert_eq!(ids, [3, 4].map(Identifier::Asid));
}

#[test]
fn the_search_for_an_identifier_goes_round_without_an_overflow() {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let at_the_end = Options { first_id: u16::MAX, ..options() };
    let mut first = Unit::bring_up(&mut hw, SMMU, &at_the_end, &mut frames).unwrap();
    for (stream, id) in [(StreamId(0), u16::MAX), (SID, 1)] {
        let domain = first.new_domain(&mut hw, &mut frames).unwrap();
        assert_eq!(domain.id, Identifier::Asid(id));
        first.attach(&mut hw, &mut frames, stream, &domain).unwrap();
    }
    let mut unit = Unit::adopt(&mut hw, SMMU, &at_the_end, &mut frames).unwrap();
    assert_eq!(unit.new_domain(&mut hw, &mut frames).unwrap().id, Identifier::Asid(2));
}

#[test]
fn what_cannot_be_adopted_is_refused_before_any_write() {
    let refused = |damage: &dyn Fn(&mut Fake), options: &Options| {
        let (mut hw, mut frames, mut log) = (Fake::default(), FakeFrames::default(), Log::with_capacity(1024));
        firmware(&mut hw, &mut frames, &Options { format: Some(Format::Linear), ..wide() });
        damage(&mut hw);
        let error = Unit::adopt(&mut Logged::new(&mut hw, &mut log), SMMU, options, &mut frames).unwrap_err();
        assert_eq!(writes(&log), [], "{error}");
        error
    };
    let too_small = refused(&|_| (), &Options { largest: StreamId(0x200), ..options() });
    assert_eq!(too_small.to_string(), "StreamID 0x200 does not fit into the 9 bits of firmware's stream table");
    let off = refused(&|hw| hw.unit(SMMU).set(reg::CR0, 0), &options());
    assert!(matches!(off, NotAdopted::Refused(refusal) if refusal.rule == Rule::SmmuDisabled), "{off}");
    let attributes = refused(&|hw| hw.unit(SMMU).set(reg::CR1, 0), &options());
    assert_eq!(attributes, NotAdopted::Attributes { cr1: 0 });
    let format = refused(&|hw| hw.unit(SMMU).set(reg::STRTAB_BASE_CFG, 2 << 16 | 9), &options());
    assert!(matches!(format, NotAdopted::Refused(refusal) if refusal.rule == Rule::StrtabFormat), "{format}");
}
