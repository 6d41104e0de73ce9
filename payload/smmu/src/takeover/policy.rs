//! Names of the takeover policies.

use core::fmt;
use core::str::FromStr;

/// A takeover policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Keep translating with the crashed kernel's tables.
    Adopt,
    /// Start again behind GBPA.ABORT, as all released kernels do.
    Reset,
}

impl Policy {
    /// Every policy, in the order in which they are listed.
    pub const ALL: [Self; 2] = [Self::Adopt, Self::Reset];

    /// The name in scenarios and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Adopt => "adopt",
            Self::Reset => "reset",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no takeover policy of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such takeover policy; there are adopt and reset")]
pub struct UnknownPolicy;

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        Self::ALL.into_iter().find(|policy| policy.name() == text).ok_or(UnknownPolicy)
    }
}
