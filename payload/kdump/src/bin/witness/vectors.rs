//! The kernel's SIMD&FP registers, which EL2 itself never uses: they stay in the CPU while it runs.
//!
//! LDR and STR of one are allowed in streaming mode, too, where most of Advanced SIMD is not (DDI 0616, Streaming SVE mode). A load fills what SVE has
//! above with zeros, as the kernel's own would.

use core::arch::global_asm;

unsafe extern "C" {
    /// Stores V`register` at `to`.
    fn witness_vector_get(register: u64, to: *mut u128);
    /// Loads it from there.
    fn witness_vector_set(register: u64, from: *const u128);
}

/// What V`register` holds.
pub(crate) fn get(register: u8) -> u128 {
    let mut value = 0;
    // SAFETY: a register below 32, and 16 bytes. The plan leaves them to EL1 without traps, at EL2 either (CPTR_EL2).
    unsafe { witness_vector_get((register & 31).into(), &raw mut value) }
    value
}

/// Has it hold `value`.
pub(crate) fn set(register: u8, value: u128) {
    // SAFETY: as above; the code is soft-float, so that no value of Rust's is in it.
    unsafe { witness_vector_set((register & 31).into(), &raw const value) }
}

// STR Q<n>, [X1] and LDR Q<n>, [X1], one behind the other, with their returns.
global_asm!(
    ".pushsection .text.witness_vectors, \"ax\"",
    ".macro each_vector name, first",
    ".global \\name",
    "\\name:",
    "adr x2, 2f",
    "add x2, x2, x0, lsl #3",
    "br x2",
    "2:",
    ".set number, 0",
    ".rept 32",
    ".inst \\first + number",
    "ret",
    ".set number, number + 1",
    ".endr",
    ".endm",
    "each_vector witness_vector_get, 0x3d800020",
    "each_vector witness_vector_set, 0x3dc00020",
    ".popsection",
);
