//! What the crashed image left broken, and what follows from it.

use crate::{
    Risks,
    policy::{Documented, Expectation},
};

/// A kind of damage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Damage {
    /// Nothing.
    #[default]
    None,
}

/// Names, for messages.
pub(crate) const NAMES: &str = "none";
/// Named in the design, not built.
pub(crate) const LATER: &[&str] = &[
    "strtab-log2size",
    "strtab-split",
    "strtab-fmt",
    "l1-span",
    "l2-null",
    "l2-outside-ram",
    "stale-cmdq-error",
    "evtq-full",
];

impl Damage {
    /// All of them, the first is none.
    pub const ALL: [Self; 1] = [Self::None];

    /// Name in scenarios and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|damage| damage.name() == name)
    }

    /// A policy that adopts must refuse a table with it, and falls back to a reset.
    #[must_use]
    pub const fn is_refused(self) -> bool {
        match self {
            Self::None => false,
        }
    }

    /// What a policy with this expectation is expected to do with it.
    #[must_use]
    pub const fn applied_to(self, expectation: Expectation) -> Expectation {
        if self.is_refused() && expectation.adopts { Expectation::RESET } else { expectation }
    }

    /// What it adds to the policy's risks.
    #[must_use]
    pub const fn risks(self) -> Risks {
        // A fallback is a reset: DMA is refused, and RMR streams bypass.
        if self.is_refused() { Risks::BUS_ERROR.with(Risks::STRAY_WRITE) } else { Risks::NONE }
    }

    /// In words; `None`: those of the policy hold.
    #[must_use]
    pub const fn documented(self) -> Option<Documented> {
        match self {
            Self::None => None,
        }
    }
}
