//! Load-exclusive and store-exclusive, single and as pairs (DDI 0487, C4.1.95, Loads and stores).

use super::instruction::{Refused, SP, base, bits, bytes, register};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exclusive {
    /// It loads, or else stores.
    pub is_load: bool,
    /// Bytes of one register: 1, 2, 4 or 8.
    pub bytes: u8,
    /// Register that holds the address, or SP.
    pub base: u8,
    /// What it loads or stores; 31 is XZR.
    pub first: u8,
    /// Second register of a pair.
    pub second: Option<u8>,
    /// Register of a store that gets 0 when it was done, and 1 when not.
    pub status: u8,
}

impl Exclusive {
    /// All bytes that it works on.
    #[must_use]
    pub const fn width(&self) -> u8 {
        if self.second.is_some() { 2 * self.bytes } else { self.bytes }
    }
}

/// With or without ordering.
pub(super) fn decode(word: u32) -> Result<Exclusive, Refused> {
    let refused = |what| Err(Refused { word, what });
    let (is_load, is_pair) = (bits(word, 22, 1) == 1, bits(word, 21, 1) == 1);
    let (first, status, base) = (register(word, 0), register(word, 16), base(word));
    let second = is_pair.then_some(register(word, 10));
    if is_load && second == Some(first) {
        return refused("loads one register twice: UNPREDICTABLE");
    }
    let is_own = |register: u8| register == status && status != SP;
    if !is_load && (is_own(first) || second.is_some_and(is_own) || is_own(base)) {
        return refused("writes its status over a register of its own: UNPREDICTABLE");
    }
    Ok(Exclusive { is_load, bytes: bytes(word), base, first, second, status })
}
