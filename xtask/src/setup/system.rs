//! Which system this is, and which package manager it has.

use std::path::Path;

use super::plan::Firmware;

/// What `/etc/os-release` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// `ID`, such as `debian`.
    pub id: String,
    /// `VERSION_CODENAME`, such as `bookworm`; empty where there is none.
    pub codename: String,
    /// `PRETTY_NAME`.
    pub name: String,
}

impl Release {
    /// Reads the file's text.
    pub fn parse(text: &str) -> Self {
        let field = |name: &str| {
            let lines = text.lines().filter_map(|line| line.split_once('='));
            let value = lines.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim()).next_back();
            value.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
        };
        Self { id: field("ID"), codename: field("VERSION_CODENAME"), name: field("PRETTY_NAME") }
    }
}

/// A package manager that this tool knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    Apt,
    Dnf,
    Pacman,
    Zypper,
    Apk,
}

impl Manager {
    const ALL: [Self; 5] = [Self::Apt, Self::Dnf, Self::Pacman, Self::Zypper, Self::Apk];

    /// Program that stands for it.
    pub fn program(self) -> &'static str {
        match self {
            Self::Apt => "apt-get",
            Self::Dnf => "dnf",
            Self::Pacman => "pacman",
            Self::Zypper => "zypper",
            Self::Apk => "apk",
        }
    }

    /// The first one in `PATH`.
    pub fn find() -> Option<Self> {
        Self::ALL.into_iter().find(|manager| in_path(manager.program()))
    }

    /// Package with `qemu-system-aarch64`.
    pub fn qemu(self) -> &'static str {
        match self {
            Self::Apt => "qemu-system-arm",
            Self::Dnf => "qemu-system-aarch64-core",
            Self::Zypper => "qemu-arm",
            Self::Pacman | Self::Apk => "qemu-system-aarch64",
        }
    }

    /// Package with AArch64 firmware. Arch has no U-Boot for QEMU: its package manager will say so.
    pub fn firmware(self, kind: Firmware) -> &'static str {
        match (kind, self) {
            (Firmware::Edk2, Self::Apt) => "qemu-efi-aarch64",
            (Firmware::Edk2, Self::Dnf | Self::Pacman) => "edk2-aarch64",
            (Firmware::Edk2, Self::Zypper) => "qemu-uefi-aarch64",
            (Firmware::Edk2, Self::Apk) => "aavmf",
            (Firmware::UBoot, Self::Apt | Self::Apk | Self::Pacman) => "u-boot-qemu",
            (Firmware::UBoot, Self::Dnf) => "uboot-images-armv8",
            (Firmware::UBoot, Self::Zypper) => "u-boot-qemu-arm64",
        }
    }

    /// The command that installs packages without asking: this tool has asked already.
    pub fn install(self) -> &'static [&'static str] {
        match self {
            Self::Apt => &["apt-get", "install", "-y", "--no-install-recommends"],
            Self::Dnf => &["dnf", "install", "-y"],
            Self::Pacman => &["pacman", "-S", "--noconfirm", "--needed"],
            Self::Zypper => &["zypper", "--non-interactive", "install", "--no-recommends"],
            Self::Apk => &["apk", "add"],
        }
    }
}

/// Whether a program is in `PATH`.
pub fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| is_program(&folder.join(program)))
}

fn is_program(path: &Path) -> bool {
    path.is_file()
}
