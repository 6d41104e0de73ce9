//! A data abort from its syndrome to its end: decoded, carried out, logged, and the kernel's registers as the instruction
//! leaves them. What only EL2 can do is behind [`Kernel`]; the rest is the same on a host.

mod exclusive;
mod memory;
mod opened;

use crate::trap::abort::{self, Abort, Place};
use crate::trap::atomic::Atomic;
use crate::trap::instruction::{self, Instruction, Refused, SP};
use crate::trap::plain::Plain;
use crate::trap::transfer::Transfer;
use crate::watch::{WatchError, Witness};
use addr::PhysAddr;
use alloc::vec;
use alloc::vec::Vec;
use memory::{Memory, Span};
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

    /// Two neighbours, of which the lower one has the lower `bytes`; alone if there is no pair.
    fn joined(&self, register: u8, bytes: u8, is_pair: bool) -> u128 {
        let value = |register| u128::from(Transfer::unsigned(0, bytes).stored(self.get(register)));
        let above = if is_pair { value(register + 1) << (8 * bytes) } else { 0 };
        value(register) | above
    }

    fn step_over(&mut self) {
        self.pc = self.pc.wrapping_add(4);
    }
}

/// What EL2 does for a trap.
pub trait Kernel {
    /// The instruction word at an address of the kernel's; `None` where it cannot be read.
    fn instruction(&mut self, pc: u64) -> Option<u32>;
    /// Where stage 1 leads an address of the kernel's (`AT S1E1R`, PAR_EL1 and [`abort::ipa_of`]).
    fn translate(&mut self, address: u64) -> Option<u64>;
    /// Whether the kernel has no business at a physical address.
    fn is_hidden(&self, at: PhysAddr) -> bool;
    /// Loads from tables are to be logged.
    fn is_watching_loads(&self) -> bool;
    /// Loads from memory that shares a page with a table; `None` where EL2 itself has nothing mapped.
    fn load(&mut self, at: PhysAddr, bytes: u8) -> Option<u64>;
    /// Stores there: whether it is mapped.
    fn store(&mut self, at: PhysAddr, bytes: u8, value: u64) -> bool;
    /// Stores there, if it still holds `old`: whether it did.
    fn replace(&mut self, at: PhysAddr, bytes: u8, old: u64, new: u64) -> bool;
    /// What a SIMD&FP register of the kernel's holds.
    fn vector(&mut self, register: u8) -> u128;
    /// Fills one, and what SVE has above it with zeros.
    fn set_vector(&mut self, register: u8, value: u128);
    /// Bytes that DC ZVA zeroes.
    fn block_bytes(&self) -> u64;
    /// Lets the kernel execute one instruction. `false`: it came back for another reason, or cannot be made to come back.
    fn step(&mut self, registers: &mut Registers) -> bool;
    /// The same while it may do as it likes with a page. `false`: it cannot be done, or another CPU might do so, too.
    fn step_in(&mut self, page: PhysAddr, registers: &mut Registers) -> bool;
    /// Cleans and invalidates the line of an address to the point of coherency.
    fn clean(&mut self, at: PhysAddr);
}

/// How it came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// The kernel goes on behind the instruction, or behind all of its loop of exclusives.
    Carried,
    /// A store-exclusive was refused, which the architecture allows, and its loop did not come round; or nothing was done. The kernel
    /// tries again. Too many in a row are for the caller to end.
    Retried,
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
    /// EL2 does not reach it.
    #[error("nothing is mapped at EL2 for {0}")]
    Unmapped(PhysAddr),
    /// It goes on where the kernel may not.
    #[error("the access goes on to {0}: memory of the crashed image or of the witness")]
    Hidden(PhysAddr),
    /// Registers of an SMMU are for plain accesses of general registers.
    #[error("a register of an SMMU, at {at}, is no memory that an instruction {what}")]
    Register {
        /// Where.
        at: PhysAddr,
        /// Which one.
        what: &'static str,
    },
    /// The instruction is not emulated, nor can the kernel execute it itself.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The access cannot be carried out.
    #[error(transparent)]
    Access(#[from] WatchError),
}

/// Carries a data abort out and puts `registers` behind the instruction.
///
/// # Errors
/// [`Stopped`]: the registers are as they were; a first part of several may have been stored.
pub fn carry_out(
    [esr, far, hpfar]: [u64; 3],
    registers: &mut Registers,
    kernel: &mut dyn Kernel,
    witness: &mut Witness,
    hw: &mut dyn Access,
) -> Result<Done, Stopped> {
    let abort = abort::decode(esr, far, hpfar).ok_or(Stopped::NoAbort(esr))?;
    match (abort.fault, abort.place) {
        (abort::Fault::Other(dfsc), _) => return Err(Stopped::Fault(dfsc)),
        (_, Place::Ipa(at)) if abort.is_table_walk => return Err(Stopped::TableWalk(at)),
        _ => {}
    }
    if abort.is_maintenance {
        let at = place(&abort, far, kernel)?;
        kernel.clean(at);
        registers.step_over();
        return Ok(Done::Carried);
    }
    let mut memory = Memory { pc: registers.pc, kernel, witness, hw };
    if let Some(transfer) = abort.transfer
        && !may_be_a_rest(far, transfer.bytes)
    {
        let at = place(&abort, far, memory.kernel)?;
        let moves = vec![(memory.span_at(at, transfer.bytes)?, transfer)];
        move_all(&moves, !abort.is_write, abort.is_ordered, registers, &mut memory)?;
        registers.step_over();
        return Ok(Done::Carried);
    }
    let decoded = match instruction::decode(memory.instruction()?) {
        Ok(decoded) => decoded,
        Err(refused) => {
            let at = place(&abort, far, memory.kernel)?;
            return opened::execute(refused, at, abort.is_write, registers, &mut memory);
        }
    };
    match decoded {
        Instruction::Plain(plain) => carry_out_plain(&plain, registers, &mut memory)?,
        Instruction::Atomic(atomic) => return carry_out_atomic(&atomic, registers, &mut memory),
        Instruction::Exclusive(first) => return exclusive::follow(first, registers, &mut memory),
        Instruction::Zero(register) => zero(registers.get(register), &mut memory)?,
    }
    registers.step_over();
    Ok(Done::Carried)
}

/// Of an access that crosses into a page FAR_EL2 has the first byte there, and not the access's own (DDI 0487, FAR_EL2): whether the
/// instruction has to be looked at.
const fn may_be_a_rest(far: u64, bytes: u8) -> bool {
    let (offset, bytes) = (far % memory::PAGE, bytes as u64);
    offset == 0 && bytes > 1 || offset + bytes > memory::PAGE
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

/// One or two registers.
fn carry_out_plain(plain: &Plain, registers: &mut Registers, memory: &mut Memory<'_>) -> Result<(), Stopped> {
    let index = plain.index.map_or(0, |index| index.offset(registers.get(index.register)));
    let address = registers.base(plain.base).wrapping_add_signed(index);
    let mut moves = Vec::new();
    for (offset, transfer) in plain.transfers() {
        moves.push((memory.span(address.wrapping_add_signed(offset), transfer.bytes)?, transfer));
    }
    let on_register = moves.iter().find(|(span, transfer)| transfer.is_vector && memory.is_register(span));
    if let Some((span, _)) = on_register {
        return Err(Stopped::Register { at: span.first(), what: "moves vectors to or from" });
    }
    move_all(&moves, plain.is_load, plain.is_ordered, registers, memory)?;
    if let Some(by) = plain.write_back {
        let base = registers.base(plain.base);
        *base = base.wrapping_add_signed(by);
    }
    Ok(())
}

/// What an instruction moves, in order. A pair loads both before it changes either.
fn move_all(
    moves: &[(Span, Transfer)],
    is_load: bool,
    is_ordered: bool,
    registers: &mut Registers,
    memory: &mut Memory<'_>,
) -> Result<(), Stopped> {
    memory.order(is_ordered);
    let mut loaded = Vec::new();
    for (span, transfer) in moves {
        if is_load {
            loaded.push((transfer, memory.load(span)?));
        } else {
            let value = match transfer.is_vector {
                true => memory.kernel.vector(transfer.register),
                false => transfer.stored(registers.get(transfer.register)).into(),
            };
            memory.store(span, value)?;
        }
    }
    for (transfer, value) in loaded {
        match transfer.is_vector {
            true => memory.kernel.set_vector(transfer.register, value),
            false => registers.set(transfer.register, transfer.loaded(value as u64)),
        }
    }
    memory.order(is_ordered);
    Ok(())
}

/// Nobody else is at these pages meanwhile: what else traps there waits, and an SMMU only reads. What shares a page with a table is
/// replaced by an exclusive of EL2's, as devices may write there; if one did, the kernel executes the instruction again.
fn carry_out_atomic(atomic: &Atomic, registers: &mut Registers, memory: &mut Memory<'_>) -> Result<Done, Stopped> {
    let span = memory.span(*registers.base(atomic.base), atomic.width())?;
    if memory.is_register(&span) {
        return Err(Stopped::Register { at: span.first(), what: "updates atomically" });
    }
    let joined = |register| registers.joined(register, atomic.bytes, atomic.is_pair);
    let (operand, expected) = (joined(atomic.operand), joined(atomic.old));
    memory.order(true);
    let old = memory.load_watched(&span)?;
    if let Some(new) = atomic.stored(old, operand, expected)
        && !memory.replace(&span, old, new)?
    {
        return Ok(Done::Carried);
    }
    memory.order(true);
    registers.set(atomic.old, Transfer::unsigned(0, atomic.bytes).loaded(old as u64));
    if atomic.is_pair {
        registers.set(atomic.old + 1, (old >> (8 * atomic.bytes)) as u64);
    }
    registers.step_over();
    Ok(Done::Carried)
}

/// DC ZVA: a block, which lies in one page.
fn zero(address: u64, memory: &mut Memory<'_>) -> Result<(), Stopped> {
    let bytes = memory.kernel.block_bytes();
    let first = memory.span(address & !(bytes - 1), 4)?;
    if memory.is_register(&first) {
        return Err(Stopped::Register { at: first.first(), what: "zeroes" });
    }
    let step = bytes.min(8);
    for offset in (0..bytes).step_by(step as usize) {
        let span = memory.span_at(first.first().plus(offset), step as u8)?;
        memory.store(&span, 0)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
