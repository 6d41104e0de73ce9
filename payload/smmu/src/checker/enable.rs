//! What is promised when an enable changes (facts: smmu-kdump.md 3.3).

use super::command::{is_cfgi_all, more, name, opcode_of};
use super::guards::{ATSCHK, CMDQEN, EVENTQEN, PRIQEN, SMMUEN};
use super::queue::Sent;
use super::rules;
use super::structures::Geometry;
use super::unit::{Context, Unit};
use crate::spec::command::opcode;
use crate::spec::registers::{self as reg, Idr0, QueueBase, StrtabBase, StrtabBaseCfg};
use crate::spec::ste::STE_BYTES;
use alloc::format;

/// Fields of CR0, which change independently (6.3.9).
const CR0_FIELDS: [u32; 7] = [SMMUEN, PRIQEN, EVENTQEN, CMDQEN, ATSCHK, 0x1C0, 0x400];
/// Enable, register and entry size of command, event and PRI queue.
const QUEUES: [(u32, u32, u64); 3] =
    [(CMDQEN, reg::CMDQ_BASE, 16), (EVENTQEN, reg::EVENTQ_BASE, 32), (PRIQEN, reg::PRIQ_BASE, 16)];

/// Log entries that set up a queue since it was enabled last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QueueInit {
    pub(super) base: Option<u64>,
    pub(super) prod: Option<u64>,
    pub(super) cons: Option<u64>,
}

/// Invalidations of everything that are known to be complete, by the CMDQ_PROD write that sent them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Caches {
    configuration: Option<u64>,
    translations: Option<u64>,
    el2: Option<u64>,
    /// Up to this entry the SMMU may have cached something new.
    filled_until: u64,
    /// ATSCHK changed under SMMUEN, and no STE was invalidated since.
    atschk: Option<u64>,
    /// CMDQEN was set here while CMDQ_ERR was active.
    error_at: Option<u64>,
}

impl Caches {
    pub(super) fn complete(&mut self, idr0: &Idr0, sent: &Sent) {
        let place = match opcode_of(sent.command) {
            _ if is_cfgi_all(sent.command) => &mut self.configuration,
            opcode::TLBI_NSNH_ALL => &mut self.translations,
            // Without stage 2 there is nothing that it would leave.
            opcode::TLBI_NH_ALL if !idr0.s2p() => &mut self.translations,
            opcode::TLBI_EL2_ALL => &mut self.el2,
            _ => return,
        };
        *place = (*place).max(Some(sent.at));
        if self.configuration > self.atschk {
            self.atschk = None;
        }
    }
}

/// CR0 fields that the SMMU has (6.3.9).
fn implemented(idr0: Idr0) -> u32 {
    let optional = [(idr0.pri(), PRIQEN), (idr0.ats(), ATSCHK), (idr0.vmw(), 0x1C0)];
    // DPT_WALK_EN is not judged: it is there with IDR3.DPT.
    let always = SMMUEN | EVENTQEN | CMDQEN | 0x400;
    optional.iter().filter(|(has, _)| *has).fold(always, |all, (_, field)| all | field)
}

impl Unit {
    pub(super) fn write_cr0(&mut self, cx: &mut Context<'_>, value: u32) {
        let has = implemented(cx.ids.idr0);
        if value & !has != 0 {
            cx.add(
                &rules::CR0_RESERVED,
                &[],
                format!("CR0 is written {value:#x}, of which {:#x} is not there", value & !has),
            );
        }
        let before = self.cr0.at;
        let fields = CR0_FIELDS.map(|field| field & has);
        let (risen, fallen) = self.cr0.write(cx, value, &fields, &rules::CR0_BEFORE_ACK);
        if fallen & SMMUEN != 0 {
            self.gbpa.judge_disable(cx);
            if self.gatos_running {
                cx.add(&rules::GUARD_GATOS, &[], "SMMUEN goes to 0 while GATOS RUN is 1".into());
            }
            if fallen & ATSCHK != 0 {
                let text = "ATSCHK may go before SMMUEN does: translated requests then pass unchecked".into();
                cx.add(&rules::ENABLE_ATSCHK_WITH_SMMUEN, &[], text);
            }
        }
        if (risen | fallen) & ATSCHK != 0 && self.cr0.written & SMMUEN != 0 {
            self.atschk(cx, fallen & ATSCHK != 0);
        }
        if fallen & CMDQEN != 0 {
            self.judge_complete(cx, "CMDQEN goes to 0");
        }
        for (place, (enable, base, entry)) in QUEUES.into_iter().enumerate() {
            if risen & enable != 0 {
                self.queue_enabled(cx, place, base, entry);
            }
        }
        if risen & SMMUEN != 0 {
            self.enabled(cx, before);
        }
    }

    /// CR0ACK was read.
    pub(super) fn acknowledged(&mut self, cx: &Context<'_>, value: u32) {
        if self.cr0.acked & !value & SMMUEN != 0 {
            self.caches.filled_until = cx.index;
            self.structures.disabled();
        }
        self.cr0.acked = value;
    }

    fn atschk(&mut self, cx: &mut Context<'_>, is_cleared: bool) {
        self.caches.atschk = Some(cx.index);
        let geometry = self.geometry();
        if let Some(at) = self.structures.split_ats(&geometry).filter(|_| is_cleared) {
            let text =
                format!("ATSCHK is cleared under the STE at {at:#x} with EATS 0b10: an IPA would go out as address");
            cx.add(&rules::ENABLE_ATSCHK_CLEARED, &[], text);
        }
    }

    /// Something goes on that relies on commands being complete.
    fn judge_complete(&self, cx: &mut Context<'_>, what: &str) {
        if let Some(sent) = self.queue.incomplete() {
            let text = format!("{what}, and {} is not known to be complete", name(opcode_of(sent.command)));
            cx.add(&rules::SYNC_INCOMPLETE, &[Some(sent.at)], text);
        }
    }

    fn queue_enabled(&mut self, cx: &mut Context<'_>, place: usize, register: u32, entry_bytes: u64) {
        let Some(init) = self.init.get_mut(place).map(core::mem::take) else { return };
        if let Some(base_at) = init.base {
            let is_after = |at: Option<u64>| at.is_some_and(|at| at > base_at);
            if !is_after(init.prod) || !is_after(init.cons) {
                let text = format!("{} was written, PROD or CONS not after it", reg::name(register));
                cx.add(&rules::QUEUE_INIT_ORDER, &[init.base, init.prod, init.cons], text);
            }
            let base = QueueBase::from(self.long.get(&register).copied().unwrap_or(0));
            let idr1 = cx.ids.idr1;
            let most = [idr1.cmdqs(), idr1.eventqs(), idr1.priqs()].get(place).copied().unwrap_or(0);
            let bytes = (entry_bytes << base.log2size().min(most)).max(32);
            if base.log2size() > most || base.addr() % bytes != 0 {
                let text = format!(
                    "{} is {:#x}: 2^{most} entries at most, and aligned to {bytes:#x}",
                    reg::name(register),
                    base.into_bits()
                );
                cx.add(&rules::QUEUE_BASE, &[init.base], text);
            }
        }
        if place == 0 {
            if (self.gerror ^ self.gerrorn) & 1 != 0 {
                self.caches.error_at = Some(cx.index);
            }
            if init.prod.is_some() {
                let prod = self.queue.prod;
                self.queue.prod = self.queue.cons & self.queue.mask(cx);
                self.announce(cx, prod);
            }
        }
    }

    /// Commands go out.
    pub(super) fn announce(&mut self, cx: &mut Context<'_>, prod: u32) {
        let fresh = self.queue.announce(cx, prod);
        let is_error = (self.gerror ^ self.gerrorn) & 1 != 0;
        if let Some(at) = self.caches.error_at.filter(|_| is_error && !fresh.is_empty()) {
            let text = "commands are sent under an active CMDQ_ERR: none is consumed".into();
            cx.add(&rules::ENABLE_CMDQ_ERROR, &[Some(at)], text);
        } else if !is_error {
            self.caches.error_at = None;
        }
        self.structures.announced(cx, &fresh);
        self.profiles.commands(cx, &fresh);
    }

    /// SMMUEN goes from 0 to 1.
    fn enabled(&self, cx: &mut Context<'_>, cleared: Option<u64>) {
        self.judge_complete(cx, "SMMUEN goes to 1");
        // Not acknowledged as 0: the caches may be filled up to now.
        let until = if self.cr0.acked & SMMUEN != 0 { cx.index } else { self.caches.filled_until };
        let is_fresh = |at: Option<u64>| at.is_some_and(|at| at > until);
        let Caches { configuration, translations, el2, .. } = self.caches;
        let missing = [
            (is_fresh(configuration), "CFGI_ALL"),
            (is_fresh(el2) || !cx.ids.idr0.hyp(), "TLBI_EL2_ALL"),
            (is_fresh(translations), "TLBI_NSNH_ALL"),
        ];
        if cx.coverage.commands {
            for (_, what) in missing.iter().filter(|(is_done, _)| !is_done) {
                let text = format!("SMMUEN goes to 1, and no {what} is complete since it was 0");
                cx.add(&rules::ENABLE_INVALIDATED, &[cleared], text);
            }
            if is_fresh(configuration) && self.strtab_at > configuration {
                let text = "STRTAB_* was written after CFGI_ALL".into();
                cx.add(&rules::ENABLE_TABLES_LATER, &[configuration, self.strtab_at], text);
            }
        }
        self.judge_shape(cx);
        if let Some(stored) = self.structures.unpublished(cx.barriers.publish).filter(|_| cx.coverage.barriers) {
            let text = "SMMUEN goes to 1, and the last structure words were not published".into();
            cx.add(&rules::ENABLE_UNPUBLISHED, &[Some(stored)], text);
        }
    }

    fn judge_shape(&self, cx: &mut Context<'_>) {
        let (base, config) = (StrtabBase::from(self.strtab_base()), StrtabBaseCfg::from(self.strtab_base_cfg));
        let log2size = u32::from(config.log2size()).min(40);
        let wrong = match config.fmt() {
            0 => base.addr() % (STE_BYTES << log2size) != 0,
            1 => {
                let first_level = 8_u64 << log2size.saturating_sub(config.split().into());
                cx.ids.idr0.st_level() != 1
                    || !matches!(config.split(), 6 | 8 | 10)
                    || base.addr() % first_level.max(64) != 0
            }
            _ => true,
        };
        if wrong {
            let text = format!(
                "SMMUEN goes to 1 with STRTAB_BASE {:#x}, STRTAB_BASE_CFG {:#x}",
                base.into_bits(),
                config.into_bits()
            );
            cx.add(&rules::ENABLE_TABLE_SHAPE, &[self.strtab_at], text);
        }
    }

    /// The table that is in force, or may be.
    pub(super) fn geometry(&self) -> Geometry {
        let is_live = self.cr0.may_be(SMMUEN);
        Geometry::new(is_live, self.strtab_base(), self.strtab_base_cfg, &self.ids)
    }

    /// The log ends, unbroken.
    pub(super) fn finish(&self, cx: &mut Context<'_>) {
        if let Some(sent) = self.queue.incomplete().filter(|sent| opcode_of(sent.command) != more::ATC_INV) {
            let text = format!("the log ends, and {} is not known to be complete", name(opcode_of(sent.command)));
            cx.out.add(&rules::SYNC_INCOMPLETE, cx.smmu, &[Some(sent.at)], text);
        }
        if let Some(at) = self.caches.atschk {
            let text = "ATSCHK was changed under SMMUEN, and no CFGI_ALL is complete since".into();
            cx.out.add(&rules::ENABLE_ATSCHK_CFGI, cx.smmu, &[Some(at)], text);
        }
        self.structures.finish(cx);
    }
}
