//! EL2 as a kernel at EL1 needs it: the plan is written, and what stood there before comes back in the end.

use alloc::vec::Vec;
use arch::{
    cpu,
    el1::{self, GuestTlb},
    stage2::Tlb,
};
use core::arch::asm;
use witness::trap::{
    feature::{self, IdRegisters},
    firmware,
    plan::Write,
    register::Register,
    system::System,
};

macro_rules! read {
    ($register:expr) => {{
        let value: u64;
        // SAFETY: a read has no effect, and ID registers of AArch64 that a CPU lacks read as 0 (DDI 0487, D24.1.3).
        unsafe { asm!(concat!("mrs {0}, ", $register), out(reg) value, options(nomem, nostack, preserves_flags)) }
        value
    }};
}

/// The ID registers of the running CPU. By encoding, as assemblers know the newest not by name.
pub(crate) fn ids() -> IdRegisters {
    let mut ids = IdRegisters {
        pfr0: read!("s3_0_c0_c4_0"),
        pfr1: read!("s3_0_c0_c4_1"),
        pfr2: read!("s3_0_c0_c4_2"),
        dfr0: read!("s3_0_c0_c5_0"),
        dfr1: read!("s3_0_c0_c5_1"),
        dfr2: read!("s3_0_c0_c5_2"),
        mmfr0: read!("s3_0_c0_c7_0"),
        mmfr1: read!("s3_0_c0_c7_1"),
        mmfr3: read!("s3_0_c0_c7_3"),
        mmfr4: read!("s3_0_c0_c7_4"),
        isar1: read!("s3_0_c0_c6_1"),
        isar2: read!("s3_0_c0_c6_2"),
        smfr0: read!("s3_0_c0_c4_5"),
        midr: read!("midr_el1"),
        mpidr: read!("mpidr_el1"),
        ..IdRegisters::default()
    };
    if feature::PMU.is_in(&ids) {
        ids.pmcr = read!("s3_3_c9_c12_0");
    }
    if feature::SPE.is_in(&ids) {
        ids.pmbidr = read!("s3_0_c9_c10_7");
        ids.pmsidr = read!("s3_0_c9_c9_7");
    }
    if feature::TRBE.is_in(&ids) {
        ids.trbidr = read!("s3_0_c9_c11_7");
    }
    if feature::MPAM.is_in(&ids) {
        ids.mpamidr = read!("s3_0_c10_c4_4");
    }
    ids
}

/// The registers of the plan as they were before a kernel ran.
pub(crate) struct Before {
    registers: Vec<Write>,
    e2h: bool,
    /// SCTLR_EL2.
    control: u64,
}

/// SCTLR_EL2.TSCXT, under E2H and with FEAT_CSV2_2; RES1 without that. It is to trap SCXTNUM_EL0 of an EL0 that is EL2's own (DDI 0487,
/// D24.2), but an emulator (QEMU 10.0) traps SCXTNUM_EL1 and SCXTNUM_EL0 of EL1 by it, too.
const TSCXT: u64 = 1 << 20;

/// Leaves a kernel its context numbers; SCTLR_EL2 as it was.
pub(crate) fn leave_context_numbers(ids: &IdRegisters, e2h: bool) -> u64 {
    let control = read!("sctlr_el2");
    if e2h && feature::CSV2_2.is_in(ids) {
        set_control(control & !TSCXT);
    }
    control
}

fn set_control(value: u64) {
    // SAFETY: EL2's own, but for a bit that concerns no program of EL2's.
    unsafe { asm!("msr sctlr_el2, {0}", "isb", in(reg) value, options(nostack, preserves_flags)) }
}

/// Puts a plan in force, with stage 2 by these VTCR_EL2 and VTTBR_EL2. `step` says what is done, where the running CPU is the one that
/// tells.
///
/// # Safety
/// The plan is this CPU's. The tables are a map of what may run at EL1, and this CPU runs nothing else there.
pub(crate) unsafe fn enter(plan: &[Write], (vtcr, vttbr): (u64, u64), step: fn(&'static str)) -> Before {
    let e2h = cpu::is_e2h();
    // SAFETY: without effect before HCR_EL2.VM is set; then the caller's promise.
    unsafe { asm!("msr vtcr_el2, {0}", "msr vttbr_el2, {1}", in(reg) vtcr, in(reg) vttbr, options(nostack)) }
    cpu::isb();
    // A kernel before this one had the same VMID.
    GuestTlb.invalidate();
    let control = leave_context_numbers(&ids(), e2h);
    let mut registers = Vec::with_capacity(plan.len());
    for write in plan {
        // Firmware may keep it from EL2: a run that is lost here says by its step what to look at.
        step(firmware::control(&write.register).unwrap_or("EL2's registers"));
        registers.push(Write { value: get(write.register), ..*write });
        // Before HCR_EL2 AmpereOne needs it (erratum AC04_CPU_23).
        cpu::dsb();
        // SAFETY: the plan names only registers that this CPU announces; the rest is the caller's promise.
        unsafe { put(write.register, write.value) }
        cpu::isb();
    }
    step("kernel");
    el1::install();
    Before { registers, e2h, control }
}

impl Before {
    /// Takes EL2 back: stage 2 and traps off, the kernel's timers quiet, every register as it was found.
    pub(crate) fn restore(self) {
        stop_timers(self.e2h);
        if feature::GICV3.is_in(&ids()) {
            // A kernel may end in a handler, whose running priority would keep interrupts from the next; 0 may be written at any time
            // (IHI 0069, ICC_AP1R<n>_EL1).
            // SAFETY: the CPU interface is nobody's now.
            unsafe { asm!("msr s3_0_c12_c9_0, xzr", "isb", options(nostack, preserves_flags)) }
        }
        // HCR_EL2 was written last.
        for Write { register, value, .. } in self.registers.into_iter().rev() {
            // As in `enter`.
            cpu::dsb();
            // SAFETY: the register was read and written before, and the value was its own.
            unsafe { put(register, value) }
            cpu::isb();
        }
        set_control(self.control);
        arch::lost::install(arch::lost::conduit());
        cpu::mask_all();
    }
}

/// Timers of EL1 that the kernel left at work would go on to interrupt.
pub(crate) fn stop_timers(e2h: bool) {
    // Under E2H the plain names are those of EL2's own timers.
    if e2h {
        // SAFETY: they belong to nobody now.
        unsafe { asm!("msr s3_5_c14_c2_1, xzr", "msr s3_5_c14_c3_1, xzr", "isb", options(nostack)) }
    } else {
        // SAFETY: as above.
        unsafe { asm!("msr cntp_ctl_el0, xzr", "msr cntv_ctl_el0, xzr", "isb", options(nostack)) }
    }
}

macro_rules! interrupts {
    ($(($crm:literal, $op2:literal)),*) => {
        /// An access to the CPU interface for interrupts, which is one for EL1 and EL2 (`interrupts::is_one`): `value` is written,
        /// or what is read comes back.
        pub(crate) fn interrupt_register(System { crm, op2, is_read, .. }: &System, value: u64) -> u64 {
            match (crm, op2, is_read) {
                $(
                    ($crm, $op2, true) => read!(concat!("s3_0_c12_c", $crm, "_", $op2)),
                    ($crm, $op2, false) => {
                        // SAFETY: the kernel's interrupts, as it deals with them; the register is there, as the access trapped.
                        unsafe {
                            asm!(
                                concat!("msr s3_0_c12_c", $crm, "_", $op2, ", {0}"),
                                in(reg) value,
                                options(nostack, preserves_flags)
                            )
                        }
                        value
                    }
                )*
                _ => value,
            }
        }
    };
}
witness::for_each_group_1_register!(interrupts);

macro_rules! registers {
    ($(($name:ident, $op0:literal, $op1:literal, $crn:literal, $crm:literal, $op2:literal),)*) => {
        /// # Safety
        /// The CPU has the register, and takes the value.
        pub(crate) unsafe fn put(register: Register, value: u64) {
            let Register { op0, op1, crn, crm, op2, .. } = register;
            match (op0, op1, crn, crm, op2) {
                $(
                    ($op0, $op1, $crn, $crm, $op2) => {
                        // SAFETY: the caller's promise.
                        unsafe {
                            asm!(
                                concat!("msr s", $op0, "_", $op1, "_c", $crn, "_c", $crm, "_", $op2, ", {0}"),
                                in(reg) value,
                                options(nostack, preserves_flags)
                            )
                        }
                    }
                )*
                _ => {}
            }
        }

        /// The CPU has the register.
        fn get(register: Register) -> u64 {
            let Register { op0, op1, crn, crm, op2, .. } = register;
            match (op0, op1, crn, crm, op2) {
                $(
                    ($op0, $op1, $crn, $crm, $op2) => {
                        read!(concat!("s", $op0, "_", $op1, "_c", $crn, "_c", $crm, "_", $op2))
                    }
                )*
                _ => 0,
            }
        }
    };
}
witness::for_each_register!(registers);
