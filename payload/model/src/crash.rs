//! What a crashed kernel leaves: stream tables of every form, contexts, translation tables, queues, an enabled SMMU.
//!
//! Everything is written straight into memory; none of it passes through the code under test.

use crate::choice::Choices;
use crate::function::{Function, Window};
use crate::hardware::Hardware;
use crate::machine::{Machine, RAM};
use crate::memory::Memory;
use addr::{Iova, PhysAddr, StreamId};
use smmu::access::SmmuIndex;
use smmu::spec::registers::{self as reg, Cr0, QueueBase, StrtabBase, StrtabBaseCfg};
use smmu::spec::ste::{STE_BYTES, Ste};

/// Form of a stream table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One array.
    Linear,
    /// Two levels.
    TwoLevel {
        /// Bits that level 2 resolves: 6, 8 or 10.
        split: u8,
    },
}

/// What an STE does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// V=0.
    Invalid,
    /// Config 0b000.
    Abort,
    /// Config 0b100.
    Bypass,
    /// Config 0b101.
    Stage1 {
        /// ASID of CD 0; further CDs have the ones after it.
        asid: u16,
        /// log2 of the number of CDs.
        cd_max: u8,
        /// S1Fmt: 0 linear, 1 with 4 KiB leaves, 2 with 64 KiB leaves.
        cd_format: u8,
    },
    /// Config 0b101 in the EL2 regime (STRW 2).
    El2 {
        /// ASID.
        asid: u16,
    },
    /// Config 0b110.
    Stage2 {
        /// VMID.
        vmid: u16,
    },
    /// Config 0b111.
    Nested {
        /// VMID.
        vmid: u16,
        /// ASID.
        asid: u16,
    },
}

impl Kind {
    /// Stage 1 through one CD.
    #[must_use]
    pub const fn stage1(asid: u16) -> Self {
        Self::Stage1 { asid, cd_max: 0, cd_format: 0 }
    }

    /// DMA of such a stream arrives somewhere.
    #[must_use]
    pub const fn delivers(self) -> bool {
        !matches!(self, Self::Invalid | Self::Abort)
    }
}

/// A stream of the crashed kernel: one page of input addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// StreamID.
    pub id: u32,
    /// What its STE does.
    pub kind: Kind,
    /// The page that it uses.
    pub iova: u64,
    /// Where that page is; `iova` itself for a bypass.
    pub target: u64,
}

impl Stream {
    /// Its function, doing DMA to the page.
    #[must_use]
    pub fn function(&self) -> Function {
        let target = match self.kind {
            Kind::Bypass => Some(PhysAddr(self.iova)),
            kind => kind.delivers().then_some(PhysAddr(self.target)),
        };
        Function::new(StreamId(self.id), &[Window { iova: Iova(self.iova), target, bytes: 64, write: true }])
    }
}

/// Memory that the crashed kernel used.
const FIRST: u64 = RAM.start + 0x10_0000;

/// Builds a crashed machine.
pub struct Builder {
    /// The machine so far.
    pub machine: Machine,
    /// First byte of the stream table.
    pub table: PhysAddr,
    format: Format,
    log2size: u8,
    next: u64,
    level2: Vec<(u32, PhysAddr)>,
}

impl Builder {
    /// An empty stream table of 2^`log2size` streams: of a linear one all STEs abort.
    #[must_use]
    pub fn new(hardware: Hardware, choices: Choices, format: Format, log2size: u8) -> Self {
        let machine = Machine::new(hardware, choices);
        let mut builder = Self { machine, table: PhysAddr(0), format, log2size, next: FIRST, level2: Vec::new() };
        builder.table = match format {
            Format::Linear => {
                let table = builder.allocate(STE_BYTES << log2size);
                builder.abort_all(table, 1 << log2size);
                table
            }
            Format::TwoLevel { split } => builder.allocate((8 << log2size.saturating_sub(split)).max(64)),
        };
        builder
    }

    /// Zeroed memory at a multiple of its size.
    pub fn allocate(&mut self, bytes: u64) -> PhysAddr {
        let bytes = bytes.next_power_of_two().max(64);
        let at = self.next.next_multiple_of(bytes);
        self.next = at + bytes;
        PhysAddr(at)
    }

    /// The machine's memory.
    pub const fn memory(&mut self) -> &mut Memory {
        &mut self.machine.bus.memory
    }

    fn abort_all(&mut self, table: PhysAddr, count: u64) {
        for index in 0..count {
            self.memory().poke(table.plus(index * STE_BYTES), 1);
        }
    }

    /// Where the STE of `stream` is; makes its level 2.
    pub fn ste_address(&mut self, stream: u32) -> PhysAddr {
        let Format::TwoLevel { split } = self.format else {
            return self.table.plus(u64::from(stream) * STE_BYTES);
        };
        let (index, entry) = (stream >> split, u64::from(stream & ((1 << split) - 1)));
        let known = self.level2.iter().find(|(known, _)| *known == index).map(|(_, at)| *at);
        let level2 = known.unwrap_or_else(|| {
            let at = self.allocate(STE_BYTES << split);
            self.abort_all(at, 1 << split);
            let descriptor = self.table.plus(u64::from(index) * 8);
            self.memory().poke(descriptor, at.0 | u64::from(split + 1));
            self.level2.push((index, at));
            at
        });
        level2.plus(entry * STE_BYTES)
    }

    /// Adds a stream and its live function; returns the address of its STE.
    pub fn stream(&mut self, stream: &Stream) -> PhysAddr {
        let ste = self.ste(stream);
        let at = self.ste_address(stream.id);
        for (word, offset) in ste.iter().zip((0..).step_by(8)) {
            self.memory().poke(at.plus(offset), *word);
        }
        self.machine.functions.push(stream.function());
        at
    }

    fn ste(&mut self, stream: &Stream) -> Ste {
        let Stream { iova, target, .. } = *stream;
        match stream.kind {
            Kind::Invalid => [0; 8],
            Kind::Abort => [1, 0, 0, 0, 0, 0, 0, 0],
            Kind::Bypass => [0b1001, 1 << 44, 0, 0, 0, 0, 0, 0],
            Kind::Stage1 { asid, cd_max, cd_format } => {
                let root = stage1_tables(&mut self.machine.bus.memory, &mut self.next, iova, target);
                let table = self.contexts(root, asid, cd_max, cd_format);
                let word0 = 0b1011 | u64::from(cd_format) << 4 | table.0 | u64::from(cd_max) << 59;
                [word0, 0xD6, 0, 0, 0, 0, 0, 0]
            }
            Kind::El2 { asid } => {
                let root = stage1_tables(&mut self.machine.bus.memory, &mut self.next, iova, target);
                let table = self.contexts(root, asid, 0, 0);
                [0b1011 | table.0, 0xD6 | 2 << 30, 0, 0, 0, 0, 0, 0]
            }
            Kind::Stage2 { vmid } => {
                let root = self.stage2(&[(iova, target | 0x7FF, 12)]);
                [0b1101, 0, self.stage2_word(vmid), root.0, 0, 0, 0, 0]
            }
            Kind::Nested { vmid, asid } => {
                let root = stage1_tables(&mut self.machine.bus.memory, &mut self.next, iova, target);
                let cd = self.contexts(root, asid, 0, 0);
                // Everything to itself, by one block of a GiB.
                let stage2 = self.stage2(&[(RAM.start, RAM.start | 0x7FD, 30)]);
                [0b1111 | cd.0, 0xD6, self.stage2_word(vmid), stage2.0, 0, 0, 0, 0]
            }
        }
    }

    /// A CD table; every CD in it translates alike, with an ASID of its own.
    fn contexts(&mut self, root: PhysAddr, asid: u16, max: u8, format: u8) -> PhysAddr {
        let count = 1_u64 << max;
        let leaf = match format {
            1 if max > 0 => 64,
            2 if max > 0 => 1024,
            _ => {
                let table = self.allocate(64 * count);
                self.cds(table, count, root, asid);
                return table;
            }
        };
        let table = self.allocate(count.div_ceil(leaf) * 8);
        for index in 0..count.div_ceil(leaf) {
            // Every second leaf was never needed.
            if index % 2 == 0 {
                let at = self.allocate(leaf * 64);
                self.memory().poke(table.plus(index * 8), at.0 | 1);
                self.cds(at, 1, root, asid.wrapping_add(index as u16));
            }
        }
        table
    }

    fn cds(&mut self, table: PhysAddr, count: u64, root: PhysAddr, asid: u16) {
        for index in 0..count.min(16) {
            let mut words = context_descriptor(root, asid.wrapping_add(index as u16));
            if self.machine.units[0].hardware.idr0.stall_model() == 2 {
                // Where stalls are forced, a CD has to ask for them (5.5).
                words[0] |= CD_S;
            }
            for (word, offset) in words.iter().zip((0..).step_by(8)) {
                self.memory().poke(table.plus(index * 64 + offset), *word);
            }
        }
    }

    /// S2T0SZ 25, start level 1 (SL0=1), write-back, 4 KiB granule, IDR5.OAS, AArch64, faults recorded.
    fn stage2_word(&self, vmid: u16) -> u64 {
        let output = u64::from(self.machine.units[0].hardware.idr5.oas());
        u64::from(vmid) | 25 << 32 | 1 << 38 | 1 << 40 | 1 << 42 | 3 << 44 | output << 48 | 1 << 51 | 1 << 58
    }

    /// Stage-2 tables of 39 bits, 4 KiB granule, start level 1: input, descriptor, log2 of what it covers.
    fn stage2(&mut self, leaves: &[(u64, u64, u32)]) -> PhysAddr {
        let root = self.allocate(4096);
        for (input, descriptor, bits) in leaves {
            install(&mut self.machine.bus.memory, &mut self.next, (root, 39), *input, *descriptor, *bits);
        }
        root
    }

    /// Registers as the crashed kernel had them, SMMUEN=1, both queues on.
    #[must_use]
    pub fn crashed(mut self) -> Machine {
        let commands = self.allocate(16 << 8);
        let events = self.allocate(32 << 8);
        let mut config = StrtabBaseCfg::new().with_log2size(self.log2size);
        if let Format::TwoLevel { split } = self.format {
            config = config.with_fmt(1).with_split(split);
        }
        let base = StrtabBase::new().with_addr(self.table.0).with_ra(true);
        let unit = self.machine.unit(SmmuIndex(0));
        unit.set(reg::CR1, 0xD75);
        unit.set(reg::CR2, 6);
        unit.set(reg::IRQ_CTRL, 5);
        unit.set(reg::IRQ_CTRLACK, 5);
        unit.set64(reg::STRTAB_BASE, base.into());
        unit.set(reg::STRTAB_BASE_CFG, config.into());
        let queue = |at: PhysAddr| QueueBase::new().with_log2size(8).with_addr(at.0).with_allocate(true);
        unit.set64(reg::CMDQ_BASE, queue(commands).into());
        unit.set64(reg::EVENTQ_BASE, queue(events).into());
        let cr0 = Cr0::new().with_smmuen(true).with_cmdqen(true).with_eventqen(true);
        unit.force_enabled(cr0.with_atschk(unit.hardware.idr0.ats()));
        self.machine
    }
}

/// CD.S.
const CD_S: u64 = 1 << 44;

/// 48-bit input, 4 KiB granule, 44 bits out, TTB1 off, valid, AArch64, R, A, ASET.
fn context_descriptor(root: PhysAddr, asid: u16) -> [u64; 8] {
    let word0 = 16 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 30 | 1 << 31 | 4 << 32 | 1 << 41 | 7 << 45;
    [word0 | u64::from(asid) << 48, root.0, 0, 0xFF, 0, 0, 0, 0]
}

/// Tables of 48 bits with 4 KiB granule that map one page; `next` is where free memory begins.
pub fn stage1_tables(memory: &mut Memory, next: &mut u64, iova: u64, target: u64) -> PhysAddr {
    let root = table(next);
    install(memory, next, (root, 48), iova & 0xFFFF_FFFF_FFFF, target & !0xFFF | 0xF43, 12);
    root
}

fn table(next: &mut u64) -> PhysAddr {
    let at = next.next_multiple_of(4096);
    *next = at + 4096;
    PhysAddr(at)
}

/// Puts a leaf into tables of 4 KiB granule over `bits` input bits.
fn install(
    memory: &mut Memory,
    next: &mut u64,
    (root, bits): (PhysAddr, u32),
    input: u64,
    descriptor: u64,
    covers: u32,
) {
    let mut at = root;
    let mut shift = 12 + (bits - 12).div_ceil(9) * 9 - 9;
    while shift > covers {
        let entry = at.plus((input >> shift & 511) * 8);
        let known = memory.peek(entry).unwrap_or(0);
        at = if known & 1 == 1 {
            PhysAddr(known & 0xFFFF_FFFF_F000)
        } else {
            let fresh = table(next);
            memory.poke(entry, fresh.0 | 3);
            fresh
        };
        shift -= 9;
    }
    memory.poke(at.plus((input >> shift & 511) * 8), descriptor);
}
