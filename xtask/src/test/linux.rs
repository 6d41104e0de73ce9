//! Kernels that people run take over, and are watched: Debian's, as its packages have them, with an initrd of one program.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::cases::{hex, words};
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
        with(OLD, Case::new("witness-debian-sbsa", |session| reset(session, OLD, "qemu-sbsa"))),
        with(OLD, Case::new("witness-debian-smp", two_cpus)),
        with(OLD, Case::new("witness-debian-gicv2", gicv2)),
        with(OLD, Case::new("witness-hang", hang)),
        with(OLD, Case::new("witness-hang-idle", idle)),
        Case { lacks: || setup::lacks_qemu((11, 0)), ..with(OLD, Case::new("witness-debian-two-smmus", two_smmus)) },
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

/// A released kernel resets the SMMU, gets to user space as a crash kernel, and powers off; each of its register accesses is in QEMU's
/// own trace. The log alone says the same again.
fn reset(session: &Session<'_>, suite: &str, board: &str) -> Expected {
    let linux = setup::linux::get(suite).map_err(|error| format!("{error:#}"))?;
    let initrd = initrd(&linux.busybox, &session.folder.with_extension("initrd"), "poweroff -f")?;
    let ended = session.run_with_witness(&arguments(board, &[&linux.kernel, &initrd], ""), false)?;
    expect::outcome(&ended, 0, "pass")?;
    let kept = read(&session.report().join("console.log"))?;
    let log = String::from_utf8_lossy(&kept);
    // The size of a `/proc/vmcore` that is there.
    for wanted in ["] Linux version ", MARK, " /proc/vmcore", "Power down"] {
        ensure(log.contains(wanted), || format!("no `{wanted}` on the console"))?;
    }
    ensure(!log.contains("No such file"), || "the kernel has no /proc/vmcore: it is no crash kernel".into())?;
    let run = expect::run(&ended, "witness")?;
    let witness = &run["witness"];
    let told = (&witness["profile"], &witness["ended"], &witness["violations"]);
    ensure(told == (&json!("RESET"), &json!("off"), &json!([])), || format!("{told:?}"))?;
    // Its probe alone is 37 (corpus: the reference sequence and the ID registers).
    ensure(witness["accesses"].as_u64() >= Some(37), || format!("{} accesses", witness["accesses"]))?;
    let (kernel, way) = (&witness["kernel"], if board == "qemu-virt" { "UEFI" } else { "devicetree" });
    let is_told = kernel["version"].as_str().is_some_and(|version| version.starts_with("Linux version "));
    ensure(is_told && kernel["way"] == way && kernel["sha256"].as_str().map(str::len) == Some(64), || {
        format!("the report does not say which kernel it was: {kernel}")
    })?;
    for stream in expect::array(run, "streams")? {
        expect::delivered(stream, "before")?;
        let lost = expect::count(stream, "after", if stream["rmr"] == true { "attempted" } else { "blocked" });
        ensure(lost.is_some_and(|units| units > 0), || format!("stream {} after: {}", stream["bdf"], stream["after"]))?;
    }
    let log = session.folder.with_extension("log");
    std::fs::write(&log, kept).map_err(|error| error.to_string())?;
    let again = session.run(&words(&format!("report {}", log.display())))?;
    expect::outcome(&again, 0, "pass")?;
    let again = &expect::run(&again, "witness")?["witness"];
    ensure(again == witness, || format!("the log alone says {again}, and not {witness}"))
}

/// A kernel with two CPUs takes each off and on again, then the first one off, and ends by a reset on the other: both are back before
/// the next crash, which takes the second. The kernel after it finds no LPIs of an earlier one, whose tables lay in the same memory.
fn two_cpus(session: &Session<'_>) -> Expected {
    let linux = setup::linux::get(OLD).map_err(|error| format!("{error:#}"))?;
    let turn = |cpu: u8, on: u8| format!("echo {on} >/sys/devices/system/cpu/cpu{cpu}/online");
    let turns = [turn(1, 0), turn(1, 1), turn(0, 0), turn(0, 1), turn(0, 0)].join(" && ");
    // Restarts at once, on the CPU that asks.
    let script = format!("sh -c '{turns} && echo b >/proc/sysrq-trigger'");
    let initrd = initrd(&linux.busybox, &session.folder.with_extension("initrd"), &script)?;
    let more = "--scenario witness,adopt@other-cpu --cycles 2 --cmdline nr_cpus=2";
    let ended = session.run(&arguments("qemu-virt-dt", &[&linux.kernel, &initrd], more))?;
    expect::outcome(&ended, 0, "pass")?;
    let log = read(&session.report().join("console.log"))?;
    let log = String::from_utf8_lossy(&log);
    for (cpu, times) in [(1, 2), (0, 4)] {
        let killed = log.matches(&format!("psci: CPU{cpu} killed")).count();
        ensure(killed == times, || format!("CPU {cpu} went off {killed} times, not {times}"))?;
    }
    for (unwanted, what) in [
        ("may not have shut down cleanly", "a CPU that is off did not seem so"),
        ("GICv3: Using preallocated redistributor tables", "LPIs of the first kernel were on for the second"),
    ] {
        ensure(!log.contains(unwanted), || what.into())?;
    }
    let witness = &expect::run(&ended, "witness")?["witness"];
    let told = (&witness["profile"], &witness["ended"], &witness["violations"]);
    ensure(told == (&json!("RESET"), &json!("reset"), &json!([])), || format!("{told:?}"))?;
    let told = (&witness["cpus"], &witness["last"]["cpu"]);
    ensure(told == (&json!(2), &json!("0x1")), || format!("CPUs, and the one it ended on: {told:?}"))?;
    expect::finding(&ended, "several-cpus")
}

/// Interrupts without registers for EL2, and without an ITS: endpoints have none but wired ones.
fn gicv2(session: &Session<'_>) -> Expected {
    let linux = setup::linux::get(OLD).map_err(|error| format!("{error:#}"))?;
    let initrd = initrd(&linux.busybox, &session.folder.with_extension("initrd"), "poweroff -f")?;
    let mut arguments = arguments("qemu-virt-dt", &[&linux.kernel, &initrd], "--cmdline nr_cpus=2");
    arguments.extend(words("-- -machine virt,gic-version=2 -cpu cortex-a72"));
    let ended = session.run(&arguments)?;
    expect::outcome(&ended, 0, "pass")?;
    let witness = &expect::run(&ended, "witness")?["witness"];
    let told = (&witness["profile"], &witness["ended"]);
    ensure(told == (&json!("RESET"), &json!("off")), || format!("{told:?}"))?;
    expect::finding(&ended, "several-cpus")
}

/// Each of two SMMUs is reset, and what is behind either is refused from then on.
fn two_smmus(session: &Session<'_>) -> Expected {
    let linux = setup::linux::get(OLD).map_err(|error| format!("{error:#}"))?;
    let initrd = initrd(&linux.busybox, &session.folder.with_extension("initrd"), "poweroff -f")?;
    let ended = session.run(&arguments("qemu-virt-two-smmus", &[&linux.kernel, &initrd], ""))?;
    expect::outcome(&ended, 0, "pass")?;
    let run = expect::run(&ended, "witness")?;
    let (profile, profiles) = (&run["witness"]["profile"], expect::array(&run["witness"], "profiles")?);
    let each: Vec<_> = profiles.iter().map(|it| (&it["smmu"], &it["profile"])).collect();
    let reset = json!("RESET");
    ensure(*profile == reset && each == [(&json!(0), &reset), (&json!(1), &reset)], || format!("{profile}: {each:?}"))?;
    for stream in expect::array(run, "streams")?.iter().filter(|stream| stream["rmr"] != true) {
        let blocked = expect::count(stream, "after", "blocked");
        ensure(blocked.is_some_and(|units| units > 0), || {
            format!("stream {} after: {}", stream["bdf"], stream["after"])
        })?;
    }
    Ok(())
}

/// A kernel that panics and has not been told to reset spins, and takes its interrupts: the host ends that when nothing new comes,
/// with the last that was seen.
fn hang(session: &Session<'_>) -> Expected {
    let linux = setup::linux::get(OLD).map_err(|error| format!("{error:#}"))?;
    let ended = session.run(&arguments("qemu-virt-dt", &[&linux.kernel], "--timeout 30 --cmdline panic=0"))?;
    let reason = hung(&ended, "panic")?;
    ensure(reason.contains("Kernel panic - not syncing"), || format!("its last words are not told: {reason}"))
}

/// User space that sleeps for ever: the kernel goes on taking its interrupts.
fn idle(session: &Session<'_>) -> Expected {
    let linux = setup::linux::get(OLD).map_err(|error| format!("{error:#}"))?;
    let initrd = initrd(&linux.busybox, &session.folder.with_extension("initrd"), "sleep 100000")?;
    let ended = session.run(&arguments("qemu-virt-dt", &[&linux.kernel, &initrd], "--timeout 30"))?;
    let log = read(&session.report().join("console.log"))?;
    ensure(String::from_utf8_lossy(&log).contains(MARK), || "it did not get to user space".into())?;
    hung(&ended, "hang").map(drop)
}

/// Given up before the boot's own deadline: why, in one line.
fn hung(ended: &Ended, how: &str) -> Result<String, String> {
    expect::outcome(ended, 3, "lost")?;
    let run = expect::run(ended, "witness")?;
    let witness = &run["witness"];
    let told = (&witness["ended"], &witness["profile"], &witness["left"]);
    ensure(told == (&json!(how), &json!("RESET"), &json!(null)), || format!("{told:?}"))?;
    // Each stream as it was a second ago.
    for stream in expect::array(run, "streams")?.iter().filter(|stream| stream["rmr"] != true) {
        let blocked = expect::count(stream, "after", "blocked");
        ensure(blocked.is_some_and(|units| units > 0), || {
            format!("stream {} after: {}", stream["bdf"], stream["after"])
        })?;
    }
    ensure(hex(&witness["last"]["pc"]).is_some_and(|pc| pc >> 63 == 1), || {
        format!("last seen at {}, no address of a kernel", witness["last"])
    })?;
    let reason = ended.report()?["lost"]["reason"].as_str().unwrap_or_default();
    let is_told = reason.starts_with("nothing new of SMMUs, tables and console for ")
        && reason.contains(" s: the kernel that took over hangs");
    ensure(is_told, || format!("lost: {reason}"))?;
    Ok(reason.to_owned())
}

/// To run a kernel, with an initrd where there are two files.
fn arguments(board: &str, files: &[&Path], more: &str) -> Vec<String> {
    let named = ["--kernel", "--initrd"].iter().zip(files);
    let files = named.flat_map(|(option, path)| [(*option).to_owned(), path.display().to_string()]);
    [words(&format!("run --board {board} {more}")), files.collect()].concat()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// An initrd whose program ends with `last`: an archive of cpio (Linux, Documentation/driver-api/early-userspace/buffer-format.rst),
/// packed.
fn initrd(busybox: &Path, at: &Path, last: &str) -> Result<PathBuf, String> {
    const FOLDER: u32 = 0o040_755;
    const FILE: u32 = 0o100_755;
    const CHARACTERS: u32 = 0o020_600;
    let program = read(busybox)?;
    let script = format!(
        "#!/bin/busybox sh\n/bin/busybox mount -t proc proc /proc\n/bin/busybox mount -t sysfs sys /sys\n\
         echo '{MARK}'\n/bin/busybox ls -l /proc/vmcore\n/bin/busybox {last}\n"
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
