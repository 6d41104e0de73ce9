//! One SMMU as the log has made it so far: registers, and who is told of what.

use super::adoption::Adoption;
use super::control::{Acked, BypassAttributes};
use super::enable::{Caches, QueueInit};
use super::findings::Findings;
use super::found::{Coverage, Found, Ids};
use super::profile::Profiles;
use super::queue::Queue;
use super::rules::Rule;
use super::structures::Structures;
use crate::access::{Barrier, SmmuIndex};
use crate::log::{Entry, Op, What};
use crate::spec::registers as reg;
use alloc::collections::BTreeMap;
use alloc::string::String;

/// The last barriers; they order all SMMUs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Barriers {
    /// Any that makes earlier stores visible.
    pub(super) any: Option<u64>,
    /// One that publishes structures.
    pub(super) publish: Option<u64>,
}

impl Barriers {
    /// By name: what is only meant for queue entries publishes no structure.
    pub(super) fn take(&mut self, barrier: Barrier, index: u64) {
        match barrier {
            Barrier::PublishStructure => (self.any, self.publish) = (Some(index), Some(index)),
            Barrier::BeforeDoorbell => self.any = Some(index),
            Barrier::AfterIndexRead => {}
        }
    }
}

/// Where an entry stands.
pub(super) struct Context<'a> {
    pub(super) index: u64,
    pub(super) smmu: SmmuIndex,
    pub(super) ids: &'a Ids,
    pub(super) coverage: Coverage,
    pub(super) barriers: Barriers,
    pub(super) out: &'a mut Findings,
}

impl Context<'_> {
    /// Adds a rule that this entry breaks, with the entries before it that prove it.
    pub(super) fn add(&mut self, rule: &'static Rule, before: &[Option<u64>], text: String) {
        let mut entries = [None; 4];
        for (place, entry) in entries.iter_mut().zip(before.iter().copied().chain([Some(self.index)])) {
            *place = entry;
        }
        self.out.add(rule, self.smmu, &entries, text);
    }
}

/// One SMMU.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) ids: Ids,
    pub(super) cr0: Acked,
    pub(super) irq_ctrl: Acked,
    pub(super) gbpa: BypassAttributes,
    pub(super) gerror: u32,
    pub(super) gerrorn: u32,
    pub(super) cr1: u32,
    pub(super) strtab_base_cfg: u32,
    /// Log entry of the last write to STRTAB_*.
    pub(super) strtab_at: Option<u64>,
    pub(super) gatos_running: bool,
    /// Values of 64-bit registers.
    pub(super) long: BTreeMap<u32, u64>,
    /// Command, event and PRI queue.
    pub(super) init: [QueueInit; 3],
    pub(super) queue: Queue,
    pub(super) caches: Caches,
    pub(super) structures: Structures,
    pub(super) profiles: Profiles,
    pub(super) adoption: Adoption,
}

impl Unit {
    pub(super) fn new(found: &Found, coverage: Coverage) -> Self {
        Self {
            ids: found.ids(),
            cr0: Acked::new(found.cr0, found.cr0ack),
            irq_ctrl: Acked::new(found.irq_ctrl, found.irq_ctrlack),
            gbpa: BypassAttributes::new(found.gbpa),
            gerror: found.gerror,
            gerrorn: found.gerrorn,
            cr1: found.cr1,
            strtab_base_cfg: found.strtab_base_cfg,
            strtab_at: None,
            gatos_running: false,
            long: BTreeMap::from([(reg::STRTAB_BASE, found.strtab_base), (reg::CMDQ_BASE, found.cmdq_base)]),
            init: [QueueInit::default(); 3],
            queue: Queue::new(found),
            caches: Caches::default(),
            structures: Structures::default(),
            profiles: Profiles::new(found, coverage),
            adoption: Adoption::default(),
        }
    }

    /// Takes an entry of this SMMU.
    pub(super) fn take(&mut self, cx: &mut Context<'_>, entry: &Entry) {
        let offset = entry.address as u32;
        match (entry.op, entry.what) {
            (Op::RegRead32, What::Register) => self.read(cx, offset, entry.value, entry.count),
            (Op::RegRead64, What::Register) if reg::LONG.contains(&offset) => {
                self.read(cx, offset, entry.value, entry.count);
            }
            (Op::RegRead64, What::Register) => {
                self.read(cx, offset, entry.value & 0xFFFF_FFFF, entry.count);
                self.read(cx, offset.wrapping_add(4), entry.value >> 32, entry.count);
            }
            (Op::RegWrite32, What::Register) => self.half(cx, offset, entry.value as u32),
            (Op::RegWrite64, What::Register) if reg::LONG.contains(&offset) => self.write(cx, offset, entry.value),
            (Op::RegWrite64, What::Register) => {
                self.half(cx, offset, entry.value as u32);
                self.half(cx, offset.wrapping_add(4), (entry.value >> 32) as u32);
            }
            (Op::Store | Op::Fill | Op::Load, What::Structure(_)) => self.memory(cx, entry),
            _ => {}
        }
    }

    /// A 32-bit write, perhaps of half a register.
    fn half(&mut self, cx: &mut Context<'_>, offset: u32, value: u32) {
        let value = u64::from(value);
        let old = |base: u32| self.long.get(&base).copied().unwrap_or(0);
        if reg::LONG.contains(&offset) {
            let whole = old(offset) & !0xFFFF_FFFF | value;
            self.write(cx, offset, whole);
        } else if let Some(base) = offset.checked_sub(4).filter(|base| reg::LONG.contains(base)) {
            let whole = old(base) & 0xFFFF_FFFF | value << 32;
            self.write(cx, base, whole);
        } else {
            self.write(cx, offset, value);
        }
    }

    /// What reading a register tells.
    fn read(&mut self, cx: &Context<'_>, offset: u32, value: u64, count: u32) {
        let word = value as u32;
        match offset {
            reg::CR0 => self.cr0.written = word,
            reg::CR0ACK => self.acknowledged(cx, word),
            reg::IRQ_CTRLACK => self.irq_ctrl.acked = word,
            reg::GBPA => self.gbpa.read(word),
            reg::GERROR => self.gerror = word,
            reg::GERRORN => self.gerrorn = word,
            reg::CMDQ_CONS => {
                for sent in self.queue.consume(cx, word) {
                    self.caches.complete(&cx.ids.idr0, &sent);
                    self.structures.complete(&sent);
                }
            }
            super::guards::GATOS_CTRL => self.gatos_running = word & 1 != 0,
            reg::STRTAB_BASE_CFG => self.strtab_base_cfg = word,
            base if reg::LONG.contains(&base) => {
                self.long.insert(base, value);
            }
            _ => {}
        }
        self.profiles.read(offset, word, count, self.queue.is_drained());
    }

    /// The table in force or about to be.
    pub(super) fn strtab_base(&self) -> u64 {
        self.long.get(&reg::STRTAB_BASE).copied().unwrap_or(0)
    }

    fn memory(&mut self, cx: &mut Context<'_>, entry: &Entry) {
        use crate::access::Structure;
        let What::Structure(structure) = entry.what else { return };
        let is_store = entry.op != Op::Load;
        if structure == Structure::Command && is_store {
            self.queue.store(entry, cx.index);
        }
        let geometry = self.geometry();
        self.structures.take(cx, &geometry, entry, structure);
        self.adoption.memory(cx, entry, structure, self.profiles.adoption_goes_on());
        self.profiles.memory(cx, &geometry, entry, structure);
    }
}
