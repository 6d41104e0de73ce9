//! A host fake of SMMUs and memory: registers that acknowledge, a command queue that is really consumed, sparse RAM.
//!
//! It follows the architecture where a driver waits for it and guards nothing. Knobs make the error paths reachable.

use crate::access::{Access, Barrier, SmmuIndex, Structure, Unbacked};
use crate::frames::Frames;
use crate::spec::command::{COMMAND_BYTES, Command, opcode};
use crate::spec::event::{EVENT_BYTES, Event};
use crate::spec::registers::{self as reg, Cr0, Gbpa, Gerror, Idr0, Idr1, QueueBase};
use addr::PhysAddr;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// RAM of a new [`Fake`].
pub const RAM: Range<u64> = 0x4000_0000..0x8000_0000;

/// One SMMU. The ID registers are those of QEMU 10; change them before use.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Everything that has no behaviour, and the ID registers; a 64-bit register is two words.
    pub registers: BTreeMap<u32, u32>,
    /// Every command consumed, in order.
    pub commands: Vec<Command>,
    /// CR0ACK keeps its value for ever.
    pub freeze_cr0ack: bool,
    /// IRQ_CTRLACK keeps its value for ever.
    pub freeze_irq_ctrlack: bool,
    /// GBPA.Update never reads 0 after a write.
    pub freeze_gbpa: bool,
    /// The command queue consumes nothing.
    pub freeze_cmdq: bool,
    /// GBPA.Update reads 1 so many times after a write.
    pub gbpa_delay: u32,
    gbpa_pending: Option<(u32, u32)>,
}

impl Default for Unit {
    fn default() -> Self {
        let registers = BTreeMap::from([
            (reg::IDR0, 0x0D44_101B),
            (reg::IDR1, 0x0273_0010),
            (reg::IDR3, 0x1414),
            (reg::IDR5, 0x74),
            (reg::AIDR, 1),
            (reg::GBPA, 0x1000),
        ]);
        Self {
            registers,
            commands: Vec::new(),
            freeze_cr0ack: false,
            freeze_irq_ctrlack: false,
            freeze_gbpa: false,
            freeze_cmdq: false,
            gbpa_delay: 0,
            gbpa_pending: None,
        }
    }
}

impl Unit {
    /// The value of a register, without side effects.
    #[must_use]
    pub fn get(&self, offset: u32) -> u32 {
        self.registers.get(&offset).copied().unwrap_or(0)
    }

    /// Sets a register, without side effects.
    pub fn set(&mut self, offset: u32, value: u32) {
        self.registers.insert(offset, value);
    }

    /// The value of a 64-bit register, without side effects.
    #[must_use]
    pub fn get64(&self, offset: u32) -> u64 {
        u64::from(self.get(offset)) | u64::from(self.get(offset + 4)) << 32
    }

    /// Sets a 64-bit register, without side effects.
    pub fn set64(&mut self, offset: u32, value: u64) {
        self.set(offset, value as u32);
        self.set(offset + 4, (value >> 32) as u32);
    }

    /// SMMU_IDR0.
    #[must_use]
    pub fn idr0(&self) -> Idr0 {
        Idr0::from(self.get(reg::IDR0))
    }

    /// Changes SMMU_IDR0.
    pub fn edit_idr0(&mut self, edit: impl FnOnce(Idr0) -> Idr0) {
        let edited = edit(self.idr0());
        self.set(reg::IDR0, edited.into());
    }

    fn idr1(&self) -> Idr1 {
        Idr1::from(self.get(reg::IDR1))
    }

    fn read(&mut self, offset: u32) -> u32 {
        if offset == reg::GBPA
            && let Some((value, left)) = self.gbpa_pending
        {
            if self.freeze_gbpa || left > 0 {
                self.gbpa_pending = Some((value, left.saturating_sub(1)));
                return self.get(offset) | u32::from(Gbpa::new().with_update(true));
            }
            self.gbpa_pending = None;
            self.set(reg::GBPA, value);
        }
        self.get(offset)
    }

    fn write(&mut self, offset: u32, value: u32) {
        match offset {
            reg::CR0 => {
                self.set(offset, value);
                if !self.freeze_cr0ack {
                    self.set(reg::CR0ACK, value & self.implemented_cr0());
                }
            }
            reg::IRQ_CTRL => {
                self.set(offset, value);
                if !self.freeze_irq_ctrlack {
                    self.set(reg::IRQ_CTRLACK, value & 7);
                }
            }
            // 6.3.14: without Update a write has no effect; the attributes change when Update has returned to 0.
            reg::GBPA if Gbpa::from(value).update() => {
                self.gbpa_pending = Some((Gbpa::from(value).with_update(false).into(), self.gbpa_delay));
            }
            reg::GBPA | reg::CR0ACK | reg::IRQ_CTRLACK | reg::GERROR | reg::IDR0..=reg::AIDR => {}
            _ => self.set(offset, value),
        }
    }

    fn implemented_cr0(&self) -> u32 {
        let idr0 = self.idr0();
        Cr0::new()
            .with_smmuen(true)
            .with_eventqen(true)
            .with_cmdqen(true)
            .with_priqen(idr0.pri())
            .with_atschk(idr0.ats())
            .with_vmw(if idr0.vmw() { 7 } else { 0 })
            .into()
    }

    /// GERROR bits that are active now.
    #[must_use]
    pub fn active_errors(&self) -> Gerror {
        Gerror::from(self.get(reg::GERROR) ^ self.get(reg::GERRORN))
    }

    /// Makes global errors active that are not yet.
    pub fn raise(&mut self, errors: Gerror) {
        let fresh = u32::from(errors) & !u32::from(self.active_errors());
        self.set(reg::GERROR, self.get(reg::GERROR) ^ fresh);
    }

    fn refuses(&self, command: Command) -> bool {
        let known = match command[0] as u8 {
            0x01..=0x06 | 0x10..=0x13 | 0x28 | 0x2A | opcode::TLBI_NSNH_ALL | opcode::SYNC => true,
            0x20..=0x23 => self.idr0().hyp(),
            0x40 => self.idr0().ats(),
            0x41 => self.idr0().pri(),
            _ => false,
        };
        !known
    }
}

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
        self.unit(smmu).set64(offset, value);
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
