//! Who was doing DMA after the crash, or in a census.

use serde::{Deserialize, Serialize};

use super::{Event, Hex};
use crate::report::counts::Phase;

/// A function, and what its DMA was seen to do. Times are microseconds since the crash, or since the census began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Requester {
    /// The function; `none` for a StreamID that belongs to none.
    pub bdf: String,
    /// Vendor and device by their IDs; absent where they are not known.
    pub name: Option<String>,
    /// How its requests reach an SMMU: the name that they go by, the SMMU, the StreamID.
    pub chain: String,
    /// Its StreamID.
    pub stream_id: Option<u32>,
    /// The driver that puts it to work.
    pub driver: Option<String>,
    /// Bus mastering at the end of the watch.
    pub bus_master: bool,
    /// It answers then, with its registers where they were.
    pub answers: bool,
    /// The first DMA that was seen to land; absent: none, or nobody counts it.
    pub first_dma_us: Option<u64>,
    /// The last.
    pub last_dma_us: Option<u64>,
    /// The first time that it attempted anything.
    pub first_attempt_us: Option<u64>,
    /// The last.
    pub last_attempt_us: Option<u64>,
    /// What is counted of it; absent without a live stream.
    pub unit: Option<String>,
    /// The counts since the crash.
    pub moved: Option<Phase>,
    /// What the SMMU refused it, by page, direction and kind.
    pub faults: Vec<Event>,
    /// What hardware marked of its DMA, in a census that refuses nothing.
    #[serde(default)]
    pub marks: Vec<Mark>,
    /// How the policy stopped it.
    pub stopped: Option<Stopped>,
    /// How its DMA ended.
    pub ending: Ending,
    /// All of this for a person.
    pub sentence: String,
}

/// How a census watched an SMMU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Watched {
    /// Which.
    pub smmu: u8,
    /// Hardware marked what was used, and nothing was refused; else all DMA was.
    pub marks: bool,
    /// In words, with the reason.
    pub how: String,
}

/// A block of addresses that a stream used while a census watched. A mark says that the stream, or a fetch ahead on its behalf,
/// was translated there; a block that was written is never one fetched ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Mark {
    /// First address.
    pub address: Hex,
    /// Length: what one mark tells apart.
    pub bytes: u64,
    /// It was written; absent where hardware does not tell.
    pub written: Option<bool>,
    /// When a scan first found it used, in microseconds since the census began.
    pub first_us: Option<u64>,
    /// The last time.
    pub last_us: Option<u64>,
    /// How many scans did.
    pub scans: u32,
}

/// How a device was stopped before the takeover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Stopped {
    /// By what, in words.
    pub means: String,
    /// When it was told, in microseconds since the crash.
    pub told_us: u64,
    /// How long it took to do.
    pub took_us: u64,
    /// From the moment that it was told to the last DMA that was seen to land; absent: nothing has landed since.
    pub last_dma_us: Option<u64>,
    /// Units that landed since it was told; absent where a reset hides that.
    pub landed: Option<u64>,
    /// Units that it attempted since; absent likewise.
    pub attempted: Option<u64>,
}

/// How the DMA of a function ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// None was seen.
    NotSeen,
    /// It stopped before anybody told it to.
    ByItself,
    /// It stopped when its driver, or its command register, said so.
    WhenTold,
    /// It stopped by a reset.
    ByReset,
    /// It went on to the end of the watch.
    StillGoing,
}
