//! What was decoded, as assembly.

use super::*;
use crate::trap::atomic::Operation;
use crate::trap::plain::Index;
use crate::trap::transfer::Transfer;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

pub(super) fn text(instruction: &Instruction) -> String {
    match instruction {
        Instruction::Plain(plain) => of_plain(plain),
        Instruction::Atomic(atomic) => of_atomic(atomic),
        Instruction::Exclusive(exclusive) => of_exclusive(exclusive),
        Instruction::Zero(register) => format!("dc zva, {}", general('x', *register)),
    }
}

fn general(letter: char, register: u8) -> String {
    if register == 31 { format!("{letter}zr") } else { format!("{letter}{register}") }
}

const fn letter(bytes: u8) -> char {
    if bytes == 8 { 'x' } else { 'w' }
}

const fn width(bytes: u8) -> &'static str {
    match bytes {
        1 => "b",
        2 => "h",
        _ => "",
    }
}

fn base(register: u8) -> String {
    if register == SP { "sp".to_string() } else { format!("x{register}") }
}

fn of_plain(plain: &Plain) -> String {
    let (offset, first) = plain.first;
    let mut name = String::from(match (plain.is_load, plain.is_ordered) {
        (true, false) => "ld",
        (false, false) => "st",
        (true, true) => "lda",
        (false, true) => "stl",
    });
    name += if plain.second.is_some() {
        "p"
    } else if plain.is_unprivileged {
        "tr"
    } else {
        "r"
    };
    name += if first.is_signed { "s" } else { "" };
    name += match first.bytes {
        _ if first.is_vector => "",
        4 if first.is_signed => "w",
        bytes => width(bytes),
    };
    let register = |transfer: Transfer| match transfer.is_vector {
        true => format!("{}{}", ["b", "h", "s", "d", "q"][transfer.bytes.ilog2() as usize], transfer.register),
        false => general(if transfer.is_wide { 'x' } else { 'w' }, transfer.register),
    };
    let registers: Vec<String> = plain.transfers().map(|(_, transfer)| register(transfer)).collect();
    let base = base(plain.base);
    let address = match (plain.write_back, &plain.index) {
        (_, Some(index)) => format!("[{base}, {}]", of_index(index)),
        (None, _) if offset == 0 => format!("[{base}]"),
        (None, _) => format!("[{base}, #{offset}]"),
        (Some(by), _) if offset == 0 => format!("[{base}], #{by}"),
        (Some(by), _) => {
            assert_eq!(by, offset);
            format!("[{base}, #{offset}]!")
        }
    };
    format!("{name} {}, {address}", registers.join(", "))
}

fn of_index(index: &Index) -> String {
    let register = general(if index.is_wide { 'x' } else { 'w' }, index.register);
    let extend = match (index.is_wide, index.is_signed) {
        (true, false) => "lsl",
        (true, true) => "sxtx",
        (false, true) => "sxtw",
        (false, false) => "uxtw",
    };
    match index.shift {
        0 if extend == "lsl" => register,
        0 => format!("{register}, {extend}"),
        shift => format!("{register}, {extend} #{shift}"),
    }
}

fn of_atomic(atomic: &Atomic) -> String {
    let Atomic { operation, bytes, is_pair, operand, old, .. } = *atomic;
    let (width, base, letter) = (width(bytes), base(atomic.base), letter(bytes));
    let register = |number| general(letter, number);
    let name = match operation {
        Operation::Swap => return format!("swp{width} {}, {}, [{base}]", register(operand), register(old)),
        Operation::Compare if is_pair => {
            let pair = |first| format!("{}, {}", register(first), register(first + 1));
            return format!("casp {}, {}, [{base}]", pair(old), pair(operand));
        }
        Operation::Compare => return format!("cas{width} {}, {}, [{base}]", register(old), register(operand)),
        Operation::Add => "add",
        Operation::Clear => "clr",
        Operation::Xor => "eor",
        Operation::Set => "set",
        Operation::SignedMax => "smax",
        Operation::SignedMin => "smin",
        Operation::UnsignedMax => "umax",
        Operation::UnsignedMin => "umin",
    };
    match old {
        31 => format!("st{name}{width} {}, [{base}]", register(operand)),
        _ => format!("ld{name}{width} {}, {}, [{base}]", register(operand), register(old)),
    }
}

fn of_exclusive(exclusive: &Exclusive) -> String {
    let name = if exclusive.is_load { "ldx" } else { "stx" };
    let kind = if exclusive.second.is_some() { "p" } else { "r" };
    let mut registers = Vec::new();
    if !exclusive.is_load {
        registers.push(general('w', exclusive.status));
    }
    let moved = [Some(exclusive.first), exclusive.second];
    registers.extend(moved.into_iter().flatten().map(|register| general(letter(exclusive.bytes), register)));
    format!("{name}{kind}{} {}, [{}]", width(exclusive.bytes), registers.join(", "), base(exclusive.base))
}
