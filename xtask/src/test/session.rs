//! One start of this tool, as a user starts it: its arguments, what it printed, its status, and its report.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use super::witness::{self, Claim};

/// Arguments for what does not depend on how the machine starts: without firmware a boot is a second shorter.
pub const FAST: &str = "--board qemu-virt-dt";

/// What a start needs: the program, and a folder of its own.
pub struct Session<'a> {
    pub program: &'a Path,
    pub folder: PathBuf,
    pub deadline: Duration,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit status; `None` where a signal ended it.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// Its `report.json`, where it wrote one.
    pub report: Option<Value>,
}

/// A start that is still running. It is killed, with all that it started, when it is dropped.
pub struct Running {
    child: Child,
    folder: PathBuf,
    begin: Instant,
    deadline: Duration,
}

impl Session<'_> {
    /// Starts this tool with `arguments` in a process group of its own. Where they begin with `run`, the report goes to the
    /// session's folder.
    pub fn start(&self, arguments: &[String]) -> Result<Running, String> {
        self.start_by(&[], arguments)
    }

    /// The same by other programs, each of which becomes the next: `words` are what stands before this tool.
    pub fn start_by(&self, words: &[String], arguments: &[String]) -> Result<Running, String> {
        let failed = |error: std::io::Error| format!("cannot prepare {}: {error}", self.folder.display());
        if self.folder.exists() {
            std::fs::remove_dir_all(&self.folder).map_err(failed)?;
        }
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        // A runner that was started in the background passes an ignored SIGINT on; `env` becomes the program itself.
        let mut command = Command::new("env");
        command.arg("--default-signal=INT");
        // What `flash` keeps is for its user's own folder, and the next start of this session finds it.
        command.arg(format!("XDG_STATE_HOME={}", self.folder.with_extension("state").display()));
        command.args(words).arg(self.program);
        let (before, after) = match arguments.iter().position(|argument| argument == "--") {
            Some(at) => arguments.split_at(at),
            None => (arguments, &[][..]),
        };
        command.args(before);
        let is_diff = before.get(1).is_some_and(|word| word == "diff");
        if before.first().is_some_and(|first| first == "run" || (first == "report" && !is_diff)) {
            command.arg("--report").arg(self.report());
        }
        command.args(after).stdin(Stdio::null());
        command.stdout(File::create(self.folder.join("stdout")).map_err(failed)?);
        command.stderr(File::create(self.folder.join("stderr")).map_err(failed)?);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().map_err(|error| format!("cannot start {}: {error}", self.program.display()))?;
        Ok(Running { child, folder: self.folder.clone(), begin: Instant::now(), deadline: self.deadline })
    }

    /// Starts and waits for the end. A host that is busy may let samples come too late, which says nothing of what is tested:
    /// then it starts again, and says so.
    pub fn run(&self, arguments: &[String]) -> Result<Ended, String> {
        unless_late(&mut || self.start(arguments)?.wait(), |ended| ended.report.as_ref())
    }

    /// [`Session::start_by`], to the end.
    pub fn run_by(&self, words: &[String], arguments: &[String]) -> Result<Ended, String> {
        self.start_by(words, arguments)?.wait()
    }

    /// Folder of its report.
    pub fn report(&self) -> PathBuf {
        self.folder.join("report")
    }

    /// Runs with QEMU's trace of the SMMU, and compares it with the report.
    pub fn run_with_witness(&self, arguments: &[String], has_fetches: bool) -> Result<Ended, String> {
        self.run_with(arguments, &|claim| claim.has_fetches = has_fetches)
    }

    /// The same for a policy that stops the devices of some streams: nothing of them may reach the SMMU any more.
    pub fn run_with_silent(&self, arguments: &[String], is_silent: &dyn Fn(u32) -> bool) -> Result<Ended, String> {
        self.run_with(arguments, &|claim| {
            claim.streams.iter_mut().for_each(|stream| stream.is_silent = is_silent(stream.stream_id));
        })
    }

    fn run_with(&self, arguments: &[String], change: &dyn Fn(&mut Claim)) -> Result<Ended, String> {
        let file = self.folder.join("smmu.trace");
        let file = file.to_str().ok_or("the folder's name is not text")?;
        let trace = ["--", "-trace", "smmuv3_*", "-D", file].map(str::to_owned);
        let ended = self.run(&[arguments, &trace].concat())?;
        let text = std::fs::read_to_string(file).map_err(|error| format!("no trace of QEMU: {error}"))?;
        let trace = witness::parse(&text)?;
        let mut claim = Claim::from_report(ended.report()?)?;
        change(&mut claim);
        let differences = witness::compare(&trace, &claim);
        if differences.is_empty() { Ok(ended) } else { Err(format!("second witness: {}", differences.join("\n"))) }
    }
}

/// Does it again, twice at most, where its report deviates in nothing but late samples.
pub fn unless_late<T>(
    act: &mut dyn FnMut() -> Result<T, String>,
    report: impl Fn(&T) -> Option<&Value>,
) -> Result<T, String> {
    let mut done = act()?;
    for _ in 0..2 {
        if !report(&done).is_some_and(is_only_late) {
            break;
        }
        println!("    (started again: samples came too late)");
        done = act()?;
    }
    Ok(done)
}

/// Checks deviate from what was expected, and all of them because the host let samples come too late.
fn is_only_late(report: &Value) -> bool {
    let runs = report["runs"].as_array().into_iter().flatten();
    let checks = runs.flat_map(|run| run["checks"].as_array().into_iter().flatten());
    let is_late = |check: &Value| {
        let reason = check["reason"].as_str().unwrap_or_default();
        check["verdict"] == "not-covered" && reason.ends_with("samples came too late")
    };
    let mut others = checks.filter(|check| check["verdict"] != check["expected"]).peekable();
    others.peek().is_some() && others.all(is_late)
}

impl Running {
    /// Waits for the end, within the deadline.
    pub fn wait(mut self) -> Result<Ended, String> {
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(self.ended(status.code())),
                Ok(None) if self.begin.elapsed() < self.deadline => std::thread::sleep(Duration::from_millis(10)),
                Ok(None) => return Err(format!("no end within {} s", self.deadline.as_secs())),
                Err(error) => return Err(format!("cannot wait: {error}")),
            }
        }
    }

    /// Waits until the console shows that a run has begun. The payload's records are many lines by then.
    pub fn wait_for_console(&mut self, lines: usize) -> Result<(), String> {
        let log = self.folder.join("report/console.log");
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended ({status}) before its console had {lines} lines"));
            }
            if std::fs::read(&log).is_ok_and(|text| text.iter().filter(|byte| **byte == b'\n').count() >= lines) {
                return Ok(());
            }
            if self.begin.elapsed() > self.deadline {
                return Err(format!("no {lines} console lines within {} s", self.deadline.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The process that it started as the machine.
    pub fn machine(&self) -> Result<Pid, String> {
        let parent = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
        let of_tasks = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        let all = children.into_iter().chain(of_tasks).collect::<Vec<_>>().join(" ");
        for id in all.split_whitespace().filter_map(|id| id.parse::<i32>().ok()) {
            if std::fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|name| name.starts_with("qemu-system")) {
                return Pid::from_raw(id).ok_or_else(|| "process 0".to_owned());
            }
        }
        Err("no QEMU is running below it".to_owned())
    }

    /// What a terminal does on Ctrl-C: the whole foreground group gets the signal.
    pub fn interrupt(&self) -> Result<(), String> {
        self.group().and_then(|group| kill_process_group(group, Signal::INT).map_err(|error| error.to_string()))
    }

    /// The signal goes to this tool alone, as from `kill`.
    pub fn interrupt_alone(&self) -> Result<(), String> {
        self.group().and_then(|process| kill_process(process, Signal::INT).map_err(|error| error.to_string()))
    }

    fn group(&self) -> Result<Pid, String> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| "no process".to_owned())
    }

    fn ended(&self, status: Option<i32>) -> Ended {
        let text = |name: &str| {
            let bytes = std::fs::read(self.folder.join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let report = serde_json::from_str(&text("report/report.json")).ok();
        Ended { status, stdout: text("stdout"), stderr: text("stderr"), report }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None))
            && let Ok(group) = self.group()
        {
            // Both may have ended meanwhile.
            let _ = kill_process_group(group, Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// Whether a process is alive.
pub fn is_alive(process: Pid) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    // A zombie has ended; it only waits to be counted.
    state.is_ok_and(|text| !text.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}

impl Ended {
    /// The report.
    pub fn report(&self) -> Result<&Value, String> {
        self.report
            .as_ref()
            .ok_or_else(|| format!("it wrote no report; status {:?}: {}", self.status, self.stderr.trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_late_samples_are_a_reason_to_start_again() {
        let check = |verdict: &str, reason: &str| json!({ "verdict": verdict, "expected": "pass", "reason": reason });
        let of = |checks: &[Value]| json!({ "runs": [{ "checks": checks }] });
        let (late, good) = (check("not-covered", "0000:00:02.0: 1 samples came too late"), check("pass", ""));
        assert!(is_only_late(&of(&[good.clone(), late.clone()])));
        assert!(!is_only_late(&of(&[good])) && !is_only_late(&of(&[])));
        assert!(!is_only_late(&of(&[late.clone(), check("fail", "0000:00:02.0: 1 mis-steered")])));
        assert!(!is_only_late(&of(&[late, check("not-covered", "no attempt")])));
        // A deviation that was expected is none.
        let known = json!({ "verdict": "not-covered", "expected": "not-covered", "reason": "1 samples came too late" });
        assert!(!is_only_late(&of(&[known])));
    }
}
