//! Policies that stop devices: which of them the machine can have, and whether devices work again afterwards.

use crate::{
    arm,
    cycle::{self, CycleEnd, Setting},
    endpoints::{self, Candidate},
    machine::Machine,
    streams::Live,
};
use addr::Bdf;
use alloc::{format, string::String, vec::Vec};
use arch::frames::FramePool;
use scenario::{
    Policy, Scenario,
    quiesce::{Means, means, named},
};
use wire::record::Verdict;

/// Where it says that a device must come back.
const SOURCE: &str = "ARCHITECTURE.md, stopping devices";

/// Why no endpoint at work can be stopped by the means that the policy is named after.
pub(crate) fn lacks(machine: &mut Machine, candidates: &[Candidate], policy: Policy) -> Option<&'static str> {
    let own = named(policy)?;
    let functions = endpoints::functions(machine);
    let may_touch = |bdf: Bdf| !machine.denied.contains(&bdf);
    let mut offers = pci::offers(&mut machine.config, &functions, &may_touch).into_iter();
    let has = offers.any(|(found, offers)| {
        means(policy, offers) == Some(own) && candidates.iter().any(|candidate| candidate.bdf == found.bdf)
    });
    let why = match own {
        Means::BusMaster | Means::Driver | Means::Kernel => return None,
        Means::Flr => "no endpoint at work has function level reset",
        Means::BusReset => "no endpoint at work lies below a port that may be reset",
        Means::Containment => "no endpoint at work lies below a port whose containment software can trigger",
    };
    (!has).then_some(why)
}

/// After a policy that stopped them, all endpoints are put to work once more: what does not come back is told.
pub(crate) fn works_again(setting: &mut Setting<'_>, end: &mut CycleEnd) {
    // While an SMMU may still use it the arena is nobody else's.
    let quiesces = |policy| Scenario::plain(policy).policy_expectation().quiesces();
    if !setting.policy.is_some_and(quiesces) || setting.machine.not_disabled.is_some() {
        return;
    }
    let id = "quiesce.works-again";
    if let Err(reason) = arm::refuse_linear_after_two_level(setting) {
        return setting.tell(end, id, Verdict::NotCovered, &reason, SOURCE);
    }
    let arena = setting.machine.memory.arena;
    // SAFETY: the arena is ours and mapped; everything of the cycle in it was stopped, and is used no more.
    let mut frames = unsafe { FramePool::new(arena.start, arena.bytes) };
    let (mut units, mut live) = (Vec::new(), Vec::new());
    let wanted: Vec<Bdf> = setting.candidates.iter().map(|candidate| candidate.bdf).collect();
    let armed = arm::arm_again(setting, &mut frames, &mut units, &mut live);
    match armed.and_then(|()| first_idle(&wanted, &live)) {
        Ok(()) => setting.pass(end, id, SOURCE),
        Err(reason) => setting.fail(end, id, &reason, SOURCE),
    }
    cycle::stop(setting, &mut units, &live, end);
}

/// Every endpoint that was at work delivers.
fn first_idle(wanted: &[Bdf], live: &[Live]) -> Result<(), String> {
    for bdf in wanted {
        match live.iter().find(|live| live.stream.bdf == *bdf) {
            Some(live) if live.stream.totals.delivered > 0 => {}
            Some(_) => return Err(format!("{bdf} delivers nothing after it was stopped")),
            None => return Err(format!("{bdf} cannot be armed after it was stopped")),
        }
    }
    Ok(())
}
