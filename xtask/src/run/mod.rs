//! `run`: from the command line to a boot and its verdict.

mod boot;
mod bring;
mod command;
mod hardware;
mod inject;
mod log;
pub mod options;
mod progress;
mod provenance;
mod qemu;
mod qmp;
mod sender;
mod soak;
#[cfg(test)]
mod tests;
mod watch;

pub use boot::{Job, boot};
pub use command::quoted;
pub use hardware::switch_on;
pub use inject::Injection;
pub use options::Options;
pub use progress::Progress;
pub use provenance::{artifact_of as artifact, sha256, utc};
pub use qemu::Emulator;
pub use qmp::Qmp;
pub use sender::Line;
pub use soak::{Span, is_stopped, listen};
pub use watch::takes_frames;

use std::path::{Path, PathBuf};

use board::waivers::Waiver;
use board::{Board, Limits, Serial, Way};
use scenario::{Crash, Damage, Scenario, Work};

use crate::cli::RunArgs;
use crate::exit::{Exit, usage};
use crate::flash::{self, netboot, uboot};
use crate::report::{self, exit_of, terminal};
use crate::setup::Host;
use crate::{boards, build, setup, workspace};

/// A table file is at least a header (ACPI 6.5, 5.2.6) and the IORT's own fields (IORT E.e, 2), and never this big.
const IORT_BYTES: std::ops::RangeInclusive<u64> = 48..=4 << 20;

/// A kernel takes over what died in order.
const WITNESS: Work = Work::Witness { damage: Damage::NONE, crash: Crash::Jump };
/// A distribution's kernel boots in 5 to 20 s on an emulator that has a CPU for itself.
const KERNEL_SECONDS: u64 = 120;
/// It says nothing while it unpacks a large initrd, or waits for a device that died.
const KERNEL_SILENCE: u64 = 60;

/// `cargo xtask run`.
pub fn run(args: &RunArgs) -> anyhow::Result<Exit> {
    if args.list_scenarios {
        list_scenarios();
        return Ok(Exit::Pass);
    }
    // All that can be wrong with the input is said before anything is built or started.
    let board = boards::load(&args.board)?;
    let options = options::of(&args.payload, &args.inject, &board)?;
    let waivers = report::load_waivers(args.waivers.as_deref())?;
    if let Some(iort) = &args.payload.iort {
        check_iort(iort)?;
    }
    if args.print_command {
        return print_command(args, board, options);
    }
    options.guest.iter().flat_map(|guest| guest.lines()).for_each(|line| crate::exit::tell!("{line}"));
    // A board that is reached over a line is no emulated one, whatever it extends.
    if let Some(serial) = &board.serial {
        return on_hardware(args, &board, serial, &options, &waivers);
    }
    if board.qemu.is_none() {
        let name = &board.name;
        return Err(usage(format!(
            "board {name}: nobody said how to reach it; put [serial] and [power] into a file of your own that `extends` it"
        )));
    }
    // Closed again: whether it opens is what has to be known before anything is built.
    drop(Line::of(&board)?);
    let is_own = |name: &&String| !is_witness(name) && all_work().all(|work| work.to_string() != **name);
    for name in options.request.scenarios.iter().filter(is_own) {
        crate::exit::tell!(
            "note: {name} is not in --list-scenarios: its parts are judged as if nothing came of both together"
        );
    }
    if census_is_late(&options.request.scenarios) {
        crate::exit::tell!(
            "note: census comes after other scenarios, which stop every endpoint: what was left running before them it cannot see"
        );
    }
    let progress = Progress::new();
    progress.phase("look for QEMU and its firmware");
    let host = setup::ensure(&board, &args.install)?;
    progress.phase("build both images");
    let images = build::images()?;
    let image = board.qemu.as_ref().map_or(images.file.clone(), |machine| images.for_machine(machine).to_owned());
    let mut job = job(args, board, options, host, image);
    job.waivers = waivers;
    if job.span.is_some() {
        listen()?;
    }
    let boot = boot(&job, &progress)?;
    drop(progress);
    terminal::print(&boot.report, &job.folder);
    crate::exit::say!("{:.2} s, {:.2} s of CPU", boot.wall.as_secs_f64(), boot.cpu.as_secs_f64());
    Ok(exit_of(boot.report.outcome))
}

/// Runs what was brought to the board before, or, by U-Boot and from a network, what is brought there now: it lies in memory only.
fn on_hardware(
    args: &RunArgs,
    board: &Board,
    serial: &Serial,
    options: &Options,
    waivers: &[Waiver],
) -> anyhow::Result<Exit> {
    if let Some(first) = args.qemu_args.first() {
        return Err(usage(format!("{first}: arguments for QEMU, and board {} is none of QEMU's", board.name)));
    }
    if !args.inject.is_empty() {
        return Err(usage("--inject: errors are injected by QEMU's monitor only"));
    }
    let (folder, limits) = (workspace::output(&args.report), limits(args, board));
    let kernel_silence = kernel_silence(args, limits);
    let is_by = |way| board.flash.as_ref().is_some_and(|flash| flash.way == way);
    let (payload, to) = (&args.payload, flash::own_target(board));
    let plan = is_by(Way::Uboot).then(|| uboot::Plan::of(payload, board, to.as_deref(), None, None)).transpose()?;
    let serving =
        is_by(Way::Netboot).then(|| netboot::Plan::of(payload, board, to.as_deref(), None, None)).transpose()?;
    let progress = Progress::new();
    let plan = plan.map(|plan| plan.begin(&progress)).transpose()?;
    let serving = serving.map(|plan| plan.begin(board, &progress)).transpose()?;
    let job = hardware::Job {
        board,
        serial,
        options,
        plan: plan.as_ref(),
        serving: serving.as_ref(),
        span: args.payload.span,
        limits,
        kernel_silence,
        waivers,
        folder: &folder,
    };
    // The board must not stay on when somebody ends this.
    listen()?;
    let boot = hardware::boot(&job, &progress)?;
    drop(progress);
    terminal::print(&boot.report, &folder);
    crate::exit::say!("{:.2} s", boot.wall.as_secs_f64());
    Ok(exit_of(boot.report.outcome))
}

fn limits(args: &RunArgs, board: &Board) -> Limits {
    let soak_seconds = args.payload.span.map_or(0, |span| span.0.as_secs());
    let witnesses = args.payload.scenario.iter().filter(|name| is_witness(name)).count() as u64;
    let kernel_seconds = witnesses * u64::from(args.payload.cycles) * KERNEL_SECONDS;
    let boot_seconds = board.limits.boot_seconds.saturating_add(soak_seconds).saturating_add(kernel_seconds);
    let silence = board.limits.silence_seconds;
    let silence_seconds = if witnesses == 0 { silence } else { silence.max(KERNEL_SILENCE) };
    Limits { boot_seconds: args.timeout.unwrap_or(boot_seconds), silence_seconds }
}

/// How long a kernel may show nothing new before it hangs, in seconds: as long as a board may be silent, or half of what the user
/// gives the boot.
fn kernel_silence(args: &RunArgs, limits: Limits) -> u64 {
    args.timeout.map_or(limits.silence_seconds, |seconds| seconds.div_ceil(2))
}

/// Prepares a boot as `run` with these arguments does, for tests and measurements.
pub fn prepare(args: &RunArgs, host: Host, image: PathBuf) -> anyhow::Result<Job> {
    let board = boards::load(&args.board)?;
    let options = options::of(&args.payload, &args.inject, &board)?;
    if let Some(iort) = &args.payload.iort {
        check_iort(iort)?;
    }
    Ok(job(args, board, options, host, image))
}

fn job(args: &RunArgs, board: Board, options: Options, host: Host, image: PathBuf) -> Job {
    let limits = limits(args, &board);
    Job {
        board,
        host,
        image: Some(image),
        options,
        span: args.payload.span,
        iort: args.payload.iort.clone(),
        qemu_args: args.qemu_args.clone(),
        injections: args.inject.clone(),
        limits,
        kernel_silence: kernel_silence(args, limits),
        waivers: Vec::new(),
        folder: workspace::output(&args.report),
    }
}

/// Shows what would be started. Nothing is built, installed or looked for beyond the firmware's file.
fn print_command(args: &RunArgs, board: Board, options: Options) -> anyhow::Result<Exit> {
    let Some(qemu) = &board.qemu else { return Ok(Exit::Usage) };
    let found = qemu.firmware.iter().find(|path| path.is_file()).or(qemu.firmware.first());
    let host = Host { qemu: PathBuf::from(&qemu.program), firmware: found.cloned(), version: None };
    let image = build::places().for_machine(qemu).to_owned();
    let job = job(args, board, options, host, image);
    let is_loopback = job.qemu()?.sender.is_some();
    let ports = is_loopback.then(sender::Loopback::open).transpose()?.map(|loopback| loopback.ports());
    // What a kernel is brought in is written by a real run only, into a folder of its own.
    let bringing = job.bringing(Path::new("guest"))?;
    crate::exit::say!("{}", quoted(&job.machine(ports, None, bringing.as_ref())?.command()));
    Ok(Exit::Pass)
}

/// All that can be asked for by name and is documented: what `all` stands for, a kernel's takeover, and the census.
pub fn all_work() -> impl Iterator<Item = Work> {
    Scenario::all().map(Work::Crash).chain([WITNESS, Work::Census])
}

/// In which somebody's kernel takes over.
fn is_witness(name: &str) -> bool {
    matches!(Work::parse(name.trim()), Ok(Work::Witness { .. }))
}

/// A census finds what was left at work before the payload; another scenario stops it.
fn census_is_late(scenarios: &[String]) -> bool {
    scenarios.iter().position(|name| *name == Work::Census.to_string()).is_some_and(|at| at != 0)
}

fn list_scenarios() {
    for work in all_work() {
        let documented = work.documented();
        crate::exit::say!("{work}");
        crate::exit::say!("    expected: {}", documented.expects);
        crate::exit::say!("    source:   {}", documented.source);
        if let Work::Crash(scenario) = work
            && let Some(crash) = scenario.crash.documented()
        {
            crate::exit::say!("    crash:    {}", crash.expects);
            crate::exit::say!("    source:   {}", crash.source);
        }
        crate::exit::say!("    risks:    {}", work.risks());
    }
}

/// Refuses a file that is no IORT at all. What is wrong inside of one is for the payload to find.
pub fn check_iort(path: &Path) -> anyhow::Result<()> {
    let wrong = |what: String| Err(usage(format!("--iort {}: {what}; give a whole ACPI table", path.display())));
    let size = match std::fs::metadata(path) {
        Ok(file) if file.is_file() => file.len(),
        Ok(_) => return wrong("is no file".into()),
        Err(error) => return wrong(error.to_string()),
    };
    if !IORT_BYTES.contains(&size) {
        return wrong(format!("{size} bytes, where an IORT has {} to {}", IORT_BYTES.start(), IORT_BYTES.end()));
    }
    match std::fs::read(path) {
        Ok(bytes) if bytes.starts_with(b"IORT") => Ok(()),
        Ok(bytes) => wrong(format!("signature `{}`, not `IORT`", bytes[..4].escape_ascii())),
        Err(error) => wrong(error.to_string()),
    }
}
