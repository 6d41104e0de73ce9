//! What a check of a kernel saw, before it is one of the report.

use crate::report::model::{Check, Verdict};

/// What a check saw.
pub struct Saw {
    verdict: Verdict,
    reason: Option<String>,
}

impl Saw {
    pub const PASS: Self = Self { verdict: Verdict::Pass, reason: None };

    /// It passes, and this is why.
    pub fn pass(reason: &str) -> Self {
        Self { verdict: Verdict::Pass, reason: Some(reason.into()) }
    }

    pub fn fail(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, reason: Some(reason.into()) }
    }

    pub fn skip(reason: &str) -> Self {
        Self { verdict: Verdict::Skip, reason: Some(reason.into()) }
    }

    pub fn not_covered(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::NotCovered, reason: Some(reason.into()) }
    }

    pub fn is_pass(&self) -> bool {
        self.verdict == Verdict::Pass
    }

    pub fn is_failure(&self) -> bool {
        self.verdict == Verdict::Fail
    }

    /// What is expected where nothing is documented: that it passes, where it applies.
    pub fn due(&self) -> Verdict {
        if self.verdict == Verdict::Skip { Verdict::Skip } else { Verdict::Pass }
    }

    /// What was seen does not prove it.
    pub fn doubted(self, why: &str) -> Self {
        Self::not_covered(format!("{}; {why}", self.reason.unwrap_or_default()))
    }

    /// As a check of the board says it.
    pub fn said(check: &Check) -> Self {
        Self { verdict: check.verdict, reason: check.reason.clone() }
    }

    /// Where nothing is wrong, but something was not seen.
    pub fn unless(self, lacking: Option<&String>) -> Self {
        match (self.verdict, lacking) {
            (Verdict::Pass, Some(reason)) => Self::not_covered(reason),
            _ => self,
        }
    }

    /// With the failure or skip that is documented.
    pub fn expecting(self, id: &str, source: &str, expected: Verdict) -> Check {
        let Self { verdict, reason } = self;
        let must_run = expected != Verdict::Skip;
        Check { id: id.into(), verdict, expected, must_run, reason, source: source.into(), waived: None }
    }

    /// Takes the place of what a check saw.
    pub fn replace(self, check: &mut Check) {
        (check.verdict, check.reason) = (self.verdict, self.reason);
    }

    /// A check that is to pass, where it applies.
    pub fn check(self, id: &str, source: &str) -> Check {
        let expected = self.due();
        self.expecting(id, source, expected)
    }

    /// Told, and documented whichever way it is; that it could not be seen is not.
    pub const fn either(&self) -> Verdict {
        match self.verdict {
            Verdict::NotCovered => Verdict::Pass,
            verdict => verdict,
        }
    }
}
