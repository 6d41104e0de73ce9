//! A board file as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::{Erratum, Evidence, Expectation, Firmware, Flash, Power, Reach, Risk, Serial, Smmus, Watchdog};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Board {
    pub(crate) name: Spanned<String>,
    pub(crate) description: String,
    pub(crate) evidence: Evidence,
    /// A new board allows none.
    #[serde(default)]
    pub(crate) allow_risks: Vec<Risk>,
    pub(crate) console: Option<Spanned<String>>,
    pub(crate) crash_region: Option<Spanned<u64>>,
    pub(crate) rmr: Option<Rmr>,
    pub(crate) limits: Limits,
    #[serde(default, rename = "endpoint")]
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) hold_us: Option<Spanned<u32>>,
    pub(crate) watch_us: Option<Spanned<u32>>,
    #[serde(default)]
    pub(crate) deny: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) allow: Vec<Spanned<String>>,
    pub(crate) sender: Option<Sender>,
    pub(crate) qemu: Option<Qemu>,
    /// Console log of a run on the hardware, relative to the folder of all boards.
    pub(crate) log: Option<Spanned<String>>,
    pub(crate) firmware: Option<Firmware>,
    pub(crate) smmus: Option<Spanned<Smmus>>,
    pub(crate) watchdog: Option<Spanned<Watchdog>>,
    pub(crate) reach: Option<Spanned<Reach>>,
    #[serde(default, rename = "erratum")]
    pub(crate) errata: Vec<Spanned<Erratum>>,
    #[serde(default, rename = "quirk")]
    pub(crate) quirks: Vec<Spanned<Erratum>>,
    #[serde(default, rename = "expect")]
    pub(crate) expectations: Vec<Spanned<Expectation>>,
    pub(crate) serial: Option<Spanned<Serial>>,
    pub(crate) power: Option<Spanned<Power>>,
    pub(crate) flash: Option<Spanned<Flash>>,
    #[serde(default)]
    pub(crate) sources: BTreeMap<String, Spanned<String>>,
}

/// A lab's own board: one of the known, and how it is reached there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Site {
    pub(crate) extends: Spanned<String>,
    pub(crate) name: Spanned<String>,
    pub(crate) description: Option<String>,
    pub(crate) allow_risks: Option<Vec<Risk>>,
    pub(crate) limits: Option<Limits>,
    pub(crate) serial: Option<Spanned<Serial>>,
    pub(crate) power: Option<Spanned<Power>>,
    pub(crate) flash: Option<Spanned<Flash>>,
    /// These come to the board's own.
    #[serde(default)]
    pub(crate) deny: Vec<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Rmr {
    pub(crate) bdf: Spanned<String>,
    pub(crate) bytes: Spanned<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Limits {
    pub(crate) boot_seconds: Spanned<u64>,
    pub(crate) silence_seconds: Spanned<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Endpoint {
    pub(crate) bdf: Spanned<String>,
    pub(crate) driver: String,
    #[serde(default)]
    pub(crate) virtual_functions: Vec<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Sender {
    pub(crate) interface: Spanned<String>,
    pub(crate) frames_per_second: Spanned<u32>,
}

/// Which of the primary's two files is started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Image {
    /// The UEFI application.
    #[default]
    Uefi,
    /// The arm64 `Image`, by the emulator itself or by U-Boot.
    Raw,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Qemu {
    pub(crate) program: String,
    pub(crate) minimum_version: Spanned<String>,
    pub(crate) machine: String,
    pub(crate) cpu: String,
    pub(crate) smp: Spanned<u32>,
    pub(crate) memory: Spanned<String>,
    #[serde(default)]
    pub(crate) image: Image,
    #[serde(default)]
    pub(crate) firmware: Vec<String>,
    pub(crate) devicetree: Option<String>,
    #[serde(default)]
    pub(crate) globals: Vec<String>,
    #[serde(default)]
    pub(crate) audiodevs: Vec<String>,
    #[serde(default)]
    pub(crate) netdevs: Vec<String>,
    #[serde(default)]
    pub(crate) drives: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) devices: Vec<String>,
    pub(crate) sender: Option<QemuSender>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct QemuSender {
    pub(crate) netdev: Spanned<String>,
    pub(crate) frames_per_second: Spanned<u32>,
}
