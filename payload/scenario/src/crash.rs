//! How the first image dies.

use crate::Risks;

/// A kind of crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Crash {
    /// A plain jump.
    #[default]
    Jump,
    /// Its panic handler.
    Panic,
}

/// Names, for messages.
pub(crate) const NAMES: &str = "jump, panic";
/// Named in the design, not built.
pub(crate) const LATER: &[&str] = &["fault", "hung-cpu", "other-cpu"];

impl Crash {
    /// All of them, the plain one first.
    pub const ALL: [Self; 2] = [Self::Jump, Self::Panic];

    /// Name in scenarios and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jump => "jump",
            Self::Panic => "panic",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|crash| crash.name() == name)
    }

    /// What it adds to the policy's risks.
    #[must_use]
    pub const fn risks(self) -> Risks {
        match self {
            Self::Jump | Self::Panic => Risks::NONE,
        }
    }
}
