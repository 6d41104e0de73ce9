//! Stopping devices before the SMMU is touched, as a crash kernel could: it finds functions in configuration space, and knows
//! of none what it was doing.

use crate::takeover::Moment;
use addr::Bdf;
use alloc::vec::Vec;
use arch::{
    bus::{Devices, Ecam},
    cpu, timer,
};
use kdump::given;
use pci::{
    ANSWER_US, Found, Function, RESET_US, Saved,
    port::{self, HOLD_US, LINK_US, Port, Stop},
    sriov,
};
use scenario::quiesce::{Means, means};
use smmu::takeover::Policy;

/// How long a function may take to see its last completions (Linux gives it 700 ms in steps).
const PENDING_US: u64 = 100_000;
/// How long a port may take to contain.
const CONTAIN_US: u64 = 100_000;
const STEP_US: u64 = 1_000;

/// A function that is to be stopped.
#[derive(Clone, Copy)]
pub(crate) struct Planned {
    pub(crate) bdf: Bdf,
    found: Found,
    pub(crate) means: Means,
}

/// What the policy does to which of the functions that it may touch, `allowed` among `all`. A bridge passes on the requests of
/// others, and is none of them; nor is a port used that must not be touched, or has someone below who must not.
pub(crate) fn plan(policy: Policy, config: &mut Ecam, all: &[Found], allowed: &[Found]) -> Vec<Planned> {
    let is_allowed = |bdf: Bdf| allowed.iter().any(|found| found.bdf == bdf);
    let mut plan = Vec::new();
    for (found, mut offers) in pci::offers(config, all, &is_allowed) {
        if is_allowed(found.bdf) {
            // Virtual functions go with their own (9.2.2).
            let is_of_it = |other: &Found| other.physical.is_some_and(|(physical, _)| physical == found.bdf);
            offers.flr &= !all.iter().any(|other| is_of_it(other) && !is_allowed(other.bdf));
            plan.extend(means(policy, offers).map(|means| Planned { bdf: found.bdf, found, means }));
        }
    }
    plan
}

/// Stops what the plan names. A device that cannot be stopped so goes on: its streams show it.
pub(crate) fn stop(
    plan: &[Planned],
    functions: &[Found],
    config: &mut Ecam,
    bus: &mut Devices,
    observer: &mut dyn FnMut(Moment<'_>),
) {
    let by = |means| plan.iter().filter(move |planned| planned.means == means);
    // One by one, each with its own time: what is written to configuration space may take milliseconds.
    for Planned { bdf, .. } in by(Means::BusMaster) {
        observer(Moment::Wait);
        observer(Moment::Stop(&[*bdf]));
        mute(config, *bdf);
        observer(Moment::Stopped(&[*bdf]));
    }
    // Virtual functions come after their own, whose reset is theirs too.
    for Planned { found, .. } in by(Means::Driver).rev() {
        observer(Moment::Wait);
        by_driver(config, bus, found, observer);
    }
    let to_reset: Vec<Found> = by(Means::Flr).map(|planned| planned.found).collect();
    if !to_reset.is_empty() {
        by_function_level_reset(config, &to_reset, observer);
    }
    for (means, how) in [(Means::BusReset, Stop::BusReset), (Means::Containment, Stop::Containment)] {
        let wanted: Vec<Bdf> = by(means).map(|planned| planned.bdf).collect();
        let is_wanted = |port: &Port| wanted.iter().any(|bdf| port.holds(*bdf));
        let ports: Vec<Port> = port::ports(config, functions).into_iter().filter(is_wanted).collect();
        if !ports.is_empty() {
            by_port(config, &ports, how, functions, &wanted, observer);
        }
    }
}

fn mute(config: &mut Ecam, bdf: Bdf) {
    if let Some(mut function) = Function::any(config, bdf) {
        function.set_bus_master(false);
    }
}

fn by_driver(config: &mut Ecam, bus: &mut Devices, found: &Found, observer: &mut dyn FnMut(Moment<'_>)) {
    let Some(driver) = dma::stopper_for(&found.identity) else { return };
    let registers = given::registers(config, found, driver.bar());
    // A crash kernel would map it; this one has what the primary mapped: the registers of every endpoint at work.
    if let Some(at) = registers.filter(|at| cpu::device_memory_at(at.0)) {
        observer(Moment::Stop(&[found.bdf]));
        // As above: its stream shows it.
        let _ = driver.stop(config, bus, found.bdf, at);
        observer(Moment::Stopped(&[found.bdf]));
    }
}

/// All of them at once: the wait is long (PCI Express Base 6.0, 6.6.2), and the same for all.
fn by_function_level_reset(config: &mut Ecam, functions: &[Found], observer: &mut dyn FnMut(Moment<'_>)) {
    let all: Vec<Bdf> = functions.iter().map(|found| found.bdf).collect();
    let saved = given::save(config, functions.iter());
    observer(Moment::Stop(&all));
    for bdf in &all {
        mute(config, *bdf);
        observer(Moment::Wait);
    }
    let mut is_pending = |(found, saved): &(Found, Saved)| {
        Function::any(config, found.bdf).is_some_and(|mut function| function.has_pending(saved))
    };
    wait_while(PENDING_US, observer, &mut || saved.iter().any(&mut is_pending));
    for (found, saved) in &saved {
        // The reset of its own resets a virtual function, too.
        if found.physical.is_some_and(|(physical, _)| all.contains(&physical)) {
            continue;
        }
        if let Some(mut function) = Function::any(config, found.bdf) {
            function.reset(saved);
        }
        observer(Moment::Wait);
    }
    // Nobody touches the functions now, their registers neither: where their memory space is off a bus error may answer.
    wait_while(RESET_US, observer, &mut || true);
    restore(config, &saved, observer);
    observer(Moment::Stopped(&all));
}

/// Everything below these ports at once. `wanted` are the functions that it is done for; `functions` all that may be below.
fn by_port(
    config: &mut Ecam,
    ports: &[Port],
    how: Stop,
    functions: &[Found],
    wanted: &[Bdf],
    observer: &mut dyn FnMut(Moment<'_>),
) {
    let below = |found: &&Found| ports.iter().any(|port| port.holds(found.bdf));
    // In bus order: a bridge comes before what lies behind it.
    let saved = given::save(config, functions.iter().filter(below));
    observer(Moment::Stop(wanted));
    ports.iter().for_each(|port| port.stop(config, how));
    wait_while(HOLD_US, observer, &mut || true);
    wait_while(CONTAIN_US, observer, &mut || !ports.iter().all(|port| port.has_stopped(config, how)));
    ports.iter().for_each(|port| port.release(config, how));
    wait_while(LINK_US, observer, &mut || !ports.iter().all(|port| port.is_up(config)));
    // From there on 100 ms are a function's to get ready (6.6.1).
    wait_while(RESET_US, observer, &mut || true);
    restore(config, &saved, observer);
    observer(Moment::Stopped(wanted));
}

/// Writes what was lost: first of the functions that answer by themselves, then of those that come back with their own.
fn restore(config: &mut Ecam, saved: &[(Found, Saved)], observer: &mut dyn FnMut(Moment<'_>)) {
    // All of them have begun at the same time: many that do not come back are waited for together.
    let limit = || timer::now() + timer::ticks_of_us(ANSWER_US);
    let mut deadline = limit();
    let mut put_back = |found: &Found, saved: &Saved, deadline, observer: &mut dyn FnMut(Moment<'_>)| {
        wait_until(deadline, observer, &mut || Function::any(config, found.bdf).is_none());
        if let Some(mut function) = Function::any(config, found.bdf) {
            function.restore(saved);
        }
    };
    let is_virtual = |(found, _): &&(Found, Saved)| found.physical.is_some();
    saved
        .iter()
        .filter(|saved| !is_virtual(saved))
        .for_each(|(found, saved)| put_back(found, saved, deadline, observer));
    if saved.iter().any(|saved| is_virtual(&saved)) {
        wait_while(sriov::ENABLE_US, observer, &mut || true);
        deadline = limit();
        saved.iter().filter(is_virtual).for_each(|(found, saved)| put_back(found, saved, deadline, observer));
    }
}

/// Waits in steps, and lets the observer look between them.
fn wait_while(limit_us: u64, observer: &mut dyn FnMut(Moment<'_>), condition: &mut dyn FnMut() -> bool) {
    wait_until(timer::now() + timer::ticks_of_us(limit_us), observer, condition);
}

/// The same up to a moment.
fn wait_until(deadline: u64, observer: &mut dyn FnMut(Moment<'_>), condition: &mut dyn FnMut() -> bool) {
    while condition() && timer::now() < deadline {
        timer::sleep_us(STEP_US);
        observer(Moment::Wait);
    }
}
