//! `report merge DIR… --report OUT`: many reports as one matrix, board by policy.

use std::path::Path;

use anyhow::Context;
use minijinja::context;
use minijinja::value::Serde;
use serde::Serialize;

use super::model::{Outcome, Report};
use super::view::Line;
use super::{exit_of, html, judge, read, write};
use crate::cli::MergeArgs;
use crate::exit::Exit;

/// Value of the key `schema`.
const SCHEMA: &str = "inflight-fleet/1";
/// What is written.
const JSON: &str = "fleet.json";
const HTML: &str = "fleet.html";

/// Many reports.
#[derive(Debug, PartialEq, Serialize)]
pub struct Fleet {
    pub schema: &'static str,
    /// The worst of all.
    pub outcome: Outcome,
    /// Scenarios, in the order in which they came first.
    pub scenarios: Vec<String>,
    pub boards: Vec<Board>,
}

/// One report.
#[derive(Debug, PartialEq, Serialize)]
pub struct Board {
    pub board: String,
    /// Where it came from.
    pub report: String,
    /// Its page, seen from the matrix.
    pub page: String,
    pub outcome: Outcome,
    pub started: Option<String>,
    pub platform: Option<String>,
    pub firmware: Option<String>,
    /// One for each of the fleet's scenarios; absent where it did not run.
    pub cells: Vec<Option<Cell>>,
}

/// A scenario on a board.
#[derive(Debug, PartialEq, Serialize)]
pub struct Cell {
    pub outcome: Outcome,
    /// Why it does not apply there; absent where it ran.
    pub skipped: Option<String>,
    /// Deviations that are waived.
    pub waived: usize,
    pub streams: usize,
    pub delivered: usize,
    pub blocked: usize,
    pub mis_steered: usize,
    pub blackout: String,
}

/// `cargo xtask report merge`.
pub fn run(args: &MergeArgs) -> anyhow::Result<Exit> {
    let mut reports = Vec::new();
    for path in &args.reports {
        reports.push((read::place(path), read::report(path)?));
    }
    let folder = &args.report;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let fleet = of(&reports, folder);
    let mut json = serde_json::to_vec_pretty(&fleet)?;
    json.push(b'\n');
    let page = html::page("fleet.html", context! { fleet => Serde(&fleet) })?;
    write::atomically(&folder.join(JSON), &json)?;
    write::atomically(&folder.join(HTML), page.as_bytes())?;
    for board in &fleet.boards {
        crate::exit::say!("{:<5} {:<20} {}", board.outcome.word(), board.board, board.report);
    }
    let Fleet { outcome, boards, scenarios, .. } = &fleet;
    let (boards, scenarios) = (boards.len(), scenarios.len());
    crate::exit::say!(
        "{boards} report(s), {scenarios} scenario(s): {} - matrix in {}",
        outcome.word(),
        folder.join(HTML).display()
    );
    Ok(exit_of(*outcome))
}

/// The matrix of reports, each with the file that it came from; `folder` is where the matrix goes.
pub fn of<P: AsRef<Path>>(reports: &[(P, Report)], folder: &Path) -> Fleet {
    let mut scenarios: Vec<String> = Vec::new();
    for run in reports.iter().flat_map(|(_, report)| &report.runs) {
        if !scenarios.contains(&run.scenario) {
            scenarios.push(run.scenario.clone());
        }
    }
    let outcome = reports.iter().map(|(_, report)| report.outcome).max().unwrap_or(Outcome::Lost);
    let boards = reports.iter().map(|(path, report)| board(path.as_ref(), report, &scenarios, folder)).collect();
    Fleet { schema: SCHEMA, outcome, scenarios, boards }
}

fn board(path: &Path, report: &Report, scenarios: &[String], folder: &Path) -> Board {
    let from = report.provenance.as_ref();
    let cell = |name: &String| report.runs.iter().find(|run| run.scenario == *name).map(cell);
    Board {
        board: report.board.clone(),
        report: path.display().to_string(),
        page: relative(&path.with_file_name("report.html"), folder),
        outcome: report.outcome,
        started: from.map(|from| from.started.clone()),
        platform: from.map(|from| from.emulator.clone().unwrap_or_else(|| "silicon".into())),
        firmware: from.and_then(|from| from.firmware.as_ref()).map(|it| format!("{}, {:.12}…", it.name, it.sha256)),
        cells: scenarios.iter().map(cell).collect(),
    }
}

fn cell(run: &super::model::Run) -> Cell {
    let Line { streams, delivered, blocked, mis_steered, blackout, .. } = Line::of(run);
    let waived = super::waive::waived(run).count();
    let skipped = judge::skipped_for(run).map(ToOwned::to_owned);
    Cell { outcome: run.outcome, skipped, waived, streams, delivered, blocked, mis_steered, blackout }
}

/// The way from a folder to a file, where both can be found; as a link of a page.
fn relative(file: &Path, folder: &Path) -> String {
    let (Ok(to), Ok(from)) = (std::path::absolute(file), std::path::absolute(folder)) else {
        return file.display().to_string();
    };
    let common = to.components().zip(from.components()).take_while(|(one, other)| one == other).count();
    let up = from.components().skip(common).map(|_| "..".to_owned());
    let down = to.components().skip(common).map(|part| part.as_os_str().to_string_lossy().into_owned());
    up.chain(down).map(|part| escaped(&part)).collect::<Vec<_>>().join("/")
}

/// A part of a path in a link (RFC 3986, 2.1, 3.3).
fn escaped(part: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+,@".contains(&byte);
    part.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests;
