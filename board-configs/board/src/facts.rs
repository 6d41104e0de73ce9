//! What is known of a machine, and from where.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Way;

/// By what the firmware describes the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tables {
    /// ACPI: IORT, MCFG.
    Acpi,
    /// A devicetree.
    Devicetree,
}

/// Exception level at which the firmware starts an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Level {
    /// A hypervisor of the vendor keeps EL2: the payload says so and ends.
    #[serde(rename = "EL1")]
    El1,
    /// As the payload needs it.
    #[serde(rename = "EL2")]
    El2,
}

/// The firmware that hands over.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Firmware {
    /// What describes the machine.
    pub tables: Tables,
    /// Where an image starts.
    pub level: Option<Level>,
}

/// An architecture of IOMMUs that Arm machines have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Architecture {
    /// What this tool judges.
    #[serde(rename = "SMMUv3")]
    SmmuV3,
    /// MMU-500 and the like: the payload finds no SMMUv3 there, and says so.
    #[serde(rename = "SMMUv2")]
    SmmuV2,
    /// None, or none that firmware describes.
    #[serde(rename = "none")]
    None,
}

/// The SMMUs that the machine has by its documents.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Smmus {
    /// Their architecture.
    pub architecture: Architecture,
    /// Physical addresses of their register frames.
    #[serde(default)]
    pub at: Vec<u64>,
    /// A product, such as `MMU-600`.
    pub product: Option<String>,
}

/// A watchdog (SBSA generic watchdog; GTDT) that ends a payload which hangs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Watchdog {
    /// Address of the refresh frame.
    pub refresh: u64,
    /// Address of the control frame.
    pub control: u64,
    /// From the payload's last sign of life to the reset.
    #[serde(default = "usual_seconds")]
    pub seconds: u32,
}

/// Longer than any wait of the payload, and shorter than a lab's patience.
const fn usual_seconds() -> u32 {
    60
}

/// A line to the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// Pins for an adapter with the right voltage.
    Header,
    /// A connector with the voltages of RS-232.
    Rs232,
    /// The machine's own USB adapter: the host sees a serial port.
    Usb,
    /// Serial over LAN of a BMC.
    Bmc,
    /// The simulator's own: a Telnet port or standard output.
    Simulator,
}

/// A way to switch the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Switch {
    /// A BMC that speaks Redfish.
    Redfish,
    /// A BMC that speaks IPMI.
    Ipmi,
    /// A relay in its supply, or at its buttons.
    Relay,
    /// A simulator is a process of the host.
    Process,
}

/// What a lab has to choose from: how the machine can be reached. What one lab chose says its site file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reach {
    /// Lines to its console; an empty list: there is none that can be reached.
    pub serial: Option<Vec<Line>>,
    /// Bits per second of that console.
    pub baud: Option<u32>,
    /// What its firmware, or its BMC, can boot from.
    #[serde(default)]
    pub boot: Vec<Way>,
    /// How it can be switched.
    #[serde(default)]
    pub power: Vec<Switch>,
}

/// A defect of the silicon or of the firmware that a run has to know of, or a quirk that is none.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Erratum {
    /// Its name, such as `MMU-600 1209401`.
    pub name: String,
    /// What it means for a run.
    pub reason: String,
    /// Where it is told.
    pub link: String,
}

/// Verdicts that a board can be known to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Known {
    /// The check fails here.
    Fail,
    /// It cannot be covered here.
    NotCovered,
}

/// A check that is known to go otherwise here than by its policy's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expectation {
    /// The check's identifier.
    pub check: String,
    /// Only in this scenario.
    pub scenario: Option<String>,
    /// What it gives.
    pub verdict: Known,
    /// Why.
    pub reason: String,
    /// Where it is told.
    pub link: String,
}

/// Where each fact of the file comes from, by its key.
pub type Sources = BTreeMap<String, String>;
