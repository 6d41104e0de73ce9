//! What one check saw.

use alloc::string::String;
use wire::record::Verdict;

/// A verdict and, where it is no pass, the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) verdict: Verdict,
    pub(super) reason: String,
}

impl Seen {
    pub(super) const PASS: Self = Self { verdict: Verdict::Pass, reason: String::new() };

    pub(super) fn fail(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, reason: reason.into() }
    }

    pub(super) fn not_covered(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::NotCovered, reason: reason.into() }
    }

    pub(super) fn skip(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Skip, reason: reason.into() }
    }

    /// Passes if `holds`.
    pub(super) fn demand(holds: bool, reason: &'static str) -> Self {
        if holds { Self::PASS } else { Self::fail(reason) }
    }

    /// This one if it is no pass, else the next.
    pub(super) fn and(self, next: impl FnOnce() -> Self) -> Self {
        if self.verdict == Verdict::Pass { next() } else { self }
    }

    const fn weight(&self) -> u8 {
        match self.verdict {
            Verdict::Skip => 0,
            Verdict::Pass => 1,
            Verdict::NotCovered => 2,
            Verdict::Fail => 3,
        }
    }

    /// The worst of several, the first of equals; `none` where there is nothing to look at: that is never a pass.
    pub(super) fn worst(all: impl Iterator<Item = Self>, none: &'static str) -> Self {
        all.reduce(|worst, next| if next.weight() > worst.weight() { next } else { worst })
            .unwrap_or_else(|| Self::not_covered(none))
    }
}
