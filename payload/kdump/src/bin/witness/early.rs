//! Visits before the kernel has interrupts: until it reaches for the interrupt controller the timer's interrupt is EL2's.
//!
//! A kernel sets its memory up with interrupts masked and calls nobody, under an emulator for more than a second. What is routed to
//! EL2 its masks do not reach (DDI 0487, D1.3.6).

use crate::attention::Attention;
use alloc::vec::Vec;
use arch::{gic, timer};
use core::arch::asm;
use handover::boot::Boot;
use kdump::image;
use witness::trap::interrupts::{self, Whose};

/// Time between two visits.
const PERIOD_US: u64 = 2_000;
const ATTEMPTS: u32 = 8;
const HCR_IMO: u64 = 1 << 4;
/// Pages that a driver of the interrupt controller needs first: the distributor's, and of the redistributor both frames'.
const SGI_FRAME: u64 = 0x1_0000;
const PAGE: u64 = 4096;

/// The time before.
pub(crate) struct Early {
    /// Closed until the kernel reaches for one of them.
    pages: Vec<u64>,
    intid: u32,
    is_over: bool,
}

impl Early {
    /// Where the timer wakes this CPU it can visit it, too; of a kernel that is not watched nobody wants it.
    pub(crate) fn new(boot: &Boot, attention: Attention) -> Self {
        let (distributor, redistributor) = (boot.gic.distributor.0, boot.gic.redistributor.0);
        // An emulator may have given the timer no time when it was tried first.
        let wakes = attention == Attention::Watched
            && (0..ATTEMPTS).any(|_| {
                image::wake_by_timer(boot);
                gic::wakes()
            });
        let is_over = !wakes;
        let pages = [distributor, redistributor, redistributor.wrapping_add(SGI_FRAME)];
        Self { pages: if is_over { Vec::new() } else { pages.into() }, intid: boot.timer_interrupt, is_over }
    }

    /// Pages that end it.
    pub(crate) fn pages(&self) -> &[u64] {
        &self.pages
    }

    /// EL2's registers are written: it begins.
    pub(crate) fn begin(&self) {
        if self.is_over {
            // Interrupts are the kernel's: none ends a wait of ours.
            gic::leave_cpu();
        } else {
            route(true);
            lend_mask();
            self.arm();
        }
    }

    /// The next visit comes.
    pub(crate) fn arm(&self) {
        if !self.is_over {
            timer::arm(timer::now() + timer::ticks_of_us(PERIOD_US));
        }
    }

    /// An interrupt came to EL2. One that is the kernel's says that it has begun to use the controller.
    pub(crate) fn interrupt(&mut self) {
        if self.is_over || interrupts::whose(gic::take_timer(self.intid), self.intid) == Whose::Kernel {
            self.end();
        }
    }

    /// The kernel reaches for an address: the pages that are its own from here on, if this is the interrupt controller.
    pub(crate) fn reached_for(&mut self, at: u64) -> Vec<u64> {
        if !self.pages.contains(&(at & !(PAGE - 1))) {
            return Vec::new();
        }
        self.leave()
    }

    /// Ends it; the pages that are the kernel's own from here on.
    pub(crate) fn leave(&mut self) -> Vec<u64> {
        self.end();
        core::mem::take(&mut self.pages)
    }

    /// Interrupts are the kernel's from here on.
    fn end(&mut self) {
        if core::mem::replace(&mut self.is_over, true) {
            return;
        }
        timer::disarm();
        route(false);
        take_mask();
        gic::leave_cpu();
    }
}

/// Sleeps until an interrupt is pending, which stays so. One that is EL1's is no event that wakes EL2 (DDI 0487, D1.6.2): for as long
/// they are EL2's.
pub(crate) fn sleep() {
    let was_here = hcr() & HCR_IMO != 0;
    route(true);
    // SAFETY: it ends at the next interrupt, the kernel's or the one that `cpus::wake` sends; nothing is written.
    unsafe { asm!("wfi", options(nostack, preserves_flags)) }
    route(was_here);
}

/// While interrupts come to EL2 the kernel's priority mask is a virtual one (IHI 0069, ICV_PMR_EL1): it begins as the real one is.
fn lend_mask() {
    // SAFETY: both registers are there with a GICv3, without which nothing comes here; nothing virtual is pending.
    unsafe {
        asm!(
            "mrs {mask}, icc_pmr_el1", "lsl {mask}, {mask}, #24", "msr ich_vmcr_el2, {mask}", "isb",
            mask = out(reg) _, options(nostack, preserves_flags)
        );
    }
}

/// What the kernel has written to it, with pseudo-NMIs long before it has a driver, is the real one from here on.
fn take_mask() {
    // SAFETY: as above; the interrupts are the kernel's.
    unsafe {
        asm!(
            "mrs {mask}, ich_vmcr_el2", "lsr {mask}, {mask}, #24", "and {mask}, {mask}, #0xff", "msr icc_pmr_el1, {mask}", "isb",
            mask = out(reg) _, options(nostack, preserves_flags)
        );
    }
}

fn hcr() -> u64 {
    let hcr: u64;
    // SAFETY: HCR_EL2 is only read.
    unsafe { asm!("mrs {0}, hcr_el2", out(reg) hcr, options(nomem, nostack, preserves_flags)) }
    hcr
}

/// Routes physical interrupts to EL2, or leaves them to EL1.
fn route(here: bool) {
    let hcr = if here { hcr() | HCR_IMO } else { hcr() & !HCR_IMO };
    // The barrier: AmpereOne's erratum AC04_CPU_23.
    // SAFETY: at EL2 they stay masked; below it they come through the vectors of `el1`.
    unsafe { asm!("dsb nsh", "msr hcr_el2, {0}", "isb", in(reg) hcr, options(nostack, preserves_flags)) }
}
