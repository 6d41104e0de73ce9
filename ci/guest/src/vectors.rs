//! Exceptions at EL1: one that was expected is told to whoever tried, any other is a panic.

use core::{
    arch::{asm, global_asm},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

static IS_EXPECTED: AtomicBool = AtomicBool::new(false);
/// ESR_EL1 of the first exception of an attempt; 0: none was taken.
static SYNDROME: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    static guest_kernel_vectors: u8;
}

/// Puts the vectors in force, and lets EL1 use floating point, SVE and SME, whatever of them the CPU has.
pub(crate) fn install() {
    const FPEN_ZEN_SMEN: u64 = 3 << 20 | 3 << 16 | 3 << 24;
    let vectors = (&raw const guest_kernel_vectors).addr();
    // SAFETY: the table below, aligned as VBAR_EL1 wants it; bits of CPACR_EL1 without a feature are RES0.
    unsafe { asm!("msr vbar_el1, {}", "msr cpacr_el1, {}", "isb", in(reg) vectors, in(reg) FPEN_ZEN_SMEN) }
}

/// Runs `job`, in which each instruction that takes an exception is passed over. ESR_EL1 of the first one.
pub(crate) fn attempt<T>(job: impl FnOnce() -> T) -> Result<T, u64> {
    SYNDROME.store(0, Ordering::Relaxed);
    IS_EXPECTED.store(true, Ordering::SeqCst);
    let done = job();
    IS_EXPECTED.store(false, Ordering::SeqCst);
    match SYNDROME.load(Ordering::Relaxed) {
        0 => Ok(done),
        syndrome => Err(syndrome),
    }
}

/// Called by the vectors; `kind` as the entries count.
#[unsafe(no_mangle)]
extern "C" fn guest_exception(kind: u64) {
    let (esr, elr, far): (u64, u64, u64);
    // SAFETY: reading these registers has no effect.
    unsafe { asm!("mrs {}, esr_el1", "mrs {}, elr_el1", "mrs {}, far_el1", out(reg) esr, out(reg) elr, out(reg) far) }
    if kind != 0 || !IS_EXPECTED.load(Ordering::SeqCst) {
        IS_EXPECTED.store(false, Ordering::SeqCst);
        panic!("exception {kind}: ESR {esr:#x} ELR {elr:#x} FAR {far:#x}");
    }
    // An instruction of 32 bits: that is what an attempt consists of.
    let _ = SYNDROME.compare_exchange(0, esr, Ordering::Relaxed, Ordering::Relaxed);
    // SAFETY: no other exception can have come between; the next instruction of the attempt follows.
    unsafe { asm!("msr elr_el1, {}", in(reg) elr + 4) }
}

// All registers that a call may change are kept: an attempt knows nothing of the exception.
global_asm!(
    ".macro kernel_exception kind",
    ".balign 128",
    "sub sp, sp, #176",
    "stp x0, x1, [sp]",
    "mov x0, #\\kind",
    "b kernel_exception_common",
    ".endm",
    ".balign 2048",
    ".global guest_kernel_vectors",
    "guest_kernel_vectors:",
    "kernel_exception 4",
    "kernel_exception 5",
    "kernel_exception 6",
    "kernel_exception 7",
    "kernel_exception 0",
    "kernel_exception 1",
    "kernel_exception 2",
    "kernel_exception 3",
    ".balign 128",
    "kernel_exception_common:",
    "stp x2, x3, [sp, #16]",
    "stp x4, x5, [sp, #32]",
    "stp x6, x7, [sp, #48]",
    "stp x8, x9, [sp, #64]",
    "stp x10, x11, [sp, #80]",
    "stp x12, x13, [sp, #96]",
    "stp x14, x15, [sp, #112]",
    "stp x16, x17, [sp, #128]",
    "stp x18, x29, [sp, #144]",
    "str x30, [sp, #160]",
    "bl guest_exception",
    "ldp x2, x3, [sp, #16]",
    "ldp x4, x5, [sp, #32]",
    "ldp x6, x7, [sp, #48]",
    "ldp x8, x9, [sp, #64]",
    "ldp x10, x11, [sp, #80]",
    "ldp x12, x13, [sp, #96]",
    "ldp x14, x15, [sp, #112]",
    "ldp x16, x17, [sp, #128]",
    "ldp x18, x29, [sp, #144]",
    "ldr x30, [sp, #160]",
    "ldp x0, x1, [sp]",
    "add sp, sp, #176",
    "eret",
);
