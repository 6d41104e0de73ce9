//! One boot of an emulated machine, from its start to a report.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use board::waivers::Waiver;
use board::{Board, Image, Limits, Qemu};

use super::bring::Bringing;
use super::command::Machine;
use super::inject::Injection;
use super::log;
use super::options::Options;
use super::progress::Progress;
use super::provenance;
use super::qemu::Emulator;
use super::qmp::Monitor;
use super::sender::Line;
use super::soak::{Soak, Span};
use super::watch::{End, GRACE, Watch, reader};
use crate::build;
use crate::exit::usage;
use crate::report::{CONSOLE_LOG, Report};
use crate::setup::Host;

/// What the emulator itself says: its messages, and traces where they are not sent elsewhere.
pub const MESSAGES: &str = "qemu.log";
/// Why a raw image says nothing at all.
const MUTE: &str = "; a raw image without a word found no devicetree (2 MiB at most), or one that names no console";

/// A boot, ready to start.
#[derive(Clone, Debug)]
pub struct Job {
    /// The board; it has an emulated machine.
    pub board: Board,
    /// Emulator and firmware.
    pub host: Host,
    /// The primary image. `None`: firmware finds it, options and table on a drive of `qemu_args`, as `flash` left them.
    pub image: Option<PathBuf>,
    /// What the payload is told.
    pub options: Options,
    /// How long it goes on, where it goes by time.
    pub span: Option<Span>,
    /// A table that replaces the firmware's IORT.
    pub iort: Option<PathBuf>,
    /// Arguments of the user for the emulator.
    pub qemu_args: Vec<String>,
    /// Errors to inject.
    pub injections: Vec<Injection>,
    /// Deadlines.
    pub limits: Limits,
    /// How long a kernel may show nothing new, in seconds.
    pub kernel_silence: u64,
    /// Deviations that are accepted.
    pub waivers: Vec<Waiver>,
    /// Where console.log and the report go.
    pub folder: PathBuf,
}

/// A boot that ended.
#[derive(Debug)]
pub struct Boot {
    /// What it told, judged.
    pub report: Report,
    /// From the emulator's start to its end.
    pub wall: Duration,
    /// The emulator's user and system time.
    pub cpu: Duration,
    /// When each cycle had told its end, on this host's clock.
    pub cycle_ends: Vec<Instant>,
}

impl Job {
    /// The emulated machine of the board.
    pub fn qemu(&self) -> anyhow::Result<&Qemu> {
        let name = &self.board.name;
        self.board.qemu.as_ref().ok_or_else(|| usage(format!("board {name} has no [qemu] section")))
    }

    /// The emulator's command line. `ports` are the emulator's and the sender's, `monitor` is the socket of its monitor,
    /// `bringing` what it is given for a kernel.
    pub fn machine<'a>(
        &'a self,
        ports: Option<(u16, u16)>,
        monitor: Option<&'a Path>,
        bringing: Option<&'a Bringing>,
    ) -> anyhow::Result<Machine<'a>> {
        Ok(Machine {
            qemu: self.qemu()?,
            program: &self.host.qemu,
            firmware: self.host.firmware.as_deref(),
            image: self.image.as_deref(),
            options: &self.options.text,
            iort: self.iort.as_deref(),
            ports,
            reboots: self.board.watchdog.is_some(),
            monitor,
            bringing,
            more: &self.qemu_args,
        })
    }

    /// How the kernel that was asked for comes into the machine, by way of this folder.
    pub fn bringing(&self, folder: &Path) -> anyhow::Result<Option<Bringing>> {
        let Some(guest) = &self.options.guest else { return Ok(None) };
        let witness = std::fs::metadata(build::places().witness).map_or(0, |file| file.len());
        Bringing::of(self.qemu()?, &self.options, guest.bundle_bytes(witness), folder).map(Some)
    }

    /// Writes that, and tells how to start the machine with it.
    fn bring(&self, folder: &Path) -> anyhow::Result<Option<Bringing>> {
        let bringing = self.bringing(folder)?;
        if let (Some(bringing), Some(guest), Some(image)) = (&bringing, &self.options.guest, &self.image) {
            bringing.write(guest, &build::places().witness, image, self.iort.as_deref())?;
        }
        Ok(bringing)
    }

    /// Opens the line that the machine's network cards are fed by, if the board names one.
    pub fn line(&self) -> anyhow::Result<Option<Line>> {
        Line::of(&self.board)
    }
}

/// Boots, captures, judges and writes the report.
pub fn boot(job: &Job, progress: &Progress) -> anyhow::Result<Boot> {
    let folder = &job.folder;
    let messages = folder.join(MESSAGES);
    let line = job.line()?;
    let ports = line.as_ref().and_then(Line::ports);
    let monitor = Monitor::of(&job.injections)?;
    let brought = tempfile::tempdir().context("cannot create a temporary folder")?;
    let bringing = job.bring(brought.path())?;
    let command = job.machine(ports, monitor.as_ref().map(|monitor| &*monitor.socket), bringing.as_ref())?.command();
    let mut request = job.options.request.clone();
    request.provenance = Some(Box::new(provenance::of(job, &command)));
    let log = log::begin(folder, &request)?;
    progress.phase("start of the firmware");
    let start = Instant::now();
    let (emulator, console) = Emulator::start(&command, log::create(&messages)?)?;
    let soak = job.span.map(|span| Soak::new(start, span));
    let kernel_silence = Duration::from_secs(job.kernel_silence);
    let mut watch = Watch { monitor, soak, kernel_silence, ..Watch::new(log, &request, line, progress) };
    let stopped = watch.follow(&reader(console), start, job.limits)?;
    let has_ended = watch.capture.has_ended();
    let is_to_wait = stopped.is_none() && watch.end != Some(End::StaysOn) && !watch.is_stopped;
    let ended = emulator.end(if is_to_wait { GRACE } else { Duration::ZERO })?;
    let wall = start.elapsed();
    // An emulator that refuses the user's arguments has started no machine.
    if !job.qemu_args.is_empty() && stopped.is_none() && !watch.is_alive && ended.status.code() == Some(1) {
        // A log without a boot would be taken for a lost one; a file that stays does no more harm than that.
        let _ = std::fs::remove_file(folder.join(CONSOLE_LOG));
        return Err(usage(format!("QEMU does not start{}", said(&messages))));
    }
    let lost = match stopped {
        Some(reason) => Some(reason),
        None if has_ended || watch.is_stopped => None,
        None => Some(format!("QEMU ended ({}){}", ended.status, said(&messages))),
    };
    // A raw image that cannot read its devicetree knows no console to say so.
    let is_mute = !watch.is_alive && job.qemu()?.image == Image::Raw;
    let lost = lost.map(|reason| if is_mute { reason + MUTE } else { reason });
    if std::fs::metadata(&messages).is_ok_and(|file| file.len() == 0) {
        // Nothing was said: nothing to keep. A file that stays does no harm.
        let _ = std::fs::remove_file(&messages);
    }
    let cycle_ends = std::mem::take(&mut watch.cycle_ends);
    let report = watch.finish(folder, lost, &job.waivers)?;
    Ok(Boot { report, wall, cpu: ended.cpu, cycle_ends })
}

/// The last line that the emulator said, for one line of our own.
fn said(messages: &Path) -> String {
    let bytes = std::fs::read(messages).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.map(|line| format!(": {line}")).unwrap_or_default()
}
