//! Bring-up over a live SMMU, shutting it down, queues and unmapping: the rest of what the images do.

mod common;

use addr::{Iova, PhysAddr, StreamId};
use common::*;
use model::{Choices, FreshFrames, Function, Hardware, Machine, Outcome, Personality, Schedule, Window};
use smmu::access::{Access, SmmuIndex};
use smmu::bringup::{BringUpError, Options, Unit};
use smmu::queue::{CommandQueue, EventQueue};
use smmu::spec::command::{CFGI_ALL, TLBI_NSNH_ALL, cfgi_cd_all};
use smmu::spec::registers::{self as reg, Cr0};
use smmu::takeover::Policy;
use smmu::translation::Attributes;

const SID: StreamId = StreamId(0x18);
const TO: PhysAddr = PhysAddr(0x4C00_0000);

fn options() -> Options {
    Options { timeout_us: 2000, ..Options::new(PhysAddr(0x0905_0000), StreamId(0x3F)) }
}

/// A brought-up SMMU with one mapped, attached, live stream.
fn armed(hardware: Hardware, choices: Choices, start: Machine) -> (Machine, FreshFrames, Unit, smmu::bringup::Domain) {
    let mut machine = start;
    machine.bus.choices = choices;
    assert_eq!(machine.units[0].hardware, hardware);
    let mut frames = FreshFrames::default();
    let mut unit = Unit::bring_up(&mut machine, SMMU, &options(), &mut frames).expect("bring-up");
    let domain = unit.new_domain(&mut machine, &mut frames).expect("domain");
    domain.tables.map(&mut machine, &mut frames, Iova(IOVA), TO, 0x1000, Attributes::default()).expect("map");
    unit.attach(&mut machine, &mut frames, SID, &domain).expect("attach");
    (machine, frames, unit, domain)
}

fn fresh(hardware: Hardware) -> Machine {
    let mut machine = Machine::new(hardware, Choices::kind());
    machine.functions.push(Function::new(SID, &[Window::new(Iova(IOVA), TO)]));
    machine.schedule = Schedule::EveryAccess;
    machine
}

#[test]
fn bring_up_over_a_live_smmu_blocks_and_never_bypasses() {
    for (name, hardware) in hardware() {
        for seed in 0..100 {
            let (mut machine, _) = crashed(hardware, Choices::seeded(seed), &STREAMS[..2]);
            let mut frames = FreshFrames::default();
            let unit = Unit::bring_up(&mut machine, SMMU, &options(), &mut frames);
            assert!(unit.is_ok(), "{name}, seed {seed}: {:?}", unit.err());
            for seen in machine.record.rows() {
                let translating = matches!(seen.step, "smmu.identify" | "smmu.disable");
                let right = seen.outcome.is_blocked() || translating && seen.outcome.is_delivered();
                assert!(right, "{name}, seed {seed}: {seen:?}");
            }
            machine.dma_all();
            assert!(machine.record.rows().last().is_some_and(|seen| seen.outcome.is_blocked()));
            assert_eq!(machine.units[0].violations, [], "{name}, seed {seed}");
        }
    }
}

#[test]
fn what_caches_hold_after_reset_is_never_used() {
    for seed in 0..200 {
        let hardware = Hardware::server(1);
        let mut machine = fresh(hardware);
        machine.unit(SMMU).caches.fill_with_junk(&[SID.0], &[1, 2, 3], IOVA, 0x4D00_0000);
        let (machine, ..) = armed(hardware, Choices::seeded(seed), machine);
        for seen in machine.record.rows() {
            let firmware = matches!(seen.outcome, Outcome::MisSteered(_, model::Path::Disabled));
            assert!(firmware || seen.outcome.is_blocked() || seen.outcome.is_delivered(), "seed {seed}: {seen:?}");
        }
        assert_eq!(machine.units[0].violations, []);
    }
}

#[test]
fn a_bring_up_that_does_not_invalidate_would_use_it() {
    let mut machine = fresh(Hardware::server(1));
    machine.unit(SMMU).caches.fill_with_junk(&[SID.0], &[], IOVA, 0);
    machine.write64(SMMU, reg::STRTAB_BASE, 0x5000_0000);
    machine.write32(SMMU, reg::CR0, Cr0::new().with_smmuen(true).into());
    assert!(machine.dma(0, 0).is_identity());
    assert!(!machine.units[0].violations.is_empty());
}

#[test]
fn unmapped_pages_are_closed_when_the_invalidation_returns() {
    let mut late = 0;
    for seed in 0..300 {
        let hardware = Hardware::virt(Personality::Architecture { minor: 1 });
        let (mut machine, _, mut unit, domain) = armed(hardware, Choices::seeded(seed), fresh(hardware));
        assert!(machine.dma(0, 0).is_delivered());
        domain.tables.unmap(&mut machine, Iova(IOVA), 0x1000).expect("unmap");
        late += u32::from(machine.dma(0, 0).is_delivered());
        unit.invalidate(&mut machine, &domain).expect("invalidate");
        for _ in 0..4 {
            assert!(machine.dma(0, 0).is_blocked(), "seed {seed}");
        }
    }
    println!("{late} of 300 seeds deliver between unmap and invalidation");
    assert!(late > 50);
}

#[test]
fn a_shut_down_smmu_aborts_and_holds_nothing() {
    for (name, hardware) in hardware() {
        for seed in 0..60 {
            let (mut machine, _, mut unit, _) = armed(hardware, Choices::seeded(seed), fresh(hardware));
            machine.record.clear();
            unit.shut_down(&mut machine).expect("shut-down");
            assert!(machine.units[0].caches.is_empty(), "{name}, seed {seed}");
            for _ in 0..4 {
                assert!(machine.dma(0, 0).is_blocked(), "{name}, seed {seed}");
            }
            let stray = machine.record.count(|seen| matches!(seen.outcome, Outcome::MisSteered(..)));
            assert_eq!(stray, 0, "{name}, seed {seed}");
            unit.restore_gbpa(&mut machine).expect("GBPA");
            assert!(machine.dma(0, 0).is_identity(), "firmware's bypass is back");
            assert_eq!(machine.units[0].violations, [], "{name}, seed {seed}");
        }
    }
}

#[test]
fn service_failure_is_told_at_bring_up() {
    let mut machine = fresh(Hardware::server(1));
    machine.unit(SMMU).fail();
    let error = Unit::bring_up(&mut machine, SMMU, &options(), &mut FreshFrames::default()).map(|_| ());
    assert!(matches!(error, Err(BringUpError::ServiceFailure { .. })), "{error:?}");
}

#[test]
fn a_command_queue_of_two_entries_loses_nothing_and_keeps_the_order() {
    for seed in 0..300 {
        let hardware = Hardware::virt(Personality::Architecture { minor: 1 });
        let mut machine = Machine::new(hardware, Choices::seeded(seed));
        let mut queue = CommandQueue::new(SMMU, &mut FreshFrames::default(), hardware.idr1, 1, 2000).expect("memory");
        queue.program(&mut machine);
        machine.write32(SMMU, reg::CR0, 8);
        let streams: Vec<_> = (0..9).map(|sid| cfgi_cd_all(StreamId(sid))).collect();
        queue.issue(&mut machine, &streams[..5]).expect("issue");
        queue.issue_and_sync(&mut machine, &streams[5..]).expect("sync");
        let consumed: Vec<_> = machine.units[0].consumed.iter().copied().collect();
        assert_eq!(consumed[..9], streams[..], "seed {seed}");
        assert_eq!((consumed.len(), consumed[9][0] as u8), (10, 0x46));
        assert_eq!(machine.units[0].violations, [], "seed {seed}");
    }
}

#[test]
fn a_reader_of_an_event_queue_that_overflowed_gets_it_going_again() {
    for seed in 0..100 {
        let (mut machine, _) = crashed(Hardware::server(1), Choices::seeded(seed), &STREAMS);
        machine.schedule = Schedule::Off;
        for _ in 0..300 {
            machine.dma(4, 0);
            machine.pause();
        }
        let mut reader = EventQueue::from_registers(&mut machine, SMMU);
        let mut read = 0;
        let drained = reader.drain(&mut machine, u32::MAX, &mut |event| {
            assert_eq!(event[0], 0x30 << 32 | 4, "C_BAD_STE of stream 0x30");
            read += 1;
        });
        assert!(drained.overflowed && read == 256, "seed {seed}: {drained:?}");
        reader.acknowledge(&mut machine, &drained);
        machine.dma(4, 0);
        for _ in 0..8 {
            machine.pause();
        }
        let again = reader.drain(&mut machine, u32::MAX, &mut |_| read += 1);
        assert!(!again.overflowed && read > 256, "seed {seed}: {again:?}");
    }
}

#[test]
fn two_smmus_do_not_touch_each_other() {
    let hardware = Hardware::virt(Personality::Architecture { minor: 1 });
    let (mut machine, _) = crashed(hardware, Choices::seeded(5), &STREAMS);
    let mut other = machine.units[0].clone();
    other.set(reg::CMDQ_PROD, 0);
    machine.units.push(other);
    machine.functions.push(Function { smmu: SmmuIndex(1), ..machine.functions[0].clone() });
    take(Policy::Reset, &mut machine, &[]).expect("reset");
    assert!(machine.dma(0, 0).is_blocked());
    assert!(machine.dma(5, 0).is_delivered());
    assert_eq!(machine.units[1].get(reg::CR0), 0xD);
    let consumed: Vec<_> = machine.units[0].consumed.iter().copied().collect();
    assert!(consumed.contains(&CFGI_ALL) && consumed.contains(&TLBI_NSNH_ALL));
    assert!(machine.units[1].consumed.is_empty());
}
