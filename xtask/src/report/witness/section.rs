//! The part of the report about the kernel itself.

use scenario::Damage;
use smmu::access::SmmuIndex;
use smmu::checker::{Followed, Profile, Report as Judged, Severity, Violation};

use super::checks::{self, Case};
use super::seen::{Log, Seen};
use super::told::{End, Told};
use super::{ended, last, reason};
use crate::capture;
use crate::report::collect::Cycle;
use crate::report::model::{Cost, Departure, Kernel, Name, Offence, OnSmmu, Witness};
use crate::report::protocol;

/// What became of a kernel in one cycle.
pub fn section(
    number: u32,
    cycle: &Cycle,
    told: &Told,
    (case, report, damage): (&Case<'_>, &Judged, Damage),
    asked: Option<&capture::Kernel>,
    symbols: Option<String>,
) -> Witness {
    let log = &case.log;
    let count = |is: &dyn Fn(&&Seen<'_>) -> bool| {
        log.all.iter().filter(is).map(|seen| u64::from(seen.entry.count)).fold(0, u64::saturating_add)
    };
    let offences = |is_known| {
        let own = report.found.iter().enumerate().filter(|(_, it)| it.severity == Severity::Violation);
        let own = own.filter(move |(_, it)| case.is_known(it) == is_known);
        own.map(|(_, violation)| offence(violation, log)).collect()
    };
    let left = report.followed.values().find_map(|followed| departure(followed, report.entries, told));
    // Registers of both revisions are the same (facts: smmu-kdump.md 6.1); an identifier used again, or a table that revision 10
    // refuses, is revision 7.
    let is_reused = report.found.iter().any(|it| it.rule == checks::REUSED);
    let is_told_apart = case.reads || is_reused || damage.must_be_refused(true);
    let cost = |end: &End| {
        let End { ticks, cost, traps, visits, forwarded, .. } = *end;
        Cost { ticks, trap_ticks: cost, traps, visits, forwarded }
    };
    Witness {
        kernel: kernel(asked, told),
        profile: profile_word(case.profile()),
        followed: followed(case, is_told_apart),
        profiles: case.profiles().map(|(smmu, profile)| on_smmu(smmu, profile, report, told)).collect(),
        accesses: count(&|seen| seen.is_register() && seen.is_trapped()),
        commands: log.commands.len() as u64,
        table_stores: log.table_stores().count() as u64,
        violations: offences(false),
        ended: ended(told).into(),
        reason: reason(told),
        cycle: number,
        cpus: u32::try_from(told.cpus()).unwrap_or(u32::MAX),
        fallback: case.profile() == Some(Profile::Fallback),
        reads: case.reads,
        left,
        taken_over: log.smmus().into_iter().filter_map(|smmu| log.taken_over(smmu)).max(),
        known: offences(true),
        last: last(cycle, told, log),
        cost: told.end.as_ref().map(cost),
        symbols,
    }
}

/// The profile in words; of SMMUs that differ, each its own.
fn followed(case: &Case<'_>, is_told_apart: bool) -> String {
    let profiles: Vec<_> = case.profiles().collect();
    let word = |profile: Option<Profile>| match profile {
        Some(Profile::AdoptV7) if !is_told_apart => "ADOPT-v7 (v10 not told apart without --watch-reads)".into(),
        profile => profile_word(profile),
    };
    match profiles.first() {
        None => word(None).into_owned(),
        Some((_, first)) if case.profile().is_some() => word(*first).into_owned(),
        Some(_) => {
            let each = profiles.iter().map(|(smmu, profile)| format!("{} on SMMU {}", word(*profile), smmu.0));
            each.collect::<Vec<_>>().join(", ")
        }
    }
}

fn on_smmu(smmu: SmmuIndex, profile: Option<Profile>, report: &Judged, told: &Told) -> OnSmmu {
    let fallback = profile == Some(Profile::Fallback);
    let followed = report.followed.get(&smmu);
    let left = followed.and_then(|followed| departure(followed, report.entries, told));
    let left =
        left.into_iter().chain(followed.into_iter().flat_map(|it| it.parted.iter().map(|(_, left)| parted(left))));
    OnSmmu { smmu: smmu.0, profile: profile_word(profile), fallback, left: left.collect() }
}

fn parted(left: &smmu::checker::Departure) -> Departure {
    Departure { entry: left.at, expected: left.expected.clone(), found: left.found.clone() }
}

/// Where a kernel left its sequence, or was in it when it was heard of last.
fn departure(followed: &Followed, entries: u64, told: &Told) -> Option<Departure> {
    let stopped = followed.due.clone().filter(|_| told.end.is_none());
    let stopped = stopped.map(|expected| Departure { entry: entries, expected, found: "nothing more".into() });
    followed.left.as_ref().map(parted).or(stopped)
}

/// The profile as `report.json` has it.
pub const fn profile_word(profile: Option<Profile>) -> Name {
    Name::Borrowed(match profile {
        Some(Profile::AdoptV7) => "ADOPT-v7",
        Some(Profile::AdoptV10) => "ADOPT-v10",
        Some(Profile::Reset | Profile::Fallback) => "RESET",
        None => "none",
    })
}

fn kernel(asked: Option<&capture::Kernel>, told: &Told) -> Kernel {
    let start = told.start.clone().unwrap_or_default();
    let Some(asked) = asked else { return start };
    let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    Kernel {
        name: text(&asked.name),
        sha256: text(&asked.sha256),
        version: asked.version.clone(),
        command_line: text(&asked.command_line),
        pages: asked.pages.clone(),
        initrd: asked.initrd.clone(),
        ..start
    }
}

fn offence(violation: &Violation, log: &Log<'_>) -> Offence {
    let at = violation.entries.last().and_then(|at| usize::try_from(*at).ok());
    let pc = at.and_then(|at| Some(log.all.get(at)?.foreign?.pc));
    Offence { broken: protocol::broken(violation), pc, symbol: pc.and_then(|pc| log.name(pc.0)) }
}
