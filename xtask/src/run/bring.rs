//! How a kernel that is to be watched comes into an emulated machine. UEFI firmware starts the payload from a volume, and the payload
//! finds the kernel beside itself, as on a board; without firmware the emulator puts it into memory, as a boot loader would.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::Context;
use board::{Image, Qemu};

use super::Options;
use crate::exit::usage;
use crate::flash::{BOOT_FILE, BUNDLE_FILE, IORT_FILE, OPTIONS_FILE, one_a_line};
use crate::kernel::Guest;

/// What the payload takes beside the kernel's own memory and its file.
const OWN: u64 = 1 << 30;
/// No machine has less.
const LEAST: u64 = 2 << 30;
/// Sizes are whole multiples of this.
const STEP: u64 = 256 << 20;
/// Where U-Boot keeps itself, at the end of memory.
const LOADER: u64 = 64 << 20;

/// What is brought, and by what way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bringing {
    /// Where the emulator finds it.
    pub place: Place,
    /// Value of `-m`.
    pub memory: String,
    /// Option text.
    pub options: String,
}

/// Where the emulator finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder that becomes a volume, with all that the firmware starts.
    Volume(PathBuf),
    /// A file for this address.
    Memory(PathBuf, u64),
}

impl Bringing {
    /// Decides; `folder` is to hold it, `bytes` are the bundle's.
    ///
    /// # Errors
    /// Nobody knows where the machine's memory begins, or how large it is.
    pub fn of(qemu: &Qemu, options: &Options, bytes: u64, folder: &Path) -> anyhow::Result<Self> {
        let wanted = (u64::from(options.guest_mib) << 20) + bytes + OWN;
        let given = size(&qemu.memory)
            .ok_or_else(|| usage(format!("--kernel: the machine's memory, `{}`, is no plain size", qemu.memory)))?;
        let memory = given.max(LEAST).max(wanted.next_multiple_of(STEP));
        let (place, options) = match qemu.image {
            Image::Uefi => (Place::Volume(folder.to_owned()), options.text.clone()),
            Image::Raw => {
                let at = address(&qemu.machine, memory, bytes)?;
                (Place::Memory(folder.join(BUNDLE_FILE), at), format!("{} guest={at:#x}", options.text))
            }
        };
        Ok(Self { place, memory: format!("{}M", memory >> 20), options })
    }

    /// Writes it.
    pub fn write(&self, guest: &Guest, witness: &Path, image: &Path, iort: Option<&Path>) -> anyhow::Result<()> {
        let witness = fs::read(witness).with_context(|| format!("cannot read {}", witness.display()))?;
        let bundle = guest.bundle(&witness);
        let written = match &self.place {
            Place::Memory(file, _) => fs::write(file, bundle),
            Place::Volume(folder) => self.fill(folder, &bundle, image, iort),
        };
        written.context("cannot write what the kernel is brought in")
    }

    fn fill(&self, folder: &Path, bundle: &[u8], image: &Path, iort: Option<&Path>) -> io::Result<()> {
        let at = |name: &str| folder.join(name);
        let boot = at(BOOT_FILE);
        boot.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::copy(image, boot)?;
        fs::write(at(OPTIONS_FILE), one_a_line(&self.options))?;
        iort.map_or(Ok(0), |iort| fs::copy(iort, at(IORT_FILE)))?;
        fs::write(at(BUNDLE_FILE), bundle)
    }
}

/// Below what a boot loader keeps for itself, above all that it is asked to load.
fn address(machine: &str, memory: u64, bytes: u64) -> anyhow::Result<u64> {
    // hw/arm/virt.c and hw/arm/sbsa-ref.c, `VIRT_MEM` and `SBSA_MEM`.
    let start: u64 = match machine.split(',').next() {
        Some("virt") => 0x4000_0000,
        Some("sbsa-ref") => 0x100_0000_0000,
        _ => return Err(usage(format!("--kernel: nobody knows where machine `{machine}` has its memory"))),
    };
    Ok((start + memory - LOADER - bytes) & !((2 << 20) - 1))
}

/// A value of `-m`: MiB, or with a letter.
fn size(text: &str) -> Option<u64> {
    let unit = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(unit);
    let shift = match unit {
        "" | "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    count.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_address_follow_from_the_machine() {
        assert_eq!((size("1G"), size("512M"), size("2048")), (Some(1 << 30), Some(512 << 20), Some(2 << 30)));
        assert_eq!((size("1K"), size("G"), size("1G,slots=2")), (None, None, None));
        let of = |board: &str, guest_mib| {
            let board = crate::boards::load(board).unwrap();
            let options = Options { text: "a=b".into(), guest_mib, ..Options::default() };
            Bringing::of(board.qemu.as_ref().unwrap(), &options, 40 << 20, Path::new("/x")).unwrap()
        };
        let raw = of("qemu-virt-dt", 512);
        assert_eq!((raw.memory.as_str(), raw.options.as_str()), ("2048M", "a=b guest=0xb9800000"));
        assert_eq!(raw.place, Place::Memory("/x/guest.bin".into(), 0xB980_0000));
        assert_eq!(of("qemu-virt-dt", 2048).memory, "3328M");
        let uefi = of("qemu-virt", 512);
        assert_eq!((uefi.place, uefi.options.as_str()), (Place::Volume("/x".into()), "a=b"));
        assert!(address("microvm", 2 << 30, 1).is_err());
    }
}
