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

    /// A pass that has something to tell.
    pub(super) fn told(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Pass, reason: reason.into() }
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

    /// The worst of several, the first of equals that says something; `none` where there is nothing to look at: that is
    /// never a pass.
    pub(super) fn worst(all: impl Iterator<Item = Self>, none: &'static str) -> Self {
        let weight = |seen: &Self| (seen.weight(), !seen.reason.is_empty());
        all.reduce(|worst, next| if weight(&next) > weight(&worst) { next } else { worst })
            .unwrap_or_else(|| Self::not_covered(none))
    }
}
