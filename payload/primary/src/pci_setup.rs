//! Bus numbers and addresses below host bridges that no firmware has set up.

use crate::{machine::Machine, notes::Notes};
use alloc::{format, vec::Vec};
use pci::{
    BusRange,
    assign::{self, Assigned, HostBridge},
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
