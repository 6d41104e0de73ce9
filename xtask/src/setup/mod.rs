//! What the host has and lacks, and how the system's package manager brings it.

mod install;
mod plan;
mod sources;
mod system;
pub mod targets;
mod version;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use board::{Board, Image, Qemu};

use crate::cli::{DoctorArgs, InstallArgs};
use crate::exit::{self, Exit};
use crate::workspace;

use plan::{Firmware, Missing};
use version::Version;

/// The emulator and the firmware that a run starts.
#[derive(Clone, Debug)]
pub struct Host {
    /// `qemu-system-aarch64` (new enough), as it is started.
    pub qemu: PathBuf,
    /// AArch64 firmware image; none for a machine into which the emulator loads the raw image.
    pub firmware: Option<PathBuf>,
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
    fn probe(needs: &Qemu) -> Self {
        let output = Command::new(&needs.program).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
        let version = output.ok().and_then(|output| Version::from_qemu(&String::from_utf8_lossy(&output.stdout)));
        let firmware = needs.firmware.iter().find(|path| path.is_file()).cloned();
        let kind = match needs.image {
            Image::Uefi => Some(Firmware::Edk2),
            Image::Raw => (!needs.firmware.is_empty()).then_some(Firmware::UBoot),
        };
        Self { qemu: version, firmware, kind }
    }

    fn missing(&self, oldest: Version) -> Missing {
        let firmware = self.kind.filter(|_| self.firmware.is_none());
        Missing { qemu: self.qemu.is_none_or(|version| version < oldest), firmware }
    }
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
    let board = load_board("qemu-virt")?;
    let Some(needs) = &board.qemu else {
        return Ok(exit);
    };
    let (found, oldest) = (Found::probe(needs), oldest(needs));
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
    let mut found = Found::probe(needs);
    let missing = found.missing(oldest);
    if missing != Missing::default() {
        install::install(missing, oldest, install.yes)?;
        found = Found::probe(needs);
    }
    let still = found.missing(oldest);
    if still == Missing::default() {
        return Ok(Host { qemu: PathBuf::from(&needs.program), firmware: found.firmware });
    }
    Err(exit::host_lacks(format!(
        "after the installation there is still no {}; looked for {} in PATH and for {}",
        plan::wanted(still, oldest),
        needs.program,
        listed(&needs.firmware)
    )))
}

/// Why a case that takes this QEMU cannot run here; nothing is installed for it.
pub fn lacks_qemu((major, minor): (u32, u32)) -> Option<String> {
    let oldest = Version(major, minor);
    let board = load_board("qemu-virt").ok()?;
    let found = Found::probe(board.qemu.as_ref()?).qemu;
    match found {
        Some(version) if version >= oldest => None,
        Some(version) => Some(format!("QEMU is {version}, and {oldest} is needed")),
        None => Some(format!("no QEMU; {oldest} is needed")),
    }
}

/// Makes everything that building and testing on the default board need available.
pub fn ensure_all(install: &InstallArgs) -> anyhow::Result<Host> {
    targets::ensure()?;
    ensure(&load_board("qemu-virt")?, install)
}

fn load_board(name: &str) -> anyhow::Result<Board> {
    board::load(&workspace::root().join("board-configs"), name).map_err(|error| exit::usage(error.to_string()))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| shown(path)).collect::<Vec<_>>().join(", ")
}
