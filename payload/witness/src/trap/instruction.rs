//! Loads and stores that the syndrome does not describe (ISV 0): what the instruction word says (DDI 0487, C4.1.95).
//!
//! Pairs, and single registers with write-back: that is what a driver can come to use by accident. What moves vectors or
//! tags, is atomic or exclusive is refused by name, and so is what the architecture leaves UNPREDICTABLE: the witness then
//! has to step over it, or give up.

use super::transfer::Transfer;
use thiserror::Error;

/// Base register 31 is SP, where register 31 of a transfer is XZR.
pub const SP: u8 = 31;

/// A load or store of one or two general registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// It loads, or else stores.
    pub is_load: bool,
    /// Register that holds the address, or SP.
    pub base: u8,
    /// First transfer, and its distance in bytes from what `base` holds.
    pub first: (i64, Transfer),
    /// Second one, of a pair.
    pub second: Option<(i64, Transfer)>,
    /// What is added to `base` in the end.
    pub write_back: Option<i64>,
    /// It has the rights of EL0 (LDTR, STTR).
    pub is_unprivileged: bool,
}

impl Instruction {
    /// Its transfers in order, each with its distance from what `base` holds.
    pub fn transfers(&self) -> impl Iterator<Item = (i64, Transfer)> {
        core::iter::once(self.first).chain(self.second)
    }
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
    if word & 0xFFFF_FF00 == 0xD50B_7400 {
        return refused("zeroes a block");
    }
    match bits(word, 25, 4) {
        0b0010 => return refused("moves scalable vectors"),
        op1 if op1 & 0b0101 != 0b0100 => return refused("no load or store"),
        _ => {}
    }
    let is_vector = bits(word, 26, 1) == 1;
    match bits(word, 28, 2) {
        0b01 => refused(literal_or_memory(word)),
        _ if is_vector => refused("moves vectors"),
        0b00 => refused(exclusive(word)),
        0b10 => pair(word),
        _ => single(word),
    }
}

/// What the literal loads and those that came later are.
const fn literal_or_memory(word: u32) -> &'static str {
    match (bits(word, 24, 1), bits(word, 21, 1), bits(word, 10, 2)) {
        (0, ..) => "is relative to the program counter",
        (_, 0, 0b01) => "copies or sets memory",
        (_, 0, _) => "is ordered",
        (_, _, _) if bits(word, 30, 2) == 0b11 => "moves tags",
        _ => "is atomic",
    }
}

/// What the exclusive and ordered ones are: o2, o1.
const fn exclusive(word: u32) -> &'static str {
    match (bits(word, 23, 1), bits(word, 21, 1), bits(word, 31, 1)) {
        (0, 0, _) | (0, 1, 1) => "is exclusive",
        (1, 0, _) => "is ordered",
        _ => "is atomic",
    }
}

/// `count` bits from `lowest` on.
const fn bits(word: u32, lowest: u32, count: u32) -> u32 {
    word >> lowest & ((1 << count) - 1)
}

/// The same, with sign.
const fn signed(word: u32, lowest: u32, count: u32) -> i64 {
    ((word << (32 - lowest - count)) as i32 >> (32 - count)) as i64
}

const fn base(word: u32) -> u8 {
    bits(word, 5, 5) as u8
}

const fn register(word: u32, lowest: u32) -> u8 {
    bits(word, lowest, 5) as u8
}

/// LDP, STP, LDPSW, LDNP, STNP.
fn pair(word: u32) -> Result<Instruction, Refused> {
    let refused = |what| Err(Refused { word, what });
    let (opc, form, is_load) = (bits(word, 30, 2), bits(word, 23, 2), bits(word, 22, 1) == 1);
    let (bytes, is_signed) = match opc {
        0b00 => (4, false),
        // LDNP has no such form.
        0b01 if is_load && form != 0 => (4, true),
        0b01 if !is_load => return refused("moves tags"),
        0b10 => (8, false),
        _ => return refused("no known pair"),
    };
    let transfer =
        |lowest| Transfer { register: register(word, lowest), bytes, is_signed, is_wide: is_signed || bytes == 8 };
    let (one, other) = (transfer(0), transfer(10));
    if is_load && one.register == other.register {
        return refused("loads one register twice: UNPREDICTABLE");
    }
    // 00 without allocation, 01 post-index, 10 offset, 11 pre-index.
    let offset = signed(word, 15, 7) * i64::from(bytes);
    let write_back = (form & 1 == 1).then_some(offset);
    let is_own = |transfer: &Transfer| transfer.register == base(word) && base(word) != SP;
    if write_back.is_some() && (is_own(&one) || is_own(&other)) {
        return refused("writes its base back over a register of its own: UNPREDICTABLE");
    }
    let at = if form == 1 { 0 } else { offset };
    Ok(Instruction {
        is_load,
        base: base(word),
        first: (at, one),
        second: Some((at + i64::from(bytes), other)),
        write_back,
        is_unprivileged: false,
    })
}

/// LDR, STR and their kin with an immediate offset.
fn single(word: u32) -> Result<Instruction, Refused> {
    let refused = |what| Err(Refused { word, what });
    let (size, opc) = (bits(word, 30, 2), bits(word, 22, 2));
    let is_scaled = bits(word, 24, 1) == 1;
    let form = bits(word, 10, 2);
    if !is_scaled && bits(word, 21, 1) == 1 {
        return refused(match form {
            0b00 => "is atomic",
            0b10 => "has its offset in a register",
            _ => "authenticates its address",
        });
    }
    let (is_signed, is_wide) = match (opc, size) {
        (0b00 | 0b01, _) => (false, size == 3),
        (0b10, 3) => return refused("is a prefetch"),
        (0b10, _) => (true, true),
        (_, 0 | 1) => (true, false),
        _ => return refused("no known load or store"),
    };
    let transfer = Transfer { register: register(word, 0), bytes: 1 << size, is_signed, is_wide };
    let (at, write_back) = match (is_scaled, form) {
        (true, _) => (i64::from(bits(word, 10, 12)) << size, None),
        // 00 unscaled, 01 post-index, 10 unprivileged, 11 pre-index.
        (false, 0b01) => (0, Some(signed(word, 12, 9))),
        (false, 0b11) => (signed(word, 12, 9), Some(signed(word, 12, 9))),
        (false, _) => (signed(word, 12, 9), None),
    };
    if write_back.is_some() && transfer.register == base(word) && base(word) != SP {
        return refused("writes its base back over its register: UNPREDICTABLE");
    }
    let is_unprivileged = !is_scaled && form == 0b10;
    Ok(Instruction {
        is_load: opc != 0,
        base: base(word),
        first: (at, transfer),
        second: None,
        write_back,
        is_unprivileged,
    })
}

#[cfg(test)]
mod tests;
