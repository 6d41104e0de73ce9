//! Registers whose changes are complete only when they are acknowledged: CR0, IRQ_CTRL, GBPA (IHI 0070, 6.3.9, 6.3.14).

use super::rules::{self, Rule};
use super::unit::Context;
use alloc::format;

/// A control register with its acknowledge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acked {
    /// As written last.
    pub(super) written: u32,
    /// As the acknowledge was read last.
    pub(super) acked: u32,
    /// Log entry of the last write.
    pub(super) at: Option<u64>,
}

impl Acked {
    pub(super) const fn new(written: u32, acked: u32) -> Self {
        Self { written, acked, at: None }
    }

    /// Some bit may be 1: between a write and its acknowledge a field counts as old *and* as new.
    pub(super) const fn may_be(&self, mask: u32) -> bool {
        (self.written | self.acked) & mask != 0
    }

    /// Takes a write; `fields` are those that change independently. Returns the fields that go to 1 and to 0.
    pub(super) fn write(
        &mut self,
        cx: &mut Context<'_>,
        value: u32,
        fields: &[u32],
        rule: &'static Rule,
    ) -> (u32, u32) {
        for field in fields {
            let pending = (self.written ^ self.acked) & field != 0;
            if pending && (value ^ self.written) & field != 0 {
                let (old, acked) = (self.written & field, self.acked & field);
                let text = format!(
                    "field {field:#x} is written {:#x} over {old:#x} while the acknowledge is {acked:#x}",
                    value & field
                );
                cx.add(rule, &[self.at], text);
            }
        }
        let (risen, fallen) = (value & !self.written, self.written & !value);
        (self.written, self.at) = (value, Some(cx.index));
        (risen, fallen)
    }
}

/// GBPA and its Update protocol.
#[derive(Clone, Copy, Debug)]
pub(super) struct BypassAttributes {
    /// In force, as far as a read with Update=0 has shown.
    pub(super) effective: u32,
    /// Update was not read 0 since the last write.
    pub(super) is_updating: bool,
    at: Option<u64>,
}

/// GBPA.ABORT.
pub(super) const ABORT: u32 = 1 << 20;
/// GBPA.Update.
pub(super) const UPDATE: u32 = 1 << 31;

impl BypassAttributes {
    pub(super) const fn new(found: u32) -> Self {
        Self { effective: found, is_updating: found & UPDATE != 0, at: None }
    }

    pub(super) const fn read(&mut self, value: u32) {
        self.is_updating = value & UPDATE != 0;
        if !self.is_updating {
            self.effective = value;
        }
    }

    pub(super) fn write(&mut self, cx: &mut Context<'_>, value: u32) {
        if value & UPDATE == 0 {
            let what = cx.ids.outcome();
            cx.add(&rules::GBPA_WITHOUT_UPDATE, &[], format!("GBPA is written {value:#x}, without Update: {what}"));
            return;
        }
        if self.is_updating {
            let text = format!("GBPA is written {value:#x}, and Update was not read 0 before");
            cx.add(&rules::GBPA_WHILE_UPDATING, &[self.at], text);
        }
        (self.is_updating, self.at) = (true, Some(cx.index));
    }

    /// SMMUEN goes to 0: what then happens to DMA is known to be an abort.
    pub(super) fn judge_disable(&self, cx: &mut Context<'_>) {
        if self.is_updating {
            let text =
                "SMMUEN goes to 0 while GBPA.Update was not read 0: whether ABORT is in force is not known".into();
            cx.add(&rules::DISABLE_WITHOUT_ABORT, &[self.at], text);
        } else if self.effective & ABORT == 0 {
            let text = format!("SMMUEN goes to 0 with GBPA {:#x}: live endpoints bypass translation", self.effective);
            cx.add(&rules::DISABLE_WITHOUT_ABORT, &[self.at], text);
        }
    }
}
