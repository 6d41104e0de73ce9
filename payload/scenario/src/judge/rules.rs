//! The list of checks: names, sources, what they need, what each scenario's documentation expects.

use super::{
    adopt, attach, crash, damage, dma, events,
    evidence::{Evidence, StreamEvidence},
    guard, off, pcie, reset,
    seen::Seen,
};
use crate::policy::After;
use alloc::format;
use handover::oracle::Stream;
use smmu::access::SmmuIndex;
use wire::record::Verdict;

/// Policies that a check is about; with another one it does not apply.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Any,
    Adopt,
    Reset,
    /// The SMMU is left off.
    Off,
    /// DMA takes a course that no other check demands, or one behind each SMMU.
    Own,
    /// The event queue is left on.
    Recording,
    /// Devices are stopped.
    Quiesce,
    /// Something is damaged.
    Damaged,
    /// The same, and the policy looks at what it adopts.
    Examined,
    /// The damage makes an adoption fall back.
    Fallback,
    /// Something changes after the adoption.
    Later,
    /// A stream moves to a new domain.
    Attach,
}

/// One check.
pub(super) struct Rule {
    pub(super) id: &'static str,
    pub(super) source: &'static str,
    pub(super) group: Group,
    pub(super) needs_log: bool,
    pub(super) needs_oracle: bool,
    pub(super) check: fn(&Evidence<'_>) -> Seen,
    pub(super) expected: fn(&Evidence<'_>) -> Verdict,
}

impl Rule {
    const fn new(id: &'static str, check: fn(&Evidence<'_>) -> Seen, source: &'static str) -> Self {
        let expected = |_: &Evidence<'_>| Verdict::Pass;
        Self { id, source, group: Group::Any, needs_log: false, needs_oracle: false, check, expected }
    }

    const fn for_adopt(self) -> Self {
        self.only(Group::Adopt)
    }

    const fn for_reset(self) -> Self {
        self.only(Group::Reset)
    }

    const fn only(self, group: Group) -> Self {
        Self { group, ..self }
    }

    const fn by_log(self) -> Self {
        Self { needs_log: true, ..self }
    }

    const fn by_oracle(self) -> Self {
        Self { needs_oracle: true, ..self }
    }

    const fn expecting(self, expected: fn(&Evidence<'_>) -> Verdict) -> Self {
        Self { expected, ..self }
    }
}

/// All checks, in the order of the report.
pub(super) const RULES: &[Rule] = &[
    Rule::new("handover.verified", verified, "ARCHITECTURE.md, handover"),
    Rule::new("oracle.fresh", fresh, "ARCHITECTURE.md, handover"),
    Rule::new("log.complete", log_complete, "ARCHITECTURE.md, access log"),
    Rule::new("dma.live-before", dma::live_before, "ARCHITECTURE.md, phases").by_oracle(),
    Rule::new("dma.live-blackout", dma::live_blackout, "ARCHITECTURE.md, phases").by_oracle(),
    Rule::new("dma.live-after", dma::live_after, "ARCHITECTURE.md, phases").by_oracle().expecting(awake),
    Rule::new("dma.counts-consistent", dma::counts_consistent, "ARCHITECTURE.md, phases").by_oracle(),
    Rule::new("dma.no-blocked", dma::no_blocked, "Chen v6 1/7: in-flight DMA is absorbed")
        .by_oracle()
        .expecting(refused),
    Rule::new("dma.no-mis-steer", dma::no_mis_steer, "Chen v6 6/7: translated DMA must not turn physical")
        .by_oracle()
        .expecting(gone_astray),
    Rule::new("dma.delivered-after", dma::delivered_after, "Chen v6 1/7: in-flight DMA is absorbed")
        .by_oracle()
        .expecting(lost),
    Rule::new("dma.delivered-before", dma::delivered_before, "ARCHITECTURE.md, phases").by_oracle(),
    Rule::new("adopt.adopted", adopt::adopted, "Chen v7 1/7, 7/7; v10").for_adopt(),
    Rule::new("adopt.smmuen-kept", adopt::smmuen_kept, "IHI 0070 6.3.9; Chen v7 5/7").for_adopt().by_log(),
    Rule::new("adopt.strtab-untouched", adopt::strtab_untouched, "IHI 0070 6.3.24, 6.3.25; Chen v7 5/7")
        .for_adopt()
        .by_log(),
    Rule::new("adopt.cr1-cr2-untouched", adopt::cr1_cr2_untouched, "IHI 0070 6.3.11, 6.3.12; Chen v7 5/7")
        .for_adopt()
        .by_log(),
    Rule::new("adopt.gbpa-untouched", adopt::gbpa_untouched, "IHI 0070 6.3.14; Chen v7 5/7").for_adopt().by_log(),
    Rule::new("adopt.tables-identical", adopt::tables_identical, "IHI 0070 3.21.3; Chen v6 6/7")
        .for_adopt()
        .by_oracle()
        .expecting(kept_tables),
    Rule::new("adopt.no-table-stores", adopt::no_table_stores, "IHI 0070 3.21.3; Chen v6 6/7")
        .for_adopt()
        .by_log()
        .expecting(kept_tables),
    Rule::new("adopt.cr0-sequence", adopt::cr0_sequence, "IHI 0070 6.3.9; Chen v7 5/7").for_adopt().by_log(),
    Rule::new("adopt.gerror-acknowledged", adopt::gerror_acknowledged, "IHI 0070 6.3.20, 7.5; Chen v3")
        .for_adopt()
        .by_log()
        .expecting(|evidence| passes_unless(!adopt::has_errors(evidence))),
    Rule::new("adopt.invalidated", adopt::invalidated, "IHI 0070 3.11, 4.7.3; Chen v7 5/7").for_adopt().by_log(),
    Rule::new("adopt.evtq-off", adopt::evtq_off, "Chen v7 3/7, 4/7").for_adopt().by_log(),
    Rule::new("adopt.identifiers-reserved", adopt::identifiers_reserved, "Shrivastava, 1 Jul 2026; Chen v10")
        .for_adopt()
        .by_oracle()
        .expecting(|evidence| match adopt::none_adopted(evidence) {
            true => Verdict::Skip,
            false => fails_if(!evidence.scenario.policy_expectation().reserves_identifiers),
        }),
    Rule::new("rmr.ste-unchanged", dma::rmr_ste_unchanged, "Chen v6 6/7").by_oracle().expecting(kept_rmr_ste),
    Rule::new("reset.abort-before-disable", reset::abort_before_disable, "IHI 0070 3.11, 6.3.14")
        .for_reset()
        .by_log()
        .expecting(|evidence| passes_unless(reset::all_left_off(evidence))),
    Rule::new("reset.strtab-while-disabled", reset::strtab_while_disabled, "IHI 0070 6.3.11, 6.3.12, 6.3.24, 6.3.25")
        .for_reset()
        .by_log(),
    Rule::new("reset.invalidated-before-enable", reset::invalidated_before_enable, "IHI 0070 3.11, 4.7.3")
        .for_reset()
        .by_log(),
    Rule::new("reset.completed", reset::completed, "IHI 0070 6.3.9, 6.3.10").for_reset(),
    Rule::new("reset.blocks-dma", dma::reset_blocks, "Chen v6 1/7; IHI 0070 5.2, Config 0b000")
        .for_reset()
        .by_oracle()
        .expecting(|evidence| passes_unless(dma::has_no(evidence, After::Blocked))),
    Rule::new("reset.rmr-bypassed", dma::reset_bypasses_rmr, "Chen v6 6/7; IHI 0070 5.2, Config 0b100")
        .for_reset()
        .by_oracle()
        .expecting(|evidence| passes_unless(dma::has_no(evidence, After::Untranslated))),
    Rule::new("dma.as-documented", dma::as_documented, "ARCHITECTURE.md, policies").only(Group::Own).by_oracle(),
    Rule::new("off.gbpa-set", off::gbpa_set, "IHI 0070 6.3.14").only(Group::Off).by_log(),
    Rule::new("off.disabled", off::disabled, "IHI 0070 6.3.9, 6.3.14").only(Group::Off),
    Rule::new("evtq.recorded", events::recorded, "IHI 0070 7.3; Kaya, RFC of 1 Mar 2018")
        .only(Group::Recording)
        .by_oracle()
        .expecting(|evidence| passes_unless(!events::are_due(evidence))),
    Rule::new("quiesce.silent", dma::silent, "Kaya, RFC of 1 Mar 2018; Tian, 17 Apr 2026")
        .only(Group::Quiesce)
        .by_oracle()
        .expecting(|evidence| passes_unless(dma::has_no(evidence, After::Silent))),
    Rule::new("damage.found", damage::found, "ARCHITECTURE.md, damage").only(Group::Damaged),
    Rule::new("damage.rule-fired", damage::rule_fired, "Chen v7 1/7, 7/7; v10").only(Group::Examined),
    Rule::new("damage.contained", damage::contained, "Shrivastava, 28 Jun 2026; Chen v7 1/7: full reset")
        .only(Group::Fallback)
        .by_log(),
    Rule::new(
        "damage.one-refused",
        damage::one_refused,
        "Shrivastava, 28 Jun 2026; Chen v4: L2 tables are mapped late",
    )
    .only(Group::Later),
    Rule::new("attach.completed", attach::completed, "Chen v7 2/7: deferred attach").only(Group::Attach).by_oracle(),
    Rule::new("attach.asid-fresh", attach::asid_fresh, "IHI 0070 3.17; Shrivastava, 1 Jul 2026; Chen v10")
        .only(Group::Attach)
        .by_oracle()
        .expecting(|evidence| fails_if(!evidence.scenario.policy_expectation().reserves_identifiers)),
    Rule::new("attach.no-stale-translation", attach::no_stale, "IHI 0070 3.17; Shrivastava, 1 Jul 2026")
        .only(Group::Attach)
        .by_oracle()
        .expecting(|evidence| attach::expected(evidence, attach::no_stale)),
    Rule::new("attach.delivered", attach::delivered, "Chen v7 2/7: deferred attach")
        .only(Group::Attach)
        .by_oracle()
        .expecting(|evidence| attach::expected(evidence, attach::delivered)),
    Rule::new("attach.others-live", attach::others_live, "Chen v7 4/7: deferred attach")
        .only(Group::Attach)
        .by_oracle(),
    Rule::new("attach.others-untouched", attach::others_untouched, "IHI 0070 3.21.3; Chen v7 4/7")
        .only(Group::Attach)
        .by_log()
        .by_oracle(),
    Rule::new("crash.as-named", crash::as_named, "ARCHITECTURE.md, crash kinds"),
    Rule::new("cpu.other-than-boot", crash::other_than_boot, "Linux arm64, machine_crash_shutdown()")
        .expecting(crash::other_cpu),
    Rule::new("cpu.others-ran", crash::others_ran, "Linux arm64, crash_smp_send_stop()").expecting(crash::hung_cpu),
    Rule::new("cpu.no-serror", no_serror, "Chen v6 1/7: aborted DMA may raise SErrors"),
    Rule::new(
        "pcie.no-new-errors",
        pcie::no_new_errors,
        "PCI Express Base 6.0, 6.2; ARCHITECTURE.md, PCI Express errors",
    )
    .by_oracle()
    .expecting(pcie::expected),
    Rule::new("smmu.guard-strtab", guard::strtab, "IHI 0070 6.3.24").expecting(guard::expected),
    Rule::new("smmu.no-events", events::none, "IHI 0070 7.3; Kaya, RFC of 1 Mar 2018").expecting(events_are_told),
];

const fn fails_if(condition: bool) -> Verdict {
    if condition { Verdict::Fail } else { Verdict::Pass }
}

pub(super) const fn passes_unless(lacking: bool) -> Verdict {
    if lacking { Verdict::Skip } else { Verdict::Pass }
}

/// They were left there, or the SMMU goes on recording.
fn events_are_told(evidence: &Evidence<'_>) -> Verdict {
    let records = evidence.is_any(|expectation| expectation.records_events) && events::are_due(evidence);
    let mut smmus = (0u8..).map(SmmuIndex).take(evidence.smmus.len());
    let are_left = evidence.scenario.damage.leaves_events() && smmus.any(|index| evidence.is_damaged(index));
    fails_if(records || are_left)
}

/// What the documentation says of some stream.
fn fails_if_any(evidence: &Evidence<'_>, suffers: &dyn Fn(After, &Stream, &StreamEvidence) -> bool) -> Verdict {
    let mut streams = evidence.streams();
    fails_if(streams.any(|(stream, sampled)| suffers(dma::documented(evidence, stream), stream, sampled)))
}

/// Beside what the documentation says: a device that was stopped may count on, and what it counts goes nowhere; and until its
/// bypass is in force an RMR stream may meet an invalid STE, or no translation at all.
fn refused(evidence: &Evidence<'_>) -> Verdict {
    fails_if_any(evidence, &|after, stream, sampled| {
        let may_block = after == After::Silent || (after == After::Untranslated && dma::is_rmr(stream));
        after.blocks() || (may_block && dma::is_blocked_since_crash(stream, sampled))
    })
}

/// Between a new table and its default domain an RMR stream bypasses: no longer than a moment, in which it may move or not.
fn gone_astray(evidence: &Evidence<'_>) -> Verdict {
    fails_if_any(evidence, &|after, stream, sampled| {
        dma::strays(after, stream) || (after == After::IdentityBlocked && dma::strays_in_blackout(stream, sampled))
    })
}

fn lost(evidence: &Evidence<'_>) -> Verdict {
    let fails = fails_if_any(evidence, &|after, stream, _| after != After::Silent && !dma::arrives(after, stream));
    if fails == Verdict::Fail { fails } else { awake(evidence) }
}

/// Where every device was stopped, there is nothing to see move.
fn awake(evidence: &Evidence<'_>) -> Verdict {
    passes_unless(dma::all_silent(evidence))
}

/// An adoption leaves the STE of an RMR stream alone; a new table has another one.
fn kept_rmr_ste(evidence: &Evidence<'_>) -> Verdict {
    match evidence.fresh_oracle() {
        Some(_) if dma::has_none(evidence, true) => Verdict::Skip,
        Some(oracle) => {
            let mut rmr = oracle.streams.iter().filter(|stream| dma::is_rmr(stream));
            fails_if(rmr.any(|stream| !evidence.expectation_for(stream).keeps_rmr_stes))
        }
        None => Verdict::Pass,
    }
}

/// Tables are written where the STEs of RMR streams are, and there are some.
fn kept_tables(evidence: &Evidence<'_>) -> Verdict {
    let known = evidence.fresh_oracle().map_or(&[][..], |oracle| oracle.streams);
    let writes = |stream: &Stream| {
        let expectation = evidence.expectation_for(stream);
        expectation.adopts && !expectation.keeps_rmr_stes
    };
    fails_if(known.iter().any(|stream| dma::is_rmr(stream) && writes(stream)))
}

fn verified(evidence: &Evidence<'_>) -> Seen {
    let error = evidence.boot.err().or(evidence.oracle.err());
    error.map_or(Seen::PASS, |error| Seen::fail(format!("{error}")))
}

fn fresh(evidence: &Evidence<'_>) -> Seen {
    let Ok(oracle) = evidence.oracle else { return Seen::not_covered("no oracle") };
    if evidence.fresh_oracle().is_some() {
        return Seen::PASS;
    }
    let (run, cycle) = (oracle.header.run, oracle.header.cycle);
    Seen::fail(format!("it is of run {run}, cycle {cycle}; this is run {}, cycle {}", evidence.run, evidence.cycle))
}

fn log_complete(evidence: &Evidence<'_>) -> Seen {
    if evidence.log.is_empty() {
        return Seen::not_covered("nothing was logged");
    }
    Seen::demand(!evidence.log_overflowed, "the access log overflowed")
}

fn no_serror(evidence: &Evidence<'_>) -> Seen {
    let Some(aborts) = evidence.aborts else { return Seen::not_covered("aborts were not listened for") };
    aborts.first().map_or(Seen::PASS, |abort| {
        let kind = if abort.is_serror { "SError" } else { "external abort" };
        Seen::fail(format!("{kind} in step {}, ESR {:#x}", abort.step, abort.esr))
    })
}
