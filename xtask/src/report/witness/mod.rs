//! A kernel that took over while it was watched: judged here, from its log and what the streams did. The images only tell.

mod checks;
mod dma;
mod missing;
mod saw;
mod section;
mod seen;
mod symbols;
#[cfg(test)]
mod tests;
mod told;

use scenario::{Damage, Work};
use smmu::checker::Coverage;
use smmu::log::Op;

pub use symbols::Symbols;
pub use told::Told;

use super::collect::{Cycle, RawRun};
use super::model::{Access, Check, Endpoint, Hex, Last, Protocol, Run, Verdict, Witness};
use super::{merge, protocol};
use crate::capture;
use checks::Case;
use missing::Missing;
use saw::Saw;
use seen::Log;
use symbols::Names;

/// What the images themselves say of a kernel's end; the host has it said.
const SURVIVED: &str = "kdump.survived";
/// Of a reset without a word nobody knows whether a panic led to it.
const RESET_UNASKED: &str = "the kernel reset the machine, and nothing shows that it was asked to: with `panic=1`, and no console that \
     works, a panic looks the same; end it by power off, or by a restart that says so";
/// How a kernel ended of which no end was told.
const HANG: &str = "hang";

/// The damage that a kernel meets which takes over in such a run; `None`: no kernel does.
fn damage(scenario: &str) -> Option<Damage> {
    match Work::parse(scenario) {
        Ok(Work::Witness { damage, .. }) => Some(damage),
        _ => None,
    }
}

/// What the host knows beside the records.
#[derive(Clone, Copy, Default)]
pub struct Asked<'a> {
    /// The kernel.
    pub kernel: Option<&'a capture::Kernel>,
    /// Its symbols, or why there are none.
    pub symbols: Option<&'a Result<Symbols, String>>,
    /// Functions, with their SMMUs.
    pub endpoints: &'a [Endpoint],
}

/// A cycle with a kernel.
pub struct Verdicts {
    pub checks: Vec<Check>,
    pub protocol: Protocol,
    pub witness: Witness,
    pub access_log: Vec<Access>,
}

/// Judges every cycle; the section is of the first that is not as expected, else of the first. Of a run whose kernel never began
/// there is none, as of one without a kernel: the run itself says why.
pub fn judge(run: &RawRun, asked: Asked<'_>) -> Option<Verdicts> {
    let damage = damage(&run.scenario)?;
    let begun = run.cycles.iter().filter(|(_, cycle)| cycle.kernel.is_some());
    let mut judged: Vec<_> =
        begun.map(|(number, cycle)| one_cycle((*number, cycle), run.is_damaged, damage, asked)).collect();
    let is_bad = |verdicts: &Verdicts| !verdicts.checks.iter().all(Check::is_as_expected);
    let place = judged.iter().position(is_bad).unwrap_or(0);
    let mut checks: Vec<Check> = Vec::new();
    for check in judged.iter().flat_map(|verdicts| &verdicts.checks) {
        merge::check(&mut checks, check);
    }
    (!judged.is_empty()).then(|| Verdicts { checks, ..judged.swap_remove(place) })
}

/// Why nothing more came: a kernel that was not heard of again, or stays where it panicked.
pub fn hung(run: &Run) -> Option<String> {
    let is_hung = run.witness.as_ref().is_some_and(|witness| witness.cost.is_none());
    let survived = run.checks.iter().find(|check| check.id == SURVIVED)?;
    survived.reason.clone().filter(|_| is_hung)
}

fn one_cycle((number, cycle): (u32, &Cycle), is_damaged: bool, damage: Damage, asked: Asked<'_>) -> Verdicts {
    let told = cycle.kernel.clone().unwrap_or_default();
    let is_load = |(_, entry): &(u32, smmu::log::Entry)| entry.op == Op::Load && entry.count > 1;
    let reads = asked.kernel.map_or_else(|| cycle.entries.iter().any(is_load), |kernel| kernel.watch_reads);
    // A trap is a barrier: which of the kernel's own it made nobody sees.
    let coverage = Coverage { loads: reads, barriers: false, ..Coverage::ALL };
    let (mut report, lacking) = protocol::checked(cycle, is_damaged, coverage, usize::MAX);
    let unwatched = unwatched(cycle, &told);
    let placed = asked.symbols.map(|symbols| place(symbols.as_ref(), &told, cycle));
    let names = placed.as_ref().and_then(|placed| placed.as_ref().ok()).copied();
    let partial = told.end.as_ref().filter(|end| end.partial).map(|_| "not all tables were watched".to_owned());
    let log = Log::of(cycle, names);
    let missing = Missing::of(lacking, unwatched, &log);
    for (smmu, off) in log.smmus().into_iter().filter_map(|smmu| Some((smmu, log.shut_down(smmu)?.at))) {
        // An SMMU that is off forgets what it was owed; DMA met it before.
        let length = usize::try_from(off).unwrap_or(usize::MAX);
        let (until, _) = protocol::checked(cycle, is_damaged, coverage, length);
        let owed = until.found.into_iter().filter(|it| it.smmu == smmu && it.rule.starts_with(checks::ORDER));
        let owed: Vec<_> = owed.filter(|it| !report.found.contains(it)).collect();
        report.found.extend(owed);
    }
    let found = protocol::found(&cycle.registers);
    let mut case = Case::new(log, &report, found, reads, missing.clone(), partial);
    let effect = dma::effect(&case, cycle, asked.endpoints);
    let mut checks = vec![survived(cycle, &told, &case.log)];
    checks.extend(case.checks(effect));
    if let Some(torn) = protocol::torn(cycle, is_damaged) {
        checks
            .iter_mut()
            .skip(1)
            .filter(|it| it.verdict == Verdict::Fail)
            .for_each(|it| Saw::not_covered(&*torn).replace(it));
    }
    checks.extend(case.refused(damage));
    checks.extend(dma::checks(&case, cycle, asked.endpoints));
    let symbols = placed.as_ref().map(|placed| match placed {
        Ok(names) => format!("the kernel ran {:#x} above where it was linked", names.offset()),
        Err(reason) => reason.clone(),
    });
    let witness = section::section(number, cycle, &told, (&case, &report, damage), asked.kernel, symbols);
    let mut access_log = merge::access_log(cycle);
    for foreign in access_log.iter_mut().filter_map(|access| access.foreign.as_mut()) {
        foreign.symbol = case.log.name(foreign.pc.0);
    }
    let mut protocol = protocol::section(number, &report, missing.anywhere.is_none());
    // What all of them do is told, and is no news.
    protocol.violations.retain(|it| !witness.known.iter().any(|known| known.broken == *it));
    protocol.remarks.splice(0..0, witness.known.iter().map(|known| known.broken.clone()));
    Verdicts { checks, protocol, witness, access_log }
}

/// Why not all that the kernel did is known, beside what is wrong with any log.
fn unwatched(cycle: &Cycle, told: &Told) -> Option<String> {
    let end = told.end.as_ref();
    if end.is_none() {
        return Some("the kernel's end was not told".into());
    }
    let lacks = |(index, _): &&(u32, smmu::log::Entry)| !told.foreign.contains_key(index);
    cycle.entries.iter().find(lacks).map(|(index, _)| format!("nobody told who made access {index}"))
}

fn place<'a>(symbols: Result<&'a Symbols, &String>, told: &Told, cycle: &Cycle) -> Result<Names<'a>, String> {
    let symbols = symbols.map_err(Clone::clone)?;
    if told.end.is_none() && told.first_call == 0 {
        return Err("neither the kernel's end was told, nor its first call of firmware".into());
    }
    let is_register = |(_, entry): &&(u32, smmu::log::Entry)| entry.what == smmu::log::What::Register;
    let registers = cycle.entries.iter().filter(is_register);
    let mut driver: Vec<u64> = registers.filter_map(|(index, _)| Some(told.foreign.get(index)?.pc.0)).collect();
    driver.sort_unstable();
    driver.dedup();
    symbols.place(told.first_call, &driver)
}

/// How a kernel ended.
fn ended(told: &Told) -> &'static str {
    match told.end.as_ref().map(|end| end.ended) {
        // One that is not told to reset stays there.
        None | Some(1) if told.panic.is_some() => "panic",
        None => HANG,
        Some(0) => "off",
        Some(1) => "reset",
        Some(_) => "stopped",
    }
}

/// Why, where somebody says so.
fn reason(told: &Told) -> Option<String> {
    let said = told.end.as_ref().map(|end| end.reason.clone()).filter(|reason| !reason.is_empty());
    told.panic.clone().or(said)
}

/// The last that the kernel did.
fn last(cycle: &Cycle, told: &Told, log: &Log<'_>) -> Option<Last> {
    let access = log.all.iter().rfind(|seen| seen.is_access());
    let kinds: Vec<_> = merge::access_log(cycle);
    let words = access.and_then(|seen| {
        let logged = kinds.iter().find(|logged| u64::from(logged.index) == seen.at)?;
        Some(format!("{} of {}, {:#x}, log entry {}", logged.kind, logged.name, logged.value.0, seen.at))
    });
    let alive = told.alive.map(|alive| (alive.ticks, (alive.pc, Some(alive.cpu))));
    let accessed = access.and_then(|seen| {
        let foreign = seen.foreign?;
        Some((seen.entry.ticks, (foreign.pc.0, foreign.cpu.map(|cpu| cpu.0))))
    });
    let later = alive.into_iter().chain(accessed).max_by_key(|(ticks, _)| *ticks).map(|(_, place)| place);
    let (pc, cpu) = told.end.as_ref().map(|end| (end.pc, Some(end.cpu))).or(later)?;
    Some(Last { access: words, pc: Hex(pc), cpu: cpu.map(Hex), symbol: log.name(pc) })
}

/// Somebody wanted the reset: the console says so, or the SMMUs were turned off before, as `device_shutdown()` does on the way to a
/// restart and `emergency_restart()`, which ends a panic, does not (Linux, kernel/reboot.c).
fn is_asked_for(told: &Told, log: &Log<'_>) -> bool {
    let smmus = log.smmus();
    told.restarts || (!smmus.is_empty() && smmus.into_iter().all(|smmu| log.shut_down(smmu).is_some()))
}

/// It came to its own end. The image says so of a kernel that did; that another did not only the host may see.
fn survived(cycle: &Cycle, told: &Told, log: &Log<'_>) -> Check {
    let own = cycle.checks.iter().find(|check| check.id == SURVIVED);
    let at = last(cycle, told, log).map_or_else(String::new, |last| {
        let access = last.access.map_or_else(String::new, |access| format!("; its last access: {access}"));
        format!(", last seen at PC {}{access}", log.pc(last.pc.0))
    });
    let because = reason(told).map_or_else(String::new, |reason| format!(": {reason}"));
    let alive = told.alive.map_or_else(String::new, |alive| {
        format!(" after {} trap(s) and {} entries of the log", alive.traps, alive.accesses)
    });
    let saw = match ended(told) {
        "panic" => Saw::fail(format!("the kernel panicked{because}{at}")),
        HANG => Saw::fail(format!("the kernel was not heard of again{alive}{because}{at}")),
        "stopped" => Saw::not_covered(format!("the witness could not go on{because}{at}")),
        "reset" if !is_asked_for(told, log) => Saw::not_covered(format!("{RESET_UNASKED}{at}")),
        _ => match own {
            Some(check) if check.verdict == Verdict::Pass => Saw::PASS,
            Some(check) => Saw::said(check),
            None => Saw::not_covered("the image does not say how the kernel ended"),
        },
    };
    saw.check(SURVIVED, "Shrivastava, 1 Jul 2026: the crash kernel itself is hit")
}
