//! Classes of instructions that EL2 may trap, hide or make UNDEFINED: whatever of them the CPU has is run once. A plan of EL2's
//! registers from which one is missing shows by an exception, by another value, or by the end of the observation.

use crate::{console::say, registers, vectors::attempt};
use core::arch::asm;
use witness::trap::feature::{self, Feature};

struct Class {
    name: &'static str,
    feature: Feature,
    /// What is left in x0 is told.
    run: fn() -> u64,
}

macro_rules! classes {
    ($(($name:literal, $feature:ident, $code:literal),)*) => {
        &[$(Class {
            name: $name,
            feature: feature::$feature,
            run: || {
                let mut value = 0_u64;
                // SAFETY: registers are read, or written with what they hold, or with what this kernel has no use for.
                unsafe {
                    asm!($code, inout("x0") value, out("x1") _, out("x2") _, out("x3") _, options(nostack));
                }
                value
            },
        }),*]
    };
}

const CLASSES: &[Class] = classes! {
    ("midr", ALWAYS, "mrs x0, midr_el1"),
    ("mpidr", ALWAYS, "mrs x0, mpidr_el1"),
    ("id", ALWAYS, "mrs x1, id_aa64pfr0_el1\n mrs x1, ctr_el0\n mrs x1, clidr_el1\n mrs x1, revidr_el1\n mrs x1, aidr_el1"),
    ("sctlr", ALWAYS, "mrs x1, sctlr_el1\n msr sctlr_el1, x1\n mrs x1, actlr_el1"),
    ("translation", ALWAYS, "mrs x1, ttbr0_el1\n msr ttbr0_el1, x1\n mrs x1, tcr_el1\n msr tcr_el1, x1\n isb"),
    ("tlbi", ALWAYS, "tlbi vmalle1is\n tlbi vmalle1\n dsb ish\n isb"),
    ("at", ALWAYS, "mov x1, sp\n at s1e1r, x1\n isb\n mrs x1, par_el1"),
    ("cache", ALWAYS, "mov x1, sp\n dc cvac, x1\n dc civac, x1\n dc cvau, x1\n ic iallu\n ic ialluis\n dsb sy\n isb"),
    // DZP says that DC ZVA is prohibited.
    ("dc-zva", ALWAYS, "mrs x0, dczid_el0"),
    ("cpacr", ALWAYS, "mrs x1, cpacr_el1\n msr cpacr_el1, x1\n isb"),
    // FMOV D0, XZR.
    ("fp", ALWAYS, ".inst 0x9e6703e0"),
    ("counter", ALWAYS, "mrs x1, cntpct_el0\n mrs x1, cntvct_el0\n mrs x1, cntkctl_el1\n msr cntkctl_el1, x1"),
    ("physical-timer", ALWAYS, "mrs x1, cntp_ctl_el0\n msr cntp_ctl_el0, x1\n mrs x1, cntp_cval_el0"),
    ("virtual-timer", ALWAYS, "mrs x1, cntv_ctl_el0\n msr cntv_ctl_el0, x1\n mrs x1, cntv_cval_el0"),
    // A difference of a few ticks is time, and gone in the shift.
    ("virtual-offset", ALWAYS, "isb\n mrs x1, cntpct_el0\n isb\n mrs x0, cntvct_el0\n sub x0, x0, x1\n asr x0, x0, #32"),
    ("debug", ALWAYS, "mrs x1, mdscr_el1\n msr mdscr_el1, x1\n mrs x1, dbgbvr0_el1\n mrs x1, mdrar_el1"),
    ("os-lock", ALWAYS, "mrs x1, oslsr_el1\n msr oslar_el1, xzr\n mrs x1, osdlr_el1\n isb"),
    ("wfe", ALWAYS, "sevl\n wfe"),
    ("pmu", PMU, "mrs x1, pmccntr_el0\n msr pmuserenr_el0, xzr\n mrs x1, pmovsclr_el0\n mrs x0, pmcr_el0\n ubfx x0, x0, #11, #5"),
    ("gic", GICV3, "mrs x1, icc_sre_el1\n mrs x1, icc_pmr_el1\n msr icc_pmr_el1, x1\n mrs x1, icc_ctlr_el1\n \
        mrs x1, icc_igrpen1_el1\n msr icc_igrpen1_el1, x1\n mrs x1, icc_rpr_el1\n mrs x1, icc_bpr1_el1"),
    ("pauth-keys", PAUTH, "mrs x1, s3_0_c2_c1_0\n msr s3_0_c2_c1_0, x1\n mrs x1, s3_0_c2_c3_0"),
    ("pauth", PAUTH, ".arch_extension pauth\n pacga x1, x0, x0"),
    ("sve", SVE, ".arch_extension sve\n mov x1, #15\n msr s3_0_c1_c2_0, x1\n isb\n rdvl x0, #1"),
    // SMCR_EL1: LEN, EZT0, FA64.
    ("sme", SME, ".arch_extension sme\n mov x1, #15\n orr x1, x1, #0xc0000000\n msr s3_0_c1_c2_6, x1\n isb\n rdsvl x0, #1"),
    ("sme-registers", SME, "mrs x1, s3_3_c4_c2_2\n mrs x1, s3_0_c1_c2_4\n msr s3_0_c1_c2_4, x1\n mrs x1, s3_3_c13_c0_5"),
    // AESE V0.16B, V0.16B is no instruction of streaming mode.
    ("sme-fa64", SME_FA64, ".arch_extension sme\n smstart sm\n .inst 0x4e284800\n smstop sm"),
    ("sme-zt0", SME2, ".arch_extension sme2\n smstart za\n zero {{ zt0 }}\n smstop za"),
    // Of no bytes.
    ("mops", MOPS, ".arch_extension mops\n mov x1, sp\n mov x2, #0\n setp [x1]!, x2!, x3\n setm [x1]!, x2!, x3\n \
        sete [x1]!, x2!, x3"),
    ("mte", MTE2, "mrs x1, s3_0_c1_c0_6\n msr s3_0_c1_c0_6, x1\n mrs x1, s3_0_c5_c6_0"),
    ("context-numbers", CSV2_2, "mrs x1, s3_0_c13_c0_7\n mrs x1, s3_3_c13_c0_7"),
    ("ras-injection", RAS_V1P1, "mrs x1, s3_0_c5_c4_4"),
    ("lor", LOR, "mrs x0, s3_0_c10_c4_3"),
    ("tcr2", TCR2, "mrs x0, s3_0_c2_c0_3"),
    ("sctlr2", SCTLR2, "mrs x0, s3_0_c1_c0_3"),
    ("permission-indirection", S1PIE, "mrs x1, s3_0_c10_c2_2\n mrs x1, s3_0_c10_c2_3"),
    ("permission-overlay", S1POE, "mrs x1, s3_0_c10_c2_4"),
    ("mpam", MPAM, "mrs x1, s3_0_c10_c5_0\n mrs x1, s3_0_c10_c5_1"),
    ("trace-filter", TRF, "mrs x1, s3_0_c1_c2_1"),
    ("profiling", SPE_OURS, "mrs x1, s3_0_c9_c9_0\n mrs x1, s3_0_c9_c10_0"),
    ("trace-buffer", TRBE, "mrs x1, s3_0_c9_c11_0"),
    ("branch-records", BRBE, "mrs x1, s2_1_c9_c0_0"),
    ("activity", AMU, "mrs x1, s3_3_c13_c2_0"),
    ("guarded-stack", GCS, "mrs x0, s3_0_c2_c5_0"),
    ("fp-mode", FPMR, "mrs x1, s3_3_c4_c4_2"),
    ("attributes-extended", AIE, "mrs x1, s3_0_c10_c2_1"),
};

/// Runs them, one line each. How many took an exception.
pub(crate) fn run_all() -> usize {
    let ids = registers::ids();
    let mut failed = 0;
    for class in CLASSES.iter().filter(|class| class.feature.is_in(&ids)) {
        match attempt(class.run) {
            Ok(value) => say!("class {}: {value:#x}", class.name),
            Err(syndrome) => {
                say!("class {}: exception {syndrome:#x}", class.name);
                failed += 1;
            }
        }
    }
    failed
}
