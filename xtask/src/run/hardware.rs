//! One boot of a board in a lab: its console is opened, its power switched, and what it tells is captured as an emulator's is.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::Context;
use board::waivers::Waiver;
use board::{Board, Limits, Serial};

use super::boot::Boot;
use super::log;
use super::options::Options;
use super::progress::Progress;
use super::provenance;
use super::sender::Line;
use super::soak::{Soak, Span};
use super::watch::Watch;
use crate::capture::Request;
use crate::exit::{self, Exit};
use crate::flash::netboot::Serving;
use crate::flash::uboot::Ready;
use crate::report::model::Provenance;
use crate::serial::Console;
use crate::{lock, power};

/// A boot of a board that is reached over a line.
pub struct Job<'a> {
    /// The board.
    pub board: &'a Board,
    /// Its console.
    pub serial: &'a Serial,
    /// What the image there was told.
    pub options: &'a Options,
    /// How it comes into the board's memory, where it is not there already.
    pub plan: Option<&'a Ready>,
    /// Where its firmware fetches it from, in the same case.
    pub serving: Option<&'a Serving>,
    /// How long it goes on, where it goes by time.
    pub span: Option<Span>,
    /// Deadlines.
    pub limits: Limits,
    /// How long a kernel may show nothing new, in seconds.
    pub kernel_silence: u64,
    /// Deviations that are accepted.
    pub waivers: &'a [Waiver],
    /// Where console.log and the report go.
    pub folder: &'a Path,
}

/// Switches the board on, captures, judges and writes the report. The board is off afterwards, where its power can be switched.
pub fn boot(job: &Job<'_>, progress: &Progress) -> anyhow::Result<Boot> {
    let Job { board, folder, .. } = job;
    let _lock = lock::board(&board.name)?;
    // All that can be wrong with this side is wrong before the board is touched.
    let line = Line::of(board)?;
    progress.phase("open the console");
    let console = Console::open(job.serial)?;
    let served = job.serving.map(|serving| serving.image.clone()).into_iter().collect();
    let provenance = Provenance { images: served, ..provenance::of_command() };
    let request = Request { provenance: Some(Box::new(provenance)), ..job.options.request.clone() };
    let log = log::begin(folder, &request)?;
    job.serving.map_or(Ok(()), |serving| serving.aim(board, progress))?;
    switch_on(board, Some(&console), progress)?;
    let booted = follow(job, console, (log, line, &request), progress);
    let off = board.power.as_ref().map_or(Ok(()), power::off);
    let booted = booted?;
    off.map(|()| booted)
}

/// From power on to the report.
fn follow(
    job: &Job<'_>,
    console: Console,
    (mut log, line, request): (File, Option<Line>, &Request),
    progress: &Progress,
) -> anyhow::Result<Boot> {
    let started = job.plan.map_or(Ok(()), |plan| {
        let (said, started) = plan.start(&console, progress, false);
        log.write_all(&said).context("cannot write the console log")?;
        started
    });
    let start = Instant::now();
    let mut watch = Watch {
        soak: job.span.map(|span| Soak::new(start, span)),
        kernel_silence: Duration::from_secs(job.kernel_silence),
        // Nobody here can wait for its power to go off.
        stays_on: true,
        ..Watch::new(log, request, line, progress)
    };
    let stopped = match started {
        Ok(()) => {
            std::thread::scope(|scope| {
                // Dropped at the end, whatever the end is.
                let (_end, over) = channel();
                if let Some(serving) = job.serving {
                    scope.spawn(move || serving.tell_until(&over, progress));
                }
                watch.follow(&console.said, start, job.limits)
            })?
        }
        Err(error) if exit::status_of(&error) == Exit::Stopped => return Err(error),
        Err(error) => Some(exit::one_line(&error)),
    };
    let wall = start.elapsed();
    let lost = match stopped {
        None if watch.capture.has_ended() || watch.is_stopped => None,
        None => Some("the console was cut and could not be opened again".to_owned()),
        Some(reason) if !watch.is_alive && job.plan.is_none() => {
            Some(format!("{reason}; the console never spoke: wrong port, speed or cable, or no power"))
        }
        reason => reason,
    };
    let excuse = job.serving.map(Serving::excuse).unwrap_or_default();
    let lost = lost.map(|reason| reason + &excuse);
    for why in console.cuts() {
        watch.tell("console-cut", format!("{why}; what the board said meanwhile is lost"))?;
    }
    drop(console);
    let cycle_ends = std::mem::take(&mut watch.cycle_ends);
    let report = watch.finish(job.folder, lost, job.waivers)?;
    Ok(Boot { report, wall, cpu: Duration::ZERO, cycle_ends })
}

/// Switches the board off and on, or has somebody do it. What its console said before is none of this boot.
pub fn switch_on(board: &Board, console: Option<&Console>, progress: &Progress) -> anyhow::Result<()> {
    let forget = || console.into_iter().for_each(Console::forget);
    match &board.power {
        Some(power) => {
            progress.phase("switch the board off and on");
            power::cycle(power, forget)
        }
        None => {
            forget();
            progress.phase("waiting for the board: its file has no [power], so switch it on by hand");
            Ok(())
        }
    }
}
