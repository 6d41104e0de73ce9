extern crate std;
mod firmware;

use super::*;
use crate::fake::{Fake, FakeFrames};
use crate::log::{Log, Logged, Op, What};
use crate::observe::{self, Registers};
use crate::queue::QueueError;
use crate::spec::command::{SYNC, cfgi_ste};
use crate::spec::registers::Gerror;
use crate::table::{Format, TableError};
use crate::translation::{Attributes, Identifier, MapError, Stage};
use addr::{Iova, PhysAddr};
use std::string::ToString;
use std::vec::Vec;

const SMMU: SmmuIndex = SmmuIndex(0);
const BASE: PhysAddr = PhysAddr(0x0905_0000);
const SID: StreamId = StreamId(0x18);

fn options() -> Options {
    Options { timeout_us: 5000, ..Options::new(BASE, SID) }
}

fn bring_up(hw: &mut Fake) -> Result<Unit, BringUpError> {
    Unit::bring_up(hw, SMMU, &options(), &mut FakeFrames::default())
}

/// Register writes in order, without the doorbells of the command queue.
fn writes(log: &Log) -> Vec<(&'static str, u64)> {
    let entries = log.entries().iter();
    let writes = entries.filter(|e| matches!(e.op, Op::RegWrite32 | Op::RegWrite64));
    writes.map(|e| (e.name(), e.value)).filter(|w| w.0 != "CMDQ_PROD" || w.1 == 0).collect()
}

/// As firmware or another kernel might leave it: enabled, with a stale command error.
fn enabled_by_firmware(hw: &mut Fake) {
    let unit = hw.unit(SMMU);
    unit.set(reg::CR0, 0x1D);
    unit.set(reg::CR0ACK, 0xD);
    unit.set(reg::IRQ_CTRL, 5);
    unit.set(reg::IRQ_CTRLACK, 5);
    unit.set64(reg::STRTAB_BASE, 0xDEAD_0000);
    unit.set64(reg::CMDQ_BASE, 0xBEEF_0000);
    unit.raise(Gerror::new().with_cmdq_err(true));
}

#[test]
fn found_disabled_it_is_enabled_in_the_order_of_the_architecture() {
    let (mut hw, mut frames, mut log) = (Fake::default(), FakeFrames::default(), Log::with_capacity(1024));
    let unit = Unit::bring_up(&mut Logged::new(&mut hw, &mut log), SMMU, &options(), &mut frames).unwrap();
    let expected = [
        ("CR0", 0),
        ("IRQ_CTRL", 0),
        ("CR1", 0xD75),
        ("CR2", 6),
        ("STRTAB_BASE", unit.table().strtab_base().into()),
        ("STRTAB_BASE_CFG", 0x1_0210),
        ("CMDQ_BASE", unit.commands.base().into()),
        ("CMDQ_PROD", 0),
        ("CMDQ_CONS", 0),
        ("CR0", 0x8),
        ("EVENTQ_BASE", unit.eventq().into()),
        ("EVENTQ_PROD", 0),
        ("EVENTQ_CONS", 0),
        ("CR0", 0xC),
        ("CR0", 0xD),
    ];
    assert_eq!(writes(&log), expected);
    assert_eq!(hw.unit(SMMU).commands, [CFGI_ALL, SYNC, TLBI_NSNH_ALL, SYNC]);
    assert_eq!(hw.unit(SMMU).get(reg::GBPA), 0x1000, "GBPA is left as found");
    // Every change of CR0 is followed by a read of CR0ACK before anything else is written.
    let entries = log.entries();
    for (i, entry) in entries.iter().enumerate().filter(|(_, e)| e.name() == "CR0" && e.op.is_write()) {
        assert_eq!(entries[i + 1].name(), "CR0ACK", "after CR0 = {:#x}", entry.value);
    }
}

#[test]
fn found_enabled_it_aborts_before_smmuen_goes_to_0_and_stale_errors_are_acknowledged() {
    let (mut hw, mut frames, mut log) = (Fake::default(), FakeFrames::default(), Log::with_capacity(1024));
    enabled_by_firmware(&mut hw);
    hw.unit(SMMU).gbpa_delay = 3;
    let unit = Unit::bring_up(&mut Logged::new(&mut hw, &mut log), SMMU, &options(), &mut frames).unwrap();
    assert!(unit.found().cr0.smmuen());
    assert_eq!(unit.found().gbpa.into_bits(), 0x1000);
    let expected =
        [("GBPA", 0x8010_1000), ("CR0", 0x1C), ("CR0", 0), ("IRQ_CTRL", 0), ("GERRORN", 1), ("CR1", 0xD75), ("CR2", 6)];
    assert_eq!(writes(&log)[..expected.len()], expected);
    let updates: Vec<_> = log.entries().iter().filter(|e| e.name() == "GBPA" && !e.op.is_write()).collect();
    assert_eq!(updates.last().unwrap().value >> 31, 0, "the update was waited for");
    assert_eq!(hw.unit(SMMU).get(reg::CR0ACK), 0xD);
    assert_eq!(hw.unit(SMMU).active_errors(), Gerror::new());
}

#[test]
fn options_and_hardware_change_what_is_written() {
    let mut hw = Fake::default();
    hw.unit(SMMU).edit_idr0(|idr0| idr0.with_hyp(true).with_ats(true).with_cohacc(false));
    let unit = Unit::bring_up(&mut hw, SMMU, &Options { e2h: true, ..options() }, &mut FakeFrames::default()).unwrap();
    assert!(!unit.coherent());
    assert_eq!(hw.unit(SMMU).get(reg::CR1), 0x820);
    assert_eq!(hw.unit(SMMU).get(reg::CR2), 7);
    assert_eq!(hw.unit(SMMU).get(reg::CR0), 0x1D, "ATSCHK");
    assert_eq!(hw.unit(SMMU).commands, [CFGI_ALL, SYNC, TLBI_EL2_ALL, SYNC, TLBI_NSNH_ALL, SYNC]);
    let mut hw = Fake::default();
    hw.unit(SMMU).edit_idr0(|idr0| idr0.with_cohacc(false));
    let options = Options { coherent_override: true, e2h: true, format: Some(Format::Linear), ..options() };
    Unit::bring_up(&mut hw, SMMU, &options, &mut FakeFrames::default()).unwrap();
    assert_eq!(hw.unit(SMMU).get(reg::CR1), 0xD75);
    assert_eq!(hw.unit(SMMU).get(reg::CR2), 6, "no E2H without Hyp");
    assert_eq!(hw.unit(SMMU).get(reg::STRTAB_BASE_CFG), 5);
}

#[test]
fn queues_are_capped_and_aligned_to_their_size() {
    let mut frames = FakeFrames::default();
    frames.free.start += 0x40;
    let unit = Unit::bring_up(&mut Fake::default(), SMMU, &options(), &mut frames).unwrap();
    let (commands, events) = (unit.commands.base(), unit.eventq());
    assert_eq!((commands.log2size(), events.log2size()), (8, 10));
    assert_eq!((commands.addr() % (16 << 8), events.addr() % (32 << 10)), (0, 0));
}

#[test]
fn what_does_not_answer_is_named_with_its_address() {
    for idr0 in [0, u32::MAX] {
        let mut hw = Fake::default();
        hw.unit(SMMU).set(reg::IDR0, idr0);
        hw.unit(SMMU).set(reg::AIDR, idr0);
        let error = bring_up(&mut hw).unwrap_err();
        assert_eq!(error, BringUpError::NoAnswer { base: BASE, idr0, aidr: idr0 });
        assert!(error.to_string().contains("0x9050000"), "{error}");
    }
}

#[test]
fn hardware_that_cannot_do_it_is_refused_before_it_is_touched() {
    let cases: [(u32, u32, &str); 6] = [
        (reg::IDR0, 0x0D44_1019, "SMMU_IDR0"),
        (reg::IDR0, 0x0D44_1013, "SMMU_IDR0"),
        (reg::IDR0, 0x0D64_101B, "SMMU_IDR0"),
        (reg::IDR1, 0x4273_0010, "SMMU_IDR1"),
        (reg::IDR1, 0x2273_0010, "SMMU_IDR1"),
        (reg::IDR5, 0x04, "SMMU_IDR5"),
    ];
    for (offset, value, name) in cases {
        let mut hw = Fake::default();
        enabled_by_firmware(&mut hw);
        hw.unit(SMMU).set(offset, value);
        let before = hw.unit(SMMU).registers.clone();
        let error = bring_up(&mut hw).unwrap_err();
        assert!(matches!(error, BringUpError::Unsupported { register, .. } if register == name), "{error}");
        assert_eq!(hw.unit(SMMU).registers, before);
    }
}

#[test]
fn missing_acknowledges_end_at_their_deadline() {
    let stuck = |freeze: fn(&mut crate::fake::Unit)| {
        let mut hw = Fake::default();
        enabled_by_firmware(&mut hw);
        freeze(hw.unit(SMMU));
        let error = bring_up(&mut hw).unwrap_err();
        assert!(hw.ticks() < 20_000, "{} µs", hw.ticks());
        error
    };
    let timed_out = |error| match error {
        BringUpError::TimedOut { step, error } => (step, error.register, error.last, error.microseconds),
        other => panic!("{other}"),
    };
    assert_eq!(timed_out(stuck(|unit| unit.freeze_gbpa = true)), ("GBPA", reg::GBPA, 0x8000_1000, 5000));
    assert_eq!(timed_out(stuck(|unit| unit.freeze_cr0ack = true)), ("SMMUEN off", reg::CR0ACK, 0xD, 5000));
    let stale = |unit: &mut crate::fake::Unit| unit.set(reg::CR0ACK, 0xC);
    assert_eq!(timed_out(stuck(stale)), ("SMMUEN as found", reg::CR0ACK, 0xC, 5000));
    let irq = stuck(|unit| unit.freeze_irq_ctrlack = true);
    assert_eq!(timed_out(irq), ("interrupts off", reg::IRQ_CTRLACK, 5, 5000));
    let commands = stuck(|unit| unit.freeze_cmdq = true);
    assert!(matches!(commands, BringUpError::Queue { step: "CFGI_ALL", error: QueueError::TimedOut { .. } }));
}

#[test]
fn a_disable_still_under_way_counts_as_enabled() {
    let mut hw = Fake::default();
    hw.unit(SMMU).set(reg::CR0ACK, 1);
    hw.unit(SMMU).freeze_cr0ack = true;
    let error = bring_up(&mut hw).unwrap_err();
    assert!(matches!(error, BringUpError::TimedOut { step: "all of CR0 off", .. }), "{error}");
    assert_eq!(hw.unit(SMMU).get(reg::GBPA), 0x10_1000, "ABORT");
}

#[test]
fn service_failure_mode_is_not_acknowledged_away() {
    let mut hw = Fake::default();
    hw.unit(SMMU).raise(Gerror::new().with_sfm_err(true));
    assert!(matches!(bring_up(&mut hw), Err(BringUpError::ServiceFailure { gerror: 0x100, gerrorn: 0 })));
    assert_eq!(hw.unit(SMMU).get(reg::CR0), 0);
}

#[test]
fn a_streamid_that_the_hardware_has_not_is_refused() {
    let mut hw = Fake::default();
    let options = Options { largest: StreamId(0x1_0000), ..options() };
    let error = Unit::bring_up(&mut hw, SMMU, &options, &mut FakeFrames::default()).unwrap_err();
    assert!(matches!(error, BringUpError::Table(TableError::StreamIdRange { .. })));
}

#[test]
fn an_attached_stream_is_found_again_through_the_registers() {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let mut unit = Unit::bring_up(&mut hw, SMMU, &options(), &mut frames).unwrap();
    let domain = unit.new_domain(&mut hw, &mut frames).unwrap();
    let (iova, pa) = (Iova(0x7000_0000), PhysAddr(0x5000_0000));
    domain.tables.map(&mut hw, &mut frames, iova, pa, 0x3000, Attributes::default()).unwrap();
    unit.attach(&mut hw, &mut frames, SID, &domain).unwrap();
    let registers = Registers::read(&mut hw, SMMU);
    let (_, ste) = observe::ste(&mut hw, &registers, SID).unwrap().unwrap();
    assert_eq!((ste, ste[0] & 0x3F), (domain.ste, 0xB));
    let cd: Vec<u64> = (0..8).map(|word| hw.peek(PhysAddr((ste[0] & !0x3F) + word * 8))).collect();
    let tables = observe::tables(&registers, &cd.try_into().unwrap()).unwrap()[0].unwrap();
    assert_eq!(tables, *domain.tables.tables());
    let leaf = tables.lookup(&mut hw, iova.plus(0x2345)).unwrap().unwrap();
    assert_eq!(leaf.translate(iova.plus(0x2345)), pa.plus(0x2345));
    assert!(leaf.writable);

    unit.attach_bypass(&mut hw, &mut frames, SID).unwrap();
    assert_eq!(observe::ste(&mut hw, &registers, SID).unwrap().unwrap().1[0], 9);
    unit.detach(&mut hw, SID).unwrap();
    assert_eq!(observe::ste(&mut hw, &registers, SID).unwrap().unwrap().1[0], 1);
    assert!(hw.unit(SMMU).commands.ends_with(&[cfgi_ste(SID, true), SYNC]));
    unit.invalidate(&mut hw, &domain).unwrap();
    assert!(hw.unit(SMMU).commands.ends_with(&[tlbi_nh_asid(0, 1), SYNC]));
    assert_eq!(domain.id, Identifier::Asid(1));
}

#[test]
fn a_stage_2_domain_is_found_again_through_its_ste_alone() {
    let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
    let options = Options { stage: Stage::Two, ..options() };
    let mut unit = Unit::bring_up(&mut hw, SMMU, &options, &mut frames).unwrap();
    let domain = unit.new_domain(&mut hw, &mut frames).unwrap();
    let (iova, pa) = (Iova(0x7000_0000), PhysAddr(0x5000_0000));
    domain.tables.map(&mut hw, &mut frames, iova, pa, 0x3000, Attributes::default()).unwrap();
    unit.attach(&mut hw, &mut frames, SID, &domain).unwrap();
    let registers = Registers::read(&mut hw, SMMU);
    let (_, ste) = observe::ste(&mut hw, &registers, SID).unwrap().unwrap();
    // Config 6; VMID 1, T0SZ 20, SL0 2: level 0, as 44 bits of output leave 44 of input; write-back, PS 44 bits, AA64, R.
    let word2 = 1 | 20 << 32 | 2 << 38 | 1 << 40 | 1 << 42 | 3 << 44 | 4 << 48 | 1 << 51 | 1 << 58;
    assert_eq!(ste, [0xD, 0, word2, domain.tables.root().0, 0, 0, 0, 0]);
    let tables = observe::stage2_tables(&registers, &ste).unwrap().unwrap();
    assert_eq!(tables, *domain.tables.tables());
    let leaf = tables.lookup(&mut hw, iova.plus(0x2345)).unwrap().unwrap();
    assert_eq!((leaf.translate(iova.plus(0x2345)), leaf.readable, leaf.writable), (pa.plus(0x2345), true, true));
    unit.invalidate(&mut hw, &domain).unwrap();
    assert!(hw.unit(SMMU).commands.ends_with(&[tlbi_s12_vmall(1), SYNC]));
    assert!(hw.stray_stores.is_empty());
}

#[test]
fn without_stage_2_there_are_no_domains_of_it_and_without_stage_1_there_may_be() {
    for (s1p, s2p, stage, lacks) in
        [(true, false, Stage::Two, "S2P"), (false, true, Stage::One, "S1P"), (false, true, Stage::Two, "")]
    {
        let mut hw = Fake::default();
        hw.unit(SMMU).edit_idr0(|idr0| idr0.with_s1p(s1p).with_s2p(s2p));
        let brought_up = Unit::bring_up(&mut hw, SMMU, &Options { stage, ..options() }, &mut FakeFrames::default());
        match brought_up {
            Ok(_) => assert_eq!(lacks, ""),
            Err(error) => assert!(!lacks.is_empty() && std::format!("{error}").contains(lacks), "{error}"),
        }
    }
}

#[test]
fn identifiers_are_never_0_and_never_shared() {
    for stage in [Stage::One, Stage::Two] {
        let (mut hw, mut frames) = (Fake::default(), FakeFrames::default());
        // 16 bits of the other kind are of no use.
        hw.unit(SMMU).edit_idr0(|idr0| idr0.with_asid16(stage == Stage::Two).with_vmid16(stage == Stage::One));
        let options = Options { first_id: 0x1FE, stage, ..options() };
        let mut unit = Unit::bring_up(&mut hw, SMMU, &options, &mut frames).unwrap();
        let mut id = || match unit.new_domain(&mut hw, &mut frames).map(|domain| domain.id) {
            Ok(Identifier::Asid(asid)) if stage == Stage::One => Ok(asid),
            Ok(Identifier::Vmid(vmid)) if stage == Stage::Two => Ok(vmid),
            Ok(other) => panic!("{other} at {stage:?}"),
            Err(error) => Err(error),
        };
        let mut ids: Vec<u16> = (0..255).map(|_| id().unwrap()).collect();
        assert_eq!(ids[..3], [0xFF, 1, 2]);
        ids.sort_unstable();
        assert!(ids.iter().copied().eq(1..=255));
        assert_eq!(id(), Err(BringUpError::NoIdentifier { domains: 255 }));
    }
    let mut frames = FakeFrames::default();
    frames.free.end = frames.free.start;
    let mut hw = Fake::default();
    let mut unit = bring_up(&mut hw).unwrap();
    let full = unit.new_domain(&mut hw, &mut frames);
    assert_eq!(full, Err(BringUpError::Map(MapError::OutOfMemory(0x1000))));
}

#[test]
fn shut_down_aborts_disables_invalidates_and_then_gives_gbpa_back() {
    let (mut hw, mut log) = (Fake::default(), Log::with_capacity(1024));
    let mut unit = bring_up(&mut hw).unwrap();
    // A crash kernel had it meanwhile: another command queue somewhere in the middle, and an error.
    hw.unit(SMMU).set64(reg::CMDQ_BASE, 0x4123_4000 | 5);
    hw.unit(SMMU).set(reg::CMDQ_PROD, 0x17);
    hw.unit(SMMU).set(reg::CMDQ_CONS, 0x100_0003);
    hw.unit(SMMU).raise(Gerror::new().with_cmdq_err(true));
    hw.unit(SMMU).commands.clear();
    let mut logged = Logged::new(&mut hw, &mut log);
    unit.shut_down(&mut logged).unwrap();
    unit.restore_gbpa(&mut logged).unwrap();
    let expected = [
        ("GBPA", 0x8010_1000),
        ("CR0", 0xC),
        ("CR0", 0),
        ("IRQ_CTRL", 0),
        ("GERRORN", 1),
        ("CR1", 0xD75),
        ("CMDQ_BASE", unit.commands.base().into()),
        ("CMDQ_PROD", 0),
        ("CMDQ_CONS", 0),
        ("CR0", 0x8),
        ("CR0", 0),
        ("GBPA", 0x8000_1000),
    ];
    assert_eq!(writes(&log), expected);
    assert_eq!(hw.unit(SMMU).commands, [CFGI_ALL, SYNC, TLBI_NSNH_ALL, SYNC]);
    assert_eq!(hw.unit(SMMU).get(reg::GBPA), 0x1000);
    // And the next cycle begins like the first.
    bring_up(&mut hw).unwrap();
    assert_eq!(hw.unit(SMMU).get(reg::CR0ACK), 0xD);
}

#[test]
fn steps_are_named() {
    let (mut hw, mut log) = (Fake::default(), Log::with_capacity(1024));
    Unit::bring_up(&mut Logged::new(&mut hw, &mut log), SMMU, &options(), &mut FakeFrames::default()).unwrap();
    let steps: Vec<_> =
        log.entries().iter().filter_map(|e| if let What::Step(s) = e.what { Some(s) } else { None }).collect();
    assert_eq!(steps, ["smmu.identify", "smmu.disable", "smmu.program", "smmu.enable"]);
}

#[test]
fn a_stream_attached_before_the_start_has_its_ste_when_smmuen_goes_to_1() {
    let (mut hw, mut frames, mut log) = (Fake::default(), FakeFrames::default(), Log::with_capacity(1024));
    let mut logged = Logged::new(&mut hw, &mut log);
    let mut unit = Unit::prepare(&mut logged, SMMU, &options(), &mut frames).unwrap();
    unit.attach_bypass(&mut logged, &mut frames, SID).unwrap();
    assert!(hw.unit(SMMU).commands.is_empty(), "nothing is invalidated that nobody can have cached");
    assert!(writes(&log).is_empty(), "no register is written yet");
    unit.start(&mut Logged::new(&mut hw, &mut log)).unwrap();
    let entries = log.entries();
    let enabled = entries.iter().position(|e| e.op.is_write() && e.name() == "CR0" && e.value & 1 == 1).unwrap();
    assert!(entries[enabled..].iter().all(|e| e.op != Op::Store || e.name() == "CMD"));
    let registers = Registers::read(&mut hw, SMMU);
    assert_eq!(observe::ste(&mut hw, &registers, SID).unwrap().unwrap().1[0], 9);
}

#[test]
fn discarded_events_are_consumed_with_their_overflow() {
    let mut hw = Fake::default();
    let unit = bring_up(&mut hw).unwrap();
    hw.unit(SMMU).set(reg::EVENTQ_PROD, 1 << 31 | 5);
    unit.discard_events(&mut hw);
    assert_eq!(hw.unit(SMMU).get(reg::EVENTQ_CONS), 1 << 31 | 5);
}
