//! Single accesses to device registers and to memory that devices write.
//!
//! Each is one load or store instruction, so that it is never split, merged, or given a write-back form that a
//! hypervisor could not decode.

use core::arch::asm;

macro_rules! access {
    ($read:ident, $write:ident, $type:ty, $load:literal, $store:literal) => {
        #[doc = concat!("Reads a `", stringify!($type), "` with one load; all ones where the load is aborted and passed over.")]
        ///
        /// # Safety
        /// `at` is mapped, readable and naturally aligned, and reading it has no effect on memory that Rust owns.
        #[must_use]
        pub unsafe fn $read(at: u64) -> $type {
            let value: u64;
            // SAFETY: the caller's promise is the instruction's precondition.
            unsafe { asm!("mov {0:x}, #-1", $load, out(reg) value, in(reg) at, options(nostack, preserves_flags)) }
            value as $type
        }

        #[doc = concat!("Writes a `", stringify!($type), "` with one store.")]
        ///
        /// # Safety
        /// `at` is mapped, writable and naturally aligned, and no Rust reference to it exists.
        pub unsafe fn $write(at: u64, value: $type) {
            // SAFETY: the caller's promise is the instruction's precondition.
            unsafe { asm!($store, in(reg) u64::from(value), in(reg) at, options(nostack, preserves_flags)) }
        }
    };
}

access!(read8, write8, u8, "ldrb {0:w}, [{1}]", "strb {0:w}, [{1}]");
access!(read16, write16, u16, "ldrh {0:w}, [{1}]", "strh {0:w}, [{1}]");
access!(read32, write32, u32, "ldr {0:w}, [{1}]", "str {0:w}, [{1}]");
access!(read64, write64, u64, "ldr {0:x}, [{1}]", "str {0:x}, [{1}]");

/// Reads 8, 4, 2 or 1 bytes with one load.
///
/// # Safety
/// As for [`read64`], at a multiple of `bytes`.
#[must_use]
pub unsafe fn read(at: u64, bytes: usize) -> u64 {
    match bytes {
        // SAFETY: the caller's promise, as below.
        8 => unsafe { read64(at) },
        // SAFETY: as above.
        4 => unsafe { read32(at) }.into(),
        // SAFETY: as above.
        2 => unsafe { read16(at) }.into(),
        // SAFETY: as above.
        _ => unsafe { read8(at) }.into(),
    }
}

/// Writes 8, 4, 2 or 1 bytes with one store.
///
/// # Safety
/// As for [`write64`], at a multiple of `bytes`.
pub unsafe fn write(at: u64, bytes: usize, value: u64) {
    match bytes {
        // SAFETY: the caller's promise, as below.
        8 => unsafe { write64(at, value) },
        // SAFETY: as above.
        4 => unsafe { write32(at, value as u32) },
        // SAFETY: as above.
        2 => unsafe { write16(at, value as u16) },
        // SAFETY: as above.
        _ => unsafe { write8(at, value as u8) },
    }
}

/// Reads 16 bytes of Normal memory with one instruction, not atomically: for searches of large windows.
///
/// # Safety
/// As for [`read64`], and `at` is a multiple of 16 in Normal memory.
#[must_use]
pub unsafe fn read_pair(at: u64) -> (u64, u64) {
    let (low, high);
    // SAFETY: the caller's promise is the instruction's precondition.
    unsafe { asm!("ldp {0}, {1}, [{2}]", out(reg) low, out(reg) high, in(reg) at, options(nostack, preserves_flags)) }
    (low, high)
}

/// Writes a word twice, to 16 bytes of Normal memory, with one instruction, not atomically.
///
/// # Safety
/// As for [`write64`], and `at` is a multiple of 16 in Normal memory.
pub unsafe fn write_pair(at: u64, word: u64) {
    // SAFETY: the caller's promise is the instruction's precondition.
    unsafe { asm!("stp {0}, {0}, [{1}]", in(reg) word, in(reg) at, options(nostack, preserves_flags)) }
}
