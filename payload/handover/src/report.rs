//! What the kdump image leaves for the primary on the way back.

use crate::seal::{HandoverError, Header, Kind, crc};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Version of [`Report`]'s layout.
pub const VERSION: u32 = 2;

const KIND: Kind = Kind { block: "report", magic: u64::from_le_bytes(*b"inflback"), version: VERSION };

/// How a cycle ended, in `Report::outcome`. 0 is none of them: memory that nobody wrote is no outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Ended(pub u32);

impl Ended {
    /// All as expected.
    pub const PASS: Self = Self(1);
    /// Something not as expected.
    pub const FAIL: Self = Self(2);
}

/// The block itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Report {
    /// Magic, version, length, CRC.
    pub header: Header,
    /// Scenario of this boot that it belongs to.
    pub run: u32,
    /// Crash of that run that it belongs to.
    pub cycle: u32,
    /// How the cycle ended.
    pub outcome: Ended,
    /// Sequence number of the next console record.
    pub next_sequence: u32,
    /// Checks made.
    pub checks: u32,
    /// Checks not as expected.
    pub failed: u32,
    /// Ticks from the crash to the first instruction of the kdump image's main function.
    pub crash_to_kdump: u64,
    /// Ticks from the first to the last access of the takeover.
    pub takeover: u64,
    /// Ticks of the hold before the takeover.
    pub hold: u64,
    /// Ticks of the watch after the takeover.
    pub watch: u64,
    /// Ticks from the crash to the end of the watch, with all that was looked at in between.
    pub counted: u64,
    /// Counter when the report was sealed.
    pub end_tick: u64,
}

impl Report {
    /// Writes magic, version, length and CRC; to be called last.
    pub fn seal(&mut self) {
        self.header = KIND.header(size_of::<Self>() as u32);
        self.header.crc = crc(self.as_bytes());
    }

    /// Checks that this is a report and unchanged since it was sealed.
    ///
    /// # Errors
    /// The first that is wrong of magic, version, length and CRC. Whose report it is the caller compares.
    pub fn verify(&self) -> Result<(), HandoverError> {
        KIND.check_whole(self.as_bytes(), self.header.bytes)
    }
}
