//! What `flash` leaves is started by firmware alone, from a drive: no image, no option and no table comes from QEMU.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Parser;

use super::Case;
use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::session::{Ended, Session};
use crate::cli::{Cli, Command, InstallArgs};
use crate::run::{self, Progress};
use crate::{boards, lock, setup};

/// What is asked for. The drive is the payload's only by this option that it finds there: the boot disk stays its own.
pub(super) const ASKED: &str = "--scenario adopt --cycles 2 --option deny=0000:00:05.0";
/// The machine's own table once more; only its origin tells.
const IORT: &str = "ci/fixtures/qemu-virt/IORT.aml";

/// All of them.
pub fn all() -> Vec<Case> {
    vec![
        Case::new("flash-file-nvme", |session| {
            let image = session.folder.with_extension("img");
            flash(session, &image, ASKED)?;
            let drive = format!("if=none,id=esp,format=raw,file={}", image.display());
            let ended = boot(session, ASKED, &drive, "nvme,serial=esp,drive=esp,bus=pcie.0,addr=5.0,bootindex=0")?;
            as_asked(&ended)?;
            expect::adopted(expect::run(&ended, "adopt")?)
        }),
        Case::new("flash-file-usb-iort", |session| {
            let image = session.folder.with_extension("img");
            let asked = format!("{ASKED} --iort {IORT}");
            flash(session, &image, &asked)?;
            let drive =
                format!("if=none,id=esp,format=raw,file={} -device qemu-xhci,bus=pcie.0,addr=5.0", image.display());
            let ended = boot(session, &asked, &drive, "usb-storage,drive=esp,bootindex=0")?;
            as_asked(&ended)?;
            // The board's RMR node is added to the firmware's table, and to no other.
            let iort = &ended.report()?["platform"]["iort"];
            ensure(iort["origin"] == "file", || format!("not the table beside the image: {iort}"))
        }),
        Case::new("flash-folder", |session| {
            let folder = session.folder.with_extension("esp");
            let own = folder.join("EFI/BOOT/BOOTAA64.EFI");
            let prepared = clear(&folder).and_then(|()| fs::create_dir_all(folder.join("EFI/BOOT")));
            prepared.and_then(|()| fs::write(&own, "another loader")).map_err(|error| error.to_string())?;
            flash(session, &folder, ASKED)?;
            let drive = format!("if=none,id=esp,file=fat:rw:{}", folder.display());
            let ended =
                boot(session, ASKED, &drive, "virtio-blk-pci,drive=esp,bus=pcie.0,addr=5.0,bootindex=0,romfile=")?;
            as_asked(&ended)?;
            expect::adopted(expect::run(&ended, "adopt")?)?;
            let ended = session.run(&words(&format!("flash --board qemu-virt --restore --to {}", folder.display())))?;
            expect::status(&ended, 0)?;
            ensure(fs::read(&own).is_ok_and(|text| text == b"another loader"), || "the old loader is not back".into())?;
            ensure(!folder.join("inflight.txt").exists(), || "the options are still there".into())
        }),
        Case::new("flash-nowhere", |session| {
            let absent = session.folder.join("stik").display().to_string();
            for (to, words) in [("/dev/inflight-sdz", "there is no such drive"), (&*absent, "nothing is there")] {
                let ended = session.run(&self::words(&format!("flash --board qemu-virt --to {to}")))?;
                expect::status(&ended, 2)?;
                ensure(ended.stderr.contains(words) && !Path::new(to).exists(), || ended.stderr.clone())?;
            }
            Ok(())
        }),
        Case::new("flash-interrupted", interrupted),
        Case::new("flash-one-at-a-time", |session| {
            let locks = session.folder.with_extension("state").join("inflight");
            let _held = lock::take(&locks, "board qemu-virt").map_err(|error| error.to_string())?;
            let image = session.folder.with_extension("img");
            let ended = session.run(&words(&format!("flash --board qemu-virt --to {}", image.display())))?;
            expect::status(&ended, 2)?;
            let wanted = format!("error: board qemu-virt is in use by another command, process {}", std::process::id());
            ensure(ended.stderr.starts_with(&wanted), || ended.stderr.clone())?;
            ensure(!image.exists(), || "it wrote the image all the same".into())
        }),
    ]
}

/// Ctrl-C while the image is written: it is there whole or not at all, and nothing is left beside it.
fn interrupted(session: &Session<'_>) -> Expected {
    let folder = session.folder.with_extension("images");
    clear(&folder).and_then(|()| fs::create_dir_all(&folder)).map_err(|error| error.to_string())?;
    let image = folder.join("stick.img");
    let running = session.start(&words(&format!("flash --board qemu-virt --to {}", image.display())))?;
    let begin = Instant::now();
    while fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_none()) {
        ensure(begin.elapsed() < session.deadline, || "it writes nothing".into())?;
        std::thread::sleep(Duration::from_millis(1));
    }
    running.interrupt()?;
    let ended = running.wait()?;
    let names: Vec<_> = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    match ended.status {
        Some(130) => ensure(names.is_empty() && ended.stderr.contains("error: stopped by Ctrl-C"), || {
            format!("left: {names:?}\n{}", ended.stderr)
        }),
        // A host that is this fast was done already.
        Some(0) => ensure(names == ["stick.img"], || format!("left: {names:?}")),
        other => Err(format!("exit status {other:?}: {}", ended.stderr)),
    }
}

fn clear(folder: &Path) -> std::io::Result<()> {
    if folder.exists() { fs::remove_dir_all(folder) } else { Ok(()) }
}

fn flash(session: &Session<'_>, to: &Path, asked: &str) -> Expected {
    // An earlier test may have left a backup of what is now no longer there.
    clear(&session.folder.with_extension("state")).map_err(|error| error.to_string())?;
    let ended = session.run(&words(&format!("flash --board qemu-virt --to {} {asked}", to.display())))?;
    expect::status(&ended, 0)?;
    ensure(ended.stdout.contains("read back as written"), || ended.stdout.clone())?;
    ensure(ended.stderr.contains("/s"), || format!("no rate in:\n{}", ended.stderr))
}

/// Boots the machine from a drive and its device, and has the host judge it by what was asked for.
pub(super) fn boot(session: &Session<'_>, asked: &str, drive: &str, device: &str) -> Result<Ended, String> {
    let mut job = from_drive(&format!("--board qemu-virt {asked}"), drive, device)?;
    job.folder = session.report();
    let booted = run::boot(&job, &Progress::Silent).map_err(|error| wrong(&error))?;
    let status = crate::report::exit_of(booted.report.outcome) as i32;
    let report = serde_json::to_value(&booted.report).map_err(|error| wrong(&error))?;
    Ok(Ended { status: Some(status), stdout: String::new(), stderr: String::new(), report: Some(report) })
}

/// A boot as `run` with these arguments would start it, but that firmware finds the image on a drive, by its device.
pub(super) fn from_drive(arguments: &str, drive: &str, device: &str) -> Result<run::Job, String> {
    let args =
        match Cli::try_parse_from(words(&format!("xtask run {arguments}"))).map_err(|error| wrong(&error))?.command {
            Command::Run(args) => args,
            _ => return Err("`run` is not `run`".into()),
        };
    let board = boards::load(&args.board).map_err(|error| wrong(&error))?;
    let host = setup::ensure(&board, &InstallArgs::default()).map_err(|error| wrong(&error))?;
    let mut job = run::prepare(&args, host, Path::new("").into()).map_err(|error| wrong(&error))?;
    job.image = None;
    job.qemu_args = words(&format!("-drive {drive} -device {device}"));
    Ok(job)
}

fn wrong(error: &dyn std::fmt::Display) -> String {
    format!("cannot boot: {error:#}")
}

/// The verdict, and two things that only the options on the drive can have brought about.
pub(super) fn as_asked(ended: &Ended) -> Expected {
    expect::outcome(ended, 0, "pass")?;
    let run = expect::run(ended, "adopt")?;
    ensure(expect::runs(ended)?.len() == 1 && run["cycles"] == 2, || format!("not two cycles of adopt: {run}"))
}
