//! The arm64 `Image` header and the first instructions (Linux, Documentation/arch/arm64/booting.rst).
//!
//! In: x0 the address of the devicetree, EL2, or EL1 to be told so. MMU and caches off, as the boot protocol has it, or on
//! with an identity map, as a debugger or a boot loader's `go` leaves them. Nothing but registers is used until the stack
//! is there, and all that is written before the MMU is on is taken out of the caches again: lines from before would hide it.

use super::first;
use arch::mmu::Regime;
use core::arch::naked_asm;
use core::mem::offset_of;

/// Linked first.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.header")]
unsafe extern "C" fn raw_header() {
    naked_asm!(
        "b {entry}",
        "nop",
        // text_offset: anywhere. image_size: xtask writes it, with all that is not in the file.
        ".quad 0",
        ".quad 0",
        // Little endian, 4 KiB pages, anywhere in memory.
        ".quad 0b1010",
        ".quad 0",
        ".quad 0",
        ".quad 0",
        ".ascii \"ARM\\x64\"",
        ".long 0",
        entry = sym entry,
    )
}

/// x20: devicetree; x21: first byte of the image; x22: exception level as in CurrentEL; x23: bytes of a cache line.
#[unsafe(naked)]
unsafe extern "C" fn entry() {
    naked_asm!(
        "msr daifset, #0xf",
        // A debugger may enter with SP_EL0 in use: exceptions would then take the other half of the vectors.
        "msr spsel, #1",
        "mov x20, x0",
        "adrp x21, __image_start",
        "mrs x22, CurrentEL",
        // EL3 belongs to the firmware, and nobody there could be told.
        "cmp x22, #12",
        "b.ne 16f",
        "15: wfi",
        "b 15b",
        "16:",
        "mrs x1, ctr_el0",
        "ubfx x1, x1, #16, #4",
        "mov x23, #4",
        "lsl x23, x23, x1",
        // Who runs with the MMU on may have the image in its caches only. The devicetree is read through caches again.
        "cmp x22, #8",
        "b.eq 1f",
        "mrs x1, sctlr_el1",
        "b 2f",
        "1: mrs x1, sctlr_el2",
        "2: and x2, x1, #1",
        "and x3, x1, #4",
        "orr x2, x2, x3",
        "cbz x2, 5f",
        "mov x2, x21",
        "adrp x3, __loaded_end",
        "3: dc civac, x2",
        "add x2, x2, x23",
        "cmp x2, x3",
        "b.lo 3b",
        "dsb sy",
        // MMU, data and instruction cache off.
        "bic x1, x1, #1",
        "bic x1, x1, #4",
        "bic x1, x1, #0x1000",
        "cmp x22, #8",
        "b.eq 6f",
        "msr sctlr_el1, x1",
        "isb",
        "b 7f",
        "6: msr sctlr_el2, x1",
        "isb",
        "b 7f",
        "5: isb",
        // Stack and tables come next, where nothing was loaded: a dirty line of an earlier owner, written back between our
        // stores and the invalidation below, would overwrite them.
        "7: adrp x1, __loaded_end",
        "adrp x2, __stack_top",
        "add x2, x2, :lo12:__stack_top",
        "17: dc ivac, x1",
        "add x1, x1, x23",
        "cmp x1, x2",
        "b.lo 17b",
        "dsb sy",
        // Each word that holds an address of the image.
        "adrp x1, __rela_start",
        "add x1, x1, :lo12:__rela_start",
        "adrp x2, __rela_end",
        "add x2, x2, :lo12:__rela_end",
        "8: cmp x1, x2",
        "b.hs 9f",
        "ldr x3, [x1]",
        "ldr x4, [x1, #16]",
        "add x4, x4, x21",
        "str x4, [x21, x3]",
        "add x1, x1, #24",
        "b 8b",
        "9: adrp x1, __stack_top",
        "add x1, x1, :lo12:__stack_top",
        "mov sp, x1",
        "mov x29, xzr",
        "mov x30, xzr",
        "mov x0, x21",
        "adrp x1, __heap_end",
        "mov x2, x20",
        "bl {map}",
        "mov x19, x0",
        // All of the image, whose memory is the truth by now.
        "dsb sy",
        "mov x1, x21",
        "adrp x2, __heap_end",
        "10: dc ivac, x1",
        "add x1, x1, x23",
        "cmp x1, x2",
        "b.lo 10b",
        "dsb sy",
        "ldp x1, x2, [x19, #{ttbr0}]",
        "ldp x3, x4, [x19, #{mair}]",
        "cmp x22, #8",
        "b.eq 11f",
        "msr ttbr0_el1, x1",
        "msr tcr_el1, x2",
        "msr mair_el1, x3",
        "isb",
        "tlbi vmalle1",
        "ic iallu",
        "dsb sy",
        "isb",
        "msr sctlr_el1, x4",
        "isb",
        "b 12f",
        "11: msr ttbr0_el2, x1",
        "msr tcr_el2, x2",
        "msr mair_el2, x3",
        "isb",
        "tlbi alle2",
        "ic iallu",
        "dsb sy",
        "isb",
        "msr sctlr_el2, x4",
        "isb",
        "12: adrp x1, __bss_start",
        "adrp x2, __bss_end",
        "13: cmp x1, x2",
        "b.hs 14f",
        "stp xzr, xzr, [x1], #16",
        "b 13b",
        "14: mov x0, x20",
        "mov x1, x21",
        "b {main}",
        ttbr0 = const offset_of!(Regime, ttbr0),
        mair = const offset_of!(Regime, mair),
        map = sym first::map,
        main = sym super::raw_main,
    )
}
