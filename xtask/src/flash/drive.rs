//! A removable drive: what must hold before it is overwritten, and how it is written.

mod device;
mod system;

#[cfg(test)]
pub use device::Medium;
pub use device::{Device, read, write};
pub use system::System;

use std::path::{Path, PathBuf};

use indicatif::HumanBytes;

use super::backup::Identity;
use super::disk::SECTOR;
use crate::exit::usage;

/// A drive that may be overwritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drive {
    /// As it was given.
    pub path: PathBuf,
    /// The kernel's name, such as `sdb`.
    pub name: String,
    /// Device number, major and minor.
    pub number: (u32, u32),
    /// Capacity.
    pub bytes: u64,
    /// Maker and model, in its own words; empty where it says none.
    pub model: String,
    /// Serial number; empty where it says none.
    pub serial: String,
}

impl Drive {
    /// Looks at the drive at `path` with this device number.
    ///
    /// # Errors
    /// It must not be overwritten: one line that says why.
    pub fn check(system: &System, path: &Path, number: (u32, u32), largest: u64) -> anyhow::Result<Self> {
        let no = |why: String| Err(usage(format!("--to {}: {why}", path.display())));
        let Some(name) = system.name(number) else { return no("the system knows no such drive".into()) };
        if let Some(whole) = system.drive_of(&name) {
            return no(format!("{name} is a partition; give the whole drive, /dev/{whole}"));
        }
        if let Some(place) = system.in_use(&name)? {
            return no(place.to_string());
        }
        if system.flag(&name, "removable") != Some(true) {
            return no(format!("{name} is not removable; only removable drives are written"));
        }
        if system.flag(&name, "ro") == Some(true) {
            return no(format!("{name} is write-protected"));
        }
        let bytes = system.figure(&name, "size").unwrap_or(0).saturating_mul(SECTOR);
        if bytes == 0 {
            return no(format!("{name} has no medium"));
        }
        if bytes > largest {
            let (bytes, largest) = (HumanBytes(bytes), HumanBytes(largest));
            return no(format!("{name} has {bytes}, more than {largest}; if it is meant, give --largest GIB"));
        }
        match system.figure(&name, "queue/logical_block_size") {
            Some(SECTOR) => {}
            other => return no(format!("{name} has sectors of {} bytes, not of {SECTOR}", other.unwrap_or(0))),
        }
        let (model, serial) = (system.model(&name), system.serial(&name));
        Ok(Self { path: path.into(), name, number, bytes, model, serial })
    }

    /// Name, model and size, for a person who is about to lose what is on it.
    pub fn describe(&self) -> String {
        let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
        let (model, serial) = (or(&self.model, "no model"), or(&self.serial, "none"));
        format!("{}: {model}, {}, serial number {serial}", self.name, HumanBytes(self.bytes))
    }

    /// What it is, wherever it is plugged in.
    pub fn identity(&self) -> Identity {
        let text = format!("drive {}, serial number {}, {} bytes", self.model, self.serial, self.bytes);
        Identity { text, is_certain: !self.serial.is_empty() }
    }
}
