//! A data abort from its syndrome to its end: decoded, carried out, logged, and the kernel's registers as the instruction
//! leaves them. What only EL2 can do is behind [`Kernel`]; the rest is the same on a host.

use crate::trap::abort::{self, Abort, Place};
use crate::trap::instruction::{self, Refused, SP};
use crate::trap::transfer::Transfer;
use crate::watch::{WatchError, Witness};
use addr::PhysAddr;
use smmu::access::Access;
use thiserror::Error;

/// The kernel's registers at the trap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// x0 to x30.
    pub x: [u64; 31],
    /// The stack pointer that the instruction means: SP_EL1 or SP_EL0, by SPSR_EL2.
    pub sp: u64,
    /// ELR_EL2.
    pub pc: u64,
}

impl Registers {
    /// 31 is XZR.
    fn get(&self, register: u8) -> u64 {
        self.x.get(usize::from(register)).copied().unwrap_or(0)
    }

    fn set(&mut self, register: u8, value: u64) {
        if let Some(place) = self.x.get_mut(usize::from(register)) {
            *place = value;
        }
    }

    /// 31 is SP.
    fn base(&mut self, register: u8) -> &mut u64 {
        match register {
            SP => &mut self.sp,
            _ => self.x.get_mut(usize::from(register)).unwrap_or(&mut self.sp),
        }
    }
}

/// What EL2 does for a trap.
pub trait Kernel {
    /// The instruction word at an address of the kernel's; `None` where it cannot be read.
    fn instruction(&mut self, pc: u64) -> Option<u32>;
    /// Where stage 1 leads an address of the kernel's (`AT S1E1R`, PAR_EL1 and [`abort::ipa_of`]).
    fn translate(&mut self, address: u64) -> Option<u64>;
    /// Loads from memory that shares a page with a table.
    fn load(&mut self, at: PhysAddr, bytes: u8) -> u64;
    /// Stores there.
    fn store(&mut self, at: PhysAddr, bytes: u8, value: u64);
    /// Cleans and invalidates the line of an address to the point of coherency.
    fn clean(&mut self, at: PhysAddr);
}

/// The kernel cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Stopped {
    /// No data abort from below.
    #[error("ESR_EL2 {0:#x} is no data abort of the kernel's")]
    NoAbort(u64),
    /// A fault that stage 2, as the witness makes it, does not have.
    #[error("a data abort that is no translation or permission fault (DFSC {0:#x})")]
    Fault(u8),
    /// The kernel keeps its page tables where a table or a frame is watched.
    #[error("a stage 1 table walk met a watched page at {0:#x}")]
    TableWalk(u64),
    /// Nobody says where the access went.
    #[error("the address of the access is not known (FAR_EL2 {0:#x})")]
    Nowhere(u64),
    /// The instruction cannot be read.
    #[error("the instruction at {0:#x} cannot be read")]
    NoInstruction(u64),
    /// The instruction is not emulated.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The access cannot be carried out.
    #[error(transparent)]
    Access(#[from] WatchError),
}

/// An access with its transfers: where each goes, and how.
struct Accesses {
    is_load: bool,
    parts: [Option<(PhysAddr, Transfer)>; 2],
    /// Base register, and what is added to it.
    write_back: Option<(u8, i64)>,
}

/// Carries a data abort out and puts `registers` behind the instruction.
///
/// # Errors
/// [`Stopped`]: the registers are as they were; a first part of a pair may have been stored.
pub fn carry_out(
    [esr, far, hpfar]: [u64; 3],
    registers: &mut Registers,
    kernel: &mut dyn Kernel,
    witness: &mut Witness,
    hw: &mut dyn Access,
) -> Result<(), Stopped> {
    let abort = abort::decode(esr, far, hpfar).ok_or(Stopped::NoAbort(esr))?;
    match (abort.fault, abort.place) {
        (abort::Fault::Other(dfsc), _) => return Err(Stopped::Fault(dfsc)),
        (_, Place::Ipa(at)) if abort.is_table_walk => return Err(Stopped::TableWalk(at)),
        _ => {}
    }
    if abort.is_maintenance {
        let at = place(&abort, far, kernel)?;
        kernel.clean(at);
        registers.pc = registers.pc.wrapping_add(4);
        return Ok(());
    }
    let accesses = accesses(&abort, far, registers, kernel)?;
    let pc = registers.pc;
    // A pair loads both before it changes either.
    let mut loaded = [None; 2];
    for (part, value) in accesses.parts.iter().zip(&mut loaded) {
        let Some((at, transfer)) = part else { continue };
        if accesses.is_load {
            *value = Some((transfer.register, transfer.loaded(load(pc, *at, transfer.bytes, kernel, witness, hw)?)));
        } else {
            let stored = transfer.stored(registers.get(transfer.register));
            match witness.store(hw, pc, *at, transfer.bytes, stored) {
                Err(WatchError::Unwatched(_)) => kernel.store(*at, transfer.bytes, stored),
                done => done?,
            }
        }
    }
    for (register, value) in loaded.into_iter().flatten() {
        registers.set(register, value);
    }
    if let Some((base, by)) = accesses.write_back {
        let base = registers.base(base);
        *base = base.wrapping_add_signed(by);
    }
    registers.pc = registers.pc.wrapping_add(4);
    Ok(())
}

fn load(
    pc: u64,
    at: PhysAddr,
    bytes: u8,
    kernel: &mut dyn Kernel,
    witness: &mut Witness,
    hw: &mut dyn Access,
) -> Result<u64, Stopped> {
    match witness.load(hw, pc, at, bytes) {
        Err(WatchError::Unwatched(_)) => Ok(kernel.load(at, bytes)),
        answer => Ok(answer?),
    }
}

/// Where the syndrome says that the access went.
fn place(abort: &Abort, far: u64, kernel: &mut dyn Kernel) -> Result<PhysAddr, Stopped> {
    let at = match abort.place {
        Place::Ipa(at) => Some(at),
        Place::Translate(address) => kernel.translate(address),
        Place::Unknown => None,
    };
    at.map(PhysAddr).ok_or(Stopped::Nowhere(far))
}

/// By the syndrome, or else by the instruction.
fn accesses(abort: &Abort, far: u64, registers: &mut Registers, kernel: &mut dyn Kernel) -> Result<Accesses, Stopped> {
    if let Some(transfer) = abort.transfer {
        let parts = [Some((place(abort, far, kernel)?, transfer)), None];
        return Ok(Accesses { is_load: !abort.is_write, parts, write_back: None });
    }
    let word = kernel.instruction(registers.pc).ok_or(Stopped::NoInstruction(registers.pc))?;
    let decoded = instruction::decode(word)?;
    let base = *registers.base(decoded.base);
    let mut parts = [None; 2];
    for ((offset, transfer), part) in decoded.transfers().zip(&mut parts) {
        let address = base.wrapping_add_signed(offset);
        let at = kernel.translate(address).ok_or(Stopped::Nowhere(address))?;
        *part = Some((PhysAddr(at), transfer));
    }
    let write_back = decoded.write_back.map(|by| (decoded.base, by));
    Ok(Accesses { is_load: decoded.is_load, parts, write_back })
}

#[cfg(test)]
mod tests;
