//! The takeovers that the command line names, by the project's policies.

use crate::{
    board::{Board, Smmu},
    console::say,
    fault::{Fault, Faulty},
    words::Words,
};
use addr::{Iova, PhysAddr, StreamId};
use alloc::vec::Vec;
use arch::{bus::Smmus, frames::FrameRange};
use core::ops::Range;
use smmu::{
    access::{Access, SmmuIndex, Structure},
    frames::Frames,
    observe::{Registers, tables},
    spec::{cd::Cd0, ste::Ste0},
    takeover::{
        Attach, Attached, NewDomain, Policy, Site, Taken, attach_deferred, look_again,
        plant::{Plant, Sabotaged},
        take_over,
    },
    translation::{Budget, Leaf, Memory},
};

/// As Linux's crash kernel takes at least.
const QUEUE_CAP_LOG2: u8 = 8;
/// Bound of each wait.
const TIMEOUT_US: u64 = 200_000;
/// Bytes of translation tables that are read.
const MOST_TABLES: u64 = 16 << 20;

/// Where a domain has pages that had none.
const SOMEWHERE: (Iova, u64) = (Iova(0x1000_0000), 0x1_0000);

/// Takes every SMMU over by one policy after the other.
pub(crate) fn all(words: &Words, board: &Board, hw: &mut Smmus, frames: &mut FrameRange) {
    let attach = |stream: &StreamId| Attach { stream: *stream, identity: Vec::new() };
    let attach: Vec<_> = words.streams.iter().map(attach).collect();
    for policy in &words.policies {
        for (index, smmu) in (0_u8..).map(SmmuIndex).zip(board.smmus()) {
            let taken = one(*policy, words, board, (index, smmu), hw, frames, &attach);
            if let Some(taken) = taken.filter(|taken| taken.did == *policy && policy.attaches()) {
                let attached = deferred(taken, words, board, (index, smmu), hw, frames);
                match attached {
                    Ok(Attached { id, old, .. }) => say!("attached {}: {id:?} after {old:?}", words.stream()),
                    Err(problem) => say!("not attached {}: {problem}", words.stream()),
                }
            }
        }
    }
}

fn one(
    policy: Policy,
    words: &Words,
    board: &Board,
    smmu: (SmmuIndex, &Smmu),
    hw: &mut Smmus,
    frames: &mut FrameRange,
    attach: &[Attach],
) -> Option<Taken> {
    let plant = match words.fault {
        Some(Fault::SmmuenCleared) => Some(Plant::SmmuenCleared),
        Some(Fault::SteRewritten) => ste(words, board, smmu.0, words.stream(), hw).map(|at| Plant::SteRewritten { at }),
        _ => None,
    };
    let rmr_streams = [smmu.1.rmr_streams.as_slice(), &words.rmr_streams].concat();
    let site = Site { rmr_streams: &rmr_streams, ..site(words, board, smmu, frames, attach) };
    let mut sabotaged;
    let hw: &mut dyn Access = match plant {
        Some(plant) => {
            sabotaged = Sabotaged::new(hw, smmu.0, plant);
            &mut sabotaged
        }
        None => hw,
    };
    match take_over(policy, &mut Faulty::new(hw, words.fault), site) {
        Ok(taken) => {
            let why = taken.refusal.map(|refusal| refusal.rule.name());
            say!("SMMU {}: {policy} did {}, refused for {why:?}", smmu.0.0, taken.did);
            Some(taken)
        }
        Err(error) => {
            say!("SMMU {}: {policy} failed: {error}", smmu.0.0);
            None
        }
    }
}

/// The first stream gets a domain of its own, at the addresses that it had: its device is not stopped, so that it shows by its
/// DMA which translation it gets.
fn deferred(
    mut taken: Taken,
    words: &Words,
    board: &Board,
    smmu: (SmmuIndex, &Smmu),
    hw: &mut Smmus,
    frames: &mut FrameRange,
) -> Result<Attached, &'static str> {
    let (asid, iova, bytes) = used(words, board, smmu.0, hw).ok_or("it has no domain of stage 1")?;
    let pages = frames.allocate(bytes, 0x1_0000).ok_or("no memory")?;
    say!("attaching {}: {bytes:#x} bytes at {iova} to {pages}", words.stream());
    let attach = Attach { stream: words.stream(), identity: Vec::new() };
    let window = (iova, pages, bytes);
    // Where nothing is reserved the allocator so comes to the identifier that the stream has.
    let domain = NewDomain { attach: &attach, window, memory: Memory::WriteBack, earlier: asid.saturating_sub(1) };
    let mut site = site(words, board, smmu, frames, &[]);
    let mut hw = Faulty::new(hw, words.fault);
    attach_deferred(&mut hw, &mut site, &mut taken, &domain).map_err(|_| "no domain can be made")
}

/// ASID of a stream, and the first run of addresses that it uses and that are not their own translation; of an empty domain any.
fn used(words: &Words, board: &Board, smmu: SmmuIndex, hw: &mut Smmus) -> Option<(u16, Iova, u64)> {
    let at = ste(words, board, smmu, words.stream(), hw)?;
    let ste0 = Ste0::from(hw.load(smmu, Structure::Ste, at).ok()?);
    let mut cd = [0; 8];
    hw.load_words(smmu, Structure::Cd, PhysAddr(ste0.s1contextptr()), &mut cd).ok().filter(|()| ste0.v())?;
    let registers = Registers::read(hw, smmu);
    let lower = tables(&registers, &cd).ok()?[0]?;
    let mut run: Option<(Iova, u64)> = None;
    let mut collect = |leaf: &Leaf| {
        match &mut run {
            _ if leaf.iova.0 == leaf.pa.0 => {}
            Some((start, bytes)) if start.0 + *bytes == leaf.iova.0 => *bytes += leaf.bytes,
            Some(_) => return true,
            None => run = Some((leaf.iova, leaf.bytes)),
        }
        false
    };
    lower.find_leaf(hw, lower.base, Iova(u64::MAX), &mut Budget::new(MOST_TABLES), &mut collect).ok()?;
    let (iova, bytes) = run.unwrap_or(SOMEWHERE);
    Some((Cd0::from(cd[0]).asid(), iova, bytes))
}

/// Where the STE of a stream is, in the table in force.
pub(crate) fn ste(words: &Words, board: &Board, smmu: SmmuIndex, stream: StreamId, hw: &mut Smmus) -> Option<PhysAddr> {
    look_again(hw, smmu, &own(words, board), stream).ok().flatten()
}

/// Where no table of the dead kernel can be. A second takeover finds what the first has left.
fn own(words: &Words, board: &Board) -> Range<PhysAddr> {
    if words.policies.len() > 1 { PhysAddr(0)..PhysAddr(0) } else { board.own.clone() }
}

fn site<'a>(
    words: &Words,
    board: &Board,
    (index, smmu): (SmmuIndex, &'a Smmu),
    frames: &'a mut FrameRange,
    attach: &'a [Attach],
) -> Site<'a> {
    Site {
        smmu: index,
        coherent: smmu.coherent,
        cpu_is_vhe: false,
        queue_cap_log2: QUEUE_CAP_LOG2,
        timeout_us: TIMEOUT_US,
        own: own(words, board),
        frames,
        rmr_streams: &smmu.rmr_streams,
        attach,
    }
}
