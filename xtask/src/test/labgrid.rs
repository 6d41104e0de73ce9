//! Boards in a labgrid: its coordinator, an exporter and pytest with the files of `ci/labgrid`, all on loopback.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::Case;
use super::expect::{Expected, ensure};
use super::place::{BOARD, Place};
use super::pypi::Environment;
use super::session::{Session, unless_late};
use crate::{child, workspace};

static ENVIRONMENT: Environment = Environment::new("labgrid", &["labgrid==26.0.1", "pytest==9.2.0"]);
/// A service listens within this time, and a command of it ends.
const SHORT: Duration = Duration::from_secs(30);
/// Nothing of it runs longer, in seconds.
const LONG: &str = "100";
/// Longer than any console.
const NEVER: usize = usize::MAX;
/// What pytest said, in the lab's folder.
const SAID: &str = "pytest.log";
/// The place.
const PLACE: &str = "rack-7";

/// All of them.
pub fn all() -> Vec<Case> {
    let case =
        |name, test: fn(&Session<'_>) -> Expected| Case { lacks: || ENVIRONMENT.lacks(), ..Case::new(name, test) };
    vec![
        case("labgrid-place", whole),
        case("labgrid-planted", planted),
        case("labgrid-silent", silent),
        case("labgrid-cut", cut),
        case("labgrid-taken", taken),
        Case { lacks: no_python, ..Case::new("python-compiles", compiled) },
    ]
}

fn no_python() -> Option<String> {
    child::run(&["python3", "--version"], &[], SHORT).err().map(|error| format!("no Python: {error:#}"))
}

/// All of our Python is such, where nothing of PyPI can be had, too.
fn compiled(session: &Session<'_>) -> Expected {
    let folders = ["ci/labgrid", "xtask/src/test"].map(|name| workspace::root().join(name).display().to_string());
    let words = [&["python3", "-m", "compileall", "-q"][..], &folders.each_ref().map(String::as_str)].concat();
    let elsewhere = session.folder.with_extension("pyc").display().to_string();
    child::run(&words, &[("PYTHONPYCACHEPREFIX", &elsewhere)], SHORT).map(drop).map_err(|error| format!("{error:#}"))
}

/// A lab with one place. Dropped, it is gone.
struct Lab<'a> {
    session: &'a Session<'a>,
    folder: PathBuf,
    coordinator: String,
    services: Vec<Child>,
}

impl<'a> Lab<'a> {
    /// Starts coordinator and exporter, and makes the place of what that one exports.
    fn start(session: &'a Session<'a>, place: &Place) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let folder = session.folder.clone();
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(text)?;
        }
        fs::create_dir_all(folder.join("esp")).map_err(text)?;
        let site = format!(
            "extends = \"{BOARD}\"\nname = \"{PLACE}\"\ndeny = [\"0000:00:06.0\"]\n\
             [limits]\nboot-seconds = 60\nsilence-seconds = 15\n[flash]\nway = \"esp\"\nto = \"{}\"\n",
            folder.join("esp").display()
        );
        fs::write(folder.join(format!("{PLACE}.toml")), site).map_err(text)?;
        let port = place.console.rsplit(':').next().unwrap_or_default();
        let exported = format!(
            "{PLACE}:\n  NetworkSerialPort: {{ host: 127.0.0.1, port: {port}, protocol: raw }}\n  \
             NetworkPowerPort: {{ model: rest, host: 'http://{}/{{index}}', index: 1 }}\n",
            place.outlet
        );
        fs::write(folder.join("exporter.yaml"), exported).map_err(text)?;
        // Free now, and the coordinator's in a moment.
        let free = TcpListener::bind("127.0.0.1:0").map_err(text)?;
        let coordinator = free.local_addr().map_err(text)?.to_string();
        drop(free);
        let mut lab = Self { session, folder, coordinator, services: Vec::new() };
        lab.serve("labgrid-coordinator", &["-l", &lab.coordinator.clone()])?;
        let begin = Instant::now();
        while TcpStream::connect(&lab.coordinator).is_err() {
            ensure(begin.elapsed() < SHORT, || "the coordinator does not listen".into())?;
            std::thread::sleep(Duration::from_millis(50));
        }
        let words = ["-c", &lab.coordinator.clone(), "--name", "lab", "--hostname", "127.0.0.1", "exporter.yaml"];
        lab.serve("labgrid-exporter", &words)?;
        lab.client(&["create"])?;
        lab.client(&["add-match", &format!("lab/{PLACE}/*")])?;
        while lab.client(&["show"])?.matches("Matching resource").count() < 2 {
            ensure(begin.elapsed() < SHORT, || "the exporter exports nothing".into())?;
        }
        Ok(lab)
    }

    /// A program of labgrid's environment, in the lab's folder. It is ended where it has no end.
    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.arg(LONG).arg(ENVIRONMENT.program(program));
        let path = std::env::var("PATH").unwrap_or_default();
        command.args(arguments).current_dir(&self.folder).stdin(Stdio::null());
        command.env("PATH", format!("{}:{path}", ENVIRONMENT.programs().display()));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    fn serve(&mut self, program: &str, arguments: &[&str]) -> Expected {
        let failed = |error: std::io::Error| format!("{program}: {error}");
        let log = File::create(self.folder.join(format!("{program}.log"))).map_err(failed)?;
        let mut command = self.command(program, arguments);
        let child = command.stdout(log.try_clone().map_err(failed)?).stderr(log).spawn().map_err(failed)?;
        self.services.push(child);
        Ok(())
    }

    /// `labgrid-client` with the place.
    fn client(&self, arguments: &[&str]) -> Result<String, String> {
        let words = [&["-x", &*self.coordinator, "-p", PLACE], arguments].concat();
        let output = self.command("labgrid-client", &words).output().map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        ensure(output.status.success(), || format!("labgrid-client {}: {}", words.join(" "), text(&output.stderr)))?;
        Ok(text(&output.stdout))
    }

    /// `pytest` as a lab starts it. Returns its status.
    fn pytest(&self, arguments: &[&str]) -> Result<Option<i32>, String> {
        let files = workspace::root().join("ci/labgrid").display().to_string();
        let environment = format!("{files}/env.yaml");
        let report = self.session.report().display().to_string();
        let words = [
            &["-v", "-p", "no:cacheprovider", "--lg-env", &environment, "--lg-coordinator", &self.coordinator][..],
            &["--junitxml", "pytest.xml", "--inflight-report", &report],
            arguments,
            &[&*files],
        ];
        let mut command = self.command("pytest", &words.concat());
        command.envs([("LG_PLACE", PLACE), ("LG_SITE", &self.folder.display().to_string())]);
        command.env("LG_INFLIGHT", self.session.program);
        command.env("XDG_STATE_HOME", self.session.folder.with_extension("state"));
        let output = command.output().map_err(|error| format!("pytest: {error}"))?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        fs::write(self.folder.join(SAID), &said).map_err(|error| error.to_string())?;
        Ok(output.status.code())
    }

    /// The same with a report of this outcome, and the place is nobody's afterwards.
    fn judged(&self, arguments: &[&str], status: i32, outcome: &str) -> Result<Value, String> {
        let mut act = || {
            let ended = self.pytest(arguments)?;
            self.released()?;
            let text =
                fs::read_to_string(self.session.report().join("report.json")).map_err(|error| error.to_string())?;
            Ok((ended, serde_json::from_str::<Value>(&text).map_err(|error| error.to_string())?))
        };
        let (ended, report) = unless_late(&mut act, |(_, report)| Some(report))?;
        self.ended(ended, status)?;
        ensure(report["outcome"] == outcome, || format!("outcome {}, not {outcome}", report["outcome"]))?;
        Ok(report)
    }

    fn ended(&self, ended: Option<i32>, status: i32) -> Expected {
        let said = || fs::read_to_string(self.folder.join(SAID)).unwrap_or_default();
        ensure(ended == Some(status), || format!("pytest ended with {ended:?}, not {status}:\n{}", said()))
    }

    /// What pytest said holds all of these.
    fn said(&self, words: &[&str]) -> Expected {
        let said = fs::read_to_string(self.folder.join(SAID)).map_err(|error| error.to_string())?;
        let missing = words.iter().find(|word| !said.contains(**word));
        ensure(missing.is_none(), || format!("no `{}` in:\n{said}", missing.unwrap_or(&"")))
    }

    /// Nobody has the place.
    fn released(&self) -> Expected {
        let owner = self.client(&["show"])?;
        ensure(owner.contains("acquired: None"), || format!("the place is not released: {owner}"))
    }
}

impl Drop for Lab<'_> {
    fn drop(&mut self) {
        for service in &mut self.services {
            // It may have ended by itself. `timeout` hands this signal on.
            let _ = kill_process(Pid::from_child(service), Signal::TERM);
            let _ = service.wait();
        }
    }
}

/// Acquired, flashed, switched, captured, judged, switched off, released: each scenario is a test, each check a subtest.
fn whole(session: &Session<'_>) -> Expected {
    let place = Place::new(Some(&session.folder.join("esp")), NEVER)?;
    let lab = Lab::start(session, &place)?;
    let report = lab.judged(&[], 0, "pass")?;
    ensure(report["board"] == PLACE, || format!("the report is of {}", report["board"]))?;
    let runs = report["runs"].as_array().into_iter().flatten();
    let checks = runs.clone().flat_map(|run| run["checks"].as_array().into_iter().flatten());
    let passed = checks.filter(|check| check["verdict"] == "pass").count() + runs.count();
    lab.said(&[&format!(" {passed} subtests passed")])?;
    let junit = fs::read_to_string(lab.folder.join("pytest.xml")).map_err(|error| error.to_string())?;
    ensure(junit.contains("dma.no-blocked: fails as expected"), || "not in pytest's own report".into())?;
    ensure(!place.is_on(), || "the board is still on".into())
}

/// What is not as expected fails by its name, and its place is released all the same.
fn planted(session: &Session<'_>) -> Expected {
    let place = Place::new(Some(&session.folder.join("esp")), NEVER)?;
    let lab = Lab::start(session, &place)?;
    lab.judged(&["--scenario", "adopt", "--payload", "--plant leaf-unmapped"], 1, "fail")?;
    lab.said(&["SUBFAILED[dma.no-blocked]", "dma.no-blocked: fail, expected pass", "planted fault: leaf-unmapped"])?;
    ensure(!place.is_on(), || "the board is still on".into())
}

/// A console that never speaks.
fn silent(session: &Session<'_>) -> Expected {
    let place = Place::new(None, NEVER)?;
    let lab = Lab::start(session, &place)?;
    lab.judged(&["--scenario", "adopt"], 1, "lost")?;
    lab.said(&["the console never spoke"])
}

/// A console that is cut in the middle of a run; and then nobody serves it.
fn cut(session: &Session<'_>) -> Expected {
    let place = Place::new(Some(&session.folder.join("esp")), 10_000)?;
    let lab = Lab::start(session, &place)?;
    lab.judged(&["--scenario", "adopt"], 1, "lost")?;
    lab.said(&["StrategyError: console: "])?;
    ensure(!place.is_on(), || "the board is still on".into())?;
    lab.ended(lab.pytest(&["--scenario", "adopt"])?, 1)?;
    lab.said(&["Could not open serial port", "Connection refused"])?;
    lab.released()
}

/// A place that somebody has is left alone, and stays theirs.
fn taken(session: &Session<'_>) -> Expected {
    let place = Place::new(None, NEVER)?;
    let lab = Lab::start(session, &place)?;
    lab.client(&["acquire"])?;
    lab.ended(lab.pytest(&[])?, 4)?;
    lab.said(&["place rack-7: acquire: ", "already acquired"])?;
    ensure(lab.released().is_err(), || "it was taken away".into())
}
