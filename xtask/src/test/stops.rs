//! Runs that are cut short: no verdict may come of them, and nothing may stay behind.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::Case;
use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::session::{Ended, Running, Session, is_alive};

/// More cycles than any test waits for.
const ENDLESS: &str = "run --scenario adopt --cycles 1000000";

/// All of them.
pub fn all() -> Vec<Case> {
    vec![
        Case::new("qemu-killed", |session| {
            let (running, machine) = endless(session)?;
            kill_process(machine, Signal::KILL).map_err(|error| format!("cannot kill QEMU: {error}"))?;
            is_lost(&running.wait()?)
        }),
        Case::new("ctrl-c", |session| interrupted(session, Running::interrupt)),
        Case::new("sigint-to-xtask-alone", |session| interrupted(session, Running::interrupt_alone)),
        Case::new("hung", |session| {
            // The machine never executes an instruction.
            is_lost(&session.run(&words("run --scenario adopt --timeout 3 -- -S"))?)
        }),
        Case::new("log-damaged", |session| {
            let log = kept_log(session)?;
            let at = record_in_the_middle(&log)?;
            let mut damaged = log;
            damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
            is_lost(&rerendered(session, &damaged)?)
        }),
        Case::new("log-cut", |session| {
            let log = kept_log(session)?;
            let at = record_in_the_middle(&log)?;
            is_lost(&rerendered(session, &log[..at])?)
        }),
        Case::new("log-kept", |session| {
            let log = kept_log(session)?;
            let ended = rerendered(session, &log)?;
            expect::outcome(&ended, 0, "pass")?;
            expect::adopted(expect::run(&ended, "adopt")?)
        }),
    ]
}

fn endless(session: &Session<'_>) -> Result<(Running, Pid), String> {
    let mut running = session.start(&words(ENDLESS))?;
    running.wait_for_console(20)?;
    let machine = running.machine()?;
    Ok((running, machine))
}

fn is_lost(ended: &Ended) -> Expected {
    expect::outcome(ended, 3, "lost")?;
    let lost = &ended.report()?["lost"];
    let has = |key: &str| lost[key].as_str().is_some_and(|text| !text.is_empty());
    ensure(has("reason") && has("last_seen"), || format!("lost without a reason or the last thing seen: {lost}"))
}

fn interrupted(session: &Session<'_>, interrupt: fn(&Running) -> Result<(), String>) -> Expected {
    let (running, machine) = endless(session)?;
    interrupt(&running)?;
    let ended = running.wait()?;
    ensure(ended.status != Some(0), || "an interrupted run ended with status 0".to_owned())?;
    // The kernel takes a moment to bury it.
    for _ in 0..100 {
        if !is_alive(machine) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err("QEMU is still running".to_owned())
}

/// Console log of a good run.
fn kept_log(session: &Session<'_>) -> Result<Vec<u8>, String> {
    let ended = session.run(&words("run --scenario adopt"))?;
    expect::outcome(&ended, 0, "pass")?;
    let log = session.report().join("console.log");
    std::fs::read(&log).map_err(|error| format!("cannot read {}: {error}", log.display()))
}

/// A byte inside a record in the middle of the log: KTAP lines carry no checksum, records do.
fn record_in_the_middle(log: &[u8]) -> Result<usize, String> {
    let mut begin = 0;
    let mut records = Vec::new();
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(wire::PREFIX.as_bytes()) && line.len() > 40 {
            records.push(begin + 30);
        }
        begin += line.len();
    }
    records.get(records.len() / 2).copied().ok_or_else(|| "the log holds no record".to_owned())
}

fn rerendered(session: &Session<'_>, log: &[u8]) -> Result<Ended, String> {
    let file = session.folder.with_extension("log");
    std::fs::write(&file, log).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    session.run(&["report".to_owned(), file.display().to_string()])
}
