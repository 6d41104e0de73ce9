use super::*;
use crate::fake::Fake;
use crate::spec::registers as reg;

const SMMU: SmmuIndex = SmmuIndex(0);

fn record(capacity: usize, run: impl FnOnce(&mut dyn Access)) -> Log {
    let mut fake = Fake::with_units(2);
    let mut log = Log::with_capacity(capacity);
    run(&mut Logged::new(&mut fake, &mut log));
    log
}

fn shape(log: &Log) -> Vec<(Op, &'static str, u64, u32)> {
    log.entries().iter().map(|e| (e.op, e.name(), e.value, e.count)).collect()
}

#[test]
fn a_poll_is_one_entry() {
    let log = record(8, |hw| {
        for _ in 0..1000 {
            hw.read32(SMMU, reg::CR0ACK);
            hw.pause();
        }
        hw.write32(SMMU, reg::CR0, 8);
        hw.read32(SMMU, reg::CR0ACK);
        hw.read32(SmmuIndex(1), reg::CR0ACK);
    });
    let entries = [
        (Op::RegRead32, "CR0ACK", 0, 1000),
        (Op::RegWrite32, "CR0", 8, 1),
        (Op::RegRead32, "CR0ACK", 8, 1),
        (Op::RegRead32, "CR0ACK", 0, 1),
    ];
    assert_eq!(shape(&log), entries);
}

#[test]
fn writes_are_never_merged() {
    let log = record(8, |hw| {
        hw.write32(SMMU, reg::CR0, 9);
        hw.write32(SMMU, reg::CR0, 9);
        hw.store(SMMU, Structure::Ste, PhysAddr(0x4000_0000), 1);
        hw.store(SMMU, Structure::Ste, PhysAddr(0x4000_0008), 1);
        hw.barrier(Barrier::BeforeDoorbell);
        hw.barrier(Barrier::BeforeDoorbell);
    });
    assert_eq!(log.entries().len(), 6);
}

#[test]
fn scans_are_merged_by_word_and_by_entry() {
    let log = record(8, |hw| {
        for address in (0x4000_0000..0x4000_0100).step_by(8) {
            assert_eq!(hw.load(SMMU, Structure::L1Std, PhysAddr(address)), Ok(0));
        }
        for address in (0x4000_1000..0x4000_2000).step_by(64) {
            assert_eq!(hw.load(SMMU, Structure::Ste, PhysAddr(address)), Ok(0));
        }
        assert!(hw.load(SMMU, Structure::Ste, PhysAddr(0x4000_1000)).is_ok());
        assert!(hw.load(SMMU, Structure::Ste, PhysAddr(0x4000_1000)).is_ok());
        assert!(hw.load(SMMU, Structure::Ste, PhysAddr(0)).is_err());
    });
    let scans: Vec<_> = log.entries().iter().map(|e| (e.address, e.count, e.stride, e.unbacked)).collect();
    let expected = [
        (0x4000_0000, 32, 8, false),
        (0x4000_1000, 64, 64, false),
        (0x4000_1000, 1, 0, false),
        (0x4000_1000, 1, 0, false),
        (0, 1, 0, true),
    ];
    assert_eq!(scans, expected);
}

#[test]
fn a_fill_is_one_entry_that_says_everything() {
    let log = record(8, |hw| {
        hw.fill(SMMU, Structure::Ste, PhysAddr(0x4000_0000), 64, 256, 1);
        hw.fill(SMMU, Structure::Ste, PhysAddr(0x4000_4000), 64, 256, 1);
        assert_eq!(hw.load(SMMU, Structure::Ste, PhysAddr(0x4000_3FC0)), Ok(1));
        assert_eq!(hw.load(SMMU, Structure::Ste, PhysAddr(0x4000_3FC8)), Ok(0));
    });
    assert_eq!(shape(&log)[..2], [(Op::Fill, "STE", 1, 256); 2]);
    assert_eq!((log.entries()[1].address, log.entries()[1].stride), (0x4000_4000, 64));
    assert!(log.entries()[1].op.is_write());
}

#[test]
fn overflow_is_told_and_keeps_the_beginning() {
    let log = record(2, |hw| {
        hw.step("first");
        hw.write32(SMMU, reg::CR0, 0);
        hw.write32(SMMU, reg::CR0, 1);
        hw.write32(SMMU, reg::CR0, 2);
    });
    assert!(log.overflowed());
    assert_eq!(log.dropped(), 2);
    assert_eq!(shape(&log), [(Op::Step, "first", 0, 1), (Op::RegWrite32, "CR0", 0, 1)]);
    let mut again = log;
    again.clear();
    assert!(!again.overflowed() && again.entries().is_empty());
}

#[test]
fn no_merging_across_a_loss() {
    let log = record(1, |hw| {
        hw.read32(SMMU, reg::CR0ACK);
        hw.write32(SMMU, reg::CR0, 0);
        hw.read32(SMMU, reg::CR0ACK);
    });
    assert_eq!(shape(&log), [(Op::RegRead32, "CR0ACK", 0, 1)]);
    assert_eq!(log.dropped(), 2);
}

#[test]
fn numbers_are_stable() {
    let ops = [
        Op::RegRead32,
        Op::RegWrite32,
        Op::RegRead64,
        Op::RegWrite64,
        Op::Load,
        Op::Store,
        Op::Barrier,
        Op::Step,
        Op::Fill,
    ];
    for (number, op) in ops.into_iter().enumerate() {
        assert_eq!(op as usize, number);
    }
}
