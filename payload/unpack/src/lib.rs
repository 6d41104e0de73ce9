//! Undoes what the build does to make an image small: LZMA, and before it the filter for branches of arm64 code.
//!
//! Both write into the memory in which the image is wanted, and need no window. A decoder for any stream would be three times as
//! large, and the loader is the part of the file that is not compressed.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod branches;
mod lzma;

pub use branches::{START, restore};
pub use lzma::{LC, LP, PB, decode};

/// The packed bytes are not what the build wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

#[cfg(test)]
mod tests;
