//! What EL2 has to write before a kernel may run at EL1: one table, from what the CPU has to register, value and reason.
//!
//! Most of these registers reset to an UNKNOWN value (DDI 0487, D24), and newer trap bits trap where they are 0: a register
//! that the ID registers announce and that nobody writes may trap the kernel, or worse make an instruction of its UNDEFINED
//! without a trap (HCRX_EL2.MSCEn) or let it read a wrong clock (CNTVOFF_EL2). So every one is written, as a whole.
//! Which registers exist the Arm ARM says; `el2_setup.h` and `booting.rst` of Linux say what a kernel at EL1 counts on.
//!
//! Stage 2 itself (VTCR_EL2, VTTBR_EL2) and EL2's own translation and vectors belong to whoever runs there. Left alone, as
//! firmware has them: ACTLR_EL2, which is IMPLEMENTATION DEFINED, and the masks of FEAT_SRMASK for EL2's own registers, which
//! firmware may keep from EL2; a CPTR_EL2 that does not read back as it was written tells of them. Without effect while the
//! plan is in force: AMEVCNTVOFF* (HCR_EL2.AMVOFFEN), MPAMVPM* (MPAMHCR_EL2), VNCR_EL2 (HCR_EL2.NV2), VSESR_EL2 and VDISR_EL2
//! (HCR_EL2.VSE), HDBSSBR_EL2 (VTCR_EL2.HDBSS), PMBSR_EL2 (PMSCR_EL2.EE), TRBSR_EL2 (TRFCR_EL2.EE).

mod debug;
mod fine;
mod general;

use super::feature::{Feature, IdRegisters};
use super::register::Register;

/// What a row adds to its register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// These bits.
    Bits(u64),
    /// MIDR_EL1, as EL2 reads it.
    Midr,
    /// MPIDR_EL1, as EL2 reads it.
    Mpidr,
    /// PMCR_EL0.N: the number of event counters.
    Counters,
}

impl Value {
    const fn of(self, ids: &IdRegisters) -> u64 {
        match self {
            Self::Bits(bits) => bits,
            Self::Midr => ids.midr,
            Self::Mpidr => ids.mpidr,
            Self::Counters => ids.pmcr >> 11 & 0x1F,
        }
    }
}

/// The layout of HCR_EL2.E2H that a row is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The same in both.
    Any,
    /// E2H=0.
    Own,
    /// E2H=1: CPTR_EL2 and CNTHCTL_EL2 look as their EL1 namesakes do, and EL1's registers have names of their own.
    Host,
}

/// One line of the table: with this feature, this register has these bits, for this reason.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The register.
    pub register: Register,
    /// What is added to its value.
    pub value: Value,
    /// With which feature.
    pub feature: Feature,
    /// In which layout.
    pub layout: Layout,
    /// What happens otherwise.
    pub reason: &'static str,
}

impl Row {
    const fn is_for(&self, e2h: bool) -> bool {
        match self.layout {
            Layout::Any => true,
            Layout::Own => !e2h,
            Layout::Host => e2h,
        }
    }

    const fn layout(self, layout: Layout) -> Self {
        Self { layout, ..self }
    }
}

/// A row of bits in both layouts.
const fn row(register: Register, bits: u64, feature: Feature, reason: &'static str) -> Row {
    Row { register, value: Value::Bits(bits), feature, layout: Layout::Any, reason }
}

/// HCR_EL2.VM: stage 2 is in force.
const VM: u64 = 1 << 0;

/// A register and the value that it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// The register.
    pub register: Register,
    /// Its whole value.
    pub value: u64,
    /// What happens without the write, by the first row of the register.
    pub reason: &'static str,
}

/// The table. Rows of one register follow each other, and the first of them in each layout says when the register is there:
/// a feature may come without the trap register that has a bit for it. Registers stand in the order of their writes.
pub fn rows() -> impl Iterator<Item = &'static Row> + Clone {
    let parts: [&'static [Row]; 4] = [general::ROWS, fine::ROWS, debug::ROWS, general::LAST];
    parts.into_iter().flatten()
}

/// No row of the table: with it at the end HCR_EL2.TWI brings the kernel to EL2 whenever it is idle, where counters are then
/// looked at.
pub const VISITS: Row = row(super::register::HCR_EL2, 1 << 13, super::feature::ALWAYS, "TWI: EL2 is visited when idle");

/// Nor this one: with it ICH_HCR_EL2.TALL1 brings the kernel to EL2 with each interrupt, so that one that is busy is looked at, too
/// (IHI 0069, 12.4). What it then wants of the CPU interface is [`super::interrupts`]'.
pub const TICKS: Row =
    row(super::register::ICH_HCR_EL2, 1 << 12, super::feature::GICV3, "TALL1: EL2 is visited when busy");

/// The plan with both.
pub fn visiting(ids: &IdRegisters, e2h: bool) -> impl Iterator<Item = Write> {
    // Rows of one register follow each other.
    let more = |row: &Row| [&VISITS, &TICKS].into_iter().find(|more| more.register == row.register);
    let mut rows = rows().peekable();
    let mut next = None;
    let with_more = core::iter::from_fn(move || {
        next.take().or_else(|| {
            let row = rows.next()?;
            let is_last = rows.peek().is_none_or(|after| after.register != row.register);
            next = more(row).filter(|_| is_last);
            Some(row)
        })
    });
    writes(with_more, *ids, e2h)
}

/// What to write on a CPU with these ID registers, HCR_EL2.E2H as it was found. An ISB belongs behind each: CPTR_EL2 opens
/// the way to ZCR_EL2 and SMCR_EL2, ICC_SRE_EL2 that to ICH_HCR_EL2. HCR_EL2 comes last, when stage 2 stands.
pub fn plan(ids: &IdRegisters, e2h: bool) -> impl Iterator<Item = Write> {
    writes(rows(), *ids, e2h)
}

/// The same without stage 2, for a kernel that runs as if nobody were there, but for its calls of firmware.
pub fn unmapped(ids: &IdRegisters, e2h: bool) -> impl Iterator<Item = Write> {
    let open = |write: Write| match write.register {
        register if register == super::register::HCR_EL2 => Write { value: write.value & !VM, ..write },
        _ => write,
    };
    plan(ids, e2h).map(open)
}

/// The same of any part of the table, as tests have it that leave a row out.
pub fn writes<'a>(rows: impl Iterator<Item = &'a Row>, ids: IdRegisters, e2h: bool) -> impl Iterator<Item = Write> {
    let mut rows = rows.filter(move |row| row.is_for(e2h)).peekable();
    core::iter::from_fn(move || {
        loop {
            let first = rows.next()?;
            let mut value = first.value.of(&ids);
            while let Some(more) = rows.next_if(|row| row.register == first.register) {
                if more.feature.is_in(&ids) {
                    value |= more.value.of(&ids);
                }
            }
            if first.feature.is_in(&ids) {
                return Some(Write { register: first.register, value, reason: first.reason });
            }
        }
    })
}

#[cfg(test)]
mod tests;
