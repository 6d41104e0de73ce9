//! Devices that the board keeps the payload's hands off: the boot disk, the BMC.

use addr::Bdf;
use alloc::{format, string::String, vec::Vec};
use core::fmt;
use pci::Found;

/// Functions, by address or by what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// One function.
    At(Bdf),
    /// Every function with this vendor and device ID.
    Ids(u16, u16),
}

impl Which {
    /// Reads `ssss:bb:dd.f` or `vvvv:dddd`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(bdf) = Bdf::parse(text) {
            return Some(Self::At(bdf));
        }
        let (vendor, device) = text.split_once(':')?;
        let id = |word: &str| {
            let is_hex = word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_hex.then(|| u16::from_str_radix(word, 16).ok())?
        };
        Some(Self::Ids(id(vendor)?, id(device)?))
    }

    /// Tells whether the function at `bdf` with these IDs is meant.
    #[must_use]
    pub fn means(self, bdf: Bdf, vendor: u16, device: u16) -> bool {
        match self {
            Self::At(at) => at == bdf,
            Self::Ids(of, what) => (of, what) == (vendor, device),
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(bdf) => write!(f, "{bdf}"),
            Self::Ids(vendor, device) => write!(f, "{vendor:04x}:{device:04x}"),
        }
    }
}

/// Which functions may be put to work, stopped and reset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hands {
    /// Not these.
    pub deny: Vec<Which>,
    /// Only these, where any is named.
    pub allow: Vec<Which>,
}

impl Hands {
    /// Appends the option words that say the same.
    pub fn write(&self, text: &mut String) {
        for (key, list) in [(" deny=", &self.deny), (" allow=", &self.allow)] {
            for (which, begin) in list.iter().zip(core::iter::once(key).chain(core::iter::repeat(","))) {
                *text += &format!("{begin}{which}");
            }
        }
    }

    /// Those of a machine's functions that nobody may touch: the lists say so of them, or of the physical function that they are
    /// virtual ones of. Every image asks this, and nothing else.
    #[must_use]
    pub fn denied(&self, functions: &[Found]) -> Vec<Bdf> {
        let is_named = |found: &&Found| self.is_denied(found.bdf, found.identity.vendor, found.identity.device);
        let mut denied: Vec<Bdf> = functions.iter().filter(is_named).map(|found| found.bdf).collect();
        let is_below = |found: &&Found| found.physical.is_some_and(|(physical, _)| denied.contains(&physical));
        let below: Vec<Bdf> = functions.iter().filter(is_below).map(|found| found.bdf).collect();
        denied.extend(below);
        denied
    }

    fn is_denied(&self, bdf: Bdf, vendor: u16, device: u16) -> bool {
        let names = |list: &[Which]| list.iter().any(|which| which.means(bdf, vendor, device));
        names(&self.deny) || (!self.allow.is_empty() && !names(&self.allow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pci::Identity;

    #[test]
    fn functions_are_meant_by_address_and_by_ids() {
        let bdf = Bdf::new(0, 0, 5, 0);
        assert_eq!(Which::parse("0000:00:05.0"), Some(Which::At(bdf)));
        assert_eq!(Which::parse("8086:10d3"), Some(Which::Ids(0x8086, 0x10d3)));
        for wrong in ["", "8086", "8086:", "8086:10d3:", "808:10d3", "+086:10d3", "0000:00:20.0"] {
            assert_eq!(Which::parse(wrong), None, "{wrong}");
        }
        assert!(Which::Ids(0x8086, 0x10d3).means(bdf, 0x8086, 0x10d3));
        assert!(!Which::Ids(0x8086, 0x10d3).means(bdf, 0x8086, 0x10d4));
        assert!(!Which::At(bdf).means(Bdf::new(1, 0, 5, 0), 0x8086, 0x10d3));
    }

    #[test]
    fn the_taker_is_told_the_same() {
        let mut options = crate::options::RunOptions::default();
        for text in ["", " deny=0000:00:05.0,8086:10d3", " deny=0000:00:05.0 allow=8086:10d3,1234:abcd"] {
            options.hands = Hands::default();
            options.apply(text, |problem| panic!("{problem}"));
            let mut again = String::new();
            options.hands.write(&mut again);
            assert_eq!(again, text);
        }
    }

    #[test]
    fn denied_is_what_the_lists_say() {
        let (disk, card) = (Bdf::new(0, 0, 5, 0), Bdf::new(0, 0, 6, 0));
        let none = Hands::default();
        assert!(!none.is_denied(disk, 1, 2));
        let deny = Hands { deny: [Which::At(disk)].into(), ..Hands::default() };
        assert!(deny.is_denied(disk, 1, 2) && !deny.is_denied(card, 1, 2));
        let allow = Hands { allow: [Which::Ids(1, 2)].into(), ..Hands::default() };
        assert!(allow.is_denied(disk, 1, 3) && !allow.is_denied(disk, 1, 2));
        let both = Hands { deny: [Which::At(disk)].into(), ..allow };
        assert!(both.is_denied(disk, 1, 2), "a denial holds over a permission");
    }

    #[test]
    fn virtual_functions_are_denied_with_their_physical_one() {
        let at = |function| Bdf::new(0, 1, 0, function);
        let found = |function, device, physical: Option<u8>| Found {
            bdf: at(function),
            identity: Identity { vendor: 0x8086, device, class: 0x02_0000 },
            requester: at(function),
            physical: physical.map(|physical| (at(physical), 0)),
        };
        // The order of the list does not matter.
        let all =
            [found(2, 0x10ca, Some(0)), found(0, 0x10c9, None), found(1, 0x10c9, None), found(3, 0x10ca, Some(1))];
        let denied = |deny: &[Which]| Hands { deny: deny.into(), ..Hands::default() }.denied(&all);
        assert_eq!(denied(&[]), []);
        assert_eq!(denied(&[Which::At(at(0))]), [at(0), at(2)]);
        assert_eq!(denied(&[Which::At(at(2))]), [at(2)], "the physical one of a denied virtual one works");
    }
}
