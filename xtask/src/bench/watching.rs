//! `cargo xtask bench --kernel`: what it costs to watch a kernel, against the same kernel started in the same way and left alone.

use std::sync::Arc;

use clap::Parser;
use handover::bundle::{MAPPED, UNWATCHED};
use serde::Serialize;

use super::{BOOTS, Bench, median, ratio, write};
use crate::cli::{Cli, Command, KernelArgs};
use crate::exit::Exit;
use crate::run::{self, Job, Progress};
use crate::setup::Host;

/// The machine that boots fastest: no firmware.
const BOARD: &str = "qemu-virt-dt";

/// `bench.json`. Medians; CPU in seconds of the emulator's user and system time, without what a boot takes that starts no kernel.
#[derive(Debug, Default, Serialize)]
struct Figures {
    schema: &'static str,
    /// Boots of each kind, in turn.
    boots: usize,
    /// CPU of the watched kernel over that of the one left alone. Goal: 1.1 or less.
    cpu_ratio: Option<f64>,
    /// The same, of the watched kernel over one with stage 2 in force of which nothing is watched: what the traps cost.
    traps_cpu_ratio: Option<f64>,
    /// And of that one over the one left alone: what the second stage costs, which an emulator walks in software.
    stage2_cpu_ratio: Option<f64>,
    watched_cpu_s: Option<f64>,
    mapped_cpu_s: Option<f64>,
    unwatched_cpu_s: Option<f64>,
    /// The same ratio of the time from the kernel's first instruction to its end, which a loaded host makes longer.
    time_ratio: Option<f64>,
    traps: Option<u64>,
    unwatched_traps: Option<u64>,
    /// Share of the watched kernel's time that its traps took.
    trap_share: Option<f64>,
    reasons: Vec<String>,
}

/// One kind of boots.
struct Series {
    cpu: Vec<f64>,
    ticks: Vec<f64>,
    traps: Vec<f64>,
    in_traps: Vec<f64>,
}

/// Measures.
pub(super) fn run(bench: Bench, kernel: &KernelArgs) -> anyhow::Result<Exit> {
    let mut figures = Figures { schema: "inflight-bench-watching/1", boots: BOOTS, ..Figures::default() };
    let watched_job = job(&bench, "witness", kernel)?;
    let [mapped_job, unwatched_job] = [UNWATCHED | MAPPED, UNWATCHED].map(|flags| {
        let mut job = watched_job.clone();
        job.options.guest.iter_mut().map(Arc::make_mut).for_each(|guest| guest.flags = flags);
        job
    });
    let plain_job = job(&bench, "reset", &KernelArgs::default())?;
    let [mut watched, mut mapped, mut unwatched] = [const { Series::EMPTY }; 3];
    let mut plain = Vec::new();
    for number in 1..=BOOTS {
        bench
            .progress
            .phase(&format!("boot {number} of {BOOTS}: watched, with stage 2 alone, left alone, without a kernel"));
        for (series, job) in
            [(&mut watched, &watched_job), (&mut mapped, &mapped_job), (&mut unwatched, &unwatched_job)]
        {
            let failure = series.boot(job)?;
            figures.reasons.extend(failure.map(|reason| format!("boot {number}: {reason}")));
        }
        plain.push(run::boot(&plain_job, &Progress::Silent)?.cpu.as_secs_f64());
    }
    let before = median(&mut plain).unwrap_or(0.0);
    let cpu = |series: &mut Series| median(&mut series.cpu).map(|cpu| cpu - before);
    let over =
        |with: Option<f64>, without: Option<f64>| with.zip(without).and_then(|(with, without)| ratio(with, without));
    let count = |values: &mut Vec<f64>| median(values).map(|count| count as u64);
    let cpus = [&mut watched, &mut mapped, &mut unwatched].map(cpu);
    [figures.watched_cpu_s, figures.mapped_cpu_s, figures.unwatched_cpu_s] = cpus;
    figures.cpu_ratio = over(cpus[0], cpus[2]);
    figures.traps_cpu_ratio = over(cpus[0], cpus[1]);
    figures.stage2_cpu_ratio = over(cpus[1], cpus[2]);
    let ticks = median(&mut watched.ticks);
    figures.time_ratio = over(ticks, median(&mut unwatched.ticks));
    (figures.traps, figures.unwatched_traps) = (count(&mut watched.traps), count(&mut unwatched.traps));
    figures.trap_share = over(median(&mut watched.in_traps), ticks);
    let path = bench.folder.join("bench.json");
    write(&path, &figures)?;
    drop(bench);
    crate::exit::say!("{}\n{}", serde_json::to_string_pretty(&figures)?, path.display());
    Ok(if figures.reasons.is_empty() { Exit::Pass } else { Exit::Fail })
}

impl Series {
    const EMPTY: Self = Self { cpu: Vec::new(), ticks: Vec::new(), traps: Vec::new(), in_traps: Vec::new() };

    /// One more boot; why it gives no figure, if it does not. Whether it passes is not asked: a kernel that is left alone shows
    /// nothing that could be judged.
    fn boot(&mut self, job: &Job) -> anyhow::Result<Option<String>> {
        let boot = run::boot(job, &Progress::Silent)?;
        let witness = boot.report.runs.first().and_then(|run| run.witness.as_ref());
        let Some(cost) = witness.and_then(|witness| witness.cost.as_ref()) else {
            let lost = boot.report.lost.map(|lost| lost.reason);
            return Ok(Some(lost.unwrap_or_else(|| "the kernel's end was not seen".into())));
        };
        self.cpu.push(boot.cpu.as_secs_f64());
        self.ticks.push(cost.ticks as f64);
        self.traps.push(f64::from(cost.traps));
        self.in_traps.push(cost.trap_ticks as f64);
        Ok(None)
    }
}

/// A boot as `run` prepares it.
fn job(bench: &Bench, scenario: &str, kernel: &KernelArgs) -> anyhow::Result<Job> {
    let words = ["xtask", "run", "--board", BOARD, "--scenario", scenario];
    let Command::Run(mut args) = Cli::try_parse_from(words)?.command else { anyhow::bail!("`run` is not `run`") };
    args.payload.kernel = kernel.clone();
    // No firmware: QEMU would start that.
    let host = Host { firmware: None, ..bench.host.clone() };
    let job = run::prepare(&args, host, bench.images.raw.clone())?;
    Ok(Job { folder: bench.folder.join("boot"), ..job })
}
