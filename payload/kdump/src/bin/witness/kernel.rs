//! The kernel as EL2 sees it at a trap: its addresses, its instructions, its memory.

use crate::{
    map::Map,
    step::{self, Step},
    vectors,
};
use addr::PhysAddr;
use arch::{
    cache, cpu,
    el1::{Cause, Vcpu},
    exceptions, mmio,
};
use core::{
    arch::asm,
    sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering},
};
use witness::{
    carry_out::{Kernel, Registers},
    trap::abort,
};

/// SPSR_EL2.M: EL0, or EL1 with the stack pointer of EL0.
const MODE: u64 = 0xF;
const EL0: u64 = 0;
const EL1T: u64 = 4;
/// SPSR_EL2.BTYPE: of an instruction that was carried out nothing is left of the branch before it.
const BTYPE: u64 = 3 << 10;
/// SPSR_EL2.SS: a kernel that steps itself has stepped by it (DDI 0487, D2.12).
const SS: u64 = 1 << 21;

/// EL2's side of a trap.
pub(crate) struct AtTrap<'a, 'm> {
    vcpu: &'a mut Vcpu,
    map: &'a mut Map<'m>,
    /// No other CPU is at work.
    is_alone: bool,
    /// The kernel executed instructions, and this was the end of it.
    pub(crate) left: Option<Cause>,
}

impl<'a, 'm> AtTrap<'a, 'm> {
    pub(crate) const fn new(vcpu: &'a mut Vcpu, map: &'a mut Map<'m>, is_alone: bool) -> Self {
        Self { vcpu, map, is_alone, left: None }
    }
}

/// The kernel's registers, as an emulated instruction uses them.
pub(crate) fn registers(vcpu: &Vcpu) -> Registers {
    Registers { x: vcpu.x, sp: stack_pointer(vcpu), pc: vcpu.pc }
}

/// Has the kernel go on with these.
pub(crate) fn go_on(vcpu: &mut Vcpu, registers: &Registers) {
    if registers.sp != stack_pointer(vcpu) {
        set_stack_pointer(vcpu, registers.sp);
    }
    (vcpu.x, vcpu.pc) = (registers.x, registers.pc);
    behind(vcpu);
}

/// The instruction was carried out here.
pub(crate) const fn behind(vcpu: &mut Vcpu) {
    vcpu.pstate &= !(BTYPE | SS);
}

fn has_sp_el0(vcpu: &Vcpu) -> bool {
    matches!(vcpu.pstate & MODE, EL0 | EL1T)
}

fn stack_pointer(vcpu: &Vcpu) -> u64 {
    let (el0, el1): (u64, u64);
    // SAFETY: both belong to the kernel, which does not run.
    unsafe { asm!("mrs {0}, sp_el0", "mrs {1}, sp_el1", out(reg) el0, out(reg) el1, options(nostack, preserves_flags)) }
    if has_sp_el0(vcpu) { el0 } else { el1 }
}

fn set_stack_pointer(vcpu: &Vcpu, sp: u64) {
    if has_sp_el0(vcpu) {
        // SAFETY: as above.
        unsafe { asm!("msr sp_el0, {0}", in(reg) sp, options(nostack, preserves_flags)) }
    } else {
        // SAFETY: as above.
        unsafe { asm!("msr sp_el1, {0}", in(reg) sp, options(nostack, preserves_flags)) }
    }
}

impl Kernel for AtTrap<'_, '_> {
    fn instruction(&mut self, pc: u64) -> Option<u32> {
        let at = self.translate(pc)?;
        cpu::normal_memory_at(at).then(|| exceptions::probe_read32(at)).flatten()
    }

    fn translate(&mut self, address: u64) -> Option<u64> {
        let par: u64;
        // SAFETY: PAR_EL1 is the kernel's, and is put back before it goes on; the rest reads its tables.
        unsafe {
            asm!(
                "cbz {user}, 2f",
                "at s1e0r, {address}",
                "b 3f",
                "2:",
                "at s1e1r, {address}",
                "3:",
                "isb",
                "mrs {par}, par_el1",
                user = in(reg) u64::from(self.vcpu.pstate & MODE == EL0),
                address = in(reg) address,
                par = out(reg) par,
                options(nostack, preserves_flags)
            );
        }
        abort::ipa_of(par, address)
    }

    fn is_hidden(&self, at: PhysAddr) -> bool {
        self.map.is_hidden(at.0)
    }

    fn is_watching_loads(&self) -> bool {
        self.map.is_watching_loads()
    }

    fn load(&mut self, at: PhysAddr, bytes: u8) -> Option<u64> {
        let Some(width) = width(at, bytes) else {
            let mut each = (0..u64::from(bytes)).rev();
            return each.try_fold(0, |value, byte| Some(value << 8 | self.load(at.plus(byte), 1)?));
        };
        exchange(at);
        // SAFETY: memory of the kernel's or of its predecessor's, or registers of a device; no Rust object is there; aligned.
        is_mapped(at).then(|| unsafe { mmio::read(at.0, width) })
    }

    fn store(&mut self, at: PhysAddr, bytes: u8, value: u64) -> bool {
        let Some(width) = width(at, bytes) else {
            return (0..u64::from(bytes)).all(|byte| self.store(at.plus(byte), 1, value >> (8 * byte)));
        };
        let is_mapped = is_mapped(at);
        if is_mapped {
            // SAFETY: as above.
            unsafe { mmio::write(at.0, width, value) }
            exchange(at);
        }
        is_mapped
    }

    fn replace(&mut self, at: PhysAddr, bytes: u8, old: u64, new: u64) -> bool {
        macro_rules! replace {
            ($atomic:ty, $word:ty) => {{
                // SAFETY: aligned Normal memory by the checks below; all that Rust knows of it is this access.
                let place = unsafe { <$atomic>::from_ptr(core::ptr::with_exposed_provenance_mut(at.0 as usize)) };
                place.compare_exchange(old as $word, new as $word, Ordering::AcqRel, Ordering::Acquire).is_ok()
            }};
        }
        match width(at, bytes) {
            Some(width) if cpu::normal_memory_at(at.0) => {
                exchange(at);
                let is_done = match width {
                    1 => replace!(AtomicU8, u8),
                    2 => replace!(AtomicU16, u16),
                    4 => replace!(AtomicU32, u32),
                    _ => replace!(AtomicU64, u64),
                };
                exchange(at);
                is_done
            }
            // A device, or an access across words: as good as two accesses can be.
            _ => self.load(at, bytes) == Some(old) && self.store(at, bytes, new),
        }
    }

    fn vector(&mut self, register: u8) -> u128 {
        vectors::get(register)
    }

    fn set_vector(&mut self, register: u8, value: u128) {
        vectors::set(register, value);
    }

    fn block_bytes(&self) -> u64 {
        let dczid: u64;
        // SAFETY: DCZID_EL0 is only read. BS, the logarithm of words of four bytes, is 9 at most (DDI 0487, DCZID_EL0).
        unsafe { asm!("mrs {0}, dczid_el0", out(reg) dczid, options(nomem, nostack, preserves_flags)) }
        4 << (dczid & 0xF)
    }

    fn step(&mut self, registers: &mut Registers) -> bool {
        go_on(self.vcpu, registers);
        let step = step::one(self.vcpu);
        *registers = crate::kernel::registers(self.vcpu);
        self.left = if let Step::Trapped(cause) = step { Some(cause) } else { None };
        step == Step::Done
    }

    fn step_in(&mut self, page: PhysAddr, registers: &mut Registers) -> bool {
        if !self.is_alone || self.map.open(page.0).is_err() {
            return false;
        }
        let is_done = self.step(registers) || self.left.is_some();
        self.map.watch_again(page.0).is_ok() && is_done
    }

    fn clean(&mut self, at: PhysAddr) {
        if is_mapped(at) {
            cache::refetch_line(at);
        }
    }
}

/// What a kernel maps without caches, beside tables of an SMMU that is not coherent, has to be the same here, where it is mapped with
/// them (DDI 0487, B2.11): nothing older stays in a cache before a load, nothing newer behind a store.
fn exchange(at: PhysAddr) {
    if cpu::normal_memory_at(at.0) {
        cache::refetch_line(at);
    }
}

fn is_mapped(at: PhysAddr) -> bool {
    cpu::normal_memory_at(at.0) || cpu::device_memory_at(at.0)
}

/// How many bytes one access may have there; `None`: they do not lie together.
fn width(at: PhysAddr, bytes: u8) -> Option<usize> {
    (matches!(bytes, 1 | 2 | 4 | 8) && at.is_aligned(bytes.into())).then_some(bytes.into())
}

/// PAR_EL1: EL2 translates addresses, too, and the kernel may be about to read what its own AT has left.
pub(crate) fn translated() -> u64 {
    let par: u64;
    // SAFETY: PAR_EL1 is only read.
    unsafe { asm!("mrs {0}, par_el1", out(reg) par, options(nomem, nostack, preserves_flags)) }
    par
}

/// Has the kernel find it as it was.
pub(crate) fn set_translated(par: u64) {
    // SAFETY: nobody but the kernel reads it from here on.
    unsafe { asm!("msr par_el1, {0}", in(reg) par, options(nomem, nostack, preserves_flags)) }
}

/// An interrupt is pending at this CPU; masked or not, it is the kernel's.
pub(crate) fn has_interrupt() -> bool {
    let pending: u64;
    // SAFETY: ISR_EL1 is only read.
    unsafe { asm!("mrs {0}, isr_el1", out(reg) pending, options(nomem, nostack, preserves_flags)) }
    pending & (0b11 << 6) != 0
}

/// The CPU interface for interrupts is one of system registers (ID_AA64PFR0_EL1.GIC). That of a GICv2 is in memory, and the kernel's alone.
pub(crate) fn has_gic_registers() -> bool {
    let features: u64;
    // SAFETY: ID_AA64PFR0_EL1 is only read.
    unsafe { asm!("mrs {0}, id_aa64pfr0_el1", out(reg) features, options(nomem, nostack, preserves_flags)) }
    features >> 24 & 0xF != 0
}

/// No interrupt is being handled that keeps others of its priority waiting: a kernel parks its CPUs for good in a handler.
pub(crate) fn can_be_woken() -> bool {
    const IDLE: u64 = 0xFF;
    if !has_gic_registers() {
        // Nobody can tell.
        return false;
    }
    let running: u64;
    // SAFETY: ICC_RPR_EL1 is only read.
    unsafe { asm!("mrs {0}, icc_rpr_el1", out(reg) running, options(nomem, nostack, preserves_flags)) }
    running == IDLE
}
