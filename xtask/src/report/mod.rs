//! The report: model, the host's own check, and its renderings.

mod board;
mod collect;
mod counts;
mod damage;
mod died;
mod diff;
mod fleet;
mod html;
mod judge;
mod junit;
mod ktap;
mod lava;
mod merge;
pub mod model;
mod pcie;
mod protocol;
mod read;
mod requester;
#[cfg(test)]
mod schema;
mod statistics;
pub mod terminal;
#[cfg(test)]
mod tests;
mod throughput;
mod view;
mod waive;
mod witness;
mod words;
mod write;

pub use collect::Builder;
use model::UNKNOWN_BOARD;
pub use model::{Outcome, Report};
pub use waive::load as load_waivers;
pub use write::{CONSOLE_LOG, anew, atomically, clear, write};

use std::path::Path;

use ::board::Date;
use ::board::waivers::Waiver;
use anyhow::Context;

use crate::boards;
use crate::capture::{Capture, HOST_PREFIX, HostLine, Request};
use crate::cli::{KernelArgs, PayloadArgs, ReportArgs, ReportCommand};
use crate::exit::{Exit, usage};
use crate::run::options;

/// A log of ten million lines.
const LONGEST_LOG: u64 = 1 << 30;

/// The exit status of an outcome.
pub const fn exit_of(outcome: Outcome) -> Exit {
    match outcome {
        Outcome::Pass => Exit::Pass,
        Outcome::Fail => Exit::Fail,
        Outcome::Lost => Exit::Lost,
    }
}

/// Accepts what is waived today.
pub fn waive(report: &mut Report, waivers: &[Waiver]) {
    waive::apply(report, waivers, Date::today());
}

/// `cargo xtask report`.
pub fn run(args: &ReportArgs) -> anyhow::Result<Exit> {
    match (&args.command, &args.log) {
        (Some(ReportCommand::Diff(args)), _) => diff::run(args),
        (Some(ReportCommand::Merge(args)), _) => fleet::run(args),
        (None, Some(log)) => rerender(log, args),
        (None, None) => Err(usage("report: give a console log, or `diff` or `merge`")),
    }
}

/// `cargo xtask report LOG`.
fn rerender(path: &Path, args: &ReportArgs) -> anyhow::Result<Exit> {
    let refuse = |what: String| usage(format!("{}: {what}; give the console log of a run", path.display()));
    let file = std::fs::metadata(path).map_err(|error| refuse(error.to_string()))?;
    if !file.is_file() || file.len() > LONGEST_LOG {
        return Err(refuse(format!("no file of at most {LONGEST_LOG} bytes")));
    }
    let log = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
    let log = asked(lava::console(&log).unwrap_or(log), args)?;
    let log = named(log, args.system_map.as_deref())?;
    let waivers = load_waivers(args.waivers.as_deref())?;
    let mut report = from_log(&log);
    waive(&mut report, &waivers);
    // A boot that was lost before its first record still begins with the host's own line.
    if report.images.is_empty() && report.runs.is_empty() && report.board == UNKNOWN_BOARD {
        let path = path.display();
        return Err(usage(format!("{path}: no record of the payload in it; give the console log of a run")));
    }
    let folder = match &args.report {
        Some(folder) => folder.clone(),
        None => path.parent().map_or_else(Default::default, Path::to_owned),
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".").to_owned() } else { folder };
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    write(&folder, &report)?;
    keep_log(&log, path, &folder.join(CONSOLE_LOG))?;
    terminal::print(&report, &folder);
    Ok(exit_of(report.outcome))
}

/// The log with what was asked for in front, where the command line says it: others than `run` keep the board's words alone.
fn asked(log: Vec<u8>, args: &ReportArgs) -> anyhow::Result<Vec<u8>> {
    let Some(board) = &args.board else { return Ok(log) };
    if log.starts_with(HOST_PREFIX.as_bytes()) {
        return Err(usage(format!("--board {board}: the log says in its first line what was asked for; leave it out")));
    }
    let payload = PayloadArgs {
        kernel: KernelArgs::default(),
        scenario: args.scenario.clone(),
        cycles: 1,
        span: None,
        iort: None,
        plant: None,
        option: Vec::new(),
    };
    let mut request = options::without_kernel(&payload, &[], &boards::load(board)?)?.request;
    // Whoever started it knows how many.
    request.cycles = 0;
    Ok([HostLine::Request(request).write().into_bytes(), log].concat())
}

/// The log with the symbols of its kernel in the first line.
fn named(log: Vec<u8>, system_map: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    let Some(map) = system_map else { return Ok(log) };
    let (request, rest) = split(&log);
    let kernel = request.and_then(|mut request| {
        request.kernel.as_mut()?.system_map = Some(std::path::absolute(map).unwrap_or_else(|_| map.to_owned()));
        Some(request)
    });
    let Some(request) = kernel else {
        return Err(usage(format!("--system-map {}: the log is of no kernel that was watched", map.display())));
    };
    Ok([HostLine::Request(request).write().trim_end().as_bytes(), rest].concat())
}

/// What was asked for, by the first line, and the rest of a log.
fn split(log: &[u8]) -> (Option<Request>, &[u8]) {
    // The host's first line may be longer than the reader keeps a line of text together.
    let first = log.split(|byte| *byte == b'\n').next().unwrap_or(&[]);
    match HostLine::read(&String::from_utf8_lossy(first)) {
        // A line of all scenarios is longer than the reader keeps: read here, it must not come again in pieces.
        Some(HostLine::Request(request)) => (Some(request), log.get(first.len()..).unwrap_or_default()),
        _ => (None, log),
    }
}

/// Reads a kept log as the live console was read.
pub fn from_log(log: &[u8]) -> Report {
    let (request, rest) = split(log);
    let mut capture = Capture::new(request);
    capture.feed(rest, |_| {});
    capture.finish(None)
}

/// Puts the log beside its report, unless it is there.
fn keep_log(log: &[u8], from: &Path, to: &Path) -> anyhow::Result<()> {
    if from.canonicalize().ok().is_some_and(|from| to.canonicalize().ok() == Some(from)) {
        return Ok(());
    }
    atomically(to, log)
}
