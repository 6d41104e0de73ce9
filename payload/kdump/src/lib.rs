//! What both images that take over after a crash share: how they start and go back, how they observe, and what they tell.
//!
//! `kdump` follows one of our own policies; `witness` starts somebody's kernel and watches it.

#![no_std]
#![expect(unsafe_code, reason = "entered from another image: memory is taken over by address")]

extern crate alloc;

pub mod errors;
pub mod given;
pub mod image;
pub mod observe;
pub mod stopping;
pub mod streams;
pub mod tell;
