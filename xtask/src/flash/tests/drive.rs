use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use clap::Parser;

use super::{Tmpfs, files, is_root, noise, output, tool};
use crate::cli::{Cli, Command};
use crate::exit::{Exit, one_line, status_of};
use crate::flash::backup::Backup;
use crate::flash::disk::{self, MARGIN};
use crate::flash::drive::{self, Drive, Medium, System};
use crate::flash::esp::{Target, flash, restore};
use crate::flash::{Piece, fat};
use crate::run::Progress;

const LARGEST: u64 = 64 << 30;

/// A kernel that knows one USB stick, `sdb` with `sdb1`, behind a hub with a serial number of its own.
struct Fake {
    folder: tempfile::TempDir,
}

impl Fake {
    fn new() -> Self {
        let fake = Self { folder: tempfile::tempdir().unwrap() };
        let hub = "sys/devices/usb1";
        let stick = &format!("{hub}/1-4");
        let block = &format!("{stick}/1-4:1.0/host6/block/sdb");
        for (file, text) in [
            (format!("{hub}/idVendor"), "1d6b"),
            (format!("{hub}/serial"), "0000:00:14.0"),
            (format!("{stick}/idVendor"), "0781"),
            (format!("{stick}/serial"), "4C530001"),
            (format!("{block}/dev"), "8:16"),
            (format!("{block}/removable"), "1"),
            (format!("{block}/ro"), "0"),
            (format!("{block}/size"), "31260672"),
            (format!("{block}/queue/logical_block_size"), "512"),
            (format!("{block}/device/vendor"), "SanDisk "),
            (format!("{block}/device/model"), "Cruzer Blade    "),
            (format!("{block}/sdb1/partition"), "1"),
            (format!("{block}/sdb1/dev"), "8:17"),
            ("proc/self/mountinfo".to_owned(), "22 1 259:2 / / rw - ext4 /dev/nvme0n1p2 rw"),
            ("proc/swaps".to_owned(), "Filename Type Size Used Priority"),
        ] {
            fake.set(&file, text);
        }
        let class = fake.folder.path().join("sys/class/block");
        fs::create_dir_all(&class).unwrap();
        for name in ["sdb", "sdb/sdb1"] {
            let device = fake.folder.path().join(stick).join("1-4:1.0/host6/block").join(name);
            std::os::unix::fs::symlink(device, class.join(Path::new(name).file_name().unwrap())).unwrap();
        }
        fake
    }

    /// A file's text, by its path, or below the drive's folder.
    fn set(&self, file: &str, text: &str) {
        let path = self.folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }

    fn check(&self, number: (u32, u32)) -> anyhow::Result<Drive> {
        let system = System { sys: self.folder.path().join("sys"), proc: self.folder.path().join("proc") };
        Drive::check(&system, Path::new("/dev/sdb"), number, LARGEST)
    }

    fn refusal(&self) -> String {
        let error = self.check((8, 16)).unwrap_err();
        assert_eq!(status_of(&error), Exit::Usage);
        one_line(&error)
    }
}

#[test]
fn a_removable_drive_that_nobody_uses_is_described() {
    let drive = Fake::new().check((8, 16)).unwrap();
    assert_eq!(drive.describe(), "sdb: SanDisk Cruzer Blade, 14.91 GiB, serial number 4C530001");
    assert!(drive.identity().is_certain);
    // A hub's number is not the stick's.
    let nameless = Fake::new();
    fs::remove_file(nameless.folder.path().join("sys/devices/usb1/1-4/serial")).unwrap();
    let drive = nameless.check((8, 16)).unwrap();
    assert!(drive.describe().ends_with("serial number none") && !drive.identity().is_certain);
}

#[test]
fn a_drive_that_must_not_be_overwritten_is_refused_with_the_reason() {
    const MOUNTED: &str = "40 22 8:17 / /media/stick rw - vfat /dev/sdb1 rw";
    const SYSTEM: &str = "40 22 8:17 / /media/x rw - ext4 /dev/sdb1 rw\n41 22 0:44 /@ / rw - btrfs /dev/sdb1 rw";
    let sdb = "sys/class/block/sdb";
    for (file, text, wanted) in [
        ("proc/self/mountinfo", MOUNTED, "sdb1 is mounted at /media/stick; unmount it"),
        ("proc/self/mountinfo", SYSTEM, "sdb1 holds the running system (/)"),
        ("proc/swaps", "Filename Type\n/dev/sdb1 partition 1 0 -2", "sdb1 is swap space"),
        (&format!("{sdb}/sdb1/holders/dm-0/x"), "", "sdb1 belongs to dm-0"),
        (&format!("{sdb}/holders/md0/x"), "", "sdb belongs to md0"),
        (&format!("{sdb}/removable"), "0", "sdb is not removable"),
        (&format!("{sdb}/ro"), "1", "sdb is write-protected"),
        (&format!("{sdb}/size"), "0", "sdb has no medium"),
        (&format!("{sdb}/size"), "134217729", "more than 64.00 GiB; if it is meant, give --largest"),
        (&format!("{sdb}/queue/logical_block_size"), "4096", "sectors of 4096 bytes"),
    ] {
        let fake = Fake::new();
        fake.set(file, text);
        let line = fake.refusal();
        assert!(line.starts_with("--to /dev/sdb: ") && line.contains(wanted), "{file}: {line}");
    }
    let partition = one_line(&Fake::new().check((8, 17)).unwrap_err());
    assert!(partition.contains("sdb1 is a partition; give the whole drive, /dev/sdb"), "{partition}");
    assert!(one_line(&Fake::new().check((8, 32)).unwrap_err()).contains("no such drive"));
    let blind = Fake::new();
    fs::remove_dir_all(blind.folder.path().join("proc/self")).unwrap();
    assert!(blind.check((8, 16)).is_err(), "without mounts nobody knows");
}

#[test]
fn a_drive_is_overwritten_under_its_own_name_only() {
    let target = Target::Drive(Fake::new().check((8, 16)).unwrap());
    let confirm = |name: &str| {
        let words = ["xtask", "flash", "--board", "b", "--to", "/dev/sdb", "--yes-erase", name];
        match Cli::try_parse_from(words).unwrap().command {
            Command::Flash(args) => target.confirm(&args, "all is lost"),
            other => panic!("{other:?}"),
        }
    };
    confirm("sdb").unwrap();
    for wrong in ["sda", "sdb1", "/dev/sdb", ""] {
        assert!(one_line(&confirm(wrong).unwrap_err()).contains("is not `sdb`; nothing was written"));
    }
}

/// A drive in memory: it goes away after so many writes, or changes a byte on its own.
struct Stick {
    bytes: Vec<u8>,
    writes_left: usize,
    wrong_at: Option<usize>,
}

impl Medium for Stick {
    fn put(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.writes_left = self.writes_left.checked_sub(1).ok_or_else(|| io::Error::from_raw_os_error(5))?;
        self.bytes[usize::try_from(at).unwrap()..][..bytes.len()].copy_from_slice(bytes);
        if let Some(at) = self.wrong_at {
            self.bytes[at] = 0xa5;
        }
        Ok(())
    }

    fn get(&mut self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        Ok(self.bytes[usize::try_from(at).unwrap()..][..length].to_vec())
    }
}

/// Two pieces as of a drive of ten MiB, smaller than a real partition.
fn pieces() -> Vec<Piece> {
    let head = Piece { at: "0".into(), bytes: Some(noise(4 * MARGIN, 7)) };
    vec![head, Piece { at: (9 * MARGIN).to_string(), bytes: Some(noise(MARGIN, 9)) }]
}

#[test]
fn a_drive_that_is_pulled_out_holds_no_half_system() {
    let old = noise(10 * MARGIN, 5);
    let wanted = pieces();
    let head = wanted[0].bytes.as_ref().unwrap();
    // Two writes clear the old tables, and five are the pieces.
    for writes_left in 0..=7 {
        let mut stick = Stick { bytes: old.clone(), writes_left, wrong_at: None };
        let result = drive::write(&mut stick, &wanted, &Progress::Silent);
        let table = &stick.bytes[..MARGIN];
        if writes_left == 7 {
            result.unwrap();
            assert!(table == &head[..MARGIN] && stick.bytes[4 * MARGIN..9 * MARGIN] == old[4 * MARGIN..9 * MARGIN]);
            continue;
        }
        let line = one_line(&result.unwrap_err());
        assert!(
            line.contains("cannot write at") && line.contains("flash it again") && line.contains("Input/output"),
            "{line}"
        );
        let is_old = stick.bytes == old;
        assert!(if writes_left == 0 { is_old } else { table.iter().all(|byte| *byte == 0) }, "after {writes_left}");
    }
}

#[test]
fn a_drive_that_holds_something_else_than_was_written_is_noticed() {
    for wrong_at in [0, 2 * MARGIN + 17, 10 * MARGIN - 1] {
        let mut stick = Stick { bytes: vec![0; 10 * MARGIN], writes_left: 100, wrong_at: Some(wrong_at) };
        let error = drive::write(&mut stick, &pieces(), &Progress::Silent).unwrap_err();
        assert_eq!(status_of(&error), Exit::Fail);
        assert!(one_line(&error).contains("reads back as other bytes"), "{error:#}");
    }
}

#[test]
fn drives_without_serial_numbers_do_not_lose_each_others_backups() {
    let store = tempfile::tempdir().unwrap();
    let fake = Fake::new();
    fake.set("sys/devices/usb1/1-4/serial", "");
    let identity = fake.check((8, 16)).unwrap().identity();
    let keep = |now: &[Piece]| Backup::keep(store.path(), &identity, now, &pieces());
    let mut first = pieces();
    first[0].bytes = Some(noise(4 * MARGIN, 1));
    // Interrupted: the next one is the same drive, whatever it holds by now.
    keep(&first).unwrap();
    keep(&pieces()).unwrap().finish().unwrap();
    // The same drive again, then another one.
    keep(&pieces()).unwrap().finish().unwrap();
    let mut second = pieces();
    second[0].bytes = Some(noise(4 * MARGIN, 2));
    let line = one_line(&keep(&second).unwrap_err());
    assert!(line.contains("neither what was flashed nor its backup"), "{line}");
    assert_eq!(Backup::find(store.path(), &identity).unwrap().kept().unwrap(), first);
}

/// A loop device, which is a drive to all but `removable`.
struct Loop(PathBuf);

impl Loop {
    fn new(file: &Path) -> Option<Self> {
        let losetup = tool("losetup")?;
        let (is_there, text) = output(&losetup, &["-f", "--show", file.to_str().unwrap()]);
        if !is_there {
            println!("skipped: no loop device: {text}");
        }
        is_there.then(|| Self(text.trim().into()))
    }

    /// The drive, as a kernel that calls it removable would have it.
    fn drive(&self) -> Drive {
        use std::os::unix::fs::MetadataExt;
        let number = fs::metadata(&self.0).unwrap().rdev();
        let number = (rustix::fs::major(number), rustix::fs::minor(number));
        let error = Drive::check(&System::default(), &self.0, number, LARGEST).unwrap_err();
        assert!(one_line(&error).contains("is not removable"), "{error:#}");
        let fake = Fake::new();
        let real = Path::new("/sys/class/block").join(self.0.file_name().unwrap());
        for file in ["dev", "size", "queue/logical_block_size"] {
            let text = fs::read_to_string(real.join(file)).unwrap();
            fake.set(&format!("sys/class/block/sdb/{file}"), text.trim());
        }
        Drive { path: self.0.clone(), ..fake.check(number).unwrap() }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // Detached once nobody has it open.
        let _ = output(&tool("losetup").unwrap(), &["-d", self.0.to_str().unwrap()]);
    }
}

#[test]
fn a_block_device_is_written_read_back_and_restored() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stick");
    let old = noise(48 * MARGIN, 3);
    fs::write(&path, &old).unwrap();
    let Some(device) = Loop::new(&path) else { return };
    let target = Target::Drive(device.drive());
    flash(&target, &files(), folder.path(), &Progress::Silent).unwrap();

    let volume = fat::volume(&files()).unwrap();
    let disk = disk::with_partition(&volume, fat::identity(&files()), old.len() as u64).unwrap();
    let new = fs::read(&path).unwrap();
    let tail_at = usize::try_from(disk.tail_at()).unwrap();
    assert!(new[..disk.head.len()] == disk.head && new[tail_at..] == disk.tail);
    assert!(new[disk.head.len()..tail_at] == old[disk.head.len()..tail_at], "what the disk does not need stays");

    // Held by somebody who asks for it alone, it is in use; then the second flash keeps what was there first.
    let held = File::options().read(true).custom_flags_exclusive().open(&device.0).unwrap();
    let error = flash(&target, &files(), folder.path(), &Progress::Silent).unwrap_err();
    assert!(one_line(&error).contains("is in use by the system"), "{error:#}");
    drop(held);
    flash(&target, &files(), folder.path(), &Progress::Silent).unwrap();
    restore(&target, folder.path(), &Progress::Silent).unwrap();
    assert!(fs::read(&path).unwrap() == old);
}

trait Exclusive {
    fn custom_flags_exclusive(&mut self) -> &mut Self;
}

impl Exclusive for fs::OpenOptions {
    fn custom_flags_exclusive(&mut self) -> &mut Self {
        use std::os::unix::fs::OpenOptionsExt;
        self.custom_flags(i32::try_from(rustix::fs::OFlags::EXCL.bits()).unwrap())
    }
}

#[test]
fn a_block_device_that_fails_is_noticed_and_restored_later() {
    // Its backing store is full after 20 MiB: from there on the kernel has input and output errors.
    let Some(small) = is_root().then(|| Tmpfs::new(20 << 10)).flatten() else { return };
    let path = small.path().join("stick");
    File::create(&path).unwrap().set_len(48 * MARGIN as u64).unwrap();
    let Some(device) = Loop::new(&path) else { return };
    let target = Target::Drive(device.drive());
    let store = tempfile::tempdir().unwrap();
    let error = flash(&target, &files(), store.path(), &Progress::Silent).unwrap_err();
    let line = one_line(&error);
    assert_eq!(status_of(&error), Exit::Usage);
    assert!(line.starts_with("sdb: cannot write at ") && line.contains("Input/output error"), "{line}");
    assert!(fs::read(&path).unwrap()[..MARGIN].iter().all(|byte| *byte == 0), "no partition table");
    // With room again, what was there comes back: nothing.
    let grown = output(Path::new("mount"), &["-o", "remount,size=64m", small.path().to_str().unwrap()]);
    assert!(grown.0, "{}", grown.1);
    restore(&target, store.path(), &Progress::Silent).unwrap();
    assert!(fs::read(&path).unwrap().iter().all(|byte| *byte == 0));
}
