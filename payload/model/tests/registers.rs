//! The programming interface: guards, acknowledges, queues, and what hardware may lack.

mod common;

use addr::{Iova, PhysAddr, StreamId};
use common::*;
use model::{
    Builder, Choices, Format, Freedom, Freedoms, Function, Guard, Hardware, Kind, Machine, Memory, Outcome, Path,
    Personality, RAM, Stop, Stream, Window, exhaust,
};
use smmu::access::{Access, Barrier, Structure};
use smmu::spec::event::id;
use smmu::spec::registers as reg;
use smmu::takeover::{Policy, Rule};
use std::collections::BTreeSet;

const V3_1: Personality = Personality::Architecture { minor: 1 };
const UPDATE: u32 = 1 << 31;
const ABORT: u32 = 1 << 20;

/// Every result of `run` over all choices of one freedom or several.
fn all<T: Ord>(hardware: Hardware, freedoms: &[Freedom], run: impl Fn(&mut Machine) -> T) -> BTreeSet<T> {
    let mut results = BTreeSet::new();
    exhaust(Freedoms::of(freedoms), usize::MAX, |choices| {
        let (mut machine, _) = crashed(hardware, choices, &STREAMS);
        machine.schedule = model::Schedule::Off;
        results.insert(run(&mut machine));
        machine.bus.choices
    });
    results
}

fn let_pass(machine: &mut Machine) {
    for _ in 0..16 {
        machine.pause();
    }
}

/// The guards that a run broke.
fn broken(machine: &Machine) -> Vec<Guard> {
    machine.units[0].violations.iter().map(|violation| violation.guard).collect()
}

#[test]
fn each_guard_is_recorded_and_obeyed_from_version_3_2_on() {
    let rows = [
        (reg::STRTAB_BASE, Guard::TableLive),
        (reg::STRTAB_BASE_CFG, Guard::TableLive),
        (reg::CR2, Guard::TableLive),
        (reg::CR1, Guard::TableLive),
        (reg::CMDQ_BASE, Guard::CmdqLive),
        (reg::CMDQ_CONS, Guard::CmdqLive),
        (reg::EVENTQ_BASE, Guard::EventqLive),
        (reg::EVENTQ_PROD, Guard::EventqLive),
        (reg::GERROR_IRQ_CFG0, Guard::IrqLive),
        (reg::EVENTQ_IRQ_CFG0, Guard::IrqLive),
    ];
    for (register, guard) in rows {
        let written = |personality| {
            all(Hardware::virt(personality), &[Freedom::Unpredictable], |machine| {
                // The event of the warm-up is written.
                machine.pause();
                let old = machine.units[0].get(register);
                // A queue whose CONS was moved would go on from there.
                machine.unit(SMMU).service_failure = true;
                machine.write32(SMMU, register, old ^ 0x4C0);
                assert_eq!(broken(machine), [guard], "{}", reg::name(register));
                machine.units[0].get(register) ^ old
            })
        };
        assert_eq!(written(Personality::Architecture { minor: 2 }), BTreeSet::from([0]), "{}", reg::name(register));
        let results = written(V3_1);
        // Ignored, taken, or any value.
        assert!(results.len() == 3 && results.contains(&0) && results.contains(&0x4C0), "{results:x?}");
        assert_eq!(written(Personality::Qemu10), BTreeSet::from([0x4C0]));
    }
}

#[test]
fn what_may_always_be_written_breaks_no_guard() {
    let (mut machine, _) = crashed(Hardware::server(1), Choices::kind(), &STREAMS);
    machine.write32(SMMU, reg::EVENTQ_CONS, 0);
    machine.write32(SMMU, reg::CMDQ_PROD, 0);
    machine.write32(SMMU, reg::CR0, machine.units[0].get(reg::CR0));
    machine.write32(SMMU, reg::PRIQ_PROD, 0);
    assert_eq!(broken(&machine), []);
}

#[test]
fn a_cr0_field_written_again_before_its_acknowledge_may_win_or_lose() {
    let results = all(Hardware::virt(V3_1), &[Freedom::Cr0Ack, Freedom::Rewritten], |machine| {
        machine.write32(SMMU, reg::CR0, 0xC);
        let pending = machine.units[0].get(reg::CR0ACK) & 1 == 1;
        machine.write32(SMMU, reg::CR0, 0xD);
        let recorded = broken(machine) == [Guard::Cr0Unacknowledged];
        let_pass(machine);
        (pending, recorded, machine.units[0].get(reg::CR0ACK))
    });
    assert_eq!(results, BTreeSet::from([(false, false, 0xD), (true, true, 0xC), (true, true, 0xD)]));
}

#[test]
fn before_the_acknowledge_dma_meets_the_old_or_the_new_value_and_never_goes_back() {
    let results = all(Hardware::virt(V3_1), &[Freedom::Cr0Ack, Freedom::Cr0Effect], |machine| {
        machine.unit(SMMU).set(reg::GBPA, ABORT);
        machine.write32(SMMU, reg::CR0, 0xC);
        let acknowledged = machine.units[0].get(reg::CR0ACK) & 1 == 0;
        let blocked = [0; 6].map(|_| machine.dma(0, 0).is_blocked());
        assert!(blocked.is_sorted(), "{blocked:?}");
        assert!(!acknowledged || blocked[0]);
        (acknowledged, blocked[0], blocked[5])
    });
    assert!(results.contains(&(false, false, false)) && results.contains(&(false, true, true)), "{results:?}");
}

#[test]
fn gbpa_holds_the_old_or_the_new_attributes_until_update_is_0() {
    let results = all(Hardware::virt(V3_1), &[Freedom::GbpaAck, Freedom::GbpaEffect], |machine| {
        machine.unit(SMMU).force_enabled(0.into());
        machine.write32(SMMU, reg::GBPA, ABORT | UPDATE);
        let busy = machine.read32(SMMU, reg::GBPA) & UPDATE != 0;
        let first = machine.dma(0, 0).is_blocked();
        let_pass(machine);
        assert!(machine.read32(SMMU, reg::GBPA) & UPDATE == 0 && machine.dma(0, 0).is_blocked());
        (busy, first)
    });
    assert_eq!(results, BTreeSet::from([(false, true), (true, false), (true, true)]));
}

#[test]
fn commands_are_consumed_late_and_complete_at_the_sync_at_the_latest() {
    let results = all(Hardware::virt(V3_1), &[Freedom::Consume, Freedom::Complete], |machine| {
        machine.dma_all();
        let base = PhysAddr(machine.units[0].get64(reg::CMDQ_BASE) & 0xFFFF_FFFF_FFE0);
        for (index, word) in [0x30, 0, 0x0FC0_2046, 0].into_iter().enumerate() {
            machine.store(SMMU, Structure::Command, base.plus(index as u64 * 8), word);
        }
        machine.barrier(Barrier::BeforeDoorbell);
        machine.write32(SMMU, reg::CMDQ_PROD, 2);
        let cons = machine.units[0].get(reg::CMDQ_CONS);
        let empty = machine.units[0].caches.translations().is_empty();
        assert!(cons != 2 || empty, "CMD_SYNC consumed before the invalidation was complete");
        let_pass(machine);
        assert_eq!(machine.read32(SMMU, reg::CMDQ_CONS), 2);
        assert!(machine.units[0].caches.translations().is_empty());
        (cons, empty)
    });
    assert_eq!(results, BTreeSet::from([(0, false), (1, false), (1, true), (2, true)]));
}

#[test]
fn a_doorbell_without_a_barrier_may_hand_over_what_is_not_there_yet() {
    let results = all(Hardware::virt(V3_1), &[Freedom::Visibility], |machine| {
        let base = PhysAddr(machine.units[0].get64(reg::CMDQ_BASE) & 0xFFFF_FFFF_FFE0);
        machine.store(SMMU, Structure::Command, base, 0x30);
        machine.write32(SMMU, reg::CMDQ_PROD, 1);
        machine.units[0].get(reg::CMDQ_CONS)
    });
    // CERROR_ILL of the zeroes that were there before, or right.
    assert_eq!(results, BTreeSet::from([1, 1 << 24]));
}

#[test]
fn a_command_error_stops_the_queue_until_it_is_acknowledged() {
    for (base, code) in [(None, 1), (Some(0xF_0000_0000), 2)] {
        let (mut machine, _) = crashed(Hardware::virt(V3_1), Choices::kind(), &STREAMS);
        if let Some(base) = base {
            machine.unit(SMMU).set64(reg::CMDQ_BASE, base | 8);
        }
        machine.write32(SMMU, reg::CMDQ_PROD, 1);
        assert_eq!(machine.read32(SMMU, reg::CMDQ_CONS), code << 24);
        assert!(machine.units[0].active_errors().cmdq_err());
        let good = PhysAddr(RAM.start + 0x800_0000);
        machine.bus.memory.poke(good, 0x0FC0_2046);
        machine.unit(SMMU).set64(reg::CMDQ_BASE, good.0 | 8);
        let_pass(&mut machine);
        assert_eq!(machine.read32(SMMU, reg::CMDQ_CONS) & 0xF_FFFF, 0);
        machine.write32(SMMU, reg::GERRORN, machine.units[0].get(reg::GERROR));
        assert_eq!(machine.read32(SMMU, reg::CMDQ_CONS) & 0xF_FFFF, 1);
    }
}

#[test]
fn events_come_late_overflow_once_and_are_lost_when_the_queue_is_turned_off() {
    let late = all(Hardware::virt(V3_1), &[Freedom::EventWrite], |machine| {
        machine.dma(4, 0);
        machine.pause();
        let first = machine.units[0].get(reg::EVENTQ_PROD);
        machine.write32(SMMU, reg::CR0, 0x9);
        let_pass(machine);
        (first, machine.units[0].get(reg::EVENTQ_PROD))
    });
    // Two events: that of the warm-up, and this one. What is not written when the queue goes off is lost.
    assert_eq!(late, BTreeSet::from([(0, 0), (1, 1), (2, 2)]));
    let (mut machine, _) = crashed(Hardware::virt(V3_1), Choices::kind(), &STREAMS);
    machine.unit(SMMU).set(reg::EVENTQ_PROD, 0x100);
    for _ in 0..3 {
        machine.dma(4, 0);
        machine.pause();
    }
    assert_eq!(machine.units[0].get(reg::EVENTQ_PROD), 1 << 31 | 0x100);
    assert!(machine.units[0].events_lost >= 3);
    machine.unit(SMMU).set64(reg::EVENTQ_BASE, 0xF_0000_0000 | 8);
    machine.unit(SMMU).set(reg::EVENTQ_PROD, 0);
    machine.dma(4, 0);
    machine.pause();
    assert!(machine.units[0].active_errors().eventq_abt_err());
}

#[test]
fn stalled_transactions_wait_for_resume_or_the_end_of_smmuen() {
    let hardware = Hardware::virt(V3_1).idr0(|idr0| idr0.with_stall_model(2));
    let (mut machine, _) = crashed(hardware, Choices::kind(), &STREAMS);
    machine.schedule = model::Schedule::Off;
    machine.functions.push(Function::new(StreamId(0x10), &[Window::new(Iova(0x1000), PhysAddr(0))]));
    assert_eq!(machine.dma(5, 0), Outcome::Blocked(Stop::Stalled));
    machine.pause();
    assert_eq!(machine.units[0].stalled.len(), 1);
    // C16: adoption leaves it hanging, a reset ends it.
    let mut reset = machine.clone();
    take(Policy::Adopt, &mut machine, &[]).unwrap();
    assert!(!machine.units[0].stalled.is_empty());
    take(Policy::Reset, &mut reset, &[]).unwrap();
    assert!(reset.units[0].stalled.is_empty());
}

#[test]
fn secure_and_reserved_registers_are_out_of_reach() {
    let (mut machine, _) = crashed(Hardware::server(1), Choices::seeded(3), &STREAMS);
    for offset in [0x8000, 0x8004, 0x8020, 0x803C, 0x8044, 0xA8, 0x1_0020, 0x1_8000] {
        machine.write32(SMMU, offset, u32::MAX);
        assert_eq!(machine.read32(SMMU, offset), 0, "{offset:#x}");
    }
    assert_eq!(machine.units[0].violations, []);
}

#[test]
fn service_failure_ends_every_transaction_and_no_acknowledge_helps() {
    let (mut machine, _) = crashed(Hardware::virt(V3_1), Choices::kind(), &STREAMS);
    machine.unit(SMMU).fail();
    assert_eq!(machine.dma(0, 0), Outcome::Blocked(Stop::ServiceFailure));
    let taken = take(Policy::Adopt, &mut machine, &[]).unwrap();
    assert_eq!(taken.refusal.map(|refusal| refusal.rule), Some(Rule::ServiceFailure));
    assert!(taken.ignored.invalidation.is_some());
    assert!(machine.dma(0, 0).is_blocked());
}

#[test]
fn preset_tables_are_read_only_and_relative_to_the_frame_with_rel() {
    let hardware = Hardware::virt(V3_1).idr1(|idr1| idr1.with_tables_preset(true).with_rel(true));
    let mut builder = Builder::new(hardware, Choices::kind(), Format::Linear, 6);
    builder.stream(&STREAMS[0]);
    let mut machine = builder.crashed();
    let unit = machine.unit(SMMU);
    let relative = (unit.get64(reg::STRTAB_BASE) & 0xFFFF_FFFF_FFC0).wrapping_sub(hardware.frame.0);
    unit.set64(reg::STRTAB_BASE, relative & 0xFF_FFFF_FFFF_FFC0);
    unit.force_enabled(unit.effective());
    assert!(machine.dma(0, 0).is_delivered());
    machine.write32(SMMU, reg::CR0, 0);
    machine.write64(SMMU, reg::STRTAB_BASE, 0x6000_0000);
    assert_eq!(machine.units[0].get64(reg::STRTAB_BASE), relative & 0xFF_FFFF_FFFF_FFC0);
}

#[test]
fn an_smmu_with_one_stream_and_one_with_2_to_the_32() {
    for (sidsize, format, id) in [(0, Format::Linear, 0), (32, Format::TwoLevel { split: 8 }, 0x1F_FFFF)] {
        let hardware = Hardware::virt(V3_1).idr1(|idr1| idr1.with_sidsize(sidsize));
        let mut builder = Builder::new(hardware, Choices::kind(), format, sidsize.min(22));
        builder.stream(&Stream { id, ..STREAMS[0] });
        let mut machine = builder.crashed();
        machine.functions.push(Function::new(StreamId(u32::MAX), &[Window::new(Iova(0), PhysAddr(0))]));
        assert!(machine.dma(0, 0).is_delivered());
        assert_eq!(machine.dma(1, 0), Outcome::Blocked(Stop::Fault(id::C_BAD_STREAMID)));
        let taken = take(Policy::Adopt, &mut machine, &[]).unwrap();
        assert_eq!(taken.did, Policy::Adopt);
        assert!(machine.dma(0, 0).is_delivered());
    }
}

#[test]
fn tables_above_48_bits_and_outputs_of_52_bits() {
    let high = 0xF_4000_0000_0000..0xF_4000_0010_0000;
    let hardware = Hardware::virt(V3_1);
    let hardware = Hardware { idr5: hardware.idr5.with_oas(6).with_gran64k(true), ..hardware };
    let memory = Memory::new(RAM).and(high.clone());
    let mut machine = Machine::with_memory(&[hardware], memory, Choices::kind());
    let at = |offset: u64| PhysAddr(high.start + offset);
    // A linear table of one STE, its CD, and tables of 64 KiB granule: 52 bits in, levels 1 to 3.
    machine.bus.memory.poke(at(0), 0b1011 | at(0x1000).0);
    machine.bus.memory.poke(at(8), 0xD6);
    machine.bus.memory.poke(at(0x1000), 12 | 1 << 6 | 1 << 30 | 1 << 31 | 6 << 32 | 1 << 41 | 7 << 45 | 5 << 48);
    machine.bus.memory.poke(at(0x1008), at(0x2_0000).0);
    let descriptor = |pa: PhysAddr, low: u64| pa.0 & 0xFFFF_FFFF_0000 | (pa.0 >> 48 & 0xF) << 12 | low;
    machine.bus.memory.poke(at(0x2_0000), descriptor(at(0x3_0000), 3));
    machine.bus.memory.poke(at(0x3_0000), descriptor(at(0x4_0000), 3));
    machine.bus.memory.poke(at(0x4_0000 + 5 * 8), descriptor(at(0x8_0000), 0xF43));
    let unit = machine.unit(SMMU);
    unit.set64(reg::STRTAB_BASE, at(0).0);
    unit.set(reg::STRTAB_BASE_CFG, 0);
    unit.force_enabled(1.into());
    machine.functions.push(Function::new(StreamId(0), &[Window::new(Iova(5 << 16 | 0x40), at(0x8_0040))]));
    assert_eq!(machine.dma(0, 0), Outcome::Delivered(at(0x8_0040), Path::Walk));
}

#[test]
fn substreams_stage_2_and_nesting_translate() {
    let kinds = [
        Kind::Stage1 { asid: 4, cd_max: 5, cd_format: 0 },
        Kind::Stage1 { asid: 40, cd_max: 8, cd_format: 1 },
        Kind::Stage1 { asid: 80, cd_max: 12, cd_format: 2 },
        Kind::Stage2 { vmid: 3 },
        Kind::Nested { vmid: 4, asid: 1 },
        Kind::El2 { asid: 9 },
    ];
    let mut builder = Builder::new(Hardware::server(1), Choices::kind(), Format::TwoLevel { split: 6 }, 8);
    for (index, kind) in kinds.into_iter().enumerate() {
        let target = TARGET + 0x1000 * index as u64;
        builder.stream(&Stream { id: 0x40 + index as u32, kind, iova: IOVA, target });
    }
    let mut machine = builder.crashed();
    for (function, kind) in kinds.iter().enumerate() {
        assert!(machine.dma(function, 0).is_delivered(), "{kind:?}");
        assert!(machine.dma(function, 0).is_delivered(), "{kind:?}");
    }
    machine.functions[0].substream = Some(3);
    assert!(machine.dma(0, 0).is_delivered());
    machine.functions[0].substream = Some(0);
    assert_eq!(machine.dma(0, 0), Outcome::Blocked(Stop::Fault(id::F_STREAM_DISABLED)));
    machine.functions[0].substream = Some(32);
    assert_eq!(machine.dma(0, 0), Outcome::Blocked(Stop::Fault(id::C_BAD_SUBSTREAMID)));
}
