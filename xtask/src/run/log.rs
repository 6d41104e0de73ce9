//! The console log of one boot: begun with what was asked for, ended with what went wrong, and judged.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use board::waivers::Waiver;

use super::KERNEL_SILENCE;
use super::progress::Progress;
use super::sender::Line;
use super::watch::Watch;
use crate::capture::{Capture, HostLine, Request};
use crate::exit::usage;
use crate::report::{self, CONSOLE_LOG, Report};

/// The fault that this side plants.
const SENDER_STOPPED: &str = "sender-stopped";

/// Opens the console log for this run alone, with what was asked for as its first line.
pub fn begin(folder: &Path, request: &Request) -> anyhow::Result<File> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut log = own(folder)?;
    report::clear(folder)?;
    let first = HostLine::Request(request.clone());
    log.write_all(first.write().as_bytes()).context("cannot write the console log")?;
    Ok(log)
}

/// Empties the log, which no other run has.
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

/// Creates a file beside it.
pub fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

impl<'a> Watch<'a> {
    /// Of a boot that begins now.
    pub fn new(log: File, request: &Request, line: Option<Line>, progress: &'a Progress) -> Self {
        Self {
            capture: Capture::new(Some(request.clone())),
            log,
            sender: None,
            is_fed: line.is_some(),
            unfed: BTreeSet::new(),
            line,
            is_to_stop: request.plant.as_deref() == Some(SENDER_STOPPED),
            monitor: None,
            is_alive: false,
            stays_on: false,
            end: None,
            cycle_ends: Vec::new(),
            begun: 0,
            has_kernel: false,
            kernel_silence: Duration::from_secs(KERNEL_SILENCE),
            soak: None,
            is_stopped: false,
            progress,
        }
    }

    /// Ends the log, judges it, and writes the report beside it. `lost` says why the host gave up, `waivers`
    /// what is accepted.
    pub fn finish(mut self, folder: &Path, lost: Option<String>, waivers: &[Waiver]) -> anyhow::Result<Report> {
        if let Some(reason) = &lost {
            let line = HostLine::Lost(reason.clone()).write();
            self.log.write_all(line.as_bytes()).context("cannot write the console log")?;
        }
        if self.is_stopped {
            let line = HostLine::Stopped.write();
            self.keep_whole_lines()?;
            self.log.write_all(line.as_bytes()).context("cannot write the console log")?;
            self.capture.stop();
        }
        self.tell_of_frames()?;
        let mut report = self.capture.finish(lost);
        report::waive(&mut report, waivers);
        report::write(folder, &report)?;
        Ok(report)
    }
}
