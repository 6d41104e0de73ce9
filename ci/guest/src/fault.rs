//! Between a policy and the SMMU: does everything that the policy does but for one thing, which a witness must notice.

use addr::PhysAddr;
use smmu::{
    access::{Access, Barrier, SmmuIndex, Structure, Unbacked},
    spec::{
        command::{SYNC, opcode, prefetch_config},
        registers as reg,
        ste::Ste0,
    },
};

/// A rule that is broken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The STE of a live stream is stored again, before anything is attached (`smmu::takeover::plant`).
    SteRewritten,
    /// SMMUEN is 0 for a moment (the same).
    SmmuenCleared,
    /// The level-1 table is believed and not looked at.
    L1Unread,
    /// GERROR and GERRORN are not read, and so never acknowledged.
    GerrorUnread,
    /// STRTAB_BASE is written with the value that it has, while the SMMU is enabled.
    StrtabRewritten,
    /// An STE goes through V=0, without a word to the SMMU, where one store would do.
    SteBroken,
    /// No CMD_SYNC is sent: a prefetch stands in its place.
    SyncMissing,
    /// CMD_CFGI_STE is not sent: a CMD_SYNC stands in its place.
    CfgiMissing,
    /// Its takeover stops where the command queue is to be used first, and nothing follows.
    Hangs,
    /// The same, and it polls for an acknowledge that never comes.
    Polls,
}

impl Fault {
    /// All of them, by name.
    pub(crate) const ALL: [(&'static str, Self); 10] = [
        ("ste-rewritten", Self::SteRewritten),
        ("smmuen-cleared", Self::SmmuenCleared),
        ("l1-unread", Self::L1Unread),
        ("gerror-unread", Self::GerrorUnread),
        ("strtab-rewritten", Self::StrtabRewritten),
        ("ste-broken", Self::SteBroken),
        ("sync-missing", Self::SyncMissing),
        ("cfgi-missing", Self::CfgiMissing),
        ("hangs", Self::Hangs),
        ("polls", Self::Polls),
    ];
}

/// The step in which an adoption looks at the level-1 table.
const VALIDATES: &str = "adopt.validate";

/// The SMMU behind a fault.
pub(crate) struct Faulty<'a> {
    hw: &'a mut dyn Access,
    fault: Option<Fault>,
    step: &'static str,
    /// CR0 was written.
    has_begun: bool,
    /// The second word of a command that was replaced, and what belongs there.
    rest: Option<(PhysAddr, u64)>,
}

impl<'a> Faulty<'a> {
    pub(crate) fn new(hw: &'a mut dyn Access, fault: Option<Fault>) -> Self {
        Self { hw, fault, step: "", has_begun: false, rest: None }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// What is stored in place of a word of a command.
    fn command_word(&mut self, at: PhysAddr, value: u64) -> u64 {
        if let Some((place, word)) = self.rest.take()
            && place == at
        {
            return word;
        }
        let replacement = match value as u8 {
            opcode::SYNC if self.has(Fault::SyncMissing) => prefetch_config(addr::StreamId(0)),
            opcode::CFGI_STE if self.has(Fault::CfgiMissing) => SYNC,
            _ => return value,
        };
        // Only first words are multiples of 16, and only they hold an opcode.
        if !at.is_aligned(16) {
            return value;
        }
        self.rest = Some((at.plus(8), replacement[1]));
        replacement[0]
    }
}

impl Access for Faulty<'_> {
    fn read32(&mut self, smmu: SmmuIndex, offset: u32) -> u32 {
        match offset {
            reg::GERROR | reg::GERRORN if self.has(Fault::GerrorUnread) => 0,
            _ => self.hw.read32(smmu, offset),
        }
    }

    fn write32(&mut self, smmu: SmmuIndex, offset: u32, value: u32) {
        if offset == reg::CR0 && !self.has_begun {
            self.has_begun = true;
            if self.has(Fault::StrtabRewritten) {
                let base = self.hw.read64(smmu, reg::STRTAB_BASE);
                self.hw.write64(smmu, reg::STRTAB_BASE, base);
            }
        }
        while offset == reg::CMDQ_PROD && value != 0 && (self.has(Fault::Hangs) || self.has(Fault::Polls)) {
            if self.has(Fault::Polls) {
                self.hw.read32(smmu, reg::IRQ_CTRLACK);
            }
            core::hint::spin_loop();
        }
        self.hw.write32(smmu, offset, value);
    }

    fn load(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr) -> Result<u64, Unbacked> {
        if what == Structure::L1Std && self.step == VALIDATES && self.has(Fault::L1Unread) {
            // A descriptor that is not in use passes every validation.
            return Ok(0);
        }
        self.hw.load(smmu, what, at)
    }

    fn store(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr, value: u64) {
        if what == Structure::Ste && at.is_aligned(64) && Ste0::from(value).v() && self.has(Fault::SteBroken) {
            self.hw.store(smmu, what, at, 0);
        }
        let value = if what == Structure::Command { self.command_word(at, value) } else { value };
        self.hw.store(smmu, what, at, value);
    }

    fn step(&mut self, name: &'static str) {
        self.step = name;
        self.hw.step(name);
    }

    fn read64(&mut self, smmu: SmmuIndex, offset: u32) -> u64 {
        self.hw.read64(smmu, offset)
    }
    fn write64(&mut self, smmu: SmmuIndex, offset: u32, value: u64) {
        self.hw.write64(smmu, offset, value);
    }
    fn swap(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr, value: u64) -> Result<u64, Unbacked> {
        self.hw.swap(smmu, what, at, value)
    }
    fn barrier(&mut self, barrier: Barrier) {
        self.hw.barrier(barrier);
    }
    fn ticks(&mut self) -> u64 {
        self.hw.ticks()
    }
    fn frequency(&self) -> u64 {
        self.hw.frequency()
    }
    fn pause(&mut self) {
        self.hw.pause();
    }
}
