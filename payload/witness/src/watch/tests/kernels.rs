//! Real kernels, access by access, as they were measured (Debian's 7.3.4, and the same with revision 7 of the adoption
//! series): what they do must be told apart, and each fault planted into one be told.

use super::*;
use crate::fake::{Kernel, PC, TABLE};
use smmu::checker::{Followed, Profile};
use smmu::log::What;

impl Kernel {
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
    assert_eq!(
        followed(&report),
        Some(&Followed { profile: Some(Profile::Reset), ..Followed::default() }),
        "{report:#?}"
    );
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
    assert_eq!(
        followed(&report),
        Some(&Followed { profile: Some(Profile::AdoptV7), ..Followed::default() }),
        "{report:#?}"
    );
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
    let (cds, ste) = (TABLE + 0x2_0000 + 0x10 * 64, L2 + 0x10 * 64);
    kernel.adopted_attach(0x10, 2);
    assert_eq!(kernel.table_stores(), [(ste, 0b1011 | (CDS + 128), 0b1011 | cds)]);
    let report = kernel.report(true);
    assert_eq!(followed(&report), Some(&Followed { profile: Some(Profile::AdoptV7), ..Followed::default() }));
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
        kernel.adopt_ends();
        let report = kernel.report(false);
        let violation = report.violations().find(|violation| violation.rule == rule);
        let entry = violation.and_then(|violation| violation.entries.last()).copied();
        assert_eq!(entry, Some(at as u64), "{rule}: {report:#?}");
        let seen = kernel.witness.log().entries().get(at).copied();
        assert!(seen.is_some_and(|seen| (PC..PC + 20).contains(&seen.pc)), "{rule}");
    }
}

#[test]
fn a_poll_is_one_entry_until_another_instruction_or_cpu_polls() {
    let mut kernel = Kernel::new();
    for _ in 0..1000 {
        kernel.read(reg::CR0ACK);
    }
    let at = PhysAddr(FRAME + u64::from(reg::CR0ACK));
    assert_eq!(kernel.witness.load(&mut kernel.hw, PC + 0x40, at, 4), Ok(0xD));
    kernel.witness.running_on(0x101);
    assert_eq!(kernel.witness.load(&mut kernel.hw, PC + 0x40, at, 4), Ok(0xD));
    let entries = kernel.witness.log().entries().iter();
    let told: Vec<_> = entries.map(|seen| (seen.pc, seen.cpu, seen.entry.count)).collect();
    assert_eq!(told, [(PC, 0, 1000), (PC + 0x40, 0, 1), (PC + 0x40, 0x101, 1)]);
}
