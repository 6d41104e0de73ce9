//! Programs that only a test takes: gotten where that may be done without a question, and done without where not.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::install;
use super::plan::Step;
use super::system::{Manager, in_path};
use super::version::Version;
use crate::workspace;

/// What a test takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// A browser that renders without a screen.
    Chromium,
    /// A DHCP server.
    Dnsmasq,
    /// What speaks IPMI, and a simulated BMC that does.
    Ipmi,
    /// Python with the packages that read reports and SBOMs elsewhere.
    Consumers,
    /// What signs an image, what enrols a key, and the variables of a firmware that asks for signatures.
    SecureBoot,
}

/// Names under which systems have the browser.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// What reads `junit.xml`, what reads JSON Schema, what reads CycloneDX, and what writes a firmware's variables: by their names on
/// PyPI, and as modules.
const PACKAGES: [(&str, &str); 4] = [
    ("junitparser", "junitparser"),
    ("jsonschema", "jsonschema"),
    ("cyclonedx-python-lib[json-validation]", "cyclonedx.validation"),
    ("virt-firmware", "virt.firmware"),
];
/// Variables of a firmware with Secure Boot on and keys that everybody knows, of the package of the default board's firmware.
pub const VARIABLES: &str = "/usr/share/AAVMF/AAVMF_VARS.snakeoil.fd";
/// Seconds for what comes over a network.
const DEADLINE: &str = "120";

/// The browser's name in `PATH`.
pub fn browser() -> Option<&'static str> {
    BROWSERS.into_iter().find(|name| in_path(name))
}

/// Python of the environment with [`PACKAGES`].
pub fn python() -> PathBuf {
    in_environment("python")
}

/// A program of that environment.
pub fn in_environment(program: &str) -> PathBuf {
    folder().join("bin").join(program)
}

fn folder() -> PathBuf {
    workspace::target().join("inflight/consumers")
}

/// Why a case that takes this cannot run here, after an attempt to get it; `yes`: installing needs no question.
pub fn lacks(tool: Tool, yes: bool) -> Option<String> {
    match tool {
        Tool::Chromium => by_apt("Chromium", "chromium", || browser().is_some(), yes),
        Tool::Dnsmasq => by_apt("dnsmasq", "dnsmasq-base", || in_path("dnsmasq"), yes),
        Tool::Ipmi => {
            by_apt("ipmitool with OpenIPMI", "ipmitool openipmi", || in_path("ipmitool") && in_path("ipmi_sim"), yes)
        }
        Tool::Consumers => consumers(),
        Tool::SecureBoot => secure_boot(yes),
    }
}

fn secure_boot(yes: bool) -> Option<String> {
    if !Path::new(VARIABLES).is_file() {
        return Some(format!("no {VARIABLES}: Debian's qemu-efi-aarch64 has it"));
    }
    if !in_path("openssl") {
        return Some("no openssl, to make a key".to_owned());
    }
    by_apt("sbsign", "sbsigntool", || in_path("sbsign"), yes).or_else(consumers)
}

fn by_apt(name: &str, package: &str, is_there: impl Fn() -> bool, yes: bool) -> Option<String> {
    if is_there() {
        return None;
    }
    let lack = format!("{name} is needed: install the package {package}");
    if !yes || Manager::find() != Some(Manager::Apt) {
        return Some(lack);
    }
    let words = |text: &str| Step::Run(text.split(' ').map(str::to_owned).collect());
    let steps = [
        words(&format!("timeout {DEADLINE} apt-get update")),
        words(&format!("timeout {DEADLINE} apt-get install -y --no-install-recommends {package}")),
    ];
    let facts = install::facts(Version(0, 0));
    let result = steps.iter().try_for_each(|step| install::carry_out(step, &facts));
    match result {
        Ok(()) if is_there() => None,
        Ok(()) => Some(format!("{lack}; apt's has another name here")),
        Err(error) => Some(format!("{lack}; {error:#}")),
    }
}

/// A folder of its own, in the target folder: the system's Python stays as it is.
fn consumers() -> Option<String> {
    let [packages, modules] = [PACKAGES.map(|(package, _)| package), PACKAGES.map(|(_, module)| module)];
    let has = || is_good(Command::new(python()).arg("-c").arg(format!("import {}", modules.join(", "))));
    if has() {
        return None;
    }
    let made = is_good(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder()));
    let pip = || {
        let mut command = Command::new("timeout");
        command.arg(DEADLINE).arg(python()).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        is_good(command.args(packages))
    };
    (!(made && pip() && has())).then(|| {
        let what = if made { "no package index that pip can reach" } else { "no python3 with venv" };
        format!("{} of Python are needed: {what}", packages.join(", "))
    })
}

fn is_good(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Text that a program of a test prints, within a deadline.
///
/// # Errors
/// What it said instead.
pub fn said(seconds: u32, program: &Path, arguments: &[String]) -> Result<(String, String), String> {
    let mut command = Command::new("timeout");
    command.arg(seconds.to_string()).arg(program).args(arguments).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    if output.status.success() {
        return Ok((out, err));
    }
    Err(format!("{} ended with {}: {}", program.display(), output.status, err.trim()))
}
