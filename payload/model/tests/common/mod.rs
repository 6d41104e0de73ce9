//! What the tests share: a crashed machine, a takeover of it, and what a live stream must never meet.

#![allow(dead_code, clippy::allow_attributes, reason = "each test crate uses a part of it")]

use addr::{PhysAddr, StreamId};
use model::{
    Builder, Choices, Format, FreshFrames, Hardware, Kind, Machine, Outcome, Personality, Schedule, Seen, Stream, used,
};
use smmu::access::{Access, SmmuIndex};
use smmu::spec::ste::Ste;
use smmu::takeover::{Policy, Site, Taken, TakeoverError, take_over};

pub(crate) const SMMU: SmmuIndex = SmmuIndex(0);
/// Pages that the streams use; none is RAM of the machine at the same address, but where it must be told apart.
pub(crate) const IOVA: u64 = 0xFFFF_C000;
pub(crate) const TARGET: u64 = 0x4800_0000;

/// Two live stage-1 streams, one that bypasses, one that aborts and one that is not valid.
pub(crate) const STREAMS: [Stream; 5] = [
    Stream { id: 0x10, kind: Kind::stage1(2), iova: IOVA, target: TARGET },
    Stream { id: 0x18, kind: Kind::stage1(3), iova: IOVA, target: TARGET + 0x1000 },
    Stream { id: 0x20, kind: Kind::Bypass, iova: TARGET + 0x2000, target: TARGET + 0x2000 },
    Stream { id: 0x28, kind: Kind::Abort, iova: IOVA, target: 0 },
    Stream { id: 0x30, kind: Kind::Invalid, iova: IOVA, target: 0 },
];

/// A crashed machine with warm caches, and where the STEs are.
pub(crate) fn crashed(hardware: Hardware, choices: Choices, streams: &[Stream]) -> (Machine, Vec<PhysAddr>) {
    let two_level = hardware.idr0.st_level() == 1 && hardware.idr1.sidsize() > 8;
    let format = if two_level { Format::TwoLevel { split: 8 } } else { Format::Linear };
    let mut builder = Builder::new(hardware, choices, format, hardware.idr1.sidsize().min(16));
    let stes = streams.iter().map(|stream| builder.stream(stream)).collect();
    let mut machine = builder.crashed();
    machine.dma_all();
    machine.record.clear();
    machine.schedule = Schedule::EveryAccess;
    (machine, stes)
}

/// An STE as it is in memory.
pub(crate) fn ste_in_memory(machine: &Machine, at: PhysAddr) -> Ste {
    std::array::from_fn(|word| machine.bus.memory.peek(at.plus(word as u64 * 8)).expect("an STE outside memory"))
}

pub(crate) fn take(policy: Policy, hw: &mut dyn Access, rmr: &[StreamId]) -> Result<Taken, TakeoverError> {
    let mut frames = FreshFrames::default();
    take_with(policy, hw, rmr, &mut frames)
}

pub(crate) fn take_with(
    policy: Policy,
    hw: &mut dyn Access,
    rmr_streams: &[StreamId],
    frames: &mut FreshFrames,
) -> Result<Taken, TakeoverError> {
    let site = Site {
        smmu: SMMU,
        coherent: None,
        cpu_is_vhe: false,
        queue_cap_log2: 8,
        timeout_us: 2000,
        // Nothing of the crashed kernel's lies in the taker's frames: random tables may point there, and are then refused.
        own: PhysAddr(0)..PhysAddr(0),
        frames,
        rmr_streams,
        attach: &[],
    };
    take_over(policy, hw, site)
}

/// What a live stream must never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hazard {
    /// An STE with V=0.
    NotValid,
    /// An STE that nobody wrote as a whole.
    Mixed,
    /// Physical address equal to the input address.
    Identity,
    /// Somewhere else.
    MisSteered,
    /// Nothing arrived.
    Blocked,
    /// Something arrived that must not.
    Opened,
}

/// The hazards of one observation. `whole` are the STEs that are complete; `blocked_is_right` where the stream may be
/// blocked at this moment.
pub(crate) fn hazards(seen: &Seen, whole: &[Ste], must_deliver: bool) -> Vec<Hazard> {
    let mut found = Vec::new();
    if let Some(ste) = seen.ste {
        if ste[0] & 1 == 0 && must_deliver {
            found.push(Hazard::NotValid);
        }
        if !whole.iter().any(|known| used::same(&ste, known)) {
            found.push(Hazard::Mixed);
        }
    }
    match seen.outcome {
        Outcome::Delivered(..) => {}
        outcome if outcome.is_identity() => found.push(Hazard::Identity),
        Outcome::MisSteered(..) => found.push(if must_deliver { Hazard::MisSteered } else { Hazard::Opened }),
        Outcome::Blocked(_) if must_deliver => found.push(Hazard::Blocked),
        Outcome::Blocked(_) => {}
    }
    found
}

/// SMMUs that differ in what matters to a takeover.
pub(crate) fn hardware() -> Vec<(&'static str, Hardware)> {
    let mut all = vec![
        ("qemu", Hardware::virt(Personality::Qemu10)),
        ("v3.0", Hardware::virt(Personality::Architecture { minor: 0 })),
        ("v3.1", Hardware::virt(Personality::Architecture { minor: 1 })),
        ("v3.2", Hardware::virt(Personality::Architecture { minor: 2 })),
        ("v3.4", Hardware::virt(Personality::Architecture { minor: 4 })),
        ("server v3.1", Hardware::server(1)),
        ("server v3.3", Hardware::server(3)),
    ];
    let plain = Hardware::virt(Personality::Architecture { minor: 1 });
    all.push(("linear only", plain.idr0(|idr0| idr0.with_st_level(0)).idr1(|idr1| idr1.with_sidsize(7))));
    all.push(("stalls forced", plain.idr0(|idr0| idr0.with_stall_model(2))));
    all.push(("stage 1 only", plain.idr0(|idr0| idr0.with_s2p(false))));
    all
}
