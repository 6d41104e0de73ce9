//! Generic Address Structure (ACPI 6.5, 5.2.3.2).

use addr::PhysAddr;
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawGas {
    space: u8,
    bit_width: u8,
    bit_offset: u8,
    access_size: u8,
    address: U64,
}
const _: () = assert!(size_of::<RawGas>() == 12);

/// Where a register block is, and how wide an access to it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenericAddress {
    /// Address space: 0 is system memory.
    pub space: u8,
    /// Width of a register in bits.
    pub bit_width: u8,
    /// Encoded access size: 0 not said, 1 byte, 2 word, 3 double word, 4 quad word.
    pub access_size: u8,
    /// Address in that space.
    pub address: PhysAddr,
}

impl From<RawGas> for GenericAddress {
    fn from(raw: RawGas) -> Self {
        Self {
            space: raw.space,
            bit_width: raw.bit_width,
            access_size: raw.access_size,
            address: PhysAddr(raw.address.get()),
        }
    }
}

impl GenericAddress {
    /// Tells whether the register is reached by loads and stores.
    #[must_use]
    pub const fn is_memory(&self) -> bool {
        self.space == 0
    }

    /// Bytes of one access: what the table says, else what the register width says, else none.
    #[must_use]
    pub const fn access_bytes(&self) -> Option<u8> {
        match (self.access_size, self.bit_width) {
            (1, _) | (0, 8) => Some(1),
            (2, _) | (0, 16) => Some(2),
            (3, _) | (0, 32) => Some(4),
            (4, _) | (0, 64) => Some(8),
            _ => None,
        }
    }
}
