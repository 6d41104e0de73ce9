//! Check of a guard of the architecture that can be tried without harm.

use super::{
    adopt,
    evidence::{Evidence, SmmuEvidence},
    seen::Seen,
};
use smmu::guard::{Guard, may_write_strtab};
use wire::record::Verdict;

fn one(smmu: &SmmuEvidence<'_>) -> Seen {
    let Some(after) = smmu.after else { return Seen::not_covered(adopt::NO_REGISTERS) };
    match (may_write_strtab(after), smmu.strtab_guard) {
        // Written where it must not be: no version of the architecture vouches for what the SMMU then does.
        (Err(_), Some(_)) => Seen::fail("STRTAB_BASE was written where the architecture does not say `ignored`"),
        (Err(reason), None) => Seen::skip(reason),
        (Ok(()), None) => Seen::not_covered("STRTAB_BASE was not written"),
        (Ok(()), Some(Guard::Ignored)) => Seen::PASS,
        (Ok(()), Some(Guard::Changed)) => Seen::fail("changed: STRTAB_BASE took a write while SMMUEN is 1"),
    }
}

/// STRTAB_BASE, written while the SMMU is enabled, holds what it held.
pub(super) fn strtab(evidence: &Evidence<'_>) -> Seen {
    evidence.each_smmu(&|_, smmu| one(smmu))
}

pub(super) fn expected(evidence: &Evidence<'_>) -> Verdict {
    let is_due = |smmu: &SmmuEvidence<'_>| smmu.after.is_none_or(|after| may_write_strtab(after).is_ok());
    super::rules::passes_unless(!evidence.smmus.is_empty() && !evidence.smmus.iter().any(is_due))
}
