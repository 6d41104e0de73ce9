//! The deferred attach: with the ASID or VMID of a stream that the dead kernel had, stale translations are hit
//! (adopting-kernel.md 5); the other streams never notice.

#![expect(clippy::unwrap_used, reason = "a helper of a test that cannot go on must stop it")]

mod common;

use addr::{Iova, PhysAddr, StreamId};
use common::*;
use model::{Choices, FreshFrames, Hardware, Kind, Machine, Outcome, Path, Personality, Schedule, Stream};
use smmu::spec::ste::{STE_WORDS, Ste};
use smmu::takeover::{Attach, Attached, NewDomain, Policy, Site, Taken, attach_deferred};
use smmu::translation::{Identifier, Memory};

const NEW: PhysAddr = PhysAddr(0x7000_0000);
const SID: StreamId = StreamId(0x18);
/// Its function, and those of streams that stay.
const MOVED: usize = 1;
const STAYING: [usize; 2] = [0, 2];
/// Domains before the stream's own in the order of the first kernel, whose identifiers here count from 1.
const SAME_ORDER: u16 = 2;

/// The same streams with domains of stage 2, and VMIDs for ASIDs.
fn at_stage2() -> [Stream; 5] {
    STREAMS.map(|stream| match stream.kind {
        Kind::Stage1 { asid, .. } => Stream { kind: Kind::Stage2 { vmid: asid }, ..stream },
        _ => stream,
    })
}

/// Streams at either stage.
fn either() -> [[Stream; 5]; 2] {
    [STREAMS, at_stage2()]
}

/// Moves stream 0x18 to a new domain, as the images do it. Its old window is its new one.
fn attach(machine: &mut Machine, taken: &mut Taken, frames: &mut FreshFrames, earlier: u16) -> Attached {
    let attach = Attach { stream: SID, identity: Vec::new() };
    let window = (Iova(IOVA), NEW, 0x1000);
    let wanted = NewDomain { attach: &attach, window, memory: Memory::WriteBack, earlier };
    let mut site = Site {
        smmu: SMMU,
        coherent: None,
        cpu_is_vhe: false,
        queue_cap_log2: 8,
        timeout_us: 2000,
        own: PhysAddr(0)..PhysAddr(0),
        frames,
        rmr_streams: &[],
        attach: &[],
    };
    attach_deferred(machine, &mut site, taken, &wanted).unwrap()
}

/// Adopts, lets the device go on, stops it, attaches it and starts it again; where its DMA lands then.
fn after_attach(
    policy: Policy,
    streams: &[Stream],
    personality: Personality,
    choices: Choices,
    earlier: u16,
) -> Vec<Outcome> {
    let (mut machine, _) = crashed(Hardware::virt(personality), choices, streams);
    let mut frames = FreshFrames::default();
    let mut taken = take_with(policy, &mut machine, &[], &mut frames).unwrap();
    // One frame between the takeover's TLBI and the driver's reset of the device is enough.
    machine.dma_all();
    let mut windows = std::mem::take(&mut machine.functions[MOVED].windows);
    machine.record.clear();
    attach(&mut machine, &mut taken, &mut frames, earlier);
    // Between any two of its accesses.
    let others: Vec<_> = machine.record.rows().iter().filter(|seen| STAYING.contains(&seen.function)).collect();
    assert!(others.len() >= STAYING.len() && others.iter().all(|seen| seen.outcome.is_delivered()), "{others:?}");
    machine.schedule = Schedule::Off;
    windows[0].target = Some(NEW);
    machine.functions[MOVED].windows = windows;
    (0..8).map(|_| machine.dma(MOVED, 0)).collect()
}

const STALE: Outcome = Outcome::MisSteered(PhysAddr(TARGET + 0x1000), Path::Tlb);

#[test]
fn a_reused_identifier_hits_the_dead_kernels_translation() {
    for streams in either() {
        for personality in [Personality::Qemu10, Personality::Architecture { minor: 1 }] {
            let outcomes = after_attach(Policy::AdoptV7Attach, &streams, personality, Choices::kind(), SAME_ORDER);
            assert_eq!(outcomes, [STALE; 8], "{personality:?}");
        }
    }
}

#[test]
fn the_identifier_of_another_live_stream_hits_that_streams_translation() {
    for streams in either() {
        let outcomes = after_attach(Policy::AdoptV7Attach, &streams, Personality::Qemu10, Choices::kind(), 1);
        assert_eq!(outcomes, [Outcome::MisSteered(PhysAddr(TARGET), Path::Tlb); 8]);
    }
}

#[test]
fn on_hardware_that_evicts_a_reused_identifier_is_a_matter_of_luck() {
    for streams in either() {
        let (mut stale, mut right) = (0, 0);
        for seed in 0..500 {
            let personality = Personality::Architecture { minor: 3 };
            let choices = Choices::seeded(seed);
            for outcome in after_attach(Policy::AdoptV7Attach, &streams, personality, choices, SAME_ORDER) {
                stale += u32::from(outcome == STALE);
                right += u32::from(outcome.is_delivered());
            }
        }
        println!("reused identifier: {stale} stale, {right} right of 4000");
        assert!(stale > 100 && right > 100 && stale + right == 4000);
    }
}

#[test]
fn a_fresh_identifier_never_meets_an_old_translation() {
    for streams in either() {
        for personality in Personality::ALL {
            for seed in 0..200 {
                let choices = Choices::seeded(seed);
                let outcomes = after_attach(Policy::AdoptAttach, &streams, personality, choices, SAME_ORDER);
                assert!(
                    outcomes.iter().all(|outcome| outcome.is_delivered()),
                    "{personality:?}, seed {seed}: {outcomes:?}"
                );
            }
        }
    }
}

/// What a device meets that is not stopped while its stream moves; streams that stay meet nothing.
fn meanwhile(policy: Policy, streams: &[Stream], hardware: Hardware, choices: Choices) -> (Vec<Hazard>, Identifier) {
    let (mut machine, stes) = crashed(hardware, choices, streams);
    let mut frames = FreshFrames::default();
    let mut taken = take_with(policy, &mut machine, &[], &mut frames).unwrap();
    let before: Vec<Ste> = stes.iter().map(|at| ste_in_memory(&machine, *at)).collect();
    machine.record.clear();
    let attached = attach(&mut machine, &mut taken, &mut frames, SAME_ORDER);
    let (old, new) = (before[MOVED], ste_in_memory(&machine, stes[MOVED]));
    assert_ne!(old[..STE_WORDS / 2], new[..STE_WORDS / 2]);
    let mut own = Vec::new();
    for seen in machine.record.rows() {
        if seen.function == MOVED {
            own.extend(hazards(seen, &[old, new, [0; STE_WORDS]], true));
        } else if STAYING.contains(&seen.function) {
            assert_eq!(hazards(seen, &before[seen.function..=seen.function], true), [], "{seen:?}");
        }
    }
    // To the new pages it may go: they are not where this window led before.
    own.retain(|hazard| *hazard != Hazard::MisSteered);
    (own, attached.id)
}

#[test]
fn a_hitless_attach_has_no_state_between_old_and_new() {
    for personality in Personality::ALL {
        for seed in 0..50 {
            let hardware = Hardware::virt(personality);
            let (met, id) = meanwhile(Policy::AdoptAttach, &STREAMS, hardware, Choices::seeded(seed));
            assert_eq!((met, id), (Vec::new(), Identifier::Asid(5)), "{personality:?}, seed {seed}");
        }
    }
}

#[test]
fn at_stage_2_a_device_that_is_not_stopped_meets_v_0_and_is_refused_and_never_meets_a_mixture() {
    for personality in Personality::ALL {
        let mut all = Vec::new();
        for seed in 0..50 {
            let hardware = Hardware::virt(personality);
            let (met, id) = meanwhile(Policy::AdoptAttach, &at_stage2(), hardware, Choices::seeded(seed));
            assert_eq!(id, Identifier::Vmid(5));
            all.extend(met);
        }
        assert!(all.contains(&Hazard::NotValid) && all.contains(&Hazard::Blocked), "{personality:?}: {all:?}");
        let is_harmless = |hazard: &Hazard| matches!(hazard, Hazard::NotValid | Hazard::Blocked);
        assert!(all.iter().all(is_harmless), "{personality:?}: {all:?}");
    }
}

#[test]
fn at_stage_2_the_tables_alone_change_in_one_word_where_the_vmid_is_that_of_before() {
    for personality in Personality::ALL {
        for seed in 0..50 {
            // 42 bits out: the taker's tables have the shape of the dead kernel's, 39 bits from level 1.
            let hardware = Hardware::virt(personality);
            let hardware = Hardware { idr5: hardware.idr5.with_oas(3), ..hardware };
            let (met, id) = meanwhile(Policy::AdoptV7Attach, &at_stage2(), hardware, Choices::seeded(seed));
            assert_eq!((met, id), (Vec::new(), Identifier::Vmid(3)), "{personality:?}, seed {seed}");
        }
    }
}
