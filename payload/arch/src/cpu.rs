//! Identity of the CPU, barriers and the state that both images need.

use crate::mmu;
use aarch64_cpu::registers::{CurrentEL, HCR_EL2, ID_AA64MMFR0_EL1, ID_AA64MMFR1_EL1, MPIDR_EL1, Readable, Writeable};
use addr::PhysAddr;
use core::arch::asm;

/// Exception level, 0 to 3.
#[must_use]
pub fn current_el() -> u8 {
    (CurrentEL.get() >> 2) as u8 & 3
}

/// Whether HCR_EL2.E2H is set: the EL2&0 regime, whose register formats are those of EL1.
#[must_use]
pub fn is_e2h() -> bool {
    HCR_EL2.is_set(HCR_EL2::E2H)
}

/// Whether the CPU has FEAT_VHE (ID_AA64MMFR1_EL1.VH).
#[must_use]
pub fn has_vhe() -> bool {
    ID_AA64MMFR1_EL1.get() >> 8 & 0xf != 0
}

/// ID_AA64MMFR0_EL1.PARange, for TCR_EL2.PS.
#[must_use]
pub fn pa_range() -> u8 {
    (ID_AA64MMFR0_EL1.get() & 0xf) as u8
}

/// The last 4 KiB of the physical address space, as far as 48 bits go: no board has anything there (DDI 0487, D8.1.6).
#[must_use]
pub fn last_page() -> PhysAddr {
    PhysAddr((1 << mmu::address_bits(pa_range())) - 0x1000)
}

/// Affinity fields of MPIDR_EL1: Aff3 39:32, Aff2 23:16, Aff1 15:8, Aff0 7:0.
pub const AFFINITY: u64 = 0xff_00ff_ffff;

/// Affinity of the running CPU.
#[must_use]
pub fn affinity() -> u64 {
    MPIDR_EL1.get() & AFFINITY
}

/// Routes physical IRQ, FIQ and SError to EL2; without AMO a physical SError stays pending while EL2 runs (Arm ARM D1.3.6).
pub fn route_exceptions_here() {
    const RW_AMO_IMO_FMO: u64 = 1 << 31 | 1 << 5 | 1 << 4 | 1 << 3;
    HCR_EL2.set(HCR_EL2.get() | RW_AMO_IMO_FMO);
    isb();
}

/// Waits for all outstanding accesses to complete.
pub fn dsb() {
    // SAFETY: a barrier changes no state that Rust knows of.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) }
}

/// Orders stores to Normal memory before what follows, for every observer of the outer shareable domain.
pub fn dmb_store() {
    // SAFETY: a barrier changes no state that Rust knows of.
    unsafe { asm!("dmb oshst", options(nostack, preserves_flags)) }
}

/// Orders loads before what follows.
pub fn dmb_load() {
    // SAFETY: a barrier changes no state that Rust knows of.
    unsafe { asm!("dmb oshld", options(nostack, preserves_flags)) }
}

/// Makes earlier system register writes take effect.
pub fn isb() {
    // SAFETY: a barrier changes no state that Rust knows of.
    unsafe { asm!("isb", options(nostack, preserves_flags)) }
}

/// Waits for an event of another CPU, or of the event stream; one that came since the last wait ends it at once.
pub fn wait_for_event() {
    // SAFETY: waiting changes no state that Rust knows of.
    unsafe { asm!("wfe", options(nostack, preserves_flags)) }
}

/// Sends an event to all CPUs, which see what was stored before.
pub fn send_event() {
    // SAFETY: an event changes no state that Rust knows of.
    unsafe { asm!("dsb ish", "sev", options(nostack, preserves_flags)) }
}

/// Masks debug exceptions, SError, IRQ and FIQ.
pub fn mask_all() {
    // SAFETY: masking only delays exceptions.
    unsafe { asm!("msr daifset, #0xf", options(nostack)) }
}

/// Takes a pending SError now, if there is one: what came before has completed, so it belongs to what came before.
pub fn take_pending_serror() {
    // SAFETY: the vectors of `exceptions` are installed before the first call; they return here.
    unsafe { asm!("dsb sy", "isb", "msr daifclr, #4", "isb", "msr daifset, #4", "isb", options(nostack)) }
}

/// Whether a page is mapped as Normal memory for reads by EL2, or with the feature `el1` by EL1.
#[must_use]
pub fn normal_memory_at(address: u64) -> bool {
    let par = translated(address);
    par & PAR_FAULT == 0 && par >> 60 != 0
}

/// Whether a page is mapped as Device memory for reads by EL2.
#[must_use]
pub fn device_memory_at(address: u64) -> bool {
    let par = translated(address);
    par & PAR_FAULT == 0 && par >> 60 == 0
}

/// PAR_EL1: F is bit 0; ATTR is 63:56, with 0b0000_xxxx for Device memory.
const PAR_FAULT: u64 = 1;

fn translated(address: u64) -> u64 {
    let par: u64;
    #[cfg(feature = "el1")]
    // SAFETY: address translation reads the tables and writes PAR_EL1 only.
    unsafe {
        asm!("at s1e1r, {}", in(reg) address, options(nostack));
    }
    #[cfg(not(feature = "el1"))]
    // SAFETY: as above.
    unsafe {
        asm!("at s1e2r, {}", in(reg) address, options(nostack));
    }
    // SAFETY: reading PAR_EL1 has no effect.
    unsafe { asm!("isb", "mrs {}, par_el1", out(reg) par, options(nostack)) }
    par
}
