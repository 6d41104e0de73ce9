//! From image to image and back. Between "MMU off" and the jump there are only registers.
//!
//! ```text
//! primary: crash() saves its context, dies, MMU off, (E2H on) ──▶ kdump: entry, MMU on from the map it was given
//! primary: came_back, restores its context, MMU on             ◀── kdump: hand_back(), MMU off
//! ```
//!
//! Another CPU of the primary comes in by the same door: PSCI starts it at `came_back` with a context made for it.

pub use crate::context::Context;

use crate::{
    cache, cpu,
    exceptions::Exception,
    mmio,
    mmu::Regime,
    power::{self, Conduit},
};
use addr::PhysAddr;
use core::{
    arch::naked_asm,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

// The softfloat target has no floating-point state, and its assembler no such instructions.
#[cfg(target_os = "uefi")]
macro_rules! fp {
    (save) => {
        "stp d8, d9, [x0, #112]\n stp d10, d11, [x0, #128]\n stp d12, d13, [x0, #144]\n stp d14, d15, [x0, #160]"
    };
    (restore) => {
        "ldp d8, d9, [x0, #112]\n ldp d10, d11, [x0, #128]\n ldp d12, d13, [x0, #144]\n ldp d14, d15, [x0, #160]"
    };
}
#[cfg(not(target_os = "uefi"))]
macro_rules! fp {
    ($which:ident) => {
        ""
    };
}

/// Has PSCI start a CPU with a context of [`Context::entering`].
///
/// # Errors
/// PSCI's code (Arm DEN 0022, 5.2.2).
///
/// # Safety
/// The context and its stack stay where they are, and nobody else's, until the CPU is off.
pub unsafe fn start_cpu(conduit: Conduit, affinity: u64, context: &Context) -> Result<(), i64> {
    power::cpu_on(conduit, affinity, way_back().0, context.publish())
}

impl Default for Context {
    fn default() -> Self {
        Self::new()
    }
}

/// Address to which the other image must jump, with the context's address in x0, to come back.
#[must_use]
pub fn way_back() -> PhysAddr {
    PhysAddr(came_back as *const () as u64)
}

/// The image that takes over.
#[derive(Clone, Copy, Debug)]
pub struct Taker {
    /// Its first instruction.
    pub entry: PhysAddr,
    /// What it is given in x0.
    pub argument: PhysAddr,
    /// It starts with HCR_EL2.E2H set.
    pub e2h: bool,
    /// Where the crashing code notes why it dies: cause, ESR, ELR, FAR.
    pub note: PhysAddr,
}

/// Why the taker is called, as the note says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// By a plain call.
    Call = 1,
    /// By the panic handler.
    Panic = 2,
    /// By an exception.
    Exception = 3,
}

static ENTRY: AtomicU64 = AtomicU64::new(0);
static ARGUMENT: AtomicU64 = AtomicU64::new(0);
static E2H: AtomicBool = AtomicBool::new(false);
static NOTE: AtomicU64 = AtomicU64::new(0);
/// Affinity of the CPU that is to die: an exception of another is no crash.
static DYING: AtomicU64 = AtomicU64::new(0);

/// Dies by `die`, which must end in [`take_over`] (directly, or through a panic or exception handler that calls it), and
/// returns when the taker hands back.
///
/// # Safety
/// 1. `taker` is clean to PoC, and reads its argument as it was written.
/// 2. The taker changes no memory of this image but what both agreed on.
/// 3. Exceptions are masked; this code and `context` are identity-mapped.
/// 4. No frame of `die` holds anything that must be dropped: those frames are abandoned.
pub unsafe fn crash(context: &mut Context, taker: Taker, die: extern "C" fn() -> !) {
    // SAFETY: the caller's promises.
    unsafe { sentence(cpu::affinity(), taker) }
    clean_code(came_back as *const ());
    // SAFETY: the caller's promises 3 and 4.
    unsafe { save_and_die(context, die) }
    ENTRY.store(0, Ordering::Relaxed);
}

/// Makes the CPU with this affinity the one whose next panic, exception or [`take_over`] is the crash.
///
/// # Safety
/// As [`crash`], for that CPU.
pub unsafe fn sentence(affinity: u64, taker: Taker) {
    ARGUMENT.store(taker.argument.0, Ordering::Relaxed);
    E2H.store(taker.e2h, Ordering::Relaxed);
    NOTE.store(taker.note.0, Ordering::Relaxed);
    DYING.store(affinity, Ordering::Relaxed);
    clean_code(leave as *const ());
    ENTRY.store(taker.entry.0, Ordering::Release);
}

/// Whether the running CPU is to die, so that a panic or an exception is the crash itself.
#[must_use]
pub fn is_crashing() -> bool {
    ENTRY.load(Ordering::Acquire) != 0 && DYING.load(Ordering::Relaxed) == cpu::affinity()
}

/// Leaves for the taker of [`crash`]. Only while [`is_crashing`].
pub fn take_over(cause: Cause) -> ! {
    leave_note(cause, &Exception::default())
}

/// The same from the handler of an exception.
pub fn take_over_after(taken: &Exception) -> ! {
    leave_note(Cause::Exception, taken)
}

fn leave_note(cause: Cause, taken: &Exception) -> ! {
    // First: an exception from here on is one in the crash path, and ends the image.
    let entry = ENTRY.swap(0, Ordering::Relaxed);
    let note = NOTE.load(Ordering::Relaxed);
    for (at, word) in (note..).step_by(8).zip([cause as u64, taken.esr, taken.elr, taken.far]) {
        // SAFETY: the note's place was given to `sentence`, 8-byte aligned and for this.
        unsafe { mmio::write64(at, word) }
    }
    cache::clean_invalidate(PhysAddr(note), 32);
    // SAFETY: `crash` stored these under its caller's promises.
    unsafe { leave(entry, ARGUMENT.load(Ordering::Relaxed), u64::from(E2H.load(Ordering::Relaxed))) }
}

/// Leaves for the image that crashed: MMU off, then `entry` with `context` in x0.
///
/// # Safety
/// 1. `entry` and `context` are those of [`way_back`] and [`crash`] of that image.
/// 2. All that it reads with the MMU off is clean to PoC.
pub unsafe fn hand_back(entry: PhysAddr, context: PhysAddr) -> ! {
    clean_code(leave as *const ());
    // SAFETY: the caller's promises.
    unsafe { leave(entry.0, context.0, 0) }
}

/// Instructions that run with the MMU off are fetched from memory, past caches that may hold them dirty.
pub(crate) fn clean_code(function: *const ()) {
    cache::clean_invalidate(PhysAddr(function as u64 & !63), 512);
}

/// Puts a map in force in place of the one in force. Both map the running code, its stack and data to themselves.
///
/// # Safety
/// `regime` was made by [`crate::mmu::identity_map`] for this E2H, its tables are where it says, and it maps the image.
pub unsafe fn switch_map(regime: &Regime) {
    clean_code(load_map as *const ());
    // SAFETY: see above; the MMU is off for no instruction that touches memory, as only registers are used.
    unsafe { load_map(regime.ttbr0, regime.tcr, regime.mair, regime.sctlr) }
}

/// Clobbers x4, x5.
#[unsafe(naked)]
unsafe extern "C" fn load_map(_ttbr0: u64, _tcr: u64, _mair: u64, _sctlr: u64) {
    naked_asm!(
        "mrs x4, sctlr_el2",
        "mov x5, #0x1005", // I, C, M
        "bic x4, x4, x5",
        "dsb sy",
        "msr sctlr_el2, x4",
        "isb",
        "msr ttbr0_el2, x0",
        "msr tcr_el2, x1",
        "msr mair_el2, x2",
        "isb",
        "tlbi alle2",
        "ic iallu",
        "dsb sy",
        "isb",
        "msr sctlr_el2, x3",
        "isb",
        "ret",
    )
}

/// Saves x18 to x30, SP, d8 to d15 and the regime to the context, cleans it to PoC and calls `die`. Returns through
/// [`came_back`]. Clobbers x4, x5.
#[unsafe(naked)]
unsafe extern "C" fn save_and_die(_context: &mut Context, _die: extern "C" fn() -> !) {
    naked_asm!(
        "stp x18, x19, [x0]",
        "stp x20, x21, [x0, #16]",
        "stp x22, x23, [x0, #32]",
        "stp x24, x25, [x0, #48]",
        "stp x26, x27, [x0, #64]",
        "stp x28, x29, [x0, #80]",
        "mov x4, sp",
        "stp x30, x4, [x0, #96]",
        fp!(save),
        "mrs x4, ttbr0_el2",
        "mrs x5, tcr_el2",
        "stp x4, x5, [x0, #176]",
        "mrs x4, mair_el2",
        "mrs x5, sctlr_el2",
        "stp x4, x5, [x0, #192]",
        "mrs x4, vbar_el2",
        "mrs x5, hcr_el2",
        "stp x4, x5, [x0, #208]",
        "mrs x4, cptr_el2",
        "mrs x5, cnthctl_el2",
        "stp x4, x5, [x0, #224]",
        // 240 bytes; the smallest cache line that the architecture knows has 16.
        "add x5, x0, #240",
        "mov x4, x0",
        "2:",
        "dc civac, x4",
        "add x4, x4, #16",
        "cmp x4, x5",
        "b.lo 2b",
        "dsb sy",
        "br x1",
    )
}

/// Entered with the MMU off and the context in x0; returns from [`save_and_die`]. HCR first: it says how the other
/// registers are read.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn came_back(_context: &mut Context) {
    naked_asm!(
        "msr daifset, #0xf",
        "ldp x4, x5, [x0, #208]",
        "msr hcr_el2, x5",
        "isb",
        "msr vbar_el2, x4",
        "ldp x4, x5, [x0, #224]",
        "msr cptr_el2, x4",
        "msr cnthctl_el2, x5",
        "ldp x4, x5, [x0, #176]",
        "msr ttbr0_el2, x4",
        "msr tcr_el2, x5",
        "ldp x4, x5, [x0, #192]",
        "msr mair_el2, x4",
        "isb",
        "tlbi alle2",
        "ic iallu",
        "dsb sy",
        "isb",
        "msr sctlr_el2, x5",
        "isb",
        "ldp x18, x19, [x0]",
        "ldp x20, x21, [x0, #16]",
        "ldp x22, x23, [x0, #32]",
        "ldp x24, x25, [x0, #48]",
        "ldp x26, x27, [x0, #64]",
        "ldp x28, x29, [x0, #80]",
        "ldp x30, x4, [x0, #96]",
        "mov sp, x4",
        fp!(restore),
        "ret",
    )
}

/// Turns the MMU and the caches off and jumps to `entry` with `argument` in x0; x2: set HCR_EL2.E2H first.
/// Clobbers x4 to x6, and from MMU off on uses only registers.
#[unsafe(naked)]
unsafe extern "C" fn leave(_entry: u64, _argument: u64, _e2h: u64) -> ! {
    naked_asm!(
        "mrs x4, sctlr_el2",
        "mov x5, #0x1005", // I, C, M
        "bic x4, x4, x5",
        "dsb sy",
        "msr sctlr_el2, x4",
        "isb",
        "ic iallu",
        "tlbi alle2",
        "dsb sy",
        "isb",
        "cbz x2, 3f",
        // E2H changes the format of SCTLR, TCR and CPTR: the other image writes them before it uses what they govern.
        "mrs x4, hcr_el2",
        "orr x4, x4, #(1 << 34)",
        "msr hcr_el2, x4",
        "isb",
        "3:",
        "mov x6, x0",
        "mov x0, x1",
        "br x6",
    )
}
