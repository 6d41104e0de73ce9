//! When a register may be written (facts: smmu-kdump.md 3.2), and what a write then does.

use super::rules::{self, Rule};
use super::unit::{Context, Unit};
use crate::spec::registers as reg;
use alloc::format;

pub(super) const GATOS_CTRL: u32 = 0x100;
/// First and last 32-bit word of the interrupt configurations.
const GERROR_IRQ: (u32, u32) = (reg::GERROR_IRQ_CFG0, 0x74);
const EVENTQ_IRQ: (u32, u32) = (reg::EVENTQ_IRQ_CFG0, 0xBC);
const PRIQ_IRQ: (u32, u32) = (reg::PRIQ_IRQ_CFG0, 0xDC);
/// The Secure registers.
const SECURE: (u32, u32) = (0x8000, 0x8FFF);
/// CR0 enables.
pub(super) const SMMUEN: u32 = 1;
pub(super) const PRIQEN: u32 = 2;
pub(super) const EVENTQEN: u32 = 4;
pub(super) const CMDQEN: u32 = 8;
pub(super) const ATSCHK: u32 = 0x10;
/// CR1.QUEUE_* and CR1.TABLE_* (6.3.11).
const CR1_QUEUE: u32 = 0x3F;
const CR1_TABLE: u32 = 0xFC0;
/// IRQ_CTRL enables, which are fields too.
const IRQ_FIELDS: [u32; 3] = [1, 2, 4];

const fn within(offset: u32, range: (u32, u32)) -> bool {
    range.0 <= offset && offset <= range.1
}

impl Unit {
    /// Takes a write of a whole register.
    pub(super) fn write(&mut self, cx: &mut Context<'_>, offset: u32, value: u64) {
        let word = value as u32;
        self.adoption.register(cx, offset, word, self.profiles.adoption_goes_on());
        self.existence(cx, offset);
        let is_taken = self.guard(cx, offset, value);
        match offset {
            reg::CR0 => self.write_cr0(cx, word),
            reg::IRQ_CTRL => self.write_irq_ctrl(cx, word),
            reg::GBPA => self.gbpa.write(cx, word),
            reg::GERRORN => self.gerrorn = word,
            reg::CMDQ_PROD => self.write_prod(cx, word),
            reg::CMDQ_CONS if is_taken => {
                self.init[0].cons = Some(cx.index);
                self.queue.reset_index(None, Some(word));
            }
            reg::CMDQ_BASE if is_taken => {
                self.init[0].base = Some(cx.index);
                self.queue.rebase(value);
            }
            reg::EVENTQ_BASE => self.init[1].base = Some(cx.index),
            reg::EVENTQ_PROD => self.init[1].prod = Some(cx.index),
            reg::EVENTQ_CONS => self.init[1].cons = Some(cx.index),
            reg::PRIQ_BASE => self.init[2].base = Some(cx.index),
            reg::PRIQ_PROD => self.init[2].prod = Some(cx.index),
            reg::PRIQ_CONS => self.init[2].cons = Some(cx.index),
            reg::CR1 if is_taken => self.cr1 = word,
            reg::STRTAB_BASE | reg::STRTAB_BASE_CFG if is_taken => {
                self.strtab_at = Some(cx.index);
                if offset == reg::STRTAB_BASE_CFG {
                    self.strtab_base_cfg = word;
                }
            }
            GATOS_CTRL => self.gatos_running = word & 1 != 0,
            _ => {}
        }
        // Halves are put together from it; only 64-bit registers are asked for.
        if is_taken {
            self.long.insert(offset, value);
        }
        // With the queue on, what CMDQ_PROD announces is the step.
        if offset != reg::CMDQ_PROD || !self.cr0.may_be(CMDQEN) {
            self.profiles.write(cx, offset, value);
        }
    }

    /// Judges whether the register may be written now. Tells whether an SMMU takes the write.
    fn guard(&self, cx: &mut Context<'_>, offset: u32, value: u64) -> bool {
        let word = value as u32;
        let cr0 = |mask| (mask, &self.cr0);
        let irq = |mask| (mask, &self.irq_ctrl);
        let cr1 = self.cr1 ^ word;
        let (rule, (mask, control)): (&'static Rule, _) = match offset {
            reg::STRTAB_BASE => (&rules::GUARD_STRTAB_BASE, cr0(SMMUEN)),
            reg::STRTAB_BASE_CFG => (&rules::GUARD_STRTAB_BASE_CFG, cr0(SMMUEN)),
            reg::CR1 if cr1 & CR1_TABLE != 0 && self.cr0.may_be(SMMUEN) => (&rules::GUARD_CR1_TABLE, cr0(SMMUEN)),
            reg::CR1 if cr1 & CR1_QUEUE != 0 => (&rules::GUARD_CR1_QUEUE, cr0(PRIQEN | EVENTQEN | CMDQEN)),
            reg::CR2 => (&rules::GUARD_CR2, cr0(SMMUEN)),
            reg::CMDQ_BASE => (&rules::GUARD_CMDQ_BASE, cr0(CMDQEN)),
            reg::CMDQ_CONS => (&rules::GUARD_CMDQ_CONS, cr0(CMDQEN)),
            reg::EVENTQ_BASE => (&rules::GUARD_EVENTQ_BASE, cr0(EVENTQEN)),
            reg::EVENTQ_PROD => (&rules::GUARD_EVENTQ_PROD, cr0(EVENTQEN)),
            reg::PRIQ_BASE => (&rules::GUARD_PRIQ_BASE, cr0(PRIQEN)),
            reg::PRIQ_PROD => (&rules::GUARD_PRIQ_PROD, cr0(PRIQEN)),
            _ if within(offset, GERROR_IRQ) => (&rules::GUARD_GERROR_IRQ_CFG, irq(1)),
            _ if within(offset, PRIQ_IRQ) => (&rules::GUARD_PRIQ_IRQ_CFG, irq(2)),
            _ if within(offset, EVENTQ_IRQ) => (&rules::GUARD_EVENTQ_IRQ_CFG, irq(4)),
            reg::GERRORN => return self.guard_gerrorn(cx, word),
            GATOS_CTRL => return self.guard_gatos(cx, word),
            _ => return true,
        };
        if !control.may_be(mask) {
            return true;
        }
        let (written, acked, at, outcome) = (control.written, control.acked, control.at, cx.ids.outcome());
        let text = format!(
            "{} is written {value:#x} while {written:#x} is in force and {acked:#x} acknowledged: {outcome}",
            name(offset)
        );
        cx.add(rule, &[at], text);
        !cx.ids.ignores_guarded
    }

    fn guard_gerrorn(&self, cx: &mut Context<'_>, word: u32) -> bool {
        let inactive = (word ^ self.gerrorn) & !(self.gerror ^ self.gerrorn);
        if inactive != 0 {
            let (gerror, gerrorn) = (self.gerror, self.gerrorn);
            let text = format!(
                "GERRORN is written {word:#x}: {inactive:#x} is not active in GERROR {gerror:#x}, GERRORN {gerrorn:#x}"
            );
            cx.add(&rules::GUARD_GERRORN, &[], text);
        }
        true
    }

    fn guard_gatos(&self, cx: &mut Context<'_>, word: u32) -> bool {
        let is_enabled = self.cr0.written & self.cr0.acked & SMMUEN != 0;
        if word & 1 != 0 && (self.gatos_running || !is_enabled) {
            let why = if is_enabled { "RUN is still 1" } else { "SMMUEN is not 1" };
            cx.add(&rules::GUARD_GATOS, &[self.cr0.at], format!("GATOS RUN is set while {why}"));
        }
        true
    }

    fn write_irq_ctrl(&mut self, cx: &mut Context<'_>, word: u32) {
        let (risen, _) = self.irq_ctrl.write(cx, word, &IRQ_FIELDS, &rules::IRQ_CTRL_BEFORE_ACK);
        let active = self.gerror ^ self.gerrorn;
        if risen & 1 != 0 && active != 0 {
            let text = format!("GERROR interrupt is enabled with errors {active:#x} active: they raise none");
            cx.add(&rules::ENABLE_IRQ_STALE, &[], text);
        }
    }

    /// CMDQ_PROD hands commands over.
    fn write_prod(&mut self, cx: &mut Context<'_>, word: u32) {
        let mask = self.queue.mask(cx);
        if !self.cr0.may_be(CMDQEN) {
            self.init[0].prod = Some(cx.index);
            self.queue.reset_index(Some(word & mask), None);
            return;
        }
        let (prod, cons) = (self.queue.prod & mask, self.queue.cons & mask);
        let used = prod.wrapping_sub(cons) & mask;
        let after = word.wrapping_sub(cons) & mask;
        if word & !mask != 0 || after > mask / 2 + 1 || after < used {
            let text =
                format!("CMDQ_PROD goes from {prod:#x} to {word:#x} with CMDQ_CONS {cons:#x} and index bits {mask:#x}");
            cx.add(&rules::GUARD_CMDQ_PROD, &[], text);
            return;
        }
        self.announce(cx, word & mask);
    }

    fn existence(&self, cx: &mut Context<'_>, offset: u32) {
        let (idr0, idr1) = (cx.ids.idr0, cx.ids.idr1);
        let rule = match offset {
            0..=reg::AIDR | reg::CR0ACK | reg::IRQ_CTRLACK | reg::GERROR => &rules::REGISTER_READ_ONLY,
            0xA8 | 0xAC | 0xC8 | 0xCC => &rules::REGISTER_RESERVED,
            _ if within(offset, SECURE) => &rules::REGISTER_SECURE,
            reg::PRIQ_BASE | reg::PRIQ_PROD | reg::PRIQ_CONS if !idr0.pri() => &rules::REGISTER_ABSENT,
            reg::STRTAB_BASE | reg::STRTAB_BASE_CFG if idr1.tables_preset() => &rules::REGISTER_ABSENT,
            reg::CMDQ_BASE | reg::EVENTQ_BASE | reg::PRIQ_BASE if idr1.queues_preset() => &rules::REGISTER_ABSENT,
            GATOS_CTRL if !idr0.atos() => &rules::REGISTER_ABSENT,
            _ => return,
        };
        cx.add(rule, &[], format!("{} ({offset:#x}) is written", name(offset)));
    }
}

/// Name of a register, with those that only the checker knows.
pub(super) const fn name(offset: u32) -> &'static str {
    match offset {
        0x6C | 0x70 | 0x74 => "GERROR_IRQ_CFG1/2",
        0xB4 | 0xB8 | 0xBC => "EVENTQ_IRQ_CFG1/2",
        0xD4 | 0xD8 | 0xDC => "PRIQ_IRQ_CFG1/2",
        0xA8 | 0xAC => "EVENTQ index in page 0",
        0xC8 | 0xCC => "PRIQ index in page 0",
        GATOS_CTRL => "GATOS_CTRL",
        _ => reg::name(offset),
    }
}
