//! From what is missing to the commands that bring it. Pure: nothing is read or run here.

use super::sources::{self, Archive};
use super::system::{Manager, Release};
use super::version::Version;

/// Where the source for a newer QEMU is written.
pub const BACKPORTS_FILE: &str = "/etc/apt/sources.list.d/inflight-backports.sources";

/// What the host lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// No QEMU, or one that is too old.
    pub qemu: bool,
    /// No firmware of this kind.
    pub firmware: Option<Firmware>,
}

/// Kinds of AArch64 firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// UEFI.
    Edk2,
    /// U-Boot, which starts raw images.
    UBoot,
}

impl Firmware {
    fn name(self) -> &'static str {
        match self {
            Self::Edk2 => "the AArch64 UEFI firmware of EDK2 (QEMU_EFI.fd)",
            Self::UBoot => "U-Boot for QEMU's arm64 machine (qemu_arm64/u-boot.bin)",
        }
    }
}

/// What is known of the system that is going to get it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The oldest QEMU that will do.
    pub oldest: Version,
    /// The distribution.
    pub release: Release,
    /// Its package manager.
    pub manager: Option<Manager>,
    /// apt's sources.
    pub archives: Vec<Archive>,
    /// QEMU that apt would install; `None` where its lists name none (yet).
    pub candidate: Option<Version>,
    /// Whether this runs as root.
    pub is_root: bool,
    /// Whether `sudo` is there.
    pub has_sudo: bool,
}

/// One step of an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write a file that belongs to root.
    Write { path: &'static str, text: String },
    /// Run a command as root.
    Run(Vec<String>),
}

impl Step {
    /// The step as a user could type it; `prefix` is `sudo ` or nothing.
    pub fn shown(&self, prefix: &str) -> String {
        match self {
            Self::Write { path, text } => format!("{prefix}tee {path} <<'EOF'\n{text}EOF"),
            Self::Run(words) => format!("{prefix}{}", words.join(" ")),
        }
    }
}

/// What to do for what is missing, or in one line why it cannot be done from here.
pub fn plan(missing: Missing, facts: &Facts) -> Result<Vec<Step>, String> {
    if missing == Missing::default() {
        return Ok(Vec::new());
    }
    let wanted = wanted(missing, facts.oldest);
    let Some(manager) = facts.manager else {
        return Err(format!("no package manager that is known here (apt, dnf, pacman, zypper, apk); install {wanted}"));
    };
    if !facts.is_root && !facts.has_sudo {
        return Err(format!(
            "installing needs root, and there is no sudo; as root, install {wanted} ({})",
            packages(missing, manager).join(", ")
        ));
    }
    if manager == Manager::Apt {
        apt(missing, facts)
    } else {
        Ok(vec![install(manager, &[], &packages(missing, manager))])
    }
}

/// What is missing, in words that hold on any system.
pub fn wanted(missing: Missing, oldest: Version) -> String {
    let mut wanted = Vec::new();
    if missing.qemu {
        wanted.push(format!("QEMU {oldest} or newer with qemu-system-aarch64"));
    }
    wanted.extend(missing.firmware.map(|firmware| firmware.name().to_owned()));
    wanted.join(" and ")
}

fn packages(missing: Missing, manager: Manager) -> Vec<&'static str> {
    let qemu = missing.qemu.then(|| manager.qemu());
    let firmware = missing.firmware.map(|firmware| manager.firmware(firmware));
    qemu.into_iter().chain(firmware).collect()
}

fn install(manager: Manager, options: &[&str], packages: &[&str]) -> Step {
    Step::Run([manager.install(), options, packages].concat().into_iter().map(str::to_owned).collect())
}

fn apt(missing: Missing, facts: &Facts) -> Result<Vec<Step>, String> {
    let update = Step::Run(vec!["apt-get".into(), "update".into()]);
    if !missing.qemu || !is_candidate_too_old(facts) {
        return Ok(vec![update, install(Manager::Apt, &[], &packages(missing, Manager::Apt))]);
    }
    let Release { id, codename, name } = &facts.release;
    if id != "debian" || codename.is_empty() {
        let system = if name.is_empty() { "this system" } else { name };
        return Err(format!(
            "the QEMU of {system} is too old; install {} from another source",
            wanted(missing, facts.oldest)
        ));
    }
    let suite = format!("{codename}-backports");
    let mut steps = Vec::new();
    if !sources::knows(&facts.archives, &suite) {
        let archive = sources::main_archive(&facts.archives, codename).ok_or_else(|| {
            format!(
                "apt's sources name no archive for {codename}; add {suite} to them, then install {}",
                wanted(missing, facts.oldest)
            )
        })?;
        steps.push(Step::Write { path: BACKPORTS_FILE, text: sources::source_file(archive, &suite) });
    }
    steps.push(update);
    steps.push(install(Manager::Apt, &["-t", &suite], &[Manager::Apt.qemu()]));
    if let Some(firmware) = missing.firmware {
        // The main suite's firmware is good enough, and backports need not have one.
        steps.push(install(Manager::Apt, &[], &[Manager::Apt.firmware(firmware)]));
    }
    Ok(steps)
}

/// Lists that were never fetched name no candidate; then the release tells: Debian 12 and older have 7.2 or less.
fn is_candidate_too_old(facts: &Facts) -> bool {
    match facts.candidate {
        Some(version) => version < facts.oldest,
        None => matches!(
            (facts.release.id.as_str(), facts.release.codename.as_str()),
            ("debian", "bookworm" | "bullseye" | "buster") | ("ubuntu", "jammy" | "focal")
        ),
    }
}
