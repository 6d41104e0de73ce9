//! What an adoption must not do (facts: smmu-kdump.md 6.1). Kept apart until it is known that the log is one.

use super::findings::Findings;
use super::rules::{self, Rule};
use super::unit::Context;
use crate::access::Structure;
use crate::log::{Entry, Op};
use crate::spec::cd::Cd0;
use crate::spec::registers as reg;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

/// CDs whose ASIDs are remembered.
const MAX_CDS: usize = 1 << 16;

/// Suspicions, and identifiers of the adopted streams.
#[derive(Clone, Debug, Default)]
pub(super) struct Adoption {
    suspicions: Findings,
    /// ASIDs by the address of their CDs, as loaded.
    asids: BTreeMap<u64, u16>,
    /// CDs that were stored: they are the taker's own.
    own: BTreeSet<u64>,
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

    /// The log is an adoption's.
    pub(super) fn confirm(self, out: &mut Findings) {
        out.append(self.suspicions);
    }
}
