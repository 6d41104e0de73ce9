//! First instructions of the image, entered with the MMU off and the address of the boot block in x0.
//!
//! Nothing is stored before the MMU is on: some fabrics refuse stores to DRAM with the MMU off.

use core::arch::naked_asm;
use core::mem::offset_of;
use handover::boot::Boot;

/// Clobbers x1 to x6. HCR_EL2.E2H is as the primary set it; the translation registers fit it.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.entry")]
unsafe extern "C" fn kdump_entry() {
    naked_asm!(
        "msr daifset, #0xf",
        "add x6, x0, #{translation}",
        "ldp x1, x2, [x6]",
        "ldp x3, x4, [x6, #16]",
        "msr ttbr0_el2, x1",
        "msr tcr_el2, x2",
        "msr mair_el2, x3",
        "isb",
        "tlbi alle2",
        "ic iallu",
        "dsb sy",
        "isb",
        "msr sctlr_el2, x4",
        "isb",
        "ldr x5, [x0, #{stack_top}]",
        "mov sp, x5",
        "mov x29, xzr",
        "mov x30, xzr",
        "b {main}",
        translation = const offset_of!(Boot, translation),
        stack_top = const offset_of!(Boot, stack_top),
        main = sym crate::kdump_main,
    )
}
