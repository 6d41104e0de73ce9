//! Instructions of a kernel at watched pages, with the registers that they leave.

extern crate std;

mod kinds;
mod loops;
mod machine;

use super::*;
use crate::watch::{How, Unit};
use core::ops::Range;
use machine::Machine;
use smmu::access::SmmuIndex;
use smmu::checker::Found;
use smmu::fake::Fake;
use smmu::log::Op;
use smmu::observe::Registers as Unitary;
use smmu::spec::registers as reg;
use std::vec;
use std::vec::Vec;

const SMMU: SmmuIndex = SmmuIndex(0);
const FRAME: u64 = 0x0905_0000;
const TABLE: u64 = 0x4026_0000;
/// Stage 1 of this kernel: everything is so much higher.
const HIGH: u64 = 0xFFFF_0000_0000_0000;
const PC: u64 = HIGH + 0x6000_1000;

/// A linear table of 16 STEs at [`TABLE`], which begins in the middle of a page of somebody else's.
fn machine() -> (Fake, Witness) {
    let mut fake = Fake::default();
    let unit = fake.unit(SMMU);
    unit.set(reg::CR0, 1);
    unit.set(reg::CR0ACK, 1);
    unit.set(reg::STRTAB_BASE_CFG, 4);
    unit.set64(reg::STRTAB_BASE, TABLE);
    for word in 0..128 {
        fake.poke(PhysAddr(TABLE + word * 8), 0x1111_2222_8000_0000 + word);
    }
    let found = Found::from(&Unitary::read(&mut fake, SMMU));
    let witness = Witness::new(&mut fake, [Unit::new(PhysAddr(FRAME), &found)], 64);
    (fake, witness)
}

/// A write to a read-only page, level 3, without a syndrome of the instruction.
const STORE: u64 = 0x24 << 26 | 1 << 25 | 1 << 6 | 0x0F;
/// A read of an unmapped page, the same.
const LOAD: u64 = 0x24 << 26 | 1 << 25 | 0x07;

fn registers() -> Registers {
    let mut registers = Registers { pc: PC, sp: HIGH + TABLE + 0x80, ..Registers::default() };
    for (index, x) in registers.x.iter_mut().enumerate() {
        *x = 0x0101_0101_0101_0101 * index as u64;
    }
    registers.x[3] = HIGH + TABLE + 0x40;
    registers
}

type Stores = Vec<(u64, Option<u64>, u64)>;

fn run(word: u32, esr: u64) -> (Result<Done, Stopped>, Registers, Stores, Machine) {
    let mut machine = Machine::with(&[word]);
    let (done, after, stores) = run_on(&mut machine, registers(), esr);
    (done, after, stores, machine)
}

/// What was logged is told of stores alone, if loads are not watched.
fn run_on(machine: &mut Machine, before: Registers, esr: u64) -> (Result<Done, Stopped>, Registers, Stores) {
    let (mut fake, mut witness) = self::machine();
    let mut registers = before;
    let done = carry_out([esr, registers.x[3], 0], &mut registers, machine, &mut witness, &mut fake);
    let entries = witness.log().entries();
    let is_in_program = |pc: u64| (PC..PC + 4 * machine.program.len().max(1) as u64).contains(&pc);
    assert!(entries.iter().all(|seen| is_in_program(seen.pc) && seen.how == How::Trapped));
    assert!(machine.is_watching_loads || esr & 1 << 6 == 0 || entries.iter().all(|seen| seen.entry.op == Op::Store));
    let stores = entries.iter().map(|seen| (seen.entry.address, seen.old, seen.entry.value)).collect();
    (done, registers, stores)
}

fn old(at: u64) -> u64 {
    0x1111_2222_8000_0000 + (at - TABLE) / 8
}

#[test]
fn a_pair_is_stored_word_by_word_and_its_base_moves() {
    // stp x1, x2, [x3], #-512
    let (done, after, stores, _) = run(0xA8A0_0861, STORE);
    assert_eq!(done, Ok(Done::Carried));
    let at = TABLE + 0x40;
    let words = [0x0101_0101_0101_0101_u64, 0x0202_0202_0202_0202];
    assert_eq!(stores, vec![(at, Some(old(at)), words[0]), (at + 8, Some(old(at + 8)), words[1])]);
    let expected = Registers { pc: PC + 4, ..registers() };
    let mut expected = expected;
    expected.x[3] -= 512;
    assert_eq!(after, expected);
}

#[test]
fn halves_of_a_word_are_two_stores_of_it() {
    // stp w1, wzr, [sp, #8]!
    let (done, after, stores, _) = run(0x2981_7FE1, STORE);
    assert_eq!((done, after.sp), (Ok(Done::Carried), HIGH + TABLE + 0x88));
    let (at, before) = (TABLE + 0x88, old(TABLE + 0x88));
    let first = before & !0xFFFF_FFFF | 0x0101_0101;
    assert_eq!(stores, vec![(at, Some(before), first), (at, Some(first), 0x0101_0101)]);
}

#[test]
fn a_pair_is_loaded_before_its_base_moves() {
    // ldpsw x4, x5, [x3, #4]!
    let (done, after, _, _) = run(0x69C0_9464, LOAD);
    let mut expected = Registers { pc: PC + 4, ..registers() };
    expected.x[4] = 0x1111_2222;
    expected.x[5] = 0xFFFF_FFFF_8000_0009;
    expected.x[3] += 4;
    assert_eq!((done, after), (Ok(Done::Carried), expected));
}

#[test]
fn a_register_is_read_by_the_syndrome_alone() {
    let (mut fake, mut witness) = machine();
    fake.unit(SMMU).set(reg::GERROR, 0x8000_0001);
    let (mut machine, mut registers) = (Machine::with(&[]), registers());
    // LDRSW X9: ISV, SAS word, SSE, SRT 9, SF.
    let esr = LOAD | 1 << 24 | 2 << 22 | 1 << 21 | 9 << 16 | 1 << 15;
    let page = (FRAME >> 12) << 4;
    let done = carry_out([esr, HIGH + 0x60, page], &mut registers, &mut machine, &mut witness, &mut fake);
    assert_eq!((done, registers.x[9], registers.pc), (Ok(Done::Carried), 0xFFFF_FFFF_8000_0001, PC + 4));
    // STR WZR, of the same register's neighbour: SRT 31.
    let esr = STORE & !0x0F | 0x07 | 1 << 24 | 2 << 22 | 31 << 16;
    let done = carry_out([esr, HIGH + 0x64, page], &mut registers, &mut machine, &mut witness, &mut fake);
    assert_eq!(done, Ok(Done::Carried));
    let names: Vec<_> = witness.log().entries().iter().map(|seen| (seen.entry.name(), seen.entry.value)).collect();
    assert_eq!(names, [("GERROR", 0x8000_0001), ("GERRORN", 0)]);
}

#[test]
fn a_neighbour_of_a_table_is_memory_and_is_not_logged() {
    let (mut fake, mut witness) = machine();
    let (mut machine, mut registers) = (Machine::with(&[]), registers());
    let at = TABLE + 0x400;
    let esr = STORE | 1 << 24 | 1 << 22 | 2 << 16;
    let done = carry_out([esr, HIGH + at, 0], &mut registers, &mut machine, &mut witness, &mut fake);
    assert_eq!((done, machine.neighbours), (Ok(Done::Carried), vec![(at, 2, 0x0202)]));
    assert_eq!(witness.log().entries(), []);
}

#[test]
fn maintenance_is_done_for_the_kernel() {
    let (done, after, stores, machine) = run(0, STORE | 1 << 8);
    assert_eq!((done, after.pc, stores), (Ok(Done::Carried), PC + 4, vec![]));
    assert_eq!(machine.cleaned, [TABLE + 0x40]);
}

#[test]
fn what_cannot_be_done_leaves_the_registers() {
    let stopped = |word, esr| {
        let (done, after, stores, _) = run(word, esr);
        assert_eq!((after, stores), (registers(), vec![]));
        done.err()
    };
    let refused = Refused { word: 0xD920_0861, what: "moves tags" };
    assert_eq!(stopped(0xD920_0861, STORE), Some(Stopped::Refused(refused)));
    assert_eq!(stopped(0, STORE & !0x3F | 0x21), Some(Stopped::Fault(0x21)));
    assert_eq!(stopped(0, LOAD | 1 << 7), Some(Stopped::TableWalk(0)));
    assert_eq!(stopped(0, LOAD | 1 << 10 | 1 << 24), Some(Stopped::Nowhere(HIGH + TABLE + 0x40)));
    assert_eq!(stopped(0, 0x16 << 26), Some(Stopped::NoAbort(0x16 << 26)));
    // str x1, [x0]: x0 is 0, which stage 1 does not map.
    assert_eq!(stopped(0xF800_0401, STORE), Some(Stopped::Nowhere(0)));
}
