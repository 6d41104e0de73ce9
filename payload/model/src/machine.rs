//! SMMUs, memory and PCI functions together: an [`Access`] for the code under test.

use crate::bus::Bus;
use crate::choice::Choices;
use crate::function::{Function, Outcome, Record, Seen};
use crate::hardware::Hardware;
use crate::memory::Memory;
use crate::unit::{Guard, Unit};
use crate::walk::{Request, Translated, translate};
use addr::PhysAddr;
use smmu::access::{Access, Barrier, SmmuIndex, Structure, Unbacked};
use smmu::frames::Frames;
use std::ops::Range;

/// RAM of a new [`Machine`].
pub const RAM: Range<u64> = 0x4000_0000..0x8000_0000;
/// Stray stores kept.
const MOST_STRAY: usize = 64;
/// Parts of a fill, between which DMA is tried.
const FILL_PARTS: u32 = 4;

/// When functions do DMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Only when asked to.
    Off,
    /// After every access of the CPU, each live function through each of its windows.
    EveryAccess,
    /// After every n-th access.
    OneIn(u64),
}

/// A machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Memory and choices.
    pub bus: Bus,
    /// The SMMUs, by [`SmmuIndex`].
    pub units: Vec<Unit>,
    /// The functions.
    pub functions: Vec<Function>,
    /// When these do DMA.
    pub schedule: Schedule,
    /// What became of it.
    pub record: Record,
    /// Stores that met no memory, the first few.
    pub stray_stores: Vec<PhysAddr>,
    /// Structure words that the CPU read.
    pub loads: u64,
    accesses: u64,
    ticks: u64,
    step: &'static str,
}

impl Machine {
    /// One SMMU and [`RAM`].
    #[must_use]
    pub fn new(hardware: Hardware, choices: Choices) -> Self {
        Self::with_memory(&[hardware], Memory::new(RAM), choices)
    }

    /// Any number of SMMUs before `memory`.
    #[must_use]
    pub fn with_memory(hardware: &[Hardware], memory: Memory, choices: Choices) -> Self {
        Self {
            bus: Bus::new(memory, choices),
            units: hardware.iter().map(|hardware| Unit::new(*hardware)).collect(),
            functions: Vec::new(),
            schedule: Schedule::Off,
            record: Record::default(),
            stray_stores: Vec::new(),
            loads: 0,
            accesses: 0,
            ticks: 0,
            step: "",
        }
    }

    /// The SMMU behind `smmu`.
    pub fn unit(&mut self, smmu: SmmuIndex) -> &mut Unit {
        &mut self.units[usize::from(smmu.0)]
    }

    /// Accesses of the CPU so far.
    #[must_use]
    pub const fn accesses(&self) -> u64 {
        self.accesses
    }

    /// One transaction of a function through one of its windows, now.
    pub fn dma(&mut self, function: usize, window: usize) -> Outcome {
        let Function { smmu, stream, substream, ref windows, .. } = self.functions[function];
        let window_of = windows[window];
        let request = Request {
            stream: stream.0,
            substream,
            address: window_of.iova.0,
            bytes: window_of.bytes,
            write: window_of.write,
        };
        let unit = &mut self.units[usize::from(smmu.0)];
        let Translated { ste, cd, result } = translate(unit, &mut self.bus, &request);
        let outcome = match result {
            Err(stop) => Outcome::Blocked(stop),
            Ok((pa, path)) if Some(pa) == window_of.target => Outcome::Delivered(pa, path),
            Ok((pa, path)) => Outcome::MisSteered(pa, path),
        };
        self.record.add(Seen { access: self.accesses, function, window, outcome, ste, cd, step: self.step, count: 1 });
        outcome
    }

    /// Every live function through each of its windows.
    pub fn dma_all(&mut self) {
        for function in 0..self.functions.len() {
            if self.functions[function].live {
                for window in 0..self.functions[function].windows.len() {
                    self.dma(function, window);
                }
            }
        }
    }

    /// The hardware goes on after an access.
    fn passed(&mut self) {
        self.accesses += 1;
        self.ticks += 1;
        for unit in &mut self.units {
            unit.advance(&mut self.bus);
        }
        let due = match self.schedule {
            Schedule::Off => false,
            Schedule::EveryAccess => true,
            Schedule::OneIn(n) => self.accesses.is_multiple_of(n),
        };
        if due {
            self.dma_all();
        }
    }
}

impl Access for Machine {
    fn read32(&mut self, smmu: SmmuIndex, offset: u32) -> u32 {
        let value = self.unit(smmu).read32(offset);
        self.passed();
        value
    }

    fn write32(&mut self, smmu: SmmuIndex, offset: u32, value: u32) {
        let unit = &mut self.units[usize::from(smmu.0)];
        unit.write32(&mut self.bus, offset, value);
        self.passed();
    }

    fn read64(&mut self, smmu: SmmuIndex, offset: u32) -> u64 {
        let value = self.unit(smmu).read64(offset);
        self.passed();
        value
    }

    fn write64(&mut self, smmu: SmmuIndex, offset: u32, value: u64) {
        let unit = &mut self.units[usize::from(smmu.0)];
        unit.write64(&mut self.bus, offset, value);
        self.passed();
    }

    fn load(&mut self, _: SmmuIndex, _: Structure, at: PhysAddr) -> Result<u64, Unbacked> {
        assert!(at.is_aligned(8), "unaligned structure word {at}");
        self.loads += 1;
        let value = self.bus.memory.peek(at).ok_or(Unbacked(at));
        self.passed();
        value
    }

    fn store(&mut self, smmu: SmmuIndex, _: Structure, at: PhysAddr, value: u64) {
        assert!(at.is_aligned(8), "unaligned structure word {at}");
        if self.bus.is_updated(at) {
            self.unit(smmu).violate(Guard::PlainStore, 0, at.0);
        }
        if !self.bus.store(at, value) && self.stray_stores.len() < MOST_STRAY {
            self.stray_stores.push(at);
        }
        self.passed();
    }

    fn fill(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr, stride: u32, count: u32, value: u64) {
        let part = count.div_ceil(FILL_PARTS).max(1);
        for index in 0..count {
            let at = at.plus(u64::from(index) * u64::from(stride));
            if (index + 1).is_multiple_of(part) || index + 1 == count {
                self.store(smmu, what, at, value);
            } else {
                self.bus.store(at, value);
            }
        }
    }

    fn swap(&mut self, _: SmmuIndex, _: Structure, at: PhysAddr, value: u64) -> Result<u64, Unbacked> {
        assert!(at.is_aligned(8), "unaligned structure word {at}");
        let old = self.bus.exchange(at, value).ok_or(Unbacked(at));
        self.passed();
        old
    }

    fn barrier(&mut self, barrier: Barrier) {
        match barrier {
            // Both are a DSB on the board: complete, not only ordered.
            Barrier::PublishStructure | Barrier::BeforeDoorbell => self.bus.publish(),
            Barrier::AfterIndexRead => {}
        }
        self.passed();
    }

    fn ticks(&mut self) -> u64 {
        self.ticks
    }

    fn frequency(&self) -> u64 {
        1_000_000
    }

    fn pause(&mut self) {
        self.ticks += 49;
        self.passed();
    }

    fn step(&mut self, name: &'static str) {
        self.step = name;
    }
}

/// A bump allocator over RAM that nobody has used.
#[derive(Clone, Debug)]
pub struct FreshFrames {
    /// What is left.
    pub free: Range<u64>,
}

impl Default for FreshFrames {
    /// The upper three quarters of [`RAM`].
    fn default() -> Self {
        Self { free: RAM.start + 0x1000_0000..RAM.end }
    }
}

impl Frames for FreshFrames {
    fn allocate(&mut self, bytes: u64, alignment: u64) -> Option<PhysAddr> {
        let start = self.free.start.checked_next_multiple_of(alignment)?;
        let end = start.checked_add(bytes).filter(|end| *end <= self.free.end)?;
        self.free.start = end;
        Some(PhysAddr(start))
    }
}
