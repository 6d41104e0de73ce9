//! Expectations over an ended session. Each says in one line what differs.

use std::collections::BTreeSet;

use serde_json::Value;

use super::session::Ended;

/// Result of an expectation.
pub type Expected = Result<(), String>;

/// Fails with `what` unless `holds`.
pub fn ensure(holds: bool, what: impl FnOnce() -> String) -> Expected {
    if holds { Ok(()) } else { Err(what()) }
}

/// The exit status is this one.
pub fn status(ended: &Ended, wanted: i32) -> Expected {
    ensure(ended.status == Some(wanted), || {
        format!("exit status {:?}, not {wanted}\n{}\n{}", ended.status, ended.stderr.trim(), broken_words(ended))
    })
}

fn broken_words(ended: &Ended) -> String {
    let Some(report) = &ended.report else { return "no report".into() };
    let runs = report["runs"].as_array().into_iter().flatten();
    let runs = runs.map(|run| format!("{}: {}", run["scenario"], list(&broken(run)))).collect::<Vec<_>>();
    format!("lost: {}, problems: {}, not as expected: {}", report["lost"], report["problems"], runs.join("; "))
}

/// Exit status and outcome of the report.
pub fn outcome(ended: &Ended, wanted_status: i32, wanted: &str) -> Expected {
    status(ended, wanted_status)?;
    let outcome = &ended.report()?["outcome"];
    ensure(outcome == wanted, || format!("outcome {outcome}, not {wanted}"))
}

/// Runs of the report.
pub fn runs(ended: &Ended) -> Result<&Vec<Value>, String> {
    ended.report()?["runs"].as_array().ok_or_else(|| "no runs in the report".to_owned())
}

/// The run of one scenario.
pub fn run<'a>(ended: &'a Ended, scenario: &str) -> Result<&'a Value, String> {
    let run = runs(ended)?.iter().find(|run| run["scenario"] == scenario);
    run.ok_or_else(|| format!("no run of {scenario} in the report"))
}

/// The array `key` of a run, which must not be empty.
pub fn array<'a>(run: &'a Value, key: &str) -> Result<&'a Vec<Value>, String> {
    let array = run[key].as_array().filter(|array| !array.is_empty());
    array.ok_or_else(|| format!("no {key} in the run of {}", run["scenario"]))
}

/// Checks that are not as expected, by name.
pub fn broken(run: &Value) -> BTreeSet<String> {
    let checks = run["checks"].as_array().into_iter().flatten();
    let bad = checks.filter(|check| {
        check["verdict"] != check["expected"] || (check["must_run"] == true && check["verdict"] == "not-covered")
    });
    bad.filter_map(|check| check["id"].as_str()).map(str::to_owned).collect()
}

/// Of these, checks that fail.
pub fn failed(run: &Value) -> BTreeSet<String> {
    let checks = run["checks"].as_array().into_iter().flatten();
    let bad = checks.filter(|check| check["verdict"] == "fail" && check["expected"] != "fail");
    bad.filter_map(|check| check["id"].as_str()).map(str::to_owned).collect()
}

/// Exactly these checks are not as expected.
pub fn only_broken(run: &Value, wanted: &[&str]) -> Expected {
    let wanted: BTreeSet<_> = wanted.iter().map(|id| (*id).to_owned()).collect();
    let found = broken(run);
    ensure(found == wanted, || {
        let (more, less) = (found.difference(&wanted).cloned().collect(), wanted.difference(&found).cloned().collect());
        format!("checks that break without cause: {}; that do not notice the fault: {}", list(&more), list(&less))
    })
}

fn list(names: &BTreeSet<String>) -> String {
    if names.is_empty() { "none".into() } else { names.iter().map(String::as_str).collect::<Vec<_>>().join(", ") }
}

/// A count of a stream in a phase; absent counts are `None`.
pub fn count(stream: &Value, phase: &str, key: &str) -> Option<u64> {
    stream[phase][key].as_u64()
}

/// At least three streams of two kinds of endpoint, one of them RMR-covered.
pub fn live_streams(run: &Value) -> Expected {
    let streams = array(run, "streams")?;
    let kinds: BTreeSet<_> = streams.iter().filter_map(|stream| stream["endpoint"].as_str()).collect();
    let reserved = streams.iter().filter(|stream| stream["rmr"] == true).count();
    ensure(streams.len() >= 3 && kinds.len() >= 2 && reserved >= 1, || {
        format!("{} streams of {kinds:?}, {reserved} of them RMR-covered", streams.len())
    })
}

/// In this phase the stream moved data and all of it arrived.
pub fn delivered(stream: &Value, phase: &str) -> Expected {
    let get = |key| count(stream, phase, key);
    let good = get("delivered").is_some_and(|units| units > 0)
        && get("blocked").unwrap_or(0) == 0
        && get("mis_steered") == Some(0);
    ensure(good, || format!("stream {} {phase}: {}", stream["bdf"], stream[phase]))
}

/// The protocol checker judged a whole log, found nothing, and saw each SMMU follow this reference to its end.
pub fn followed(run: &Value, profile: &str) -> Expected {
    let checks = array(run, "checks")?;
    let check = checks.iter().find(|check| check["id"] == "protocol.no-violation").ok_or("no protocol check")?;
    ensure(check["verdict"] == "pass", || format!("protocol: {check}"))?;
    let protocol = &run["protocol"];
    let smmus = protocol["smmus"].as_array().filter(|smmus| !smmus.is_empty()).ok_or("no SMMU in the protocol")?;
    let fits = |smmu: &Value| smmu["profile"] == profile && smmu["left"].is_null();
    ensure(protocol["complete"] == true && smmus.iter().all(fits), || format!("not {profile} to its end: {protocol}"))?;
    ensure(protocol["violations"] == Value::Array(Vec::new()), || format!("violations: {protocol}"))
}

/// The protocol checker found nothing, and saw each SMMU leave this reference where it has `due`.
fn left_reference(run: &Value, profile: &str, due: &str) -> Expected {
    let protocol = &run["protocol"];
    let smmus = protocol["smmus"].as_array().filter(|smmus| !smmus.is_empty()).ok_or("no SMMU in the protocol")?;
    let fits = |smmu: &Value| smmu["profile"] == profile && smmu["left"]["expected"] == due;
    ensure(smmus.iter().all(fits), || format!("{profile} was not left at `{due}`: {protocol}"))?;
    ensure(protocol["violations"] == Value::Array(Vec::new()), || format!("violations: {protocol}"))
}

/// The protocol checker names this rule as broken, with entries of the log that prove it.
pub fn violates(run: &Value, rule: &str) -> Expected {
    let violations = run["protocol"]["violations"].as_array().ok_or("no violations in the report")?;
    let named = violations.iter().find(|violation| violation["rule"] == rule);
    let named = named.ok_or_else(|| format!("{rule} is not named: {}", run["protocol"]))?;
    let last = named["entries"].as_array().and_then(|entries| entries.last()?.as_u64());
    let last = last.ok_or_else(|| format!("{rule} is named without an entry: {named}"))?;
    let is_there = array(run, "access_log")?.iter().any(|access| access["index"] == last);
    ensure(is_there, || format!("{rule} is named by entry {last}, which the log has not"))
}

/// All of `adopt`: each stream delivered in each phase, nothing blocked or mis-steered, every check as expected.
pub fn adopted(run: &Value) -> Expected {
    ensure(run["outcome"] == "pass", || format!("outcome {}: {}", run["outcome"], list(&broken(run))))?;
    live_streams(run)?;
    array(run, "checks")?;
    only_broken(run, &[])?;
    let is_v7 = run["scenario"].as_str().is_some_and(|scenario| scenario.starts_with("adopt-v7"));
    followed(run, if is_v7 { "ADOPT v7" } else { "ADOPT v10" })?;
    for stream in array(run, "streams")? {
        ["before", "blackout", "after"].into_iter().try_for_each(|phase| delivered(stream, phase))?;
        ensure(stream["gap_ticks"].is_u64(), || format!("stream {} has no gap", stream["bdf"]))?;
    }
    Ok(())
}

/// All of `reset`: DMA stops with the takeover, and the RMR stream goes astray; documented, so the run passes.
pub fn was_reset(run: &Value) -> Expected {
    ensure(run["outcome"] == "pass", || format!("outcome {}: {}", run["outcome"], list(&broken(run))))?;
    live_streams(run)?;
    only_broken(run, &[])?;
    // An adoption that was refused resets as an adopting kernel does: without an event queue.
    match run["scenario"].as_str().unwrap_or_default() {
        "reset-evtq" => left_reference(run, "RESET", "CR0 written 0x9")?,
        scenario if scenario.starts_with("adopt") => followed(run, "RESET (fallback)")?,
        _ => followed(run, "RESET")?,
    }
    let failing = array(run, "checks")?.iter().any(|check| check["verdict"] == "fail" && check["expected"] == "fail");
    ensure(failing, || "no check says that DMA was lost".to_owned())?;
    for stream in array(run, "streams")? {
        delivered(stream, "before")?;
        let is_reserved = stream["rmr"] == true;
        let hurt = count(stream, "after", if is_reserved { "mis_steered" } else { "blocked" });
        ensure(hurt.is_some_and(|units| units > 0), || format!("stream {} after: {}", stream["bdf"], stream["after"]))?;
        ensure(is_reserved || count(stream, "after", "delivered") == Some(0), || {
            format!("stream {} was delivered after a reset: {}", stream["bdf"], stream["after"])
        })?;
    }
    Ok(())
}

/// Verdicts of a run, check by check.
pub fn verdicts(run: &Value) -> Vec<(String, String)> {
    let checks = run["checks"].as_array().into_iter().flatten();
    let mut verdicts: Vec<_> = checks.map(|check| (check["id"].to_string(), check["verdict"].to_string())).collect();
    verdicts.sort();
    verdicts
}

/// The report names a finding whose identifier, table or text holds this word.
pub fn finding(ended: &Ended, word: &str) -> Expected {
    let findings = ended.report()?["platform"]["findings"].to_string();
    ensure(findings.contains(word), || format!("no finding with `{word}`: {findings}"))
}
