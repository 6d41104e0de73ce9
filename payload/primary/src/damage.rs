//! Damage to the SMMUs as the crash leaves them. What it is, where, and to which, is `scenario`'s business.

use crate::{cycle::NoCrash, machine::Machine};
use alloc::{format, vec::Vec};
use arch::frames::FramePool;
use handover::oracle::{SMMU_DAMAGED, SmmuLeft};
use scenario::{
    Damage,
    damage::Undone,
    options::{RunOptions, Strtab},
};
use wire::record::Verdict;

const SOURCE: &str = "ARCHITECTURE.md, damage";

/// Damages every SMMU that can have it, live as it is, and says which. None at all leaves the judge nothing to find.
pub(crate) fn apply(machine: &mut Machine, frames: &mut FramePool, damage: Damage) -> Result<Vec<bool>, NoCrash> {
    let own = machine.memory.kdump.start;
    damage.apply_to_each(&mut machine.hw, machine.smmus.len(), own, frames).map_err(|Undone { smmu, why }| {
        let base = machine.smmus.get(usize::from(smmu.0)).map(|at| at.base).unwrap_or_default();
        let reason = format!("SMMU at {base}: damage {}: {why}", damage.name());
        NoCrash { id: "damage.found", verdict: Verdict::NotCovered, reason, source: SOURCE }
    })
}

/// Tells observer and judge which were damaged.
pub(crate) fn mark(left: &mut [SmmuLeft], damaged: &[bool]) {
    for (left, _) in left.iter_mut().zip(damaged).filter(|(_, is_damaged)| **is_damaged) {
        left.flags |= SMMU_DAMAGED;
    }
}

/// Why no SMMU can have this damage.
pub(crate) fn lacks(machine: &mut Machine, options: &RunOptions, damage: Damage) -> Option<&'static str> {
    damage.lacks_everywhere(&mut machine.hw, machine.smmus.len(), options.strtab == Some(Strtab::Linear))
}
