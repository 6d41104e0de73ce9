//! What the host has and lacks, and how the system's package manager brings it.

mod apt;
mod beside;
mod install;
pub mod linux;
mod plan;
mod sources;
mod system;
pub mod targets;
pub mod tool;
mod version;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use board::{Board, Image, Qemu};

use crate::boards;
use crate::cli::{DoctorArgs, InstallArgs};
use crate::exit::{self, Exit};

use plan::{Firmware, Missing};
use version::Version;

/// The emulator and the firmware that a run starts.
#[derive(Clone, Debug)]
pub struct Host {
    /// `qemu-system-aarch64` (new enough), as it is started.
    pub qemu: PathBuf,
    /// AArch64 firmware image; none for a machine into which the emulator loads the raw image.
    pub firmware: Option<PathBuf>,
    /// What the emulator says of its version, with the package that it is of.
    pub version: Option<String>,
}

/// What was found for one emulated board.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    /// The emulator's version; `None` where it is not in `PATH` or prints none.
    qemu: Option<Version>,
    /// The first firmware image that exists.
    firmware: Option<PathBuf>,
    /// The kind that the machine needs, if any.
    kind: Option<Firmware>,
}

impl Found {
    fn probe(needs: &Qemu, qemu: &Path) -> Self {
        let firmware = needs.firmware.iter().find(|path| path.is_file()).cloned();
        let kind = match needs.image {
            Image::Uefi => Some(Firmware::Edk2),
            Image::Raw => (!needs.firmware.is_empty()).then_some(Firmware::UBoot),
        };
        Self { qemu: qemu_version(qemu), firmware, kind }
    }

    fn missing(&self, oldest: Version) -> Missing {
        let firmware = self.kind.filter(|_| self.firmware.is_none());
        Missing { qemu: self.qemu.is_none_or(|version| version < oldest), firmware }
    }
}

/// The version that a program prints.
fn qemu_version(program: &Path) -> Option<Version> {
    Version::from_qemu(&qemu_says(program)?)
}

fn qemu_says(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
    Some(String::from_utf8_lossy(&output.ok()?.stdout).into_owned())
}

fn oldest(needs: &Qemu) -> Version {
    Version(needs.minimum_version.0, needs.minimum_version.1)
}

/// `cargo xtask doctor`: shows and changes nothing.
pub fn doctor(_args: &DoctorArgs) -> anyhow::Result<Exit> {
    let mut exit = Exit::Pass;
    match targets::state() {
        targets::State::Installed => crate::exit::say!("ok       board targets: in the toolchain"),
        targets::State::Named(folder) => crate::exit::say!("ok       board targets: `core` from {}", folder.display()),
        targets::State::Missing => {
            let (is_gettable, how) = targets_how(&targets::way());
            crate::exit::say!("missing  board targets ({}): {how}", targets::TARGETS.join(", "));
            exit = if is_gettable { exit } else { Exit::Host };
        }
    }
    let board = boards::load("qemu-virt")?;
    let Some(needs) = &board.qemu else {
        return Ok(exit);
    };
    let (found, oldest) = (Found::probe(needs, Path::new(&needs.program)), oldest(needs));
    let missing = found.missing(oldest);
    let state = |is_missing: bool| if is_missing { "missing" } else { "ok     " };
    let version = found.qemu.map_or_else(|| "not found".to_owned(), |version| version.to_string());
    crate::exit::say!("{}  QEMU: {} {version}, at least {oldest} needed", state(missing.qemu), needs.program);
    let firmware = found.firmware.as_deref().map_or_else(|| "none of ".to_owned() + &listed(&needs.firmware), shown);
    crate::exit::say!("{}  UEFI firmware: {firmware}", state(missing.firmware.is_some()));
    if missing == Missing::default() {
        return Ok(exit);
    }
    let facts = install::facts(oldest);
    match plan::plan(missing, &facts) {
        Ok(steps) => crate::exit::say!("`cargo xtask run` would do:\n{}", install::shown(&steps, &facts)),
        Err(reason) => crate::exit::say!("cannot be installed from here: {reason}"),
    }
    Ok(Exit::Host)
}

fn targets_how(way: &targets::Way) -> (bool, String) {
    match way {
        targets::Way::Cache(folder) => (true, format!("will be taken from {}", folder.display())),
        targets::Way::Seed(script) => (true, format!("will be built by {}", script.display())),
        targets::Way::Rustup => (true, format!("will be fetched by `{}`", targets::rustup_command())),
        targets::Way::None => (false, format!("run `{}` where it can download", targets::rustup_command())),
    }
}

/// Finds what `board` needs, and installs what is missing.
pub fn ensure(board: &Board, install: &InstallArgs) -> anyhow::Result<Host> {
    let Some(needs) = &board.qemu else {
        return Err(exit::usage(format!("board {} has no [qemu] section", board.name)));
    };
    let oldest = oldest(needs);
    let qemu = program(needs, oldest)?;
    let mut found = Found::probe(needs, &qemu);
    let missing = found.missing(oldest);
    if missing != Missing::default() {
        install::install(missing, oldest, install.yes)?;
        found = Found::probe(needs, &qemu);
    }
    let still = found.missing(oldest);
    if still == Missing::default() {
        let version = qemu_says(&qemu).and_then(|text| text.lines().next().map(|line| line.trim().to_owned()));
        return Ok(Host { qemu, firmware: found.firmware, version });
    }
    Err(exit::host_lacks(format!(
        "after the installation there is still no {}; looked for {} in PATH and for {}",
        plan::wanted(still, oldest),
        needs.program,
        listed(&needs.firmware)
    )))
}

/// The emulator to start. Where the system's is new enough for the board that needs least, it stays as it is, and one that is
/// newer is put beside it.
fn program(needs: &Qemu, oldest: Version) -> anyhow::Result<PathBuf> {
    let program = PathBuf::from(&needs.program);
    let least = boards::load("qemu-virt")?.qemu.map_or(oldest, |needs| self::oldest(&needs));
    match qemu_version(&program) {
        Some(version) if (least..oldest).contains(&version) => beside::get(oldest),
        _ => Ok(program),
    }
}

/// Why a case that takes this QEMU cannot run here, after an attempt to get it.
pub fn lacks_qemu((major, minor): (u32, u32)) -> Option<String> {
    let oldest = Version(major, minor);
    let board = boards::load("qemu-virt").ok()?;
    let has = qemu_version(Path::new(&board.qemu.as_ref()?.program));
    if has.is_some_and(|version| version >= oldest) {
        return None;
    }
    beside::get(oldest).err().map(|error| format!("QEMU {oldest} is needed: {error}"))
}

/// Makes everything that building and testing on the default board need available.
pub fn ensure_all(install: &InstallArgs) -> anyhow::Result<Host> {
    targets::ensure()?;
    ensure(&boards::load("qemu-virt")?, install)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| shown(path)).collect::<Vec<_>>().join(", ")
}
