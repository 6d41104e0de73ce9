//! Encodes what the decoder accepts: each field is placed from its value, and not masked out of a word.

use super::*;
use crate::trap::atomic::Operation;
use std::vec;
use std::vec::Vec;

/// All words that mean this.
pub(super) fn encode(instruction: &Instruction) -> Vec<u32> {
    match instruction {
        Instruction::Plain(plain) if plain.is_ordered => ordered(plain),
        Instruction::Plain(plain) if plain.second.is_some() => pair(plain),
        Instruction::Plain(plain) => single(plain),
        Instruction::Atomic(atomic) => atomic_memory(atomic),
        Instruction::Exclusive(exclusive) => exclusives(exclusive),
        // SYS #3, C7, C4, #1.
        Instruction::Zero(register) => {
            vec![0xD508_0000 + 3 * 0x1_0000 + 7 * 0x1000 + 4 * 0x100 + 0x20 + u32::from(*register)]
        }
    }
}

fn field(value: i64, bits: u32) -> u32 {
    value.rem_euclid(1 << bits) as u32
}

/// Base and first register.
fn registers(base: u8, first: u8) -> u32 {
    u32::from(base) * 0x20 + u32::from(first)
}

fn pair(plain: &Plain) -> Vec<u32> {
    let (offset, first) = plain.first;
    let second = plain.second.map_or(0, |(_, second)| u32::from(second.register));
    let opc = match (first.is_vector, first.is_signed) {
        (true, _) => u32::from(first.bytes).ilog2() - 2,
        (_, true) => 1,
        _ => u32::from(first.bytes) / 8 * 2,
    };
    let imm = field(plain.write_back.unwrap_or(offset) / i64::from(first.bytes), 7);
    let is_post = offset == 0 && plain.write_back.is_some();
    let is_form = |form: &u32| match form {
        0 => plain.write_back.is_none() && !first.is_signed,
        1 => is_post,
        2 => plain.write_back.is_none(),
        _ => plain.write_back == Some(offset),
    };
    let start = opc * 0x4000_0000 + 0x2800_0000 + u32::from(first.is_vector) * 0x400_0000;
    let rest =
        u32::from(plain.is_load) * 0x40_0000 + imm * 0x8000 + second * 0x400 + registers(plain.base, first.register);
    (0..4).filter(is_form).map(|form| start + form * 0x80_0000 + rest).collect()
}

/// Size, V, opc, base and register.
fn of_single(plain: &Plain) -> u32 {
    let (_, first) = plain.first;
    let load = u32::from(plain.is_load);
    let (size, opc) = match first.bytes {
        16 => (0, 2 + load),
        bytes if first.is_vector => (bytes.ilog2(), load),
        bytes if first.is_signed => (bytes.ilog2(), if first.is_wide { 2 } else { 3 }),
        bytes => (bytes.ilog2(), load),
    };
    size * 0x4000_0000
        + u32::from(first.is_vector) * 0x400_0000
        + opc * 0x40_0000
        + registers(plain.base, first.register)
}

fn single(plain: &Plain) -> Vec<u32> {
    let (offset, first) = plain.first;
    let start = 0x3800_0000 + of_single(plain);
    if let Some(index) = plain.index {
        let option = u32::from(index.is_signed) * 4 + 2 + u32::from(index.is_wide);
        let scale = first.bytes.ilog2();
        let word =
            |s: u32| start + 0x20_0000 + u32::from(index.register) * 0x1_0000 + option * 0x2000 + s * 0x1000 + 0x800;
        return (0..2).filter(|s| s * scale == index.shift).map(word).collect();
    }
    let unscaled = |form: u32, by| start + field(by, 9) * 0x1000 + form * 0x400;
    let mut words = Vec::new();
    match plain.write_back {
        _ if plain.is_unprivileged => words.push(unscaled(2, offset)),
        Some(by) => {
            words.extend((offset == 0).then(|| unscaled(1, by)));
            words.extend((offset == by).then(|| unscaled(3, by)));
        }
        None => {
            words.extend((-256..256).contains(&offset).then(|| unscaled(0, offset)));
            let scale = first.bytes.ilog2();
            let scaled = offset >> scale;
            let is_scaled = (0..4096).contains(&scaled) && scaled << scale == offset;
            words.extend(is_scaled.then(|| start + 0x100_0000 + scaled as u32 * 0x400));
        }
    }
    words
}

/// What should be ones is arbitrary.
fn ordered(plain: &Plain) -> Vec<u32> {
    let (offset, first) = plain.first;
    let unscaled = 0x1900_0000 + of_single(plain) + field(offset, 9) * 0x1000;
    if offset != 0 || first.is_signed {
        return vec![unscaled];
    }
    let start = u32::from(first.bytes).ilog2() * 0x4000_0000 + registers(plain.base, first.register);
    let mut words = vec![unscaled];
    if plain.is_load {
        // LDAPR.
        words.push(start + 0x38BF_C000);
    }
    let load = u32::from(plain.is_load) * 0x40_0000;
    words.extend((0..1 << 11).map(|ones| start + 0x0880_0000 + load + ones % 64 * 0x400 + ones / 64 * 0x1_0000));
    words
}

fn atomic_memory(atomic: &Atomic) -> Vec<u32> {
    let size = u32::from(atomic.bytes).ilog2();
    let operation = match atomic.operation {
        Operation::Compare => {
            let start =
                if atomic.is_pair { (size - 2) * 0x4000_0000 + 0x0820_7C00 } else { size * 0x4000_0000 + 0x08A0_7C00 };
            let fields = u32::from(atomic.old) * 0x1_0000 + registers(atomic.base, atomic.operand);
            return (0..4).map(|order| start + order / 2 * 0x40_0000 + order % 2 * 0x8000 + fields).collect();
        }
        Operation::Add => 0,
        Operation::Clear => 1,
        Operation::Xor => 2,
        Operation::Set => 3,
        Operation::SignedMax => 4,
        Operation::SignedMin => 5,
        Operation::UnsignedMax => 6,
        Operation::UnsignedMin => 7,
        Operation::Swap => 8,
    };
    let start = size * 0x4000_0000 + 0x3820_0000 + operation * 0x1000;
    let fields = u32::from(atomic.operand) * 0x1_0000 + registers(atomic.base, atomic.old);
    (0..4).map(|order| start + order * 0x40_0000 + fields).collect()
}

/// Again what should be ones is arbitrary.
fn exclusives(exclusive: &Exclusive) -> Vec<u32> {
    let start = u32::from(exclusive.bytes).ilog2() * 0x4000_0000
        + 0x0800_0000
        + u32::from(exclusive.is_load) * 0x40_0000
        + registers(exclusive.base, exclusive.first)
        + u32::from(exclusive.status) * 0x1_0000;
    let second = |register: u8| u32::from(register) * 0x400;
    let words = |start: u32| (0..2).map(move |order| start + order * 0x8000);
    match exclusive.second {
        Some(register) => words(start + 0x20_0000 + second(register)).collect(),
        None => (0..32).flat_map(|ones| words(start + second(ones))).collect(),
    }
}
