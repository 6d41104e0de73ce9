//! What an adoption must not do (facts: smmu-kdump.md 6.1). Kept apart until it is known that the log is one.

use super::findings::Findings;
use super::rules::{self, Rule};
use super::unit::Context;
use crate::access::Structure;
use crate::log::{Entry, Op};
use crate::spec::cd::Cd0;
use crate::spec::registers as reg;
use crate::spec::ste::{Config, STE_BYTES, Ste0, Ste2};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

/// CDs whose ASIDs are remembered, and STEs with a VMID.
const MAX_CDS: usize = 1 << 16;

/// Suspicions, and identifiers of the adopted streams.
#[derive(Clone, Debug, Default)]
pub(super) struct Adoption {
    suspicions: Findings,
    /// ASIDs by the address of their CDs, as loaded.
    asids: BTreeMap<u64, u16>,
    /// CDs that were stored: they are the taker's own.
    own: BTreeSet<u64>,
    /// STEs with stage 2, by address.
    stage2: BTreeMap<u64, Stage2>,
    /// The last word 0 of an STE, and of which.
    last_first: Option<(u64, u64)>,
}

/// What is known of an STE with stage 2.
#[derive(Clone, Copy, Debug, Default)]
struct Stage2 {
    /// As loaded before the taker stored anything there.
    adopted_vmid: Option<u16>,
    /// As last loaded or stored: VMID, and word 3, which points to the tables.
    vmid: Option<u16>,
    tables: Option<u64>,
    is_stored: bool,
}

const fn has_stage2(word0: u64) -> bool {
    let ste = Ste0::from_bits(word0);
    ste.v() && Config(ste.config()).has_s2()
}

impl Adoption {
    fn suspect(&mut self, cx: &Context<'_>, rule: &'static Rule, text: impl FnOnce() -> String) {
        // A long log that is no adoption has many stores, and a text for each would be most of the work.
        if !self.suspicions.count_kept(rule, cx.smmu) {
            self.suspicions.add(rule, cx.smmu, &[Some(cx.index)], text());
        }
    }

    /// A register is written; `goes_on` while the adoption is not complete.
    pub(super) fn register(&mut self, cx: &Context<'_>, offset: u32, word: u32, goes_on: bool) {
        let rule = match offset {
            reg::CR0 if word & 1 == 0 => &rules::ADOPT_SMMUEN,
            reg::STRTAB_BASE | reg::STRTAB_BASE_CFG => &rules::ADOPT_STRTAB,
            reg::CR1 | reg::CR2 => &rules::ADOPT_CR1_CR2,
            reg::GBPA => &rules::ADOPT_GBPA,
            // *_IRQ_CFG0 are cleared by the real kernel; only the queues themselves stay as they are.
            reg::EVENTQ_BASE
            | reg::EVENTQ_PROD
            | reg::EVENTQ_CONS
            | reg::PRIQ_BASE
            | reg::PRIQ_PROD
            | reg::PRIQ_CONS => &rules::ADOPT_OUTPUT_QUEUES,
            _ => return,
        };
        if goes_on {
            self.suspect(cx, rule, || format!("{} is written {word:#x}", reg::name(offset)));
        }
    }

    /// A structure is loaded or stored.
    pub(super) fn memory(&mut self, cx: &Context<'_>, entry: &Entry, structure: Structure, goes_on: bool) {
        let is_table = matches!(structure, Structure::L1Std | Structure::Ste | Structure::L1Cd | Structure::Cd);
        if structure == Structure::Ste {
            self.stage2(cx, entry);
        }
        if entry.op == Op::Load {
            let cd = Cd0::from(entry.value);
            let is_first = structure == Structure::Cd && entry.address.is_multiple_of(64);
            let is_adopted = is_first && cd.v() && !self.own.contains(&entry.address);
            if is_adopted && self.asids.len() < MAX_CDS {
                self.asids.insert(entry.address, cd.asid());
            }
            return;
        }
        if goes_on && is_table {
            let text = || format!("{} at {:#x} is stored {:#x}", entry.name(), entry.address, entry.value);
            self.suspect(cx, &rules::ADOPT_TABLE_STORE, text);
        }
        let cd = Cd0::from(entry.value);
        if structure == Structure::Cd && entry.address.is_multiple_of(64) && cd.v() {
            if self.own.len() < MAX_CDS {
                self.own.insert(entry.address);
            }
            let mut others = self.asids.iter().filter(|(at, _)| **at != entry.address);
            if let Some((at, asid)) = others.find(|(_, asid)| **asid == cd.asid()).map(|(at, asid)| (*at, *asid)) {
                let text =
                    || format!("a new CD at {:#x} has ASID {asid}, as the adopted one at {at:#x}", entry.address);
                self.suspect(cx, &rules::ADOPT_IDENTIFIER, text);
            }
        }
    }

    /// A word of an STE: does a VMID of the adopted streams stand for other tables now?
    fn stage2(&mut self, cx: &Context<'_>, entry: &Entry) {
        let (word, is_load) = (entry.address % STE_BYTES / 8, entry.op == Op::Load);
        let base = entry.address - entry.address % STE_BYTES;
        let vmid = Ste2::from(entry.value).s2vmid();
        let is_new = match word {
            0 => has_stage2(entry.value),
            // A scan reads this word where there is a stage 2 alone; word 0 is mostly merged with those before it.
            2 => is_load && vmid != 0 && self.last_first.is_none_or(|(at, first)| at != base || has_stage2(first)),
            _ => false,
        };
        if word == 0 {
            self.last_first = Some((base, entry.value));
        }
        if is_new && self.stage2.len() < MAX_CDS {
            self.stage2.entry(base).or_default();
        }
        let Some(ste) = self.stage2.get_mut(&base) else { return };
        let tables = ste.tables;
        match word {
            2 => ste.vmid = Some(vmid),
            3 => ste.tables = Some(entry.value),
            _ => {}
        }
        if is_load {
            ste.adopted_vmid = ste.adopted_vmid.or(ste.vmid.filter(|_| !ste.is_stored));
            return;
        }
        ste.is_stored = true;
        // Word 0 with V, or the one word that decides of an STE that stays valid.
        let is_change = if word == 0 { has_stage2(entry.value) } else { word == 3 && tables != ste.tables };
        let (Some(vmid), true) = (ste.vmid, is_change) else { return };
        if let Some((at, _)) = self.stage2.iter().find(|(_, known)| known.adopted_vmid == Some(vmid)) {
            let at = *at;
            let text = || format!("the STE at {base:#x} has new tables and VMID {vmid}, as the adopted one at {at:#x}");
            self.suspect(cx, &rules::ADOPT_IDENTIFIER, text);
        }
    }

    /// The log is an adoption's.
    pub(super) fn confirm(self, out: &mut Findings) {
        out.append(self.suspicions);
    }
}
