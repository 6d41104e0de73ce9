//! Every takeover policy: what its streams did, which checks failed as documented, and QEMU's own trace beside it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use scenario::policy::After;
use scenario::{Policy, Scenario};
use serde_json::Value;

use super::Case;
use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::session::{Ended, FAST, Session};

/// One boot of all scenarios takes no longer.
const ALL: Duration = Duration::from_secs(60);

/// All of them.
pub fn all() -> Vec<Case> {
    let mut cases = vec![
        Case::new("policy-adopt-v7", |session| {
            let run = &witnessed(session, "adopt-v7")?;
            expect::adopted(run)?;
            only_failed(run, &["adopt.identifiers-reserved"])
        }),
        Case::new("policy-adopt-rmr-bypass", |session| {
            let run = &witnessed(session, "adopt-rmr-bypass")?;
            courses(run, After::Delivered, After::Untranslated)?;
            only_failed(
                run,
                &[
                    "dma.no-mis-steer",
                    "adopt.tables-identical",
                    "adopt.no-table-stores",
                    "rmr.ste-unchanged",
                    "protocol.no-violation",
                ],
            )?;
            expect::violates(run, "adopt.table-store")?;
            expect::violates(run, "structure.words-before-valid")
        }),
        Case::new("policy-abort", |session| {
            let run = &witnessed(session, "abort")?;
            courses(run, After::Blocked, After::Blocked)?;
            only_failed(run, &["dma.no-blocked", "dma.delivered-after"])
        }),
        Case::new("policy-bypass", |session| {
            let run = &witnessed(session, "bypass")?;
            courses(run, After::Untranslated, After::Untranslated)?;
            only_failed(run, &["dma.no-mis-steer", "dma.delivered-after", "protocol.no-violation"])?;
            expect::violates(run, "disable.without-abort")
        }),
        Case::new("policy-reset-evtq", |session| {
            // An RMR stream shares the level-2 table with all others: their STEs abort, and an abort is silent.
            let run = &witnessed(session, "reset-evtq")?;
            expect::was_reset(run)?;
            ensure(run["events"].as_array().is_some_and(Vec::is_empty), || format!("events: {}", run["events"]))
        }),
        Case::new("policy-reset-evtq-storm", reset_evtq_storm),
        Case::new("policy-reset-attach", reset_attach),
        Case::new("policy-quiesce-bme", |session| quiesced(session, "quiesce-bme")),
        Case::new("policy-quiesce-driver", |session| {
            let run = &quiesced_run(session, "quiesce-driver")?;
            courses(run, After::Silent, After::Silent)?;
            only_failed(run, &["rmr.ste-unchanged"])
        }),
        Case::new("step-hold", step_hold),
    ];
    cases.push(Case::new("policy-all", every_one));
    cases
}

fn witnessed(session: &Session<'_>, policy: &str) -> Result<Value, String> {
    let ended = session.run_with_witness(&words(&format!("run {FAST} --scenario {policy}")), false)?;
    run_of(&ended, policy)
}

pub(super) fn run_of(ended: &Ended, policy: &str) -> Result<Value, String> {
    expect::outcome(ended, 0, "pass")?;
    let run = expect::run(ended, policy)?;
    expect::live_streams(run)?;
    expect::only_broken(run, &[])?;
    expect::array(run, "streams")?.iter().try_for_each(|stream| expect::delivered(stream, "before"))?;
    Ok(run.clone())
}

/// What streams did after the takeover.
pub(super) fn courses(run: &Value, plain: After, rmr: After) -> Expected {
    let streams = expect::array(run, "streams")?;
    streams.iter().try_for_each(|stream| course(stream, if stream["rmr"] == true { rmr } else { plain }))
}

/// Which of delivered, blocked and mis-steered a stream shows after the takeover: exactly those that `after` says.
pub(super) fn course(stream: &Value, after: After) -> Expected {
    let shows = |key| expect::count(stream, "after", key).is_some_and(|units| units > 0);
    let wanted = (after.delivers(stream["rmr"] == true), after.blocks(), after.mis_steers());
    let seen = (shows("delivered"), shows("blocked"), shows("mis_steered"));
    ensure(seen == wanted, || format!("{} is to be {after:?}: {}", stream["bdf"], stream["after"]))
}

/// Exactly these checks saw their rule broken.
pub(super) fn only_failed(run: &Value, wanted: &[&str]) -> Expected {
    let failed = |check: &&Value| check["verdict"] == "fail";
    let found: BTreeSet<_> =
        expect::array(run, "checks")?.iter().filter(failed).filter_map(|c| c["id"].as_str()).collect();
    let wanted: BTreeSet<_> = wanted.iter().copied().collect();
    ensure(found == wanted, || format!("failed: {found:?}, wanted: {wanted:?}"))
}

pub(super) fn check<'a>(run: &'a Value, id: &str) -> Result<&'a Value, String> {
    let check = expect::array(run, "checks")?.iter().find(|check| check["id"] == id);
    check.ok_or_else(|| format!("no check {id}"))
}

/// Events of one kind and stream.
fn events(run: &Value, name: &str, stream: &Value) -> u64 {
    let rows = run["events"].as_array().into_iter().flatten();
    let own = rows.filter(|row| row["name"] == name && row["stream_id"] == stream["stream_id"]);
    own.filter_map(|row| row["count"].as_u64()).sum()
}

/// Without an RMR node no stream has a level-2 table: every refused access is an event, and the queue is read so that it goes
/// on.
fn reset_evtq_storm(session: &Session<'_>) -> Expected {
    /// The watch ends after 100 ms; HD Audio moves 48,000 samples a second, each at most one event.
    const MOST: u64 = 100_000;
    let table = crate::workspace::root().join("ci/fixtures/qemu-virt/IORT.aml");
    let arguments = [words("run --scenario reset-evtq --iort"), vec![table.display().to_string()]].concat();
    let ended = session.run_with_witness(&arguments, false)?;
    expect::outcome(&ended, 0, "pass")?;
    let run = expect::run(&ended, "reset-evtq")?;
    courses(run, After::Blocked, After::Blocked)?;
    only_failed(run, &["dma.no-blocked", "dma.delivered-after", "smmu.no-events"])?;
    let recorded = check(run, "evtq.recorded")?;
    ensure(recorded["verdict"] == "pass", || format!("{recorded}"))?;
    for stream in expect::array(run, "streams")? {
        let count = events(run, "C_BAD_STREAMID", stream);
        ensure((1..MOST).contains(&count), || format!("{} events of {}", count, stream["bdf"]))?;
        let others = ["F_TRANSLATION", "C_BAD_STE"].map(|name| events(run, name, stream));
        ensure(others == [0, 0], || format!("{others:?} other events of {}", stream["bdf"]))?;
    }
    ensure(ended.stdout.contains("/s)"), || format!("no event rate:\n{}", ended.stdout))
}

fn reset_attach(session: &Session<'_>) -> Expected {
    let run = &witnessed(session, "reset-attach")?;
    courses(run, After::Blocked, After::IdentityBlocked)?;
    let known = ["dma.no-blocked", "dma.delivered-after", "rmr.ste-unchanged", "smmu.no-events"];
    // The RMR stream may have moved between SMMUEN and its domain.
    let strays = expect::array(run, "streams")?.iter().any(|s| expect::count(s, "blackout", "mis_steered") > Some(0));
    only_failed(run, &[&known[..], if strays { &["dma.no-mis-steer"] } else { &[] }].concat())?;
    for stream in expect::array(run, "streams")? {
        ensure(events(run, "F_TRANSLATION", stream) > 0, || {
            format!("no fault of {}: {}", stream["bdf"], run["events"])
        })?;
    }
    Ok(())
}

fn quiesced_run(session: &Session<'_>, policy: &str) -> Result<Value, String> {
    let ended = session.run_with_silent(&words(&format!("run {FAST} --scenario {policy}")), &|_| true)?;
    run_of(&ended, policy)
}

/// Bus mastering off: nothing lands, and nothing reaches the SMMU, while HD Audio's position goes on.
fn quiesced(session: &Session<'_>, policy: &str) -> Expected {
    let run = &quiesced_run(session, policy)?;
    for stream in expect::array(run, "streams")? {
        let moved = ["delivered", "mis_steered"].map(|key| expect::count(stream, "after", key));
        ensure(moved == [Some(0), Some(0)], || format!("{} after: {}", stream["bdf"], stream["after"]))?;
    }
    // What the counter says in vain is no failure of the policy; QEMU's goes on.
    only_failed(run, &["dma.no-blocked", "rmr.ste-unchanged"])
}

/// Windows of microseconds, held open: a reset loses DMA in them, an adoption does not.
fn step_hold(session: &Session<'_>) -> Expected {
    let ended = session.run(&words("run --scenario adopt,adopt-v7,reset,adopt-rmr-bypass --option step-hold=1"))?;
    for policy in ["adopt", "adopt-v7"] {
        expect::adopted(&run_of(&ended, policy)?)?;
    }
    for stream in expect::array(&run_of(&ended, "reset")?, "streams")? {
        // Until its bypass is in force, the RMR stream is refused like the others.
        let blocked = expect::count(stream, "blackout", "blocked");
        ensure(blocked > Some(0), || format!("{} lost nothing: {}", stream["bdf"], stream["blackout"]))?;
    }
    let bypassed = run_of(&ended, "adopt-rmr-bypass")?;
    let rmr =
        expect::array(&bypassed, "streams")?.iter().find(|stream| stream["rmr"] == true).ok_or("no RMR stream")?;
    let strays = expect::count(rmr, "blackout", "mis_steered");
    ensure(strays > Some(0), || format!("nothing went astray between the steps: {}", rmr["blackout"]))
}

/// All in one boot, each compared with the others.
fn every_one(session: &Session<'_>) -> Expected {
    let begin = Instant::now();
    let ended = session.run(&words("run --scenario all"))?;
    let took = begin.elapsed();
    expect::outcome(&ended, 0, "pass")?;
    ensure(expect::runs(&ended)?.len() == Scenario::all().count(), || "not as many runs as scenarios".to_owned())?;
    // No endpoint of the board has these means; what a skipped run tells is tried elsewhere.
    let lacks = |policy: &Policy| matches!(policy, Policy::QuiesceFlr | Policy::QuiesceBusReset | Policy::QuiesceDpc);
    for policy in Policy::ALL.iter().filter(|policy| !lacks(policy)) {
        let (run, name) = (run_of(&ended, policy.name())?, policy.name());
        let streams = expect::array(&run, "streams")?;
        let row = ended.stdout.lines().find(|line| line.split_whitespace().next() == Some(name));
        let row = row.ok_or_else(|| format!("{name} is not compared"))?;
        // Streams that were delivered in the last phase, and of which something was blocked or mis-steered since the crash.
        let touched = |key: &str, phases: &[&str]| {
            let is_so = |stream: &&Value| phases.iter().any(|phase| expect::count(stream, phase, key) > Some(0));
            format!("{} of {}", streams.iter().filter(is_so).count(), streams.len())
        };
        let since_crash = ["blackout", "after"];
        let wanted =
            [touched("delivered", &["after"]), touched("blocked", &since_crash), touched("mis_steered", &since_crash)];
        let found = row.split("  ").map(str::trim).filter(|cell| cell.contains(" of 3"));
        ensure(found.clone().eq(wanted.iter().map(String::as_str)), || format!("{wanted:?} expected in: {row}"))?;
    }
    ensure(took < ALL, || format!("{} s", took.as_secs()))
}
