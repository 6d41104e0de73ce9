//! PCI Express in words: what a function has and is set to, whether its path to the SMMU is isolated, and what it told of errors.

use addr::Bdf;
use pci::state::{Has, State, Word};
use pci::{ErrorRegister, ErrorState, isolation};
use serde::{Deserialize, Serialize};

use super::model::{Hex, Name};

/// A function's capabilities and their state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Pcie {
    /// Device/Port Type, or `conventional`.
    pub kind: Name,
    /// Capabilities that it has, by their usual short names.
    pub capabilities: Vec<Name>,
    /// A list of capabilities could not be walked to its end.
    pub cut: bool,
    /// In whose name its requests reach the host bridge, where that is not its own.
    pub alias: Option<String>,
    /// Every port on the way to the SMMU sends requests up, and none of another function's comes under its name.
    pub isolated: bool,
    /// Where the path is open first.
    pub open_at: Option<String>,
    /// Function level reset.
    pub flr: bool,
    /// Power state; absent without power management.
    pub power: Option<String>,
    /// Address translation services are enabled; absent where it has none.
    pub ats: Option<bool>,
    /// The page request interface is enabled.
    pub pri: Option<bool>,
    /// Process address space IDs are enabled.
    pub pasid: Option<bool>,
    /// Virtual functions: enabled, and how many it may have.
    pub virtual_functions: Option<[u16; 2]>,
    /// Speed and width of the link in use.
    pub link: Option<String>,
    /// Physical slot number, and what is in it.
    pub slot: Option<String>,
    /// How long it waits for a completion.
    pub completion_timeout: Option<Name>,
    /// What Device Status told when the machine was looked at.
    pub device_status: Option<String>,
}

/// What one function told anew in one phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PcieErrors {
    /// The function.
    pub bdf: String,
    /// `before`, `blackout` or `after`.
    pub phase: Name,
    /// Registers and bits by name.
    pub text: String,
    /// Of messages that a root port or event collector keeps: whose they are.
    pub sources: Vec<String>,
    /// Header Log: words of the request that the first error was about; absent where nothing was logged.
    pub header: Option<[Hex; 4]>,
    /// The same decoded.
    pub request: Option<String>,
    /// TLP Prefix Log, where it is not empty.
    pub prefixes: Option<[Hex; 4]>,
}

/// A function as its record told it.
#[derive(Clone, Debug)]
pub struct Told {
    pub bdf: Bdf,
    pub requester: String,
    pub state: State,
}

impl Told {
    /// Of a record's fields.
    pub fn new(bdf: &str, requester: &str, state: &[u8]) -> Option<Self> {
        let state = State::from_bytes(state)?;
        Some(Self { bdf: Bdf::parse(bdf)?, requester: requester.into(), state })
    }
}

/// Describes `bdf` among `all` functions.
pub fn describe(all: &[Told], bdf: &str) -> Option<Pcie> {
    let bdf = Bdf::parse(bdf)?;
    let Told { requester, state, .. } = all.iter().find(|told| told.bdf == bdf)?;
    let states: Vec<(Bdf, State)> = all.iter().map(|told| (told.bdf, told.state)).collect();
    let path = isolation(&states, bdf);
    let has = |what| state.has().contains(what);
    let enabled = |what, word, bit: u32| has(what).then(|| state.word(word) & bit != 0);
    let vfs = state.word(Word::Vfs);
    Some(Pcie {
        kind: kind(state.kind()).into(),
        capabilities: NAMES.iter().filter(|(what, _)| has(*what)).map(|(_, name)| (*name).into()).collect(),
        cut: has(Has::CUT),
        alias: Some(requester.clone()).filter(|name| *name != bdf.to_string()),
        isolated: path.is_ok(),
        open_at: path.err().map(|open| open.to_string()),
        flr: state.has_flr(),
        power: has(Has::POWER).then(|| format!("D{}", state.word(Word::Power) & 3)),
        ats: enabled(Has::ATS, Word::Ats, 1 << 31),
        pri: enabled(Has::PRI, Word::Pri, 1),
        pasid: enabled(Has::PASID, Word::Pasid, 1 << 16),
        virtual_functions: has(Has::SR_IOV).then_some([(vfs >> 16) as u16, vfs as u16]),
        link: link(state.word(Word::Link)),
        slot: slot(state),
        completion_timeout: timeout(state).map(Into::into),
        device_status: device_status(state.word(Word::Device) >> 16),
    })
}

const NAMES: [(Has, &str); 10] = [
    (Has::EXPRESS, "PCI Express"),
    (Has::POWER, "PM"),
    (Has::AER, "AER"),
    (Has::DPC, "DPC"),
    (Has::ACS, "ACS"),
    (Has::ATS, "ATS"),
    (Has::PRI, "PRI"),
    (Has::PASID, "PASID"),
    (Has::SR_IOV, "SR-IOV"),
    (Has::COLLECTOR, "RCEC"),
];

/// Device/Port Type (PCI Express Base 6.0, 7.5.3.2).
fn kind(kind: Option<u8>) -> &'static str {
    match kind {
        None => "conventional",
        Some(0) => "endpoint",
        Some(1) => "legacy endpoint",
        Some(4) => "root port",
        Some(5) => "upstream port",
        Some(6) => "downstream port",
        Some(7) => "bridge to PCI",
        Some(8) => "bridge from PCI",
        Some(9) => "integrated endpoint",
        Some(10) => "event collector",
        Some(_) => "reserved type",
    }
}

/// Link Status: Current Link Speed in 3:0, Negotiated Link Width in 9:4 (7.5.3.8). Zero width: no link.
fn link(status: u32) -> Option<String> {
    const SPEEDS: [&str; 6] = ["2.5", "5", "8", "16", "32", "64"];
    let width = status >> 4 & 0x3f;
    let speed = (status & 0xf).checked_sub(1).and_then(|at| SPEEDS.get(at as usize));
    (width != 0).then(|| format!("x{width} {} GT/s", speed.unwrap_or(&"?")))
}

/// Slot Capabilities 31:19 is the number, Slot Status bit 6 tells that something is in it (7.5.3.9, 7.5.3.11).
fn slot(state: &State) -> Option<String> {
    let has_slot = state.word(Word::Express) & 1 << 8 != 0;
    let filled = if state.word(Word::Slot) & 1 << 6 != 0 { "in use" } else { "empty" };
    has_slot.then(|| format!("{}, {filled}", state.word(Word::SlotCapabilities) >> 19))
}

/// Device Control 2, Completion Timeout Value and Disable (7.5.3.16).
fn timeout(state: &State) -> Option<&'static str> {
    let control = state.word(Word::Device2);
    if !state.has().contains(Has::EXPRESS) || state.word(Word::Express) & 0xf < 2 {
        return None;
    }
    Some(match (control >> 4 & 1, control & 0xf) {
        (1, _) => "off",
        (_, 0) => "50 us to 50 ms",
        (_, 1) => "50 to 100 us",
        (_, 2) => "1 to 10 ms",
        (_, 5) => "16 to 55 ms",
        (_, 6) => "65 to 210 ms",
        (_, 9) => "260 to 900 ms",
        (_, 10) => "1 to 3.5 s",
        (_, 13) => "4 to 13 s",
        (_, 14) => "17 to 64 s",
        _ => "reserved value",
    })
}

fn device_status(status: u32) -> Option<String> {
    let mut told = ErrorState::default();
    told.bits[ErrorRegister::Device as usize] = status & ErrorRegister::Device.errors();
    (!told.is_clean()).then(|| told.to_string())
}

/// In words what a record told of errors.
pub fn errors(bdf: &str, phase: u8, state: &[u8]) -> Option<PcieErrors> {
    let state = ErrorState::from_bytes(state)?;
    let segment = Bdf::parse(bdf).map_or(0, |bdf| bdf.segment);
    let hex = |words: [u32; 4]| words.map(|word| Hex(word.into()));
    let is_logged = state.header != [0; 4];
    let mut sources: Vec<String> =
        state.sources().iter().flatten().map(|rid| Bdf { segment, rid: *rid }.to_string()).collect();
    sources.dedup();
    Some(PcieErrors {
        bdf: bdf.into(),
        phase: ["before", "blackout", "after"].get(usize::from(phase)).unwrap_or(&"unknown").to_owned().into(),
        text: state.to_string(),
        sources,
        header: is_logged.then(|| hex(state.header)),
        request: is_logged.then(|| request(segment, &state.header)),
        prefixes: (state.prefixes != [0; 4]).then(|| hex(state.prefixes)),
    })
}

/// A request's or completion's header (PCI Express Base 6.0, 2.2.1, 2.2.4, 2.2.9): what it is, of whom, and where it goes.
fn request(segment: u16, header: &[u32; 4]) -> String {
    let [first, second, third, fourth] = *header;
    let (format, kind) = (first >> 29, first >> 24 & 0x1f);
    let has_data = format & 2 != 0;
    let name = match (kind, has_data) {
        (0, false) => "memory read",
        (0, true) => "memory write",
        (1, _) => "locked memory read",
        (2, false) => "I/O read",
        (2, true) => "I/O write",
        (4 | 5, false) => "configuration read",
        (4 | 5, true) => "configuration write",
        (10, false) => "completion",
        (10, true) => "completion with data",
        (12..=14, _) => "atomic operation",
        (16..=23, _) => "message",
        _ => "request of reserved type",
    };
    let of = Bdf { segment, rid: (second >> 16) as u16 };
    let address = match (kind, format & 1) {
        (0 | 1 | 12..=14, 1) => format!(" at {:#x}", u64::from(third) << 32 | u64::from(fourth & !3)),
        (0 | 1 | 2 | 12..=14, 0) => format!(" at {:#x}", third & !3),
        (4 | 5, _) => format!(" of {}", Bdf { segment, rid: (third >> 16) as u16 }),
        (10, _) => format!(" for {}", Bdf { segment, rid: (third >> 16) as u16 }),
        _ => String::new(),
    };
    format!("{name} by {of}{address}")
}

#[cfg(test)]
mod tests;
