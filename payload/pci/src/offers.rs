//! By which resets a function can be stopped: its own, or one of the port above it.

use crate::port::{Port, ports};
use crate::{ConfigSpace, Found, Function, HeaderType};
use addr::Bdf;
use alloc::vec::Vec;

/// Base class of bridges (PCI Code and ID Assignment 1.11, 1.7).
const CLASS_BRIDGE: u32 = 0x06;

/// What a function, and the port above it, can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// It has function level reset.
    pub flr: bool,
    /// It lies below a port on a root bus.
    pub port: bool,
    /// Some function below that port has function level reset.
    pub port_has_flr: bool,
    /// Software can have that port contain.
    pub containment: bool,
}

/// All endpoints among `functions`, which are in bus order, with what they offer. A port is used only where it, and everybody
/// below it, may be touched.
pub fn offers(
    space: &mut dyn ConfigSpace,
    functions: &[Found],
    may_touch: &dyn Fn(Bdf) -> bool,
) -> Vec<(Found, Offers)> {
    let mut ports = ports(space, functions);
    ports.retain(|port| {
        let mut below = functions.iter().filter(|found| port.holds(found.bdf));
        may_touch(port.bdf) && below.all(|found| may_touch(found.bdf))
    });
    let mut all = Vec::new();
    for found in functions {
        let Some(mut function) = Function::any(space, found.bdf) else { continue };
        // A host bridge has an endpoint's header, and passes on the requests of all.
        if function.header_type().layout() != HeaderType::ENDPOINT || found.identity.class >> 16 == CLASS_BRIDGE {
            continue;
        }
        let flr = function.has_flr().unwrap_or(false);
        let port = ports.iter().find(|port| port.holds(found.bdf));
        let containment = port.is_some_and(Port::contains_errors);
        all.push((*found, Offers { flr, port: port.is_some(), port_has_flr: false, containment }));
    }
    for port in &ports {
        let below = |(found, _): &&mut (Found, Offers)| port.holds(found.bdf);
        let port_has_flr = all.iter_mut().filter(below).any(|(_, offers)| offers.flr);
        all.iter_mut().filter(below).for_each(|(_, offers)| offers.port_has_flr = port_has_flr);
    }
    all
}
