//! Damage to the SMMUs as the crash leaves them. What it is, and where, is `scenario`'s business.

use crate::machine::Machine;
use alloc::{format, string::String};
use arch::frames::FramePool;
use scenario::{
    Damage,
    options::{RunOptions, Strtab},
};
use smmu::{access::SmmuIndex, frames::Frames, observe::Registers};

/// An empty page for structures that only the damage leads to.
const PAGE: u64 = 4096;

/// Damages every SMMU, live as it is.
pub(crate) fn apply(machine: &mut Machine, frames: &mut FramePool, damage: Damage) -> Result<(), String> {
    if damage == Damage::NONE {
        return Ok(());
    }
    let own = machine.memory.kdump.start;
    for (index, at) in (0_u8..).map(SmmuIndex).zip(machine.smmus.clone()) {
        let scratch = frames.allocate(PAGE, PAGE).ok_or("no memory for the damage")?;
        damage
            .apply(&mut machine.hw, index, own, scratch)
            .map_err(|error| format!("SMMU at {}: damage {}: {error}", at.base, damage.name()))?;
    }
    Ok(())
}

/// Why some SMMU cannot have this damage.
pub(crate) fn lacks(machine: &mut Machine, options: &RunOptions, damage: Damage) -> Option<&'static str> {
    let is_linear = options.strtab == Some(Strtab::Linear);
    let count = machine.smmus.len();
    let hw = &mut machine.hw;
    let of = |index| damage.lacks(&Registers::read(hw, index), is_linear);
    (0_u8..).map(SmmuIndex).take(count).find_map(of)
}
