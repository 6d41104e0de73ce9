//! What a machine tells on its console while it runs, and what this side does about it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::process::ChildStdout;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use board::Limits;
use wire::Record;

use super::inject::Moment;
use super::progress::Progress;
use super::qmp::Monitor;
use super::sender::{Line, Sender};
use super::soak::{self, Soak};
use crate::capture::{Capture, HostLine};
use crate::exit;

/// After the last record the machine has this long to power off.
pub const GRACE: Duration = Duration::from_secs(3);
/// Number of our only sender in its frames.
const STREAM: u32 = 0;
/// Endpoints without a sender that are named.
const UNFED_SHOWN: usize = 4;
/// How soon Ctrl-C is noticed.
const CTRL_C: Duration = Duration::from_millis(200);
/// The payload's finding that it cannot power the machine off.
const NO_PSCI: &str = "no-psci";

/// What is to come after the last record.
#[derive(Clone, Copy, PartialEq)]
pub enum End {
    /// The payload ran, and powers the machine off.
    PowerOff,
    /// Nobody will: the firmware has the machine again, or there is no PSCI.
    StaysOn,
}

/// What follows a console.
pub struct Watch<'a> {
    pub capture: Capture,
    pub log: File,
    pub line: Option<Line>,
    pub sender: Option<Sender>,
    /// The board has a sender.
    pub is_fed: bool,
    /// Endpoints that were put to work and wait for frames that no sender sends.
    pub unfed: BTreeSet<String>,
    /// The sender stops as soon as all is armed: a planted fault.
    pub is_to_stop: bool,
    /// What is to be injected: a planted fault.
    pub monitor: Option<Monitor>,
    /// The machine said something.
    pub is_alive: bool,
    /// The payload cannot power the machine off, and said so.
    pub stays_on: bool,
    /// The last record came.
    pub end: Option<End>,
    pub cycle_ends: Vec<Instant>,
    /// The number of the scenario that is to begin next.
    pub begun: u32,
    /// A kernel that is watched was started, and has not ended.
    pub has_kernel: bool,
    /// How long it may show nothing new.
    pub kernel_silence: Duration,
    /// It goes on by time.
    pub soak: Option<Soak>,
    /// The user ended it.
    pub is_stopped: bool,
    pub progress: &'a Progress,
}

impl Watch<'_> {
    /// Cuts the log behind its last whole line: a record that was torn is none that the board lost.
    pub fn keep_whole_lines(&mut self) -> anyhow::Result<()> {
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

    /// Ends the sender, and puts into the log what kept frames from the board.
    pub fn tell_of_frames(&mut self) -> anyhow::Result<()> {
        let mut findings = Vec::new();
        if let Some(sender) = &mut self.sender {
            let sent = sender.stop();
            if !sent.refused.is_empty() {
                findings.push(("frames-not-sent", sent.to_string()));
            }
        }
        if !self.unfed.is_empty() {
            // A line of a log is as long as a record at most.
            let few = self.unfed.iter().take(UNFED_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if self.unfed.len() > UNFED_SHOWN { " and others" } else { "" };
            let text =
                format!("the board's file has no [sender], and {few}{more} moves only what is sent to its network");
            findings.push(("no-sender", text));
        }
        findings.into_iter().try_for_each(|(id, text)| self.tell(id, text))
    }

    /// Puts a finding of the host's into the log.
    pub fn tell(&mut self, id: &str, text: String) -> anyhow::Result<()> {
        let line = HostLine::Finding { id: id.into(), text }.write();
        self.log.write_all(line.as_bytes()).context("cannot write the console log")?;
        // As a kept log is read.
        self.capture.feed(line.as_bytes(), |_| {});
        Ok(())
    }

    /// Reads the console to its end. Tells why it stopped before, if it did.
    pub fn follow(
        &mut self,
        chunks: &Receiver<Vec<u8>>,
        start: Instant,
        limits: Limits,
    ) -> anyhow::Result<Option<String>> {
        let deadline = start + Duration::from_secs(limits.boot_seconds);
        let mut heard = start;
        let mut ended: Option<Instant> = None;
        loop {
            let silence =
                if self.has_kernel { self.kernel_silence } else { Duration::from_secs(limits.silence_seconds) };
            let until = ended.unwrap_or(deadline).min(heard + silence);
            let mut patience = until.saturating_duration_since(Instant::now());
            // Where nobody listens for Ctrl-C it ends this program.
            if soak::is_stopped() && self.end.is_none() {
                if self.soak.is_none() {
                    return Err(exit::stopped());
                }
                self.is_stopped = true;
                return Ok(None);
            }
            patience = patience.min(CTRL_C);
            if let Some(soak) = &mut self.soak {
                let now = Instant::now();
                if let Some(line) = soak.line(now) {
                    self.progress.line(&line);
                }
                patience = patience.min(soak.wait(now));
            }
            match chunks.recv_timeout(patience) {
                Ok(bytes) => {
                    self.is_alive = true;
                    let known = self.capture.news();
                    if let Some(reason) = self.take(&bytes)? {
                        return Ok(Some(reason));
                    }
                    // Of a kernel that hangs, and takes its interrupts, there are signs of life for ever.
                    if !self.has_kernel || self.capture.news() != known {
                        heard = Instant::now();
                    }
                    match self.end {
                        Some(End::StaysOn) => return Ok(None),
                        Some(End::PowerOff) if ended.is_none() => ended = Some(Instant::now() + GRACE),
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
                Err(RecvTimeoutError::Timeout) => {}
            }
            // A machine that talks without end must not outlive its deadlines.
            let now = Instant::now();
            if ended.is_none() && now >= deadline {
                return Ok(Some(self.given_up(&format!("no end within {} s", limits.boot_seconds))));
            }
            if ended.is_none() && now >= heard + silence {
                return Ok(Some(self.silent(silence)));
            }
        }
    }

    /// Nothing came for so long, or nothing that is news.
    fn silent(&self, silence: Duration) -> String {
        let what = if self.has_kernel { "nothing new of SMMUs, tables and console" } else { "no output" };
        self.given_up(&format!("{what} for {} s", silence.as_secs()))
    }

    /// Whose fault it is that nothing comes.
    fn given_up(&self, why: &str) -> String {
        if self.has_kernel { format!("{why}: the kernel that took over hangs") } else { why.to_owned() }
    }

    /// Takes what came. Tells why the boot cannot go on, if it cannot.
    fn take(&mut self, bytes: &[u8]) -> anyhow::Result<Option<String>> {
        self.log.write_all(bytes).context("cannot write the console log")?;
        let Self {
            capture,
            line,
            sender,
            is_fed,
            unfed,
            is_to_stop,
            stays_on,
            end,
            cycle_ends,
            begun,
            has_kernel,
            soak,
            progress,
            monitor,
            ..
        } = self;
        let mut due = None;
        let mut repeats = false;
        capture.feed(bytes, |record| {
            if let Some(soak) = soak {
                soak.take(record);
            }
            match record {
                // The firmware has no driver for the card: frames make sense from here on.
                Record::Hello { .. } => {
                    if let Some(line) = line.take() {
                        *sender = Some(line.start(STREAM));
                    }
                }
                Record::Armed { run, cycle, streams } => {
                    if *is_to_stop && let Some(sender) = sender {
                        sender.stop();
                    }
                    progress.detail(&format!("run {run}, cycle {cycle}: {streams} streams armed"));
                    due = due.or(Some(Moment::Before.phase()));
                }
                Record::Endpoint { bdf, driver, armed: true, .. } if !*is_fed && takes_frames(driver) => {
                    unfed.insert(format!("{bdf} ({driver})"));
                }
                Record::Hold { phase, .. } => due = Some(*phase),
                Record::Cycle { .. } => cycle_ends.push(Instant::now()),
                Record::RunBegin { run, scenario, .. } => {
                    // What was told here is told no second time.
                    repeats |= *run < *begun;
                    *begun = run.saturating_add(1);
                    progress.phase(&format!("scenario {scenario}"));
                }
                Record::Kernel { .. } => {
                    *has_kernel = true;
                    progress.detail("the kernel starts");
                }
                Record::Watching { traps, accesses, .. } => {
                    progress.detail(&format!("the kernel lives: {accesses} accesses to the SMMU, {traps} traps"));
                }
                Record::Witnessed { .. } => {
                    *has_kernel = false;
                    progress.detail("the kernel has ended");
                }
                Record::Died { scenario, .. } => {
                    progress.phase(&format!("the board died in {scenario}, and was reset"));
                }
                Record::Finding { id: NO_PSCI, .. } => *stays_on = true,
                Record::End { runs, .. } => {
                    *end = Some(if *runs == 0 || *stays_on { End::StaysOn } else { End::PowerOff });
                }
                Record::RunEnd { outcome, .. } => progress.detail(&format!("end of a run: {outcome:?}")),
                _ => {}
            }
        });
        if repeats {
            return Ok(Some("the board begins anew, and was not heard on".into()));
        }
        let injected = match (due, monitor) {
            (Some(phase), Some(monitor)) => monitor.inject(phase),
            _ => Ok(()),
        };
        Ok(injected.err().map(|error| format!("{error:#}")))
    }
}

/// A driver of network cards.
pub fn takes_frames(driver: &str) -> bool {
    dma::DRIVERS.iter().any(|known| known.name() == driver && known.unit() == "frames")
}

/// The emulator writes the console character by character. Woken for each, a reader would cost both sides more than the
/// character itself; what comes within this time is read together.
const TOGETHER: Duration = Duration::from_millis(1);

/// Reads a pipe in a thread of its own, so that waiting for it can have a deadline.
pub fn reader(mut console: ChildStdout) -> Receiver<Vec<u8>> {
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
