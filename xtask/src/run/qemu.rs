//! The emulator as a child that never outlives this process.

use std::ffi::OsString;
use std::fs::File;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal, WaitIdOptions};

/// A running emulator; dropping it ends it.
#[derive(Debug)]
pub struct Emulator {
    child: Child,
    pid: Pid,
}

/// How an emulator ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// As the system reports it.
    pub status: ExitStatus,
    /// User and system time of all its threads.
    pub cpu: Duration,
}

impl Emulator {
    /// Starts it with its console on a pipe and its messages in `messages`.
    ///
    /// The thread that starts it must live as long as it may run: its end is what the system watches.
    pub fn start(command: &[OsString], messages: File) -> anyhow::Result<(Self, ChildStdout)> {
        use std::os::unix::process::CommandExt;
        let (program, arguments) = command.split_first().context("no command")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(messages);
        // A group of its own: Ctrl-C reaches this tool alone, and helpers that the emulator starts end with it.
        command.process_group(0);
        die_with_parent(&mut command);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.to_string_lossy()))?;
        let stdout = child.stdout.take();
        let pid = Pid::from_child(&child);
        let emulator = Self { child, pid };
        Ok((emulator, stdout.context("the emulator has no console pipe")?))
    }

    /// Waits until it ends by itself; ends it after `grace`.
    pub fn end(mut self, grace: Duration) -> anyhow::Result<Ended> {
        let deadline = Instant::now() + grace;
        while !self.has_ended()? {
            if Instant::now() >= deadline {
                self.kill();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        // Still there to be looked at until it is waited for.
        let cpu = cpu_time(self.pid);
        let status = self.child.wait().context("cannot wait for the emulator")?;
        Ok(Ended { status, cpu })
    }

    fn has_ended(&self) -> anyhow::Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let state = rustix::process::waitid(rustix::process::WaitId::Pid(self.pid), options);
        Ok(state.context("cannot ask for the emulator's state")?.is_some())
    }

    fn kill(&self) {
        // Fails only where nothing is left to kill.
        let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
            // It was killed: this returns.
            let _ = self.child.wait();
        }
    }
}

/// Lets the system end the child where this process is killed and cannot.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "code between fork and exec is the only place for it")]
fn die_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    let parent = rustix::process::getpid();
    let prepare = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the line above; then nobody would send the signal.
        if rustix::process::getppid() != Some(parent) {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are made: prctl and getppid. Neither allocates nor locks.
    unsafe { command.pre_exec(prepare) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut Command) {}

/// User and system time of a process that ended and was not yet waited for.
fn cpu_time(pid: Pid) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    // The program's name in parentheses may hold blanks; state is the first field after it, utime the 12th, stime the 13th.
    let fields = stat.rsplit(')').next().unwrap_or("").split_ascii_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_millis(ticks.saturating_mul(1000) / per_second)
}
