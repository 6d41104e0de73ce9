//! The report: what `report.json` holds, key by key, and what every other rendering is made of.

mod machine;
mod protocol;
mod provenance;
mod requester;
mod run;
mod witness;

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use super::counts::Phases;
pub use super::pcie::{Pcie, PcieErrors};
pub use super::statistics::Blackout;
pub use super::throughput::Throughput;
pub use machine::{Endpoint, Finding, Iort, MadeBy, Platform, Rmr, Smmu};
pub use protocol::{Broken, Departure, Protocol, ProtocolSmmu};
pub use provenance::{Artifact, Provenance};
pub use requester::{Ending, Mark, Requester, Stopped, Watched};
pub use run::{
    Abort, Access, Attach, Check, Crash, CycleLine, CycleStream, Event, FailedCycle, Register, Run, Stream, Timing,
    Waived,
};
pub use witness::{Cost, Foreign, Kernel, Last, Offence, OnSmmu, Witness};

/// Value of the key `schema`.
pub const SCHEMA: &str = "inflight-report/1";

/// The board of a log that does not say it.
pub const UNKNOWN_BOARD: &str = "unknown";

/// A word that this tool knows, or one that an older report brought.
pub type Name = Cow<'static, str>;

/// How a run, a cycle or a whole boot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All as expected.
    Pass,
    /// Something is not as expected.
    Fail,
    /// No verdict.
    Lost,
}

impl Outcome {
    /// The word of the report.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Lost => "lost",
        }
    }
}

impl From<wire::record::Outcome> for Outcome {
    fn from(outcome: wire::record::Outcome) -> Self {
        match outcome {
            wire::record::Outcome::Pass => Self::Pass,
            wire::record::Outcome::Fail => Self::Fail,
            wire::record::Outcome::Lost => Self::Lost,
        }
    }
}

/// Verdict of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The rule holds.
    Pass,
    /// The rule is broken.
    Fail,
    /// The check does not apply.
    Skip,
    /// The check ought to have run and could not.
    NotCovered,
}

impl Verdict {
    /// The word of the report.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skip => "skip",
            Self::NotCovered => "not-covered",
        }
    }

    /// As the payload writes it.
    pub const fn wire(self) -> wire::record::Verdict {
        match self {
            Self::Pass => wire::record::Verdict::Pass,
            Self::Fail => wire::record::Verdict::Fail,
            Self::Skip => wire::record::Verdict::Skip,
            Self::NotCovered => wire::record::Verdict::NotCovered,
        }
    }
}

impl From<wire::record::Verdict> for Verdict {
    fn from(verdict: wire::record::Verdict) -> Self {
        match verdict {
            wire::record::Verdict::Pass => Self::Pass,
            wire::record::Verdict::Fail => Self::Fail,
            wire::record::Verdict::Skip => Self::Skip,
            wire::record::Verdict::NotCovered => Self::NotCovered,
        }
    }
}

/// An address or register value: hexadecimal text, since JSON's numbers end at 2^53 in most readers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hex(pub u64);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:#x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
        digits.map(Self).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no number such as 0x1f")))
    }
}

#[cfg(test)]
impl schemars::JsonSchema for Hex {
    fn schema_name() -> Cow<'static, str> {
        "Hex".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let description =
            "An address or register value: hexadecimal text, since JSON's numbers end at 2^53 in most readers.";
        schemars::json_schema!({ "type": "string", "pattern": "^0x[0-9a-f]{1,16}$", "description": description })
    }
}

/// A whole report.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: Name,
    /// Name of the board's file.
    pub board: String,
    /// How the boot ended, after the host's own check.
    pub outcome: Outcome,
    /// What the payload itself said at its end.
    pub payload_outcome: Option<Outcome>,
    /// The planted fault; such a report never passes.
    pub planted: Option<String>,
    /// The user ended a run that went on by time: when.
    pub stopped: Option<String>,
    /// What ran, on what, and how to run it again; absent in logs that do not tell.
    #[serde(default)]
    pub provenance: Option<Provenance>,
    /// Why there is no verdict.
    pub lost: Option<Lost>,
    /// What the host found wrong with the payload's report.
    pub problems: Vec<String>,
    /// Images that said hello, in their order.
    pub images: Vec<Image>,
    /// The machine.
    pub platform: Platform,
    /// One for each scenario.
    pub runs: Vec<Run>,
}

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Lost {
    /// What happened.
    pub reason: String,
    /// The last thing that the payload told or the console showed.
    pub last_seen: String,
}

/// An image that said hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Image {
    /// `primary` or `kdump`.
    pub image: String,
    /// Its version.
    pub version: String,
    /// Exception level that it runs at.
    pub el: u8,
    /// HCR_EL2.E2H.
    pub e2h: bool,
}
