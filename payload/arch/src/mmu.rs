//! Identity maps for EL2, with and without E2H, as bytes for a given place in memory.
//!
//! The primary makes its own map and, before the crash, the one with which the kdump image turns its MMU on before its
//! first store to DRAM: some fabrics refuse stores with the MMU off.

use aarch64_paging::{
    MapError,
    descriptor::{El1Attributes, El23Attributes, PhysicalAddress},
    paging::{Constraints, El2, El2And0, MemoryRegion, RootTable, VaRange},
    target::TargetAllocator,
};
use addr::PhysAddr;
use alloc::vec::Vec;

/// MAIR_EL2: attribute 0 Device-nGnRE, attribute 1 Normal write-back, read and write allocate, attribute 2 Device-nGnRnE.
pub const MAIR: u64 = 0x00_ff04;

/// What a range of memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Device registers: nGnRE, never executed.
    Device,
    /// PCI configuration space: nGnRnE, as configuration writes are non-posted.
    Configuration,
    /// Data: Normal write-back inner shareable, never executed.
    Data,
    /// An image: as data, and executable.
    Image,
}

/// A range to map to itself. Edges are widened to whole pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First address.
    pub start: PhysAddr,
    /// Length.
    pub bytes: u64,
    /// What it is.
    pub kind: Kind,
}

/// The map cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MmuError {
    /// A region reaches outside the 48-bit space.
    #[error("cannot map {bytes:#x} bytes at {start}")]
    Range {
        /// First address.
        start: PhysAddr,
        /// Length.
        bytes: u64,
    },
}

/// Registers that put a map in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Regime {
    /// TTBR0_EL2.
    pub ttbr0: u64,
    /// TCR_EL2.
    pub tcr: u64,
    /// MAIR_EL2.
    pub mair: u64,
    /// SCTLR_EL2 with the MMU on.
    pub sctlr: u64,
}

/// Makes the identity map of `regions` for tables that will lie at `at` (4 KiB aligned): the tables' bytes and the
/// registers. Later regions overrule earlier ones. `pa_range` is ID_AA64MMFR0_EL1.PARange.
///
/// # Errors
/// [`MmuError::Range`].
pub fn identity_map(regions: &[Region], at: PhysAddr, e2h: bool, pa_range: u8) -> Result<(Vec<u8>, Regime), MmuError> {
    let bytes = if e2h { el2_and_0_tables(regions, at)? } else { el2_tables(regions, at)? };
    Ok((bytes, regime(at, e2h, pa_range)))
}

/// Registers for the root table at `at`, in the format of EL2, or with `e2h` in that of EL2&0, which is EL1's.
#[must_use]
pub(crate) fn regime(at: PhysAddr, e2h: bool, pa_range: u8) -> Regime {
    // 48 bits at most: 52-bit addresses need another descriptor format at 4 KiB.
    let ps = u64::from(pa_range.min(5));
    // T0SZ 16, IRGN0 and ORGN0 write-back, SH0 inner, TG0 4 KiB.
    let common = 16 | 0b01 << 8 | 0b01 << 10 | 0b11 << 12;
    let (tcr, sctlr) = if e2h {
        // The EL1 format: IPS 34:32, EPD1, TG1 4 KiB; RES1 bits LSMAOE, nTLSMD, SPAN, EIS, TSCXT, EOS set.
        (common | ps << 32 | 1 << 23 | 0b10 << 30, 0x30d0_0800 | SCTLR_M_C_I_SA)
    } else {
        // The EL2 format: PS 18:16, RES1 31 and 23; SCTLR_EL2's RES1 bits.
        (common | ps << 16 | 1 << 31 | 1 << 23, 0x30c5_0830 | SCTLR_M_C_I_SA)
    };
    Regime { ttbr0: at.0, tcr, mair: MAIR, sctlr }
}

/// Bits of a physical address for an ID_AA64MMFR0_EL1.PARange, 48 at most: 52 take another descriptor format at 4 KiB.
#[must_use]
pub const fn address_bits(pa_range: u8) -> u32 {
    match pa_range {
        0 => 32,
        1 => 36,
        2 => 40,
        3 => 42,
        4 => 44,
        _ => 48,
    }
}

/// MMU, data cache, instruction cache and SP alignment check.
const SCTLR_M_C_I_SA: u64 = 1 | 1 << 2 | 1 << 12 | 1 << 3;

fn pages(region: &Region) -> Result<MemoryRegion, MmuError> {
    let refuse = MmuError::Range { start: region.start, bytes: region.bytes };
    let end = region.start.checked_add(region.bytes).ok_or(refuse)?.0;
    if end > 1 << 48 {
        return Err(refuse);
    }
    let round_up = end.checked_add(0xfff).ok_or(refuse)? & !0xfff;
    Ok(MemoryRegion::new((region.start.0 & !0xfff) as usize, round_up as usize))
}

fn el2_tables(regions: &[Region], at: PhysAddr) -> Result<Vec<u8>, MmuError> {
    let mut root = RootTable::new(TargetAllocator::new(at.0), 0, El2);
    for region in regions {
        let base = El23Attributes::VALID | El23Attributes::ACCESSED | El23Attributes::USER_RES1;
        let normal = base | El23Attributes::ATTRIBUTE_INDEX_1 | El23Attributes::INNER_SHAREABLE;
        let attributes = match region.kind {
            Kind::Device => base | El23Attributes::ATTRIBUTE_INDEX_0 | El23Attributes::XN,
            Kind::Configuration => base | El23Attributes::ATTRIBUTE_INDEX_2 | El23Attributes::XN,
            Kind::Data => normal | El23Attributes::XN,
            Kind::Image => normal,
        };
        let range = pages(region)?;
        root.map_range(&range, PhysicalAddress(range.start().0), attributes, Constraints::NO_CONTIGUOUS_HINT)
            .map_err(|error| refused(region, &error))?;
    }
    Ok(root.translation().as_bytes())
}

fn el2_and_0_tables(regions: &[Region], at: PhysAddr) -> Result<Vec<u8>, MmuError> {
    let mut root = RootTable::with_va_range(TargetAllocator::new(at.0), 0, El2And0, VaRange::Lower);
    for region in regions {
        // No USER: a page that EL0 may write is never executable at EL2.
        let base = El1Attributes::VALID | El1Attributes::ACCESSED | El1Attributes::UXN;
        let normal = base | El1Attributes::ATTRIBUTE_INDEX_1 | El1Attributes::INNER_SHAREABLE;
        let attributes = match region.kind {
            Kind::Device => base | El1Attributes::ATTRIBUTE_INDEX_0 | El1Attributes::PXN,
            Kind::Configuration => base | El1Attributes::ATTRIBUTE_INDEX_2 | El1Attributes::PXN,
            Kind::Data => normal | El1Attributes::PXN,
            Kind::Image => normal,
        };
        let range = pages(region)?;
        root.map_range(&range, PhysicalAddress(range.start().0), attributes, Constraints::NO_CONTIGUOUS_HINT)
            .map_err(|error| refused(region, &error))?;
    }
    Ok(root.translation().as_bytes())
}

fn refused(region: &Region, _: &MapError) -> MmuError {
    MmuError::Range { start: region.start, bytes: region.bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGIONS: [Region; 2] = [
        Region { start: PhysAddr(0x900_0000), bytes: 0x1000, kind: Kind::Device },
        Region { start: PhysAddr(0x4000_0000), bytes: 0x20_0000, kind: Kind::Image },
    ];

    /// Walks the tables in `bytes`, which lie at `at`, and returns the leaf descriptor.
    fn leaf(bytes: &[u8], at: u64, address: u64) -> Option<u64> {
        let mut table = 0;
        for level in 0..4 {
            let index = address >> (39 - 9 * level) & 0x1ff;
            let offset = table + 8 * index as usize;
            let descriptor = u64::from_le_bytes(bytes[offset..offset + 8].try_into().unwrap());
            if descriptor & 1 == 0 {
                return None;
            }
            if level == 3 || descriptor & 2 == 0 {
                return Some(descriptor);
            }
            table = ((descriptor & 0xffff_ffff_f000) - at) as usize;
        }
        None
    }

    #[test]
    fn each_kind_has_its_attributes_without_e2h() {
        let (bytes, regime) = identity_map(&REGIONS, PhysAddr(0x8000_0000), false, 5).unwrap();
        let device = leaf(&bytes, 0x8000_0000, 0x900_0000).unwrap();
        assert_eq!(device & 0x1c, 0, "attribute index 0 is Device-nGnRE");
        assert_eq!(device & 1 << 54, 1 << 54, "never executed");
        let image = leaf(&bytes, 0x8000_0000, 0x4000_0000).unwrap();
        assert_eq!(image & 0x1c, 4);
        assert_eq!(image & 3 << 8, 3 << 8, "inner shareable");
        assert_eq!(image & (1 << 54 | 1 << 53), 0, "executable");
        assert_eq!(leaf(&bytes, 0x8000_0000, 0x900_1000), None);
        assert_eq!(regime.tcr & 0x3f, 16);
        assert_eq!(regime.sctlr & 0x1005, 0x1005);
    }

    #[test]
    fn nothing_is_open_to_el0_with_e2h() {
        let (bytes, regime) = identity_map(&REGIONS, PhysAddr(0x8000_0000), true, 5).unwrap();
        for address in [0x900_0000, 0x4000_0000] {
            assert_eq!(leaf(&bytes, 0x8000_0000, address).unwrap() & 1 << 6, 0, "AP[1]");
        }
        assert_eq!(leaf(&bytes, 0x8000_0000, 0x900_0000).unwrap() & 1 << 53, 1 << 53, "PXN");
        assert_eq!(regime.tcr >> 32 & 7, 5, "IPS");
        assert_eq!(regime.tcr & 1 << 23, 1 << 23, "EPD1");
    }

    #[test]
    fn a_region_beyond_48_bits_is_refused() {
        let region = Region { start: PhysAddr(1 << 48), bytes: 1, kind: Kind::Data };
        assert!(identity_map(&[region], PhysAddr(0), false, 6).is_err());
        let region = Region { start: PhysAddr(u64::MAX), bytes: 2, kind: Kind::Data };
        assert!(identity_map(&[region], PhysAddr(0), false, 6).is_err());
    }
}
