//! What a boot is asked to do: crash by a scenario, crash and watch somebody's kernel take over, or only look who is doing DMA.

use crate::{Crash, Damage, Risks, Scenario, ScenarioError, policy::Documented, scenario};
use core::fmt;

/// One item of a boot's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A crash and a takeover.
    Crash(Scenario),
    /// A crash, and a takeover by a kernel that is brought along and watched.
    Witness {
        /// Damage.
        damage: Damage,
        /// Kind of crash.
        crash: Crash,
    },
    /// Nothing is started, and nobody dies: whoever does DMA now is named.
    Census,
}

/// Its name among scenarios.
const CENSUS: &str = "census";
/// What stands for the policy where a kernel takes over.
const WITNESS: &str = "witness";

impl Work {
    /// Reads `census`, `witness[+damage][@crash]`, or a scenario.
    ///
    /// # Errors
    /// As [`Scenario::parse`].
    pub fn parse(text: &str) -> Result<Self, ScenarioError<'_>> {
        if text == CENSUS {
            return Ok(Self::Census);
        }
        let (taker, damage, crash) = scenario::parts(text);
        if taker == WITNESS {
            return Ok(Self::Witness { damage: scenario::damage(damage)?, crash: scenario::crash(crash)? });
        }
        Scenario::parse(text).map(Self::Crash)
    }

    /// What it may do to a board.
    #[must_use]
    pub fn risks(self) -> Risks {
        match self {
            Self::Crash(scenario) => scenario.risks(),
            // It may do what any policy does.
            Self::Witness { damage, crash } => Risks::ALL.with(damage.risks()).with(crash.risks()),
            // What a device does is refused to it, but where hardware marks it: what the SMMUs are decides on the board.
            Self::Census => Risks::BUS_ERROR,
        }
    }

    /// What is expected, and by which source.
    #[must_use]
    pub fn documented(self) -> Documented {
        match self {
            Self::Crash(scenario) => scenario.documented(),
            Self::Witness { .. } => Documented {
                expects: "the kernel resets the SMMU or adopts its table by one of the known sequences, and breaks no rule of the architecture; DMA \
                          fares as that sequence is documented to leave it",
                source: "Linux, arm_smmu_device_probe() in a kdump kernel: released, and in Chen's series v7 and v10",
            },
            Self::Census => Documented {
                expects: "no device does DMA that nobody of ours has started; one that does is named, and is refused it unless the SMMU marks it (IDR0.HTTU)",
                source: "Deacon, 22 Mar 2024: make it easier to diagnose missing ->shutdown() callbacks",
            },
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Crash(ref scenario) => scenario.fmt(f),
            Self::Witness { damage, crash } => {
                f.write_str(WITNESS)?;
                scenario::write_rest(damage, crash, f)
            }
            Self::Census => f.write_str(CENSUS),
        }
    }
}

#[cfg(test)]
mod tests;
