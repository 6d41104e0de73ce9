//! As much of a GICv3 as it takes for the EL2 timer to end a WFI (Arm IHI 0069). Interrupts stay masked at the CPU.

use crate::{mmio, timer};
use core::{
    arch::asm,
    sync::atomic::{AtomicBool, Ordering},
};

const GICD_CTLR: u64 = 0x0;
const GICD_ICENABLER: u64 = 0x180;
const GICD_CTLR_RWP: u32 = 1 << 31;
const GICD_CTLR_ARE_GRP1: u32 = 1 << 4 | 1 << 1;
const GICR_TYPER: u64 = 0x8;
const GICR_WAKER: u64 = 0x14;
const GICR_WAKER_PROCESSOR_SLEEP: u32 = 1 << 1;
const GICR_WAKER_CHILDREN_ASLEEP: u32 = 1 << 2;
const GICR_SGI_FRAME: u64 = 0x1_0000;
const GICR_IGROUPR0: u64 = GICR_SGI_FRAME + 0x80;
const GICR_ISENABLER0: u64 = GICR_SGI_FRAME + 0x100;
const GICR_ICENABLER0: u64 = GICR_SGI_FRAME + 0x180;
const GICR_IPRIORITYR: u64 = GICR_SGI_FRAME + 0x400;
const PATIENCE_US: u64 = 1000;

static WAKES: AtomicBool = AtomicBool::new(false);

/// Whether the timer's interrupt was seen to reach the CPU interface, so that WFI can be trusted to end.
#[must_use]
pub fn wakes() -> bool {
    WAKES.load(Ordering::Relaxed)
}

/// Where the interrupt controller is, from the MADT and GTDT.
#[derive(Clone, Copy, Debug)]
pub struct Gic {
    /// GICD frame.
    pub distributor: u64,
    /// GICR frame of the CPU that runs.
    pub redistributor: u64,
    /// INTID of the EL2 physical timer, a PPI (16 to 31).
    pub timer_intid: u32,
}

/// Finds the redistributor of a CPU in a range of them (GICR_TYPER.Affinity_Value, .Last, .VLPIS).
///
/// # Safety
/// `base..base + bytes` is mapped as Device memory and holds redistributor frames.
#[must_use]
pub unsafe fn find_redistributor(base: u64, bytes: u64, affinity: u64) -> Option<u64> {
    let wanted = affinity >> 32 << 24 | affinity & 0xff_ffff;
    let mut at = base;
    while at.checked_add(0x2_0000)? <= base.checked_add(bytes)? {
        // SAFETY: the frame lies in the range that the caller vouches for.
        let typer = unsafe { mmio::read64(at + GICR_TYPER) };
        if typer >> 32 == wanted {
            return Some(at);
        }
        if typer & 1 << 4 != 0 {
            return None;
        }
        at += if typer & 1 << 1 != 0 { 0x4_0000 } else { 0x2_0000 };
    }
    None
}

/// Enables the timer's PPI as far as the CPU interface, and nothing else (but for LPIs): what a kernel has left pending would end
/// each WFI at once. Tries it: arms the timer and looks for its INTID.
/// `false` (and polling waits) where it does not arrive.
///
/// # Safety
/// Both frames of `gic` are mapped as Device memory and belong to a GICv3 that nobody else uses.
pub unsafe fn enable_timer_wake(gic: &Gic) -> bool {
    if !(16..32).contains(&gic.timer_intid) {
        return false;
    }
    let bit = 1 << gic.timer_intid;
    let redistributor = |offset| gic.redistributor + offset;
    // SAFETY: the frames are the caller's; each access is a documented register of the frame.
    let (read, write) = (|at| unsafe { mmio::read32(at) }, |at, value| unsafe { mmio::write32(at, value) });
    let until = |at, mask: u32| {
        let deadline = timer::now() + timer::ticks_of_us(PATIENCE_US);
        while read(at) & mask != 0 {
            if timer::now() > deadline {
                return false;
            }
        }
        true
    };

    write(gic.distributor + GICD_CTLR, read(gic.distributor + GICD_CTLR) | GICD_CTLR_ARE_GRP1);
    let waker = redistributor(GICR_WAKER);
    write(waker, read(waker) & !GICR_WAKER_PROCESSOR_SLEEP);
    if !until(gic.distributor + GICD_CTLR, GICD_CTLR_RWP) || !until(waker, GICR_WAKER_CHILDREN_ASLEEP) {
        return false;
    }
    // INTIDs from 32 on; what is not there ignores the write.
    (1..32).for_each(|word| write(gic.distributor + GICD_ICENABLER + 4 * word, u32::MAX));
    write(redistributor(GICR_ICENABLER0), !bit);
    write(redistributor(GICR_IGROUPR0), read(redistributor(GICR_IGROUPR0)) | bit);
    let priority = redistributor(GICR_IPRIORITYR) + u64::from(gic.timer_intid & !3);
    let shift = (gic.timer_intid & 3) * 8;
    write(priority, read(priority) & !(0xff << shift) | 0x80 << shift);
    write(redistributor(GICR_ISENABLER0), bit);
    // SAFETY: ICC_SRE_EL2.{SRE, Enable} select the system register interface, whose mask and group enable follow.
    unsafe {
        asm!(
            "mrs {t}, icc_sre_el2", "orr {t}, {t}, #1", "orr {t}, {t}, #8", "msr icc_sre_el2, {t}", "isb",
            "mov {t}, #0xf0", "msr icc_pmr_el1, {t}", "mov {t}, #1", "msr icc_igrpen1_el1, {t}", "isb",
            t = out(reg) _, options(nostack, preserves_flags)
        );
    }

    let deadline = timer::now() + timer::ticks_of_us(PATIENCE_US);
    timer::arm(timer::now());
    let mut arrived = false;
    while !arrived && timer::now() < deadline {
        let pending: u64;
        // SAFETY: ICC_HPPIR1_EL1 is read-only: the highest priority pending group 1 INTID.
        unsafe { asm!("mrs {0}, icc_hppir1_el1", out(reg) pending, options(nostack, preserves_flags)) }
        arrived = pending & 0xff_ffff == u64::from(gic.timer_intid);
    }
    timer::disarm();
    WAKES.store(arrived, Ordering::Relaxed);
    arrived
}

/// INTID of the next interrupt that is pending. The timer's is taken, and quieted.
pub fn take_timer(timer_intid: u32) -> u32 {
    let pending: u64;
    // SAFETY: ICC_HPPIR1_EL1 is only read.
    unsafe { asm!("mrs {0}, icc_hppir1_el1", out(reg) pending, options(nostack, preserves_flags)) }
    let pending = pending as u32 & 0xff_ffff;
    if pending == timer_intid {
        // SAFETY: acknowledged and ended at once: no handler waits for it, and its timer is off before it could come again.
        unsafe {
            asm!(
                "mrs {t}, icc_iar1_el1", "msr cnthp_ctl_el2, xzr", "isb", "msr icc_eoir1_el1, {t}", "isb",
                t = out(reg) _, options(nostack, preserves_flags)
            );
        }
    }
    pending
}

/// Lets no more interrupts reach the running CPU: before it is turned off (Arm DEN 0022, 5.5.2).
pub fn leave_cpu() {
    if WAKES.swap(false, Ordering::Relaxed) {
        // SAFETY: the register was enabled by `enable_timer_wake` on this CPU; interrupts are masked anyway.
        unsafe { asm!("msr icc_igrpen1_el1, xzr", "isb", options(nostack, preserves_flags)) }
    }
}
