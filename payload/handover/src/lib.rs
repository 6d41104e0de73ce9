//! The block that one image leaves for the other.
//!
//! `boot` is what any crash kernel is given; `oracle` only observer and judge may read.

#![no_std]
#![forbid(unsafe_code)]

pub mod oracle;
