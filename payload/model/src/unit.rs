//! One SMMU: registers, guards, queues and caches.

mod cache;
mod commands;
mod control;
mod events;
mod guard;
mod write;

pub(crate) use cache::put as cache_put;
pub use cache::{Caches, Regime, TlbEntry};
pub use guard::{Guard, Violation};

use crate::bus::Bus;
use crate::hardware::Hardware;
use control::{GbpaUpdate, Updates};
use smmu::spec::command::Command;
use smmu::spec::event::Event;
use smmu::spec::registers::{self as reg, Cr0, Gbpa, Gerror, StrtabBaseCfg};
use std::collections::VecDeque;

const PAGE0_WORDS: usize = 0x200 / 4;
const PAGE1: u32 = 0x1_0000;
const PAGE1_WORDS: usize = 0x100 / 4;
/// Violations kept; a log of more is cut.
const MOST_VIOLATIONS: usize = 1024;

/// The stream table as the SMMU uses it: STRTAB_BASE, STRTAB_BASE_CFG and CR2 of the last time that SMMUEN became 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// STRTAB_BASE.
    pub base: u64,
    /// STRTAB_BASE_CFG.
    pub config: StrtabBaseCfg,
    /// CR2.
    pub cr2: u32,
}

/// A transaction that waits for CMD_RESUME.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// StreamID.
    pub stream: u32,
    /// Its tag.
    pub tag: u16,
}

/// One SMMU.
#[derive(Clone, Debug)]
pub struct Unit {
    /// What it is.
    pub hardware: Hardware,
    /// What it holds of structures and translations.
    pub caches: Caches,
    /// Guards that the software broke, in order.
    pub violations: Vec<Violation>,
    /// Commands consumed, in order, of which the last thousand are kept.
    pub consumed: VecDeque<Command>,
    /// Events that were written to a queue.
    pub events_written: u64,
    /// Events lost because the queue was full or not there.
    pub events_lost: u64,
    /// Transactions that wait for CMD_RESUME.
    pub stalled: Vec<Stalled>,
    /// Service Failure Mode (12.3): every transaction ends, no command is consumed.
    pub service_failure: bool,
    page0: [u32; PAGE0_WORDS],
    page1: [u32; PAGE1_WORDS],
    /// CR0 as it is in force: CR0ACK, or a new value that took effect before its acknowledge.
    effective: Cr0,
    live: Live,
    updates: Updates,
    gbpa: Option<GbpaUpdate>,
    /// Consumed and not complete.
    incomplete: Vec<Command>,
    /// Accesses for which the next command was put off.
    put_off: u8,
    buffered: VecDeque<Event>,
    events_put_off: u8,
    /// QEMU: FMT was 1 once (qemu.md 5.3).
    two_level_once: bool,
    /// Accesses so far, for violations.
    now: u64,
    /// Nothing goes on by itself, until something is written or faults.
    quiet: bool,
}

impl Unit {
    /// An SMMU after reset. Its caches hold nothing, though the architecture does not promise it.
    #[must_use]
    pub fn new(hardware: Hardware) -> Self {
        let mut unit = Self {
            hardware,
            caches: Caches::default(),
            violations: Vec::new(),
            consumed: VecDeque::new(),
            events_written: 0,
            events_lost: 0,
            stalled: Vec::new(),
            service_failure: false,
            page0: [0; PAGE0_WORDS],
            page1: [0; PAGE1_WORDS],
            effective: Cr0::new(),
            live: Live::default(),
            updates: Updates::default(),
            gbpa: None,
            incomplete: Vec::new(),
            put_off: 0,
            buffered: VecDeque::new(),
            events_put_off: 0,
            two_level_once: false,
            now: 0,
            quiet: false,
        };
        for (offset, value) in [
            (reg::IDR0, hardware.idr0.into()),
            (reg::IDR1, hardware.idr1.into()),
            (reg::IDR3, hardware.idr3),
            (reg::IDR5, hardware.idr5.into()),
            (reg::IIDR, 0x43B),
            (reg::AIDR, hardware.personality.aidr()),
            (reg::GBPA, hardware.gbpa),
        ] {
            unit.set(offset, value);
        }
        unit
    }

    /// Page and index of a register's value. Everything else is RAZ/WI: reserved offsets, and the Secure registers from
    /// 0x8000 on for a Non-secure access (6.2).
    fn place(&self, offset: u32) -> Option<(bool, usize)> {
        let offset = self.canonical(offset);
        let in_page1 = matches!(offset & 0xFFFF, 0xA8 | 0xAC | 0xC8 | 0xCC);
        match offset.checked_sub(PAGE1) {
            Some(offset) => (in_page1 && offset < PAGE1).then_some((true, offset as usize / 4)),
            None => (!in_page1 && offset as usize / 4 < PAGE0_WORDS).then_some((false, offset as usize / 4)),
        }
    }

    /// The architecture's offset for one of QEMU, whose two pages are aliases (facts 3.7).
    fn canonical(&self, offset: u32) -> u32 {
        if !self.hardware.personality.is_qemu() {
            return offset;
        }
        match offset {
            0xA8 | 0xAC | 0xC8 | 0xCC => offset | PAGE1,
            reg::EVENTQ_PROD | reg::EVENTQ_CONS | reg::PRIQ_PROD | reg::PRIQ_CONS => offset,
            _ => offset & !PAGE1,
        }
    }

    /// The value of a register, without side effects.
    #[must_use]
    pub fn get(&self, offset: u32) -> u32 {
        let value = match self.place(offset) {
            Some((true, index)) => self.page1.get(index),
            Some((false, index)) => self.page0.get(index),
            None => None,
        };
        value.copied().unwrap_or(0)
    }

    /// The value of a 64-bit register, without side effects.
    #[must_use]
    pub fn get64(&self, offset: u32) -> u64 {
        u64::from(self.get(offset)) | u64::from(self.get(offset + 4)) << 32
    }

    /// Sets a register without side effects, as nobody can on a board.
    pub fn set(&mut self, offset: u32, value: u32) {
        let slot = match self.place(offset) {
            Some((true, index)) => self.page1.get_mut(index),
            Some((false, index)) => self.page0.get_mut(index),
            None => None,
        };
        if let Some(slot) = slot {
            *slot = value;
            self.quiet = false;
        }
    }

    /// Sets a 64-bit register, without side effects.
    pub fn set64(&mut self, offset: u32, value: u64) {
        self.set(offset, value as u32);
        self.set(offset + 4, (value >> 32) as u32);
    }

    /// Puts the SMMU into the state that a crashed kernel leaves: `cr0` in force and acknowledged, with the table that
    /// the registers name.
    pub fn force_enabled(&mut self, cr0: Cr0) {
        self.set(reg::CR0, cr0.into());
        self.set(reg::CR0ACK, cr0.into());
        self.effective = cr0;
        self.latch();
    }

    /// CR0 as it is in force.
    #[must_use]
    pub const fn effective(&self) -> Cr0 {
        self.effective
    }

    /// The stream table in use.
    #[must_use]
    pub const fn live(&self) -> Live {
        self.live
    }

    /// Global errors that are active.
    #[must_use]
    pub fn active_errors(&self) -> Gerror {
        Gerror::from(self.get(reg::GERROR) ^ self.get(reg::GERRORN))
    }

    /// Makes global errors active that are not yet (6.3.19).
    pub fn raise(&mut self, errors: Gerror) {
        let fresh = u32::from(errors) & !u32::from(self.active_errors());
        self.set(reg::GERROR, self.get(reg::GERROR) ^ fresh);
    }

    /// Enters Service Failure Mode; acknowledging SFM_ERR does not leave it.
    pub fn fail(&mut self) {
        self.service_failure = true;
        self.raise(Gerror::new().with_sfm_err(true));
    }

    /// GBPA as a transaction meets it now.
    pub(crate) fn gbpa_in_force(&mut self, bus: &mut Bus) -> Gbpa {
        self.resolve_gbpa(bus);
        Gbpa::from(self.get(reg::GBPA))
    }

    /// One access of the CPU has passed: everything that goes on by itself goes on.
    pub(crate) fn advance(&mut self, bus: &mut Bus) {
        self.now += 1;
        if self.quiet {
            return;
        }
        self.advance_updates(bus);
        self.advance_commands(bus);
        self.advance_events(bus);
        self.quiet = self.updates.is_empty()
            && self.gbpa.is_none()
            && self.incomplete.is_empty()
            && self.buffered.is_empty()
            && !self.has_commands();
    }

    pub(crate) fn violate(&mut self, guard: Guard, offset: u32, value: u64) {
        if self.violations.len() < MOST_VIOLATIONS {
            self.violations.push(Violation { access: self.now, guard, offset, value });
        }
    }

    /// The table registers take effect (3.3: SMMUEN 0 to 1).
    fn latch(&mut self) {
        self.live = Live {
            base: self.get64(reg::STRTAB_BASE),
            config: StrtabBaseCfg::from(self.get(reg::STRTAB_BASE_CFG)),
            cr2: self.get(reg::CR2),
        };
        self.two_level_once |= self.live.config.fmt() == 1;
    }

    /// QEMU walks two levels once FMT was 1, whatever it is now.
    pub(crate) const fn format_is_sticky(&self) -> bool {
        self.two_level_once && self.hardware.personality.is_qemu()
    }
}
