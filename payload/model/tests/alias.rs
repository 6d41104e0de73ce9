//! A new domain with the ASID of a stream that is still live: stale translations are hit (adopting-kernel.md 5).

#![expect(clippy::unwrap_used, reason = "a helper of a test that cannot go on must stop it")]

mod common;

use addr::{Iova, PhysAddr, StreamId};
use common::*;
use model::{Choices, FreshFrames, Hardware, Machine, Outcome, Path, Personality, Schedule};
use smmu::access::{Access, Barrier, Structure};
use smmu::frames::Frames;
use smmu::spec::cd::CD_BYTES;
use smmu::spec::command::cfgi_ste;
use smmu::spec::registers::Idr5;
use smmu::stage1::{Attributes, Geometry, Stage1};
use smmu::table::{context_descriptor, stage1_ste, write_cd};
use smmu::takeover::{Policy, Taken};

const NEW: PhysAddr = PhysAddr(0x7000_0000);
const SID: StreamId = StreamId(0x18);

/// Moves stream 0x18 to a new domain with `asid`, as a kernel does it: CD, then one store to the live STE, CFGI_STE,
/// CMD_SYNC, and no TLBI.
fn attach(machine: &mut Machine, taken: &mut Taken, frames: &mut FreshFrames, ste_at: PhysAddr, asid: u16) {
    let idr0 = machine.units[0].hardware.idr0;
    let geometry = Geometry::choose(Idr5::from(0x74)).unwrap();
    let tables = Stage1::new(SMMU, geometry, frames).unwrap();
    tables.map(machine, frames, Iova(IOVA), NEW, 0x1000, Attributes::default()).unwrap();
    let cd = frames.allocate(CD_BYTES, CD_BYTES).unwrap();
    write_cd(machine, SMMU, cd, &context_descriptor(&tables, asid, idr0, true));
    let ste = stage1_ste(cd, true);
    machine.store(SMMU, Structure::Ste, ste_at.plus(8), ste[1]);
    machine.barrier(Barrier::PublishStructure);
    machine.store(SMMU, Structure::Ste, ste_at, ste[0]);
    machine.barrier(Barrier::PublishStructure);
    taken.commands.as_mut().unwrap().issue_and_sync(machine, &[cfgi_ste(SID, true)]).unwrap();
}

/// Adopts, lets the device go on, attaches; where DMA lands then.
fn after_attach(personality: Personality, choices: Choices, pick: impl Fn(&Taken) -> u16) -> Vec<Outcome> {
    let (mut machine, stes) = crashed(Hardware::virt(personality), choices, &STREAMS);
    let mut frames = FreshFrames::default();
    let mut taken = take_with(Policy::Adopt, &mut machine, &[], &mut frames).unwrap();
    // One frame between the takeover's TLBI and the driver's reset of the device is enough.
    machine.dma_all();
    let asid = pick(&taken);
    machine.schedule = Schedule::Off;
    attach(&mut machine, &mut taken, &mut frames, stes[1], asid);
    machine.functions[1].windows[0].target = Some(NEW);
    (0..8).map(|_| machine.dma(1, 0)).collect()
}

/// As revision 7: the allocator starts empty, and devices attach in the order of the first kernel.
const fn same_order(_: &Taken) -> u16 {
    3
}

/// The first ASID that no adopted stream uses.
fn fresh(taken: &Taken) -> u16 {
    assert!(taken.reserved.asids.contains(2) && taken.reserved.asids.contains(3));
    (1..).find(|asid| !taken.reserved.asids.contains(*asid)).unwrap()
}

const STALE: Outcome = Outcome::MisSteered(PhysAddr(TARGET + 0x1000), Path::Tlb);

#[test]
fn a_reused_asid_hits_the_dead_kernels_translation() {
    for personality in [Personality::Qemu10, Personality::Architecture { minor: 1 }] {
        let outcomes = after_attach(personality, Choices::kind(), same_order);
        assert_eq!(outcomes, [STALE; 8], "{personality:?}");
    }
}

#[test]
fn the_asid_of_another_live_stream_hits_that_streams_translation() {
    let outcomes = after_attach(Personality::Qemu10, Choices::kind(), |_| 2);
    assert_eq!(outcomes, [Outcome::MisSteered(PhysAddr(TARGET), Path::Tlb); 8]);
}

#[test]
fn on_hardware_that_evicts_a_reused_asid_is_a_matter_of_luck() {
    let (mut stale, mut right) = (0, 0);
    for seed in 0..500 {
        for outcome in after_attach(Personality::Architecture { minor: 3 }, Choices::seeded(seed), same_order) {
            stale += u32::from(outcome == STALE);
            right += u32::from(outcome.is_delivered());
        }
    }
    println!("reused ASID: {stale} stale, {right} right of 4000");
    assert!(stale > 100 && right > 100 && stale + right == 4000);
}

#[test]
fn a_fresh_asid_never_meets_an_old_translation() {
    for personality in Personality::ALL {
        for seed in 0..200 {
            let outcomes = after_attach(personality, Choices::seeded(seed), fresh);
            assert!(
                outcomes.iter().all(|outcome| outcome.is_delivered()),
                "{personality:?}, seed {seed}: {outcomes:?}"
            );
        }
    }
}
