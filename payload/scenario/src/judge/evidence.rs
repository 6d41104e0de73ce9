//! What the judge is given.

use super::{seen::Seen, trace::Trace};
use crate::{Damage, Plant, Scenario, damage::LookedAgain, phase::Cuts, policy::Expectation, quiesce::Means};
use addr::PhysAddr;
use alloc::format;
use handover::{
    HandoverError,
    crash_note::CrashNote,
    oracle::{Counts, OracleView, SMMU_DAMAGED, SmmuLeft, Stream},
};
use pci::ErrorState;
use smmu::{
    access::SmmuIndex,
    event,
    guard::Guard,
    log::Entry,
    observe::{Digest, Registers},
    spec::ste::Ste,
    takeover::{Attached, Taken, TakeoverError},
};

/// One SMMU; its index is its place in [`Evidence::smmus`].
#[derive(Clone, Copy, Debug)]
pub struct SmmuEvidence<'a> {
    /// Registers before the first write of the takeover.
    pub before: &'a Registers,
    /// Registers after the watch.
    pub after: Option<&'a Registers>,
    /// Structures after the watch, from the addresses in the registers; `None` where they could not be read.
    pub digest_after: Option<Digest>,
    /// The damage of the scenario was there before the takeover; nothing else is looked for.
    pub damage_found: bool,
    /// What the taker said of two streams of an adopted table after something in it had changed.
    pub looked_again: Option<LookedAgain>,
    /// How the takeover ended.
    pub taken: Result<&'a Taken, TakeoverError>,
    /// Events found in the dead image's event queue; `None` where it could not be read.
    pub events: Option<&'a event::Counts>,
    /// Events were lost, so that their count is a lower bound.
    pub events_lost: bool,
    /// What a write to STRTAB_BASE did after the watch; `None` where it was not tried.
    pub strtab_guard: Option<Guard>,
}

/// One stream; its place is that of [`Stream`] in the oracle.
#[derive(Clone, Copy, Debug, Default)]
pub struct StreamEvidence {
    /// Running totals at the cuts.
    pub cuts: Cuts,
    /// Samples since it was armed that came too late, so that its totals are a lower bound.
    pub overruns: u64,
    /// Counter at the first delivery seen after the takeover.
    pub first_delivery: Option<u64>,
    /// The STE in force after the watch; `None` where it could not be read, or the table has none for the stream.
    pub ste_after: Option<Ste>,
    /// How the policy stops the function, by what its configuration space and its port offer.
    pub means: Option<Means>,
    /// Something landed in its windows after it was reset: first address.
    pub landed_when_stopped: Option<PhysAddr>,
    /// Units that landed after it was stopped, and before the SMMU was touched.
    pub landed_since_stopped: u64,
    /// Running totals at the end of the watch after the attach; of the stream that was attached those since it was started
    /// again: delivered is what landed in its new pages, mis-steered what landed in the dead kernel's.
    pub at_end: Counts,
    /// The STE in force then.
    pub ste_at_end: Option<Ste>,
}

/// The deferred attach of one stream.
#[derive(Clone, Copy, Debug)]
pub struct AttachEvidence<'a> {
    /// Its place in the oracle.
    pub stream: usize,
    /// How it ended.
    pub attached: Result<Attached, TakeoverError>,
    /// Its device works again.
    pub is_armed: bool,
    /// Samples since then that came too late.
    pub overruns: u64,
    /// Access log of the attach.
    pub log: &'a [Entry],
}

/// An SError or external abort that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortTaken<'a> {
    /// Step that was going on.
    pub step: &'a str,
    /// ESR_EL2.
    pub esr: u64,
    /// ELR_EL2.
    pub elr: u64,
    /// FAR_EL2.
    pub far: u64,
    /// An SError; otherwise a synchronous abort.
    pub is_serror: bool,
    /// How many alike.
    pub count: u32,
}

/// How the crash came, and on which CPUs. Affinities are those of MPIDR_EL1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Crashed {
    /// The CPU that firmware booted.
    pub boot_cpu: u64,
    /// The CPU that the taker runs on.
    pub taker_cpu: u64,
    /// The crashed image's note before the takeover's first access.
    pub before: CrashNote,
    /// The same after the watch.
    pub after: CrashNote,
}

/// Judges one SMMU.
pub(super) type Check<'c, 'a> = &'c dyn Fn(SmmuIndex, &SmmuEvidence<'a>) -> Seen;

/// All that was observed in one cycle.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// What ran.
    pub scenario: Scenario,
    /// The planted fault.
    pub plant: Option<Plant>,
    /// Scenario of this boot, as the boot block says.
    pub run: u32,
    /// Crash of this run, as the boot block says.
    pub cycle: u32,
    /// Whether the boot block verified.
    pub boot: Result<(), HandoverError>,
    /// The oracle, if it verified.
    pub oracle: Result<OracleView<'a>, HandoverError>,
    /// SMMUs.
    pub smmus: &'a [SmmuEvidence<'a>],
    /// Streams.
    pub streams: &'a [StreamEvidence],
    /// Access log of the takeover.
    pub log: &'a [Entry],
    /// Something was left out of it.
    pub log_overflowed: bool,
    /// First address of the taker's own memory, and the first after it.
    pub own: (PhysAddr, PhysAddr),
    /// Aborts taken from the takeover on; `None` where nobody listened.
    pub aborts: Option<&'a [AbortTaken<'a>]>,
    /// The crash.
    pub crashed: Crashed,
    /// What the oracle's PCI functions told of errors: when the taker began, after the takeover, after the watch.
    pub functions: &'a [[ErrorState; 3]],
    /// The stream that was moved to a new domain after all else; `None` where none was.
    pub attach: Option<AttachEvidence<'a>>,
}

impl<'a> Evidence<'a> {
    /// The oracle, if it is the one of this cycle.
    pub(super) fn fresh_oracle(&self) -> Option<OracleView<'a>> {
        let oracle = self.oracle.ok()?;
        (oracle.header.run == self.run && oracle.header.cycle == self.cycle).then_some(oracle)
    }

    /// Streams with what was sampled of them; empty without an oracle of this cycle, or if the two lists differ.
    pub(super) fn streams(&self) -> impl Iterator<Item = (&'a Stream, &'a StreamEvidence)> + use<'a> {
        let known = self.fresh_oracle().map_or(&[][..], |oracle| oracle.streams);
        let known = if known.len() == self.streams.len() { known } else { &[] };
        known.iter().zip(self.streams)
    }

    /// Judges every SMMU by itself; the worst is the verdict.
    pub(super) fn each_smmu(&self, check: Check<'_, 'a>) -> Seen {
        self.each_where(&|_| true, check)
    }

    /// The same for those that `is_meant` names: a fallback is that of one SMMU.
    pub(super) fn each_where(&self, is_meant: &dyn Fn(SmmuIndex) -> bool, check: Check<'_, 'a>) -> Seen {
        let meant = (0u8..).map(SmmuIndex).zip(self.smmus).filter(|(index, _)| is_meant(*index));
        let judged = meant.map(|(index, smmu)| {
            let mut seen = check(index, smmu);
            if self.smmus.len() > 1 && !seen.reason.is_empty() {
                seen.reason = format!("SMMU {}: {}", index.0, seen.reason);
            }
            seen
        });
        Seen::worst(judged, "no SMMU")
    }

    /// The same for checks that read the log: where nothing of an SMMU was logged, nothing is known of it.
    pub(super) fn each_logged_where(&self, is_meant: &dyn Fn(SmmuIndex) -> bool, check: Check<'_, 'a>) -> Seen {
        self.each_where(is_meant, &|index, smmu| {
            if Trace::new(self.log, index).registers().next().is_some() {
                check(index, smmu)
            } else {
                Seen::not_covered("nothing was logged")
            }
        })
    }

    /// The scenario's damage was left on this SMMU. Without an oracle of this cycle nobody knows on which it was, and what
    /// depends on it is not covered.
    pub(super) fn is_damaged(&self, smmu: SmmuIndex) -> bool {
        self.scenario.damage != Damage::NONE && self.left(smmu).is_none_or(|left| left.flags & SMMU_DAMAGED != 0)
    }

    /// What the scenario's documentation says of one SMMU and the streams behind it.
    pub(super) fn expectation_of(&self, smmu: SmmuIndex) -> Expectation {
        let policy = self.scenario.policy_expectation();
        match self.smmus.get(usize::from(smmu.0)) {
            Some(seen) if self.is_damaged(smmu) => {
                let streams = self.streams().filter(|(stream, _)| stream.smmu == u32::from(smmu.0));
                let lowest = streams.map(|(stream, _)| stream.stream_id).min();
                self.scenario.damage.applied_to(policy, seen.before, lowest)
            }
            _ => policy,
        }
    }

    /// The same of the SMMU that a stream is behind.
    pub(super) fn expectation_for(&self, stream: &Stream) -> Expectation {
        u8::try_from(stream.smmu)
            .map_or_else(|_| self.scenario.policy_expectation(), |index| self.expectation_of(SmmuIndex(index)))
    }

    /// Some SMMU's expectation is such; that of the policy, where there is none.
    pub(super) fn is_any(&self, such: impl Fn(&Expectation) -> bool) -> bool {
        match self.smmus.len() {
            0 => such(&self.scenario.policy_expectation()),
            count => (0u8..).map(SmmuIndex).take(count).any(|index| such(&self.expectation_of(index))),
        }
    }

    /// What the primary left of an SMMU.
    pub(super) fn left(&self, smmu: SmmuIndex) -> Option<&'a SmmuLeft> {
        self.fresh_oracle()?.smmus.get(usize::from(smmu.0))
    }
}
