//! Real kernels, access by access, as they were measured (Debian's 7.3.4, and the same with revision 7 of the adoption
//! series): what they do must be told apart, and each fault planted into one be told.

use super::*;
use smmu::access::Access;
use smmu::checker::{Followed, Profile};
use smmu::log::What;

const QUEUE: u64 = 0x6100_0000;
const TABLE: u64 = 0x6110_0000;
const PC: u64 = 0xFFFF_8000_8060_0000;

/// The kernel's own view: where it is in its queue.
struct Kernel {
    hw: Fake,
    found: Found,
    witness: Witness,
    prod: u32,
}

impl Kernel {
    fn new() -> Self {
        let mut hw = crashed();
        let (found, witness) = witness(&mut hw);
        Self { hw, found, witness, prod: 0 }
    }

    fn read(&mut self, offset: u32) -> u32 {
        let at = PhysAddr(FRAME + u64::from(offset));
        self.witness.load(&mut self.hw, PC, at, 4).expect("a register") as u32
    }

    fn reads(&mut self, offsets: &[u32]) {
        for offset in offsets {
            self.read(*offset);
        }
    }

    fn write(&mut self, offset: u32, value: u32) {
        let at = PhysAddr(FRAME + u64::from(offset));
        self.witness.store(&mut self.hw, PC + 4, at, 4, value.into()).expect("a register");
    }

    fn write64(&mut self, offset: u32, value: u64) {
        let at = PhysAddr(FRAME + u64::from(offset));
        self.witness.store(&mut self.hw, PC + 8, at, 8, value).expect("a register");
    }

    /// Writes a control register and waits for its acknowledge.
    fn acked(&mut self, offset: u32, value: u32) {
        self.write(offset, value);
        assert_eq!(self.read(offset + 4), value);
    }

    /// Stores to memory: only what is watched traps.
    fn store(&mut self, at: u64, value: u64) {
        let at = PhysAddr(at);
        if self.witness.pages().any(|page| page.contains(&at.0)) {
            match self.witness.store(&mut self.hw, PC + 12, at, 8, value) {
                Err(WatchError::Unwatched(_)) => {}
                done => return done.expect("a table"),
            }
        }
        self.hw.store(SMMU, Structure::Ste, at, value);
    }

    fn push(&mut self, command: [u64; 2]) {
        let at = QUEUE + u64::from(self.prod % 256) * 16;
        self.hw.poke(PhysAddr(at), command[0]);
        self.hw.poke(PhysAddr(at + 8), command[1]);
        self.prod += 1;
    }

    /// A command with CMD_SYNC, handed over by one write.
    fn command(&mut self, command: [u64; 2]) {
        self.push(command);
        self.push([0x0FC0_2046, 0]);
        self.write(reg::CMDQ_PROD, self.prod);
        assert_eq!(self.read(reg::CMDQ_CONS), self.prod);
    }

    fn probe(&mut self) {
        self.reads(&[reg::IDR0, reg::IDR1, reg::IDR3, reg::IDR5, reg::IIDR, reg::CR0]);
    }

    fn queue(&mut self) {
        self.write64(reg::CMDQ_BASE, 1 << 62 | QUEUE | 8);
        self.write(reg::CMDQ_PROD, 0);
        self.write(reg::CMDQ_CONS, 0);
    }

    fn invalidate(&mut self) {
        self.command([4, 31]);
        self.command([0x30, 0]);
    }

    fn interrupts(&mut self, enabled: u32) {
        self.acked(reg::IRQ_CTRL, 0);
        self.write64(reg::GERROR_IRQ_CFG0, 0);
        self.write64(reg::EVENTQ_IRQ_CFG0, 0);
        self.acked(reg::IRQ_CTRL, enabled);
    }

    /// Everything up to the table registers.
    fn reset_begins(&mut self) {
        self.probe();
        self.read(reg::GBPA);
        self.write(reg::GBPA, 0x8010_1000);
        self.read(reg::GBPA);
        self.acked(reg::CR0, 0);
        self.write(reg::CR1, 0xD75);
        self.write(reg::CR2, 6);
    }

    fn reset_ends(&mut self) {
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

    fn stock(&mut self) {
        self.reset_begins();
        self.write64(reg::STRTAB_BASE, 1 << 62 | TABLE);
        self.write(reg::STRTAB_BASE_CFG, 0x1_0210);
        self.reset_ends();
    }

    /// First attach of a function under a new table: level 2 is filled before anything leads to it.
    fn attach(&mut self, stream: u64, faulty: bool) {
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

    fn adopt_v7(&mut self) {
        self.probe();
        self.reads(&[reg::GERROR, reg::GERRORN, reg::STRTAB_BASE_CFG]);
        let at = PhysAddr(FRAME + u64::from(reg::STRTAB_BASE));
        assert_eq!(self.witness.load(&mut self.hw, PC, at, 8), Ok(1 << 62 | L1));
        for index in 0..256 {
            let word = self.witness.load(&mut self.hw, PC + 16, PhysAddr(L1 + index * 8), 8);
            assert_eq!(word, Ok(if index == 0 { L2 | 9 } else { 0 }));
        }
        self.read(reg::CR0);
        self.acked(reg::CR0, 1);
        self.reads(&[reg::GERROR, reg::GERRORN]);
        self.queue();
        self.acked(reg::CR0, 9);
        self.invalidate();
        self.interrupts(1);
        self.acked(reg::CR0, 9);
    }

    fn report(&self, loads: bool) -> Report {
        judged(self.found, &self.witness, loads)
    }

    /// Stores that trapped in a table: address, old and new value.
    fn table_stores(&self) -> Vec<(u64, u64, u64)> {
        let entries = self.witness.log().entries().iter();
        entries.filter_map(|seen| Some((seen.entry.address, seen.old?, seen.entry.value))).collect()
    }
}

fn followed(report: &Report) -> Option<&Followed> {
    report.followed.get(&SMMU)
}

#[test]
fn a_stock_kernel_resets_and_breaks_nothing() {
    let mut kernel = Kernel::new();
    kernel.stock();
    let report = kernel.report(false);
    assert_eq!(followed(&report), Some(&Followed { profile: Some(Profile::Reset), left: None }), "{report:#?}");
    assert_eq!(rules(&report), [""; 0], "{report:#?}");
    let count = |is: fn(&Entry) -> bool| kernel.witness.log().entries().iter().filter(|seen| is(&seen.entry)).count();
    // Two commands with CMD_SYNC, of two words each.
    assert_eq!(count(|entry| entry.what == What::Structure(Structure::Command)), 8);
    assert_eq!(kernel.table_stores(), []);
}

#[test]
fn its_first_attach_is_watched_word_by_word() {
    let mut kernel = Kernel::new();
    kernel.stock();
    kernel.attach(0x10, false);
    // Linux invalidates a level-1 descriptor that it has filled with Leaf=1 only (facts: smmu-kdump.md 1.7).
    let report = kernel.report(false);
    assert_eq!(rules(&report), ["structure.l1std-leaf"], "{report:#?}");
    let (level2, cds) = (TABLE + 0x1_0000, TABLE + 0x2_0000);
    // The CD was written before anything led to it; it shows as it was when the STE did.
    assert_eq!(
        kernel.table_stores(),
        [(TABLE, 0, level2 | 9), (level2 + 0x10 * 64 + 8, 0, 0xD6), (level2 + 0x10 * 64, 1, 0b1011 | cds),]
    );
    let snapshots = kernel.witness.log().entries().iter().filter(|seen| seen.how == How::Snapshot);
    let snapshots: Vec<_> = snapshots.map(|s| (s.entry.op, s.entry.address, s.entry.value, s.entry.count)).collect();
    assert_eq!(
        snapshots,
        [(Op::Fill, level2, 1, 256), (Op::Store, cds, 0x0001_E204_C000_3510, 1), (Op::Store, cds + 8, 0x6300_0000, 1),]
    );
    // From now on the CD is watched, too.
    kernel.store(cds, 0);
    assert_eq!(kernel.table_stores().last(), Some(&(cds, 0x0001_E204_C000_3510, 0)));
}

#[test]
fn a_live_ste_without_its_invalidation_is_told() {
    let mut kernel = Kernel::new();
    kernel.stock();
    kernel.attach(0x10, true);
    assert_eq!(rules(&kernel.report(false)), ["structure.l1std-leaf", "structure.no-cfgi"]);
}

#[test]
fn an_adopting_kernel_reads_level_1_once_and_writes_no_table() {
    let mut kernel = Kernel::new();
    kernel.adopt_v7();
    let report = kernel.report(true);
    assert_eq!(followed(&report), Some(&Followed { profile: Some(Profile::AdoptV7), left: None }), "{report:#?}");
    assert_eq!(rules(&report), [""; 0], "{report:#?}");
    assert_eq!(kernel.table_stores(), []);
    // The scan of one register and 256 descriptors is three entries, not 257: the first one leads on, the others are 0.
    let loads = kernel.witness.log().entries().iter().filter(|seen| seen.entry.op == Op::Load);
    assert_eq!(loads.map(|seen| seen.entry.count).collect::<Vec<_>>(), [256]);
}

#[test]
fn its_attach_is_one_store_to_the_dead_table() {
    let mut kernel = Kernel::new();
    kernel.adopt_v7();
    let (cds, ste) = (TABLE + 0x2_0000, L2 + 0x10 * 64);
    kernel.store(cds, 0x0002_E204_C000_3510);
    kernel.command([0x05 | 0x10 << 32, 1]);
    kernel.store(ste, 0b1011 | cds);
    kernel.command([0x03 | 0x10 << 32, 1]);
    assert_eq!(kernel.table_stores(), [(ste, 0b1011 | (CDS + 128), 0b1011 | cds)]);
    let report = kernel.report(true);
    assert_eq!(followed(&report), Some(&Followed { profile: Some(Profile::AdoptV7), left: None }));
    assert_eq!(rules(&report), [""; 0], "{report:#?}");
    // The dead kernel's CD is still watched: it is evidence.
    assert!(kernel.witness.tables().any(|region| region.owner == Owner::Dead && region.target.start == CDS + 128));
}

#[test]
fn each_fault_of_a_kernel_is_told_with_its_pc() {
    type Fault = fn(&mut Kernel);
    let faults: [(&str, Fault); 4] = [
        ("adopt.smmuen", |kernel| kernel.acked(reg::CR0, 8)),
        ("adopt.cr1-cr2", |kernel| kernel.write(reg::CR2, 7)),
        ("adopt.output-queues", |kernel| kernel.write(reg::EVENTQ_CONS, 0)),
        ("adopt.table-store", |kernel| kernel.store(L2 + 0x18 * 64, 1)),
    ];
    for (rule, fault) in faults {
        let mut kernel = Kernel::new();
        kernel.probe();
        kernel.reads(&[reg::GERROR, reg::GERRORN, reg::STRTAB_BASE_CFG, reg::STRTAB_BASE, reg::CR0]);
        let at = kernel.witness.log().entries().len();
        fault(&mut kernel);
        kernel.acked(reg::CR0, 1);
        kernel.reads(&[reg::GERROR, reg::GERRORN]);
        kernel.queue();
        kernel.acked(reg::CR0, 9);
        kernel.invalidate();
        kernel.interrupts(1);
        kernel.acked(reg::CR0, 9);
        let report = kernel.report(false);
        let violation = report.violations().find(|violation| violation.rule == rule);
        let entry = violation.and_then(|violation| violation.entries.last()).copied();
        assert_eq!(entry, Some(at as u64), "{rule}: {report:#?}");
        let seen = kernel.witness.log().entries().get(at).copied();
        assert!(seen.is_some_and(|seen| (PC..PC + 20).contains(&seen.pc)), "{rule}");
    }
}

#[test]
fn a_poll_is_one_entry_until_another_instruction_polls() {
    let mut kernel = Kernel::new();
    for _ in 0..1000 {
        kernel.read(reg::CR0ACK);
    }
    let at = PhysAddr(FRAME + u64::from(reg::CR0ACK));
    assert_eq!(kernel.witness.load(&mut kernel.hw, PC + 0x40, at, 4), Ok(0xD));
    let entries = kernel.witness.log().entries().iter();
    assert_eq!(entries.map(|seen| (seen.pc, seen.entry.count)).collect::<Vec<_>>(), [(PC, 1000), (PC + 0x40, 1)]);
}
