//! What a kernel's log must show, check by check. A rule that the checker finds broken counts for one check alone: for the one
//! that is about it, and else for `protocol.no-violation`.

use std::collections::BTreeSet;

use scenario::Damage;
use smmu::access::{SmmuIndex, Structure};
use smmu::checker::{Found, Profile, Report as Judged, Violation};
use smmu::log::Op;
use smmu::spec::registers as reg;

use super::dma::Effect;
use super::missing::Missing;
use super::saw::Saw;
use super::section::profile_word;
use super::seen::{Attach, Log, Seen};
use crate::report::model::Check;

/// Rules about the order of stores to live structures (IHI 0070, 3.21.3).
pub const ORDER: &str = "structure.";
/// What Linux leaves out, in every release so far: it fills a level-1 descriptor and invalidates with Leaf=1.
const LEAF: &str = "structure.l1std-leaf";
/// What it does on its way out: CR0 becomes 0, and GBPA stays as it was found.
const OFF: &str = "disable.without-abort";
/// How the checker tells that a table was adopted that ought to have been refused, or was not looked at.
const REFUSAL: &str = "a refusal of the table";
/// A new CD or stage 2 has an identifier of the crashed kernel's.
pub const REUSED: &str = "adopt.identifier-reused";
/// GERROR bits that a kernel acknowledges (Chen v3).
const ERRORS: u32 = 0x1FD;

/// All that the checks look at; what one has claimed is no other's.
pub struct Case<'a> {
    pub log: Log<'a>,
    pub report: &'a Judged,
    pub found: Vec<Found>,
    /// Reads of tables were watched.
    pub reads: bool,
    /// Why the log is not whole.
    pub missing: Missing,
    /// Why tables were not watched to their end.
    pub partial: Option<String>,
    /// Entries that a failed check is about.
    claimed: BTreeSet<u64>,
    /// Violations, by their place in the report, that a check is about.
    taken: BTreeSet<usize>,
}

const NO_ADOPTION: &str = "the kernel adopts no table";

impl<'a> Case<'a> {
    pub const fn new(
        log: Log<'a>,
        report: &'a Judged,
        found: Vec<Found>,
        reads: bool,
        missing: Missing,
        partial: Option<String>,
    ) -> Self {
        Self { log, report, found, reads, missing, partial, claimed: BTreeSet::new(), taken: BTreeSet::new() }
    }

    /// The profiles, of each SMMU that was touched.
    pub fn profiles(&self) -> impl Iterator<Item = (SmmuIndex, Option<Profile>)> {
        self.log.smmus().into_iter().map(|smmu| (smmu, self.profile_of(smmu)))
    }

    /// The profile that is one on every SMMU that was touched.
    pub fn profile(&self) -> Option<Profile> {
        let mut all = self.profiles().map(|(_, profile)| profile);
        let first = all.next()??;
        all.all(|profile| profile_word(profile) == profile_word(Some(first))).then_some(first)
    }

    /// The profile on one SMMU.
    pub fn profile_of(&self, smmu: SmmuIndex) -> Option<Profile> {
        self.report.followed.get(&smmu)?.profile
    }

    pub fn adopts(&self, smmu: SmmuIndex) -> bool {
        self.profile_of(smmu).is_some_and(Profile::is_adoption)
    }

    pub fn has_adopted(&self) -> bool {
        self.report.followed.keys().any(|smmu| self.adopts(*smmu))
    }

    fn violations(&self) -> impl Iterator<Item = (usize, &'a Violation)> + use<'a> {
        self.report.violations().enumerate()
    }

    /// Takes the violations that are of a check, and are nobody's yet; the first of them.
    fn take(&mut self, is: impl Fn(&Violation) -> bool) -> Option<&'a Violation> {
        let own: Vec<_> =
            self.violations().filter(|(index, violation)| !self.taken.contains(index) && is(violation)).collect();
        for (index, violation) in &own {
            self.taken.insert(*index);
            self.claimed.extend(violation.entries.last());
        }
        own.first().map(|(_, violation)| *violation)
    }

    fn told(&self, violation: &Violation) -> String {
        let Violation { rule, clause, text, smmu, .. } = violation;
        let at = violation.entries.last().map_or_else(String::new, |at| format!(", {}", self.log.place(*at)));
        format!("{rule} [{clause}]{at}, SMMU {}: {text}", smmu.0)
    }

    /// All checks of the log.
    pub fn checks(&mut self, effect: Effect) -> Vec<Check> {
        let saw = self.saw_accesses();
        let (validated, bypass, unchanged) = (self.validated(), self.rmr_bypass(), self.unchanged());
        let (gerror, hitless, leaf, off, reused) =
            (self.gerror(), self.hitless(), self.leaf(), self.off(), self.not_reused(effect));
        let violation = self.no_violation();
        let followed = self.followed();
        vec![saw, followed, violation, validated, unchanged, bypass, reused, hitless, leaf, gerror, off]
    }

    fn saw_accesses(&self) -> Check {
        let missing = |smmu: &&Found| smmu.cr0 & 1 != 0 && !self.log.smmus().contains(&smmu.smmu);
        let saw = match (self.log.smmus().is_empty(), self.found.iter().find(missing)) {
            (true, _) => Saw::fail("the kernel made no access to any SMMU"),
            (false, Some(smmu)) => {
                Saw::fail(format!("the kernel left SMMU {} enabled and never touched it", smmu.smmu.0))
            }
            _ => Saw::PASS,
        };
        saw.check("witness.saw-accesses", "ARCHITECTURE.md, witness")
    }

    /// Some reference sequence is followed to its end, or what came between is another check's.
    fn followed(&self) -> Check {
        let left = self.report.followed.iter().filter(|(smmu, _)| self.log.smmus().contains(smmu));
        let left = left.filter_map(|(smmu, followed)| match (&followed.profile, &followed.left) {
            (None, _) => {
                let each = followed.parted.iter().map(|(profile, left)| {
                    let (place, found, expected) = (self.log.place(left.at), &left.found, &left.expected);
                    format!("; not {}: {found} at {place}, expected: {expected}", profile.name())
                });
                let each: String = each.collect();
                Some(format!("SMMU {}: the accesses follow no reference sequence{each}", smmu.0))
            }
            (Some(_), Some(left)) if self.claimed.contains(&left.at) => None,
            (Some(profile), Some(left)) => {
                let place = self.log.place(left.at);
                let (profile, found, expected) = (profile.name(), &left.found, &left.expected);
                Some(format!("SMMU {} leaves {profile} at {place}: {found}; expected: {expected}", smmu.0))
            }
            (Some(_), None) => None,
        });
        let saw = left.map(Saw::fail).next().unwrap_or(Saw::PASS).unless(self.missing.in_takeover.as_ref());
        let saw = if self.log.smmus().is_empty() { Saw::not_covered("no access") } else { saw };
        saw.check("witness.profile-followed", "Linux, arm_smmu_device_reset(), 6.1 to 7.3; Chen v7, v10")
    }

    fn no_violation(&mut self) -> Check {
        let saw = match self.take(|_| true) {
            Some(broken) => Saw::fail(self.told(broken)),
            None if self.log.smmus().is_empty() => Saw::not_covered("no access"),
            None => Saw::PASS.unless(self.missing.anywhere.as_ref()).unless(self.partial.as_ref()),
        };
        saw.check(crate::report::protocol::CHECK, crate::report::protocol::SOURCE)
    }

    /// Every level-1 descriptor is read, and none is accepted that cannot be right, before the table is kept.
    fn validated(&mut self) -> Check {
        let refusal = self.report.departures().find(|(_, left)| left.expected == REFUSAL).map(|(_, left)| left.clone());
        let saw = match refusal {
            _ if !self.has_adopted() => Saw::skip(NO_ADOPTION),
            _ if !self.reads => Saw::skip("reads of the table were not watched; --watch-reads has them watched"),
            Some(left) => {
                self.claimed.insert(left.at);
                Saw::fail(format!("{}: adopted at {}", left.found, self.log.place(left.at)))
            }
            None => Saw::PASS.unless(self.missing.in_takeover.as_ref()).unless(self.partial.as_ref()),
        };
        saw.check("adopt.l1-validated", "IHI 0070 5.1; Chen v7 1/7; v10")
    }

    /// What the crashed image left broken is refused by a kernel that adopts, which resets instead.
    pub fn refused(&self, damage: Damage) -> Option<Check> {
        let all: Vec<Profile> = self.profiles().filter_map(|(_, profile)| profile).collect();
        let is_wrong = |it: &&Profile| it.is_adoption() && damage.must_be_refused(**it == Profile::AdoptV10);
        let saw = match all.iter().find(is_wrong) {
            _ if damage == Damage::NONE || all.is_empty() => return None,
            Some(profile) => Saw::fail(format!("{} is adopted all the same, as {}", damage.name(), profile.name())),
            None if self.has_adopted() => Saw::skip("such a table is adopted"),
            None if all.contains(&Profile::Fallback) => Saw::pass("the kernel fell back to a reset"),
            None => Saw::skip("the kernel resets whatever it finds"),
        };
        Some(saw.check("damage.rule-fired", "Chen v7 1/7, 7/7; v10"))
    }

    /// Stores to tables that are in force, before the takeover is complete.
    fn early_stores(&self) -> Vec<Seen<'a>> {
        let is_early = |seen: &&Seen<'a>| {
            let smmu = seen.entry.smmu;
            self.adopts(smmu) && self.log.taken_over(smmu).is_none_or(|end| seen.at < end)
        };
        self.log.table_stores().filter(is_early).copied().collect()
    }

    /// No live STE becomes a bypass because firmware reserves memory for its stream.
    fn rmr_bypass(&mut self) -> Check {
        let early = self.early_stores();
        let ste = |seen: &Seen<'_>| (seen.entry.smmu, seen.entry.address / 64);
        let bypassed: BTreeSet<_> = early.iter().filter(|seen| seen.is_bypass()).map(ste).collect();
        let own: Vec<_> =
            early.iter().filter(|seen| seen.is(Structure::Ste) && bypassed.contains(&ste(seen))).collect();
        let first = own.iter().find(|seen| seen.is_bypass()).copied();
        let entries: BTreeSet<u64> = own.iter().map(|seen| seen.at).collect();
        let saw = match first {
            Some(seen) => {
                self.claimed.extend(&entries);
                self.take(|violation| violation.entries.last().is_some_and(|at| entries.contains(at)));
                let (address, old) = (seen.entry.address, seen.old().unwrap_or(0));
                let place = self.log.place(seen.at);
                Saw::fail(format!("the live STE at {address:#x} was {old:#x} and becomes a bypass, {place}"))
            }
            None if !self.has_adopted() => Saw::skip(NO_ADOPTION),
            None => Saw::PASS.unless(self.missing.in_takeover.as_ref()).unless(self.partial.as_ref()),
        };
        saw.check("linux.rmr-bypass-in-live-table", "Chen v6 6/7: RMR bypass installed for kdump adoption")
    }

    /// Until a device is attached nothing of the crashed kernel's tables is stored to, and then its STE alone is.
    fn unchanged(&mut self) -> Check {
        let own = own_tables(&self.log);
        let is_own = |seen: &Seen<'_>| own.iter().any(|range| range.contains(&seen.entry.address));
        let mut stray = self.early_stores();
        // A CD of the crashed kernel, or a descriptor that led somewhere, is no attach's business.
        let later = self.log.table_stores().filter(|seen| {
            let is_linked = seen.is(Structure::L1Std) && seen.old().is_some_and(|old| old != 0);
            self.adopts(seen.entry.smmu) && (seen.is(Structure::Cd) || seen.is(Structure::L1Cd) || is_linked)
        });
        stray.extend(later);
        stray.retain(|seen| !self.claimed.contains(&seen.at) && !is_own(seen));
        stray.sort_by_key(|seen| seen.at);
        stray.dedup_by_key(|seen| seen.at);
        let entries: BTreeSet<u64> = stray.iter().map(|seen| seen.at).collect();
        let saw = match stray.first() {
            Some(seen) => {
                self.claimed.extend(&entries);
                self.take(|violation| violation.entries.last().is_some_and(|at| entries.contains(at)));
                let (name, address, value) = (seen.entry.name(), seen.entry.address, seen.entry.value);
                let (old, place) = (seen.old().unwrap_or(0), self.log.place(seen.at));
                Saw::fail(format!(
                    "{} store(s) to the crashed kernel's tables; the first: {name} at {address:#x} was {old:#x}, becomes \
                     {value:#x}, {place}",
                    stray.len()
                ))
            }
            None if !self.has_adopted() => Saw::skip(NO_ADOPTION),
            None => Saw::PASS.unless(self.missing.anywhere.as_ref()).unless(self.partial.as_ref()),
        };
        saw.check("adopt.table-unchanged-until-attach", "IHI 0070 3.21.3; Chen v6 6/7, v7 2/7")
    }

    /// GERROR and GERRORN are read, and what is active is acknowledged, before a command is sent.
    fn gerror(&mut self) -> Check {
        let under_error = self.take(|violation| violation.rule == "enable.cmdq-error").map(|broken| self.told(broken));
        // A reset owes no such look where no error is active.
        let has_error = |smmu: SmmuIndex| {
            self.found.iter().any(|found| found.smmu == smmu && (found.gerror ^ found.gerrorn) & ERRORS != 0)
        };
        let owing: Vec<_> =
            self.profiles().filter(|(smmu, profile)| *profile != Some(Profile::Reset) || has_error(*smmu)).collect();
        let unread = |is_known| {
            let own = owing.iter().filter(move |(_, profile)| profile.is_some() == is_known);
            own.clone().find_map(|(smmu, _)| self.unread_errors(*smmu))
        };
        let saw = match under_error.or_else(|| unread(true)) {
            _ if owing.is_empty() && !self.log.smmus().is_empty() => {
                Saw::skip("a released kernel's reset does not look at GERROR, and no error was active")
            }
            _ if self.log.commands.is_empty() => Saw::not_covered("the kernel sent no command"),
            None if unread(false).is_some() => Saw::not_covered("the kernel follows no reference sequence"),
            Some(text) => {
                let is_about_it = |left: &smmu::checker::Departure| left.expected.starts_with("GERROR and");
                let left = self.report.departures().map(|(_, left)| left).find(|left| is_about_it(left));
                self.claimed.extend(left.map(|left| left.at));
                Saw::fail(text)
            }
            None => Saw::PASS.unless(self.missing.in_takeover.as_ref()),
        };
        saw.check("gerror.read-before-cmdq", "IHI 0070 6.3.20, 7.1; Chen v3")
    }

    /// What of the errors of an SMMU was not read or acknowledged since its first write, when its first command goes out.
    fn unread_errors(&self, smmu: SmmuIndex) -> Option<String> {
        let first = self.log.commands.iter().find(|command| command.smmu == smmu)?.at;
        let own = || self.log.all.iter().filter(move |seen| seen.entry.smmu == smmu && seen.at < first);
        let begun = own().find(|seen| seen.is_register() && seen.entry.op.is_write()).map_or(0, |seen| seen.at);
        let read = |register| {
            own().rfind(|seen| seen.is_read_of(register) && seen.at > begun).map(|seen| seen.entry.value as u32)
        };
        let place = self.log.place(first);
        Some(match (read(reg::GERROR), read(reg::GERRORN)) {
            (Some(gerror), Some(gerrorn)) => {
                let active = (gerror ^ gerrorn) & ERRORS;
                let is_acknowledged =
                    self.log.writes(smmu, reg::GERRORN).any(|seen| seen.at > begun && seen.at < first);
                (active != 0 && !is_acknowledged).then(|| {
                    format!("errors {active:#x} are active and not acknowledged at the first command, {place}")
                })?
            }
            _ => format!("GERROR and GERRORN are not both read before the first command, {place}"),
        })
    }

    /// A live STE or CD changes in steps of which the SMMU may see each.
    fn hitless(&mut self) -> Check {
        let broken = self.take(|violation| violation.rule.starts_with(ORDER) && violation.rule != LEAF);
        let has_stored = self.log.table_stores().any(|seen| !seen.is(Structure::L1Std));
        let saw = match broken {
            Some(broken) => Saw::fail(self.told(broken)),
            None if !has_stored => Saw::skip("no STE or CD in force was stored to"),
            None => Saw::PASS.unless(self.missing.anywhere.as_ref()).unless(self.partial.as_ref()),
        };
        saw.check("ste.hitless-order", "IHI 0070 3.21.3; Linux, arm_smmu_write_entry()")
    }

    /// Every Linux so far leaves a filled level-1 descriptor to CFGI_STE with Leaf=1: told, and documented either way.
    fn leaf(&mut self) -> Check {
        let broken = self.take(|violation| violation.rule == LEAF);
        let has_stored = self.log.table_stores().any(|seen| seen.is(Structure::L1Std));
        let saw = match broken {
            Some(broken) => Saw::fail(format!("{}; as every Linux up to 7.3 does", self.told(broken))),
            None if !has_stored => Saw::skip("no level-1 descriptor in force was stored to"),
            None => Saw::PASS.unless(self.missing.anywhere.as_ref()).unless(self.partial.as_ref()),
        };
        let expected = saw.either();
        saw.expecting("linux.l1std-leaf", "IHI 0070 5.1.1; Linux 6.1 to 7.3, arm_smmu_init_l2_strtab()", expected)
    }

    /// The shutdown that ends a boot leaves the SMMU off with GBPA as it was found: in an adoption nothing set ABORT.
    fn off(&mut self) -> Check {
        let known: BTreeSet<usize> =
            self.violations().filter(|(_, it)| it.rule == OFF && self.is_known(it)).map(|(index, _)| index).collect();
        let broken = self.violations().find(|(index, _)| known.contains(index)).map(|(_, broken)| broken);
        self.taken.extend(&known);
        let saw = match broken {
            Some(broken) => Saw::fail(format!("{}; as every Linux up to 7.3 does", self.told(broken))),
            None if !self.is_shut_down() => Saw::skip("the kernel left the SMMU enabled"),
            None => Saw::PASS.unless(self.missing.anywhere.as_ref()),
        };
        let expected = saw.either();
        saw.expecting("linux.off-behind-abort", "IHI 0070 6.3.14; Linux, arm_smmu_device_shutdown()", expected)
    }

    /// By sets: no new CD has an ASID of the crashed kernel's, no new stage 2 a VMID. And by effect: no DMA lands where a stale
    /// translation leads.
    fn not_reused(&mut self, effect: Effect) -> Check {
        let broken = self.take(|violation| violation.rule == REUSED);
        let is_told = |seen: &Seen<'_>| seen.is(Structure::Cd) || seen.is_stage2();
        let is_known = self.log.all.iter().any(|seen| seen.entry.op == Op::Load && is_told(seen));
        let saw = match (broken, effect) {
            (Some(broken), Effect::Stale(text)) => Saw::fail(format!("{}; and {text}", self.told(broken))),
            (Some(broken), _) => Saw::fail(self.told(broken)),
            (None, Effect::Stale(text)) => Saw::fail(text),
            _ if !self.has_adopted() => Saw::skip(NO_ADOPTION),
            _ if self.attaches().is_empty() => Saw::skip("no device was attached"),
            (None, Effect::Unseen) if !is_known => Saw::not_covered(
                "neither the identifiers of the crashed kernel were told, nor were two samples taken after an attach",
            ),
            _ => Saw::PASS.unless(self.missing.anywhere.as_ref()).unless(self.partial.as_ref()),
        };
        saw.check("asid.not-reused", "IHI 0070 3.17; Shrivastava, 1 Jul 2026; Chen v10")
    }

    /// The kernel turned an SMMU off on its way out.
    pub fn is_shut_down(&self) -> bool {
        self.log.smmus().into_iter().any(|smmu| self.log.shut_down(smmu).is_some())
    }

    /// Every Linux so far breaks the rule here.
    pub fn is_known(&self, violation: &Violation) -> bool {
        let is_end =
            |at: &u64| self.log.smmus().into_iter().any(|smmu| self.log.shut_down(smmu).is_some_and(|it| it.at == *at));
        violation.rule == LEAF || (violation.rule == OFF && violation.entries.last().is_some_and(is_end))
    }

    /// Attaches to tables that were adopted.
    pub fn attaches(&self) -> Vec<Attach> {
        let mut all = self.log.attaches();
        all.retain(|attach| self.adopts(attach.smmu));
        all
    }
}

/// Memory of tables that the kernel made: what was in them when something began to point there.
fn own_tables(log: &Log<'_>) -> Vec<std::ops::Range<u64>> {
    let found = log.all.iter().filter(|seen| seen.is_table_store() && !seen.is_trapped());
    let range = |seen: &Seen<'_>| {
        let bytes =
            if seen.entry.op == Op::Fill { u64::from(seen.entry.count) * u64::from(seen.entry.stride) } else { 0 };
        let start = seen.entry.address & !63;
        start..start.saturating_add(bytes.max(64))
    };
    found.map(range).collect()
}
