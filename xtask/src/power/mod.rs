//! A board's power, switched as its board file says.

pub mod credentials;

use std::time::Duration;

use board::Power;

use crate::child;
use crate::redfish::{Service, Wanted};
use crate::run::Qmp;

/// A relay or a BMC answers within this time, or not at all.
const DEADLINE: Duration = Duration::from_secs(60);
/// Between off and on: supplies discharge.
const DARK: Duration = Duration::from_secs(2);

/// Switches a board off and on again; `dark` is called while it is off.
///
/// # Errors
/// One line that names the command or service, and what it said.
pub fn cycle(power: &Power, dark: impl FnOnce()) -> anyhow::Result<()> {
    off(power)?;
    if !matches!(power, Power::Qmp(_)) {
        std::thread::sleep(DARK);
    }
    dark();
    on(power)
}

/// Switches a board on.
///
/// # Errors
/// As [`cycle`].
pub fn on(power: &Power) -> anyhow::Result<()> {
    match power {
        Power::Command { on, .. } => command(on),
        Power::Ipmi { host, port, credentials } => ipmi(host, *port, credentials, "on"),
        Power::Qmp(socket) => {
            let mut qmp = Qmp::connect(socket)?;
            qmp.simple("system_reset")?;
            qmp.simple("cont")
        }
        Power::Redfish(bmc) => Service::open(bmc)?.system()?.switch(Wanted::On),
    }
}

/// Switches a board off.
///
/// # Errors
/// As [`cycle`].
pub fn off(power: &Power) -> anyhow::Result<()> {
    match power {
        Power::Command { off, .. } => command(off),
        Power::Ipmi { host, port, credentials } => ipmi(host, *port, credentials, "off"),
        Power::Qmp(socket) => Qmp::connect(socket)?.simple("stop"),
        Power::Redfish(bmc) => Service::open(bmc)?.system()?.switch(Wanted::Off),
    }
}

fn command(words: &[String]) -> anyhow::Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    child::run(&words, &[], DEADLINE).map(drop)
}

/// With `-E` the tool takes the password from its environment: a command line can be read by everybody.
fn ipmi(host: &str, port: Option<u16>, credentials: &board::Credentials, what: &str) -> anyhow::Result<()> {
    let login = credentials::read(credentials)?;
    let port = port.unwrap_or(623).to_string();
    let bmc = ["ipmitool", "-I", "lanplus", "-H", host, "-p", &port, "-U", &login.user, "-E"];
    let words = [&bmc[..], &["chassis", "power", what]].concat();
    child::run(&words, &[("IPMI_PASSWORD", &login.password)], DEADLINE).map(drop)
}
