//! An arm64 `Image` that changes the state of the CPU and then enters another, 2 MiB behind its own beginning, as some boot
//! loader or debugger might: with HCR_EL2.E2H set, with MMU and caches on, or on another CPU.

#![no_std]
#![no_main]

use core::arch::naked_asm;

/// The header (Linux, Documentation/arch/arm64/booting.rst). In the reserved word at 32 the test says what is to be done: bit 0
/// E2H, bit 1 MMU and caches on, bit 2 on CPU 1.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.header")]
unsafe extern "C" fn raw_header() {
    naked_asm!(
        "b {entry}",
        "nop",
        ".quad 0",
        ".quad 0",
        ".quad 0b1010",
        ".quad 0",
        ".quad 0",
        ".quad 0",
        ".ascii \"ARM\\x64\"",
        ".long 0",
        entry = sym entry,
    )
}

#[unsafe(naked)]
unsafe extern "C" fn entry() {
    naked_asm!(
        "mov x20, x0",
        "adrp x21, __image_start",
        "ldr x22, [x21, #32]",
        "tbz x22, #0, 1f",
        "mrs x1, hcr_el2",
        "orr x1, x1, #(1 << 34)",
        "msr hcr_el2, x1",
        "isb",
        // An identity map of 512 GiB in blocks of 1 GiB, in the MiB behind the image: devices below 1 GiB, RAM above, which is
        // where QEMU's `virt` has them.
        "1: tbz x22, #1, 4f",
        "add x1, x21, #0x100, lsl #12",
        "mov x2, xzr",
        // Valid, inner shareable, accessed; AP[1], which is RES1 without E2H.
        "2: lsl x3, x2, #30",
        "movz x4, #0x701",
        "tbnz x22, #0, 3f",
        "orr x4, x4, #0x40",
        "3: cmp x2, #0",
        "cset x5, ne",
        "orr x4, x4, x5, lsl #2",
        "orr x3, x3, x4",
        "str x3, [x1, x2, lsl #3]",
        "add x2, x2, #1",
        "cmp x2, #512",
        "b.lo 2b",
        "dsb sy",
        "msr ttbr0_el2, x1",
        // Attribute 0 Device-nGnRE, 1 Normal write-back.
        "movz x2, #0xff04",
        "msr mair_el2, x2",
        // T0SZ 25: the walk begins at level 1. Write-back, inner shareable; 40 bits of output.
        "movz x2, #0x3519",
        "movz x3, #0x8082, lsl #16",
        "tbz x22, #0, 5f",
        "movz x3, #0x0080, lsl #16",
        "movk x3, #2, lsl #32",
        "5: orr x2, x2, x3",
        "msr tcr_el2, x2",
        "isb",
        "tlbi alle2",
        "dsb sy",
        "isb",
        "mrs x2, sctlr_el2",
        "orr x2, x2, #1",
        "orr x2, x2, #4",
        "orr x2, x2, #0x1000",
        "msr sctlr_el2, x2",
        "isb",
        "4: add x2, x21, #0x200, lsl #12",
        "tbz x22, #2, 6f",
        // PSCI CPU_ON of CPU 1, then CPU_OFF of this one (Arm DEN 0022).
        "movz x0, #0x0003",
        "movk x0, #0xc400, lsl #16",
        "mov x1, #1",
        "mov x3, x20",
        "smc #0",
        "movz x0, #0x0002",
        "movk x0, #0x8400, lsl #16",
        "smc #0",
        "7: wfi",
        "b 7b",
        "6: mov x0, x20",
        "br x2",
    )
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
