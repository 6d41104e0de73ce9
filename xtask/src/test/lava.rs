//! LAVA: jobs in the hands of its own schema and of its own dispatcher, which runs them on QEMU.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use super::Case;
use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::place::Place;
use super::pypi::Environment;
use super::session::{Session, unless_late};
use crate::setup::tool::said;
use crate::{child, workspace};

/// An emulated board that no host has to send frames to.
const BOARD: &str = "qemu-virt-storage";
/// What the dispatcher's Python takes.
static ENVIRONMENT: Environment = Environment::new(
    "lava-python",
    &[
        "configobj==5.0.9",
        "Jinja2==3.1.6",
        "pexpect==4.9.0",
        "pytz==2026.6",
        "pyudev==0.24.5",
        "PyYAML==6.0.4",
        "requests==2.34.2",
        "setproctitle==1.3.8",
        "voluptuous==0.16.0",
    ],
);
/// Debian's packages of LAVA: its schemas, its dispatcher, and its server's device types. Unpacked, never installed: their services
/// are not for this host.
const PACKAGES: [&str; 4] = ["lava-common", "lava-dispatcher", "lava-dispatcher-host", "lava-server"];
/// Checks that the report has and the console's results have not: judged by the host from the access log, and by the first image when
/// a cycle is over.
const NOT_TOLD: [&str; 2] = ["protocol.no-violation", "cycle.no-late-dma"];
const DOWNLOAD: Duration = Duration::from_secs(120);

/// All of them.
pub fn all() -> Vec<Case> {
    let case = |name, test: fn(&Session<'_>) -> Expected| Case { lacks, ..Case::new(name, test) };
    vec![
        case("lava-schema", schema),
        case("lava-dispatcher", dispatched),
        case("lava-flashed", flashed),
        case("lava-signals", signals),
    ]
}

/// Gets LAVA and what it takes, once. Says why that cannot be.
fn lacks() -> Option<String> {
    static LACKS: OnceLock<Option<String>> = OnceLock::new();
    let get = || unpacked().err().map(|error| format!("no LAVA: {error:#}"));
    ENVIRONMENT.lacks().or_else(|| LACKS.get_or_init(get).clone())
}

fn root() -> PathBuf {
    workspace::target().join("inflight/lava")
}

fn unpacked() -> anyhow::Result<()> {
    if root().join("usr/bin/lava-run").exists() {
        return Ok(());
    }
    let folder = workspace::target().join("inflight");
    fs::create_dir_all(&folder)?;
    let work = tempfile::tempdir_in(&folder)?;
    let script =
        "cd \"$WORK\" && apt-get -qq download $PACKAGES && for file in *.deb; do dpkg-deb -x \"$file\" root; done";
    let path = work.path().display().to_string();
    child::run(&["sh", "-ec", script], &[("WORK", &path), ("PACKAGES", &PACKAGES.join(" "))], DOWNLOAD)?;
    Ok(fs::rename(work.path().join("root"), root())?)
}

/// LAVA's own code, with a command of `lava.py`.
fn lava(session: &Session<'_>, arguments: &[String]) -> Result<String, String> {
    let script = session.folder.with_extension("py");
    fs::write(&script, include_str!("lava.py")).map_err(|error| error.to_string())?;
    let words = [&[script.display().to_string(), root().display().to_string()], arguments].concat();
    Ok(said(90, ENVIRONMENT.program("python").as_ref(), &words)?.0)
}

/// Every board's job, in each way, is what LAVA's schema allows; and it does not allow all.
fn schema(session: &Session<'_>) -> Expected {
    let text = |error: std::io::Error| error.to_string();
    let names = board::names(&workspace::root().join("board-configs")).map_err(|error| error.to_string())?;
    let jobs = session.folder.with_extension("jobs");
    fs::create_dir_all(&jobs).map_err(text)?;
    let mut paths = Vec::new();
    for name in names {
        for way in ["", "--via flasher", "--via grub", "--via uboot"] {
            let line = format!(
                "lava --board {name} {way} --images https://builds.example/inflight --scenario adopt,reset@panic"
            );
            let ended = session.run(&words(&line))?;
            let is_refused = ended.stderr.contains("sender)") || ended.stderr.contains("is emulated");
            if is_refused {
                expect::status(&ended, 2)?;
                continue;
            }
            expect::status(&ended, 0)?;
            let path = jobs.join(format!("{}.yaml", format!("{name}{way}").replace(['/', ' '], "-")));
            fs::write(&path, ended.stdout).map_err(text)?;
            paths.push(path.display().to_string());
        }
    }
    ensure(paths.len() > 50, || format!("only {} jobs", paths.len()))?;
    let checked = lava(session, &[&["check".to_owned()], &*paths].concat())?;
    ensure(checked.trim() == format!("{} jobs", paths.len()), || checked.clone())?;
    let broken = fs::read_to_string(&paths[0]).map_err(text)?.replace("      end: ", "      ends: ");
    fs::write(&paths[0], broken).map_err(text)?;
    let refused = lava(session, &["check".to_owned(), paths[0].clone()]);
    ensure(refused.as_ref().is_err_and(|error| error.contains("extra keys not allowed")), || format!("{refused:?}"))
}

/// LAVA's dispatcher runs the job on QEMU, with a result for each check, and its log is judged as a board's console is.
fn dispatched(session: &Session<'_>) -> Expected {
    judged(session, "--scenario adopt,reset", 0, "pass")?;
    let results = judged(session, "--scenario adopt --plant leaf-unmapped", 1, "fail")?;
    ensure(results[&("adopt".into(), "dma_no_blocked".into())] == "fail", || format!("{results:?}"))
}

/// The job for a board in a rack: the lab's command flashes it, its outlet is switched, and its console is read.
fn flashed(session: &Session<'_>) -> Expected {
    let text = |error: std::io::Error| error.to_string();
    let folder = folder(session)?;
    let (esp, board, script) = (folder.join("esp"), folder.join("rack-7.toml"), folder.join("lava_board.py"));
    let site =
        format!("extends = \"{BOARD}\"\nname = \"rack-7\"\ndeny = [\"0000:00:06.0\"]\n[serial]\ntcp = \"rack:7001\"\n");
    fs::write(&board, site).map_err(text)?;
    fs::write(&script, include_str!("lava_board.py")).map_err(text)?;
    let place = Place::new(Some(&esp), usize::MAX)?;
    let (board, command) = (board.display().to_string(), format!("python3 {}", script.display()));
    let line = format!("lava --board {board} --to {} --scenario adopt", folder.display());
    expect::status(&session.run(&words(&line))?, 0)?;
    let outlet = format!("{command} power http://{}/1", place.outlet);
    let lab = json!({
        "connection_command": format!("{command} connect {}", place.console),
        "hard_reset_command": format!("{outlet} 0 1"),
        "power_on_command": format!("{outlet} 1"),
        "power_off_command": format!("{outlet} 0"),
        // Before 2023.08 a dispatcher searches the last 4000 letters of what it has read, by default up to 4092 at once.
        "spawn_maxread": 2000,
        "flasher": [format!("{command} flash {} {{IMAGE}} {{OPTIONS}}", esp.display())],
    });
    ran(session, &board, "adopt", &lab.to_string(), 0, "pass")?;
    ensure(!place.is_on(), || "the board is still on".into())
}

/// What LAVA has, by test suite and case.
type Results = BTreeMap<(String, String), String>;

/// The job's outcome by LAVA's dispatcher and by the host, compared.
fn judged(session: &Session<'_>, asked: &str, status: i32, outcome: &str) -> Result<Results, String> {
    let folder = folder(session)?;
    let shown = folder.display();
    expect::status(&session.run(&words(&format!("lava --board {BOARD} --to {shown} {asked}")))?, 0)?;
    let scenarios = asked.split(' ').nth(1).unwrap_or_default();
    ran(session, BOARD, scenarios, "{}", status, outcome)
}

/// A new folder for the job.
fn folder(session: &Session<'_>) -> Result<PathBuf, String> {
    let folder = session.folder.with_extension("job");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
    }
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    Ok(folder)
}

/// Has the dispatcher run the job that lies in the folder, in this lab, and the host judge its log.
fn ran(
    session: &Session<'_>,
    board: &str,
    scenarios: &str,
    lab: &str,
    status: i32,
    outcome: &str,
) -> Result<Results, String> {
    let folder = session.folder.with_extension("job");
    let shown = folder.display();
    let run = [&*words(&format!("run {shown}/job.yaml {shown}")), &[lab.to_owned()]].concat();
    let report = words(&format!("report {shown}/logs.yaml --board {board} --scenario {scenarios}"));
    let mut act = || Ok((lava(session, &run)?, session.start(&report)?.wait()?));
    let (ran, ended) = unless_late(&mut act, |(_, ended)| ended.report.as_ref())?;
    let ran: Value = serde_json::from_str(&ran).map_err(|error| format!("{error}: {ran}"))?;
    ensure(ran["status"] == 0, || format!("the job failed; see {shown}/logs.yaml"))?;
    expect::outcome(&ended, status, outcome)?;
    ensure(board.contains(&word(&ended.report()?["board"])), || "the report is of another board".into())?;
    let results: Results = ran["results"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|result| result["definition"] != "lava")
        .map(|result| ((word(&result["definition"]), word(&result["case"])), word(&result["result"])))
        .collect();
    let mut wanted = Results::new();
    for run in expect::runs(&ended)? {
        let mut add = |case: &str, result: &str| {
            // As a monitor names a case.
            let case = case.replace(['.', '-'], "_");
            wanted.insert((word(&run["scenario"]), case), result.to_owned());
        };
        add("run.outcome", if run["outcome"] == "pass" { "pass" } else { "fail" });
        told(run)?.for_each(|check| add(&word(&check["id"]), result(check)));
    }
    let other = wanted.iter().find(|(case, result)| results.get(*case) != Some(*result));
    ensure(other.is_none(), || format!("LAVA has {:?} for {other:?}", other.map(|(case, _)| results.get(case))))?;
    Ok(results)
}

/// The checks of a run that its console names.
fn told(run: &Value) -> Result<impl Iterator<Item = &Value>, String> {
    let is_told = |check: &&Value| NOT_TOLD.iter().all(|id| check["id"] != *id);
    Ok(expect::array(run, "checks")?.iter().filter(is_told))
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// As the payload tells LAVA.
fn result(check: &Value) -> &'static str {
    match (word(&check["verdict"]).as_str(), check["verdict"] == check["expected"]) {
        (_, false) => "fail",
        ("pass", true) => "pass",
        ("not-covered", true) => "unknown",
        _ => "skip",
    }
}

/// A test shell of LAVA takes each signal, in the test set of its scenario.
fn signals(session: &Session<'_>) -> Expected {
    let ended = session.run(&words("run --board qemu-virt-dt --option lava=1 --scenario adopt,reset@panic"))?;
    expect::outcome(&ended, 0, "pass")?;
    let log = session.report().join("console.log").display().to_string();
    let taken = lava(session, &["signals".to_owned(), log])?;
    let taken: Value = serde_json::from_str(&taken).map_err(|error| format!("{error}: {taken}"))?;
    ensure(taken["wrong"].as_array().is_some_and(Vec::is_empty), || taken["wrong"].to_string())?;
    let results = expect::array(&taken, "results")?;
    for run in expect::runs(&ended)? {
        let set = word(&run["scenario"]).replace(['+', '@'], "_");
        for check in told(run)? {
            let of_check = |result: &&Value| result["set"] == *set && result["case"] == check["id"];
            let taken = results.iter().find(of_check).map(|found| word(&found["result"]));
            ensure(taken.as_deref() == Some(result(check)), || format!("{set}: {taken:?} for {check}"))?;
        }
    }
    Ok(())
}
