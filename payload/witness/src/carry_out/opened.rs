//! What is not emulated: the kernel executes it itself while the page is open, and what has changed there is logged.
//!
//! That is weaker than to carry it out. A store of what is there already is not seen, nor in which order words were stored; and a load
//! is not seen at all, so that none is let through where loads are watched. Another CPU's stores would be taken for this one's: with
//! several CPUs it is not done.

use super::memory::{Memory, PAGE};
use super::{Done, Registers, Stopped};
use crate::trap::instruction::Refused;
use addr::PhysAddr;
use alloc::vec::Vec;

/// Has the kernel execute an instruction that was refused, at a page with a table.
pub(super) fn execute(
    refused: Refused,
    at: PhysAddr,
    is_write: bool,
    registers: &mut Registers,
    memory: &mut Memory<'_>,
) -> Result<Done, Stopped> {
    let page = PhysAddr(at.0 & !(PAGE - 1));
    let words = words(page, memory);
    if words.is_empty() || memory.kernel.is_watching_loads() && !is_write {
        return Err(refused.into());
    }
    let before = *registers;
    if !memory.kernel.step_in(page, registers) {
        return Err(refused.into());
    }
    for (at, old) in words {
        let new = memory.witness.peek(memory.hw, at, 8)?;
        if new != old {
            memory.witness.stored(memory.hw, memory.pc, at, [old, new])?;
        }
    }
    Ok(if *registers == before { Done::Retried } else { Done::Carried })
}

/// The tables' words of a page.
fn words(page: PhysAddr, memory: &mut Memory<'_>) -> Vec<(PhysAddr, u64)> {
    let all = (0..PAGE).step_by(8).map(|offset| page.plus(offset));
    all.filter_map(|at| Some((at, memory.witness.peek(memory.hw, at, 8).ok()?))).collect()
}
