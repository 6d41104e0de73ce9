//! A scenario: `policy[+damage][@crash]`.

use crate::{
    Crash, Damage, Policy, Risks, crash, damage,
    policy::{self, Documented, Expectation},
};
use alloc::vec::Vec;
use core::fmt;
use smmu::translation::Stage;

#[cfg(test)]
mod tests;

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
}

impl Scenario {
    /// A policy with nothing broken and a plain jump.
    #[must_use]
    pub const fn plain(policy: Policy) -> Self {
        Self { policy, damage: Damage::NONE, crash: Crash::Jump }
    }

    /// Reads `policy[+damage][@crash]`.
    ///
    /// # Errors
    /// [`ScenarioError`] for the first part that is wrong.
    pub fn parse(text: &str) -> Result<Self, ScenarioError<'_>> {
        let (policy, damage, crash) = parts(text);
        Ok(Self {
            policy: policy.parse().map_err(|_| wrong("policy", policy, policy::NAMES))?,
            damage: self::damage(damage)?,
            crash: self::crash(crash)?,
        })
    }

    /// What it may do to a board.
    #[must_use]
    pub fn risks(self) -> Risks {
        policy::behaviour(self.policy).risks.with(self.damage.risks()).with(self.crash.risks())
    }

    /// What the documentation of its policy says, of an SMMU where nothing is damaged.
    #[must_use]
    pub fn policy_expectation(self) -> Expectation {
        policy::behaviour(self.policy).expectation
    }

    /// What its documentation says, in words.
    #[must_use]
    pub fn documented(self) -> Documented {
        self.damage.documented().unwrap_or(policy::documented(self.policy))
    }

    /// All that `all` stands for: every policy alone, every damage with `adopt`, domains of stage 2 with the policies that
    /// attach to one, and every kind of crash with `adopt` and `reset`.
    pub fn all() -> impl Iterator<Item = Self> {
        // One list and plain loops: a chain of iterators costs the images a kilobyte.
        let mut all: Vec<Self> = Policy::ALL.iter().map(|policy| Self::plain(*policy)).collect();
        let [adopt, reset] = [Policy::Adopt, Policy::Reset].map(Self::plain);
        for damage in Damage::all().skip(1) {
            all.push(Self { damage, ..adopt });
            if damage.stage() == Stage::Two {
                all.extend([Policy::AdoptAttach, Policy::AdoptV7Attach].map(|policy| Self { policy, damage, ..adopt }));
            }
        }
        for crash in Crash::ALL.iter().skip(1) {
            all.push(Self { crash: *crash, ..adopt });
            all.push(Self { crash: *crash, ..reset });
        }
        all.into_iter()
    }
}

/// Who takes over, damage and kind of crash, by name.
pub(crate) fn parts(text: &str) -> (&str, &str, &str) {
    let (rest, crash) = text.split_once('@').unwrap_or((text, Crash::Jump.name()));
    let (taker, damage) = rest.split_once('+').unwrap_or((rest, Damage::NONE.name()));
    (taker, damage, crash)
}

pub(crate) fn damage(name: &str) -> Result<Damage, ScenarioError<'_>> {
    Damage::parse(name).ok_or_else(|| wrong("damage", name, damage::NAMES))
}

pub(crate) fn crash(name: &str) -> Result<Crash, ScenarioError<'_>> {
    Crash::parse(name).ok_or_else(|| wrong("crash kind", name, crash::NAMES))
}

const fn wrong<'a>(part: &'static str, name: &'a str, known: &'static str) -> ScenarioError<'a> {
    ScenarioError::Unknown { part, name, known }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.policy.name())?;
        write_rest(self.damage, self.crash, f)
    }
}

/// What follows the taker's name.
pub(crate) fn write_rest(damage: Damage, crash: Crash, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (is_plain, mark, name) in
        [(damage == Damage::NONE, "+", damage.name()), (crash == Crash::Jump, "@", crash.name())]
    {
        if !is_plain {
            f.write_str(mark)?;
            f.write_str(name)?;
        }
    }
    Ok(())
}
