//! Names of the takeover policies.

use core::fmt;
use core::str::FromStr;

/// A takeover policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Keep translating with the crashed kernel's tables.
    Adopt,
    /// The same by the rules of revision 7: identifiers are not looked at, and the table's shape is hardly checked.
    AdoptV7,
    /// Adopt, and install bypass STEs for RMR streams in the live table: the bug that revision 6 mended.
    AdoptRmrBypass,
    /// Start again behind GBPA.ABORT, as all released kernels do.
    Reset,
    /// The same with the event queue left on, as a kernel does that is not a crash kernel.
    ResetEvtq,
    /// The same, and then every function gets an empty default domain, as 7.3 does.
    ResetAttach,
    /// GBPA.ABORT, SMMUEN off, and no more.
    Abort,
    /// GBPA bypass, SMMUEN off, and no more.
    Bypass,
    /// Bus mastering off everywhere, then reset.
    QuiesceBme,
    /// Each device stopped by its driver's own reset, then reset.
    QuiesceDriver,
    /// Function level reset where there is one, then reset.
    QuiesceFlr,
    /// The bus below each port reset, then reset.
    QuiesceBusReset,
    /// Downstream port containment of each port that has it, then reset.
    QuiesceDpc,
    /// Adopt; then the driver of one device starts it again, with a domain of its own.
    AdoptAttach,
    /// The same by the rules of revision 7: the domain gets an identifier that the dead kernel used.
    AdoptV7Attach,
}

/// Names in scenarios and reports, in the order of the enum.
const NAMES: [&str; Policy::ALL.len()] = [
    "adopt",
    "adopt-v7",
    "adopt-rmr-bypass",
    "reset",
    "reset-evtq",
    "reset-attach",
    "abort",
    "bypass",
    "quiesce-bme",
    "quiesce-driver",
    "quiesce-flr",
    "quiesce-bus-reset",
    "quiesce-dpc",
    "adopt-attach",
    "adopt-v7-attach",
];

impl Policy {
    /// Every policy, in the order in which they are listed.
    pub const ALL: [Self; 15] = [
        Self::Adopt,
        Self::AdoptV7,
        Self::AdoptRmrBypass,
        Self::Reset,
        Self::ResetEvtq,
        Self::ResetAttach,
        Self::Abort,
        Self::Bypass,
        Self::QuiesceBme,
        Self::QuiesceDriver,
        Self::QuiesceFlr,
        Self::QuiesceBusReset,
        Self::QuiesceDpc,
        Self::AdoptAttach,
        Self::AdoptV7Attach,
    ];

    /// The name in scenarios and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// The crashed kernel's table stays in force.
    #[must_use]
    pub const fn adopts(self) -> bool {
        matches!(self, Self::Adopt | Self::AdoptV7 | Self::AdoptRmrBypass) || self.attaches()
    }

    /// The adoption goes by revision 7.
    #[must_use]
    pub const fn is_v7(self) -> bool {
        matches!(self, Self::AdoptV7 | Self::AdoptV7Attach)
    }

    /// After the adoption one stream moves to a domain of the taker's own.
    #[must_use]
    pub const fn attaches(self) -> bool {
        matches!(self, Self::AdoptAttach | Self::AdoptV7Attach)
    }

    /// The SMMU is left disabled.
    #[must_use]
    pub const fn turns_off(self) -> bool {
        matches!(self, Self::Abort | Self::Bypass)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no takeover policy of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such takeover policy")]
pub struct UnknownPolicy;

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        Self::ALL.into_iter().find(|policy| policy.name() == text).ok_or(UnknownPolicy)
    }
}
