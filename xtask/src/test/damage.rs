//! Every damage on the machine: there before the takeover, refused or not as documented, and nothing of it left afterwards.

use std::time::Duration;

use addr::StreamId;
use scenario::{Damage, Policy, Scenario};
use serde_json::Value;

use super::Case;
use super::cases::{register, with_rmr_on_uart, words};
use super::expect::{self, Expected, ensure};
use super::session::{Ended, FAST, Session};

/// All of them.
pub fn all() -> Vec<Case> {
    vec![
        Case { deadline: Duration::from_secs(300), ..Case::new("damages", damages) },
        Case::new("damage-linear", linear),
        Case::new("damage-fmt-two-level", fmt_two_level),
        Case::new("damage-list", list),
        Case::new("damage-witness", |session| {
            let names = ["l1-span-5", "stale-cmdq-error", "cmdq-unconsumed"];
            names.into_iter().try_for_each(|name| witnessed(session, name))
        }),
    ]
}

fn all_damages() -> impl Iterator<Item = Damage> {
    Damage::all().skip(1)
}

fn with_adopt(damage: Damage) -> Scenario {
    Scenario { damage, ..Scenario::plain(Policy::Adopt) }
}

/// What each leaves in a register, as the report shows it: name, register, bits, value. A second look beside the observer's.
const IN_REGISTERS: &[(&str, &str, u64, u64)] = &[
    // IHI 0070, 6.3.25: LOG2SIZE 5:0, SPLIT 10:6, FMT 17:16. QEMU has 16 bits of StreamID.
    ("strtab-log2size-below-split", "STRTAB_BASE_CFG", 0x3F, 7),
    ("strtab-log2size-above-sidsize", "STRTAB_BASE_CFG", 0x3F, 17),
    ("strtab-log2size-huge", "STRTAB_BASE_CFG", 0x3F, 63),
    ("strtab-split-6", "STRTAB_BASE_CFG", 0x7C0, 6 << 6),
    ("strtab-split-10", "STRTAB_BASE_CFG", 0x7C0, 10 << 6),
    ("strtab-split-reserved", "STRTAB_BASE_CFG", 0x7C0, 7 << 6),
    ("strtab-fmt-reserved", "STRTAB_BASE_CFG", 3 << 16, 2 << 16),
    ("strtab-fmt-linear", "STRTAB_BASE_CFG", 3 << 16, 0),
    ("strtab-fmt-two-level", "STRTAB_BASE_CFG", 3 << 16 | 0x7C0, 1 << 16 | 8 << 6),
    ("l1-beyond-2-17", "STRTAB_BASE_CFG", 0x3F, 26),
    // 6.3.9, 6.3.28 ERR.
    ("cmdq-unconsumed", "CR0", 8, 0),
    ("smmu-disabled", "CR0", 1, 0),
    ("stale-cmdq-error", "CMDQ_CONS", 0x7F << 24, 1 << 24),
];

/// The rule that must be the reason, by the beginning of the damage's name; none where there is no reason to refuse.
const RULES: &[(&str, &str)] = &[
    ("strtab-log2size-", "strtab-log2size"),
    ("strtab-split-", "strtab-split"),
    ("strtab-fmt-reserved", "strtab-format"),
    ("strtab-fmt-linear", "strtab-alignment"),
    // 16 bits of StreamID: too large for the SMMU already.
    ("l1-beyond-2-17", "strtab-log2size"),
    ("l1-span-", "l1-span"),
    ("l2-null", "l2-null"),
    ("l2-misaligned", "l2-alignment"),
    ("l2-outside-ram", "unbacked"),
    ("l2-in-kdump", "own-memory"),
    ("cd-null", "cd-table-null"),
    ("s1cdmax-too-large", "cd-table-size"),
    ("s1fmt-reserved", "cd-table-format"),
    ("asid-0", "asid"),
    ("s2vmid-0", "vmid"),
    ("ste-config-unknown", "ste-config"),
    ("smmu-disabled", "smmu-disabled"),
];

/// Each followed by an `adopt` that nothing of it may disturb, in one boot.
fn damages(session: &Session<'_>) -> Expected {
    let names: Vec<_> = all_damages().map(|damage| format!("{},adopt", with_adopt(damage))).collect();
    let ended = session.run(&words(&format!("run --scenario {}", names.join(","))))?;
    expect::outcome(&ended, 0, "pass")?;
    let runs = expect::runs(&ended)?;
    ensure(runs.len() == 2 * names.len(), || format!("{} runs of {} damages", runs.len(), names.len()))?;
    for (damage, pair) in all_damages().zip(runs.chunks(2)) {
        let name = damage.name();
        judged(damage, &pair[0]).map_err(|what| format!("{name}: {what}"))?;
        expect::adopted(&pair[1]).map_err(|what| format!("adopt after {name}: {what}"))?;
    }
    Ok(())
}

fn judged(damage: Damage, run: &Value) -> Expected {
    ensure(run["scenario"] == with_adopt(damage).to_string(), || format!("{} ran instead", run["scenario"]))?;
    // QEMU has no SubstreamIDs, and tables of two levels unless told otherwise.
    for (name, why) in [("l1cd-misaligned", "SSIDSIZE"), ("strtab-fmt-two-level", "two levels")] {
        if damage.name() == name {
            return skipped(run, why);
        }
    }
    let rule = RULES.iter().find(|row| damage.name().starts_with(row.0)).map_or("", |row| row.1);
    refused_or_not(damage, rule, run)?;
    if damage.is_adopted() { expect::adopted(run) } else { expect::was_reset(run) }
}

/// Found, answered by the rule, or by none where there is no reason to refuse, and nothing left of what was refused.
fn refused_or_not(damage: Damage, rule: &str, run: &Value) -> Expected {
    let verdict = |id: &str| {
        let check = expect::array(run, "checks")?.iter().find(|check| check["id"] == id);
        Ok::<_, String>(check.ok_or_else(|| format!("no check {id}"))?["verdict"].clone())
    };
    // Whatever an adoption does not mind, revision 10 refuses.
    let falls_back = !damage.is_adopted();
    for (id, wanted) in [
        ("damage.found", "pass"),
        ("damage.rule-fired", "pass"),
        ("damage.contained", if falls_back { "pass" } else { "skip" }),
        ("damage.one-refused", if damage.later_rule().is_some() { "pass" } else { "skip" }),
        ("smmu.no-events", if damage.leaves_events() { "fail" } else { "pass" }),
    ] {
        let seen = verdict(id)?;
        ensure(seen == wanted, || format!("{id} is {seen}, not {wanted}"))?;
    }
    let adopted = expect::array(run, "checks")?.iter().find(|check| check["id"] == "adopt.adopted");
    let reason = adopted.map(|check| check["reason"].to_string()).unwrap_or_default();
    let holds = if rule.is_empty() { !falls_back } else { reason.contains(&format!("reset instead: {rule}: ")) };
    ensure(holds, || format!("adopt.adopted says {reason}, wanted {rule}"))?;
    for (_, name, bits, value) in IN_REGISTERS.iter().filter(|row| row.0 == damage.name()) {
        let (before, _) = register(run, name)?;
        ensure(before & bits == *value, || format!("{name} was {before:#x} before the takeover"))?;
    }
    // The table in force tells which way it went.
    let (before, after) = register(run, "STRTAB_BASE")?;
    ensure((before != after) == falls_back, || format!("STRTAB_BASE was {before:#x} and is {after:#x}"))
}

/// No cycle ran, and the only check says why.
fn skipped(run: &Value, why: &str) -> Expected {
    let checks = run["checks"].to_string();
    ensure(run["cycles_done"] == 0 && checks.contains(r#""verdict":"skip""#) && checks.contains(why), || {
        format!("not skipped for {why}: {checks}")
    })
}

/// A table of one level has no descriptors to damage; its STEs can be.
fn linear(session: &Session<'_>) -> Expected {
    let scenarios = "adopt+asid-shared,adopt+l1-span-5,adopt+strtab-fmt-linear,adopt+ste-config-unknown";
    // What falls back comes last: QEMU keeps the format of the new table for good.
    let ended = session.run(&words(&format!("run --option strtab=linear --scenario {scenarios}")))?;
    expect::outcome(&ended, 0, "pass")?;
    expect::adopted(expect::run(&ended, "adopt+asid-shared")?)?;
    for name in ["adopt+l1-span-5", "adopt+strtab-fmt-linear"] {
        skipped(expect::run(&ended, name)?, "one level")?;
    }
    expect::was_reset(expect::run(&ended, "adopt+ste-config-unknown")?)
}

/// FMT lies the other way round: over a linear table, small or so large that its STEs are read as descriptors.
fn fmt_two_level(session: &Session<'_>) -> Expected {
    let damage = Damage::parse("strtab-fmt-two-level").ok_or("no such damage")?;
    let scenario = with_adopt(damage).to_string();
    let arguments = format!("--option strtab=linear --scenario {scenario}");
    let small = session.run(&words(&format!("run {arguments}")))?;
    expect::outcome(&small, 0, "pass")?;
    refused_or_not(damage, "strtab-log2size", expect::run(&small, &scenario)?)?;
    expect::was_reset(expect::run(&small, &scenario)?)?;
    // A reserved range for a stream of bus 1: LOG2SIZE 9.
    let large = session.run(&with_rmr_on_uart(session, StreamId(0x118), &arguments)?)?;
    expect::outcome(&large, 0, "pass")?;
    refused_or_not(damage, "l1-span", expect::run(&large, &scenario)?)?;
    // QEMU keeps what it has cached of the STEs: DMA lives until the taker invalidates.
    for stream in [&small, &large].map(|ended| expect::run(ended, &scenario)) {
        for stream in expect::array(stream?, "streams")? {
            let delivered = &stream["blackout"]["delivered"];
            ensure(delivered.as_u64() > Some(0), || {
                format!("{} delivered in the blackout: {delivered}", stream["bdf"])
            })?;
        }
    }
    Ok(())
}

/// All of them are listed, with what is expected, and `all` means them too.
fn list(session: &Session<'_>) -> Expected {
    let Ended { stdout, .. } = session.run(&words("run --list-scenarios"))?;
    let all: Vec<_> = Scenario::all().collect();
    for damage in all_damages() {
        let scenario = with_adopt(damage);
        ensure(all.contains(&scenario), || format!("`all` lacks {scenario}"))?;
        let documented = scenario.documented();
        let listed = format!(
            "{scenario}\n    expected: {}\n    source:   {}\n    risks:    {}\n",
            documented.expects,
            documented.source,
            scenario.risks()
        );
        ensure(stdout.contains(&listed), || format!("not listed: {listed}"))?;
    }
    Ok(())
}

/// QEMU's own trace tells the same story of the takeover.
fn witnessed(session: &Session<'_>, name: &str) -> Expected {
    let arguments = words(&format!("run {FAST} --scenario adopt+{name}"));
    let ended = session.run_with_witness(&arguments, false).map_err(|what| format!("{name}: {what}"))?;
    expect::outcome(&ended, 0, "pass")
}
