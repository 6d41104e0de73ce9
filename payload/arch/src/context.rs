//! What a CPU needs to come in at `came_back` with its MMU off: where it was, or where it is to begin.

use crate::{
    cache,
    jump::{came_back, clean_code},
};
use addr::PhysAddr;
use core::arch::asm;

/// What [`crate::jump::crash`] saves and [`came_back`] restores. Read with the MMU off, so it is cleaned to PoC first.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(256))]
pub struct Context {
    general: [u64; 14],
    float: [u64; 8],
    system: [u64; 8],
}

impl Context {
    /// An empty context.
    #[must_use]
    pub const fn new() -> Self {
        Self { general: [0; 14], float: [0; 8], system: [0; 8] }
    }

    /// A context that calls `main` on `stack_top` (16-byte aligned) with the map, the vectors and the E2H of the running
    /// CPU: for a CPU that has none of them, because PSCI or another image starts it.
    #[must_use]
    #[inline(never)]
    pub fn entering(main: extern "C" fn() -> !, stack_top: u64) -> Self {
        let mut context = Self::new();
        context.general[LINK] = main as *const () as u64;
        context.general[STACK] = stack_top;
        let [ttbr0, tcr, mair, sctlr, vbar, hcr, cptr, cnthctl] = &mut context.system;
        // SAFETY: reading these registers has no effect.
        unsafe {
            asm!(
                "mrs {0}, ttbr0_el2",
                "mrs {1}, tcr_el2",
                "mrs {2}, mair_el2",
                "mrs {3}, sctlr_el2",
                "mrs {4}, vbar_el2",
                "mrs {5}, hcr_el2",
                "mrs {6}, cptr_el2",
                "mrs {7}, cnthctl_el2",
                out(reg) * ttbr0,
                out(reg) * tcr,
                out(reg) * mair,
                out(reg) * sctlr,
                out(reg) * vbar,
                out(reg) * hcr,
                out(reg) * cptr,
                out(reg) * cnthctl,
                options(nomem, nostack, preserves_flags)
            );
        }
        context
    }

    /// The same on another stack (16-byte aligned).
    #[must_use]
    pub const fn on_stack(mut self, stack_top: u64) -> Self {
        self.general[STACK] = stack_top;
        self
    }

    /// Cleans it to PoC and returns its address: it will be read with the MMU off.
    #[must_use]
    pub fn publish(&self) -> u64 {
        let at = (&raw const *self).addr() as u64;
        clean_code(came_back as *const ());
        cache::clean_invalidate(PhysAddr(at), size_of::<Self>() as u64);
        at
    }
}

/// Places of x30 and SP in [`Context::general`].
const LINK: usize = 12;
const STACK: usize = 13;
