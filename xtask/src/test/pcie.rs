//! PCI Express errors that QEMU injects at a chosen moment: the check must see them, and name function and phase; and nothing else
//! may break.

use serde_json::Value;

use super::Case;
use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::session::{Ended, Session};

const BOARD: &str = "run --board qemu-virt-aer --scenario adopt";
const CHECK: &str = "pcie.no-new-errors";
const RNG: [&str; 2] = ["0000:01:00.0", "0000:02:00.0"];
const PORT: [&str; 2] = ["0000:00:05.0", "0000:00:06.0"];
/// A live stream's. It sets its own status bits and sends no message.
const NIC: &str = "0000:00:04.0";
const EMPTY_PORT: &str = "0000:00:07.0";

/// An injection, and what the report must say of it.
struct Injected {
    name: &'static str,
    phase: &'static str,
    /// Functions and QEMU's names of errors.
    errors: &'static [(&'static str, &'static str)],
    /// What the check's reason must hold.
    reason: &'static [&'static str],
    /// Functions that tell something new, and a part of what they tell.
    told: &'static [(&'static str, &'static str)],
}

const CASES: [Injected; 7] = [
    Injected {
        name: "non-fatal-before",
        phase: "before",
        errors: &[(RNG[0], "COMP_TIME")],
        reason: &["0000:01:00.0: Uncorrectable: Completion Timeout", "told to 0000:00:05.0"],
        told: &[(RNG[0], "Non-Fatal Error"), (PORT[0], "ERR_FATAL/NONFATAL")],
    },
    Injected {
        name: "non-fatal-blackout",
        phase: "blackout",
        errors: &[(RNG[1], "COMP_TIME")],
        reason: &["0000:02:00.0: Uncorrectable: Completion Timeout", "told to 0000:00:06.0"],
        told: &[(RNG[1], "Non-Fatal Error"), (PORT[1], "ERR_FATAL/NONFATAL")],
    },
    Injected {
        name: "fatal-blackout",
        phase: "blackout",
        errors: &[(RNG[0], "MALF_TLP")],
        reason: &["0000:01:00.0: Uncorrectable: Malformed TLP", "told to 0000:00:05.0"],
        told: &[(RNG[0], "Fatal Error"), (PORT[0], "Fatal Message")],
    },
    Injected {
        name: "fatal-after",
        phase: "after",
        errors: &[(RNG[1], "MALF_TLP:40000001,200000f,80001000,0")],
        reason: &["0000:02:00.0: Uncorrectable: Malformed TLP", "told to 0000:00:06.0"],
        told: &[(RNG[1], "Fatal Error"), (PORT[1], "Fatal Message")],
    },
    Injected {
        name: "correctable-after",
        phase: "after",
        errors: &[(RNG[0], "BAD_TLP")],
        reason: &["0000:01:00.0: Correctable: Bad TLP", "told to 0000:00:05.0"],
        told: &[(RNG[0], "Correctable Error"), (PORT[0], "ERR_COR")],
    },
    Injected {
        name: "two-functions",
        phase: "blackout",
        errors: &[(RNG[0], "POISON_TLP"), (RNG[1], "BAD_DLLP")],
        reason: &["0000:01:00.0: Uncorrectable: Poisoned TLP Received", "0000:02:00.0: Correctable: Bad DLLP"],
        told: &[(RNG[0], "Non-Fatal Error"), (RNG[1], "Correctable Error"), (PORT[0], "ERR_"), (PORT[1], "ERR_COR")],
    },
    // A port's own error: its source is the port itself.
    Injected {
        name: "root-port",
        phase: "after",
        errors: &[(EMPTY_PORT, "SDN")],
        reason: &["0000:00:07.0: Uncorrectable: Surprise Down"],
        told: &[(EMPTY_PORT, "Surprise Down")],
    },
];

/// All of them.
pub fn all() -> Vec<Case> {
    let mut cases: Vec<_> = CASES.iter().map(case).collect();
    cases.push(Case::new("pcie-no-error", |session| {
        let arguments = words("run --board qemu-virt-aer --scenario adopt,reset,abort,quiesce-bme");
        let ended = session.run(&arguments)?;
        expect::outcome(&ended, 0, "pass")?;
        for run in expect::runs(&ended)? {
            let check = check(run)?;
            ensure(check["verdict"] == "pass" && check["must_run"] == true, || format!("{check}"))?;
            ensure(run["pcie_errors"] == Value::Array(Vec::new()), || format!("{}", run["pcie_errors"]))?;
        }
        capabilities(&ended)
    }));
    // The trace of a refused request: documented where the policy refuses, since the crash, and nowhere else.
    for (name, scenario, moment, broken) in [
        ("pcie-refusal-documented", "abort", "after", &[][..]),
        ("pcie-refusal-too-early", "abort", "before", &[CHECK]),
        ("pcie-refusal-unexplained", "adopt", "after", &[CHECK]),
    ] {
        cases.push(Case::new(name, move |session| {
            let inject = format!("--inject {moment}={NIC}:UNSUP");
            let ended = session.run(&words(&format!("run --board qemu-virt-aer --scenario {scenario} {inject}")))?;
            expect::outcome(&ended, 1, "fail")?;
            let run = expect::run(&ended, scenario)?;
            expect::only_broken(run, broken)?;
            let check = check(run)?;
            ensure(check["verdict"] == "fail", || format!("{check}"))?;
            let reason = check["reason"].as_str().unwrap_or("");
            let wanted = format!("{NIC}: Uncorrectable: Unsupported Request");
            ensure(reason.starts_with(&wanted) && reason.ends_with(moment), || reason.to_owned())
        }));
    }
    // What cannot be injected leaves no verdict.
    cases.push(Case::new("pcie-nowhere", |session| {
        let arguments = words(&format!("{BOARD} --inject after=0000:09:00.0:COMP_TIME"));
        let ended = session.run(&arguments)?;
        expect::outcome(&ended, 3, "lost")?;
        let reason = ended.report()?["lost"]["reason"].to_string();
        ensure(reason.contains("QEMU has no device"), || reason.clone())
    }));
    cases
}

fn case(injected: &'static Injected) -> Case {
    Case::new(format!("pcie-{}", injected.name), move |session: &Session<'_>| {
        let Injected { phase, errors, .. } = injected;
        let inject: String = errors.iter().map(|(bdf, error)| format!(" --inject {phase}={bdf}:{error}")).collect();
        let ended = session.run(&words(&format!("{BOARD}{inject}")))?;
        expect::outcome(&ended, 1, "fail")?;
        ensure(ended.report()?["planted"] == format!("pcie-error-{phase}"), || "the report is not marked".to_owned())?;
        let run = expect::run(&ended, "adopt")?;
        expect::only_broken(run, &[CHECK])?;
        attributed(run, injected)
    })
}

fn check(run: &Value) -> Result<&Value, String> {
    let checks = expect::array(run, "checks")?;
    checks.iter().find(|check| check["id"] == CHECK).ok_or_else(|| format!("no check {CHECK}"))
}

/// The reason names them, first the function itself; every record is of this phase, and of these functions alone.
fn attributed(run: &Value, injected: &Injected) -> Expected {
    let reason = check(run)?["reason"].as_str().unwrap_or("").to_owned();
    for part in injected.reason.iter().chain(&[injected.phase]) {
        ensure(reason.contains(part), || format!("`{part}` is not in `{reason}`"))?;
    }
    let told = expect::array(run, "pcie_errors")?;
    for (bdf, part) in injected.told {
        let is =
            |error: &&Value| error["bdf"] == *bdf && error["text"].as_str().is_some_and(|text| text.contains(part));
        ensure(told.iter().any(|error| is(&error)), || format!("{bdf} does not tell {part}: {told:?}"))?;
    }
    for error in told {
        ensure(error["phase"] == injected.phase, || format!("another phase: {error}"))?;
        ensure(injected.told.iter().any(|(bdf, _)| error["bdf"] == *bdf), || format!("another function: {error}"))?;
    }
    if injected.errors.iter().any(|(_, error)| error.contains(',')) {
        let request = |error: &&Value| error["request"] == "memory write by 0000:02:00.0 at 0x80001000";
        ensure(told.iter().any(|error| request(&error)), || format!("the request is not in the log: {told:?}"))?;
    }
    for (bdf, _) in injected.errors.iter().filter(|(bdf, _)| RNG.contains(bdf)) {
        let sources = told.iter().flat_map(|error| error["sources"].as_array().into_iter().flatten());
        ensure(sources.into_iter().any(|source| source == bdf), || format!("no message of {bdf}: {told:?}"))?;
    }
    Ok(())
}

/// What the functions have is told as QEMU has it.
fn capabilities(ended: &Ended) -> Expected {
    let endpoints = &ended.report()?["platform"]["endpoints"];
    let of = |bdf: &str| {
        let mut all = endpoints.as_array().into_iter().flatten();
        all.find(|endpoint| endpoint["bdf"] == bdf).map_or(&Value::Null, |endpoint| &endpoint["pcie"])
    };
    let has =
        |bdf: &str, name: &str| of(bdf)["capabilities"].as_array().is_some_and(|all| all.iter().any(|it| it == name));
    ensure(of(RNG[0])["kind"] == "endpoint" && has(RNG[0], "AER"), || format!("{}", of(RNG[0])))?;
    ensure(of(PORT[0])["kind"] == "root port" && has(PORT[0], "AER"), || format!("{}", of(PORT[0])))?;
    let path = of(RNG[0])["open_at"].as_str().unwrap_or("").to_owned();
    ensure(path.starts_with(PORT[0]), || format!("QEMU's ports do not isolate; the path is open at `{path}`"))?;
    ensure(of("0000:00:02.0")["kind"] == "conventional", || format!("{}", of("0000:00:02.0")))
}
