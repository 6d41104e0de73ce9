//! The census: a quiet machine, a device that another image left at work, and boards that must not refuse anybody anything.

use serde_json::Value;

use super::Case;
use super::cases::{with_mappings, words};
use super::expect::{self, Expected, ensure};
use super::policies::check;
use super::session::{Ended, Session};
use crate::build;

/// The device that `ci/left-running` leaves at work, and its StreamID by QEMU's IORT.
const CULPRIT: (&str, u32) = ("0000:00:02.0", 0x10);

/// All of them.
pub fn all() -> Vec<Case> {
    vec![
        Case::new("census-quiet", |session| {
            let ended = session.run(&words("run --scenario census"))?;
            expect::outcome(&ended, 0, "pass")?;
            let run = expect::run(&ended, "census")?;
            watched_by_refusal(&ended, run)?;
            ensure(active(run)?.is_empty() && run["streams"].as_array().is_some_and(Vec::is_empty), || format!("{run}"))
        }),
        Case::new("census-left-running", left_running),
        Case::new("census-then-adopt", |session| {
            let ended = session.run(&words("run --scenario census,adopt,census,reset --cycles 2"))?;
            expect::outcome(&ended, 0, "pass")?;
            expect::adopted(expect::run(&ended, "adopt")?)
        }),
        Case::new("census-not-allowed", |session| {
            let ended = session.run(&words("run --scenario adopt,census --option allow_risks=stray-write"))?;
            let check = check(expect::run(&ended, "census")?, "scenario.allowed")?;
            ensure(check["verdict"] == "skip", || format!("{check}"))
        }),
        Case::new("census-shared-stream", shared_stream),
        Case::new("census-stream-beyond", |session| {
            // The SMMU has StreamIDs of 16 bits: who goes by a longer one would not be recorded.
            let mappings = [[0, 0x17, 0], [0x18, 0x7, 0x1_0018]];
            let ended = session.run(&with_mappings(session, mappings, "--scenario census")?)?;
            expect::outcome(&ended, 1, "fail")?;
            let run = expect::run(&ended, "census")?;
            let watched = check(run, "census.watched")?;
            let names_it = watched["reason"].as_str().is_some_and(|reason| reason.contains("0x10018"));
            ensure(watched["verdict"] == "not-covered" && names_it, || format!("{watched}"))?;
            let quiet = check(run, "census.quiet")?;
            ensure(quiet["verdict"] == "not-covered", || format!("{quiet}"))
        }),
        Case::new("census-translating", |session| {
            // Whose streams firmware's own table serves is not recorded: no verdict, and no pass.
            let ended = session.run(&words("run --scenario census --option firmware-smmu=1"))?;
            expect::outcome(&ended, 1, "fail")?;
            ["census.watched", "census.quiet"].into_iter().try_for_each(|id| {
                let check = check(expect::run(&ended, "census")?, id)?;
                ensure(check["verdict"] == "not-covered", || format!("{check}"))
            })
        }),
    ]
}

/// QEMU updates no flags: there the SMMU is watched by refusal, and report and terminal say why.
fn watched_by_refusal(ended: &Ended, run: &Value) -> Expected {
    let [watched] = &expect::array(run, "watched")?[..] else { return Err(format!("not one SMMU: {run}")) };
    let how = watched["how"].as_str().unwrap_or_default();
    let is_refusal = watched["marks"] == false
        && how == "all DMA but to ranges of RMR nodes is refused and recorded: IDR0.HTTU is 0";
    ensure(is_refusal && ended.stdout.contains(how), || format!("{watched}, {}", ended.stdout))
}

fn active(run: &Value) -> Result<Vec<&Value>, String> {
    let is_active = |told: &&Value| !told["first_attempt_us"].is_null();
    Ok(expect::array(run, "requesters")?.iter().filter(is_active).collect())
}

fn behind_another(session: &Session<'_>, arguments: Vec<String>) -> Result<Ended, String> {
    let image = build::left_running().map_err(|error| format!("{error:#}"))?;
    session.run(&[arguments, vec!["--".into(), "-kernel".into(), image.display().to_string()]].concat())
}

/// Where two functions go by one StreamID, nobody can tell which it was: both are named.
fn shared_stream(session: &Session<'_>) -> Expected {
    let mappings = [[0, 0x17, 0], [0x18, 0x7, CULPRIT.1]];
    let ended = behind_another(session, with_mappings(session, mappings, "--scenario census")?)?;
    expect::outcome(&ended, 1, "fail")?;
    let quiet = check(expect::run(&ended, "census")?, "census.quiet")?;
    let names_both = "0000:00:02.0 or 0000:00:03.0 (StreamID 0x10) does DMA";
    ensure(quiet["reason"].as_str().is_some_and(|reason| reason.contains(names_both)), || format!("{quiet}"))
}

/// The device is named, with what it did and since when it may.
fn left_running(session: &Session<'_>) -> Expected {
    let ended = behind_another(session, words("run --scenario census"))?;
    expect::outcome(&ended, 1, "fail")?;
    let run = expect::run(&ended, "census")?;
    watched_by_refusal(&ended, run)?;
    let watched = check(run, "census.watched")?;
    ensure(watched["verdict"] == "pass", || format!("{watched}"))?;
    let quiet = check(run, "census.quiet")?;
    let (bdf, stream_id) = CULPRIT;
    let names_it = quiet["reason"].as_str().is_some_and(|reason| reason.contains(bdf));
    ensure(quiet["verdict"] == "fail" && names_it, || format!("{quiet}"))?;
    let [told] = active(run)?[..] else { return Err(format!("not one culprit: {}", run["requesters"])) };
    ensure(told["bdf"] == bdf && told["stream_id"] == stream_id && told["bus_master"] == true, || format!("{told}"))?;
    let sentence = told["sentence"].as_str().unwrap_or_default();
    let parts = ["HD Audio", "(StreamID 0x10) was doing DMA", "writes to page", "before the firmware's end"];
    ensure(parts.iter().all(|part| sentence.contains(part)), || sentence.to_owned())?;
    ensure(ended.stdout.contains(sentence), || format!("not on the terminal: {}", ended.stdout))?;
    // It goes on for as long as it is watched: a second.
    let last = told["last_attempt_us"].as_u64().unwrap_or(0);
    ensure(last > 900_000, || format!("{told}"))?;
    let endpoints = expect::array(&ended.report()?["platform"], "endpoints")?;
    let before = |bdf: &str| endpoints.iter().find(|e| e["bdf"] == bdf).map(|e| &e["bus_master_before_exit"]);
    ensure(before(bdf) == Some(&Value::Bool(true)), || format!("{endpoints:?}"))?;
    ensure(before("0000:00:03.0") == Some(&Value::Bool(false)), || format!("{endpoints:?}"))
}
