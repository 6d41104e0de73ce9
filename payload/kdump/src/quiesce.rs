//! Stopping devices before the SMMU is touched, as a crash kernel could: it finds functions in configuration space, and knows
//! of none what it was doing.

use addr::Bdf;
use alloc::vec::Vec;
use arch::{
    bus::{Devices, Ecam},
    cpu, timer,
};
use pci::{Found, Function, HeaderType, Identity, RESET_US, Saved};
use smmu::takeover::Policy;

/// How long a function may take to see its last completions (Linux gives it 700 ms in steps).
const PENDING_US: u64 = 100_000;
/// After a reset a function may ask for more time (6.6.2); it then reads as nobody.
const ANSWER_US: u64 = 1_000_000;
const STEP_US: u64 = 1_000;

/// Stops what `policy` stops. A device that cannot be stopped so goes on: its streams show it. `meanwhile` is called now and
/// then during long waits.
pub(crate) fn stop(
    policy: Policy,
    config: &mut Ecam,
    bus: &mut Devices,
    functions: &[Found],
    meanwhile: &mut dyn FnMut(),
) {
    match policy {
        Policy::QuiesceBme => functions.iter().for_each(|Found { bdf, identity, .. }| {
            if let Some(mut function) = Function::new(config, *bdf).filter(|_| !is_bridge(identity)) {
                function.set_bus_master(false);
            }
        }),
        Policy::QuiesceDriver => {
            for Found { bdf, identity, .. } in functions {
                by_driver(config, bus, *bdf, identity);
            }
        }
        Policy::QuiesceFlr => by_function_level_reset(config, functions, meanwhile),
        _ => {}
    }
}

/// Requests of others pass through it.
const fn is_bridge(identity: &Identity) -> bool {
    identity.class >> 16 == 0x06
}

fn by_driver(config: &mut Ecam, bus: &mut Devices, bdf: Bdf, identity: &Identity) {
    let Some(driver) = dma::stopper_for(identity) else { return };
    let Some(mut function) = Function::new(config, bdf) else { return };
    let Ok(Some(bar)) = function.memory_bar(driver.bar()) else { return };
    // A crash kernel would map it; this one has what the primary mapped: the registers of every endpoint at work.
    if cpu::device_memory_at(bar.address.0) {
        // As above: its stream shows it.
        let _ = driver.stop(config, bus, bdf, bar.address);
    }
}

/// All of them at once: the wait is long (PCI Express Base 6.0, 6.6.2), and the same for all.
fn by_function_level_reset(config: &mut Ecam, functions: &[Found], meanwhile: &mut dyn FnMut()) {
    let mut prepared: Vec<(Bdf, Saved)> = Vec::new();
    for Found { bdf, .. } in functions {
        let saved = Function::new(config, *bdf).and_then(|mut function| {
            (function.header_type().layout() == HeaderType::ENDPOINT)
                .then(|| function.prepare_reset().ok().flatten())?
        });
        prepared.extend(saved.map(|saved| (*bdf, saved)));
    }
    if prepared.is_empty() {
        return;
    }
    let mut is_pending = |(bdf, saved): &(Bdf, Saved)| {
        Function::new(config, *bdf).is_some_and(|mut function| function.has_pending(saved))
    };
    wait_while(PENDING_US, meanwhile, &mut || prepared.iter().any(&mut is_pending));
    for (bdf, saved) in &prepared {
        if let Some(mut function) = Function::new(config, *bdf) {
            function.reset(saved);
        }
    }
    // Nobody touches the functions now, their registers neither: where their memory space is off a bus error may answer.
    wait_while(RESET_US, meanwhile, &mut || true);
    for (bdf, saved) in &prepared {
        wait_while(ANSWER_US, meanwhile, &mut || Function::new(config, *bdf).is_none());
        if let Some(mut function) = Function::new(config, *bdf) {
            function.restore(saved);
        }
    }
}

fn wait_while(limit_us: u64, meanwhile: &mut dyn FnMut(), condition: &mut dyn FnMut() -> bool) {
    let deadline = timer::now() + timer::ticks_of_us(limit_us);
    while condition() && timer::now() < deadline {
        timer::sleep_us(STEP_US);
        meanwhile();
    }
}
