//! Firmware tables as values: ACPI tables borrowed from their bytes, every oddity of theirs as a [`Finding`].
//!
//! No parser here panics, reads outside its slice or runs without an end, whatever the bytes are. None takes memory, but
//! [`iort::Index`], made of a table that was read, and [`devicetree`].

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

extern crate alloc;

pub mod dbg2;
pub mod devicetree;
pub mod fadt;
pub mod finding;
pub mod gas;
pub mod gtdt;
pub mod iort;
pub mod madt;
pub mod mcfg;
pub mod platform;
mod read;
pub mod rule;
pub mod sdt;
pub mod spcr;

pub use devicetree::Devicetree;
pub use finding::{Finding, Severity, Sink, Unreadable, Words};
pub use platform::{Platform, Tables};
