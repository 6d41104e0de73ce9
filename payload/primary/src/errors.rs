//! What PCI functions tell of errors: cleared before the streams are armed, so that what comes later is of the crash.

use crate::{
    arm,
    machine::Machine,
    notes::Notes,
    streams::{self, Live},
};
use alloc::{format, vec::Vec};
use arch::timer;
use handover::oracle::{FunctionLeft, MAX_FUNCTIONS};
use pci::{ErrorPlaces, Found, Function};
use wire::record::Severity;

/// The host injects an error within this time after it was told to.
const INJECTED_US: u64 = 3_000_000;

/// Finds where the functions tell errors, and says what the firmware has left there.
pub(crate) fn find(machine: &mut Machine, found: &[Found], notes: &mut Notes) {
    let mut places: Vec<ErrorPlaces> = Vec::new();
    // Those with more to tell first.
    for reports in [true, false] {
        for found in found {
            let function = Function::new(&mut machine.config, found.bdf);
            let place = function.map(|mut function| ErrorPlaces::find(&mut function));
            places.extend(place.filter(|place| place.reports() == reports && places.len() < MAX_FUNCTIONS));
        }
    }
    if found.len() > MAX_FUNCTIONS {
        let text = format!("{} functions: errors of {MAX_FUNCTIONS} are watched", found.len());
        notes.add(Severity::Warning, "PCI", "functions-not-watched", text);
    }
    pci::error::link(&mut machine.config, &mut places);
    for place in &places {
        let state = place.read(&mut machine.config);
        if !state.is_clean() && !state.is_gone() {
            notes.add(Severity::Note, "PCI", "errors-found", format!("{}: {state}", place.bdf));
        }
    }
    machine.reported = places.iter().map(|place| place.reporting(&mut machine.config)).collect();
    machine.watched = places;
}

/// Clears what is told, and has functions tell what comes. Those that nobody may touch are looked at, and never written.
pub(crate) fn clear(machine: &mut Machine, is_first: bool) {
    // From the functions up: a port tells last.
    for place in machine.watched.iter().rev().filter(|place| !machine.denied.contains(&place.bdf)) {
        let state = place.clear(&mut machine.config);
        if is_first && !state.is_clean() && !state.is_gone() {
            let text = format!("{}: does not go away: {state}", place.bdf);
            arm::finding(Severity::Warning, "PCI", "errors-stuck", &text);
        }
        place.enable(&mut machine.config);
    }
}

/// Leaves what functions report as firmware had it: it may be the one to handle errors.
pub(crate) fn put_back(machine: &mut Machine) {
    let Machine { watched, reported, denied, config, .. } = machine;
    for (place, reported) in watched.iter().zip(reported).filter(|(place, _)| !denied.contains(&place.bdf)) {
        place.set_reporting(config, *reported);
    }
}

/// What the functions tell now.
pub(crate) fn sample(machine: &mut Machine) -> Vec<FunctionLeft> {
    let Machine { watched, config, .. } = machine;
    watched.iter().map(|places| FunctionLeft { places: *places, armed: places.read(config) }).collect()
}

/// Waits until a function tells something new, while the streams go on.
pub(crate) fn wait_for_one(machine: &mut Machine, live: &mut [Live], armed: &[FunctionLeft]) {
    let deadline = timer::now() + timer::ticks_of_us(INJECTED_US);
    let mut is_new = false;
    while !is_new && timer::now() < deadline {
        timer::sleep_us(2_000);
        streams::sample(machine, live);
        let config = &mut machine.config;
        is_new = armed.iter().any(|left| !left.armed.difference(&left.places.read(config)).is_clean());
    }
    // Its message takes a moment to the root port.
    timer::sleep_us(2_000);
}
