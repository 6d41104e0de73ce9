//! Kinds of crash: the DMA that is documented, and the evidence that the image died as it was told to.

use std::time::Duration;

use serde_json::Value;

use super::Case;
use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::session::{Ended, FAST, Session};
use crate::workspace;

/// A kind, and the checks that only it must run, beside `crash.as-named`.
const KINDS: [(&str, &[&str]); 3] = [
    ("fault", &[]),
    ("hung-cpu", &["cpu.others-ran", "cycle.cpus-off"]),
    ("other-cpu", &["cpu.other-than-boot", "cycle.cpus-off"]),
];

/// All of them.
pub fn all() -> Vec<Case> {
    let mut cases: Vec<_> = KINDS
        .iter()
        .map(|(kind, _)| {
            Case::new(format!("crash-{kind}"), move |session| {
                let ended = session.run(&words(&format!("run {FAST} --scenario adopt@{kind},reset@{kind}")))?;
                expect::outcome(&ended, 0, "pass")?;
                of_kind(&ended, "adopt", kind)?;
                of_kind(&ended, "reset", kind)
            })
        })
        .collect();
    cases.extend([
        Case::new("crash-e2h", |session| adoptions(session, "--option e2h=1")),
        Case::new("crash-three-cpus", |session| adoptions(session, "-- -smp 3")),
        Case { deadline: Duration::from_secs(240), ..Case::new("crash-cycles", cycles) },
        Case::new("crash-one-cpu", one_cpu),
        Case::new("crash-cpu-not-started", |session| {
            // A devicetree that names no CPU: the scenario ought to have run, and could not.
            let blob = session.folder.with_extension("dtb");
            let made = std::fs::read(workspace::root().join("ci/fixtures/devicetree/smp2.dtb"));
            let made = without_cpus(&made.map_err(|error| error.to_string())?);
            std::fs::write(&blob, made).map_err(|error| error.to_string())?;
            let text = format!("run --board qemu-virt-dt --scenario adopt@other-cpu -- -dtb {}", blob.display());
            let ended = session.run(&words(&text))?;
            expect::outcome(&ended, 1, "fail")?;
            let check = check(expect::run(&ended, "adopt@other-cpu")?, "cpu.started")?.clone();
            ensure(check["verdict"] == "not-covered" && check["must_run"] == true, || format!("{check}"))
        }),
    ]);
    cases
}

/// Nodes and types that say "cpu" say something else of the same length.
fn without_cpus(blob: &[u8]) -> Vec<u8> {
    let mut blob = blob.to_vec();
    for at in 0..blob.len().saturating_sub(3) {
        if matches!(&blob[at..at + 4], b"cpu\0" | b"cpu@") {
            blob[at] = b'x';
        }
    }
    blob
}

fn check<'a>(run: &'a Value, id: &str) -> Result<&'a Value, String> {
    let found = expect::array(run, "checks")?.iter().find(|check| check["id"] == id);
    found.ok_or_else(|| format!("no check {id} in the run of {}", run["scenario"]))
}

/// The run is as the policy documents it, and the checks of its kind passed and had to run; those of other kinds do not
/// apply.
fn of_kind(ended: &Ended, policy: &str, kind: &str) -> Expected {
    let run = expect::run(ended, &format!("{policy}@{kind}"))?;
    let is_as_documented = if policy == "adopt" { expect::adopted } else { expect::was_reset };
    is_as_documented(run)?;
    let passed = |id: &str| {
        let check = check(run, id)?;
        ensure(check["verdict"] == "pass" && check["must_run"] == true, || format!("{policy}@{kind}: {check}"))
    };
    passed("crash.as-named")?;
    ensure(is_seen(&run["crash"], kind), || format!("{policy}@{kind}: {}", run["crash"]))?;
    for (other, ids) in KINDS {
        for id in ids.iter().copied() {
            if KINDS.iter().any(|(name, own)| *name == kind && own.contains(&id)) {
                passed(id)?;
            } else if let Ok(check) = check(run, id) {
                ensure(check["verdict"] == "skip", || format!("{policy}@{kind}: check of {other}: {check}"))?;
            }
        }
    }
    Ok(())
}

/// The report's own figures tell the same as the checks.
fn is_seen(crash: &Value, kind: &str) -> bool {
    let grows = |key: &str| {
        let count = |instant: usize| crash[key][instant].as_u64();
        count(0) > Some(0) && count(1) >= count(0) && count(2) >= count(1) && count(2) > count(0)
    };
    let is_elsewhere = crash["taker_cpu"] != crash["boot_cpu"];
    let is_fault = crash["cause"] == "exception" && crash["far"] == format!("{:#x}", scenario::crash::FAULT_ADDRESS);
    match kind {
        "fault" => is_fault && !is_elsewhere,
        "hung-cpu" => crash["cause"] == "call" && !is_elsewhere && grows("spins") && grows("rings"),
        "other-cpu" => crash["cause"] == "call" && is_elsewhere,
        _ => false,
    }
}

/// Every kind with `adopt`, with some more arguments.
fn adoptions(session: &Session<'_>, more: &str) -> Expected {
    let text = format!("run {FAST} --scenario adopt@fault,adopt@hung-cpu,adopt@other-cpu {more}");
    let ended = session.run(&words(&text))?;
    expect::outcome(&ended, 0, "pass")?;
    KINDS.iter().try_for_each(|(kind, _)| of_kind(&ended, "adopt", kind))
}

/// After each crash the other CPUs are off, so that the next can turn them on.
fn cycles(session: &Session<'_>) -> Expected {
    let ended = session.run(&words("run --scenario adopt@hung-cpu,reset@other-cpu,adopt@fault --cycles 5"))?;
    expect::outcome(&ended, 0, "pass")?;
    for name in ["adopt@hung-cpu", "reset@other-cpu", "adopt@fault"] {
        let run = expect::run(&ended, name)?;
        ensure(run["cycles_done"] == 5 && run["cycles_failed"] == 0, || {
            format!("{name}: {} cycles done, {} failed", run["cycles_done"], run["cycles_failed"])
        })?;
    }
    Ok(())
}

/// What takes a second CPU is skipped, and a run of nothing else is no pass.
fn one_cpu(session: &Session<'_>) -> Expected {
    let ended = session.run(&words("run --scenario adopt@fault,adopt@hung-cpu,reset@other-cpu -- -smp 1"))?;
    expect::outcome(&ended, 0, "pass")?;
    of_kind(&ended, "adopt", "fault")?;
    for name in ["adopt@hung-cpu", "reset@other-cpu"] {
        let check = check(expect::run(&ended, name)?, "scenario.possible")?;
        ensure(check["verdict"] == "skip", || format!("{name}: {check}"))?;
    }
    let ended = session.run(&words("run --scenario adopt@hung-cpu -- -smp 1"))?;
    expect::outcome(&ended, 1, "fail")
}
