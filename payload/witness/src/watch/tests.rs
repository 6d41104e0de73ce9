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
use smmu::fake::crashed::crashed;
use smmu::fake::{Fake, crashed};
use smmu::log::{Entry, Op};
use smmu::observe::Registers;
use smmu::spec::registers as reg;
use std::vec::Vec;

const SMMU: SmmuIndex = SmmuIndex(0);
const FRAME: u64 = 0x0905_0000;
/// The dead kernel's tables.
const L1: u64 = crashed::L1.0;
const L2: u64 = crashed::L2.0;
const CDS: u64 = crashed::CDS.0;

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

#[test]
fn what_finds_no_room_in_the_log_is_known_once() {
    let mut fake = crashed();
    let found = found(&mut fake);
    let mut witness = Witness::new(&mut fake, [Unit::new(PhysAddr(FRAME), &found)], 1);
    let mut write = |witness: &mut Witness, value| {
        let at = PhysAddr(FRAME + u64::from(reg::CR0));
        witness.store(&mut fake, 0x1000, at, 4, value).expect("a register");
        witness.take_beyond().map(|seen| (seen.entry.name(), seen.entry.value))
    };
    assert_eq!([write(&mut witness, 1), write(&mut witness, 0)], [None, Some(("CR0", 0))]);
    assert_eq!((witness.take_beyond(), witness.log().entries().len()), (None, 1));
}

#[test]
fn what_was_told_does_not_change_any_more() {
    let mut fake = crashed();
    let (_, mut witness) = witness(&mut fake);
    let mut poll = |witness: &mut Witness| {
        witness.load(&mut fake, 0x1000, PhysAddr(FRAME + u64::from(reg::CR0ACK)), 4).expect("a register");
    };
    (0..2).for_each(|_| poll(&mut witness));
    witness.close_log();
    (0..3).for_each(|_| poll(&mut witness));
    let counts: Vec<u32> = witness.log().entries().iter().map(|seen| seen.entry.count).collect();
    assert_eq!(counts, [2, 3]);
}

fn rules(report: &Report) -> Vec<&'static str> {
    report.violations().map(|violation| violation.rule).collect()
}
