//! What the kernel says of drives, in `/sys` and `/proc`.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Folders of the kernel.
#[derive(Clone, Debug)]
pub struct System {
    /// `/sys`.
    pub sys: PathBuf,
    /// `/proc`.
    pub proc: PathBuf,
}

impl Default for System {
    fn default() -> Self {
        Self { sys: "/sys".into(), proc: "/proc".into() }
    }
}

/// What a drive is in use for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// The running system comes from it: drive or partition, and where it is mounted.
    System(String, String),
    /// A file system: drive or partition, and where it is mounted.
    Mounted(String, String),
    /// Swap space.
    Swap(String),
    /// Another device is built on it, such as an encrypted one.
    Held(String, String),
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(part, place) => write!(f, "{part} holds the running system ({place})"),
            Self::Mounted(part, place) => write!(f, "{part} is mounted at {place}; unmount it, or give that folder"),
            Self::Swap(part) => write!(f, "{part} is swap space; turn it off by swapoff"),
            Self::Held(part, holder) => write!(f, "{part} belongs to {holder}; close that first"),
        }
    }
}

impl System {
    fn block(&self, name: &str) -> PathBuf {
        self.sys.join("class/block").join(name)
    }

    /// The kernel's name of a device number.
    pub fn name(&self, (major, minor): (u32, u32)) -> Option<String> {
        let number = format!("{major}:{minor}");
        let all = fs::read_dir(self.sys.join("class/block")).into_iter().flatten().flatten();
        let mut names = all.filter_map(|entry| entry.file_name().into_string().ok());
        names.find(|name| self.text(name, "dev") == number)
    }

    /// The drive of a partition; nothing for a drive.
    pub fn drive_of(&self, name: &str) -> Option<String> {
        let folder = self.block(name);
        folder.join("partition").exists().then(|| {
            let folder = folder.canonicalize().unwrap_or(folder);
            let drive = folder.parent().and_then(Path::file_name).unwrap_or_default();
            drive.to_string_lossy().into_owned()
        })
    }

    /// Whether anything uses the drive or one of its partitions.
    ///
    /// # Errors
    /// The mounts cannot be read: then nobody knows.
    pub fn in_use(&self, name: &str) -> anyhow::Result<Option<Use>> {
        let read = |file: &str| {
            let path = self.proc.join(file);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let (mounts, swaps) = (read("self/mountinfo")?, read("swaps").unwrap_or_default());
        let parts = self.parts(name);
        let mut found = None;
        for part in &parts {
            for place in mounts.lines().filter_map(|line| mounted(line, part, &self.text(part, "dev"))) {
                if matches!(&*place, "/" | "/usr" | "/boot" | "/boot/efi") {
                    return Ok(Some(Use::System(part.clone(), place)));
                }
                found.get_or_insert_with(|| Use::Mounted(part.clone(), place));
            }
            if swaps.lines().any(|line| line.split_whitespace().next() == Some(&*format!("/dev/{part}"))) {
                found.get_or_insert_with(|| Use::Swap(part.clone()));
            }
            if let Some(holder) = fs::read_dir(self.block(part).join("holders")).into_iter().flatten().flatten().next()
            {
                let holder = holder.file_name().to_string_lossy().into_owned();
                found.get_or_insert_with(|| Use::Held(part.clone(), holder));
            }
        }
        Ok(found)
    }

    /// The drive and its partitions.
    fn parts(&self, name: &str) -> Vec<String> {
        let below = fs::read_dir(self.block(name)).into_iter().flatten().flatten();
        let partitions = below.filter(|entry| entry.path().join("partition").exists());
        let partitions = partitions.filter_map(|entry| entry.file_name().into_string().ok());
        [name.to_owned()].into_iter().chain(partitions).collect()
    }

    /// A file of the device, without blanks around; empty where there is none.
    fn text(&self, name: &str, file: &str) -> String {
        fs::read_to_string(self.block(name).join(file)).unwrap_or_default().trim().to_owned()
    }

    /// A file of the device that is a number.
    pub fn figure(&self, name: &str, file: &str) -> Option<u64> {
        self.text(name, file).parse().ok()
    }

    /// A file of the device that is 0 or 1.
    pub fn flag(&self, name: &str, file: &str) -> Option<bool> {
        self.figure(name, file).map(|value| value != 0)
    }

    /// Maker and model.
    pub fn model(&self, name: &str) -> String {
        let words = ["device/vendor", "device/model", "device/name"].map(|file| self.text(name, file));
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// Serial number, of the drive itself or of the USB device that it is. Beyond that are hubs, with numbers of their own.
    pub fn serial(&self, name: &str) -> String {
        let folder = self.block(name);
        let folder = folder.canonicalize().unwrap_or(folder);
        let own = folder.join("device/serial");
        let of = |folder: &Path| fs::read_to_string(folder.join("serial")).ok();
        let usb = folder.ancestors().find(|above| above.join("idVendor").exists());
        let serial = fs::read_to_string(own).ok().or_else(|| of(usb?));
        serial.unwrap_or_default().trim().to_owned()
    }
}

/// Where a line of mountinfo (proc(5)) mounts this device: by its number, or by its name where a file system, such as btrfs,
/// has a number of its own.
fn mounted(line: &str, part: &str, number: &str) -> Option<String> {
    let mut fields = line.split(' ');
    let (of, place) = (fields.nth(2)?, fields.nth(1)?);
    let source = line.split_once(" - ")?.1.split(' ').nth(1)?;
    (of == number || source.strip_prefix("/dev/") == Some(part)).then(|| place.replace("\\040", " "))
}

#[cfg(test)]
mod tests {
    use super::mounted;

    #[test]
    fn a_mount_is_known_by_number_and_by_name() {
        let line = "36 35 8:17 / /media/my\\040stick rw,noatime shared:1 - vfat /dev/sdb1 rw";
        assert_eq!(mounted(line, "sdb1", "8:17").as_deref(), Some("/media/my stick"));
        assert_eq!(mounted(line, "sdb1", "0:50").as_deref(), Some("/media/my stick"), "btrfs has a number of its own");
        assert_eq!(mounted(line, "sdb", "8:16"), None);
        assert_eq!(mounted("36 35 8:1", "sdb1", "8:1"), None);
    }
}
