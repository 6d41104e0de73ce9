//! SMMUs that the payload finds in firmware's hands: their table is kept, and what firmware's device does goes on.

use serde_json::Value;

use super::Case;
use super::cases::{hex, register, words};
use super::expect::{self, Expected, ensure};
use super::session::{Ended, Session};

/// Both checks of the primary's own.
const CHECKS: [&str; 2] = ["firmware.adopted", "firmware.no-loss"];

/// All of them.
pub fn all() -> Vec<Case> {
    vec![
        Case::new("firmware-option", option),
        Case::new("firmware-linear", |session| {
            let arguments = "run --scenario adopt+firmware-table --option strtab=linear";
            adopted(&session.run(&words(arguments))?, "adopt+firmware-table")
        }),
        Case::new("firmware-policies", policies),
        Case::new("firmware-dropped", dropped),
    ]
}

/// The first scenario was started on an adopted table, and passed.
fn adopted(ended: &Ended, scenario: &str) -> Expected {
    expect::outcome(ended, 0, "pass")?;
    kept(expect::run(ended, scenario)?)?;
    expect::finding(ended, "firmware-reaches-kdump")
}

fn kept(run: &Value) -> Expected {
    let checks = expect::array(run, "checks")?;
    CHECKS.iter().try_for_each(|id| {
        let verdict = checks.iter().find(|check| check["id"] == *id).map(|check| &check["verdict"]);
        ensure(verdict.is_some_and(|verdict| verdict == "pass"), || format!("{}: {id} is {verdict:?}", run["scenario"]))
    })
}

/// Enabled before all else: the report shows it, the first cycle keeps it, and the second finds GBPA as it was.
fn option(session: &Session<'_>) -> Expected {
    // IHI 0070, 6.3.9 SMMUEN.
    const SMMUEN: u64 = 1;
    let ended = session.run(&words("run --option firmware-smmu=1"))?;
    adopted(&ended, "adopt")?;
    expect::adopted(expect::run(&ended, "adopt")?)?;
    expect::was_reset(expect::run(&ended, "reset")?)?;
    let smmus = ended.report()?["platform"]["smmus"].as_array().cloned().unwrap_or_default();
    let field = |smmu: &Value, name: &str| hex(&smmu[name]).ok_or_else(|| format!("no {name} of the SMMU: {smmu}"));
    ensure(!smmus.is_empty(), || "no SMMU in the report".to_owned())?;
    for smmu in &smmus {
        ensure(field(smmu, "cr0")? & SMMUEN != 0, || format!("not found enabled: {smmu}"))?;
    }
    let found = field(&smmus[0], "gbpa")?;
    // GBPA.ABORT (6.3.14): once firmware's table is gone, its streams must not pass at other addresses.
    for (scenario, wanted) in [("adopt", found), ("reset", found | 1 << 20)] {
        let (before, _) = register(expect::run(&ended, scenario)?, "GBPA")?;
        ensure(before == wanted, || format!("GBPA was found {found:#x}; before {scenario} it was {before:#x}"))?;
    }
    Ok(())
}

/// Firmware's stream fares under each policy as an identity mapping must, and leaves nothing for the next scenario.
fn policies(session: &Session<'_>) -> Expected {
    let names = ["adopt", "adopt-v7", "adopt-rmr-bypass", "reset", "reset-attach", "abort", "bypass", "adopt-attach"];
    let with: Vec<String> = names.iter().map(|name| format!("{name}+firmware-table,{name}")).collect();
    let ended = session.run(&words(&format!("run --scenario {}", with.join(","))))?;
    expect::outcome(&ended, 0, "pass")?;
    let runs = expect::runs(&ended)?;
    ensure(runs.len() == 2 * names.len(), || format!("{} runs", runs.len()))?;
    runs.iter().step_by(2).try_for_each(kept)
}

/// The way that loses firmware's DMA is told from the other.
fn dropped(session: &Session<'_>) -> Expected {
    let ended = session.run(&words("run --scenario adopt+firmware-table --plant firmware-dropped"))?;
    expect::outcome(&ended, 1, "fail")?;
    let run = expect::run(&ended, "adopt+firmware-table")?;
    expect::only_broken(run, &[&CHECKS[..], &["damage.found"]].concat())?;
    let reasons = run["checks"].to_string();
    ensure(reasons.contains("blocked, 0 mis-steered in the bring-up"), || format!("no count of it: {reasons}"))
}
