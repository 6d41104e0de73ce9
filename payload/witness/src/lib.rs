//! The witness: what EL2 needs to start somebody else's kernel at EL1 and to see what it does to the SMMUs.
//!
//! Data goes one way: a trap is decoded ([`trap`]), carried out ([`carry_out`]), becomes entries of the same log that our own
//! policies write ([`watch`]), and that log goes to the same checker and judge. Nothing here touches a register of the CPU:
//! what EL2 has to write is a list of plain values ([`trap::plan`]), and whoever runs there reads and writes memory and SMMUs
//! through [`smmu::access::Access`].

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod carry_out;
pub mod course;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod guest;
pub mod psci;
pub mod trap;
pub mod watch;
