//! Kernels that people run take over, and are watched: Debian's, as its packages have them, with an initrd of one program.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::session::{Ended, Session};
use super::{Case, Need};
use crate::setup;

/// Suites with a kernel before and after Debian split its packages.
const OLD: &str = "bookworm-backports";
const NEW: &str = "trixie-backports";
/// What user space says first.
const MARK: &str = "inflight-guest: user space";

/// All of them.
pub fn all() -> Vec<Case> {
    let with = |suite, case| Case { needs: Some(Need::Linux(suite)), deadline: Duration::from_secs(400), ..case };
    vec![
        with(OLD, Case::new("witness-debian", |session| reset(session, OLD, "qemu-virt-dt"))),
        with(NEW, Case::new("witness-debian-acpi", |session| reset(session, NEW, "qemu-virt"))),
        Case::new("witness-refused", refused),
    ]
}

/// What is wrong with a command line or a file is said before anything is started.
fn refused(session: &Session<'_>) -> Expected {
    let text = session.folder.with_extension("txt");
    std::fs::write(&text, "no kernel").map_err(|error| error.to_string())?;
    let kernel = text.display().to_string();
    for (arguments, said) in [
        (format!("run --kernel {kernel}"), "the kernel is cut off: 9 bytes"),
        (format!("run --scenario adopt --kernel {kernel}"), "it takes over in no scenario; add `witness`"),
        ("run --scenario adopt,witness@panic".into(), "--scenario witness@panic: a kernel takes over; say which"),
        (format!("run --initrd {kernel}"), "--kernel <IMAGE>"),
        (format!("run --option guest=0x1000 --kernel {kernel}"), "use --kernel"),
    ] {
        let ended = session.run(&words(&arguments))?;
        expect::status(&ended, 2)?;
        ensure(ended.stderr.contains(said) && ended.stderr.trim().lines().count() == 1, || ended.stderr.clone())?;
        ensure(ended.report.is_none(), || "it wrote a report".into())?;
    }
    Ok(())
}

/// A released kernel resets the SMMU, gets to user space as a crash kernel, and powers off.
fn reset(session: &Session<'_>, suite: &str, board: &str) -> Expected {
    let ended = boot(session, suite, board)?;
    let log = std::fs::read(session.report().join("console.log")).map_err(|error| error.to_string())?;
    let log = String::from_utf8_lossy(&log);
    for wanted in ["] Linux version ", MARK, " /proc/vmcore"] {
        ensure(log.contains(wanted), || format!("no `{wanted}` on the console"))?;
    }
    let request = log.lines().next().unwrap_or_default();
    ensure(request.contains("\"Linux version ") && request.contains("reset_devices panic=1"), || {
        format!("the log does not say which kernel it is of: {request}")
    })?;
    expect::run(&ended, "witness").map(drop)
}

/// Runs it.
fn boot(session: &Session<'_>, suite: &str, board: &str) -> Result<Ended, String> {
    let linux = setup::linux::get(suite).map_err(|error| format!("{error:#}"))?;
    let initrd = initrd(&linux.busybox, &session.folder.with_extension("initrd"))?;
    let mut arguments = words(&format!("run --board {board}"));
    for (option, path) in [("--kernel", &linux.kernel), ("--initrd", &initrd)] {
        arguments.extend([option.to_owned(), path.display().to_string()]);
    }
    session.run(&arguments)
}

/// An initrd: an archive of cpio (Linux, Documentation/driver-api/early-userspace/buffer-format.rst), packed.
fn initrd(busybox: &Path, at: &Path) -> Result<PathBuf, String> {
    const FOLDER: u32 = 0o040_755;
    const FILE: u32 = 0o100_755;
    const CHARACTERS: u32 = 0o020_600;
    let program = std::fs::read(busybox).map_err(|error| error.to_string())?;
    let script = format!(
        "#!/bin/busybox sh\n/bin/busybox mount -t proc proc /proc\n/bin/busybox mount -t sysfs sys /sys\n\
         echo '{MARK}'\n/bin/busybox ls -l /proc/vmcore\n/bin/busybox poweroff -f\n"
    );
    let node = |name: &str, mode| cpio::newc::Builder::new(name).mode(mode);
    let nodes = [
        (node("bin", FOLDER), Vec::new()),
        (node("dev", FOLDER), Vec::new()),
        // What the kernel opens for `init`.
        (node("dev/console", CHARACTERS).rdev_major(5).rdev_minor(1), Vec::new()),
        (node("proc", FOLDER), Vec::new()),
        (node("sys", FOLDER), Vec::new()),
        (node("bin/busybox", FILE), program),
        (node("init", FILE), script.into_bytes()),
    ];
    let nodes = nodes.into_iter().map(|(node, bytes)| (node, Cursor::new(bytes)));
    let failed = |error: std::io::Error| format!("cannot make an initrd: {error}");
    let archive = cpio::write_cpio(nodes, Vec::new()).map_err(failed)?;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&archive).map_err(failed)?;
    std::fs::write(at, packed.finish().map_err(failed)?).map_err(failed)?;
    Ok(at.to_owned())
}
