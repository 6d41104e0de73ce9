//! What the protocol checker says.

use serde::{Deserialize, Serialize};

use super::Name;

/// What the protocol checker says of one cycle's access log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Protocol {
    /// The cycle: the first that is not as expected, else the first that told its log.
    pub cycle: u32,
    /// The log is whole.
    pub complete: bool,
    /// Its entries, steps included.
    pub entries: u64,
    /// What each SMMU's part of it follows.
    pub smmus: Vec<ProtocolSmmu>,
    /// Broken rules.
    pub violations: Vec<Broken>,
    /// What is doubtful or without effect.
    pub remarks: Vec<Broken>,
}

/// The reference sequence that is followed on one SMMU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProtocolSmmu {
    pub smmu: u8,
    /// `ADOPT v7`, `ADOPT v10`, `RESET` or `RESET (fallback)`; `None` where too little of any is there.
    pub profile: Option<Name>,
    /// Where it is left first.
    pub left: Option<Departure>,
}

/// Where a log leaves its reference sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Departure {
    /// First entry that does not fit; the number of entries where the log ends too early.
    pub entry: u64,
    /// What was due.
    pub expected: String,
    /// What came.
    pub found: String,
}

/// A rule that the log breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Broken {
    /// Its name.
    pub rule: Name,
    /// Where it comes from.
    pub clause: Name,
    pub smmu: u8,
    /// Entries of the log that prove it.
    pub entries: Vec<u64>,
    /// In words.
    pub text: String,
    /// How often.
    pub count: u64,
}
