//! A kernel that is to be watched, with all that it is given, and the file in which it travels.

use std::fmt;
use std::path::Path;

use crc::{CRC_64_XZ, Crc, Table};
use handover::bundle::{Bundle, WATCH_READS};
use zerocopy::IntoBytes;

use super::Kernel;
use crate::capture;
use crate::cli::KernelArgs;
use crate::exit::usage;
use crate::run;

/// What every kernel is told: where its console is, by firmware's tables or the devicetree; one CPU, as crash kernels have it; that
/// devices are in an unknown state; and to end when it panics, for one that spins tells nobody.
const ARGUMENTS: &str = "earlycon nr_cpus=1 reset_devices panic=1";
const ONE_CPU: &str = "nr_cpus=1 ";
/// COMMAND_LINE_SIZE of arm64, with its end.
const ARGUMENTS_MOST: usize = 2048;
/// What else a kernel takes of its memory before it can unpack anything: page tables, memory map, buffers.
const SLACK: u64 = 64 << 20;

/// What the user brings along.
#[derive(Clone, PartialEq, Eq)]
pub struct Guest {
    kernel: Kernel,
    initrd: Vec<u8>,
    /// What the host knows of it, for the log.
    pub told: capture::Kernel,
    /// Of [`Bundle::flags`].
    pub flags: u64,
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.told.fmt(f)
    }
}

impl Guest {
    /// Reads what the command line names; `None` without a kernel.
    ///
    /// # Errors
    /// One line for the first file or word that will not do.
    pub fn of(args: &KernelArgs) -> anyhow::Result<Option<Self>> {
        let Some(path) = &args.kernel else { return Ok(None) };
        let kernel = super::open(path)?;
        let initrd = args.initrd.as_deref().map(read_initrd).transpose()?.unwrap_or_default();
        if let Some(map) = &args.system_map {
            check_system_map(map)?;
        }
        let command_line = arguments(args.cmdline.as_deref())?;
        let name = |path: &Path| path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let told = capture::Kernel {
            name: name(path),
            sha256: run::sha256(&kernel.image),
            bytes: kernel.image.len() as u64,
            version: kernel.version(),
            command_line,
            watch_reads: args.watch_reads,
            system_map: args.system_map.clone(),
            way: Some(kernel.way.clone()).filter(|way| !way.is_empty()),
            pages: Some(kernel.header.pages.to_string()),
            memory_bytes: Some(kernel.header.memory_bytes),
            initrd: args.initrd.as_deref().map(|path| run::artifact(&name(path), &initrd)),
        };
        let flags = if told.watch_reads { WATCH_READS } else { 0 };
        Ok(Some(Self { kernel, initrd, told, flags }))
    }

    /// What is worth knowing before it runs, a line each.
    pub fn lines(&self) -> Vec<String> {
        let capture::Kernel { name, version, command_line, way, .. } = &self.told;
        let version = version.as_deref().unwrap_or("no banner of Linux in it");
        let way = way.as_ref().map(|way| format!(" ({way})")).unwrap_or_default();
        let mut lines = vec![
            format!("kernel: {name}{way}: {version}; {}", self.kernel.header.pages),
            format!("its command line: {command_line}"),
        ];
        if cpus(command_line) != Some(1) {
            lines.push(
                "note: with more than one CPU the order of accesses of two of them, and stores while a page is open, are less sure"
                    .into(),
            );
        }
        lines
    }

    /// Whether kernel and initrd find room.
    ///
    /// # Errors
    /// They do not, in `mib` MiB.
    pub fn fits(&self, mib: u32) -> anyhow::Result<()> {
        let (kernel, initrd) = (self.kernel.header.memory_bytes, self.initrd.len() as u64);
        let needed = (kernel + initrd + SLACK).div_ceil(1 << 20);
        if needed <= u64::from(mib) {
            return Ok(());
        }
        Err(usage(format!(
            "--kernel: {} MiB of kernel and {} MiB of initrd need {needed} MiB of memory at least, and may use {mib}: give more by \
             --option guest_mib={}",
            kernel >> 20,
            initrd >> 20,
            needed.next_multiple_of(256)
        )))
    }

    /// Bytes of [`Guest::bundle`] with a witness of this length.
    pub fn bundle_bytes(&self, image: u64) -> u64 {
        Bundle::of_lengths(self.lengths(image)).file_bytes
    }

    /// The file that primary and witness read, with the witness inside.
    pub fn bundle(&self, image: &[u8]) -> Vec<u8> {
        let mut bundle = Bundle::of_lengths(self.lengths(image.len() as u64));
        let parts = [image, &self.kernel.image, &self.initrd, self.told.command_line.as_bytes()];
        // The same digest as `handover::crc64`, by tables that make it fast enough for a hundred megabytes.
        let crc = Crc::<u64, Table<16>>::new(&CRC_64_XZ);
        let mut file = vec![0; bundle.file_bytes as usize];
        for (place, bytes) in bundle.parts_mut().into_iter().zip(parts) {
            place.digest = crc.checksum(bytes);
            let at = place.offset as usize;
            file[at..at + bytes.len()].copy_from_slice(bytes);
        }
        bundle.flags = self.flags;
        bundle.seal();
        file[..size_of::<Bundle>()].copy_from_slice(bundle.as_bytes());
        file
    }

    fn lengths(&self, image: u64) -> [u64; 4] {
        [image, self.kernel.image.len() as u64, self.initrd.len() as u64, self.told.command_line.len() as u64]
    }
}

/// The kernel takes the last word on most things: the user's stand behind ours.
fn arguments(more: Option<&str>) -> anyhow::Result<String> {
    let more = more.unwrap_or_default().trim();
    if more.contains(char::is_control) {
        return Err(usage("--cmdline: a command line is one line, without control characters"));
    }
    // Of several words on this a kernel takes the least, and not the last (kernel/smp.c, nrcpus()).
    let ours = if cpus(more).is_some() { ARGUMENTS.replace(ONE_CPU, "") } else { ARGUMENTS.into() };
    let whole = format!("{ours} {more}").trim_end().to_owned();
    if whole.len() >= ARGUMENTS_MOST {
        return Err(usage(format!(
            "--cmdline: {} bytes with `{ours}` before it; arm64 Linux takes {}",
            whole.len(),
            ARGUMENTS_MOST - 1
        )));
    }
    Ok(whole)
}

/// CPUs that it is told to use, by the last word on that.
fn cpus(arguments: &str) -> Option<u32> {
    let mut words = arguments.split_whitespace().filter_map(|word| word.strip_prefix("nr_cpus="));
    words.next_back().and_then(|count| count.parse().ok())
}

fn read_initrd(path: &Path) -> anyhow::Result<Vec<u8>> {
    let refuse = |what: String| usage(format!("--initrd {}: {what}", path.display()));
    match super::read(path, super::LARGEST) {
        Ok(bytes) if bytes.is_empty() => Err(refuse("is empty".into())),
        Ok(bytes) => Ok(bytes),
        Err(what) => Err(refuse(what)),
    }
}

/// Lines of `nm`: an address, a letter, a name.
fn check_system_map(path: &Path) -> anyhow::Result<()> {
    let refuse = |what: &str| Err(usage(format!("--system-map {}: {what}", path.display())));
    let bytes = match super::read(path, super::LARGEST) {
        Ok(bytes) => bytes,
        Err(what) => return refuse(&what),
    };
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let words: Vec<_> = std::str::from_utf8(first).unwrap_or_default().split_whitespace().collect();
    let is_symbol = matches!(words[..], [at, kind, _] if u64::from_str_radix(at, 16).is_ok() && kind.len() == 1);
    // Debian's is a word that says where the real one is.
    if is_symbol { Ok(()) } else { refuse("its first line is no `ADDRESS LETTER NAME` as nm prints it") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(cmdline: Option<&str>) -> anyhow::Result<Option<Guest>> {
        let folder = tempfile::tempdir().unwrap();
        let [kernel, initrd] = ["vmlinuz", "initrd.img"].map(|name| folder.path().join(name));
        std::fs::write(&kernel, super::super::tests::gzip(&super::super::tests::image())).unwrap();
        std::fs::write(&initrd, [7; 5000]).unwrap();
        Guest::of(&KernelArgs {
            kernel: Some(kernel),
            initrd: Some(initrd),
            cmdline: cmdline.map(str::to_owned),
            watch_reads: true,
            ..KernelArgs::default()
        })
    }

    #[test]
    fn a_bundle_is_what_the_payload_reads() {
        let guest = guest(Some(" nr_cpus=2 ")).unwrap().unwrap();
        let file = guest.bundle(b"witness");
        assert_eq!(file.len() as u64, guest.bundle_bytes(7));
        let found = *Bundle::find(&file).unwrap();
        let part = |part: handover::bundle::Part| {
            let bytes = &file[part.offset as usize..][..part.bytes as usize];
            assert_eq!(part.digest, handover::crc64(bytes));
            bytes
        };
        assert_eq!(part(found.image), b"witness");
        assert_eq!(part(found.kernel), super::super::tests::image());
        assert_eq!(part(found.initrd), [7; 5000]);
        assert_eq!(part(found.arguments), b"earlycon reset_devices panic=1 nr_cpus=2");
        assert_eq!(found.flags, WATCH_READS);
        assert!(guest.lines().concat().contains("gzip") && guest.lines().len() == 3, "{:?}", guest.lines());
    }

    #[test]
    fn what_will_not_do_is_said_in_one_line() {
        let refused = |cmdline: &str| crate::exit::one_line(&guest(Some(cmdline)).unwrap_err());
        assert!(refused("a\nb").contains("one line"));
        assert!(refused(&"x".repeat(2040)).contains("arm64 Linux takes 2047"));
        let small = crate::exit::one_line(&guest(None).unwrap().unwrap().fits(64).unwrap_err());
        assert!(small.contains("need 67 MiB") && small.contains("guest_mib=256"), "{small}");
        assert!(guest(None).unwrap().unwrap().fits(67).is_ok());
        let folder = tempfile::tempdir().unwrap();
        let map = folder.path().join("System.map");
        for (text, is_good) in [("ffff800080000000 T _text\n", true), ("ffff800080000000 T\n", false), ("", false)] {
            std::fs::write(&map, text).unwrap();
            assert_eq!(check_system_map(&map).is_ok(), is_good, "{text}");
        }
    }
}
