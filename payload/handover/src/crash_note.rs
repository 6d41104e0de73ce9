//! What the crashed image notes as it dies, and what its other CPUs go on noting while the taker works.
//!
//! It is no sealed block: parts of it change at any moment. Observer and judge read it, no policy does.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `CrashNote::cause`: the code that dies jumped by itself.
pub const CAUSE_CALL: u64 = 1;
/// `CrashNote::cause`: a panic handler.
pub const CAUSE_PANIC: u64 = 2;
/// `CrashNote::cause`: an exception, whose syndrome is in the note.
pub const CAUSE_EXCEPTION: u64 = 3;

/// Its words, each of which is written by one store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CrashNote {
    /// `CAUSE_*`; 0: nobody wrote here.
    pub cause: u64,
    /// ESR_EL2 of the exception.
    pub esr: u64,
    /// ELR_EL2 of the exception.
    pub elr: u64,
    /// FAR_EL2 of the exception.
    pub far: u64,
    /// Rounds of a CPU that spins on.
    pub spins: u64,
    /// Doorbells that a CPU has rung.
    pub rings: u64,
}
