//! Loops of load-exclusive and store-exclusive, from the trap of either to the store.
//!
//! An exception clears the CPU's monitor, and a store-exclusive may fail without a trap when it is clear (DDI 0487, Synchronization and semaphores): if each
//! half trapped alone, no pair would ever succeed. So one trap is the whole loop. What lies between its exclusives the kernel
//! executes, instruction by instruction; the exclusives themselves are carried out here, with a monitor that is a memory of address
//! and value. It is weaker than the CPU's: a store of the same value in between is not noticed. Whatever else happens, an exception,
//! an interrupt, an instruction that may wait, ends it, and the kernel goes on with its own monitor, which is clear.

use super::memory::{Memory, PAGE, Span};
use super::{Done, Registers, Stopped};
use crate::trap::exclusive::Exclusive;
use crate::trap::instruction::{self, Instruction};
use crate::trap::transfer::Transfer;

/// Instructions of one loop, as often as it comes round.
const STEPS: u32 = 64;
/// What lies further away, in bytes, is no part of the loop: a vector, most likely.
const REACH: u64 = 256;

/// What a load-exclusive has left.
struct Monitor {
    span: Span,
    value: u128,
}

/// Carries on from an exclusive that has trapped.
pub(super) fn follow(first: Exclusive, registers: &mut Registers, memory: &mut Memory<'_>) -> Result<Done, Stopped> {
    let start = registers.pc;
    let page = memory.span(*registers.base(first.base), first.width())?.first().0 / PAGE;
    let mut monitor = None;
    let mut done = Done::Carried;
    let mut next = Some(first);
    for _ in 0..STEPS {
        memory.pc = registers.pc;
        match next {
            Some(exclusive) => {
                let span = memory.span(*registers.base(exclusive.base), exclusive.width())?;
                if memory.is_register(&span) {
                    return Err(Stopped::Register { at: span.first(), what: "is exclusive at" });
                }
                if span.first().0 / PAGE != page {
                    break;
                }
                if exclusive.is_load {
                    monitor = Some(load(&exclusive, span, registers, memory)?);
                } else if store(&exclusive, &span, monitor.take(), registers, memory)? {
                    return Ok(Done::Carried);
                } else {
                    done = Done::Retried;
                }
            }
            None if !memory.kernel.step(registers) => break,
            None => {}
        }
        if registers.pc.abs_diff(start) > REACH {
            break;
        }
        let Some(word) = memory.kernel.instruction(registers.pc) else { break };
        next = match instruction::decode(word) {
            Ok(Instruction::Exclusive(exclusive)) => Some(exclusive),
            _ if !is_simple(word) => break,
            _ => None,
        };
    }
    Ok(done)
}

fn load(
    exclusive: &Exclusive,
    span: Span,
    registers: &mut Registers,
    memory: &mut Memory<'_>,
) -> Result<Monitor, Stopped> {
    let value = memory.load_watched(&span)?;
    memory.order(true);
    registers.set(exclusive.first, Transfer::unsigned(0, exclusive.bytes).loaded(value as u64));
    if let Some(second) = exclusive.second {
        registers.set(second, (value >> (8 * exclusive.bytes)) as u64);
    }
    registers.step_over();
    Ok(Monitor { span, value })
}

/// Whether it stored; else its status says that it did not.
fn store(
    exclusive: &Exclusive,
    span: &Span,
    monitor: Option<Monitor>,
    registers: &mut Registers,
    memory: &mut Memory<'_>,
) -> Result<bool, Stopped> {
    let part = |register| u128::from(Transfer::unsigned(0, exclusive.bytes).stored(registers.get(register)));
    let above = exclusive.second.map_or(0, |second| part(second) << (8 * exclusive.bytes));
    let new = part(exclusive.first) | above;
    let is_stored = match monitor {
        Some(Monitor { span: known, value }) if known.is(span) => {
            memory.order(true);
            memory.peek(span)? == value && memory.replace(span, value, new)?
        }
        _ => false,
    };
    registers.set(exclusive.status, u64::from(!is_stored));
    registers.step_over();
    Ok(is_stored)
}

/// Data processing, a load or store, a branch to a label or a barrier: it neither waits, nor enters or leaves an exception level, nor
/// depends on one, nor clears the monitor.
const fn is_simple(word: u32) -> bool {
    const CLREX: u32 = 0xD503_305F;
    match word >> 24 {
        // SVC to BRK; branches to an address in a register, ERET.
        0xD4 | 0xD6 | 0xD7 => false,
        // Of system instructions the barriers, and hints that are neither YIELD, WFE, WFI, SEV nor SEVL.
        0xD5 => match word & 0xFFFF_F01F {
            0xD503_301F => word & !0xF00 != CLREX,
            0xD503_201F => word >> 5 & 0x7F == 0 || word >> 5 & 0x7F > 5,
            _ => false,
        },
        _ => true,
    }
}
