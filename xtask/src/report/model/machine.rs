//! The machine that a boot found.

use serde::{Deserialize, Serialize};

use super::{Hex, Name, Pcie};

/// The machine, as the payload found it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Platform {
    /// The firmware that started the payload, by its own word; absent where none did, or in an older report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<MadeBy>,
    /// The IORT in force; absent where there is none.
    pub iort: Option<Iort>,
    /// SMMUs.
    pub smmus: Vec<Smmu>,
    /// PCI functions.
    pub endpoints: Vec<Endpoint>,
    /// Reserved memory ranges.
    pub rmrs: Vec<Rmr>,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
}

/// Who made the firmware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MadeBy {
    /// As its system table has it.
    pub vendor: String,
    /// A number that means something to the vendor alone.
    pub revision: Hex,
}

/// The IORT in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Iort {
    /// `firmware`, `amended`, `file`, or `devicetree` where it was written from one.
    pub origin: Name,
    /// Digest of the table in force.
    pub sha256: String,
    /// Digest of the firmware's own table.
    pub firmware_sha256: Option<String>,
    /// Length.
    pub bytes: u32,
}

/// An SMMU as found at start.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Smmu {
    pub index: u8,
    pub base: Hex,
    pub idr0: Hex,
    pub idr1: Hex,
    pub idr3: Hex,
    pub idr5: Hex,
    pub iidr: Hex,
    pub aidr: Hex,
    pub cr0: Hex,
    pub gbpa: Hex,
    pub coherent: bool,
    /// What became of DMA before anybody set the SMMU up: GBPA.ABORT as found, `abort` or `bypass`.
    #[serde(default)]
    pub gbpa_reset: Name,
    /// The version by AIDR, such as `SMMUv3.1`.
    #[serde(default)]
    pub architecture: String,
    /// Implementer and product by IIDR, where they are known.
    pub product: Option<String>,
    /// The registers above, field by field: name and words.
    #[serde(default)]
    pub words: Vec<(Name, String)>,
}

/// A PCI function.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Endpoint {
    /// The function.
    pub bdf: String,
    /// Vendor ID.
    pub vendor: Hex,
    /// Device ID.
    pub device: Hex,
    /// Class code.
    pub class: Hex,
    /// Its SMMU.
    pub smmu: Option<u8>,
    /// Its StreamID.
    pub stream_id: Option<u32>,
    /// The driver that claims it.
    pub driver: Option<String>,
    /// Found with bus mastering on.
    pub bus_master: bool,
    /// Bus mastering was on before the firmware's end; absent where it could not be asked.
    pub bus_master_before_exit: Option<bool>,
    /// It was chosen to become a live stream.
    pub armed: bool,
    /// The board keeps the payload's hands off it.
    #[serde(default)]
    pub denied: bool,
    /// Its capabilities, their state, and its path to the SMMU; absent where the payload told nothing of it.
    pub pcie: Option<Pcie>,
}

/// A reserved memory range with one of its streams.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Rmr {
    /// First address.
    pub base: Hex,
    /// Length.
    pub bytes: u64,
    /// Its SMMU.
    pub smmu: Option<u8>,
    /// Its StreamID.
    pub stream_id: u32,
    /// Flags of the node.
    pub flags: Hex,
}

/// Something wrong with firmware tables, options or the platform.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    /// `note`, `warning` or `error`.
    pub severity: Name,
    /// Where: a table's signature or a word such as `options`.
    pub table: String,
    /// Stable name.
    pub id: String,
    /// Offset in the table.
    pub offset: Option<u32>,
    /// In words.
    pub text: String,
}
