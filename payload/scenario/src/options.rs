//! Run options: `key=value` text from the load options or a file beside the image.

use crate::{Hands, Plant, Risks, Scenario, ScenarioError, Which, Work};
use addr::{Bdf, PhysAddr};
use alloc::vec::Vec;
use core::fmt;

#[cfg(test)]
mod tests;

/// Format of the stream table that the primary builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strtab {
    /// One level.
    Linear,
    /// Two levels.
    TwoLevel,
}

/// A reserved memory range that the board wants for a function, where the firmware's IORT names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RmrWish {
    /// The function.
    pub bdf: Bdf,
    /// Length of the range, a multiple of 64 KiB.
    pub bytes: u64,
}

/// Virtual functions that the board wants of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtualWish {
    /// The physical function.
    pub bdf: Bdf,
    /// How many.
    pub count: u16,
}

/// A console that the board names because its firmware does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsoleWish {
    /// First register.
    pub base: PhysAddr,
    /// Width of a register access in bits.
    pub register_width: u32,
    /// Bytes from one register of a 16550 to the next; zero: it is a PL011.
    pub stride: u32,
}

/// Granule of a reserved memory range (IORT RMR descriptor: 64 KiB aligned).
const RMR_GRANULE: u64 = 0x1_0000;
/// The second image is mapped by blocks of 2 MiB.
pub const REGION_GRANULE: u64 = 2 << 20;
/// Waits that no option governs take up to 3 s between two signs of life.
const SHORTEST_WATCHDOG_S: u32 = 6;
/// Scenarios that one boot takes.
const MAX_SCENARIOS: usize = 256;

/// What a boot is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOptions {
    /// Scenarios, in order.
    pub scenarios: Vec<Work>,
    /// Crashes in each run.
    pub cycles: u32,
    /// How long all scenarios together go on, in seconds, each for its share; 0: `cycles` counts.
    pub for_s: u32,
    /// Planted fault.
    pub plant: Option<Plant>,
    /// Runs with HCR_EL2.E2H set.
    pub e2h: bool,
    /// Has the SMMUs enabled with stage-2 identity before the payload's own start, as some firmware leaves them.
    pub firmware_smmu: bool,
    /// Format of the stream table; `None`: two levels where the hardware has them.
    pub strtab: Option<Strtab>,
    /// Reserved ranges to add to the IORT.
    pub rmrs: Vec<RmrWish>,
    /// Virtual functions to turn on.
    pub virtuals: Vec<VirtualWish>,
    /// Functions that nobody may touch.
    pub hands: Hands,
    /// Longest wait for DMA before the takeover.
    pub hold_us: u32,
    /// Longest wait for DMA after the takeover.
    pub watch_us: u32,
    /// Between two steps of a takeover, too, every stream attempts DMA.
    pub step_hold: bool,
    /// Results as LAVA signals, too.
    pub lava: bool,
    /// Console, where the firmware names none.
    pub console: Option<ConsoleWish>,
    /// Where the second image's memory is to begin; `None`: wherever there is room.
    pub region: Option<PhysAddr>,
    /// Where the bundle of a witness lies that a boot loader left in memory; under UEFI it is a file.
    pub guest: Option<PhysAddr>,
    /// MiB of memory that a watched kernel may use.
    pub guest_mib: u32,
    /// Seconds without a sign of life after which the board's watchdog resets it; 0: it is not armed.
    pub watchdog_s: u32,
    /// Risks that the board allows.
    pub allow_risks: Risks,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            scenarios: Vec::from([Work::Crash(Scenario::plain(crate::Policy::Adopt))]),
            cycles: 1,
            for_s: 0,
            plant: None,
            e2h: false,
            firmware_smmu: false,
            strtab: None,
            rmrs: Vec::new(),
            virtuals: Vec::new(),
            hands: Hands::default(),
            hold_us: 100_000,
            watch_us: 100_000,
            step_hold: false,
            lava: false,
            console: None,
            region: None,
            guest: None,
            guest_mib: 512,
            watchdog_s: 0,
            allow_risks: Risks::NONE,
        }
    }
}

/// Something wrong with the option text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionProblem<'a> {
    /// The first word is no option: a finding, for a shell puts the image's name there.
    #[error("`{0}` at the start is no key=value and was ignored")]
    LeadingWord(&'a str),
    /// A later word is no option.
    #[error("`{0}` is no option; an option is key=value")]
    NotKeyValue(&'a str),
    /// No such key.
    #[error("there is no option `{0}`; known: {Keys}")]
    UnknownKey(&'a str),
    /// A key came again in one text.
    #[error("option `{0}` comes twice; give it once")]
    Duplicate(&'a str),
    /// A value is not one of the key's.
    #[error("{key}={value}: not {right}")]
    Value {
        /// The key.
        key: &'a str,
        /// As given.
        value: &'a str,
        /// What would be right.
        right: &'static str,
    },
    /// A scenario's name is wrong.
    #[error("scenario={name}: {error}")]
    Scenario {
        /// As given.
        name: &'a str,
        /// What is wrong with it.
        error: ScenarioError<'a>,
    },
}

impl OptionProblem<'_> {
    /// Tells whether the boot must not go on; otherwise it is a finding.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        !matches!(self, Self::LeadingWord(_))
    }
}

const NAMES: [&str; 21] = [
    "scenario",
    "cycles",
    "for_s",
    "plant",
    "e2h",
    "firmware-smmu",
    "strtab",
    "rmr",
    "vfs",
    "deny",
    "allow",
    "hold_us",
    "watch_us",
    "step-hold",
    "lava",
    "console",
    "region",
    "guest",
    "guest_mib",
    "watchdog",
    "allow_risks",
];
/// EDK2's loader of QEMU's `-kernel` appends `initrd=initrd` where an initrd is offered; it is not ours, and no mistake.
const FOREIGN_KEY: &str = "initrd";

/// They, for messages.
struct Keys;

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in NAMES.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            f.write_str(name)?;
        }
        Ok(())
    }
}

impl RunOptions {
    /// Reads options from `text`, words between white space, over what is there: a second text overrides the first. Reports
    /// everything that is wrong; what is wrong changes nothing.
    pub fn apply<'a>(&mut self, text: &'a str, mut report: impl FnMut(OptionProblem<'a>)) {
        let mut seen = 0u32;
        for (index, word) in text.split_ascii_whitespace().enumerate() {
            let Some((key, value)) = word.split_once('=') else {
                report(if index == 0 { OptionProblem::LeadingWord(word) } else { OptionProblem::NotKeyValue(word) });
                continue;
            };
            if key == FOREIGN_KEY {
                continue;
            }
            let Some(place) = NAMES.iter().position(|name| *name == key) else {
                report(OptionProblem::UnknownKey(key));
                continue;
            };
            if seen & (1 << place) != 0 {
                report(OptionProblem::Duplicate(key));
                continue;
            }
            seen |= 1 << place;
            if let Err(problem) = self.set(key, value) {
                report(problem);
            }
        }
    }

    /// The longest time without a sign of life, in µs: a watchdog that bites before ends runs that are well.
    #[must_use]
    pub fn longest_wait_us(&self) -> u64 {
        u64::from(self.hold_us.max(self.watch_us)) + (u64::from(SHORTEST_WATCHDOG_S) - 1) * 1_000_000
    }

    fn set<'a>(&mut self, key: &'a str, value: &'a str) -> Result<(), OptionProblem<'a>> {
        let or = |right| OptionProblem::Value { key, value, right };
        match key {
            "scenario" => self.scenarios = scenarios(value)?,
            "cycles" => {
                let right = "a number from 1 to 1000000";
                self.cycles = number(value, 1..=1_000_000).ok_or(or(right))?;
            }
            "for_s" => {
                self.for_s = number(value, 1..=2_592_000).ok_or(or("a number of seconds from 1 to 2592000"))?;
            }
            "plant" => self.plant = plant(value).ok_or(or(Plant::NAMES))?,
            "e2h" => self.e2h = switch(value).ok_or(or("0 or 1"))?,
            "step-hold" => self.step_hold = switch(value).ok_or(or("0 or 1"))?,
            "lava" => self.lava = switch(value).ok_or(or("0 or 1"))?,
            "firmware-smmu" => self.firmware_smmu = switch(value).ok_or(or("0 or 1"))?,
            "strtab" => self.strtab = Some(strtab(value).ok_or(or("linear or 2lvl"))?),
            "rmr" => {
                let right = "ssss:bb:dd.f or ssss:bb:dd.f:BYTES (a multiple of 0x10000), with commas between several";
                self.rmrs = rmrs(value).ok_or(or(right))?;
            }
            "vfs" => {
                let right = "ssss:bb:dd.f:NUMBER, with commas between several";
                self.virtuals = value.split(',').map(virtuals).collect::<Option<_>>().ok_or(or(right))?;
            }
            "deny" | "allow" => {
                let right = "ssss:bb:dd.f or vvvv:dddd (IDs), with commas between several";
                let list = value.split(',').map(Which::parse).collect::<Option<_>>().ok_or(or(right))?;
                *(if key == "deny" { &mut self.hands.deny } else { &mut self.hands.allow }) = list;
            }
            "hold_us" | "watch_us" => {
                let right = "a number of microseconds from 1 to 600000000";
                let us = number(value, 1..=600_000_000).ok_or(or(right))?;
                *(if key == "hold_us" { &mut self.hold_us } else { &mut self.watch_us }) = us;
            }
            "console" => {
                let right =
                    "pl011:ADDRESS[:WIDTH] or 16550:ADDRESS[:WIDTH[:STRIDE]] (8, 16 or 32 bits; 1, 2, 4 or 8 bytes)";
                self.console = Some(console(value).ok_or(or(right))?);
            }
            "region" | "guest" => {
                let is_right = |at: &u64| *at != 0 && at.is_multiple_of(REGION_GRANULE);
                let at = wide(value).filter(is_right).ok_or(or("an address, a multiple of 0x200000"))?;
                *(if key == "region" { &mut self.region } else { &mut self.guest }) = Some(PhysAddr(at));
            }
            "guest_mib" => {
                let is_right = |mib: &u32| mib.is_multiple_of(2);
                self.guest_mib =
                    number(value, 64..=65536).filter(is_right).ok_or(or("an even number from 64 to 65536"))?;
            }
            "watchdog" => {
                let right = "a number of seconds from 6 to 3600, or 0 for none";
                let is_right = |seconds: &u32| *seconds == 0 || *seconds >= SHORTEST_WATCHDOG_S;
                self.watchdog_s = number(value, 0..=3600).filter(is_right).ok_or(or(right))?;
            }
            "allow_risks" => {
                let right = "all, none, or some of bus-error,stray-write,device-reset,power-cycle";
                self.allow_risks = Risks::parse(value).ok_or(or(right))?;
            }
            _ => return Err(OptionProblem::UnknownKey(key)),
        }
        Ok(())
    }
}

fn scenarios(value: &str) -> Result<Vec<Work>, OptionProblem<'_>> {
    if value == "all" {
        return Ok(Scenario::all().map(Work::Crash).collect());
    }
    let parse = |name| Work::parse(name).map_err(|error| OptionProblem::Scenario { name, error });
    if value.split(',').nth(MAX_SCENARIOS).is_some() {
        return Err(OptionProblem::Value { key: "scenario", value, right: "256 scenarios or less" });
    }
    value.split(',').map(parse).collect()
}

fn plant(value: &str) -> Option<Option<Plant>> {
    if value.is_empty() || value == "none" { Some(None) } else { Plant::parse(value).map(Some) }
}

fn switch(value: &str) -> Option<bool> {
    match value {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

fn strtab(value: &str) -> Option<Strtab> {
    match value {
        "linear" => Some(Strtab::Linear),
        "2lvl" => Some(Strtab::TwoLevel),
        _ => None,
    }
}

fn rmrs(value: &str) -> Option<Vec<RmrWish>> {
    value.split(',').map(rmr).collect()
}

fn rmr(value: &str) -> Option<RmrWish> {
    if let Some(bdf) = Bdf::parse(value) {
        return Some(RmrWish { bdf, bytes: RMR_GRANULE });
    }
    let (bdf, bytes) = value.rsplit_once(':')?;
    let bytes = wide(bytes).filter(|bytes| *bytes != 0 && *bytes <= 1 << 40 && *bytes % RMR_GRANULE == 0)?;
    Some(RmrWish { bdf: Bdf::parse(bdf)?, bytes })
}

fn virtuals(value: &str) -> Option<VirtualWish> {
    let (bdf, count) = value.rsplit_once(':')?;
    let count = number(count, 1..=0xffff)?;
    Some(VirtualWish { bdf: Bdf::parse(bdf)?, count: count as u16 })
}

fn console(value: &str) -> Option<ConsoleWish> {
    let mut words = value.split(':');
    let is_16550 = match words.next()? {
        "pl011" => false,
        "16550" => true,
        _ => return None,
    };
    let base = wide(words.next()?)?;
    let usual = if is_16550 { "8" } else { "32" };
    let register_width = number(words.next().unwrap_or(usual), 8..=32).filter(|width| matches!(width, 8 | 16 | 32))?;
    let bytes = register_width / 8;
    let stride = match words.next() {
        None if is_16550 => bytes,
        None => 0,
        Some(stride) if is_16550 => number(stride, bytes..=8).filter(|stride| stride.is_power_of_two())?,
        Some(_) => return None,
    };
    let alignment = if is_16550 { bytes } else { 4 };
    let is_right = words.next().is_none() && base != 0 && base % u64::from(alignment) == 0;
    is_right.then_some(ConsoleWish { base: PhysAddr(base), register_width, stride })
}

fn number(value: &str, range: core::ops::RangeInclusive<u32>) -> Option<u32> {
    u32::try_from(wide(value)?).ok().filter(|number| range.contains(number))
}

/// Reads a decimal or `0x` number; no sign.
fn wide(value: &str) -> Option<u64> {
    let (digits, radix) = value.strip_prefix("0x").map_or((value, 10), |digits| (digits, 16));
    if digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}
