//! The generic timer: time in ticks, and waits that sleep.

use crate::{cpu, gic};
use aarch64_cpu::registers::{CNTFRQ_EL0, CNTHP_CTL_EL2, CNTPCT_EL0, Readable, Writeable};
use core::arch::asm;

/// The physical counter. The ISB keeps the read from being done early.
#[must_use]
pub fn now() -> u64 {
    cpu::isb();
    CNTPCT_EL0.get()
}

/// Ticks per second (CNTFRQ_EL0, which firmware sets; never 0 here).
#[must_use]
pub fn frequency() -> u64 {
    CNTFRQ_EL0.get().max(1)
}

/// Ticks in `us` microseconds, rounded up.
#[must_use]
pub fn ticks_of_us(us: u64) -> u64 {
    (us.saturating_mul(frequency())).div_ceil(1_000_000)
}

/// Waits below this poll the counter.
const SHORTEST_SLEEP_US: u64 = 20;

/// Waits until the counter reaches `deadline`: asleep where the EL2 timer's interrupt wakes the CPU, else polling.
pub fn sleep_until(deadline: u64) {
    // A sleep shorter than this costs more than it saves: a hypervisor or emulator takes as long to wake a CPU.
    if gic::wakes() && deadline.saturating_sub(now()) > ticks_of_us(SHORTEST_SLEEP_US) {
        arm(deadline);
        while now() < deadline {
            // SAFETY: WFI returns at the latest when the timer armed above fires; interrupts stay masked.
            unsafe { asm!("wfi", options(nostack, preserves_flags)) }
        }
        CNTHP_CTL_EL2.set(0);
        return;
    }
    while now() < deadline {
        core::hint::spin_loop();
    }
}

/// Waits `us` microseconds.
pub fn sleep_us(us: u64) {
    sleep_until(now().saturating_add(ticks_of_us(us)));
}

/// Sets the EL2 physical timer to fire at `deadline`.
pub fn arm(deadline: u64) {
    // SAFETY: CNTHP_CVAL_EL2 exists at EL2 and holds nothing that Rust knows of.
    unsafe { asm!("msr cnthp_cval_el2, {0}", in(reg) deadline, options(nostack, preserves_flags)) }
    CNTHP_CTL_EL2.set(1);
    cpu::isb();
}

/// Stops the EL2 physical timer.
pub fn disarm() {
    CNTHP_CTL_EL2.set(0);
    cpu::isb();
}
