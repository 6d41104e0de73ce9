//! An SMMUv3 that fights back, for host tests: registers, queues, caches and walks over sparse memory, and PCI functions
//! that do DMA between any two accesses of the software under test.

#![forbid(unsafe_code)]

mod bus;
mod choice;
mod crash;
mod function;
mod hardware;
mod machine;
mod memory;
mod mutant;
mod unit;
pub mod used;
mod walk;

pub use bus::Bus;
pub use choice::{Choices, Freedom, Freedoms, Pick, Tape, exhaust};
pub use crash::{Builder, Format, Kind, Stream, stage1_tables};
pub use function::{Function, Outcome, Record, Seen, Window};
pub use hardware::{Hardware, Personality};
pub use machine::{FreshFrames, Machine, RAM, Schedule};
pub use memory::Memory;
pub use mutant::{Action, Mutant, Mutation};
pub use unit::{Caches, Guard, Live, Regime, Stalled, TlbEntry, Unit, Violation};
pub use walk::{Path, Stop};
