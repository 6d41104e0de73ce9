//! ID registers, and the registers of EL2 by number.

use core::arch::asm;
use witness::trap::{
    feature::{self, IdRegisters},
    register::{self as reg, Register},
};

macro_rules! read {
    ($register:literal) => {{
        let value: u64;
        // SAFETY: ID registers are read without effect, and as 0 where the CPU has none; others only where it has them.
        unsafe { asm!(concat!("mrs {}, ", $register), out(reg) value, options(nomem, nostack)) };
        value
    }};
}

/// What the CPU has, as the running exception level reads it.
pub(crate) fn ids() -> IdRegisters {
    let ids = IdRegisters {
        pfr0: read!("id_aa64pfr0_el1"),
        pfr1: read!("id_aa64pfr1_el1"),
        pfr2: read!("s3_0_c0_c4_2"),
        dfr0: read!("id_aa64dfr0_el1"),
        dfr1: read!("id_aa64dfr1_el1"),
        dfr2: read!("s3_0_c0_c5_2"),
        mmfr0: read!("id_aa64mmfr0_el1"),
        mmfr1: read!("id_aa64mmfr1_el1"),
        mmfr3: read!("s3_0_c0_c7_3"),
        mmfr4: read!("s3_0_c0_c7_4"),
        isar1: read!("id_aa64isar1_el1"),
        isar2: read!("s3_0_c0_c6_2"),
        smfr0: read!("s3_0_c0_c4_5"),
        midr: read!("midr_el1"),
        mpidr: read!("mpidr_el1"),
        ..IdRegisters::default()
    };
    // Of SPE, TRBE and MPAM QEMU has none: their own ID registers stay 0.
    let pmcr = if feature::PMU.is_in(&ids) { read!("pmcr_el0") } else { 0 };
    IdRegisters { pmcr, ..ids }
}

macro_rules! write_by_number {
    ($(($name:ident, $op0:literal, $op1:literal, $crn:literal, $crm:literal, $op2:literal),)*) => {
        /// Writes a register of the plan.
        ///
        /// # Safety
        /// EL2 runs, the CPU has the register, and the value keeps EL2 running.
        pub(crate) unsafe fn write(register: Register, value: u64) {
            match register {
                $(
                    // SAFETY: the caller's promise.
                    reg::$name => unsafe {
                        asm!(
                            concat!("msr s", $op0, "_", $op1, "_c", $crn, "_c", $crm, "_", $op2, ", {}"), "isb",
                            in(reg) value, options(nostack)
                        );
                    },
                )*
                _ => {}
            }
        }
    };
}
witness::for_each_register!(write_by_number);
