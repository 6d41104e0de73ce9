//! Virtual functions that the board asks for, turned on before anybody looks for endpoints.

use crate::{endpoints, machine::Machine, notes::Notes};
use addr::Bdf;
use alloc::{format, string::String, vec::Vec};
use arch::timer;
use pci::{Found, Function, sriov};
use scenario::options::{RunOptions, VirtualWish};
use wire::record::Severity;

/// Turns them on where firmware has left addresses for them. Where it cannot be done, a finding says why.
pub(crate) fn enable(machine: &mut Machine, options: &RunOptions, notes: &mut Notes) {
    if options.virtuals.is_empty() {
        return;
    }
    let functions = endpoints::functions(machine);
    for wish in &options.virtuals {
        if let Err(reason) = enable_one(machine, options, &functions, *wish) {
            let text = format!("{}: virtual functions are not as asked for: {reason}", wish.bdf);
            notes.add(Severity::Warning, "PCI", "virtual-functions", text);
        }
    }
    // The same wait for all (PCI Express Base 6.0, 9.3.3.3.1).
    timer::sleep_us(sriov::ENABLE_US);
}

fn enable_one(
    machine: &mut Machine,
    options: &RunOptions,
    functions: &[Found],
    wish: VirtualWish,
) -> Result<(), String> {
    let VirtualWish { bdf, count: wanted } = wish;
    let found = functions.iter().find(|found| found.bdf == bdf).ok_or("nobody answers")?;
    let denied = options.hands.denied(functions);
    if denied.contains(&bdf) {
        return Err("the function is denied".into());
    }
    let driver = dma::driver_for(&found.identity).filter(|driver| driver.most_virtual() != 0);
    let driver = driver.ok_or("no driver for them")?;
    let mut function = Function::new(&mut machine.config, bdf).ok_or("nobody answers")?;
    let found = function.sriov().map_err(|error| format!("{error}"))?;
    let sriov = found.ok_or("no SR-IOV capability")?;
    let registers = function.virtual_bar(&sriov, driver.bar()).map_err(|error| format!("{error}"))?;
    registers.ok_or("firmware has left no addresses for them")?;
    let count = wanted.min(sriov.most).min(driver.most_virtual());
    let last = sriov.bdf(bdf, count.saturating_sub(1)).ok_or("their requester IDs pass the last bus")?;
    // On a link all device numbers but 0 need a port above that passes them on.
    let ports: Vec<Bdf> = functions.iter().map(|found| found.bdf).collect();
    let port = pci::port_above(&mut machine.config, &ports, bdf);
    if let Some(port) = port.filter(|_| last.device() != 0)
        && (denied.contains(&port) || !sriov::forward_ari(&mut machine.config, port))
    {
        return Err(format!("the port {port} above does not forward ARI"));
    }
    let mut function = Function::new(&mut machine.config, bdf).ok_or("nobody answers")?;
    match sriov.count {
        0 => function.enable_virtual(&sriov, count),
        // To change their number they have to go, and the function to be left alone for a second (9.3.3.3.1).
        on if on != count => return Err(format!("firmware has {on} of them at work")),
        _ => {}
    }
    if count < wanted { Err(format!("{count} of {wanted}")) } else { Ok(()) }
}
