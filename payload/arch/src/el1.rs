//! A guest at EL1: it runs until it does what EL2 has reserved for itself.
//!
//! ```text
//! loop { vcpu.run() ──ERET──▶ guest … trap ──▶ vectors ──▶ returns why; the guest's registers are in `Vcpu` }
//! ```
//!
//! The guest owns floating point, interrupts and timers: nothing here uses them.

use crate::stage2::Tlb;
use aarch64_cpu::registers::{VBAR_EL2, Writeable};
use core::{
    arch::{asm, global_asm, naked_asm},
    mem::offset_of,
};

/// Through which vector a guest came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A synchronous exception: ESR_EL2 says what.
    Synchronous,
    /// An interrupt that was routed to EL2.
    Interrupt,
    /// An SError that was routed to EL2.
    SError,
}

/// What a guest's CPU holds while EL2 runs.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Vcpu {
    /// x0 to x30.
    pub x: [u64; 31],
    /// ELR_EL2: where it goes on.
    pub pc: u64,
    /// SPSR_EL2.
    pub pstate: u64,
    /// ESR_EL2 of the last trap.
    pub esr: u64,
    /// FAR_EL2 of the last trap.
    pub far: u64,
    /// HPFAR_EL2 of the last trap.
    pub hpfar: u64,
    /// x19 to x30 and SP of EL2 while the guest runs.
    host: [u64; 13],
}

/// EL1 with its own stack pointer, debug exceptions, SError, IRQ and FIQ masked: as a kernel is to be entered
/// (Documentation/arch/arm64/booting.rst).
const EL1H_MASKED: u64 = 0x3c5;

impl Vcpu {
    /// A CPU that begins at `entry` with `x0`, as a kernel is started: x1 to x3 are 0.
    #[must_use]
    pub fn starting(entry: u64, x0: u64) -> Self {
        let mut x = [0; 31];
        x[0] = x0;
        Self { x, pc: entry, pstate: EL1H_MASKED, esr: 0, far: 0, hpfar: 0, host: [0; 13] }
    }

    /// Lets the guest run until it traps.
    ///
    /// # Safety
    /// 1. EL2's registers are those of a guest (HCR_EL2, VTTBR_EL2 and all that traps), and [`install`] was called.
    /// 2. What stage 2 lets the guest reach holds no Rust objects of ours.
    pub unsafe fn run(&mut self) -> Cause {
        // SAFETY: the caller's promises; EL2's own registers are kept in `self.host`.
        match unsafe { run_guest(self) } {
            0 => Cause::Synchronous,
            3 => Cause::SError,
            _ => Cause::Interrupt,
        }
    }
}

/// Puts the vectors for a guest in force; exceptions of EL2 itself still go where they went.
pub fn install() {
    VBAR_EL2.set((&raw const guest_vectors).addr() as u64);
    crate::cpu::isb();
}

/// The TLBs of the guest in force.
#[derive(Clone, Copy, Debug, Default)]
pub struct GuestTlb;

impl Tlb for GuestTlb {
    fn invalidate(&mut self) {
        // Twice: on Cortex-A76 (1286807), A55 (2441007) and A510 (2441009) accesses by the old entry may outlast the first.
        // SAFETY: barriers and an invalidation change no state that Rust knows of.
        unsafe {
            asm!(
                "dsb ishst",
                "tlbi vmalls12e1is",
                "dsb ish",
                "tlbi vmalls12e1is",
                "dsb ish",
                "isb",
                options(nostack, preserves_flags)
            );
        }
    }
}

unsafe extern "C" {
    static guest_vectors: u8;
}

/// The entry of each lower exception level's vector jumps to `guest_left`, which returns to this function's caller.
#[unsafe(naked)]
unsafe extern "C" fn run_guest(_vcpu: &mut Vcpu) -> u64 {
    naked_asm!(
        "add x9, x0, #{host}",
        "stp x19, x20, [x9]",
        "stp x21, x22, [x9, #16]",
        "stp x23, x24, [x9, #32]",
        "stp x25, x26, [x9, #48]",
        "stp x27, x28, [x9, #64]",
        "stp x29, x30, [x9, #80]",
        "mov x10, sp",
        "str x10, [x9, #96]",
        // Nothing else of ours uses it; the guest cannot.
        "msr tpidr_el2, x0",
        "ldp x1, x2, [x0, #{pc}]",
        "msr elr_el2, x1",
        "msr spsr_el2, x2",
        "ldp x2, x3, [x0, #16]",
        "ldp x4, x5, [x0, #32]",
        "ldp x6, x7, [x0, #48]",
        "ldp x8, x9, [x0, #64]",
        "ldp x10, x11, [x0, #80]",
        "ldp x12, x13, [x0, #96]",
        "ldp x14, x15, [x0, #112]",
        "ldp x16, x17, [x0, #128]",
        "ldp x18, x19, [x0, #144]",
        "ldp x20, x21, [x0, #160]",
        "ldp x22, x23, [x0, #176]",
        "ldp x24, x25, [x0, #192]",
        "ldp x26, x27, [x0, #208]",
        "ldp x28, x29, [x0, #224]",
        "ldr x30, [x0, #240]",
        "ldp x0, x1, [x0]",
        "eret",
        host = const offset_of!(Vcpu, host),
        pc = const offset_of!(Vcpu, pc),
    )
}

// The stack of EL2 is that of `run_guest`'s caller.
global_asm!(
    ".pushsection .text.guest_vectors, \"ax\"",
    ".macro guest_exit kind",
    ".balign 128",
    "stp x0, x1, [sp, #-16]!",
    "mov x1, #\\kind",
    "b guest_left",
    ".endm",
    ".macro own_exception offset",
    ".balign 128",
    "b exception_vectors + \\offset",
    ".endm",
    ".balign 2048",
    ".global guest_vectors",
    "guest_vectors:",
    "own_exception 0x000",
    "own_exception 0x080",
    "own_exception 0x100",
    "own_exception 0x180",
    "own_exception 0x200",
    "own_exception 0x280",
    "own_exception 0x300",
    "own_exception 0x380",
    "guest_exit 0",
    "guest_exit 1",
    "guest_exit 2",
    "guest_exit 3",
    // Programs of 32 bits at EL0.
    "guest_exit 0",
    "guest_exit 1",
    "guest_exit 2",
    "guest_exit 3",
    ".balign 128",
    "guest_left:",
    "mrs x0, tpidr_el2",
    "stp x2, x3, [x0, #16]",
    "stp x4, x5, [x0, #32]",
    "stp x6, x7, [x0, #48]",
    "stp x8, x9, [x0, #64]",
    "stp x10, x11, [x0, #80]",
    "stp x12, x13, [x0, #96]",
    "stp x14, x15, [x0, #112]",
    "stp x16, x17, [x0, #128]",
    "stp x18, x19, [x0, #144]",
    "stp x20, x21, [x0, #160]",
    "stp x22, x23, [x0, #176]",
    "stp x24, x25, [x0, #192]",
    "stp x26, x27, [x0, #208]",
    "stp x28, x29, [x0, #224]",
    "str x30, [x0, #240]",
    "ldp x2, x3, [sp], #16",
    "stp x2, x3, [x0]",
    "mrs x2, elr_el2",
    "mrs x3, spsr_el2",
    "stp x2, x3, [x0, #{pc}]",
    "mrs x2, esr_el2",
    "mrs x3, far_el2",
    "stp x2, x3, [x0, #{pc} + 16]",
    "mrs x2, hpfar_el2",
    "str x2, [x0, #{pc} + 32]",
    "add x9, x0, #{host}",
    "ldp x19, x20, [x9]",
    "ldp x21, x22, [x9, #16]",
    "ldp x23, x24, [x9, #32]",
    "ldp x25, x26, [x9, #48]",
    "ldp x27, x28, [x9, #64]",
    "ldp x29, x30, [x9, #80]",
    "mov x0, x1",
    "ret",
    ".popsection",
    host = const offset_of!(Vcpu, host),
    pc = const offset_of!(Vcpu, pc),
);
