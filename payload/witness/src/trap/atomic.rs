//! Atomic instructions (FEAT_LSE): `LD<op>` and `ST<op>`, SWP, CAS and CASP, with any ordering (DDI 0487, C4.1.95, Loads and stores).

use super::instruction::{Refused, base, bits, bytes, register};

/// One of them: memory changes, and a register gets what it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Atomic {
    /// What is computed.
    pub operation: Operation,
    /// Bytes of one register: 1, 2, 4 or 8.
    pub bytes: u8,
    /// It works on two neighbouring registers each (CASP).
    pub is_pair: bool,
    /// Register that holds the address, or SP.
    pub base: u8,
    /// Register of the operand; of CAS, of the new value. 31 is XZR.
    pub operand: u8,
    /// Register that gets the old value; of CAS it holds what is expected. 31 is none.
    pub old: u8,
}

/// What is computed of the old value and the operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the architecture names them")]
pub enum Operation {
    Add,
    Clear,
    Xor,
    Set,
    SignedMax,
    SignedMin,
    UnsignedMax,
    UnsignedMin,
    Swap,
    Compare,
}

impl Atomic {
    /// All bytes that it works on.
    #[must_use]
    pub const fn width(&self) -> u8 {
        if self.is_pair { 2 * self.bytes } else { self.bytes }
    }

    /// What memory holds in the end; `None` where nothing is stored. Values have as many bytes as the access.
    #[must_use]
    pub fn stored(&self, old: u128, operand: u128, expected: u128) -> Option<u128> {
        let unused = 128 - 8 * u32::from(self.width());
        let sign = |value: u128| (value << unused) as i128;
        let old_if = |is: bool| if is { old } else { operand };
        let new = match self.operation {
            Operation::Add => old.wrapping_add(operand),
            Operation::Clear => old & !operand,
            Operation::Xor => old ^ operand,
            Operation::Set => old | operand,
            Operation::SignedMax => old_if(sign(old) > sign(operand)),
            Operation::SignedMin => old_if(sign(old) <= sign(operand)),
            Operation::UnsignedMax => old_if(old > operand),
            Operation::UnsignedMin => old_if(old <= operand),
            Operation::Swap => operand,
            Operation::Compare => return (old == expected).then_some(operand),
        };
        Some(new << unused >> unused)
    }
}

/// LDADD to LDUMIN, SWP: Rs is the operand, Rt gets the old value.
pub(super) fn memory(word: u32) -> Result<Atomic, Refused> {
    const OPERATIONS: [Operation; 8] = [
        Operation::Add,
        Operation::Clear,
        Operation::Xor,
        Operation::Set,
        Operation::SignedMax,
        Operation::SignedMin,
        Operation::UnsignedMax,
        Operation::UnsignedMin,
    ];
    // o3 and opc.
    let operation = match bits(word, 12, 4) {
        0b1000 => Operation::Swap,
        opc => match OPERATIONS.get(opc as usize) {
            Some(operation) => *operation,
            // FEAT_LS64; FEAT_THE.
            None => return Err(Refused { word, what: "moves 64 bytes, or is atomic on page tables" }),
        },
    };
    let (operand, old) = (register(word, 16), register(word, 0));
    Ok(Atomic { operation, bytes: bytes(word), is_pair: false, base: base(word), operand, old })
}

/// CAS and CASP: Rs is what is expected, and gets the old value; Rt is the new one.
pub(super) fn compare(word: u32) -> Result<Atomic, Refused> {
    let (operand, old) = (register(word, 0), register(word, 16));
    let is_pair = bits(word, 23, 1) == 0;
    if bits(word, 10, 5) != 31 || is_pair && (operand | old) & 1 != 0 {
        return Err(Refused { word, what: "no known atomic" });
    }
    // Of a pair bit 30 alone is the size, and bit 31 is 0.
    let bytes = if is_pair { 4 << bits(word, 30, 1) } else { bytes(word) };
    Ok(Atomic { operation: Operation::Compare, bytes, is_pair, base: base(word), operand, old })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stored(operation: Operation, bytes: u8, is_pair: bool, [old, operand, expected]: [u128; 3]) -> Option<u128> {
        Atomic { operation, bytes, is_pair, base: 0, operand: 1, old: 2 }.stored(old, operand, expected)
    }

    proptest! {
        /// Against the integers of the language.
        #[test]
        fn operations_are_those_of_integers(old: u64, operand: u64) {
            macro_rules! width {
                ($unsigned:ty, $signed:ty) => {{
                    let (old, operand) = (old as $unsigned, operand as $unsigned);
                    let (low, high) = (old as $signed, operand as $signed);
                    let wide = |value: $signed| value as $unsigned;
                    for (operation, expected) in [
                        (Operation::Add, old.wrapping_add(operand)),
                        (Operation::Clear, old & !operand),
                        (Operation::Xor, old ^ operand),
                        (Operation::Set, old | operand),
                        (Operation::SignedMax, wide(low.max(high))),
                        (Operation::SignedMin, wide(low.min(high))),
                        (Operation::UnsignedMax, old.max(operand)),
                        (Operation::UnsignedMin, old.min(operand)),
                        (Operation::Swap, operand),
                    ] {
                        let values = [old.into(), operand.into(), 0];
                        let got = stored(operation, size_of::<$unsigned>() as u8, false, values);
                        prop_assert_eq!(got, Some(expected.into()), "{:?}", operation);
                    }
                }};
            }
            width!(u8, i8);
            width!(u16, i16);
            width!(u32, i32);
            width!(u64, i64);
        }

        #[test]
        fn a_pair_is_stored_where_both_are_as_expected(old: u128, operand: u128, bit in 0..128_u32) {
            let of = |expected| stored(Operation::Compare, 8, true, [old, operand, expected]);
            prop_assert_eq!(of(old), Some(operand));
            prop_assert_eq!(of(old ^ 1 << bit), None);
        }
    }
}
