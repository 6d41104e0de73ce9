//! What a scenario may do to a board.

use core::fmt;

/// A set of risks. A board runs only scenarios whose risks its configuration allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Risks(u8);

const NAMES: [(&str, Risks); 4] = [
    ("bus-error", Risks::BUS_ERROR),
    ("stray-write", Risks::STRAY_WRITE),
    ("device-reset", Risks::DEVICE_RESET),
    ("power-cycle", Risks::POWER_CYCLE),
];

impl Risks {
    /// No risk.
    pub const NONE: Self = Self(0);
    /// Refused DMA may come back as a bus error or SError.
    pub const BUS_ERROR: Self = Self(1);
    /// DMA may land where it does not belong.
    pub const STRAY_WRITE: Self = Self(2);
    /// Devices are reset.
    pub const DEVICE_RESET: Self = Self(4);
    /// The board may need its power taken away.
    pub const POWER_CYCLE: Self = Self(8);
    /// All of them.
    pub const ALL: Self = Self(15);

    /// These and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These without those.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Tells whether there is no risk.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Reads names with commas between them, `all` or `none`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "all" => Some(Self::ALL),
            "none" | "" => Some(Self::NONE),
            _ => text.split(',').try_fold(Self::NONE, |risks, name| {
                NAMES.iter().find(|known| known.0 == name).map(|known| risks.with(known.1))
            }),
        }
    }
}

impl fmt::Display for Risks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let mut separator = "";
        for (name, risk) in NAMES {
            if self.0 & risk.0 != 0 {
                f.write_str(separator)?;
                f.write_str(name)?;
                separator = ",";
            }
        }
        Ok(())
    }
}
