//! Data and instruction cache maintenance by address (Arm ARM D7.5.9).

use crate::cpu;
use addr::PhysAddr;
use core::arch::asm;

/// Bytes of the smallest data cache line (CTR_EL0.DminLine).
fn line_bytes() -> u64 {
    let ctr: u64;
    // SAFETY: CTR_EL0 is readable at EL2.
    unsafe { asm!("mrs {0}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags)) }
    4 << (ctr >> 16 & 0xf)
}

fn each_line(start: PhysAddr, bytes: u64, operation: impl Fn(u64)) {
    if bytes == 0 {
        return;
    }
    let line = line_bytes();
    let mut at = start.0 & !(line - 1);
    let end = start.0.saturating_add(bytes);
    while at < end {
        operation(at);
        at += line;
    }
}

/// Cleans and invalidates to the point of coherency: memory holds what the caches held, and the caches hold nothing.
pub fn clean_invalidate(start: PhysAddr, bytes: u64) {
    each_line(start, bytes, |at| {
        // SAFETY: cleaning loses nothing; the address is mapped because a reference or a table of ours came from it.
        unsafe { asm!("dc civac, {0}", in(reg) at, options(nostack, preserves_flags)) }
    });
    cpu::dsb();
}

/// Cleans one line to the point of coherency, without waiting: for a store that a non-coherent SMMU will read.
pub fn clean_line(at: PhysAddr) {
    // SAFETY: cleaning loses nothing; the caller has just stored to the address.
    unsafe { asm!("dc cvac, {0}", in(reg) at.0, options(nostack, preserves_flags)) }
}

/// Drops one line after writing back what it held, and waits: before a read of what a non-coherent device wrote.
pub fn refetch_line(at: PhysAddr) {
    // SAFETY: clean and invalidate loses nothing; the CPU never dirties lines that devices write.
    unsafe { asm!("dc civac, {0}", "dsb sy", in(reg) at.0, options(nostack, preserves_flags)) }
}

/// Makes new instructions in memory fetchable: data clean to PoC is done, stale instruction lines go.
pub fn invalidate_instructions() {
    // SAFETY: invalidating instruction caches only costs time.
    unsafe { asm!("ic iallu", "dsb sy", "isb", options(nostack, preserves_flags)) }
}
