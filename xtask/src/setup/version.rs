//! QEMU's version, as it prints it and as package managers name it.

use std::fmt;

/// Major and minor version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl Version {
    /// From `qemu-system-aarch64 --version`.
    pub fn from_qemu(output: &str) -> Option<Self> {
        Self::leading(output.split_once("version ")?.1)
    }

    /// From a package version such as `1:10.0.2+ds-2+deb13u1~bpo12+1`.
    pub fn from_package(version: &str) -> Option<Self> {
        Self::leading(version.split_once(':').map_or(version, |(_, rest)| rest))
    }

    /// The candidate in what `apt-cache policy PACKAGE` prints; `None` where the lists name none.
    pub fn apt_candidate(policy: &str) -> Option<Self> {
        let line = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?;
        Self::from_package(line.trim())
    }

    fn leading(text: &str) -> Option<Self> {
        let mut numbers = text.split(|letter: char| !letter.is_ascii_digit());
        Some(Self(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }
}
