//! Commands of the lab and of the system, each with a deadline.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::exit::usage;

/// How often is looked whether it has ended.
const TURN: Duration = Duration::from_millis(20);
/// Bytes of its output that are kept.
const MOST: u64 = 1 << 20;

/// Runs a command to its end and returns what it printed. `variables` are set for it alone: no secret is on its command line.
///
/// # Errors
/// One line: it cannot be started, failed (with the last line that it said), or had no end in time; then it is killed with all
/// that it started.
pub fn run(words: &[&str], variables: &[(&str, &str)], deadline: Duration) -> anyhow::Result<String> {
    use std::os::unix::process::CommandExt;
    let Some((program, arguments)) = words.split_first() else {
        return Err(usage("a command of the board file is empty"));
    };
    let mut command = Command::new(program);
    command.args(arguments).envs(variables.iter().copied()).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| usage(format!("cannot start `{program}`: {error}")))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    // Read while it runs: a full pipe would stop it.
    let out = std::thread::spawn(move || out.map(text).unwrap_or_default());
    let err = std::thread::spawn(move || err.map(text).unwrap_or_default());
    let begin = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if begin.elapsed() < deadline => std::thread::sleep(TURN),
            _ => break None,
        }
    };
    if status.is_none() {
        // Fails only where nothing is left to kill; then it can be waited for.
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
        let _ = child.wait();
    }
    let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    match status {
        Some(status) if status.success() => Ok(out),
        Some(status) => {
            let said =
                [&err, &out].into_iter().find_map(|text| text.lines().map(str::trim).rfind(|line| !line.is_empty()));
            Err(usage(format!(
                "`{program}` failed ({status}){}",
                said.map_or_else(String::new, |said| format!(": {said}"))
            )))
        }
        None => Err(usage(format!("`{program}` had no end within {} s", deadline.as_secs()))),
    }
}

fn text(from: impl Read) -> String {
    let mut bytes = Vec::new();
    // What cannot be read was not said.
    let _ = from.take(MOST).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::one_line;

    #[test]
    fn what_it_printed_comes_back_and_its_variables_are_its_own() {
        let said = run(&["sh", "-c", "printf %s \"$SECRET\""], &[("SECRET", "word")], Duration::from_secs(10)).unwrap();
        assert_eq!(said, "word");
        assert!(std::env::var_os("SECRET").is_none());
    }

    #[test]
    fn a_command_that_fails_is_one_line_with_what_it_said() {
        let error =
            run(&["sh", "-c", "echo first; echo broken >&2; exit 3"], &[], Duration::from_secs(10)).unwrap_err();
        assert_eq!(one_line(&error), "`sh` failed (exit status: 3): broken");
        assert!(
            one_line(&run(&["no-such-program"], &[], TURN).unwrap_err()).contains("cannot start `no-such-program`")
        );
    }

    #[test]
    fn a_command_without_end_is_killed_with_its_children() {
        let begin = Instant::now();
        let error = run(&["sh", "-c", "sleep 600 & sleep 600"], &[], Duration::from_secs(1)).unwrap_err();
        assert_eq!(one_line(&error), "`sh` had no end within 1 s");
        // The pipe is closed, so the child of the child is gone, too.
        assert!(begin.elapsed() < Duration::from_secs(30));
    }
}
