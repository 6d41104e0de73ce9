//! Board descriptions: one TOML file each, read into raw types that refuse unknown keys, then checked into [`Board`].

#![forbid(unsafe_code)]

mod check;
mod collect;
mod date;
mod error;
mod facts;
mod find;
mod known;
mod names;
mod raw;
mod read;
mod site;
mod suggest;
pub mod target;
#[cfg(test)]
mod tests;
pub mod waivers;

use std::fmt;
use std::path::PathBuf;

use addr::Bdf;
pub use raw::Image;
pub use scenario::{Hands, Which};
use serde::Deserialize;

pub use check::is_name;
pub use date::Date;
pub use error::BoardError;
pub use facts::*;
pub use find::{load, mistakes, names, parse};
pub use names::{PROTOCOL_CHECK, WITNESS_CHECKS, checks};
pub use site::*;
pub use suggest::nearest;

/// Where the evidence about a board comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// The payload ran on this hardware, and the log is kept.
    Silicon,
    /// The payload ran on an emulator of this machine.
    Emulated,
    /// Only documents and tables of the machine were read.
    Documented,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silicon => "silicon",
            Self::Emulated => "emulated",
            Self::Documented => "documented",
        })
    }
}

/// What a scenario may do to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Risk {
    /// A device or the CPU may get a bus error.
    BusError,
    /// DMA may land in memory that nobody expects it in.
    StrayWrite,
    /// A device may come back only after a reset.
    DeviceReset,
    /// The machine may come back only after its power was off.
    PowerCycle,
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BusError => "bus-error",
            Self::StrayWrite => "stray-write",
            Self::DeviceReset => "device-reset",
            Self::PowerCycle => "power-cycle",
        })
    }
}

/// A board, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Board {
    /// Its name, that of its file.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Where the evidence about it comes from.
    pub evidence: Evidence,
    /// The only risks that a scenario may take here.
    pub allow_risks: Vec<Risk>,
    /// The console, where the firmware's tables name none.
    pub console: Option<String>,
    /// Where the second image's memory is to begin, where it may not lie just anywhere.
    pub crash_region: Option<u64>,
    /// A reserved range to add to the firmware's IORT.
    pub rmr: Option<RmrWish>,
    /// Deadlines of one boot.
    pub limits: Limits,
    /// The PCI functions that must become live streams; virtual ones follow their own.
    pub endpoints: Vec<Endpoint>,
    /// Longest wait for DMA before the takeover, in microseconds, where the usual one is too short.
    pub hold_us: Option<u32>,
    /// The same after it.
    pub watch_us: Option<u32>,
    /// Functions that the payload keeps its hands off, and the only ones that it does not, where any is named.
    pub hands: Hands,
    /// Network frames that this host sends to the board.
    pub sender: Option<Sender>,
    /// How to emulate the machine.
    pub qemu: Option<Qemu>,
    /// Console log of a run on the hardware, relative to the folder of all boards.
    pub log: Option<String>,
    /// What hands over.
    pub firmware: Option<Firmware>,
    /// SMMUs that are expected.
    pub smmus: Option<Smmus>,
    /// What ends a payload that hangs.
    pub watchdog: Option<Watchdog>,
    /// By what means a lab can reach it.
    pub reach: Option<Reach>,
    /// Defects that a run has to know of.
    pub errata: Vec<Erratum>,
    /// What is no defect, and surprises all the same.
    pub quirks: Vec<Erratum>,
    /// Checks that go otherwise here.
    pub expectations: Vec<Expectation>,
    /// The console's line to this host.
    pub serial: Option<Serial>,
    /// How it is switched.
    pub power: Option<Power>,
    /// How an image gets there.
    pub flash: Option<Flash>,
    /// Where each of these facts comes from.
    pub sources: Sources,
}

/// A reserved memory range that the board's firmware does not declare and the run needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RmrWish {
    /// The function that it is for.
    pub bdf: Bdf,
    /// Its length, a multiple of 64 KiB (IORT E.e, 3.1.1.5).
    pub bytes: u64,
}

/// Deadlines of one boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From start to the last record.
    pub boot_seconds: u64,
    /// Without any console output.
    pub silence_seconds: u64,
}

/// A PCI function that must become a live stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The function.
    pub bdf: Bdf,
    /// The driver that claims it.
    pub driver: String,
    /// How many virtual functions it is to have.
    pub virtual_functions: u16,
}

/// An emulated machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Qemu {
    /// The emulator's name.
    pub program: String,
    /// Its oldest version that has what the machine needs.
    pub minimum_version: (u32, u32),
    /// Value of `-machine`.
    pub machine: String,
    /// Value of `-cpu`.
    pub cpu: String,
    /// Value of `-smp`.
    pub smp: u32,
    /// Value of `-m`.
    pub memory: String,
    /// What is started.
    pub image: Image,
    /// Firmware images; the first that exists is used. EDK2, which a UEFI application needs, or U-Boot for a raw image; none:
    /// the emulator itself loads the raw image.
    pub firmware: Vec<PathBuf>,
    /// Value of `-dtb`, a file in the folder of all boards, where the emulator makes none that describes the machine.
    pub devicetree: Option<String>,
    /// Values of `-global`.
    pub globals: Vec<String>,
    /// Values of `-audiodev`.
    pub audiodevs: Vec<String>,
    /// Values of `-netdev`, after the sender's.
    pub netdevs: Vec<String>,
    /// Values of `-drive`: disks for `devices`.
    pub drives: Vec<String>,
    /// Values of `-device`, in this order.
    pub devices: Vec<String>,
    /// The sender of network frames over loopback.
    pub sender: Option<QemuSender>,
}

/// Frames that the host broadcasts on the network of the board's cards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The host's interface on that network, such as `eth1`.
    pub interface: String,
    /// Rate. The receive rings of the cards must outlive a cycle.
    pub frames_per_second: u32,
}

/// Frames that the host sends to an emulated network card over loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QemuSender {
    /// ID of the `-netdev` that it feeds.
    pub netdev: String,
    /// Rate. The card's receive ring must outlive a cycle.
    pub frames_per_second: u32,
}
