//! What goes on right now, in memory that survives a warm reset and, where firmware keeps variables, in one of those: at the
//! next start it says what was running when the machine died. It may be anybody's bytes by then: only its CRC makes it words.

use crate::seal::{HandoverError, Header, Kind, crc};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Version of [`LastWords`]' layout.
pub const VERSION: u32 = 1;
/// Deaths in a row without a scenario between them, after which a board is left alone.
pub const MOST_DEATHS: u32 = 3;

const KIND: Kind = Kind { block: "last words", magic: u64::from_le_bytes(*b"inflwrds"), version: VERSION };

/// `LastWords::phase`: from a quiet machine to the crash.
pub const BEFORE: u32 = 0;
/// `LastWords::phase`: from the crash to the takeover's last access.
pub const BLACKOUT: u32 = 1;
/// `LastWords::phase`: the watch, and all that the taker tells of it.
pub const AFTER: u32 = 2;
/// `LastWords::phase`: back in the first image, which stops everything.
pub const CLEAN_UP: u32 = 3;

/// The block itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LastWords {
    /// Magic, version, length, CRC.
    pub header: Header,
    /// CRC-64 of the option text: whose work it was.
    pub options: u64,
    /// Scenario of the boot, from 0.
    pub run: u32,
    /// Crash of that run, from 0.
    pub cycle: u32,
    /// `BEFORE` and so on.
    pub phase: u32,
    /// Steps that began in this phase.
    pub steps: u32,
    /// Boots that died in a row before this one, with no scenario more.
    pub deaths: u32,
    /// Seconds after which a watchdog resets; 0: none is armed.
    pub watchdog_s: u32,
    scenario: [u8; 64],
    step: [u8; 40],
}

/// What a start makes of the words that it finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Next {
    /// The scenario to begin with.
    pub run: u32,
    /// For the new words.
    pub deaths: u32,
}

impl LastWords {
    /// Words of a boot with these options; in no scenario yet.
    #[must_use]
    pub fn new(options: u64, next: Next) -> Self {
        Self {
            header: Header::default(),
            options,
            run: next.run,
            cycle: 0,
            phase: BEFORE,
            steps: 0,
            deaths: next.deaths,
            watchdog_s: 0,
            scenario: [0; 64],
            step: [0; 40],
        }
    }

    /// A scenario begins.
    pub fn begin(&mut self, run: u32, scenario: &str) {
        self.run = run;
        put(&mut self.scenario, scenario);
        self.begin_cycle(0);
    }

    /// A cycle of it begins.
    pub fn begin_cycle(&mut self, cycle: u32) {
        self.cycle = cycle;
        self.enter(BEFORE, "arm");
    }

    /// A phase begins, with this step.
    pub fn enter(&mut self, phase: u32, step: &str) {
        (self.phase, self.steps) = (phase, 0);
        self.step(step);
    }

    /// A step begins.
    pub fn step(&mut self, step: &str) {
        self.steps = self.steps.saturating_add(1);
        put(&mut self.step, step);
        self.header = KIND.header(size_of::<Self>() as u32);
        self.header.crc = crc(self.as_bytes());
    }

    /// The words at the start of `bytes`.
    ///
    /// # Errors
    /// The first that is wrong of magic, version, length and CRC.
    pub fn find(bytes: &[u8]) -> Result<Self, HandoverError> {
        let short = KIND.length(bytes.len(), size_of::<Self>());
        let (words, _) = Self::read_from_prefix(bytes).map_err(|_| short)?;
        KIND.check_whole(words.as_bytes(), words.header.bytes).map(|()| words)
    }

    /// The scenario; empty before the first.
    #[must_use]
    pub fn scenario(&self) -> &str {
        text(&self.scenario)
    }

    /// The step; empty before the first.
    #[must_use]
    pub fn step_name(&self) -> &str {
        text(&self.step)
    }

    /// How a boot with `options` goes on after these words; `None`: not at all, because starts alone do not help.
    ///
    /// Where the memory kept them (`is_warm`) the machine went through a reset and nothing else: the work is resumed after the
    /// scenario that died, so that each death has a scenario less to come. Where only a variable did, it may also have been
    /// switched off by somebody: the work begins anew, and not for ever.
    #[must_use]
    pub fn next(&self, options: u64, is_warm: bool) -> Option<Next> {
        if self.options != options {
            return Some(Next::default());
        }
        if is_warm && self.scenario[0] != 0 {
            return Some(Next { run: self.run.saturating_add(1), deaths: 0 });
        }
        let deaths = self.deaths.saturating_add(1);
        let run = if is_warm { self.run } else { 0 };
        (deaths < MOST_DEATHS).then_some(Next { run, deaths })
    }
}

/// As much of the text as fits.
fn put(place: &mut [u8], text: &str) {
    place.fill(0);
    place.iter_mut().zip(text.bytes()).for_each(|(slot, byte)| *slot = byte);
}

/// What was put there, where it is printable.
fn text(place: &[u8]) -> &str {
    let end = place.iter().position(|byte| *byte == 0).unwrap_or(place.len());
    let text = place.get(..end).filter(|text| text.iter().all(|byte| matches!(byte, b' '..=b'~')));
    text.and_then(|text| core::str::from_utf8(text).ok()).unwrap_or("")
}

#[cfg(test)]
mod tests;
