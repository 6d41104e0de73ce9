//! What the host asked for: first line of every log that it keeps, so that a log can be judged again without the command.

use board::Expectation;
use serde::{Deserialize, Serialize};

use crate::report::model::{Artifact, Provenance};

/// Begins a line that the host, not the board, put into the log.
pub const HOST_PREFIX: &str = "# inflight host: ";
const REQUEST: &str = "request ";
const LOST: &str = "lost ";
const STOPPED: &str = "stopped";
const FINDING: &str = "finding ";

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The board.
    pub board: String,
    /// Scenarios in their order; empty: not known.
    pub scenarios: Vec<String>,
    /// Crashes of each; 0: not known, or by time.
    pub cycles: u32,
    /// Each goes on for a time, and may be ended before.
    #[serde(default)]
    pub by_time: bool,
    /// The planted fault.
    pub plant: Option<String>,
    /// Functions that must be live streams.
    pub endpoints: Vec<Expected>,
    /// Checks that are known to go otherwise on this board.
    #[serde(default)]
    pub expectations: Vec<Expectation>,
    /// The kernel that is to be watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<Box<Kernel>>,
    /// What ran, on what.
    #[serde(default)]
    pub provenance: Option<Box<Provenance>>,
}

/// A kernel that was brought along, as the host knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// Name of its file.
    pub name: String,
    /// Of the arm64 `Image`, unpacked.
    pub sha256: String,
    /// Of the same.
    pub bytes: u64,
    /// What it calls itself, from the image's text; none where it does not.
    #[serde(default)]
    pub version: Option<String>,
    /// Its whole command line.
    #[serde(default)]
    pub command_line: String,
    /// Its reads of the crashed kernel's tables are watched, too.
    #[serde(default)]
    pub watch_reads: bool,
    /// Its symbols.
    #[serde(default)]
    pub system_map: Option<std::path::PathBuf>,
    /// What the `Image` was unpacked from, such as `boot/vmlinuz-6.12, gzip`; none where the file is the `Image`.
    #[serde(default)]
    pub way: Option<String>,
    /// Size of its pages, by its header.
    #[serde(default)]
    pub pages: Option<String>,
    /// Memory that it lies in, by its header.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Its initrd.
    #[serde(default)]
    pub initrd: Option<Artifact>,
}

/// A function that must be a live stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The function.
    pub bdf: String,
    /// Its driver.
    pub driver: String,
}

/// A line of the host in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostLine {
    /// First line.
    Request(Request),
    /// Why the host gave up.
    Lost(String),
    /// The user ended a run that went on by time.
    Stopped,
    /// What is wrong on this side, and did not end the run.
    Finding {
        /// Stable name.
        id: String,
        /// In words.
        text: String,
    },
}

impl HostLine {
    /// The line, with its end.
    pub fn write(&self) -> String {
        match self {
            Self::Request(request) => {
                // A struct of text and numbers always has a JSON form.
                let json = serde_json::to_string(request).unwrap_or_default();
                format!("{HOST_PREFIX}{REQUEST}{json}\n")
            }
            Self::Stopped => format!("{HOST_PREFIX}{STOPPED}\n"),
            Self::Lost(reason) => format!("\n{HOST_PREFIX}{LOST}{}\n", on_one_line(reason)),
            Self::Finding { id, text } => format!("\n{HOST_PREFIX}{FINDING}{id} {}\n", on_one_line(text)),
        }
    }

    /// Reads a line of a log; `None` where it is none of the host's.
    pub fn read(line: &str) -> Option<Self> {
        let rest = line.strip_prefix(HOST_PREFIX)?;
        if let Some(json) = rest.strip_prefix(REQUEST) {
            return serde_json::from_str(json).ok().map(Self::Request);
        }
        if let Some(finding) = rest.strip_prefix(FINDING) {
            let (id, text) = finding.split_once(' ')?;
            return Some(Self::Finding { id: id.to_owned(), text: text.to_owned() });
        }
        if rest == STOPPED {
            return Some(Self::Stopped);
        }
        rest.strip_prefix(LOST).map(|reason| Self::Lost(reason.to_owned()))
    }
}

fn on_one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}
