//! What firmware's tables are, as a kernel finds them that UEFI has started (UEFI 2.11, 4.3, 4.6; ACPI 6.5, 5.2.5).

/// Memory by address: so many bytes, where they can be read.
pub type Memory<'m, 'a> = &'m dyn Fn(u64, u64) -> Option<&'a [u8]>;

/// Offsets of NumberOfTableEntries and ConfigurationTable in the system table, and what is believed of the first.
const TABLE_COUNT: u64 = 104;
const TABLES: u64 = 112;
const MOST_TABLES: u64 = 256;
/// Bytes of an entry: GUID and address.
const TABLE_BYTES: u64 = 24;
/// EFI_ACPI_20_TABLE_GUID, as UEFI has it in memory.
const ACPI_20_GUID: [u8; 16] =
    [0x71, 0xE8, 0x68, 0x88, 0xF1, 0xE4, 0xD3, 0x11, 0xBC, 0x22, 0x00, 0x80, 0xC7, 0x3C, 0x88, 0x81];
/// Offset of XsdtAddress in the RSDP, and of Length in every table.
const XSDT: u64 = 24;
const LENGTH: u64 = 4;
/// A header, behind which the XSDT has addresses, and what is believed of a table's length.
const HEADER_BYTES: u64 = 36;
const MOST_BYTES: u64 = 1 << 20;

/// What the entry of this GUID in UEFI's configuration table leads to.
#[must_use]
pub fn configuration(system_table: u64, guid: &[u8; 16], memory: Memory<'_, '_>) -> Option<u64> {
    let count = number(system_table + TABLE_COUNT, memory)? & 0xFFFF_FFFF;
    let entries = memory(number(system_table + TABLES, memory)?, count.min(MOST_TABLES) * TABLE_BYTES)?;
    let entry = entries.chunks_exact(TABLE_BYTES as usize).find(|entry| entry.starts_with(guid))?;
    entry.last_chunk().copied().map(u64::from_le_bytes)
}

/// The ACPI table of this signature.
#[must_use]
pub fn table<'a>(system_table: u64, signature: &[u8; 4], memory: Memory<'_, 'a>) -> Option<&'a [u8]> {
    let root = configuration(system_table, &ACPI_20_GUID, memory)?;
    let xsdt = whole(number(root + XSDT, memory)?, memory)?;
    let places = xsdt.get(HEADER_BYTES as usize..)?.chunks_exact(8).filter_map(|place| place.first_chunk());
    let mut tables = places.filter_map(|place| whole(u64::from_le_bytes(*place), memory));
    tables.find(|table| table.starts_with(signature))
}

fn whole<'a>(at: u64, memory: Memory<'_, 'a>) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(*memory(at + LENGTH, 4)?.first_chunk()?);
    memory(at, u64::from(length)).filter(|_| (HEADER_BYTES..=MOST_BYTES).contains(&length.into()))
}

fn number(at: u64, memory: Memory<'_, '_>) -> Option<u64> {
    memory(at, 8)?.first_chunk().copied().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec::Vec;

    const SYSTEM_TABLE: u64 = 0x1000;

    /// 16 KiB with a system table, two configuration tables, an RSDP, an XSDT and two tables.
    fn firmware() -> Vec<u8> {
        let mut bytes = std::vec![0; 0x4000];
        let mut put = |at: u64, what: &[u8]| bytes[at as usize..][..what.len()].copy_from_slice(what);
        put(SYSTEM_TABLE + TABLE_COUNT, &2_u32.to_le_bytes());
        put(SYSTEM_TABLE + TABLES, &0x1808_u64.to_le_bytes());
        put(0x1808, &[7; 16]);
        put(0x1818, &0x77_u64.to_le_bytes());
        put(0x1820, &ACPI_20_GUID);
        put(0x1830, &0x2004_u64.to_le_bytes());
        put(0x2004 + XSDT, &0x2104_u64.to_le_bytes());
        for (at, signature, length) in [(0x2104, b"XSDT", 36 + 16), (0x2200, b"FACP", 40), (0x2300, b"APIC", 44)] {
            put(at, signature);
            put(at + LENGTH, &u32::to_le_bytes(length));
        }
        put(0x2104 + HEADER_BYTES, &0x2200_u64.to_le_bytes());
        put(0x2104 + HEADER_BYTES + 8, &0x2300_u64.to_le_bytes());
        bytes
    }

    fn find<'a>(bytes: &'a [u8], signature: &[u8; 4]) -> Option<&'a [u8]> {
        table(SYSTEM_TABLE, signature, &|at, length| bytes.get(at as usize..)?.get(..length as usize))
    }

    #[test]
    fn a_table_is_found_by_way_of_uefi() {
        let bytes = firmware();
        assert_eq!(find(&bytes, b"APIC").map(<[u8]>::len), Some(44));
        assert_eq!(find(&bytes, b"IORT"), None);
        let memory = |at: u64, length: u64| bytes.get(at as usize..)?.get(..length as usize);
        assert_eq!(configuration(SYSTEM_TABLE, &[7; 16], &memory), Some(0x77));
        assert_eq!(configuration(SYSTEM_TABLE, &[8; 16], &memory), None);
    }

    #[test]
    fn nothing_is_read_that_cannot_be() {
        let bytes = firmware();
        for length in (0..bytes.len()).step_by(4) {
            let found = find(&bytes[..length], b"APIC");
            assert_eq!(found.is_some(), length >= 0x2300 + 44, "{length:#x}");
        }
        // A table of a length that no table has.
        let mut short = bytes.clone();
        short[0x2304..0x2308].fill(0);
        assert_eq!(find(&short, b"APIC"), None);
    }
}
