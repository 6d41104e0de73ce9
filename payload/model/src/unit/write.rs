//! What a register access does.

use super::{Guard, Unit};
use crate::bus::Bus;
use crate::choice::Freedom;
use smmu::spec::registers::{self as reg, Gbpa};

impl Unit {
    /// A 32-bit read.
    pub(crate) fn read32(&self, offset: u32) -> u32 {
        let value = self.get(offset);
        // Update reads 1 from the write to its completion (6.3.14).
        if offset == reg::GBPA && self.gbpa.is_some() {
            value | u32::from(Gbpa::new().with_update(true))
        } else {
            value
        }
    }

    /// A 64-bit read.
    pub(crate) fn read64(&self, offset: u32) -> u64 {
        if self.hardware.personality.is_qemu() && !is_wide(offset) {
            return 0;
        }
        u64::from(self.read32(offset)) | u64::from(self.read32(offset + 4)) << 32
    }

    /// A 64-bit write: of a 64-bit register both halves at once.
    pub(crate) fn write64(&mut self, bus: &mut Bus, offset: u32, value: u64) {
        self.quiet = false;
        if !is_wide(offset) {
            self.write32(bus, offset, value as u32);
            self.write32(bus, offset + 4, (value >> 32) as u32);
            return;
        }
        if self.is_preset(offset) {
            return;
        }
        let Some(value) = self.guarded(bus, offset, value, self.get64(offset)) else { return };
        self.set64(offset, value);
        self.after_write(offset);
    }

    /// A 32-bit write.
    pub(crate) fn write32(&mut self, bus: &mut Bus, offset: u32, value: u32) {
        let offset = self.canonical(offset);
        self.quiet = false;
        match offset {
            reg::CR0 => self.write_cr0(bus, value),
            reg::GBPA => self.write_gbpa(bus, value),
            reg::IRQ_CTRL => self.write_irq_ctrl(bus, value),
            reg::GERRORN => self.write_gerrorn(bus, value),
            reg::CMDQ_PROD => self.write_cmdq_prod(value),
            reg::CR0ACK | reg::IRQ_CTRLACK | reg::GERROR | 0x00..=0x1C => {}
            _ if self.is_preset(offset) => {}
            _ => {
                let Some(value) = self.guarded(bus, offset, value.into(), self.get(offset).into()) else { return };
                self.set(offset, value as u32);
                self.after_write(offset);
            }
        }
    }

    /// What a write of `value` over `old` puts into the register: itself, unless its guard forbids it. Then nothing from
    /// SMMUv3.2 on, and before nothing, itself, or any value (6.2).
    fn guarded(&mut self, bus: &mut Bus, offset: u32, value: u64, old: u64) -> Option<u64> {
        let personality = self.hardware.personality;
        let Some(guard) = self.guard(offset, value as u32) else { return Some(value) };
        self.violate(guard, offset, value);
        if personality.is_qemu() {
            return Some(value);
        }
        if personality.ignores_guarded_writes() {
            return None;
        }
        match bus.choices.pick(Freedom::Unpredictable, 3) {
            0 => None,
            1 => Some(value),
            _ => Some(bus.choices.any_value() ^ old),
        }
    }

    /// Registers that take effect at once wherever they could be written at all.
    fn after_write(&mut self, offset: u32) {
        let table = matches!(offset, reg::STRTAB_BASE | 0x84 | reg::STRTAB_BASE_CFG | reg::CR2);
        // With SMMUEN=1 the guard has let it pass: it holds from now on, which is one of the results that 6.3.24 allows.
        if table && (self.effective.smmuen() || self.hardware.personality.is_qemu()) {
            self.latch();
        }
    }

    /// Read-only by IDR1.TABLES_PRESET or IDR1.QUEUES_PRESET (6.3.2).
    fn is_preset(&self, offset: u32) -> bool {
        let idr1 = self.hardware.idr1;
        match offset {
            reg::STRTAB_BASE | 0x84 | reg::STRTAB_BASE_CFG => idr1.tables_preset(),
            reg::CMDQ_BASE | 0x94 | reg::EVENTQ_BASE | 0xA4 | reg::PRIQ_BASE | 0xC4 => idr1.queues_preset(),
            _ => false,
        }
    }

    /// The physical address behind a base register, relative to page 0 where it is preset and IDR1.REL is 1 (6.3.2).
    pub(crate) fn base_address(&self, register: u32, address: u64) -> u64 {
        let relative = self.hardware.idr1.rel() && self.is_preset(register);
        if relative { self.hardware.frame.0.wrapping_add(address) } else { address }
    }

    fn write_gerrorn(&mut self, bus: &mut Bus, value: u32) {
        let toggled = value ^ self.get(reg::GERRORN);
        let inactive = toggled & !u32::from(self.active_errors());
        if inactive != 0 {
            self.violate(Guard::GerrornInactive, reg::GERRORN, value.into());
        }
        // 6.3.20: toggling a bit that is not active may activate the error, or not.
        let ignored = if inactive != 0 && !self.hardware.personality.is_qemu() {
            if bus.choices.pick(Freedom::Unpredictable, 2) == 0 { inactive } else { 0 }
        } else {
            0
        };
        self.set(reg::GERRORN, value ^ ignored);
    }

    fn write_cmdq_prod(&mut self, value: u32) {
        let mask = 2 * self.cmdq_entries() - 1;
        let (old, cons) = (self.get(reg::CMDQ_PROD), self.get(reg::CMDQ_CONS));
        let used = value.wrapping_sub(cons) & mask;
        let was = old.wrapping_sub(cons) & mask;
        // Disabled, PROD and CONS are set up in either order.
        if self.effective.cmdqen() && (used > self.cmdq_entries() || used < was) {
            self.violate(Guard::CmdqProd, reg::CMDQ_PROD, value.into());
        }
        self.set(reg::CMDQ_PROD, value & (1 << 20 | 0xF_FFFF));
    }
}

/// Registers of 64 bits.
const fn is_wide(offset: u32) -> bool {
    matches!(
        offset,
        reg::GERROR_IRQ_CFG0
            | reg::STRTAB_BASE
            | reg::CMDQ_BASE
            | reg::EVENTQ_BASE
            | reg::EVENTQ_IRQ_CFG0
            | reg::PRIQ_BASE
            | reg::PRIQ_IRQ_CFG0
    )
}
