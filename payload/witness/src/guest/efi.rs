//! What UEFI leaves to the kernel after ExitBootServices, made as the kernel's own EFI stub would (UEFI 2.10, 7.2, 8.4; Linux,
//! include/linux/efi.h).

use thiserror::Error;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// EFI_MEMORY_RUNTIME: the range belongs to runtime services.
const RUNTIME: u64 = 1 << 63;

/// EFI_MEMORY_DESCRIPTOR, version 1; a table of them may have longer ones.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Descriptor {
    kind: U32,
    padding: U32,
    physical: U64,
    /// Where SetVirtualAddressMap() is going to be told that it is.
    virtual_address: U64,
    pages: U64,
    attributes: U64,
}

/// LINUX_EFI_MEMRESERVE_TABLE_GUID, as UEFI has it in memory. Without the table each allocation of the GIC's LPI tables
/// complains.
pub const MEMRESERVE_GUID: [u8; 16] =
    [0xC6, 0xB0, 0x8E, 0x88, 0xDE, 0x8E, 0xF5, 0x4F, 0xA8, 0xF0, 0x9A, 0xEE, 0x5C, 0xB9, 0x77, 0xC2];
/// `struct linux_efi_memreserve` without entries: size 0, count 0, next 0.
pub const MEMRESERVE: [u8; 16] = [0; 16];

/// The memory map is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a memory map of {bytes} bytes is no table of descriptors of {descriptor_bytes} bytes, at least 40")]
pub struct BadMap {
    bytes: usize,
    descriptor_bytes: usize,
}

/// Puts runtime services where they are: what the stub's `efi=novamap` means. Returns how many ranges are theirs.
///
/// # Errors
/// [`BadMap`]; the map is then as it was.
pub fn map_to_identity(map: &mut [u8], descriptor_bytes: usize) -> Result<usize, BadMap> {
    let bad = BadMap { bytes: map.len(), descriptor_bytes };
    if descriptor_bytes < size_of::<Descriptor>() || !map.len().is_multiple_of(descriptor_bytes) {
        return Err(bad);
    }
    let mut found = 0;
    for place in map.chunks_exact_mut(descriptor_bytes) {
        let Ok((descriptor, _)) = Descriptor::mut_from_prefix(place) else { return Err(bad) };
        if descriptor.attributes.get() & RUNTIME != 0 {
            descriptor.virtual_address = descriptor.physical;
            found += 1;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn long(bytes: &[u8], at: usize) -> u64 {
        bytes[at..at + 8].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    proptest! {
        /// By offsets: type 0, physical 8, virtual 16, pages 24, attributes 32.
        #[test]
        fn only_ranges_of_runtime_services_move(
            ranges in prop::collection::vec((any::<u64>(), any::<u64>(), any::<bool>()), 0..20), extra in 0_usize..3,
        ) {
            let stride = 40 + 8 * extra;
            let mut map = Vec::new();
            for (physical, pages, is_runtime) in &ranges {
                let attributes = 0xF | u64::from(*is_runtime) << 63;
                let words = [5, *physical, 0xDEAD_0000, *pages, attributes];
                map.extend(words.iter().flat_map(|word: &u64| word.to_le_bytes()));
                map.resize(map.len() + 8 * extra, 0x77);
            }
            let before = map.clone();
            let count = ranges.iter().filter(|range| range.2).count();
            prop_assert_eq!(map_to_identity(&mut map, stride), Ok(count));
            for (index, (physical, _, is_runtime)) in ranges.iter().enumerate() {
                let at = index * stride;
                prop_assert_eq!(long(&map, at + 16), if *is_runtime { *physical } else { 0xDEAD_0000 });
                prop_assert_eq!((&map[at..at + 16], &map[at + 24..at + stride]), (&before[at..at + 16], &before[at + 24..at + stride]));
            }
        }
    }

    #[test]
    fn a_map_of_other_lengths_is_refused() {
        let mut map = [0xFF; 80];
        for bytes in [0, 39, 48] {
            assert_eq!(map_to_identity(&mut map, bytes), Err(BadMap { bytes: 80, descriptor_bytes: bytes }));
        }
        assert_eq!(map, [0xFF; 80]);
        assert_eq!(map_to_identity(&mut [], 48), Ok(0));
    }

    #[test]
    fn the_guid_is_that_of_linux() {
        let [a, b, c, d, e, f, g, h, rest @ ..] = MEMRESERVE_GUID;
        let parts = (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([e, f]), u16::from_le_bytes([g, h]));
        assert_eq!((parts, rest), ((0x888E_B0C6, 0x8EDE, 0x4FF5), [0xA8, 0xF0, 0x9A, 0xEE, 0x5C, 0xB9, 0x77, 0xC2]));
    }
}
