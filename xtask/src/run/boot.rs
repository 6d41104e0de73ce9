//! One boot of an emulated machine, from its start to a report.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::ChildStdout;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use board::{Board, Image, Limits, Qemu};
use wire::Record;

use super::command::Machine;
use super::inject::{Injection, Moment};
use super::options::Options;
use super::progress::Progress;
use super::qemu::Emulator;
use super::qmp::{MOST_PATH, Qmp};
use super::sender::{Line, Sender};
use super::soak::{self, Soak, Span};
use crate::capture::{Capture, HostLine};
use crate::exit::usage;
use crate::report::{self, CONSOLE_LOG, Report};
use crate::setup::Host;

/// What the emulator itself says: its messages, and traces where they are not sent elsewhere.
pub const MESSAGES: &str = "qemu.log";
/// After the last record the machine has this long to power off.
const GRACE: Duration = Duration::from_secs(3);
/// Why a raw image says nothing at all.
const MUTE: &str = "; a raw image without a word found no devicetree (2 MiB at most), or one that names no console";
/// Number of our only sender in its frames.
const STREAM: u32 = 0;
/// How soon Ctrl-C is noticed.
const CTRL_C: Duration = Duration::from_millis(200);
/// The payload's finding that it cannot power the machine off.
const NO_PSCI: &str = "no-psci";
/// The fault that this side plants.
const SENDER_STOPPED: &str = "sender-stopped";

/// A boot, ready to start.
#[derive(Clone, Debug)]
pub struct Job {
    /// The board; it has an emulated machine.
    pub board: Board,
    /// Emulator and firmware.
    pub host: Host,
    /// The primary image.
    pub image: PathBuf,
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

    /// The emulator's command line. `ports` are the emulator's and the sender's.
    /// `monitor` is the socket of its monitor.
    pub fn machine<'a>(&'a self, ports: Option<(u16, u16)>, monitor: Option<&'a Path>) -> anyhow::Result<Machine<'a>> {
        Ok(Machine {
            qemu: self.qemu()?,
            program: &self.host.qemu,
            firmware: self.host.firmware.as_deref(),
            image: &self.image,
            options: &self.options.text,
            iort: self.iort.as_deref(),
            ports,
            monitor,
            more: &self.qemu_args,
        })
    }

    /// Opens the loopback line that the machine's network card is on, if it has one.
    pub fn line(&self) -> anyhow::Result<Option<Line>> {
        self.qemu()?.sender.as_ref().map(|_| Line::open()).transpose()
    }
}

/// Boots, captures, judges and writes the report.
pub fn boot(job: &Job, progress: &Progress) -> anyhow::Result<Boot> {
    let folder = &job.folder;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut log = own(folder)?;
    report::clear(folder)?;
    let first = HostLine::Request(job.options.request.clone());
    log.write_all(first.write().as_bytes()).context("cannot write the console log")?;
    let messages = folder.join(MESSAGES);

    let line = job.line()?;
    let ports = line.as_ref().map(|line| (line.emulator_port, line.host_port));
    let monitor = Monitor::of(job)?;
    let command = job.machine(ports, monitor.as_ref().map(|monitor| &*monitor.socket))?.command();
    progress.phase("start of the firmware");
    let start = Instant::now();
    let (emulator, console) = Emulator::start(&command, create(&messages)?)?;
    let mut watch = Watch {
        capture: Capture::new(Some(job.options.request.clone())),
        log,
        sender: None,
        rate: job.qemu()?.sender.as_ref().map_or(0, |sender| sender.frames_per_second),
        line,
        is_to_stop: job.options.request.plant.as_deref() == Some(SENDER_STOPPED),
        monitor,
        is_alive: false,
        stays_on: false,
        end: None,
        cycle_ends: Vec::new(),
        soak: job.span.map(|span| Soak::new(start, span)),
        is_stopped: false,
        progress,
    };
    let stopped = watch.follow(console, start, job.limits)?;
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
    if let Some(reason) = &lost {
        let line = HostLine::Lost(reason.clone()).write();
        watch.log.write_all(line.as_bytes()).context("cannot write the console log")?;
    }
    if watch.is_stopped {
        let line = HostLine::Stopped.write();
        watch.keep_whole_lines()?;
        watch.log.write_all(line.as_bytes()).context("cannot write the console log")?;
        watch.capture.stop();
    }
    let report = watch.capture.finish(lost);
    report::write(folder, &report)?;
    Ok(Boot { report, wall, cpu: ended.cpu, cycle_ends: watch.cycle_ends })
}

/// Opens the console log for this run alone, empty.
fn own(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join(CONSOLE_LOG);
    let cannot = || format!("cannot write {}", path.display());
    let log = File::options().create(true).read(true).write(true).truncate(false).open(&path).with_context(cannot)?;
    if log.try_lock().is_err() {
        return Err(usage(format!(
            "{}: another run writes its report here; give another folder by --report",
            folder.display()
        )));
    }
    log.set_len(0).with_context(cannot)?;
    Ok(log)
}

fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

/// The last line that the emulator said, for one line of our own.
fn said(messages: &Path) -> String {
    let bytes = std::fs::read(messages).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.map(|line| format!(": {line}")).unwrap_or_default()
}

/// What is to come after the last record.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// The payload ran, and powers the machine off.
    PowerOff,
    /// Nobody will: the firmware has the machine again, or there is no PSCI.
    StaysOn,
}

/// What follows a console.
struct Watch<'a> {
    capture: Capture,
    log: File,
    line: Option<Line>,
    sender: Option<Sender>,
    rate: u32,
    /// The sender stops as soon as all is armed: a planted fault.
    is_to_stop: bool,
    /// What is to be injected: a planted fault.
    monitor: Option<Monitor>,
    /// The machine said something.
    is_alive: bool,
    /// The payload cannot power the machine off, and said so.
    stays_on: bool,
    /// The last record came.
    end: Option<End>,
    cycle_ends: Vec<Instant>,
    /// It goes on by time.
    soak: Option<Soak>,
    /// The user ended it.
    is_stopped: bool,
    progress: &'a Progress,
}

impl Watch<'_> {
    /// Cuts the log behind its last whole line: a record that was torn is none that the board lost.
    fn keep_whole_lines(&mut self) -> anyhow::Result<()> {
        let cannot = "cannot shorten the console log";
        let mut end = self.log.seek(SeekFrom::End(0)).context(cannot)?;
        let mut byte = [0];
        while end > 0 {
            self.log.seek(SeekFrom::Start(end - 1)).context(cannot)?;
            self.log.read_exact(&mut byte).context(cannot)?;
            if byte == *b"\n" {
                break;
            }
            end -= 1;
        }
        self.log.set_len(end).context(cannot)?;
        self.log.seek(SeekFrom::Start(end)).context(cannot)?;
        Ok(())
    }

    /// Reads the console to its end. Tells why it stopped before, if it did.
    fn follow(&mut self, console: ChildStdout, start: Instant, limits: Limits) -> anyhow::Result<Option<String>> {
        let chunks = reader(console);
        let deadline = start + Duration::from_secs(limits.boot_seconds);
        let silence = Duration::from_secs(limits.silence_seconds);
        let mut heard = start;
        let mut ended: Option<Instant> = None;
        loop {
            let until = ended.unwrap_or(deadline).min(heard + silence);
            let mut patience = until.saturating_duration_since(Instant::now());
            if let Some(soak) = &mut self.soak {
                let now = Instant::now();
                if let Some(line) = soak.line(now) {
                    self.progress.line(&line);
                }
                if soak::is_stopped() && self.end.is_none() {
                    self.is_stopped = true;
                    return Ok(None);
                }
                patience = patience.min(soak.wait(now)).min(CTRL_C);
            }
            match chunks.recv_timeout(patience) {
                Ok(bytes) => {
                    heard = Instant::now();
                    self.is_alive = true;
                    if let Some(reason) = self.take(&bytes)? {
                        return Ok(Some(reason));
                    }
                    match self.end {
                        Some(End::StaysOn) => return Ok(None),
                        Some(End::PowerOff) if ended.is_none() => ended = Some(heard + GRACE),
                        _ => {}
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                // It was not silent for too long, only long enough to look after other things.
                Err(RecvTimeoutError::Timeout) if Instant::now() < until => {}
                Err(RecvTimeoutError::Timeout) if ended.is_some() => {
                    return Ok(Some(format!(
                        "the machine did not power off within {} s of its last record",
                        GRACE.as_secs()
                    )));
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() >= deadline => {
                    return Ok(Some(format!("no end within {} s", limits.boot_seconds)));
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Ok(Some(format!("no output for {} s", limits.silence_seconds)));
                }
            }
            // A machine that talks without end must not outlive its deadline.
            if ended.is_none() && Instant::now() >= deadline {
                return Ok(Some(format!("no end within {} s", limits.boot_seconds)));
            }
        }
    }

    /// Takes what came. Tells why the boot cannot go on, if it cannot.
    fn take(&mut self, bytes: &[u8]) -> anyhow::Result<Option<String>> {
        self.log.write_all(bytes).context("cannot write the console log")?;
        let Self {
            capture, line, sender, rate, is_to_stop, stays_on, end, cycle_ends, soak, progress, monitor, ..
        } = self;
        let mut due = None;
        capture.feed(bytes, |record| {
            if let Some(soak) = soak {
                soak.take(record);
            }
            match record {
                // The firmware has no driver for the card: frames make sense from here on.
                Record::Hello { .. } => {
                    if let Some(line) = line.take() {
                        *sender = Some(line.start(STREAM, *rate));
                    }
                }
                Record::Armed { run, cycle, streams } => {
                    if *is_to_stop && let Some(sender) = sender {
                        sender.stop();
                    }
                    progress.detail(&format!("run {run}, cycle {cycle}: {streams} streams armed"));
                    due = due.or(Some(Moment::Before.phase()));
                }
                Record::Hold { phase, .. } => due = Some(*phase),
                Record::Cycle { .. } => cycle_ends.push(Instant::now()),
                Record::RunBegin { scenario, .. } => progress.phase(&format!("scenario {scenario}")),
                Record::Finding { id: NO_PSCI, .. } => *stays_on = true,
                Record::End { runs, .. } => {
                    *end = Some(if *runs == 0 || *stays_on { End::StaysOn } else { End::PowerOff });
                }
                Record::RunEnd { outcome, .. } => progress.detail(&format!("end of a run: {outcome:?}")),
                _ => {}
            }
        });
        let injected = match (due, monitor) {
            (Some(phase), Some(monitor)) => monitor.inject(phase),
            _ => Ok(()),
        };
        Ok(injected.err().map(|error| format!("{error:#}")))
    }
}

/// The emulator's monitor, and what is to be injected by it once it is time.
struct Monitor {
    socket: PathBuf,
    /// Where the socket is; gone with this.
    _folder: tempfile::TempDir,
    injections: Vec<Injection>,
}

impl Monitor {
    /// A place for the socket, where there is something to inject.
    fn of(job: &Job) -> anyhow::Result<Option<Self>> {
        if job.injections.is_empty() {
            return Ok(None);
        }
        // Not in the report's folder: the path of a socket is short.
        let folder = tempfile::tempdir().context("cannot make a folder for the socket of QEMU's monitor")?;
        let socket = folder.path().join("qmp");
        if socket.as_os_str().len() >= MOST_PATH {
            let most = MOST_PATH - 1;
            return Err(usage(format!("{}: longer than the {most} bytes of a socket; set TMPDIR", socket.display())));
        }
        Ok(Some(Self { socket, _folder: folder, injections: job.injections.clone() }))
    }

    /// Injects what is due in this phase: every error once, in the first cycle that asks for it.
    fn inject(&mut self, phase: u8) -> anyhow::Result<()> {
        if self.injections.first().is_none_or(|first| first.moment.phase() != phase) {
            return Ok(());
        }
        let mut qmp = Qmp::connect(&self.socket)?;
        self.injections.drain(..).try_for_each(|injection| qmp.inject(&injection))
    }
}

/// The emulator writes the console character by character. Woken for each, a reader would cost both sides more than the
/// character itself; what comes within this time is read together.
const TOGETHER: Duration = Duration::from_millis(1);

/// Reads a pipe in a thread of its own, so that waiting for it can have a deadline.
fn reader(mut console: ChildStdout) -> Receiver<Vec<u8>> {
    let (sender, receiver) = sync_channel(64);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = console.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                return;
            }
            std::thread::sleep(TOGETHER);
        }
    });
    receiver
}
