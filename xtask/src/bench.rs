//! `cargo xtask bench`: the figures that this project states, measured on the host's clock.

mod watching;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use serde::Serialize;

use crate::build::Images;
use crate::cli::{BenchArgs, Cli, Command, RunArgs};
use crate::exit::Exit;
use crate::report::{Outcome, Report};
use crate::run::{Emulator, Job, Line, Progress};
use crate::setup::Host;
use crate::{build, run, setup, workspace};

/// Crashes in the long boot.
const CYCLES: u32 = 100;
/// Boots of each kind; the median counts.
const BOOTS: usize = 5;

/// `bench.json`. A figure that could not be measured is `null`, and `reasons` says why.
#[derive(Debug, Default, Serialize)]
struct Figures {
    schema: &'static str,
    /// Wall time of a further cycle in the same boot, from one's end to the next's on the host's clock: the median. Goal: 20
    /// or less.
    cycle_ms: Option<f64>,
    /// The slowest of them, and the average: what a loaded host adds.
    cycle_ms_worst: Option<f64>,
    cycle_ms_average: Option<f64>,
    /// Part of it that hold and watch take: waiting for the devices, not work.
    cycle_wait_ms: Option<f64>,
    cycles: u32,
    cycles_failed: u32,
    /// CPU of an `adopt` boot over that of an empty image. Goal: 1.3 or less.
    cpu_ratio: Option<f64>,
    /// The file that carries both images. Goal: less than 256 KiB.
    image_bytes: u64,
    crash_to_takeover_ticks: Option<u64>,
    counter_hz: Option<u64>,
    reasons: Vec<String>,
}

/// What a series of boots needs.
struct Bench {
    host: Host,
    images: Images,
    empty: PathBuf,
    folder: PathBuf,
    progress: Progress,
}

/// A boot that ended.
struct Measured {
    report: Report,
    /// What each cycle after the first took, in milliseconds.
    further_cycles: Vec<f64>,
    cpu: Duration,
}

/// Runs the command.
pub fn run(args: &BenchArgs) -> anyhow::Result<Exit> {
    let host = setup::ensure_all(&args.install)?;
    let progress = Progress::new();
    progress.phase("build the images");
    let images = build::images()?;
    let empty = build::empty_image()?;
    let folder = workspace::output(&args.report);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let bench = Bench { host, images, empty, folder, progress };
    if args.kernel.kernel.is_some() {
        return watching::run(bench, &args.kernel);
    }
    let mut figures = Figures { schema: "inflight-bench/1", cycles: CYCLES, ..Figures::default() };
    figures.image_bytes = bench.images.bytes()?;
    bench.short_boots(&mut figures)?;
    bench.long_boot(&mut figures)?;
    drop(bench.progress);
    let path = bench.folder.join("bench.json");
    write(&path, &figures)?;
    crate::exit::say!("{}\n{}", serde_json::to_string_pretty(&figures)?, path.display());
    Ok(if figures.reasons.is_empty() { Exit::Pass } else { Exit::Fail })
}

fn write(path: &Path, figures: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(figures)? + "\n";
    let new = path.with_extension("json.new");
    std::fs::write(&new, text)
        .and_then(|()| std::fs::rename(&new, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

impl Bench {
    fn job(&self, image: &Path, cycles: u32) -> anyhow::Result<Job> {
        let job = run::prepare(&adopt(cycles)?, self.host.clone(), image.into())?;
        Ok(Job { folder: self.folder.join("boot"), ..job })
    }

    /// One boot as `run --scenario adopt` starts it.
    fn boot(&self, cycles: u32) -> anyhow::Result<Measured> {
        let boot = run::boot(&self.job(&self.images.file, cycles)?, &Progress::Silent)?;
        let further_cycles =
            boot.cycle_ends.windows(2).map(|ends| (ends[1] - ends[0]).as_secs_f64() * 1000.0).collect();
        Ok(Measured { report: boot.report, further_cycles, cpu: boot.cpu })
    }

    /// CPU time of the same machine with the empty image.
    fn empty_boot(&self) -> anyhow::Result<f64> {
        let job = self.job(&self.empty, 1)?;
        let line = job.line()?;
        let ports = line.as_ref().and_then(Line::ports);
        let messages = self.folder.join("empty.log");
        let messages = File::create(&messages).with_context(|| format!("cannot write {}", messages.display()))?;
        let (emulator, mut console) = Emulator::start(&job.machine(ports, None, None)?.command(), messages)?;
        // The console closes when the machine is off.
        std::io::copy(&mut console, &mut std::io::sink()).context("cannot read the console")?;
        let ended = emulator.end(Duration::from_secs(10))?;
        anyhow::ensure!(ended.status.success(), "the empty image ended with {}", ended.status);
        Ok(ended.cpu.as_secs_f64())
    }

    /// Boots of one cycle and of the empty image in turn, so that both see the same load.
    fn short_boots(&self, figures: &mut Figures) -> anyhow::Result<()> {
        let (mut adopted, mut empty) = (Vec::new(), Vec::new());
        let (mut ticks, mut waits) = (Vec::new(), Vec::new());
        for number in 1..=BOOTS {
            self.progress.phase(&format!("CPU time, boot {number} of {BOOTS}"));
            let boot = self.boot(1)?;
            if let Some(reason) = failure(&boot.report) {
                figures.reasons.push(format!("boot {number}: {reason}"));
                continue;
            }
            adopted.push(boot.cpu.as_secs_f64());
            if let Some(timing) = boot.report.runs.first().and_then(|run| run.timing) {
                ticks.push(timing.crash_to_kdump as f64);
                waits.push(ms(timing.hold.saturating_add(timing.watch), timing.counter_hz));
                figures.counter_hz = Some(timing.counter_hz);
            }
            empty.push(self.empty_boot()?);
        }
        figures.cpu_ratio = median(&mut adopted).zip(median(&mut empty)).and_then(|(own, empty)| ratio(own, empty));
        figures.crash_to_takeover_ticks = median(&mut ticks).map(|ticks| ticks as u64);
        figures.cycle_wait_ms = median(&mut waits);
        Ok(())
    }

    /// A boot of many cycles: what each takes after the first, with all its records.
    fn long_boot(&self, figures: &mut Figures) -> anyhow::Result<()> {
        self.progress.phase(&format!("{CYCLES} cycles"));
        let mut long = self.boot(CYCLES + 1)?;
        figures.cycles_failed += long.report.runs.iter().map(|run| run.cycles_failed).sum::<u32>();
        if let Some(reason) = failure(&long.report) {
            figures.reasons.push(format!("cycles: {reason}"));
        }
        let done = long.report.runs.first().map_or(0, |run| run.cycles_done);
        let further = &mut long.further_cycles;
        if figures.reasons.is_empty() && figures.cycles_failed == 0 && further.len() == CYCLES as usize {
            figures.cycle_ms = median(further);
            figures.cycle_ms_worst = further.last().copied();
            figures.cycle_ms_average = Some(further.iter().sum::<f64>() / f64::from(CYCLES));
        } else if figures.reasons.is_empty() {
            figures.reasons.push(format!("{done} of {} cycles done", CYCLES + 1));
        }
        Ok(())
    }
}

/// Arguments of `run --scenario adopt --cycles N`.
fn adopt(cycles: u32) -> anyhow::Result<RunArgs> {
    let cycles = cycles.to_string();
    match Cli::try_parse_from(["xtask", "run", "--scenario", "adopt", "--cycles", &cycles])?.command {
        Command::Run(args) => Ok(args),
        _ => anyhow::bail!("`run` is not `run`"),
    }
}

/// Why a boot gives no figure.
fn failure(report: &Report) -> Option<String> {
    match (&report.lost, report.outcome) {
        (Some(lost), _) => Some(format!("lost: {}", lost.reason)),
        (None, Outcome::Pass) => None,
        (None, outcome) => Some(format!("outcome {}", outcome.word())),
    }
}

/// Ticks in milliseconds.
fn ms(ticks: u64, counter_hz: u64) -> f64 {
    ticks as f64 * 1000.0 / counter_hz.max(1) as f64
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        return values.get(middle).copied();
    }
    Some((values.get(middle.checked_sub(1)?)? + values.get(middle)?) / 2.0)
}

/// A quotient, where there is one.
fn ratio(own: f64, empty: f64) -> Option<f64> {
    (empty > 0.0).then(|| own / empty)
}

#[cfg(test)]
mod tests {
    use super::{adopt, median, ms, ratio};

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn no_cpu_time_gives_no_ratio() {
        assert_eq!(ratio(1.0, 0.0), None);
        assert_eq!(ratio(3.0, 2.0), Some(1.5));
    }

    #[test]
    fn ticks_become_milliseconds() {
        assert!((ms(62_500, 62_500_000) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_measured_run_is_the_documented_one() {
        let args = adopt(101).unwrap().payload;
        assert_eq!((args.scenario, args.cycles, args.plant, args.iort), (vec!["adopt".to_owned()], 101, None, None));
    }
}
