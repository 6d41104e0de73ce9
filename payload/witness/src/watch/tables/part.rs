//! Which bits of a word an access is about.

use addr::PhysAddr;

/// A part of a 64-bit word, little-endian.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) word: PhysAddr,
    pub(super) shift: u32,
    pub(super) mask: u64,
}

impl Part {
    pub(super) const fn of(&self, word: u64) -> u64 {
        word >> self.shift & self.mask
    }

    pub(super) const fn replaced(&self, word: u64, value: u64) -> u64 {
        word & !(self.mask << self.shift) | (value & self.mask) << self.shift
    }
}
