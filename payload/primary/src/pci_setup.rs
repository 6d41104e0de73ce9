//! Bus numbers and addresses below host bridges: where no firmware has set them up, and where a kernel has set them up anew.

use crate::{endpoints, machine::Machine, notes::Notes};
use alloc::{format, vec::Vec};
use arch::timer;
use pci::{
    BusRange, Found, Function, Saved,
    assign::{self, Assigned, HostBridge},
    sriov,
};
use tables::devicetree::{Space, Window};
use wire::record::Severity;

/// Sets up each host bridge of `windows` where nobody did; `windows` are those of all.
pub(crate) fn assign(machine: &mut Machine, windows: &[Window], notes: &mut Notes) {
    let mut done: Vec<BusRange> = Vec::new();
    for window in windows {
        let buses = BusRange { segment: window.segment, first: window.first_bus, last: window.last_bus };
        if done.contains(&buses) || assign::is_assigned(&mut machine.config, buses) {
            continue;
        }
        done.push(buses);
        let here = windows.iter().filter(|other| (other.segment, other.first_bus) == (buses.segment, buses.first));
        // What a BAR holds is an address on the bus, and drivers use it as one of the CPU's: only where both are the same
        // is a BAR of use.
        let usable = here.filter(|window| window.space != Space::Io && window.pci == window.cpu.0);
        let windows: Vec<assign::Window> = usable
            .map(|window| assign::Window {
                start: window.pci,
                bytes: window.bytes,
                is_prefetchable: window.is_prefetchable,
            })
            .collect();
        let Assigned { functions, bars, left_out, unreached } =
            assign::assign(&mut machine.config, &HostBridge { buses, windows: &windows });
        let severity = if left_out + unreached == 0 { Severity::Note } else { Severity::Warning };
        let text = format!(
            "segment {}, buses {:#x} to {:#x}: {functions} functions found, {bars} BARs given addresses, {left_out} that do \
             not fit, {unreached} bridges without a bus number",
            buses.segment, buses.first, buses.last
        );
        notes.add(severity, "PCI", "assigned", text);
    }
}

/// From D3hot to D0 (PCI Express Base 6.0, 5.9.1).
const WAKE_US: u64 = 10_000;

/// Notes how every function is set up; one whose capabilities cannot be walked, or that nobody may touch, is left as it is.
pub(crate) fn save(machine: &mut Machine) -> Vec<(Found, Saved)> {
    let functions = endpoints::functions(machine);
    let Machine { config, denied, .. } = machine;
    let mut saved = |found: &Found| Some((*found, Function::any(config, found.bdf)?.save().ok()?));
    functions.iter().filter(|found| !denied.contains(&found.bdf)).filter_map(&mut saved).collect()
}

/// Sets every function up as it was, and silences it. In bus order: a bridge comes before what lies behind it, and virtual
/// functions after their own.
pub(crate) fn take_back(machine: &mut Machine, saved: &[(Found, Saved)]) {
    let (physical, virtuals): (Vec<_>, Vec<_>) = saved.iter().partition(|(found, _)| found.physical.is_none());
    for (index, (found, saved)) in physical.iter().chain(&virtuals).enumerate() {
        if index == physical.len() {
            timer::sleep_us(sriov::ENABLE_US);
        }
        // One that is gone is missed where it is to be armed.
        let Some(mut function) = Function::any(&mut machine.config, found.bdf) else { continue };
        if function.wake() == Ok(true) {
            timer::sleep_us(WAKE_US);
        }
        function.take_back(saved);
    }
}
