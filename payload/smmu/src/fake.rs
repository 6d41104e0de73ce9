//! A host fake of SMMUs and memory: registers that acknowledge, a command queue that is really consumed, sparse RAM.
//!
//! It follows the architecture where a driver waits for it and guards nothing. Knobs make the error paths reachable.

pub mod crashed;
mod unit;

pub use unit::Unit;

use crate::access::{Access, Barrier, SmmuIndex, Structure, Unbacked};
use crate::frames::Frames;
use crate::spec::command::COMMAND_BYTES;
use crate::spec::event::{EVENT_BYTES, Event};
use crate::spec::registers::{self as reg, Cr0, Gerror, QueueBase};
use crate::takeover::Site;
use addr::PhysAddr;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// RAM of a new [`Fake`].
pub const RAM: Range<u64> = 0x4000_0000..0x8000_0000;

/// SMMUs, RAM and a clock of 1 MHz that every access moves.
#[derive(Clone, Debug)]
pub struct Fake {
    /// The SMMUs, by [`SmmuIndex`].
    pub units: Vec<Unit>,
    /// Where memory answers.
    pub ram: Vec<Range<u64>>,
    /// Names given to [`Access::step`], in order.
    pub steps: Vec<&'static str>,
    /// Stores that met no memory.
    pub stray_stores: Vec<PhysAddr>,
    memory: BTreeMap<u64, u64>,
    ticks: u64,
}

impl Default for Fake {
    fn default() -> Self {
        Self::with_units(1)
    }
}

impl Fake {
    /// `count` SMMUs as QEMU has them, and [`RAM`].
    #[must_use]
    pub fn with_units(count: usize) -> Self {
        Self {
            units: vec![Unit::default(); count],
            ram: vec![RAM],
            steps: Vec::new(),
            stray_stores: Vec::new(),
            memory: BTreeMap::new(),
            ticks: 0,
        }
    }

    /// The SMMU behind `smmu`.
    pub fn unit(&mut self, smmu: SmmuIndex) -> &mut Unit {
        &mut self.units[usize::from(smmu.0)]
    }

    /// Reads memory behind the policy's back; 0 where nothing was written.
    #[must_use]
    pub fn peek(&self, at: PhysAddr) -> u64 {
        self.memory.get(&at.0).copied().unwrap_or(0)
    }

    /// Writes memory behind the policy's back.
    pub fn poke(&mut self, at: PhysAddr, value: u64) {
        assert!(at.is_aligned(8), "unaligned structure word {at}");
        self.memory.insert(at.0, value);
    }

    /// Every word that was ever written, for comparisons.
    #[must_use]
    pub fn memory(&self) -> &BTreeMap<u64, u64> {
        &self.memory
    }

    /// The SMMU writes an event: lost, with OVFLG toggled, when the queue is full (IHI 0070, 7.4).
    pub fn push_event(&mut self, smmu: SmmuIndex, event: Event) {
        let unit = self.unit(smmu);
        let base = QueueBase::from(unit.get64(reg::EVENTQ_BASE));
        let size = 1_u32 << base.log2size().min(unit.idr1().eventqs());
        let (prod, cons) = (unit.get(reg::EVENTQ_PROD), unit.get(reg::EVENTQ_CONS));
        let mask = 2 * size - 1;
        if (prod ^ cons) & mask == size {
            if (prod ^ cons) >> 31 == 0 {
                unit.set(reg::EVENTQ_PROD, prod ^ 1 << 31);
            }
            return;
        }
        unit.set(reg::EVENTQ_PROD, prod & 1 << 31 | (prod + 1) & mask);
        let at = base.addr() + u64::from(prod & (size - 1)) * EVENT_BYTES;
        for (word, address) in event.iter().zip((at..).step_by(8)) {
            self.poke(PhysAddr(address), *word);
        }
    }

    fn backed(&self, at: PhysAddr) -> bool {
        self.ram.iter().any(|range| range.contains(&at.0))
    }

    fn consume(&mut self, smmu: SmmuIndex) {
        loop {
            let unit = self.unit(smmu);
            let enabled = Cr0::from(unit.get(reg::CR0ACK)).cmdqen();
            if !enabled || unit.freeze_cmdq || unit.active_errors().cmdq_err() {
                return;
            }
            let base = QueueBase::from(unit.get64(reg::CMDQ_BASE));
            let size = 1_u32 << base.log2size().min(unit.idr1().cmdqs());
            let mask = 2 * size - 1;
            let cons = unit.get(reg::CMDQ_CONS) & mask;
            if cons == unit.get(reg::CMDQ_PROD) & mask {
                return;
            }
            let at = PhysAddr(base.addr() + u64::from(cons & (size - 1)) * COMMAND_BYTES);
            let command = [self.peek(at), self.peek(at.plus(8))];
            let backed = self.backed(at);
            let unit = self.unit(smmu);
            // CERROR_ABT 2, CERROR_ILL 1 in CMDQ_CONS.ERR (7.1).
            let error = if !backed { 2 } else { u32::from(unit.refuses(command)) };
            if error != 0 {
                unit.set(reg::CMDQ_CONS, error << 24 | cons);
                unit.raise(Gerror::new().with_cmdq_err(true));
                return;
            }
            unit.commands.push(command);
            unit.set(reg::CMDQ_CONS, (cons + 1) & mask);
        }
    }
}

impl Access for Fake {
    fn read32(&mut self, smmu: SmmuIndex, offset: u32) -> u32 {
        self.ticks += 1;
        self.unit(smmu).read(offset)
    }

    fn write32(&mut self, smmu: SmmuIndex, offset: u32, value: u32) {
        self.ticks += 1;
        self.unit(smmu).write(offset, value);
        if matches!(offset, reg::CMDQ_PROD | reg::CR0 | reg::GERRORN) {
            self.consume(smmu);
        }
    }

    fn read64(&mut self, smmu: SmmuIndex, offset: u32) -> u64 {
        self.ticks += 1;
        self.unit(smmu).get64(offset)
    }

    fn write64(&mut self, smmu: SmmuIndex, offset: u32, value: u64) {
        self.ticks += 1;
        let unit = self.unit(smmu);
        if offset != reg::STRTAB_BASE || !unit.guards_strtab || !Cr0::from(unit.get(reg::CR0ACK)).smmuen() {
            unit.set64(offset, value);
        }
    }

    fn load(&mut self, _: SmmuIndex, _: Structure, at: PhysAddr) -> Result<u64, Unbacked> {
        self.ticks += 1;
        assert!(at.is_aligned(8), "unaligned structure word {at}");
        if self.backed(at) { Ok(self.peek(at)) } else { Err(Unbacked(at)) }
    }

    fn store(&mut self, _: SmmuIndex, _: Structure, at: PhysAddr, value: u64) {
        self.ticks += 1;
        if self.backed(at) {
            self.poke(at, value);
        } else {
            self.stray_stores.push(at);
        }
    }

    fn swap(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr, value: u64) -> Result<u64, Unbacked> {
        let old = self.load(smmu, what, at)?;
        self.poke(at, value);
        Ok(old)
    }

    fn barrier(&mut self, _: Barrier) {}

    fn ticks(&mut self) -> u64 {
        self.ticks
    }

    fn frequency(&self) -> u64 {
        1_000_000
    }

    fn pause(&mut self) {
        self.ticks += 50;
    }

    fn step(&mut self, name: &'static str) {
        self.steps.push(name);
    }
}

/// A takeover as the tests ask for it; what one of them wants otherwise it says by `..site(…)`. `own` is the taker's memory,
/// and `frames` what it allocates from.
pub fn site(smmu: SmmuIndex, own: Range<PhysAddr>, frames: &mut dyn Frames) -> Site<'_> {
    Site {
        smmu,
        coherent: None,
        cpu_is_vhe: false,
        queue_cap_log2: 8,
        timeout_us: 1000,
        own,
        frames,
        rmr_streams: &[],
        attach: &[],
    }
}

/// A bump allocator over fresh RAM of the fake.
#[derive(Clone, Debug)]
pub struct FakeFrames {
    /// What is left.
    pub free: Range<u64>,
}

impl Default for FakeFrames {
    fn default() -> Self {
        Self { free: RAM.start + 0x1000_0000..RAM.end }
    }
}

impl Frames for FakeFrames {
    fn allocate(&mut self, bytes: u64, alignment: u64) -> Option<PhysAddr> {
        let start = self.free.start.checked_next_multiple_of(alignment)?;
        let end = start.checked_add(bytes).filter(|end| *end <= self.free.end)?;
        self.free.start = end;
        Some(PhysAddr(start))
    }
}
