//! The command queue (IHI 0070, chapter 4): consumed in order, late, and complete only when a CMD_SYNC is.

use super::{Guard, Unit};
use crate::bus::Bus;
use crate::choice::Freedom;
use addr::PhysAddr;
use smmu::spec::command::{COMMAND_BYTES, Command};
use smmu::spec::registers::{self as reg, Gerror, QueueBase};

/// CMDQ_CONS.ERR (7.1).
const CERROR_ILL: u32 = 1;
const CERROR_ABT: u32 = 2;
/// Commands kept for tests.
const MOST_KEPT: usize = 1024;
/// Commands consumed after one access at most.
const AT_ONCE: usize = 64;
/// Security state bit of a command: Secure, which a Non-secure queue must not ask for.
const SSEC: u64 = 1 << 10;

impl Unit {
    /// Entries of the command queue: LOG2SIZE is at most IDR1.CMDQS (6.3.26).
    pub(super) fn cmdq_entries(&self) -> u32 {
        1 << QueueBase::from(self.get64(reg::CMDQ_BASE)).log2size().min(self.hardware.idr1.cmdqs()).min(19)
    }

    /// A command may be consumed.
    pub(super) fn has_commands(&self) -> bool {
        if !self.effective.cmdqen() || self.service_failure || self.active_errors().cmdq_err() {
            return false;
        }
        (self.get(reg::CMDQ_CONS) ^ self.get(reg::CMDQ_PROD)) & (2 * self.cmdq_entries() - 1) != 0
    }

    pub(super) fn advance_commands(&mut self, bus: &mut Bus) {
        for _ in 0..AT_ONCE {
            if !self.has_commands() {
                break;
            }
            let size = self.cmdq_entries();
            let mask = 2 * size - 1;
            let cons = self.get(reg::CMDQ_CONS) & mask;
            if self.put_off < self.hardware.slowest && self.may(bus, Freedom::Consume) {
                self.put_off += 1;
                return;
            }
            self.put_off = 0;
            let base = self.base_address(reg::CMDQ_BASE, QueueBase::from(self.get64(reg::CMDQ_BASE)).addr());
            let at = PhysAddr(base).plus(u64::from(cons & (size - 1)) * COMMAND_BYTES);
            let (Some(low), Some(high)) = (bus.fetch(at), bus.fetch(at.plus(8))) else {
                self.violate(Guard::CommandAbort, reg::CMDQ_CONS, at.0);
                self.stop(cons, CERROR_ABT);
                return;
            };
            if self.is_illegal([low, high]) {
                self.violate(Guard::IllegalCommand, reg::CMDQ_CONS, low);
                self.stop(cons, CERROR_ILL);
                return;
            }
            self.execute(bus, [low, high]);
            self.set(reg::CMDQ_CONS, cons.wrapping_add(1) & mask);
        }
        // Incomplete invalidations may complete without being waited for.
        if !self.incomplete.is_empty() && !self.may(bus, Freedom::Complete) {
            self.complete_all();
        }
    }

    /// A choice that QEMU never makes otherwise than at once.
    fn may(&self, bus: &mut Bus, freedom: Freedom) -> bool {
        !self.hardware.personality.is_qemu() && bus.choices.pick(freedom, 2) == 1
    }

    fn stop(&mut self, cons: u32, error: u32) {
        self.set(reg::CMDQ_CONS, error << 24 | cons);
        self.raise(Gerror::new().with_cmdq_err(true));
    }

    fn execute(&mut self, bus: &mut Bus, command: Command) {
        if self.consumed.len() == MOST_KEPT {
            self.consumed.pop_front();
        }
        self.consumed.push_back(command);
        match command[0] as u8 {
            // A consumed CMD_SYNC: everything before it is complete (4.7.3).
            0x46 => self.complete_all(),
            0x03..=0x06 | 0x10..=0x13 | 0x20..=0x23 | 0x28 | 0x2A | 0x30 => {
                if self.may(bus, Freedom::Complete) {
                    self.incomplete.push(command);
                } else {
                    self.invalidate(command);
                }
            }
            0x44 => self.stalled.retain(|stalled| u64::from(stalled.tag) != command[1] & 0xFFFF),
            0x45 => self.stalled.retain(|stalled| u64::from(stalled.stream) != command[0] >> 32),
            _ => {}
        }
    }

    fn complete_all(&mut self) {
        for command in std::mem::take(&mut self.incomplete) {
            self.invalidate(command);
        }
    }

    fn invalidate(&mut self, command: Command) {
        let split = u32::from(self.live.config.split());
        self.caches.invalidate(command, split);
    }

    /// Illegal on this SMMU (7.1); QEMU takes EL2, ATS and stall commands silently (facts 3.7).
    fn is_illegal(&self, command: Command) -> bool {
        let idr0 = self.hardware.idr0;
        let qemu = self.hardware.personality.is_qemu();
        let legal = match command[0] as u8 {
            0x01..=0x06 => true,
            0x10..=0x13 => idr0.s1p() || qemu,
            0x20..=0x23 => idr0.hyp() || qemu,
            0x28 | 0x2A => idr0.s2p() || qemu,
            0x30 => true,
            0x40 => idr0.ats() || qemu,
            0x41 => idr0.pri() || qemu,
            0x44 | 0x45 => self.hardware.stalls() || qemu,
            // CS 3 is reserved.
            0x46 => command[0] >> 12 & 3 != 3,
            _ => false,
        };
        !legal || command[0] & SSEC != 0 && !qemu
    }
}
