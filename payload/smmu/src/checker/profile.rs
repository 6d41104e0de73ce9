//! Which of the reference sequences a log follows, and where it leaves it (facts: smmu-kdump.md 6.1, 6.2;
//! adopting-kernel.md 3, 7, 9).
//!
//! Every sequence is followed at once. The one that explains most wins; where it was left first is told.

mod fresh;
mod scan;
mod steps;
mod track;

use super::found::{Coverage, Found};
use super::queue::Sent;
use super::structures::Geometry;
use super::unit::Context;
use crate::access::Structure;
use crate::log::Entry;
use crate::spec::registers as reg;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use fresh::Fresh;
use scan::Scan;
use track::{Reads, Track};

/// A reference sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// Adoption as in revisions 6 and 7 of the series: registers and level-1 descriptors are looked at.
    AdoptV7,
    /// Adoption as in revision 10: STEs and CDs are looked at too.
    AdoptV10,
    /// The reset of all released kernels.
    Reset,
    /// The reset of a kernel that can adopt: GERROR is acknowledged, no event queue.
    Fallback,
}

impl Profile {
    /// Name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AdoptV7 => "ADOPT v7",
            Self::AdoptV10 => "ADOPT v10",
            Self::Reset => "RESET",
            Self::Fallback => "RESET (fallback)",
        }
    }

    /// The dead kernel's tables are kept.
    #[must_use]
    pub const fn is_adoption(self) -> bool {
        matches!(self, Self::AdoptV7 | Self::AdoptV10)
    }
}

/// Where a log leaves its profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The first entry that does not fit; the number of entries where the log ends too early.
    pub at: u64,
    /// What was due.
    pub expected: String,
    /// What came.
    pub found: String,
}

/// What a log follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// The profile; `None` where too little of any is there.
    pub profile: Option<Profile>,
    /// Where it is left; `None`: nowhere.
    pub left: Option<Departure>,
    /// What was due where a log was cut; `None`: the sequence is complete, or the log is whole.
    pub due: Option<String>,
    /// Without a profile: where each sequence was left.
    pub parted: Vec<(Profile, Departure)>,
}

/// Fewer steps than these are no sequence, where anything else came too.
const FEWEST: u32 = 4;

/// All sequences for one SMMU.
#[derive(Clone, Debug)]
pub(super) struct Profiles {
    adopt: Track,
    reset: Track,
    fallback: Track,
    reads: Reads,
    scan: Scan,
    fresh: Fresh,
    coverage: Coverage,
}

impl Profiles {
    pub(super) fn new(found: &Found, coverage: Coverage) -> Self {
        Self {
            adopt: Track::new(steps::adopt(found), found),
            reset: Track::new(steps::reset(found, false), found),
            fallback: Track::new(steps::reset(found, true), found),
            reads: Reads { seen: BTreeSet::new(), gerror: found.gerror, gerrorn: found.gerrorn },
            scan: Scan::new(found),
            fresh: Fresh::new(found),
            coverage,
        }
    }

    /// An adoption, if it is one, is not complete yet.
    pub(super) fn adoption_goes_on(&self) -> bool {
        !self.adopt.is_complete()
    }

    const fn tracks(&mut self) -> [&mut Track; 3] {
        [&mut self.adopt, &mut self.reset, &mut self.fallback]
    }

    pub(super) fn read(&mut self, offset: u32, value: u32, count: u32, is_drained: bool) {
        self.reads.take(offset, value);
        if self.adopt.is_first() {
            self.scan.read(offset, value);
        }
        for track in self.tracks() {
            track.read(offset, value, count, is_drained);
        }
    }

    pub(super) fn write(&mut self, cx: &Context<'_>, offset: u32, value: u64) {
        let is_control = offset == reg::CR0 && self.coverage.structures;
        if let Some(reason) =
            (is_control && self.coverage.loads && self.adopt.is_first()).then(|| self.scan.refusal()).flatten()
        {
            self.adopt.leave(cx.index, "a refusal of the table", reason);
        }
        match offset {
            reg::STRTAB_BASE => self.fresh.base = value,
            reg::STRTAB_BASE_CFG => self.fresh.config(value as u32, cx.index),
            _ => {}
        }
        if let Some((at, reason)) = (is_control && value & 1 != 0).then(|| self.fresh.judge()).flatten() {
            self.reset.leave(at, "a whole new table", reason.clone());
            self.fallback.leave(at, "a whole new table", reason);
        }
        let Self { adopt, reset, fallback, reads, .. } = self;
        for track in [adopt, reset, fallback] {
            track.write(cx.index, offset, value, reads);
        }
        self.reads.seen.clear();
    }

    pub(super) fn commands(&mut self, cx: &Context<'_>, commands: &[Sent]) {
        let is_known = self.coverage.commands;
        let Self { adopt, reset, fallback, .. } = self;
        for track in [adopt, reset, fallback] {
            track.commands(cx.index, commands, is_known);
        }
        self.reads.seen.clear();
    }

    pub(super) fn memory(&mut self, cx: &Context<'_>, geometry: &Geometry, entry: &Entry, structure: Structure) {
        if !matches!(structure, Structure::L1Std | Structure::Ste | Structure::L1Cd | Structure::Cd) {
            return;
        }
        if entry.op == crate::log::Op::Load {
            if self.adopt.is_first() {
                self.scan.load(geometry, entry, structure);
            }
            return;
        }
        self.adopt.table_store(cx.index, entry);
        if self.fresh.is_in_force() {
            self.reset.table_store(cx.index, entry);
            self.fallback.table_store(cx.index, entry);
        } else {
            self.fresh.store(entry, structure);
        }
    }

    /// The log ends after `entries`; `is_whole` if nothing is missing at its end.
    pub(super) fn finish(mut self, entries: u64, is_whole: bool) -> Followed {
        let adopt = if self.scan.has_identifiers() { Profile::AdoptV10 } else { Profile::AdoptV7 };
        let recognised = |track: &Track| track.matched >= FEWEST || (track.matched > 0 && track.left.is_none());
        let (mut best, mut score) = (None, (0, 0));
        let mut parted = Vec::new();
        for (profile, track) in [adopt, Profile::Reset, Profile::Fallback].into_iter().zip(self.tracks()) {
            let this = (track.matched, track.left.as_ref().map_or(u64::MAX, |left| left.at));
            parted.extend(track.left.clone().map(|left| (profile, left)));
            if recognised(track) && this > score {
                (best, score) = (Some((profile, track)), this);
            }
        }
        let Some((profile, track)) = best else { return Followed { parted, ..Followed::default() } };
        if is_whole {
            track.end(entries);
        }
        let due = track.due().filter(|_| !is_whole);
        Followed { profile: Some(profile), left: track.left.take(), due, parted: Vec::new() }
    }
}
