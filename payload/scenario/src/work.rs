//! What a boot is asked to do: crash by a scenario, or only look who is doing DMA.

use crate::{Risks, Scenario, ScenarioError, policy::Documented};
use core::fmt;

/// One item of a boot's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A crash and a takeover.
    Crash(Scenario),
    /// Nothing is started, and nobody dies: whoever does DMA now is named.
    Census,
}

/// Its name among scenarios.
const CENSUS: &str = "census";

impl Work {
    /// Reads `census`, or a scenario.
    ///
    /// # Errors
    /// As [`Scenario::parse`].
    pub fn parse(text: &str) -> Result<Self, ScenarioError<'_>> {
        if text == CENSUS { Ok(Self::Census) } else { Scenario::parse(text).map(Self::Crash) }
    }

    /// What it may do to a board.
    #[must_use]
    pub fn risks(self) -> Risks {
        match self {
            Self::Crash(scenario) => scenario.risks(),
            // What a device does is refused to it, but where hardware marks it: what the SMMUs are decides on the board.
            Self::Census => Risks::BUS_ERROR,
        }
    }

    /// What is expected, and by which source.
    #[must_use]
    pub fn documented(self) -> Documented {
        match self {
            Self::Crash(scenario) => scenario.documented(),
            Self::Census => Documented {
                expects: "no device does DMA that nobody of ours has started; one that does is named, and is refused it unless the SMMU marks it (IDR0.HTTU)",
                source: "Deacon, 22 Mar 2024: make it easier to diagnose missing ->shutdown() callbacks",
            },
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash(scenario) => scenario.fmt(f),
            Self::Census => f.write_str(CENSUS),
        }
    }
}

#[cfg(test)]
mod tests;
