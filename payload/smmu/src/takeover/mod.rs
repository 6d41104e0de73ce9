//! What a kdump image does to an SMMU that the crashed kernel left running.
//!
//! Everything goes through [`Access`], so that the log shows every register and structure access in order.

mod adopt;
mod attach;
mod common;
mod deferred;
mod events;
mod fresh;
mod held;
mod identifiers;
mod off;
pub mod plant;
mod policy;
mod refusal;
mod reset;
mod validate;

pub use adopt::Adopted;
pub use attach::Attach;
pub use deferred::{Attached, NewDomain, attach_deferred};
pub use events::EventHandler;
pub use held::Held;
pub use identifiers::{IdSet, Identifiers};
pub use policy::{Policy, UnknownPolicy};
pub use refusal::{Place, Refusal, Rule};
pub use validate::look_again;

use crate::access::{Access, SmmuIndex};
use crate::frames::Frames;
use crate::poll::TimedOut;
use crate::queue::{CommandQueue, EventQueue, QueueError};
use addr::{PhysAddr, StreamId};
use core::ops::Range;

/// How long Linux polls CR0ACK, GBPA.Update and a CMD_SYNC.
pub const LINUX_TIMEOUT_US: u64 = 1_000_000;

/// One SMMU to take over, and what the platform says about it.
pub struct Site<'a> {
    /// Which SMMU.
    pub smmu: SmmuIndex,
    /// The firmware's word on coherent table walks (IORT COHACC override, `dma-coherent`) over IDR0.COHACC.
    pub coherent: Option<bool>,
    /// The CPU runs with HCR_EL2.E2H: CR2.E2H follows where the SMMU has EL2 streams.
    pub cpu_is_vhe: bool,
    /// log2 of the largest queue to allocate.
    pub queue_cap_log2: u8,
    /// Bound of each poll, [`LINUX_TIMEOUT_US`] for the reference behaviour.
    pub timeout_us: u64,
    /// Memory that is the crash kernel's own: no structure of the dead kernel can lie there.
    pub own: Range<PhysAddr>,
    /// Memory for new queues and tables.
    pub frames: &'a mut dyn Frames,
    /// StreamIDs of the firmware's RMR nodes that name this SMMU.
    pub rmr_streams: &'a [StreamId],
    /// Streams of the functions that were found, for [`Policy::ResetAttach`].
    pub attach: &'a [Attach],
}

/// Errors that the reference kernel passes over, and so does the policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// GBPA.Update did not return to 0.
    pub gbpa: Option<TimedOut>,
    /// The first invalidation whose CMD_SYNC did not complete.
    pub invalidation: Option<QueueError>,
    /// IRQ_CTRLACK did not follow.
    pub irq_ctrl: Option<TimedOut>,
}

/// A takeover that came to its end.
#[derive(Clone, Debug)]
pub struct Taken {
    /// What was done in the end: the policy, or [`Policy::Reset`] where adoption was refused.
    pub did: Policy,
    /// Why adoption was refused.
    pub refusal: Option<Refusal>,
    /// Identifiers found in adopted tables, which nobody may hand out again; empty after a reset.
    pub reserved: Identifiers,
    /// System counter when the last access was acknowledged.
    pub last_ack_ticks: u64,
    /// What went wrong without stopping the takeover.
    pub ignored: Ignored,
    /// The command queue in use, for what follows the takeover; none where the SMMU is disabled.
    pub commands: Option<CommandQueue>,
    /// The event queue, where it was left on: whoever took over has to read it.
    pub events: Option<EventQueue>,
}

/// A takeover that stopped half-way. After a failed reset CR0 was written 0; a failed adoption leaves SMMUEN alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TakeoverError {
    /// No memory for a queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// No memory for the stream table.
    #[error("no memory for {bytes} bytes of stream table")]
    Table {
        /// Bytes asked for.
        bytes: u64,
    },
    /// No memory for a default domain, or a reserved range that cannot be mapped.
    #[error("no default domain for StreamID {stream}")]
    Domain {
        /// Whose.
        stream: StreamId,
    },
    /// CR0ACK did not follow CR0.
    #[error("while {step}: {source}")]
    NoAck {
        /// The step that was to be acknowledged.
        step: &'static str,
        /// The poll.
        source: TimedOut,
    },
}

/// Takes one SMMU over.
///
/// # Errors
/// [`TakeoverError`] where the reference kernel's probe fails. A table that cannot be adopted is none: `reset` runs.
pub fn take_over(policy: Policy, hw: &mut dyn Access, mut site: Site<'_>) -> Result<Taken, TakeoverError> {
    hw.step("probe");
    let mut features = common::Features::read(hw, &site);
    if policy.is_v7() {
        // Physical addresses are not vetted there.
        features.own = PhysAddr(0)..PhysAddr(0);
    }
    if policy.turns_off() {
        return off::run(policy, hw, &site);
    }
    if policy.adopts() {
        let eligible = adopt::eligible(hw, &site, &features);
        let queues = common::Queues::allocate(&mut site, &features)?;
        return match eligible.and_then(|()| adopt::examine(policy, hw, &site, &features)) {
            Ok(identifiers) => adopt::run(policy, hw, &site, &features, queues, identifiers).map(Taken::from),
            Err(refusal) => {
                let taken = reset::run(Policy::Reset, hw, site, &features, queues, reset::Kernel::Adopting)?;
                Ok(Taken { refusal: Some(refusal), ..taken })
            }
        };
    }
    let queues = common::Queues::allocate(&mut site, &features)?;
    let kernel = match policy {
        Policy::ResetEvtq | Policy::ResetAttach => reset::Kernel::Ordinary,
        _ => reset::Kernel::Released,
    };
    reset::run(policy, hw, site, &features, queues, kernel)
}

/// Takes one SMMU over by [`Policy::Adopt`], or not at all: of an SMMU whose table is refused no register is written.
///
/// # Errors
/// [`TakeoverError`], as [`take_over`].
pub fn adopt_or_refuse(hw: &mut dyn Access, mut site: Site<'_>) -> Result<Result<Adopted, Refusal>, TakeoverError> {
    hw.step("probe");
    let features = common::Features::read(hw, &site);
    let policy = Policy::Adopt;
    let examined = adopt::eligible(hw, &site, &features).and_then(|()| adopt::examine(policy, hw, &site, &features));
    let identifiers = match examined {
        Ok(identifiers) => identifiers,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let queues = common::Queues::allocate(&mut site, &features)?;
    adopt::run(policy, hw, &site, &features, queues, identifiers).map(Ok)
}

#[cfg(test)]
mod tests;
