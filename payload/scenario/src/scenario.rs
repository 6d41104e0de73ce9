//! A scenario: `policy[+damage][@crash]`.

use crate::Risks;
use core::fmt;

#[cfg(test)]
mod tests;

/// What the kdump image does to an enabled SMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Keeps translating with the crashed kernel's stream table.
    Adopt,
    /// Full reset behind GBPA.ABORT, as all released kernels do.
    Reset,
}

/// What the crashed image left broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Damage {
    /// Nothing.
    #[default]
    None,
}

/// How the first image dies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Crash {
    /// A plain jump.
    #[default]
    Jump,
    /// Its panic handler.
    Panic,
}

/// Policy, damage and kind of crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Policy.
    pub policy: Policy,
    /// Damage.
    pub damage: Damage,
    /// Kind of crash.
    pub crash: Crash,
}

/// What is wrong with a scenario's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError<'a> {
    /// No such policy, damage or kind of crash.
    #[error("there is no {part} `{name}`; known: {known}")]
    Unknown {
        /// Policy, damage or crash kind.
        part: &'static str,
        /// As given.
        name: &'a str,
        /// What would be right.
        known: &'static str,
    },
    /// It is named in the design, but this version cannot do it.
    #[error("{part} `{name}` is not built yet; this version has: {known}")]
    NotBuilt {
        /// Policy, damage or crash kind.
        part: &'static str,
        /// As given.
        name: &'a str,
        /// What would be right.
        known: &'static str,
    },
}

const POLICIES: &str = "adopt, reset";
const LATER_POLICIES: &[&str] = &[
    "adopt-v7",
    "adopt-rmr-bypass",
    "reset-evtq",
    "reset-attach",
    "abort",
    "bypass",
    "quiesce-bme",
    "quiesce-driver",
    "quiesce-flr",
    "quiesce-bus-reset",
    "quiesce-dpc",
];
const DAMAGES: &str = "none";
const LATER_DAMAGES: &[&str] = &[
    "strtab-log2size",
    "strtab-split",
    "strtab-fmt",
    "l1-span",
    "l2-null",
    "l2-outside-ram",
    "stale-cmdq-error",
    "evtq-full",
];
const CRASHES: &str = "jump, panic";
const LATER_CRASHES: &[&str] = &["fault", "hung-cpu", "other-cpu"];

impl Scenario {
    /// A policy with nothing broken and a plain jump.
    #[must_use]
    pub const fn plain(policy: Policy) -> Self {
        Self { policy, damage: Damage::None, crash: Crash::Jump }
    }

    /// Reads `policy[+damage][@crash]`.
    ///
    /// # Errors
    /// [`ScenarioError`] for the first part that is wrong.
    pub fn parse(text: &str) -> Result<Self, ScenarioError<'_>> {
        let (rest, crash) = text.split_once('@').map_or((text, None), |(rest, crash)| (rest, Some(crash)));
        let (policy, damage) = rest.split_once('+').map_or((rest, None), |(policy, damage)| (policy, Some(damage)));
        let policy = match policy {
            "adopt" => Policy::Adopt,
            "reset" => Policy::Reset,
            _ => return Err(wrong("policy", policy, LATER_POLICIES, POLICIES)),
        };
        let damage = match damage {
            None | Some("none") => Damage::None,
            Some(name) => return Err(wrong("damage", name, LATER_DAMAGES, DAMAGES)),
        };
        let crash = match crash {
            None | Some("jump") => Crash::Jump,
            Some("panic") => Crash::Panic,
            Some(name) => return Err(wrong("crash kind", name, LATER_CRASHES, CRASHES)),
        };
        Ok(Self { policy, damage, crash })
    }

    /// What it may do to a board.
    #[must_use]
    pub const fn risks(self) -> Risks {
        match self.policy {
            Policy::Adopt => Risks::NONE,
            // In-flight DMA is refused, and RMR streams bypass.
            Policy::Reset => Risks::BUS_ERROR.with(Risks::STRAY_WRITE),
        }
    }

    /// All that `all` stands for: every policy alone, and every kind of crash with `adopt` and `reset`.
    pub fn all() -> impl Iterator<Item = Self> {
        LISTED.iter().map(|listed| listed.scenario)
    }
}

fn wrong<'a>(part: &'static str, name: &'a str, later: &[&str], known: &'static str) -> ScenarioError<'a> {
    if later.contains(&name) {
        ScenarioError::NotBuilt { part, name, known }
    } else {
        ScenarioError::Unknown { part, name, known }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.policy {
            Policy::Adopt => "adopt",
            Policy::Reset => "reset",
        })?;
        f.write_str(match self.damage {
            Damage::None => "",
        })?;
        f.write_str(match self.crash {
            Crash::Jump => "",
            Crash::Panic => "@panic",
        })
    }
}

/// One row of `--list-scenarios`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The scenario.
    pub scenario: Scenario,
    /// What its documentation expects.
    pub expects: &'static str,
    /// Where that comes from.
    pub source: &'static str,
}

const ADOPT: Listed = Listed {
    scenario: Scenario::plain(Policy::Adopt),
    expects: "every stream delivered in every phase, 0 blocked, 0 mis-steered; SMMUEN never 0; tables byte-identical",
    source: "Chen, Adopt the crashed kernel's stream table for kdump, v7 and v10 (Aug 2026)",
};
const RESET: Listed = Listed {
    scenario: Scenario::plain(Policy::Reset),
    expects: "DMA blocked from the takeover on; RMR streams mis-steered in their canary window by new bypass STEs",
    source: "Linux 6.1 to 7.3, arm_smmu_device_reset() in a kdump kernel",
};

const fn after_panic(listed: Listed) -> Listed {
    Listed { scenario: Scenario { crash: Crash::Panic, ..listed.scenario }, ..listed }
}

/// Every scenario of this version.
pub const LISTED: &[Listed] = &[ADOPT, RESET, after_panic(ADOPT), after_panic(RESET)];
