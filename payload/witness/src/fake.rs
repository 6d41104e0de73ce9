//! Kernels for the tests: what real ones do, access by access, as it was measured (Debian's 7.3.4, and the same with revision 7
//! of the adoption series; facts: witness.md 6, adopting-kernel.md 3, 5).

use crate::watch::{Unit, WatchError, Witness};
use addr::PhysAddr;
use smmu::access::{Access, SmmuIndex, Structure};
use smmu::checker::Found;
use smmu::fake::crashed::{L1, L2};
use smmu::fake::{Fake, crashed};
use smmu::observe::Registers;
use smmu::spec::registers as reg;

/// The SMMU, the first.
const SMMU: SmmuIndex = SmmuIndex(0);
/// Where its registers are.
pub const FRAME: u64 = 0x0905_0000;
/// Its command queue.
pub const QUEUE: u64 = 0x6100_0000;
/// Its stream table; its level 2 lies 64 KiB behind it, its CDs 128 KiB.
pub const TABLE: u64 = 0x6110_0000;
/// Where its code is.
pub const PC: u64 = 0xFFFF_8000_8060_0000;

/// The kernel's own view: where it is in its queue.
pub struct Kernel {
    /// SMMU and memory.
    pub hw: Fake,
    /// The SMMU as it was found.
    pub found: Found,
    /// Who watches.
    pub witness: Witness,
    /// Commands that it has written.
    pub prod: u32,
}

impl Default for Kernel {
    fn default() -> Self {
        Self::new()
    }
}

impl Kernel {
    /// A crashed SMMU, and a kernel that has done nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let mut hw = crashed::crashed();
        let found = Found::from(&Registers::read(&mut hw, SMMU));
        let witness = Witness::new(&mut hw, [Unit::new(PhysAddr(FRAME), &found)], 1 << 14);
        Self { hw, found, witness, prod: 0 }
    }

    /// Reads a register.
    pub fn read(&mut self, offset: u32) -> u32 {
        let at = PhysAddr(FRAME + u64::from(offset));
        self.witness.load(&mut self.hw, PC, at, 4).expect("a register") as u32
    }

    /// Reads registers one after the other.
    pub fn reads(&mut self, offsets: &[u32]) {
        for offset in offsets {
            self.read(*offset);
        }
    }

    /// Writes a register.
    pub fn write(&mut self, offset: u32, value: u32) {
        let at = PhysAddr(FRAME + u64::from(offset));
        self.witness.store(&mut self.hw, PC + 4, at, 4, value.into()).expect("a register");
    }

    /// Writes a register of 64 bits.
    pub fn write64(&mut self, offset: u32, value: u64) {
        let at = PhysAddr(FRAME + u64::from(offset));
        self.witness.store(&mut self.hw, PC + 8, at, 8, value).expect("a register");
    }

    /// Writes a control register and waits for its acknowledge.
    pub fn acked(&mut self, offset: u32, value: u32) {
        self.write(offset, value);
        assert_eq!(self.read(offset + 4), value);
    }

    /// Stores to memory: only what is watched traps.
    pub fn store(&mut self, at: u64, value: u64) {
        let at = PhysAddr(at);
        if self.witness.pages().any(|page| page.contains(&at.0)) {
            match self.witness.store(&mut self.hw, PC + 12, at, 8, value) {
                Err(WatchError::Unwatched(_)) => {}
                done => return done.expect("a table"),
            }
        }
        self.hw.store(SMMU, Structure::Ste, at, value);
    }

    /// Puts a command into the queue.
    pub fn push(&mut self, command: [u64; 2]) {
        let at = QUEUE + u64::from(self.prod % 256) * 16;
        self.hw.poke(PhysAddr(at), command[0]);
        self.hw.poke(PhysAddr(at + 8), command[1]);
        self.prod += 1;
    }

    /// A command with CMD_SYNC, handed over by one write.
    pub fn command(&mut self, command: [u64; 2]) {
        self.push(command);
        self.push([0x0FC0_2046, 0]);
        self.write(reg::CMDQ_PROD, self.prod);
        assert_eq!(self.read(reg::CMDQ_CONS), self.prod);
    }

    /// What a probe reads.
    pub fn probe(&mut self) {
        self.reads(&[reg::IDR0, reg::IDR1, reg::IDR3, reg::IDR5, reg::IIDR, reg::CR0]);
    }

    /// Sets the command queue up.
    pub fn queue(&mut self) {
        self.write64(reg::CMDQ_BASE, 1 << 62 | QUEUE | 8);
        self.write(reg::CMDQ_PROD, 0);
        self.write(reg::CMDQ_CONS, 0);
    }

    /// Invalidates all that is cached.
    pub fn invalidate(&mut self) {
        self.command([4, 31]);
        self.command([0x30, 0]);
    }

    /// Sets interrupts up.
    pub fn interrupts(&mut self, enabled: u32) {
        self.acked(reg::IRQ_CTRL, 0);
        self.write64(reg::GERROR_IRQ_CFG0, 0);
        self.write64(reg::EVENTQ_IRQ_CFG0, 0);
        self.acked(reg::IRQ_CTRL, enabled);
    }

    /// Everything up to the table registers.
    pub fn reset_begins(&mut self) {
        self.probe();
        self.read(reg::GBPA);
        self.write(reg::GBPA, 0x8010_1000);
        self.read(reg::GBPA);
        self.acked(reg::CR0, 0);
        self.write(reg::CR1, 0xD75);
        self.write(reg::CR2, 6);
    }

    /// Everything behind them.
    pub fn reset_ends(&mut self) {
        self.queue();
        self.acked(reg::CR0, 8);
        self.invalidate();
        self.write64(reg::EVENTQ_BASE, 1 << 62 | 0x6120_0007);
        self.write(reg::EVENTQ_PROD, 0);
        self.write(reg::EVENTQ_CONS, 0);
        self.acked(reg::CR0, 0xC);
        self.interrupts(5);
        self.acked(reg::CR0, 9);
    }

    /// The reset of a released kernel.
    pub fn stock(&mut self) {
        self.reset_begins();
        self.write64(reg::STRTAB_BASE, 1 << 62 | TABLE);
        self.write(reg::STRTAB_BASE_CFG, 0x1_0210);
        self.reset_ends();
    }

    /// First attach of a function under a new table: level 2 is filled before anything leads to it.
    pub fn attach(&mut self, stream: u64, faulty: bool) {
        let (level2, cds) = (TABLE + 0x1_0000, TABLE + 0x2_0000);
        for index in 0..256 {
            self.store(level2 + index * 64, 1);
        }
        self.store(TABLE, level2 | 9);
        self.store(cds + 8, 0x6300_0000);
        self.command([0x05 | stream << 32, 1]);
        self.store(cds, 0x0001_E204_C000_3510);
        self.command([0x05 | stream << 32, 1]);
        let ste = level2 + stream * 64;
        self.store(ste + 8, 0xD6);
        self.command([0x03 | stream << 32, 1]);
        self.store(ste, 0b1011 | cds);
        if !faulty {
            self.command([0x03 | stream << 32, 1]);
        }
        self.push([0x01 | stream << 32, 0]);
        self.write(reg::CMDQ_PROD, self.prod);
    }

    /// The adoption of revision 7, with its reads of the table.
    pub fn adopt_v7(&mut self) {
        self.adopt_looks();
        self.reads_level1(256);
        self.adopt_acts();
    }

    /// What an adoption reads before it reads the table.
    pub fn adopt_looks(&mut self) {
        self.probe();
        self.reads(&[reg::GERROR, reg::GERRORN, reg::STRTAB_BASE_CFG]);
        let at = PhysAddr(FRAME + u64::from(reg::STRTAB_BASE));
        assert_eq!(self.witness.load(&mut self.hw, PC, at, 8), Ok(1 << 62 | L1.0));
    }

    /// Reads so many of the dead kernel's level-1 descriptors.
    pub fn reads_level1(&mut self, count: u64) {
        for index in 0..count {
            let word = self.witness.load(&mut self.hw, PC + 16, PhysAddr(L1.0 + index * 8), 8);
            assert_eq!(word, Ok(if index == 0 { L2.0 | 9 } else { 0 }));
        }
    }

    /// From its first write on.
    pub fn adopt_acts(&mut self) {
        self.read(reg::CR0);
        self.acked(reg::CR0, 1);
        self.reads(&[reg::GERROR, reg::GERRORN]);
        self.adopt_ends();
    }

    /// From the command queue on.
    pub fn adopt_ends(&mut self) {
        self.queue();
        self.acked(reg::CR0, 9);
        self.invalidate();
        self.interrupts(1);
        self.acked(reg::CR0, 9);
    }

    /// The attach of a function under the dead kernel's table: one store to its STE.
    pub fn adopted_attach(&mut self, stream: u64, asid: u64) {
        let (cds, ste) = (TABLE + 0x2_0000 + stream * 64, L2.0 + stream * 64);
        self.store(cds + 8, 0x6300_0000);
        self.command([0x05 | stream << 32, 1]);
        self.store(cds, asid << 48 | 0xE204_C000_3510);
        self.command([0x05 | stream << 32, 1]);
        self.store(ste, 0b1011 | cds);
        self.command([0x03 | stream << 32, 1]);
    }
}
