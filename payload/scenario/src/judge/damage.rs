//! Checks of damage: that it was there, that the rule it breaks was the reason, that nothing half-done is left.

use super::{
    adopt,
    evidence::{Evidence, SmmuEvidence},
    seen::Seen,
    trace::Trace,
};
use alloc::format;
use smmu::{
    access::{SmmuIndex, Structure},
    spec::registers::{self as reg, Cr0},
    takeover::Refusal,
};

/// SMMUs on which the damage was left. What looks like it elsewhere is none: a full event queue, say.
fn damaged(evidence: &Evidence<'_>) -> impl Fn(SmmuIndex) -> bool {
    |index| evidence.is_damaged(index)
}

/// Not there is no failure of the policy: it was given nothing to find.
pub(super) fn found(evidence: &Evidence<'_>) -> Seen {
    evidence.each_where(&damaged(evidence), &|_, smmu| match smmu.damage_found {
        true => Seen::PASS,
        false => Seen::not_covered("the observer did not find it before the takeover"),
    })
}

/// The documented rule fired where the damage was left, and none elsewhere. The pass tells what the taker said.
pub(super) fn rule_fired(evidence: &Evidence<'_>) -> Seen {
    let damage = evidence.scenario.damage;
    evidence.each_smmu(&|index, smmu| {
        let taken = match smmu.taken {
            Ok(taken) => taken,
            Err(error) => return Seen::fail(format!("{error}")),
        };
        let wanted = damage.rule(smmu.before).filter(|_| !evidence.expectation_of(index).adopts);
        match (wanted, taken.refusal) {
            (None, None) => Seen::PASS,
            (Some(rule), Some(refusal)) if refusal.rule == rule => Seen::told(format!("{refusal}")),
            (None, Some(refusal)) => Seen::fail(format!("it was refused: {refusal}")),
            (Some(rule), Some(refusal)) => Seen::fail(format!("{refusal}, not {}", rule.name())),
            (Some(rule), None) => Seen::fail(format!("it was adopted in spite of {}", rule.name())),
        }
    })
}

/// After a refusal nothing of the adoption remains: no identifier is kept, and what is in force is the taker's own.
pub(super) fn contained(evidence: &Evidence<'_>) -> Seen {
    let (start, end) = evidence.own;
    let is_own = |at: u64| (start.0..end.0).contains(&at);
    evidence.each_logged_where(&|index| !evidence.expectation_of(index).adopts, &|index, smmu| {
        let trace = Trace::new(evidence.log, index);
        let Ok(taken) = smmu.taken else { return Seen::not_covered("the takeover stopped half-way") };
        let Some(after) = smmu.after else { return Seen::not_covered(adopt::NO_REGISTERS) };
        if !taken.reserved.asids.is_empty() || !taken.reserved.vmids.is_empty() {
            return Seen::fail("identifiers of the refused table are kept out of use");
        }
        // An adoption begins with CR0; a reset with GBPA, or with CR0 off where it was off.
        let first = trace.registers().find(|access| access.is_write);
        let is_reset = |offset, value| {
            offset == u64::from(reg::GBPA) || (offset == u64::from(reg::CR0) && !Cr0::from(value as u32).smmuen())
        };
        if let Some(write) = first.filter(|write| !is_reset(write.offset, write.value)) {
            let name = reg::name(write.offset as u32);
            return Seen::fail(format!("{name} was written with {:#x} before the reset began", write.value));
        }
        let is_table = |structure| !matches!(structure, Structure::Command | Structure::Event);
        if let Some((_, _, entry)) = trace.stores().find(|(_, what, entry)| is_table(*what) && !is_own(entry.address)) {
            return Seen::fail(format!("{} at {:#x} of the dead table was written", entry.name(), entry.address));
        }
        Seen::demand(is_own(after.strtab_base.addr()), "STRTAB_BASE still leads to the dead table")
            .and(|| Seen::demand(is_own(after.cmdq_base.addr()), "CMDQ_BASE still leads to the dead queue"))
    })
}

/// The stream whose descriptor changed is refused, by the documented rule, and a live one is not.
pub(super) fn one_refused(evidence: &Evidence<'_>) -> Seen {
    let Some(rule) = evidence.scenario.damage.later_rule() else { return Seen::skip("nothing changes later") };
    evidence.each_where(&damaged(evidence), &|_, SmmuEvidence { looked_again, .. }| {
        let Some(looked) = looked_again else { return Seen::not_covered("the descriptor did not change") };
        match (looked.victim, looked.other) {
            (Err(Refusal { rule: fired, .. }), Ok(Some(_))) if fired == rule => Seen::PASS,
            (Err(refusal), Ok(Some(_))) => Seen::fail(format!("{refusal}, not {}", rule.name())),
            (Ok(_), _) => Seen::fail("its stream is believed in spite of the change"),
            (_, Err(refusal)) => Seen::fail(format!("a stream that did not change is refused: {refusal}")),
            (_, Ok(None)) => Seen::fail("a stream that did not change has no STE any more"),
        }
    })
}
