//! One instruction of the kernel (DDI 0487, D2.12 Software Step exceptions), of which only EL2 knows.

use arch::{
    cpu,
    el1::{Cause, Vcpu},
};
use core::arch::asm;

/// SPSR_EL2.SS and MDSCR_EL1.SS; MDCR_EL2.TDE routes debug exceptions to EL2, where from EL1 and EL0 PSTATE.D does not mask them.
const SPSR_SS: u64 = 1 << 21;
const MDSCR_SS: u64 = 1 << 0;
const MDCR_TDE: u64 = 1 << 8;
/// OSLSR_EL1.OSLK: while it is set there are no such exceptions.
const OSLK: u64 = 1 << 1;
/// ESR_EL2.EC of a software step from below.
const STEPPED: u64 = 0x32;

/// How the kernel came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It executed one instruction, or took an exception to EL1 instead.
    Done,
    /// It trapped.
    Trapped(Cause),
    /// It steps through somebody itself: nothing was executed.
    Impossible,
}

/// Has the kernel execute an instruction.
pub(crate) fn one(vcpu: &mut Vcpu) -> Step {
    let (mdscr, mdcr, oslsr): (u64, u64, u64);
    // SAFETY: reads have no effect.
    unsafe {
        asm!(
            "mrs {0}, mdscr_el1", "mrs {1}, mdcr_el2", "mrs {2}, oslsr_el1",
            out(reg) mdscr, out(reg) mdcr, out(reg) oslsr, options(nomem, nostack, preserves_flags)
        );
    }
    if mdscr & MDSCR_SS != 0 {
        return Step::Impossible;
    }
    // Without MDSCR_EL1.MDE no breakpoint of the kernel's comes to EL2 meanwhile, without KDE nothing of EL2's own is stepped.
    debug(MDSCR_SS, mdcr | MDCR_TDE, 0);
    vcpu.pstate |= SPSR_SS;
    // SAFETY: as when the kernel runs by itself; it came from there.
    let cause = unsafe { vcpu.run() };
    vcpu.pstate &= !SPSR_SS;
    debug(mdscr, mdcr, u64::from(oslsr & OSLK != 0));
    match cause {
        Cause::Synchronous if vcpu.esr >> 26 & 0x3F == STEPPED => Step::Done,
        cause => Step::Trapped(cause),
    }
}

/// Writes MDSCR_EL1, MDCR_EL2 and OSLAR_EL1.
fn debug(mdscr: u64, mdcr: u64, lock: u64) {
    // SAFETY: the kernel's debug registers while it does not run, and EL2's own: they come back as they were.
    unsafe {
        asm!(
            "msr oslar_el1, {2}", "msr mdscr_el1, {0}", "msr mdcr_el2, {1}",
            in(reg) mdscr, in(reg) mdcr, in(reg) lock, options(nostack, preserves_flags)
        );
    }
    cpu::isb();
}
