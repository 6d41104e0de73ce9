//! Checks of a reset: traffic is refused before translation stops, and nothing is changed under a live unit.

use super::{
    adopt,
    evidence::{Evidence, SmmuEvidence},
    seen::Seen,
    trace::Trace,
};
use alloc::format;
use smmu::{
    access::SmmuIndex,
    spec::registers::{self as reg, Cr0, Gbpa},
};

const SMMUEN: u32 = 1;
const FOUND_OFF: &str = "SMMUEN was found 0";
const NOT_DISABLED: &str = "CR0.SMMUEN was not cleared";

/// Place of the first CR0 write that clears SMMUEN.
fn disabled(evidence: &Evidence<'_>, index: SmmuIndex) -> Option<usize> {
    Trace::new(evidence.log, index).cr0_writes().find(|(_, cr0)| !cr0.smmuen()).map(|(place, _)| place)
}

/// The SMMU was left disabled by the scenario.
fn is_left_off(evidence: &Evidence<'_>, index: SmmuIndex) -> bool {
    evidence.scenario.damage.turns_off() && evidence.is_damaged(index)
}

/// Every SMMU that is to be reset was left disabled, so that nothing can come before that.
pub(super) fn all_left_off(evidence: &Evidence<'_>) -> bool {
    let mut smmus = (0u8..).map(SmmuIndex).take(evidence.smmus.len());
    !evidence.smmus.is_empty()
        && smmus.all(|index| evidence.expectation_of(index).adopts || is_left_off(evidence, index))
}

/// Judges every SMMU that is to be disabled, from the place where it is.
pub(super) fn each_enabled(
    evidence: &Evidence<'_>,
    check: &dyn Fn(SmmuIndex, &SmmuEvidence<'_>, usize) -> Seen,
) -> Seen {
    evidence.each_logged_where(&|index| !evidence.expectation_of(index).adopts, &|index, smmu| {
        if !smmu.before.cr0.smmuen() && !is_left_off(evidence, index) {
            return Seen::not_covered(FOUND_OFF);
        }
        disabled(evidence, index).map_or_else(|| Seen::fail(NOT_DISABLED), |place| check(index, smmu, place))
    })
}

pub(super) fn completed(evidence: &Evidence<'_>) -> Seen {
    evidence.each_where(&|index| evidence.expectation_of(index).resets, &|_, smmu| match smmu.taken {
        Ok(taken) if !taken.did.adopts() && !taken.did.turns_off() => {
            let Some(after) = smmu.after else { return Seen::not_covered(adopt::NO_REGISTERS) };
            Seen::demand(after.cr0ack.smmuen(), "CR0ACK.SMMUEN is 0 after the watch")
        }
        Ok(_) => Seen::fail("it was not reset"),
        Err(error) => Seen::fail(format!("{error}")),
    })
}

pub(super) fn abort_before_disable(evidence: &Evidence<'_>) -> Seen {
    each_enabled(evidence, &|index, _, place| {
        if is_left_off(evidence, index) {
            return Seen::skip("SMMUEN is 0 from the start");
        }
        gbpa_in_force(Trace::new(evidence.log, index), place, true)
    })
}

/// GBPA was written so before `place`, and seen to be in force.
pub(super) fn gbpa_in_force(trace: Trace<'_>, place: usize, abort: bool) -> Seen {
    let gbpa = |value: u64| Gbpa::from(value as u32);
    let Some(write) = trace.writes(reg::GBPA, 4).take_while(|write| write.place < place).last() else {
        return Seen::fail("GBPA was not written before SMMUEN was cleared");
    };
    if gbpa(write.value).abort() != abort || !gbpa(write.value).update() {
        return Seen::fail(format!("GBPA was written with {:#x}: wrong ABORT, or no Update", write.value));
    }
    let in_force = trace.reads(reg::GBPA).any(|read| {
        (write.place..place).contains(&read.place) && gbpa(read.value).abort() == abort && !gbpa(read.value).update()
    });
    Seen::demand(in_force, "GBPA.Update was not seen 0 before SMMUEN was cleared")
}

pub(super) fn strtab_while_disabled(evidence: &Evidence<'_>) -> Seen {
    const GUARDED: [(u32, u64); 4] = [(reg::STRTAB_BASE, 8), (reg::STRTAB_BASE_CFG, 4), (reg::CR1, 4), (reg::CR2, 4)];
    each_enabled(evidence, &|index, _, place| {
        let trace = Trace::new(evidence.log, index);
        let enabled = trace.cr0_writes().find(|(at, cr0)| *at > place && cr0.smmuen()).map_or(usize::MAX, |(at, _)| at);
        for (offset, bytes) in GUARDED {
            for write in trace.writes(offset, bytes) {
                let is_off = trace.acknowledged(place, write.place, Cr0::new(), SMMUEN);
                if !is_off || write.place > enabled {
                    return Seen::fail(format!("{} was written while SMMUEN was not 0", reg::name(offset)));
                }
            }
        }
        Seen::demand(trace.wrote(reg::STRTAB_BASE, 8), "STRTAB_BASE was not written")
    })
}

pub(super) fn invalidated_before_enable(evidence: &Evidence<'_>) -> Seen {
    each_enabled(evidence, &|index, smmu, place| {
        let enabled = Trace::new(evidence.log, index).cr0_writes().find(|(at, cr0)| *at > place && cr0.smmuen());
        let Some((enabled, _)) = enabled else { return Seen::fail("SMMUEN was not set again") };
        // What is invalidated while the SMMU translates is cached again.
        let trace = Trace::new(evidence.log, index);
        let off = trace.reads(reg::CR0ACK).find(|read| read.place > place && !Cr0::from(read.value as u32).smmuen());
        let Some(off) = off else { return Seen::fail("CR0ACK.SMMUEN was not seen 0") };
        adopt::invalidated_by(evidence, index, smmu, off.place, enabled)
    })
}
