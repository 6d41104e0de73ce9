//! An SMMUv3 that fights back, for host tests: registers, queues, caches and walks over sparse memory, and PCI functions
//! that do DMA between any two accesses of the software under test.
//!
//! The code that the images run (bring-up, tables, queues, policies) runs here unchanged: a [`Machine`] is an
//! [`smmu::access::Access`], [`FreshFrames`] are [`smmu::frames::Frames`]. After each access the hardware goes on, and every
//! live [`Function`] tries its windows as the [`Schedule`] says. A [`Record`] keeps what became of it: delivered, blocked
//! and why, or mis-steered, with the STE and CD that were used.
//!
//! Guards are enforced, and a breach is recorded ([`Violation`]). Where the architecture leaves a choice, [`Choices`] make
//! it: [`Choices::kind`] the least surprising one, [`Choices::seeded`] any, reproducibly, and [`exhaust`] one run for each
//! combination of choices with at most so many deviations. [`Freedom`] lists what is left open.
//!
//! # Personalities
//!
//! [`Personality::Architecture`] is SMMUv3.0 to v3.4: guarded writes are CONSTRAINED UNPREDICTABLE up to v3.1 (ignored, taken,
//! or any value) and ignored from v3.2 on. [`Personality::Qemu10`] makes no choices and has QEMU's oddities; the table in
//! `tests/personality.rs` lists each with its reason, and fails if the two differ there in any other way than it says.
//!
//! # Taken as
//!
//! Where the text leaves doubt, or the model cannot follow it in full:
//!
//! | IHI 0070 | taken as |
//! |---|---|
//! | 3.21.3 | Eight words of an STE or CD are not read at one instant: each may be as it was when the copy in the cache was fetched from the same address, or as it is now. A completed invalidation ends that. |
//! | 3.13.2 | An access flag is set ahead, if at all, in the neighbour of a leaf that a transaction uses. |
//! | 3.13.4 | A flag that was updated is visible to the CPU at once. |
//! | 3.21 | Without a barrier, stores to one word are seen in order, to different words in any, and what was seen stays seen. A store buffer holds 96; then the oldest is visible. Both publishing barriers are a DSB: complete, not only ordered. |
//! | 3.3 | SMMUEN 1 to 0 and back keeps and drops cached structures and translations as it likes, entry by entry. |
//! | 4.3.1 | CMD_CFGI_STE drops the CDs of its StreamID too, whatever Leaf says. |
//! | 4.4 | CMD_TLBI_S2_IPA drops stage-2 entries and leaves combined ones. |
//! | 4.7.3 | Invalidations before a consumed CMD_SYNC are complete; without one they may stay incomplete for any time. |
//! | 5.2 | With stage 2 implemented, S2VMID tags stage-1 translations of a Config 0b101 stream. |
//! | 6.2 | A 64-bit read of two 32-bit registers gives both. |
//! | 6.3.9 | A transaction may meet a new SMMUEN before its acknowledge, and none after it meets the old one. For SMMUv3.2 and later, a field written again too early is as open as before. |
//! | 6.3.14 | Up to v3.1 a GBPA write without Update is ignored, or holds at once and is never acknowledged. |
//! | 6.3.20 | A GERRORN bit toggled without an active error is ignored, or makes the error active. |
//! | 6.3.24 | A live table register that was taken or became any value holds from the write on. |
//! | 7.2 | Eight events are buffered; those not written when EVENTQEN becomes 0 are gone. |
//! | 12.3 | In Service Failure Mode everything ends and no command is consumed. |
//!
//! # Not modelled
//!
//! ATS and PRI beyond their registers; MSIs and interrupts beyond their guards; memory attributes and what a mismatch does,
//! but for updates of flags; those at stage 2 and in table descriptors; AArch32 and LPA2 tables; APTable; multiple matching TLB entries (F_TLB_CONFLICT); MPAM; ECMDQ;
//! the Secure and Realm states, whose registers are RAZ/WI. Time is counted in accesses: nothing happens between two of them
//! that does not happen after the first.

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
