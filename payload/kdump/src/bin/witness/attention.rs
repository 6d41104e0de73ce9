//! How much of a kernel is looked at: what watching costs is measured against those that are not watched.

use alloc::vec::Vec;
use handover::bundle::{MAPPED, UNWATCHED};
use witness::trap::{
    feature::IdRegisters,
    plan::{self, Write},
};

/// How much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attention {
    /// It is watched.
    Watched,
    /// Stage 2 is in force, and takes nothing out but what is hidden.
    Mapped,
    /// Nothing but its calls of firmware comes to EL2.
    Alone,
}

impl Attention {
    /// By a bundle's flags.
    pub(crate) const fn of(flags: u64) -> Self {
        match (flags & UNWATCHED != 0, flags & MAPPED != 0) {
            (false, _) => Self::Watched,
            (true, true) => Self::Mapped,
            (true, false) => Self::Alone,
        }
    }

    /// What is written to EL2's registers for it.
    pub(crate) fn plan(self, ids: &IdRegisters, e2h: bool) -> Vec<Write> {
        match self {
            Self::Watched => plan::visiting(ids, e2h).collect(),
            Self::Mapped => plan::plan(ids, e2h).collect(),
            Self::Alone => plan::unmapped(ids, e2h).collect(),
        }
    }
}
