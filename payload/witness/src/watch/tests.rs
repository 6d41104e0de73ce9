//! The whole way of the data: accesses that trap, log, checker.

extern crate std;

mod guest;
mod kernels;
mod policies;
mod tables;

use super::*;
use addr::PhysAddr;
use smmu::access::{SmmuIndex, Structure};
use smmu::checker::{Coverage, Found, Report, check};
use smmu::fake::Fake;
use smmu::log::{Entry, Op};
use smmu::observe::Registers;
use smmu::spec::registers as reg;
use std::vec::Vec;

const SMMU: SmmuIndex = SmmuIndex(0);
const FRAME: u64 = 0x0905_0000;
/// The dead kernel's tables: two levels of 2^16 StreamIDs, with stage-1 streams 0x10 and 0x18.
const L1: u64 = 0x4025_4000;
const L2: u64 = 0x4026_0000;
const CDS: u64 = 0x4027_0000;

/// What a crashed kernel leaves.
fn crashed() -> Fake {
    let mut fake = Fake::default();
    let unit = fake.unit(SMMU);
    for (register, value) in [
        (reg::CR0, 0xD),
        (reg::CR0ACK, 0xD),
        (reg::CR1, 0xD75),
        (reg::CR2, 6),
        (reg::IRQ_CTRL, 5),
        (reg::IRQ_CTRLACK, 5),
        (reg::STRTAB_BASE_CFG, 0x1_0210),
    ] {
        unit.set(register, value);
    }
    unit.set64(reg::STRTAB_BASE, 1 << 62 | L1);
    unit.set64(reg::CMDQ_BASE, 0x4100_0008);
    fake.poke(PhysAddr(L1), L2 | 9);
    for stream in 0..256 {
        fake.poke(PhysAddr(L2 + stream * 64), 1);
    }
    for (stream, asid) in [(0x10, 2), (0x18, 3)] {
        let cd = CDS + asid * 64;
        fake.poke(PhysAddr(L2 + stream * 64), 0b1011 | cd);
        fake.poke(PhysAddr(L2 + stream * 64 + 8), 0xD6);
        fake.poke(PhysAddr(cd), asid << 48 | 1 << 31);
    }
    fake
}

fn found(fake: &mut Fake) -> Found {
    Found::from(&Registers::read(fake, SMMU))
}

fn witness(fake: &mut Fake) -> (Found, Witness) {
    let found = found(fake);
    (found, Witness::new(fake, [Unit::new(PhysAddr(FRAME), &found)], 1 << 14))
}

/// What a witness shows: no barriers, and loads only where it is asked for them.
const fn coverage(loads: bool) -> Coverage {
    Coverage { loads, barriers: false, ..Coverage::ALL }
}

fn judged(found: Found, witness: &Witness, loads: bool) -> Report {
    assert!(!witness.log().overflowed());
    let entries: Vec<Entry> = witness.log().entries().iter().map(|seen| seen.entry).collect();
    check(&[found], coverage(loads), &entries, true)
}

fn rules(report: &Report) -> Vec<&'static str> {
    report.violations().map(|violation| violation.rule).collect()
}
