//! Checks of a takeover that leaves the SMMU off: GBPA decides, and says what the policy promises.

use super::{adopt, evidence::Evidence, reset, seen::Seen, trace::Trace};
use alloc::format;
use smmu::{
    spec::registers::{self as reg, Gbpa},
    takeover::Policy,
};

fn wanted(evidence: &Evidence<'_>) -> bool {
    evidence.scenario.policy == Policy::Abort
}

/// GBPA was written, with Update, and in force before SMMUEN was cleared.
pub(super) fn gbpa_set(evidence: &Evidence<'_>) -> Seen {
    let abort = wanted(evidence);
    reset::each_enabled(evidence, &|index, _, place| {
        reset::gbpa_in_force(Trace::new(evidence.log, index), place, abort)
    })
}

/// The SMMU is off, and GBPA is still as the policy left it.
pub(super) fn disabled(evidence: &Evidence<'_>) -> Seen {
    let abort = wanted(evidence);
    evidence.each_smmu(&|_, smmu| {
        if let Err(error) = smmu.taken {
            return Seen::fail(format!("{error}"));
        }
        let Some(after) = smmu.after else { return Seen::not_covered(adopt::NO_REGISTERS) };
        let gbpa: Gbpa = after.gbpa;
        Seen::demand(!after.cr0ack.smmuen(), "CR0ACK.SMMUEN is 1 after the watch").and(|| {
            let what = if gbpa.abort() { "aborts" } else { "bypasses" };
            if gbpa.abort() == abort { Seen::PASS } else { Seen::fail(format!("{} {what}", reg::name(reg::GBPA))) }
        })
    })
}
