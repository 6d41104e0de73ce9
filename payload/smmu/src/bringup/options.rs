//! What the caller of a bring-up knows or wants.

use crate::table::{Format, Unknown};
use crate::translation::Stage;
use addr::{PhysAddr, StreamId};

/// What the caller knows or wants of an SMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Its register frame, for messages.
    pub base: PhysAddr,
    /// Form of the stream table; `None` for two-level where the hardware has it.
    pub format: Option<Format>,
    /// The largest StreamID that will be attached.
    pub largest: StreamId,
    /// What StreamIDs meet that nobody attached.
    pub unknown: Unknown,
    /// At most 2^n commands; SMMU_IDR1 may announce queues of megabytes.
    pub cmdq_log2: u8,
    /// At most 2^n events.
    pub eventq_log2: u8,
    /// Deadline of every single wait.
    pub timeout_us: u64,
    /// The firmware tables say that the SMMU is coherent, whatever SMMU_IDR0.COHACC says (IORT, COHACC override).
    pub coherent_override: bool,
    /// The CPU runs with HCR_EL2.E2H.
    pub e2h: bool,
    /// Stage of every domain.
    pub stage: Stage,
    /// ASID or VMID of the first domain, made to fit. Another one in each cycle lets no TLB entry of the last one match.
    pub first_id: u16,
}

impl Options {
    /// Small queues, waits of one second, hardware's own word for everything else.
    #[must_use]
    pub const fn new(base: PhysAddr, largest: StreamId) -> Self {
        Self {
            base,
            format: None,
            largest,
            unknown: Unknown::Aborts,
            cmdq_log2: 8,
            eventq_log2: 10,
            timeout_us: 1_000_000,
            coherent_override: false,
            e2h: false,
            stage: Stage::One,
            first_id: 1,
        }
    }
}
