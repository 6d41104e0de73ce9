//! Devices stopped by resets: their own, and those of the ports above them.

use scenario::policy::After;
use scenario::quiesce::Means;
use serde_json::Value;

use super::Case;
use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::policies::{check, courses, only_failed, run_of};
use super::session::{Ended, Session};

/// The board whose endpoints are an audio controller on the root bus, a card without function level reset below a port, and
/// one with it below another.
const PORTS: &str = "run --board qemu-virt-ports --scenario";
const AUDIO: &str = "0000:00:02.0";
const PLAIN_CARD: &str = "0000:01:00.0";
const CARD_WITH_FLR: &str = "0000:02:00.0";

/// All of them.
pub fn all() -> Vec<Case> {
    vec![
        Case::new("quiesce-flr", |session| {
            let means = [Means::BusMaster, Means::BusReset, Means::Flr];
            stopped(session, "quiesce-flr", means)
        }),
        Case::new("quiesce-bus-reset", |session| {
            let means = [Means::BusMaster, Means::BusReset, Means::BusReset];
            stopped(session, "quiesce-bus-reset", means)
        }),
        Case::new("quiesce-bme-ports", |session| stopped(session, "quiesce-bme", [Means::BusMaster; 3])),
        Case::new("quiesce-driver-ports", |session| stopped(session, "quiesce-driver", [Means::Driver; 3])),
        Case::new("quiesce-without", |session| {
            let ended = session.run(&words("run --scenario adopt,quiesce-flr,quiesce-bus-reset,quiesce-dpc"))?;
            expect::outcome(&ended, 0, "pass")?;
            skipped(&ended, "quiesce-flr", "no endpoint at work has function level reset")?;
            skipped(&ended, "quiesce-bus-reset", "no endpoint at work lies below a port")?;
            skipped(&ended, "quiesce-dpc", "containment")
        }),
        Case::new("quiesce-port-denied", |session| {
            // The first port must not be touched: what is below it is stopped by the next means.
            let means = [Means::BusMaster, Means::BusMaster, Means::BusReset];
            stopped_with(session, "quiesce-bus-reset", "--option deny=0000:00:03.0", means)
        }),
        Case::new("quiesce-linear", |session| {
            // After the taker's two-level table QEMU would misread a linear one: no device is blamed for that, and no policy.
            let ended = session.run(&words(&format!("{PORTS} quiesce-driver,adopt --option strtab=linear")))?;
            expect::outcome(&ended, 1, "fail")?;
            for (scenario, id) in [("quiesce-driver", "quiesce.works-again"), ("adopt", "cycle.completed")] {
                let check = check(expect::run(&ended, scenario)?, id)?;
                let is_so = check["reason"].as_str().is_some_and(|reason| reason.contains("QEMU misreads it"));
                ensure(is_so, || format!("{scenario}: {check}"))?;
            }
            Ok(())
        }),
        Case::new("quiesce-skipped", |session| {
            let mut policies = ["quiesce-bme", "quiesce-driver", "quiesce-bus-reset", "quiesce-flr"].into_iter();
            policies.try_for_each(|policy| skipped_one(session, policy))
        }),
        Case::new("quiesce-not-back", |session| {
            // One device is never put to work: nothing of it is to be stopped, and it does not come back.
            let ended = session.run(&words(&format!("{PORTS} quiesce-driver --plant endpoint-off")))?;
            expect::outcome(&ended, 1, "fail")?;
            let run = expect::run(&ended, "quiesce-driver")?;
            let victim = expect::array(run, "streams")?.last().and_then(|stream| stream["bdf"].as_str());
            let check = check(run, "quiesce.works-again")?;
            let names = check["reason"].as_str().zip(victim).is_some_and(|(reason, bdf)| reason.contains(bdf));
            ensure(check["verdict"] == "fail" && names, || format!("{check}"))
        }),
        Case::new("quiesce-then-adopt", |session| {
            // A device that a reset brought back works for the next scenario, and the one after.
            let ended =
                session.run(&words(&format!("{PORTS} quiesce-bus-reset,adopt,quiesce-flr,reset --cycles 3")))?;
            expect::outcome(&ended, 0, "pass")?;
            expect::array(expect::run(&ended, "adopt")?, "streams")?
                .iter()
                .try_for_each(|stream| expect::delivered(stream, "after"))
        }),
    ]
}

fn skipped(ended: &Ended, policy: &str, why: &str) -> Expected {
    let check = check(expect::run(ended, policy)?, "scenario.possible")?;
    let is_so = check["verdict"] == "skip" && check["reason"].as_str().is_some_and(|reason| reason.contains(why));
    ensure(is_so, || format!("{policy}: {check}"))
}

/// One device is left at work: that is seen, and named.
fn skipped_one(session: &Session<'_>, policy: &str) -> Expected {
    let ended = session.run(&words(&format!("{PORTS} {policy} --plant stop-skipped")))?;
    expect::outcome(&ended, 1, "fail")?;
    let run = expect::run(&ended, policy)?;
    let victim = expect::array(run, "streams")?[0]["bdf"].as_str().unwrap_or_default();
    let check = check(run, "quiesce.silent")?;
    let reason = check["reason"].as_str().unwrap_or_default();
    ensure(check["verdict"] == "fail" && reason.contains(victim), || format!("{check}"))
}

/// Every device was stopped by its means, nothing of it reached the SMMU any more, and it works again.
fn stopped(session: &Session<'_>, policy: &str, means: [Means; 3]) -> Expected {
    stopped_with(session, policy, "", means)
}

/// The same with an option.
fn stopped_with(session: &Session<'_>, policy: &str, option: &str, means: [Means; 3]) -> Expected {
    let ended = session.run_with_silent(&words(&format!("{PORTS} {policy} {option}")), &|_| true)?;
    let run = &run_of(&ended, policy)?;
    // Nothing resets it: what it counts in vain is its own business.
    let each = || [AUDIO, PLAIN_CARD, CARD_WITH_FLR].into_iter().zip(means);
    let is_muted = |bdf: &str| each().any(|each| each == (bdf, Means::BusMaster));
    for stream in expect::array(run, "streams")? {
        let bdf = stream["bdf"].as_str().unwrap_or_default();
        let moved = ["delivered", "mis_steered"].map(|key| expect::count(stream, "after", key));
        ensure(moved == [Some(0), Some(0)], || format!("{bdf} after: {}", stream["after"]))?;
        let attempted = expect::count(stream, "after", "attempted");
        ensure(is_muted(bdf) || attempted == Some(0), || format!("{bdf} attempted {attempted:?}"))?;
    }
    if means[0] != Means::BusMaster {
        courses(run, After::Silent, After::Silent)?;
    }
    // What the counter of a muted device says in vain is no failure of the policy.
    let blocked: &[&str] = if means[0] == Means::BusMaster { &["dma.no-blocked"] } else { &[] };
    only_failed(run, &[blocked, &["rmr.ste-unchanged"]].concat())?;
    for id in ["quiesce.silent", "quiesce.works-again"] {
        let check = check(run, id)?;
        ensure(check["verdict"] == "pass", || format!("{check}"))?;
    }
    for (bdf, means) in each() {
        requester(run, bdf, means)?;
    }
    Ok(())
}

fn requester(run: &Value, bdf: &str, means: Means) -> Expected {
    /// A card may finish what it has begun, and others are told first; the observer looks every millisecond or so.
    const LATE_US: u64 = 50_000;
    let mut requesters = expect::array(run, "requesters")?.iter();
    let told = requesters.find(|told| told["bdf"] == bdf).ok_or_else(|| format!("no requester {bdf}"))?;
    let stopped = &told["stopped"];
    let ending = if means.hides() { "by-reset" } else { "when-told" };
    let is_so = told["ending"] == ending && told["answers"] == true && stopped["means"] == means.name();
    ensure(is_so, || format!("{told}"))?;
    let late = stopped["last_dma_us"].as_u64().unwrap_or(0);
    let took = stopped["took_us"].as_u64().unwrap_or(0);
    ensure(late < LATE_US && late <= took, || format!("{told}"))?;
    // 100 ms are a function's after each reset (PCI Express Base 6.0, 6.6).
    ensure((took >= 100_000) == means.hides(), || format!("{told}"))?;
    let sentence = told["sentence"].as_str().unwrap_or_default();
    let names = [bdf, "Intel Corporation", means.name(), "StreamID 0x"];
    ensure(names.iter().all(|part| sentence.contains(part)), || format!("a sentence of {bdf}: {sentence}"))
}
