//! What became of a stream's DMA, phase by phase.

use serde::{Deserialize, Serialize};

/// Units of one stream in one phase; `None` where the device has no attempt count that avoids the SMMU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Phase {
    /// Units that the device tried to move.
    pub attempted: Option<u64>,
    /// Units that arrived at their target.
    pub delivered: u64,
    /// attempted - delivered - mis_steered.
    pub blocked: Option<u64>,
    /// Units that arrived anywhere else.
    pub mis_steered: u64,
}

impl Phase {
    /// Adds `other`; a count that one of both lacks is lacking in the sum.
    pub fn plus(self, other: Self) -> Self {
        let sum = |a: Option<u64>, b: Option<u64>| Some(a?.saturating_add(b?));
        Self {
            attempted: sum(self.attempted, other.attempted),
            delivered: self.delivered.saturating_add(other.delivered),
            blocked: sum(self.blocked, other.blocked),
            mis_steered: self.mis_steered.saturating_add(other.mis_steered),
        }
    }

    /// attempted = delivered + blocked + mis_steered, or both counts are absent.
    pub fn adds_up(&self) -> bool {
        match (self.attempted, self.blocked) {
            (None, None) => true,
            (Some(attempted), Some(blocked)) => {
                let parts = self.delivered.checked_add(self.mis_steered).and_then(|sum| sum.checked_add(blocked));
                parts == Some(attempted)
            }
            _ => false,
        }
    }
}

impl From<wire::record::Phase> for Phase {
    fn from(phase: wire::record::Phase) -> Self {
        let wire::record::Phase { attempted, delivered, blocked, mis_steered } = phase;
        Self { attempted, delivered, blocked, mis_steered }
    }
}

/// Counts of one stream in the three phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Phases {
    /// Armed to crash.
    pub before: Phase,
    /// Crash to the takeover's last acknowledged access.
    pub blackout: Phase,
    /// To the end of the watch.
    pub after: Phase,
}

impl Phases {
    /// The three with their names, in time's order.
    pub const fn named(&self) -> [(&'static str, Phase); 3] {
        [("before", self.before), ("blackout", self.blackout), ("after", self.after)]
    }

    /// Sum, phase by phase.
    pub fn plus(self, other: Self) -> Self {
        Self {
            before: self.before.plus(other.before),
            blackout: self.blackout.plus(other.blackout),
            after: self.after.plus(other.after),
        }
    }

    /// All from the crash on: what a policy is answerable for.
    pub fn since_crash(&self) -> Phase {
        self.blackout.plus(self.after)
    }
}

impl From<[wire::record::Phase; 3]> for Phases {
    fn from([before, blackout, after]: [wire::record::Phase; 3]) -> Self {
        Self { before: before.into(), blackout: blackout.into(), after: after.into() }
    }
}
