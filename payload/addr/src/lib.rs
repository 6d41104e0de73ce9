//! One type for each address space, so that an I/O virtual address cannot be passed for a physical one.

#![no_std]
#![forbid(unsafe_code)]

use core::fmt;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// Adds `bytes`; `None` past the end of the address space.
            #[must_use]
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// Adds `bytes`, wrapping: for addresses inside a range that was checked when it was made.
            #[must_use]
            pub const fn plus(self, bytes: u64) -> Self {
                Self(self.0.wrapping_add(bytes))
            }

            /// Tells whether the address is a multiple of `alignment`, a power of two in bytes.
            #[must_use]
            pub const fn is_aligned(self, alignment: u64) -> bool {
                self.0 & (alignment - 1) == 0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
    };
}

address! {
    /// A physical address, as the CPU and an untranslated device see it.
    PhysAddr
}
address! {
    /// An address that a device issues, before translation.
    Iova
}

/// The SMMU's name for a requester (IHI 0070, 3.2).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct StreamId(pub u32);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A PCI function: segment, bus, device and function numbers.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Bdf {
    /// PCI segment group number (MCFG).
    pub segment: u16,
    /// Requester ID: bus 15:8, device 7:3, function 2:0.
    pub rid: u16,
}

impl Bdf {
    /// Joins the numbers; `device` is below 32 and `function` below 8, higher bits are dropped.
    #[must_use]
    pub const fn new(segment: u16, bus: u8, device: u8, function: u8) -> Self {
        Self { segment, rid: (bus as u16) << 8 | ((device & 31) as u16) << 3 | (function & 7) as u16 }
    }

    /// Bus number.
    #[must_use]
    pub const fn bus(self) -> u8 {
        (self.rid >> 8) as u8
    }

    /// Device number, 0 to 31.
    #[must_use]
    pub const fn device(self) -> u8 {
        (self.rid >> 3) as u8 & 31
    }

    /// Function number, 0 to 7.
    #[must_use]
    pub const fn function(self) -> u8 {
        self.rid as u8 & 7
    }

    /// Reads `ssss:bb:dd.f`, as Linux prints it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (segment, rest) = text.split_once(':')?;
        let (bus, rest) = rest.split_once(':')?;
        let (device, function) = rest.split_once('.')?;
        let device = u8::from_str_radix(device, 16).ok().filter(|d| *d < 32)?;
        let function = function.parse::<u8>().ok().filter(|f| *f < 8)?;
        Some(Self::new(u16::from_str_radix(segment, 16).ok()?, u8::from_str_radix(bus, 16).ok()?, device, function))
    }
}

impl fmt::Display for Bdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{}", self.segment, self.bus(), self.device(), self.function())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn bdf_reads_what_it_prints() {
        let bdf = Bdf::new(2, 0xab, 0x1f, 7);
        assert_eq!(bdf.to_string(), "0002:ab:1f.7");
        assert_eq!(Bdf::parse("0002:ab:1f.7"), Some(bdf));
        assert_eq!(Bdf::parse("0002:ab:20.0"), None);
        assert_eq!(Bdf::parse("0002:ab:1f.8"), None);
        assert_eq!(Bdf::parse("ab:1f.8"), None);
    }

    #[test]
    fn addresses_do_not_wrap_unnoticed() {
        assert_eq!(PhysAddr(u64::MAX).checked_add(1), None);
        assert_eq!(Iova(0x1000).checked_add(0x10), Some(Iova(0x1010)));
    }
}
