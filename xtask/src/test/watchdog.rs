//! A board that hangs: its watchdog bites, and the next start says what was running.

use std::fs::File;
use std::time::Duration;

use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::session::{Ended, Session};
use super::{Case, Need};
use crate::run::Qmp;

/// Eight seconds: no wait of the payload is as long, also on a host that is busy.
const BOARD: &str = "run --board qemu-sbsa --option watchdog=8";

/// Lines on the console when a scenario runs under firmware; a boot with one has no more.
const RUNS: usize = 20;

/// All of them.
pub fn all() -> Vec<Case> {
    let cases = vec![
        Case::new("watchdog-sbsa", |session| {
            let ended = session.run(&words(&format!("{BOARD} --scenario adopt,reset")))?;
            expect::outcome(&ended, 0, "pass")?;
            expect::adopted(expect::run(&ended, "adopt")?)?;
            expect::was_reset(expect::run(&ended, "reset")?)?;
            ensure(expect::finding(&ended, "no-watchdog").is_err(), || "it is not armed".to_owned())
        }),
        Case::new("watchdog-refreshed", |session| {
            // Cycles for longer than it waits: nothing bites. What a busy host does to their counts is not the question here.
            let ended = session.run(&words(&format!("{BOARD} --scenario adopt,reset --for 20s")))?;
            let report = ended.report()?;
            ensure(report["lost"].is_null() && report["payload_outcome"] != "lost", || report["lost"].to_string())?;
            ensure(expect::runs(&ended)?.len() == 2, || "not two runs".to_owned())
        }),
        Case::new("watchdog-takeover", |session| {
            let ended =
                session.run(&words(&format!("{BOARD} --plant hang-takeover --scenario adopt,reset --cycles 2")))?;
            // Each dies in its second cycle, and the boot after it goes on with what is left.
            bitten(&ended, "the boot before died in adopt, cycle 1, in the blackout, step ", "goes on after it")?;
            bitten(&ended, "the boot before died in reset, cycle 1, in the blackout, step ", "goes on after it")?;
            for scenario in ["adopt", "reset"] {
                let run = expect::run(&ended, scenario)?;
                ensure(run["outcome"] == "lost" && run["cycles_done"] == 1, || format!("{scenario}: {run}"))?;
            }
            ensure(ended.report()?["payload_outcome"] == "lost", || "the board did not come to its end".to_owned())
        }),
        Case::new("watchdog-before", |session| {
            let ended = session.run(&words(&format!("{BOARD} --plant hang-before --scenario adopt")))?;
            bitten(&ended, "the boot before died in adopt, cycle 0, before the crash", "goes on after it")
        }),
        Case::new("watchdog-off", |session| {
            // The same hang without it: only the host's patience ends it.
            let arguments =
                "run --board qemu-sbsa --option watchdog=0 --plant hang-takeover --scenario adopt --timeout 15";
            let ended = session.run(&words(arguments))?;
            expect::outcome(&ended, 3, "lost")?;
            let reason = ended.report()?["lost"]["reason"].to_string();
            ensure(reason.contains("no end within 15 s") && !reason.contains("died"), || reason.clone())
        }),
        Case::new("watchdog-uefi", reset_by_somebody),
        Case::new("watchdog-begins-anew", begins_anew),
        Case::new("watchdog-variable", variable),
        Case::new("watchdog-not-there", |session| {
            let ended = session.run(&words("run --board qemu-virt-dt --scenario adopt --option watchdog=8"))?;
            expect::outcome(&ended, 0, "pass")?;
            expect::finding(&ended, "no-watchdog")
        }),
        Case::new("watchdog-too-short", |session| {
            let arguments = "run --board qemu-sbsa --option watchdog=6 --option watch_us=9000000 --scenario adopt";
            let ended = session.run(&words(arguments))?;
            expect::status(&ended, 2)?;
            ensure(ended.stderr.contains("watchdog=6: hold_us and watch_us take 14 s"), || ended.stderr.clone())
        }),
    ];
    // What the board's file asks for.
    cases.into_iter().map(|case| Case { needs: Some(Need::Qemu(10, 0)), ..case }).collect()
}

fn bitten(ended: &Ended, place: &str, consequence: &str) -> Expected {
    expect::outcome(ended, 3, "lost")?;
    let reason = ended.report()?["lost"]["reason"].to_string();
    let told = [place, consequence, "a watchdog of 8 s was armed"];
    ensure(told.iter().all(|words| reason.contains(words)), || reason.clone())
}

/// Under UEFI, where memory survives a reset too: here a person's, as this machine has no watchdog.
fn reset_by_somebody(session: &Session<'_>) -> Expected {
    let arguments = "run --scenario adopt,reset --option watchdog=8 --plant hang-takeover -- -action reboot=reset";
    // Each hangs within milliseconds.
    let ended = reset_at(session, arguments, &[RUNS, 2 * RUNS])?;
    expect::outcome(&ended, 3, "lost")?;
    let reason = ended.report()?["lost"]["reason"].to_string();
    let told =
        ["died in adopt, cycle 0, ", "died in reset, cycle 0, ", "no watchdog was armed; this boot goes on after it"];
    ensure(told.iter().all(|words| reason.contains(words)), || reason.clone())
}

/// A board that kept nothing, and begins anew in the middle of a run: nobody waits for what was heard before.
fn begins_anew(session: &Session<'_>) -> Expected {
    let arguments = "run --board qemu-sbsa --option watchdog=0 --scenario adopt --cycles 1000000 --";
    let ended = reset_at(session, arguments, &[RUNS])?;
    expect::outcome(&ended, 3, "lost")?;
    let reason = ended.report()?["lost"]["reason"].to_string();
    ensure(reason.contains("the board begins anew, and was not heard on"), || reason.clone())
}

/// Resets the machine two seconds after its console had so many lines, each time.
fn reset_at(session: &Session<'_>, arguments: &str, lines: &[usize]) -> Result<Ended, String> {
    let socket = session.folder.with_extension("qmp");
    let qmp = format!("unix:{},server=on,wait=off", socket.display());
    let mut running = session.start(&[words(arguments), vec!["-qmp".into(), qmp]].concat())?;
    for lines in lines {
        running.wait_for_console(*lines)?;
        std::thread::sleep(Duration::from_secs(2));
        let reset = Qmp::connect(&socket).and_then(|mut monitor| monitor.simple("system_reset"));
        reset.map_err(|error| format!("{error:#}"))?;
    }
    running.wait()
}

/// Firmware's variable alone is left where memory is not: a machine whose power was cut says at the next start what died, and begins
/// anew. The end of that run deletes it.
fn variable(session: &Session<'_>) -> Expected {
    let text = |error: std::io::Error| error.to_string();
    let flash = session.folder.with_extension("flash");
    File::create(&flash).and_then(|file| file.set_len(64 << 20)).map_err(text)?;
    let boot = |more: &str| {
        let arguments = format!("run --scenario adopt --option watchdog=8 {more} --");
        let drive = format!("if=pflash,format=raw,unit=1,file={}", flash.display());
        session.run(&[words(&arguments), vec!["-drive".into(), drive]].concat())
    };
    let hung = boot("--plant hang-takeover --timeout 20")?;
    expect::outcome(&hung, 3, "lost")?;
    let after = boot("")?;
    expect::outcome(&after, 0, "pass")?;
    expect::finding(&after, "the boot before died in adopt; where, its memory did not keep")?;
    let last = boot("")?;
    expect::outcome(&last, 0, "pass")?;
    ensure(expect::finding(&last, "died-before").is_err(), || "the variable outlived a run that ended".to_owned())
}
