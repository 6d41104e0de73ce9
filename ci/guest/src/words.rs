//! The command line: `policy=adopt-v7 fault=gerror-unread do=stores,cpu-on watch_us=5000 end=reset`.

use crate::{actions::Action, fault::Fault};
use addr::StreamId;
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use smmu::takeover::Policy;

/// How the kernel ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// PSCI SYSTEM_OFF.
    Off,
    /// PSCI SYSTEM_RESET, without a word.
    Reset,
    /// The same, as Linux announces it.
    Restart,
    /// A panic, which says so and resets.
    Panic,
    /// It spins, and never traps again.
    Hang,
    /// It sleeps, and nothing wakes it.
    WfiHang,
}

const ENDS: [(&str, End); 6] = [
    ("off", End::Off),
    ("reset", End::Reset),
    ("restart", End::Restart),
    ("panic", End::Panic),
    ("hang", End::Hang),
    ("wfi-hang", End::WfiHang),
];

/// What the kernel is told to do.
pub(crate) struct Words {
    /// One takeover after the other; none: no SMMU is touched.
    pub(crate) policies: Vec<Policy>,
    /// The rule that is broken in each.
    pub(crate) fault: Option<Fault>,
    /// Streams that get domains; the first is the one that faults and actions are about.
    pub(crate) streams: Vec<StreamId>,
    /// Streams that firmware reserves ranges for, beside those of the devicetree.
    pub(crate) rmr_streams: Vec<StreamId>,
    /// What is done after the takeovers, in this order.
    pub(crate) actions: Vec<Action>,
    /// Time that passes before the end.
    pub(crate) watch_us: u64,
    pub(crate) end: End,
}

impl Words {
    /// # Errors
    /// A key of ours with a value that it does not have. Other words are Linux's.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let (policies, streams) = (Vec::new(), [StreamId(0x10)].to_vec());
        let (rmr_streams, actions) = (Vec::new(), Vec::new());
        let mut words = Self { policies, fault: None, streams, rmr_streams, actions, watch_us: 100_000, end: End::Off };
        for word in text.split_ascii_whitespace() {
            let Some((key, value)) = word.split_once('=') else { continue };
            let wrong = |known: &str| format!("{word}: known are {known}");
            match key {
                "policy" if value == "none" => words.policies.clear(),
                "policy" => {
                    let known = || wrong(&names(Policy::ALL.map(Policy::name)));
                    words.policies = list(value, |name| name.parse().ok()).ok_or_else(known)?;
                }
                "fault" => words.fault = Some(named(&Fault::ALL, value).map_err(|known| wrong(&known))?),
                "stream" | "rmr" => {
                    let streams = list(value, |text| number(text).map(|id| StreamId(id as u32)));
                    let place = if key == "rmr" { &mut words.rmr_streams } else { &mut words.streams };
                    *place = streams.ok_or_else(|| wrong("StreamIDs"))?;
                }
                "do" => {
                    let known = || wrong(&names(Action::ALL.map(|(name, _)| name)));
                    words.actions = list(value, |name| named(&Action::ALL, name).ok()).ok_or_else(known)?;
                }
                "watch_us" => words.watch_us = number(value).ok_or_else(|| wrong("microseconds"))?,
                "end" => words.end = named(&ENDS, value).map_err(|known| wrong(&known))?,
                _ => {}
            }
        }
        Ok(words)
    }

    /// The stream that faults and actions are about.
    pub(crate) fn stream(&self) -> StreamId {
        self.streams.first().copied().unwrap_or(StreamId(0))
    }
}

fn list<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    text.split(',').map(read).collect()
}

/// The value of this name, or all names.
fn named<T: Copy, const N: usize>(all: &[(&'static str, T); N], name: &str) -> Result<T, String> {
    all.iter()
        .find(|(known, _)| *known == name)
        .map(|(_, value)| *value)
        .ok_or_else(|| names(all.map(|(name, _)| name)))
}

fn names<const N: usize>(all: [&str; N]) -> String {
    all.join(", ").to_string()
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}
