//! EL2: what it has to write before the kernel runs, and what it is told when the kernel traps.

pub mod abort;
pub mod atomic;
pub mod exclusive;
pub mod feature;
pub mod firmware;
pub mod instruction;
pub mod interrupts;
pub mod plain;
pub mod plan;
pub mod register;
pub mod system;
pub mod transfer;
