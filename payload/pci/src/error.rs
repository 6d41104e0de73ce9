//! What a function says about errors: the status registers of the header, of PCI Express, of advanced error reporting and of
//! downstream port containment. A register of one kind is compared with itself, bit by bit.

mod names;
mod place;

pub use place::{ErrorPlaces, Reporting, link};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A register with error bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ErrorRegister {
    /// Uncorrectable Error Status (PCI Express Base 6.0, 7.8.4.2).
    Uncorrectable = 0,
    /// Correctable Error Status (7.8.4.5).
    Correctable = 1,
    /// Device Status (7.5.3.5).
    Device = 2,
    /// Status (7.5.1.1.4).
    Status = 3,
    /// Secondary Status of a bridge (7.5.1.3.7).
    Secondary = 4,
    /// Downstream Port Containment Status (7.9.14.4).
    Containment = 5,
    /// Root Error Status of a root port or root complex event collector (7.8.4.10).
    Root = 6,
}

impl ErrorRegister {
    /// All of them: what says most first.
    pub const ALL: [Self; 7] = [
        Self::Uncorrectable,
        Self::Correctable,
        Self::Device,
        Self::Status,
        Self::Secondary,
        Self::Containment,
        Self::Root,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        names::row(self).name
    }

    /// Bits that tell an error. The others are reserved, or tell something else.
    #[must_use]
    pub fn errors(self) -> u32 {
        names::row(self).mask
    }

    /// Bits that are set because another function, or another register of this one, tells an error.
    #[must_use]
    pub const fn second_hand(self) -> u32 {
        match self {
            Self::Root => u32::MAX,
            // Received and signalled system errors.
            Self::Secondary | Self::Status => 1 << 14,
            _ => 0,
        }
    }

    /// Bits that a request may set which nobody takes: refused by an SMMU, or sent to a function that is not there. A read
    /// ends with Completer Abort or Unsupported Request at the requester, where Status tells it; the completer, a port, tells
    /// it by the same two bits, as an advisory non-fatal error or a non-fatal one (2.3.1, 6.2.3.2.4). A refused posted write is
    /// dropped without a word to its requester.
    #[must_use]
    pub const fn of_refusal(self) -> u32 {
        match self {
            Self::Uncorrectable => 1 << 15 | 1 << 20,
            Self::Correctable => 1 << 13,
            // Not the fatal one.
            Self::Device => 1 << 0 | 1 << 1 | 1 << 3,
            Self::Status | Self::Secondary => 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14,
            Self::Containment => 0,
            // Neither fatal one.
            Self::Root => 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 5,
        }
    }
}

/// Of a function that does not answer.
const GONE: u32 = u32::MAX;

/// The error bits of one function at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ErrorState {
    /// Error bits, by [`ErrorRegister`]; of a function without the register 0, of one that does not answer all ones.
    pub bits: [u32; ErrorRegister::ALL.len()],
    /// Error Source Identification (7.8.4.11): the requester of the first correctable error in 15:0, of the first other in 31:16.
    pub root_sources: u32,
    /// DPC Error Source ID (7.9.14.5), where a message triggered it.
    pub containment_source: u32,
    /// Header Log (7.8.4.8): the first four words of the request that the first error was about.
    pub header: [u32; 4],
    /// TLP Prefix Log (7.8.4.12).
    pub prefixes: [u32; 4],
    /// First Error Pointer: the bit of Uncorrectable Error Status that the log is about.
    pub first: u32,
}

impl ErrorState {
    /// As it lies in memory, for a record of the console.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }

    /// The same read back; `None` where the length is another.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::read_from_bytes(bytes).ok()
    }

    /// The function did not answer.
    pub const GONE: Self = Self {
        bits: [GONE; ErrorRegister::ALL.len()],
        root_sources: 0,
        containment_source: 0,
        header: [0; 4],
        prefixes: [0; 4],
        first: 0,
    };

    /// Error bits of one register.
    #[must_use]
    pub const fn of(&self, register: ErrorRegister) -> u32 {
        self.bits[register as usize]
    }

    /// The function did not answer.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        self.of(ErrorRegister::Status) == GONE
    }

    /// Nothing is told.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.bits.iter().all(|bits| *bits == 0)
    }

    /// What `after` tells that this one does not. An error that comes a second time sets no new bit, but for those of Root Error
    /// Status that say so. A function that has gone since has all bits; one that was gone before has nothing to compare.
    #[must_use]
    pub fn difference(&self, after: &Self) -> Self {
        if after.is_gone() {
            return if self.is_gone() { Self::default() } else { Self::GONE };
        }
        let mut new = *after;
        for (bits, before) in new.bits.iter_mut().zip(self.bits) {
            *bits &= !before;
        }
        new
    }

    /// Something in it is told at first hand.
    #[must_use]
    pub fn is_first_hand(&self) -> bool {
        ErrorRegister::ALL.iter().any(|register| self.of(*register) & !register.second_hand() != 0)
    }

    /// Everything in it may be the trace of a refused request, and something is.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        !self.is_clean() && ErrorRegister::ALL.iter().all(|register| self.of(*register) & !register.of_refusal() == 0)
    }

    /// Requester IDs of the functions whose messages a root port or event collector tells of: correctable, and other. Of more
    /// than one of a kind it keeps the first.
    #[must_use]
    pub const fn sources(&self) -> [Option<u16>; 2] {
        let root = self.of(ErrorRegister::Root);
        [
            if root & 1 != 0 { Some(self.root_sources as u16) } else { None },
            if root & 1 << 2 != 0 { Some((self.root_sources >> 16) as u16) } else { None },
        ]
    }
}

impl core::fmt::Display for ErrorState {
    /// Registers and their bits by name.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.is_gone() {
            return f.write_str("does not answer");
        }
        let mut is_first = true;
        for register in ErrorRegister::ALL {
            let names::Row { name, mask, bits } = names::row(register);
            let mut is_named = false;
            let known = (0..u32::BITS).filter(|bit| mask >> bit & 1 != 0);
            for (bit, word) in known.zip(bits.split('|')) {
                if self.of(register) >> bit & 1 == 0 {
                    continue;
                }
                let between = match (is_named, is_first) {
                    (true, _) => ", ",
                    (false, true) => "",
                    (false, false) => "; ",
                };
                f.write_str(between)?;
                if !is_named {
                    write!(f, "{name}: ")?;
                }
                f.write_str(word)?;
                (is_named, is_first) = (true, false);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
