//! Registers whose writes are requests: CR0, GBPA, IRQ_CTRL.

use super::{Guard, Unit};
use crate::bus::Bus;
use crate::choice::Freedom;
use smmu::spec::registers::{self as reg, Cr0, Gbpa, IrqCtrl};

/// CR0 fields that are updated each by itself (6.3.9): SMMUEN, PRIQEN, EVENTQEN, CMDQEN, ATSCHK, VMW.
const FIELDS: [u32; 6] = [1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 4, 7 << 6];
const SMMUEN: u32 = FIELDS[0];

#[derive(Clone, Copy, Debug)]
struct Update {
    field: u32,
    left: u8,
}

/// Updates that are not acknowledged.
#[derive(Clone, Debug, Default)]
pub(super) struct Updates {
    cr0: Vec<Update>,
    irq: Option<(u32, u8)>,
}

impl Updates {
    pub(super) const fn is_empty(&self) -> bool {
        self.cr0.is_empty() && self.irq.is_none()
    }
}

/// A GBPA write that is not complete.
#[derive(Clone, Copy, Debug)]
pub(super) struct GbpaUpdate {
    value: u32,
    left: u8,
}

impl Unit {
    /// CR0 bits that this SMMU has.
    fn implemented(&self) -> u32 {
        let idr0 = self.hardware.idr0;
        let cr0 = Cr0::new().with_smmuen(true).with_eventqen(true).with_cmdqen(true);
        let cr0 = cr0.with_priqen(idr0.pri()).with_atschk(idr0.ats());
        cr0.with_vmw(if idr0.vmw() { 7 } else { 0 }).into()
    }

    fn delay(&self, bus: &mut Bus, freedom: Freedom) -> u8 {
        if self.hardware.personality.is_qemu() {
            return 0;
        }
        bus.choices.pick(freedom, u32::from(self.hardware.slowest) + 1) as u8
    }

    pub(super) fn write_cr0(&mut self, bus: &mut Bus, value: u32) {
        let (old, acknowledged) = (self.get(reg::CR0), self.get(reg::CR0ACK));
        let implemented = self.implemented();
        let mut result = value;
        for field in FIELDS {
            if field & implemented == 0 {
                continue;
            }
            let pending = self.updates.cr0.iter().position(|update| update.field == field);
            if let Some(index) = pending {
                if (value ^ old) & field == 0 {
                    continue;
                }
                self.violate(Guard::Cr0Unacknowledged, reg::CR0, value.into());
                if bus.choices.pick(Freedom::Rewritten, 2) == 1 {
                    // The first write wins, and the second is ignored.
                    result = result & !field | old & field;
                    continue;
                }
                self.updates.cr0.remove(index);
            }
            // Written before, and in force before its acknowledge: a return to the old value is an update too.
            let differs = (value ^ acknowledged) & field != 0 || (value ^ u32::from(self.effective)) & field != 0;
            if differs {
                let left = self.delay(bus, Freedom::Cr0Ack);
                self.updates.cr0.push(Update { field, left });
            }
        }
        self.set(reg::CR0, result);
        self.complete_cr0(bus);
    }

    pub(super) fn write_irq_ctrl(&mut self, bus: &mut Bus, value: u32) {
        self.set(reg::IRQ_CTRL, value);
        let has = u32::from(IrqCtrl::new().with_gerror(true).with_eventq(true).with_priq(self.hardware.idr0.pri()));
        let left = self.delay(bus, Freedom::IrqAck);
        if left == 0 {
            self.set(reg::IRQ_CTRLACK, value & has);
            self.updates.irq = None;
        } else {
            self.updates.irq = Some((value & has, left));
        }
    }

    pub(super) fn write_gbpa(&mut self, bus: &mut Bus, value: u32) {
        let personality = self.hardware.personality;
        let gbpa = Gbpa::from(value);
        let attributes = u32::from(gbpa.with_update(false));
        if !gbpa.update() {
            self.violate(Guard::Gbpa, reg::GBPA, value.into());
            // QEMU and SMMUv3.2 ignore it; before, it may take effect without ever being acknowledged.
            let ignored = personality.is_qemu() || personality.ignores_guarded_writes();
            if !ignored && bus.choices.pick(Freedom::Unpredictable, 2) == 1 {
                self.set(reg::GBPA, attributes);
            }
            return;
        }
        if self.gbpa.is_some() {
            self.violate(Guard::Gbpa, reg::GBPA, value.into());
            if personality.ignores_guarded_writes() || bus.choices.pick(Freedom::Unpredictable, 2) == 0 {
                return;
            }
        }
        let left = self.delay(bus, Freedom::GbpaAck);
        self.gbpa = Some(GbpaUpdate { value: attributes, left });
        if left == 0 {
            self.set(reg::GBPA, attributes);
            self.gbpa = None;
        }
    }

    pub(super) fn advance_updates(&mut self, bus: &mut Bus) {
        if !self.updates.cr0.is_empty() {
            for update in &mut self.updates.cr0 {
                update.left = update.left.saturating_sub(1);
            }
            self.complete_cr0(bus);
        }
        if let Some((value, left)) = self.updates.irq {
            self.updates.irq = (left > 1).then(|| (value, left - 1));
            if left <= 1 {
                self.set(reg::IRQ_CTRLACK, value);
            }
        }
        if let Some(update) = &mut self.gbpa {
            update.left = update.left.saturating_sub(1);
            if update.left == 0 {
                let value = update.value;
                self.gbpa = None;
                self.set(reg::GBPA, value);
            }
        }
    }

    /// Acknowledges what is due.
    fn complete_cr0(&mut self, bus: &mut Bus) {
        let due = self.updates.cr0.iter().filter(|update| update.left == 0).fold(0, |mask, update| mask | update.field);
        if due == 0 {
            return;
        }
        self.updates.cr0.retain(|update| update.left != 0);
        self.set(reg::CR0ACK, self.get(reg::CR0ACK) & !due | self.get(reg::CR0) & due);
        self.take_effect(bus, due);
    }

    /// A transaction comes: it may meet a new SMMUEN before that is acknowledged.
    pub(crate) fn resolve_smmuen(&mut self, bus: &mut Bus) -> bool {
        let pending = self.updates.cr0.iter().any(|update| update.field == SMMUEN);
        let differs = (self.get(reg::CR0) ^ u32::from(self.effective)) & SMMUEN != 0;
        if pending && differs && bus.choices.pick(Freedom::Cr0Effect, 2) == 1 {
            self.take_effect(bus, SMMUEN);
        }
        self.effective.smmuen()
    }

    /// A transaction meets GBPA: it may be the new one before Update is 0 again.
    pub(super) fn resolve_gbpa(&mut self, bus: &mut Bus) {
        if let Some(update) = self.gbpa
            && update.value != self.get(reg::GBPA)
            && bus.choices.pick(Freedom::GbpaEffect, 2) == 1
        {
            self.set(reg::GBPA, update.value);
        }
    }

    /// `fields` of CR0 are in force from now on.
    fn take_effect(&mut self, bus: &mut Bus, fields: u32) {
        self.quiet = false;
        let before = self.effective;
        self.effective = Cr0::from(u32::from(before) & !fields | self.get(reg::CR0) & fields);
        let after = self.effective;
        if before.smmuen() != after.smmuen() {
            if after.smmuen() {
                if !self.incomplete.is_empty() || !self.caches.is_empty() {
                    self.violate(Guard::EnabledWithoutInvalidation, reg::CR0, u32::from(after).into());
                }
                self.latch();
            } else {
                // 3.12.2: stalled transactions are terminated. Nothing is invalidated.
                self.stalled.clear();
            }
        }
        if before.eventqen() && !after.eventqen() {
            // 7.2: uncommitted events are discarded.
            self.buffered.clear();
        }
        if !before.cmdqen() && after.cmdqen() {
            self.put_off = 0;
            self.advance_commands(bus);
        }
    }
}
