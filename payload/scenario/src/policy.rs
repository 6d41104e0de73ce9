//! What each takeover policy is documented to do: the judge takes its expectations from here, and the list of scenarios its
//! words.

use crate::Risks;
pub use smmu::takeover::Policy;

/// What becomes of a stream's DMA once the takeover is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Goes on where the dead kernel's tables say.
    Delivered,
    /// Is refused.
    Blocked,
    /// Arrives at the address that the device issues: right in an identity window, astray in every other.
    Untranslated,
}

impl After {
    /// Something of the DMA of a stream is refused.
    #[must_use]
    pub const fn blocks(self) -> bool {
        matches!(self, Self::Blocked)
    }

    /// Something of it arrives where nobody wants it.
    #[must_use]
    pub const fn mis_steers(self) -> bool {
        matches!(self, Self::Untranslated)
    }

    /// Something of it arrives where it belongs; `has_identity`: a part of it goes to an identity window.
    #[must_use]
    pub const fn delivers(self, has_identity: bool) -> bool {
        match self {
            Self::Delivered => true,
            Self::Blocked => false,
            Self::Untranslated => has_identity,
        }
    }
}

/// What a scenario's documentation says, for the judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Streams that no RMR node names.
    pub plain: After,
    /// Streams that an RMR node names.
    pub rmr: After,
    /// The dead kernel's table stays in force: the checks of an adoption apply.
    pub adopts: bool,
    /// The SMMU starts again with a table of its own: the checks of a reset apply.
    pub resets: bool,
}

impl Expectation {
    /// Everything goes on.
    pub const ADOPTED: Self = Self { plain: After::Delivered, rmr: After::Delivered, adopts: true, resets: false };
    /// Everything is refused but RMR streams, which bypass. Where an adoption is refused it ends like this too.
    pub const RESET: Self = Self { plain: After::Blocked, rmr: After::Untranslated, adopts: false, resets: true };
}

/// What the images need to know of a policy.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    policy: Policy,
    /// What it may do to a board.
    pub risks: Risks,
    /// What it does to DMA.
    pub expectation: Expectation,
}

/// In the order of [`Policy::ALL`].
static ROWS: [Behaviour; Policy::ALL.len()] = [
    Behaviour { policy: Policy::Adopt, risks: Risks::NONE, expectation: Expectation::ADOPTED },
    // In-flight DMA is refused, and RMR streams bypass.
    Behaviour {
        policy: Policy::Reset,
        risks: Risks::BUS_ERROR.with(Risks::STRAY_WRITE),
        expectation: Expectation::RESET,
    },
];

/// The row of a policy.
#[must_use]
pub fn behaviour(policy: Policy) -> &'static Behaviour {
    // Every policy has a row; a test holds them together.
    ROWS.iter().find(|row| row.policy == policy).unwrap_or(&ROWS[0])
}

/// Names, for messages.
pub(crate) const NAMES: &str = "adopt, reset";
/// Named in the design, not built.
pub(crate) const LATER: &[&str] = &[
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

/// What a part of a scenario is expected to do, and by which source. No image needs it: only the host lists scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Documented {
    /// What is expected.
    pub expects: &'static str,
    /// Where that comes from.
    pub source: &'static str,
}

/// A policy in words.
#[must_use]
pub const fn documented(policy: Policy) -> Documented {
    match policy {
        Policy::Adopt => Documented {
            expects: "every stream delivered in every phase, 0 blocked, 0 mis-steered; SMMUEN never 0; tables \
                      byte-identical",
            source: "Chen, Adopt the crashed kernel's stream table for kdump, v7 and v10 (Aug 2026)",
        },
        Policy::Reset => Documented {
            expects: "DMA blocked from the takeover on; RMR streams mis-steered in their canary window by new bypass STEs",
            source: "Linux 6.1 to 7.3, arm_smmu_device_reset() in a kdump kernel",
        },
    }
}
