//! The deferred attach: with the ASID of a stream that the dead kernel had, stale translations are hit (adopting-kernel.md 5);
//! the other streams never notice.

#![expect(clippy::unwrap_used, reason = "a helper of a test that cannot go on must stop it")]

mod common;

use addr::{Iova, PhysAddr, StreamId};
use common::*;
use model::{Choices, FreshFrames, Hardware, Machine, Outcome, Path, Personality, Schedule};
use smmu::spec::ste::{STE_WORDS, Ste};
use smmu::stage1::Memory;
use smmu::takeover::{Attach, Attached, Change, NewDomain, Policy, Site, Taken, attach_deferred};

const NEW: PhysAddr = PhysAddr(0x7000_0000);
const SID: StreamId = StreamId(0x18);
/// Its function, and those of streams that stay.
const MOVED: usize = 1;
const STAYING: [usize; 2] = [0, 2];
/// Domains before the stream's own in the order of the first kernel, whose ASIDs here count from 1.
const SAME_ORDER: u16 = 2;

/// Moves stream 0x18 to a new domain, as the images do it. Its old window is its new one.
fn attach(
    machine: &mut Machine,
    taken: &mut Taken,
    frames: &mut FreshFrames,
    earlier: u16,
    change: Change,
) -> Attached {
    let attach = Attach { stream: SID, identity: Vec::new() };
    let window = (Iova(IOVA), NEW, 0x1000);
    let wanted = NewDomain { attach: &attach, window, memory: Memory::WriteBack, earlier, change };
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
fn after_attach(policy: Policy, personality: Personality, choices: Choices, earlier: u16) -> Vec<Outcome> {
    let (mut machine, _) = crashed(Hardware::virt(personality), choices, &STREAMS);
    let mut frames = FreshFrames::default();
    let mut taken = take_with(policy, &mut machine, &[], &mut frames).unwrap();
    // One frame between the takeover's TLBI and the driver's reset of the device is enough.
    machine.dma_all();
    let mut windows = std::mem::take(&mut machine.functions[MOVED].windows);
    machine.record.clear();
    attach(&mut machine, &mut taken, &mut frames, earlier, Change::Hitless);
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
fn a_reused_asid_hits_the_dead_kernels_translation() {
    for personality in [Personality::Qemu10, Personality::Architecture { minor: 1 }] {
        let outcomes = after_attach(Policy::AdoptV7Attach, personality, Choices::kind(), SAME_ORDER);
        assert_eq!(outcomes, [STALE; 8], "{personality:?}");
    }
}

#[test]
fn the_asid_of_another_live_stream_hits_that_streams_translation() {
    let outcomes = after_attach(Policy::AdoptV7Attach, Personality::Qemu10, Choices::kind(), 1);
    assert_eq!(outcomes, [Outcome::MisSteered(PhysAddr(TARGET), Path::Tlb); 8]);
}

#[test]
fn on_hardware_that_evicts_a_reused_asid_is_a_matter_of_luck() {
    let (mut stale, mut right) = (0, 0);
    for seed in 0..500 {
        let personality = Personality::Architecture { minor: 3 };
        for outcome in after_attach(Policy::AdoptV7Attach, personality, Choices::seeded(seed), SAME_ORDER) {
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
            let outcomes = after_attach(Policy::AdoptAttach, personality, Choices::seeded(seed), SAME_ORDER);
            assert!(
                outcomes.iter().all(|outcome| outcome.is_delivered()),
                "{personality:?}, seed {seed}: {outcomes:?}"
            );
        }
    }
}

/// What a device meets that is not stopped while its stream moves.
fn meanwhile(personality: Personality, choices: Choices, change: Change) -> Vec<Hazard> {
    let (mut machine, stes) = crashed(Hardware::virt(personality), choices, &STREAMS);
    let mut frames = FreshFrames::default();
    let mut taken = take_with(Policy::AdoptAttach, &mut machine, &[], &mut frames).unwrap();
    let old: Ste = ste_in_memory(&machine, stes[MOVED]);
    machine.record.clear();
    attach(&mut machine, &mut taken, &mut frames, SAME_ORDER, change);
    let new: Ste = ste_in_memory(&machine, stes[MOVED]);
    assert_ne!(old[..STE_WORDS / 2], new[..STE_WORDS / 2]);
    let own = machine.record.rows().iter().filter(|seen| seen.function == MOVED);
    // To the new pages it may go: they are not where this window led before.
    let is_new = |hazard: &Hazard| *hazard != Hazard::MisSteered;
    own.flat_map(|seen| hazards(seen, &[old, new, [0; STE_WORDS]], true)).filter(is_new).collect()
}

#[test]
fn a_hitless_attach_has_no_state_between_old_and_new_and_one_through_an_invalid_entry_has() {
    for personality in Personality::ALL {
        for seed in 0..50 {
            let choices = || Choices::seeded(seed);
            assert_eq!(meanwhile(personality, choices(), Change::Hitless), [], "{personality:?}, seed {seed}");
        }
        let broken = meanwhile(personality, Choices::kind(), Change::BreakBeforeMake);
        assert!(broken.contains(&Hazard::NotValid) && broken.contains(&Hazard::Blocked), "{personality:?}: {broken:?}");
        assert!(!broken.contains(&Hazard::Mixed), "{personality:?}: {broken:?}");
    }
}
