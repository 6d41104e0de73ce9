//! The logs of the policies, of planted faults, and of hardware that does not answer.

use super::*;
use crate::fake::Fake;
use crate::spec::registers::Gerror;
use crate::takeover::Policy;
use crate::takeover::plant::Plant;
use addr::PhysAddr;
use world::{L2, crashed, taken, variants};

/// A policy's log has no violation and follows `profile` to its end.
#[track_caller]
fn clean(name: &str, (found, entries): (Found, Vec<Entry>), profile: Profile) {
    let report = judged(found, &entries);
    assert_eq!(report.violations().collect::<Vec<_>>(), Vec::<&Violation>::new(), "{name}");
    assert_eq!(report.followed[&SMMU], Followed { profile: Some(profile), ..Followed::default() }, "{name}");
    assert_eq!((report.entries, report.unjudged), (entries.len() as u64, 0));
}

#[test]
fn adoptions_resets_and_fallbacks_of_all_fakes_keep_every_rule() {
    for (name, fake) in variants() {
        clean(name, taken(Policy::Adopt, fake.clone(), None), Profile::AdoptV10);
        clean(name, taken(Policy::Reset, fake.clone(), None), Profile::Reset);
        let mut damaged = fake;
        // A reserved Config: refused, whatever the format of the table.
        damaged.poke(PhysAddr(L2 + 7 * 64), 0b0011);
        clean(name, taken(Policy::Adopt, damaged, None), Profile::Fallback);
    }
}

#[test]
fn a_reset_of_a_disabled_smmu_and_an_acknowledged_error_are_clean() {
    let mut fake = crashed();
    (0x20..=0x24).step_by(4).for_each(|offset| fake.unit(SMMU).set(offset, 0));
    clean("disabled", taken(Policy::Reset, fake.clone(), None), Profile::Reset);
    clean("disabled", taken(Policy::Adopt, fake, None), Profile::Fallback);
    let mut fake = crashed();
    fake.unit(SMMU).raise(Gerror::new().with_cmdq_err(true).with_eventq_abt_err(true));
    clean("errors", taken(Policy::Adopt, fake, None), Profile::AdoptV10);
}

#[test]
fn only_a_reset_with_atschk_is_remarked() {
    for (name, fake) in variants() {
        let (found, entries) = taken(Policy::Reset, fake, None);
        let report = judged(found, &entries);
        let expected: &[&str] = if name == "Hyp, ATS, PRI" { &["enable.atschk-with-smmuen"] } else { &[] };
        assert_eq!(broken(&report), expected, "{name}");
    }
}

#[test]
fn planted_faults_are_named() {
    let (found, entries) = taken(Policy::Adopt, crashed(), Some(Plant::SmmuenCleared));
    let report = judged(found, &entries);
    assert_eq!(report.followed[&SMMU].profile, Some(Profile::AdoptV10));
    assert_eq!(
        broken(&report),
        ["disable.without-abort", "adopt.smmuen", "enable.not-invalidated", "enable.not-invalidated"]
    );
    let at = entries.iter().position(|entry| entry.op.is_write()).unwrap() as u64;
    assert_eq!(report.found[0].entries, [at]);
    assert_eq!(report.followed[&SMMU].left.as_ref().map(|left| left.at), Some(at));

    let plant = Plant::SteRewritten { at: PhysAddr(L2 + 0x18 * 64) };
    let (found, entries) = taken(Policy::Adopt, crashed(), Some(plant));
    let report = judged(found, &entries);
    assert_eq!(report.followed[&SMMU].profile, Some(Profile::AdoptV10));
    // The same words again: no SMMU sees a change, so that only the profile forbids it.
    assert_eq!(broken(&report), ["adopt.table-store"; 8]);
}

/// What the reference kernel really does where the hardware does not answer, or an error is left.
#[test]
fn passed_over_results_are_named_where_they_are_relied_on() {
    let rules = |policy, damage: &dyn Fn(&mut Fake)| {
        let mut fake = crashed();
        damage(&mut fake);
        let (found, entries) = taken(policy, fake, None);
        let report = judged(found, &entries);
        let names: Vec<&str> = report.violations().map(|violation| violation.rule).collect();
        (names, report.followed[&SMMU].clone())
    };
    let (names, followed) = rules(Policy::Reset, &|fake| fake.unit(SMMU).raise(Gerror::new().with_cmdq_err(true)));
    assert!(names.contains(&"enable.cmdq-error") && names.contains(&"enable.not-invalidated"), "{names:?}");
    assert_eq!(followed, Followed { profile: Some(Profile::Reset), ..Followed::default() });
    let (names, followed) = rules(Policy::Reset, &|fake| fake.unit(SMMU).freeze_gbpa = true);
    assert_eq!(names, ["disable.without-abort"]);
    assert_eq!(followed, Followed { profile: Some(Profile::Reset), ..Followed::default() });
    let (names, _) = rules(Policy::Reset, &|fake| fake.unit(SMMU).freeze_irq_ctrlack = true);
    assert_eq!(names, ["guard.gerror-irq-cfg", "guard.eventq-irq-cfg"]);
    let (names, followed) = rules(Policy::Adopt, &|fake| fake.unit(SMMU).freeze_cmdq = true);
    assert_eq!(names, ["sync.incomplete"]);
    assert_eq!(followed, Followed { profile: Some(Profile::AdoptV10), ..Followed::default() });
    // Nothing more is written after the acknowledge that never came.
    let (names, _) = rules(Policy::Adopt, &|fake| fake.unit(SMMU).freeze_cr0ack = true);
    assert_eq!(names, [""; 0]);
}
