//! Stopping devices before the SMMU is touched, as a crash kernel could: it finds functions in configuration space, and knows
//! of none what it was doing.

use crate::takeover::Moment;
use addr::Bdf;
use alloc::vec::Vec;
use arch::{
    bus::{Devices, Ecam},
    cpu, timer,
};
use pci::{
    ANSWER_US, Found, Function, Identity, RESET_US, Saved,
    port::{self, HOLD_US, LINK_US, Port, Stop},
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
    identity: Identity,
    pub(crate) means: Means,
}

/// What the policy does to which function. A bridge passes on the requests of others, and is none of them.
pub(crate) fn plan(policy: Policy, config: &mut Ecam, functions: &[Found]) -> Vec<Planned> {
    let planned =
        |(Found { bdf, identity, .. }, offers)| Some(Planned { bdf, identity, means: means(policy, offers)? });
    pci::offers(config, functions).into_iter().filter_map(planned).collect()
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
    let muted: Vec<Bdf> = by(Means::BusMaster).map(|planned| planned.bdf).collect();
    if !muted.is_empty() {
        observer(Moment::Stop(&muted));
        for bdf in &muted {
            if let Some(mut function) = Function::new(config, *bdf) {
                function.set_bus_master(false);
            }
        }
        observer(Moment::Stopped(&muted));
    }
    for Planned { bdf, identity, .. } in by(Means::Driver) {
        by_driver(config, bus, *bdf, identity, observer);
    }
    let to_reset: Vec<Bdf> = by(Means::Flr).map(|planned| planned.bdf).collect();
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

fn by_driver(
    config: &mut Ecam,
    bus: &mut Devices,
    bdf: Bdf,
    identity: &Identity,
    observer: &mut dyn FnMut(Moment<'_>),
) {
    let Some(driver) = dma::stopper_for(identity) else { return };
    let Some(mut function) = Function::new(config, bdf) else { return };
    let Ok(Some(bar)) = function.memory_bar(driver.bar()) else { return };
    // A crash kernel would map it; this one has what the primary mapped: the registers of every endpoint at work.
    if cpu::device_memory_at(bar.address.0) {
        observer(Moment::Stop(&[bdf]));
        // As above: its stream shows it.
        let _ = driver.stop(config, bus, bdf, bar.address);
        observer(Moment::Stopped(&[bdf]));
    }
}

/// Notes what these functions lose, in their order; one whose capabilities cannot be walked is left to lose it.
fn save(config: &mut Ecam, functions: impl Iterator<Item = Bdf>) -> Vec<(Bdf, Saved)> {
    let saved = |bdf| Some((bdf, Function::new(config, bdf)?.save().ok()?));
    functions.filter_map(saved).collect()
}

/// All of them at once: the wait is long (PCI Express Base 6.0, 6.6.2), and the same for all.
fn by_function_level_reset(config: &mut Ecam, functions: &[Bdf], observer: &mut dyn FnMut(Moment<'_>)) {
    let saved = save(config, functions.iter().copied());
    observer(Moment::Stop(functions));
    for (bdf, _) in &saved {
        if let Some(mut function) = Function::new(config, *bdf) {
            function.set_bus_master(false);
        }
    }
    let mut is_pending = |(bdf, saved): &(Bdf, Saved)| {
        Function::new(config, *bdf).is_some_and(|mut function| function.has_pending(saved))
    };
    wait_while(PENDING_US, observer, &mut || saved.iter().any(&mut is_pending));
    for (bdf, saved) in &saved {
        if let Some(mut function) = Function::new(config, *bdf) {
            function.reset(saved);
        }
    }
    // Nobody touches the functions now, their registers neither: where their memory space is off a bus error may answer.
    wait_while(RESET_US, observer, &mut || true);
    restore(config, &saved, observer);
    observer(Moment::Stopped(functions));
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
    let saved = save(config, functions.iter().filter(below).map(|found| found.bdf));
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

fn restore(config: &mut Ecam, saved: &[(Bdf, Saved)], observer: &mut dyn FnMut(Moment<'_>)) {
    for (bdf, saved) in saved {
        wait_while(ANSWER_US, observer, &mut || Function::new(config, *bdf).is_none());
        if let Some(mut function) = Function::new(config, *bdf) {
            function.restore(saved);
        }
    }
}

/// Waits in steps, and lets the observer look between them.
fn wait_while(limit_us: u64, observer: &mut dyn FnMut(Moment<'_>), condition: &mut dyn FnMut() -> bool) {
    let deadline = timer::now() + timer::ticks_of_us(limit_us);
    while condition() && timer::now() < deadline {
        timer::sleep_us(STEP_US);
        observer(Moment::Wait);
    }
}
