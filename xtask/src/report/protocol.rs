//! The protocol checker on what a cycle told: the access log is put together again, and judged on the host.

mod documented;

use smmu::access::{Barrier, SmmuIndex, Structure};
use smmu::checker::{Checker, Coverage, Found, Report as Judged, Severity, Violation};
use smmu::log::{Entry, Op, What, structure_name};
use wire::Record;

use super::collect::{Cycle, RawRun};
use super::model::{Broken, Check, Departure, Protocol, ProtocolSmmu, Register, Verdict};

/// Name of the check.
pub const CHECK: &str = ::board::PROTOCOL_CHECK;
pub const SOURCE: &str = "IHI 0070; the clause of each rule";
/// Why a log ends too early: what it has is right.
pub const OVERFLOWED: &str = "the access log overflowed on the board";

/// An access as the log had it; `None` where a name or kind is one that this version does not know.
pub fn entry(record: &Record<'_>) -> Option<Entry> {
    let Record::Access { ticks, smmu, kind, name, address, value, count, stride, unbacked, .. } = *record else {
        return None;
    };
    let op = match kind {
        0 => Op::RegRead32,
        1 => Op::RegWrite32,
        2 => Op::RegRead64,
        3 => Op::RegWrite64,
        4 => Op::Load,
        5 => Op::Store,
        6 => Op::Barrier,
        8 => Op::Fill,
        _ => return None,
    };
    let what = match op {
        Op::Load | Op::Store | Op::Fill => What::Structure(structure(name)?),
        Op::Barrier => What::Barrier(barrier(value)?),
        _ => What::Register,
    };
    Some(Entry { ticks, smmu: SmmuIndex(smmu), op, what, address, value, count, stride, unbacked })
}

fn structure(name: &str) -> Option<Structure> {
    use Structure::{Cd, Command, Event, L1Cd, L1Std, Pte, Ste};
    [L1Std, Ste, L1Cd, Cd, Command, Event, Pte].into_iter().find(|structure| structure_name(*structure) == name)
}

fn barrier(value: u64) -> Option<Barrier> {
    use Barrier::{AfterIndexRead, BeforeDoorbell, PublishStructure};
    [PublishStructure, BeforeDoorbell, AfterIndexRead].into_iter().find(|barrier| *barrier as u64 == value)
}

/// Judges every cycle of a run that told its accesses. The check is of the first that is not as expected, else of the
/// first; a run without one, whose takeovers never began, has none.
pub fn judge(run: &RawRun) -> Option<(Check, Protocol)> {
    let told = run.cycles.iter().filter(|(_, cycle)| !cycle.entries.is_empty());
    let judged: Vec<_> = told.map(|(number, cycle)| one_cycle(*number, cycle, run)).collect();
    let first_bad = judged.iter().position(|(check, _)| !check.is_as_expected());
    judged.into_iter().nth(first_bad.unwrap_or(0))
}

/// What the checker says of a cycle's log, whatever its scenario; and why it cannot say more.
/// `length`: no more entries than these.
pub fn checked(cycle: &Cycle, is_damaged: bool, coverage: Coverage, length: usize) -> (Judged, Option<String>) {
    let missing = missing(cycle, is_damaged);
    let found = found(&cycle.registers);
    let mut checker = Checker::new(&found, coverage);
    for (_, entry) in in_order(cycle).iter().take(length) {
        checker.push(entry);
    }
    let report = checker.finish(missing.is_none());
    let unknown = (report.unjudged > 0 || found.is_empty())
        .then(|| "the registers of an SMMU before the takeover were not told".to_owned());
    (report, missing.or(unknown))
}

fn one_cycle(number: u32, cycle: &Cycle, run: &RawRun) -> (Check, Protocol) {
    let (report, missing) = checked(cycle, run.is_damaged, Coverage::ALL, usize::MAX);
    let (verdict, reason) = verdict(&report, missing, &run.scenario);
    let check = Check {
        id: CHECK.into(),
        verdict,
        expected: documented::expected(&run.scenario, cycle, &report),
        must_run: true,
        reason,
        source: SOURCE.into(),
        waived: None,
    };
    let is_whole = self::missing(cycle, run.is_damaged).is_none();
    (check, section(number, &report, is_whole))
}

/// Accesses and steps, as the log had them.
pub fn in_order(cycle: &Cycle) -> Vec<(u32, Entry)> {
    // What a step is called judges nothing; it only keeps its place.
    let step = |(index, _): &(u32, String)| {
        let (ticks, smmu, address, value) = (0, SmmuIndex(0), 0, 0);
        let (op, what) = (Op::Step, What::Step("step"));
        (*index, Entry { ticks, smmu, op, what, address, value, count: 1, stride: 0, unbacked: false })
    };
    let mut all: Vec<_> = cycle.entries.iter().copied().chain(cycle.steps.iter().map(step)).collect();
    all.sort_by_key(|(index, _)| *index);
    all
}

/// Why something is missing in the middle of the log: what its rest seems to break may be for want of that.
pub fn torn(cycle: &Cycle, is_damaged: bool) -> Option<String> {
    if is_damaged {
        return Some("lines of the console were lost or damaged".into());
    }
    let gap = (0..).zip(in_order(cycle)).find(|(due, (index, _))| due != index);
    gap.map(|(due, _)| format!("the access log has no single entry {due}"))
}

/// Why the log is not whole.
pub fn missing(cycle: &Cycle, is_damaged: bool) -> Option<String> {
    if let Some(torn) = torn(cycle, is_damaged) {
        return Some(torn);
    }
    if cycle.access_log.len() != cycle.entries.len() {
        return Some("the access log has entries of a kind that this version does not know".into());
    }
    let told = cycle.kernel.as_ref().and_then(|told| told.end.as_ref());
    let is_full = told.is_some_and(|end| end.overflowed);
    if is_full || cycle.checks.iter().any(|check| check.id == "log.complete" && check.verdict != Verdict::Pass) {
        return Some(OVERFLOWED.into());
    }
    cycle.end.is_none().then(|| "the cycle has no end".into())
}

/// SMMUs with the registers that they were found with.
pub fn found(registers: &[Register]) -> Vec<Found> {
    let mut smmus: Vec<u8> = registers.iter().map(|register| register.smmu).collect();
    smmus.dedup();
    let of = |smmu: u8| {
        let own = registers.iter().filter(move |register| register.smmu == smmu);
        Found::named(SmmuIndex(smmu), own.map(|register| (register.name.as_str(), register.before.0)))
    };
    smmus.into_iter().filter_map(of).collect()
}

fn verdict(report: &Judged, missing: Option<String>, scenario: &str) -> (Verdict, Option<String>) {
    if let Some(broken) = report.violations().next() {
        let Violation { rule, clause, text, smmu, .. } = broken;
        let at = broken.entries.last().map_or_else(String::new, |at| format!(", log entry {at}"));
        return (Verdict::Fail, Some(format!("{rule} [{clause}]{at}, SMMU {}: {text}", smmu.0)));
    }
    if let Some(missing) = missing {
        return (Verdict::NotCovered, Some(missing));
    }
    let left = report.followed.iter().find_map(|(smmu, followed)| match (&followed.profile, &followed.left) {
        (_, left) if documented::may_part(scenario, left.as_ref()) => None,
        (None, _) => Some(format!("SMMU {}: the log follows no reference sequence", smmu.0)),
        (Some(profile), Some(left)) => {
            let smmu::checker::Departure { at, expected, found } = left;
            Some(format!("SMMU {} leaves {} at log entry {at}: {found}; expected: {expected}", smmu.0, profile.name()))
        }
        (Some(_), None) => None,
    });
    match left {
        Some(left) => (Verdict::Fail, Some(left)),
        None => (Verdict::Pass, None),
    }
}

/// The part of the report.
pub fn section(cycle: u32, report: &Judged, complete: bool) -> Protocol {
    let smmus = report.followed.iter().map(|(smmu, followed)| ProtocolSmmu {
        smmu: smmu.0,
        profile: followed.profile.map(|profile| profile.name().into()),
        left: followed.left.as_ref().map(|left| Departure {
            entry: left.at,
            expected: left.expected.clone(),
            found: left.found.clone(),
        }),
    });
    let of = |severity| {
        let chosen = report.found.iter().filter(move |found| found.severity == severity);
        chosen.map(broken).collect()
    };
    Protocol {
        cycle,
        complete,
        entries: report.entries,
        smmus: smmus.collect(),
        violations: of(Severity::Violation),
        remarks: of(Severity::Remark),
    }
}

/// A broken rule of the report.
pub fn broken(found: &Violation) -> Broken {
    Broken {
        rule: found.rule.into(),
        clause: found.clause.into(),
        smmu: found.smmu.0,
        entries: found.entries.clone(),
        text: found.text.clone(),
        count: found.count,
    }
}

#[cfg(test)]
mod tests;
