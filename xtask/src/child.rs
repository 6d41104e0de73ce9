//! Commands of the lab and of the system, each with a deadline.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::exit::{stopped, usage};
use crate::run::is_stopped;

/// How often is looked whether it has ended.
const TURN: Duration = Duration::from_millis(20);
/// Bytes of its output that are kept.
const MOST: u64 = 1 << 20;
/// Bytes of its input that are counted together.
const STEP: usize = 1 << 14;

/// Runs a command to its end and returns what it printed. `variables` are set for it alone: no secret is on its command line.
///
/// # Errors
/// One line: it cannot be started, failed (with the last line that it said), or had no end in time; then it is killed with all
/// that it started.
pub fn run(words: &[&str], variables: &[(&str, &str)], deadline: Duration) -> anyhow::Result<String> {
    feed(words, variables, Vec::new(), &mut |_| Ok(()), deadline)
}

/// The same with an input. `sent` hears again and again how many bytes of it were taken since, and may end the command.
///
/// # Errors
/// As [`run`]; or that of `sent`, or Ctrl-C.
pub fn feed(
    words: &[&str],
    variables: &[(&str, &str)],
    input: Vec<u8>,
    sent: &mut dyn FnMut(usize) -> anyhow::Result<()>,
    deadline: Duration,
) -> anyhow::Result<String> {
    let mut command = command(words, variables)?;
    let from = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
    let mut child = spawn(command.stdin(from).stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    // Read while it runs: a full pipe would stop it.
    let out = std::thread::spawn(move || out.map(text).unwrap_or_default());
    let err = std::thread::spawn(move || err.map(text).unwrap_or_default());
    let taken = Arc::new(AtomicUsize::new(0));
    if let Some(mut pipe) = child.stdin.take() {
        let taken = Arc::clone(&taken);
        // It ends with the input, or with the command: whoever goes away closes the pipe.
        std::thread::spawn(move || {
            for part in input.chunks(STEP) {
                if pipe.write_all(part).is_err() {
                    return;
                }
                taken.fetch_add(part.len(), Ordering::Relaxed);
            }
        });
    }
    let mut told = 0;
    let ended = end(&mut child, deadline, &mut || {
        let now = taken.load(Ordering::Relaxed);
        let more = now - std::mem::replace(&mut told, now);
        sent(more)
    });
    let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    let said = [&err, &out].into_iter().find_map(|text| text.lines().map(str::trim).rfind(|line| !line.is_empty()));
    judge(words, ended?, deadline, said).map(|()| out)
}

/// Runs a command whose output is for the user, as it comes. `variables` are set for it alone.
///
/// # Errors
/// As [`run`], without what it said; or Ctrl-C.
pub fn run_shown(words: &[String], variables: &[(&str, &str)], deadline: Duration) -> anyhow::Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut child = spawn(command(&words, variables)?.stdin(Stdio::null()))?;
    let ended = end(&mut child, deadline, &mut || if is_stopped() { Err(stopped()) } else { Ok(()) })?;
    judge(&words, ended, deadline, None)
}

fn command(words: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<Command> {
    use std::os::unix::process::CommandExt;
    let Some((program, arguments)) = words.split_first() else {
        return Err(usage("a command of the board file is empty"));
    };
    let mut command = Command::new(program);
    command.args(arguments).envs(variables.iter().copied()).process_group(0);
    Ok(command)
}

fn spawn(command: &mut Command) -> anyhow::Result<Child> {
    let started = command.spawn();
    started.map_err(|error| usage(format!("cannot start `{}`: {error}", command.get_program().to_string_lossy())))
}

/// Waits for the end. Nothing: it had none in time, and was killed with all that it started; as it is where `turn` fails.
fn end(
    child: &mut Child,
    deadline: Duration,
    turn: &mut dyn FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Option<ExitStatus>> {
    let begin = Instant::now();
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break turn().map(|()| Some(status)),
            Ok(None) if begin.elapsed() < deadline => std::thread::sleep(TURN),
            _ => break Ok(None),
        }
        if let Err(error) = turn() {
            break Err(error);
        }
    };
    if !matches!(ended, Ok(Some(_))) {
        // Fails only where nothing is left to kill; then it can be waited for.
        let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
        let _ = child.wait();
    }
    ended
}

fn judge(words: &[&str], ended: Option<ExitStatus>, deadline: Duration, said: Option<&str>) -> anyhow::Result<()> {
    let program = words.first().copied().unwrap_or_default();
    match ended {
        Some(status) if status.success() => Ok(()),
        Some(status) => {
            let said = said.map_or_else(String::new, |said| format!(": {said}"));
            Err(usage(format!("`{program}` failed ({status}){said}")))
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

    #[test]
    fn an_input_arrives_and_is_counted() {
        let (bytes, mut counted) = (vec![b'x'; 200_000], 0);
        let count = &mut |more| {
            counted += more;
            Ok(())
        };
        let said = feed(&["wc", "-c"], &[], bytes.clone(), count, Duration::from_secs(10)).unwrap();
        assert_eq!((said.trim(), counted), ("200000", 200_000));
        // One that reads nothing and does not end is killed; one that ends early has failed by its own word.
        let error = feed(&["sleep", "600"], &[], bytes.clone(), &mut |_| Ok(()), Duration::from_secs(1)).unwrap_err();
        assert_eq!(one_line(&error), "`sleep` had no end within 1 s");
        let error = feed(&["false"], &[], bytes, &mut |_| Ok(()), Duration::from_secs(10)).unwrap_err();
        assert_eq!(one_line(&error), "`false` failed (exit status: 1)");
    }
}
