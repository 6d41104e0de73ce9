//! One load or store of a register: how wide it is, and what becomes of the value.

/// Between a register and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// 0 to 30; 31 is XZR: a store of zero, or a load whose value is dropped. Of a vector register 31 is V31.
    pub register: u8,
    /// 1, 2, 4 or 8; of a vector register 16, too.
    pub bytes: u8,
    /// A load fills the bits above the value with its sign, and not with zeros.
    pub is_signed: bool,
    /// A load fills the whole register, and not its lower half with zeros above.
    pub is_wide: bool,
    /// The register is a SIMD&FP one: a load fills it with zeros above the value.
    pub is_vector: bool,
}

impl Transfer {
    /// Name of the register that no register is.
    pub const ZERO: u8 = 31;

    /// Of a general register, without sign.
    #[must_use]
    pub const fn unsigned(register: u8, bytes: u8) -> Self {
        Self { register, bytes, is_signed: false, is_wide: bytes == 8, is_vector: false }
    }

    /// Of a vector register.
    #[must_use]
    pub const fn vector(register: u8, bytes: u8) -> Self {
        Self { register, bytes, is_signed: false, is_wide: false, is_vector: true }
    }

    /// What a load leaves in a general register when memory answers `value`; bits above the width are dropped.
    #[must_use]
    pub const fn loaded(&self, value: u64) -> u64 {
        let unused = 64 - 8 * self.width();
        let value =
            if self.is_signed { (((value << unused) as i64) >> unused) as u64 } else { value << unused >> unused };
        if self.is_wide { value } else { value & 0xFFFF_FFFF }
    }

    /// What a store writes when a general register holds `value`.
    #[must_use]
    pub const fn stored(&self, value: u64) -> u64 {
        let unused = 64 - 8 * self.width();
        value << unused >> unused
    }

    const fn width(&self) -> u32 {
        match self.bytes {
            1 | 2 | 4 => self.bytes as u32,
            _ => 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against the conversions of the language.
        #[test]
        fn values_are_extended_as_the_width_says(value: u64) {
            let load = |bytes, is_signed, is_wide| Transfer { is_signed, is_wide, ..Transfer::unsigned(0, bytes) }.loaded(value);
            prop_assert_eq!(load(1, false, false), u64::from(value as u8));
            prop_assert_eq!(load(2, false, false), u64::from(value as u16));
            prop_assert_eq!(load(4, false, false), u64::from(value as u32));
            prop_assert_eq!(load(8, false, true), value);
            prop_assert_eq!(load(1, true, true), i64::from(value as i8) as u64);
            prop_assert_eq!(load(2, true, true), i64::from(value as i16) as u64);
            prop_assert_eq!(load(4, true, true), i64::from(value as i32) as u64);
            prop_assert_eq!(load(1, true, false), u64::from(i32::from(value as i8) as u32));
            prop_assert_eq!(load(2, true, false), u64::from(i32::from(value as i16) as u32));
            let store = |bytes| Transfer::unsigned(0, bytes).stored(value);
            prop_assert_eq!(store(1), u64::from(value as u8));
            prop_assert_eq!(store(2), u64::from(value as u16));
            prop_assert_eq!(store(4), u64::from(value as u32));
            prop_assert_eq!(store(8), value);
        }
    }
}
