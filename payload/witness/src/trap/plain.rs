//! Loads and stores of one or two registers, general or SIMD&FP (DDI 0487, C4.1.95, Loads and stores).

use super::instruction::{Refused, SP, base, bits, bytes, register, signed};
use super::transfer::Transfer;

/// A load or store of one or two registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    /// It loads, or else stores.
    pub is_load: bool,
    /// Register that holds the address, or SP.
    pub base: u8,
    /// A register that is added to it.
    pub index: Option<Index>,
    /// First transfer, and its distance in bytes from the address.
    pub first: (i64, Transfer),
    /// Second one, of a pair.
    pub second: Option<(i64, Transfer)>,
    /// What is added to `base` in the end.
    pub write_back: Option<i64>,
    /// It has the rights of EL0 (LDTR, STTR).
    pub is_unprivileged: bool,
    /// It has acquire or release semantics.
    pub is_ordered: bool,
}

/// An offset in a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    /// The register; 31 is XZR.
    pub register: u8,
    /// All of it, and not the lower half, extended.
    pub is_wide: bool,
    /// A half is extended by its sign.
    pub is_signed: bool,
    /// Places that it is shifted to the left by.
    pub shift: u32,
}

impl Index {
    /// The offset in bytes when the register holds `value`.
    #[must_use]
    pub const fn offset(&self, value: u64) -> i64 {
        let value = match (self.is_wide, self.is_signed) {
            (true, _) => value as i64,
            (false, true) => value as i32 as i64,
            (false, false) => value as u32 as i64,
        };
        value << self.shift
    }
}

impl Plain {
    /// Its transfers in order, each with its distance from the address.
    pub fn transfers(&self) -> impl Iterator<Item = (i64, Transfer)> {
        core::iter::once(self.first).chain(self.second)
    }

    /// At what the base register holds.
    const fn at_base(word: u32, is_load: bool, transfer: Transfer) -> Self {
        Self {
            is_load,
            base: base(word),
            index: None,
            first: (0, transfer),
            second: None,
            write_back: None,
            is_unprivileged: false,
            is_ordered: false,
        }
    }
}

/// LDP, STP, LDPSW, LDNP, STNP, of general and vector registers.
pub(super) fn pair(word: u32) -> Result<Plain, Refused> {
    let refused = |what| Err(Refused { word, what });
    let (opc, form, is_load) = (bits(word, 30, 2), bits(word, 23, 2), bits(word, 22, 1) == 1);
    let is_vector = bits(word, 26, 1) == 1;
    let (bytes, is_signed) = match (is_vector, opc) {
        (true, 0b00..=0b10) => (4 << opc, false),
        (false, 0b00) => (4, false),
        // LDNP has no such form.
        (false, 0b01) if is_load && form != 0 => (4, true),
        (false, 0b01) if !is_load => return refused("moves tags"),
        (false, 0b10) => (8, false),
        _ => return refused("no known pair"),
    };
    let transfer = |lowest| match is_vector {
        true => Transfer::vector(register(word, lowest), bytes),
        false => Transfer {
            is_signed,
            is_wide: is_signed || bytes == 8,
            ..Transfer::unsigned(register(word, lowest), bytes)
        },
    };
    let (one, other) = (transfer(0), transfer(10));
    if is_load && one.register == other.register {
        return refused("loads one register twice: UNPREDICTABLE");
    }
    // 00 without allocation, 01 post-index, 10 offset, 11 pre-index.
    let offset = signed(word, 15, 7) * i64::from(bytes);
    let write_back = (form & 1 == 1).then_some(offset);
    if write_back.is_some() && (is_own(word, &one) || is_own(word, &other)) {
        return refused("writes its base back over a register of its own: UNPREDICTABLE");
    }
    let at = if form == 1 { 0 } else { offset };
    let second = Some((at + i64::from(bytes), other));
    Ok(Plain { first: (at, one), second, write_back, ..Plain::at_base(word, is_load, one) })
}

/// The transfer is of the base register, which is to be written back.
const fn is_own(word: u32, transfer: &Transfer) -> bool {
    !transfer.is_vector && transfer.register == base(word) && base(word) != SP
}

/// LDR, STR and their kin with an immediate offset.
pub(super) fn single(word: u32) -> Result<Plain, Refused> {
    let refused = |what| Err(Refused { word, what });
    let (is_load, transfer) = transfer(word)?;
    let (at, write_back) = match (bits(word, 24, 1), bits(word, 10, 2)) {
        (1, _) => (i64::from(bits(word, 10, 12)) << transfer.bytes.ilog2(), None),
        // 00 unscaled, 01 post-index, 10 unprivileged, 11 pre-index.
        (_, 0b01) => (0, Some(signed(word, 12, 9))),
        (_, 0b11) => (signed(word, 12, 9), Some(signed(word, 12, 9))),
        _ => (signed(word, 12, 9), None),
    };
    if write_back.is_some() && is_own(word, &transfer) {
        return refused("writes its base back over its register: UNPREDICTABLE");
    }
    let is_unprivileged = bits(word, 24, 1) == 0 && bits(word, 10, 2) == 0b10;
    if is_unprivileged && transfer.is_vector {
        return refused("no known load or store");
    }
    Ok(Plain { first: (at, transfer), write_back, is_unprivileged, ..Plain::at_base(word, is_load, transfer) })
}

/// The same with a register as offset.
pub(super) fn indexed(word: u32) -> Result<Plain, Refused> {
    let (is_load, transfer) = transfer(word)?;
    let option = bits(word, 13, 3);
    if option & 0b010 == 0 {
        return Err(Refused { word, what: "no known load or store" });
    }
    let index = Index {
        register: register(word, 16),
        is_wide: option & 1 == 1,
        is_signed: option & 0b100 != 0,
        shift: bits(word, 12, 1) * transfer.bytes.ilog2(),
    };
    Ok(Plain { index: Some(index), ..Plain::at_base(word, is_load, transfer) })
}

/// LDAR, STLR, LDLAR, STLLR and LDAPR, of any width.
pub(super) const fn ordered(word: u32) -> Plain {
    // LDAPR is a load although the bit that says so elsewhere is its R.
    let is_load = bits(word, 22, 1) == 1 || bits(word, 27, 3) == 0b111;
    let transfer = Transfer::unsigned(register(word, 0), bytes(word));
    Plain { is_ordered: true, ..Plain::at_base(word, is_load, transfer) }
}

/// LDAPUR, STLUR and their kin: opc as elsewhere.
pub(super) fn ordered_unscaled(word: u32) -> Result<Plain, Refused> {
    let (is_load, transfer) = transfer(word)?;
    let first = (signed(word, 12, 9), transfer);
    Ok(Plain { first, is_ordered: true, ..Plain::at_base(word, is_load, transfer) })
}

/// Whether it loads, and what: size, V and opc.
fn transfer(word: u32) -> Result<(bool, Transfer), Refused> {
    let refused = |what| Err(Refused { word, what });
    let (size, opc, number) = (bits(word, 30, 2), bits(word, 22, 2), register(word, 0));
    if bits(word, 26, 1) == 1 {
        return match (opc & 0b10, size) {
            (0, _) => Ok((opc == 1, Transfer::vector(number, bytes(word)))),
            (_, 0) => Ok((opc == 0b11, Transfer::vector(number, 16))),
            _ => refused("no known load or store"),
        };
    }
    let (is_signed, is_wide) = match (opc, size) {
        (0b00 | 0b01, _) => (false, size == 3),
        (0b10, 3) => return refused("is a prefetch"),
        (0b10, _) => (true, true),
        (_, 0 | 1) => (true, false),
        _ => return refused("no known load or store"),
    };
    Ok((opc != 0, Transfer { is_signed, is_wide, ..Transfer::unsigned(number, bytes(word)) }))
}
