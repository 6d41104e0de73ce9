//! What may be written when (IHI 0070, chapter 6), and who did not keep to it.

use super::Unit;
use smmu::spec::registers::{self as reg, Cr0};

/// A rule of the programming interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guard {
    /// STRTAB_BASE, STRTAB_BASE_CFG, CR1.TABLE_* or CR2 while SMMUEN or its acknowledge is 1 (6.3.11, 6.3.12, 6.3.24).
    TableLive,
    /// CR1.QUEUE_* while a queue is enabled (6.3.11).
    QueueAttributes,
    /// CMDQ_BASE or CMDQ_CONS while CMDQEN or its acknowledge is 1 (6.3.26).
    CmdqLive,
    /// EVENTQ_BASE or EVENTQ_PROD while EVENTQEN or its acknowledge is 1 (6.3.29).
    EventqLive,
    /// PRIQ_BASE or PRIQ_PROD while PRIQEN or its acknowledge is 1.
    PriqLive,
    /// GBPA while Update is 1, or without Update (6.3.14).
    Gbpa,
    /// `*_IRQ_CFGn` while the interrupt is enabled (6.3.17).
    IrqLive,
    /// A GERRORN bit toggled whose error is not active (6.3.20).
    GerrornInactive,
    /// A CR0 field changed again before its acknowledge (6.3.9).
    Cr0Unacknowledged,
    /// CMDQ_PROD went back, or further than the queue is long (6.3.27).
    CmdqProd,
    /// A command that is illegal on this SMMU (7.1).
    IllegalCommand,
    /// A command fetch met no memory (7.1).
    CommandAbort,
    /// SMMUEN became 1 with commands incomplete, or with structures or translations of before in the caches.
    EnabledWithoutInvalidation,
    /// A descriptor that the SMMU updates was stored to, and not exchanged (3.13): an update may be lost.
    PlainStore,
}

/// One breach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Number of the access.
    pub access: u64,
    /// The rule.
    pub guard: Guard,
    /// The register; 0 for memory.
    pub offset: u32,
    /// What was written; of a command its first word, of a descriptor its address.
    pub value: u64,
}

/// CR1.QUEUE_* and CR1.TABLE_* (6.3.11).
pub(super) const CR1_QUEUE: u32 = 0x3F;
pub(super) const CR1_TABLE: u32 = 0xFC0;

impl Unit {
    /// A field counts as enabled from the write of 1 until the acknowledge of 0.
    fn enabled(&self) -> Cr0 {
        Cr0::from(self.get(reg::CR0) | self.get(reg::CR0ACK))
    }

    /// The guard that a write of `value` to `offset` would break.
    pub(super) fn guard(&self, offset: u32, value: u32) -> Option<Guard> {
        let cr0 = self.enabled();
        let irq = self.get(reg::IRQ_CTRL) | self.get(reg::IRQ_CTRLACK);
        match offset {
            reg::STRTAB_BASE | 0x84 | reg::STRTAB_BASE_CFG | reg::CR2 => cr0.smmuen().then_some(Guard::TableLive),
            reg::CR1 => {
                let changed = value ^ self.get(reg::CR1);
                let queues = cr0.cmdqen() || cr0.eventqen() || cr0.priqen();
                if cr0.smmuen() && changed & CR1_TABLE != 0 {
                    Some(Guard::TableLive)
                } else {
                    (queues && changed & CR1_QUEUE != 0).then_some(Guard::QueueAttributes)
                }
            }
            reg::CMDQ_BASE | 0x94 | reg::CMDQ_CONS => cr0.cmdqen().then_some(Guard::CmdqLive),
            reg::EVENTQ_BASE | 0xA4 | reg::EVENTQ_PROD => cr0.eventqen().then_some(Guard::EventqLive),
            reg::PRIQ_BASE | 0xC4 | reg::PRIQ_PROD => cr0.priqen().then_some(Guard::PriqLive),
            0x68..=0x74 => (irq & 1 != 0).then_some(Guard::IrqLive),
            0xD0..=0xDC => (irq & 2 != 0).then_some(Guard::IrqLive),
            0xB0..=0xBC => (irq & 4 != 0).then_some(Guard::IrqLive),
            _ => None,
        }
    }
}
