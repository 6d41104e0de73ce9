//! Instructions at memory that the syndrome does not describe (ISV 0): what the instruction word says (DDI 0487, C4.1.95, Loads and stores).
//!
//! Loads and stores of general and vector registers, exclusives, atomics and DC ZVA: what a kernel can do to a table. What moves
//! tags, scalable vectors or several structures of a vector, copies memory, or is newer, is refused by name, and so is what
//! the architecture leaves UNPREDICTABLE.

use super::atomic::{self, Atomic};
use super::exclusive::{self, Exclusive};
use super::plain::{self, Plain};
use thiserror::Error;

/// Base register 31 is SP, where register 31 of a transfer is XZR.
pub const SP: u8 = 31;

/// What an instruction does to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// It loads or stores one or two registers.
    Plain(Plain),
    /// It loads, computes and stores as one.
    Atomic(Atomic),
    /// One half of a loop that does the same.
    Exclusive(Exclusive),
    /// DC ZVA with the address in this register: it zeroes a block.
    Zero(u8),
}

/// It is not carried out on the kernel's behalf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("instruction {word:#010x} is not emulated: {what}")]
pub struct Refused {
    /// The instruction word.
    pub word: u32,
    /// What it is.
    pub what: &'static str,
}

/// Decodes an instruction word of A64.
///
/// # Errors
/// [`Refused`], with what it is.
pub fn decode(word: u32) -> Result<Instruction, Refused> {
    let refused = |what| Err(Refused { word, what });
    // DC ZVA, DC GVA, DC GZVA: SYS #3, C7, C4.
    match word & 0xFFFF_FFE0 {
        0xD50B_7420 => return Ok(Instruction::Zero(register(word, 0))),
        0xD50B_7460 | 0xD50B_7480 => return refused("moves tags"),
        _ => {}
    }
    match bits(word, 25, 4) {
        0b0010 => return refused("moves scalable vectors"),
        op1 if op1 & 0b0101 != 0b0100 => return refused("no load or store"),
        _ => {}
    }
    let is_vector = bits(word, 26, 1) == 1;
    let is_late = bits(word, 24, 1) == 1;
    match bits(word, 28, 2) {
        0b00 if is_vector => refused("moves structures of vectors"),
        0b00 if is_late => refused("is exclusive or atomic with the rights of EL0"),
        0b00 => exclusive_or_ordered(word),
        0b01 if !is_late => refused("is relative to the program counter"),
        0b01 => ordered_or_memory(word),
        0b10 => plain::pair(word).map(Instruction::Plain),
        _ if !is_late && bits(word, 21, 1) == 1 => match (bits(word, 10, 2), is_vector) {
            (0b10, _) => plain::indexed(word).map(Instruction::Plain),
            (0b00, false) => atomic_memory(word),
            (0b00, true) => refused("is atomic on vectors"),
            _ => refused("authenticates its address"),
        },
        _ => plain::single(word).map(Instruction::Plain),
    }
}

/// Exclusives, compare and swap, and what is ordered without an offset: o2, o1, and bit 31 of the size.
fn exclusive_or_ordered(word: u32) -> Result<Instruction, Refused> {
    match (bits(word, 23, 1), bits(word, 21, 1), bits(word, 31, 1)) {
        (0, 0, _) | (0, 1, 1) => exclusive::decode(word).map(Instruction::Exclusive),
        (1, 0, _) => Ok(Instruction::Plain(plain::ordered(word))),
        _ => atomic::compare(word).map(Instruction::Atomic),
    }
}

/// Atomic memory operations, and LDAPR, which is encoded as one.
fn atomic_memory(word: u32) -> Result<Instruction, Refused> {
    match (bits(word, 12, 4), bits(word, 22, 2), bits(word, 16, 5)) {
        // o3 and opc; A and R; Rs.
        (0b1100, 0b10, 31) => Ok(Instruction::Plain(plain::ordered(word))),
        _ => atomic::memory(word).map(Instruction::Atomic),
    }
}

/// What is ordered with an offset, and what came later.
fn ordered_or_memory(word: u32) -> Result<Instruction, Refused> {
    let refused = |what| Err(Refused { word, what });
    match (bits(word, 26, 1), bits(word, 21, 1), bits(word, 10, 2)) {
        (_, 0, 0b01) => refused("copies or sets memory"),
        (1, ..) => refused("moves vectors in order"),
        (_, 0, 0b00) => plain::ordered_unscaled(word).map(Instruction::Plain),
        (_, 0, _) => refused("is ordered, with write-back or as a pair"),
        (..) if bits(word, 30, 2) == 0b11 => refused("moves tags"),
        _ => refused("is atomic on 128 bits or on page tables"),
    }
}

/// `count` bits from `lowest` on.
pub(super) const fn bits(word: u32, lowest: u32, count: u32) -> u32 {
    word >> lowest & ((1 << count) - 1)
}

/// The same, with sign.
pub(super) const fn signed(word: u32, lowest: u32, count: u32) -> i64 {
    ((word << (32 - lowest - count)) as i32 >> (32 - count)) as i64
}

/// Rn.
pub(super) const fn base(word: u32) -> u8 {
    register(word, 5)
}

/// The number of a register at `lowest`.
pub(super) const fn register(word: u32, lowest: u32) -> u8 {
    bits(word, lowest, 5) as u8
}

/// As many bytes as `size` says, which is bits 31:30.
pub(super) const fn bytes(word: u32) -> u8 {
    1 << bits(word, 30, 2)
}

#[cfg(test)]
mod tests;
