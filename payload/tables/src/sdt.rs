//! The header that every ACPI table starts with (ACPI 6.5, 5.2.6).

use crate::finding::{Finding, Sink, Unreadable, refuse};
use crate::{read, rule};
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Bytes of the header.
pub const HEADER_BYTES: usize = 36;

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    signature: [u8; 4],
    length: U32,
    revision: u8,
    checksum: u8,
    oem_id: [u8; 6],
    oem_table_id: [u8; 8],
    oem_revision: U32,
    creator_id: [u8; 4],
    creator_revision: U32,
}
const _: () = assert!(size_of::<Header>() == HEADER_BYTES);

/// Who made a table, by its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maker {
    /// Vendor; firmware pads with blanks or NULs.
    pub id: [u8; 6],
    /// Machine or table.
    pub table_id: [u8; 8],
    /// The vendor's own count.
    pub revision: u32,
}

impl Maker {
    /// Reads it from a table's first bytes; `None` where they are no header.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let header: Header = read::record(bytes, 0)?;
        Some(Self { id: header.oem_id, table_id: header.oem_table_id, revision: header.oem_revision.get() })
    }
}

/// A table cut to its own Length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sdt<'a> {
    /// The whole table, header included, nothing behind it.
    pub bytes: &'a [u8],
    /// Four letters that name the table.
    pub signature: [u8; 4],
    /// Revision of the table's layout.
    pub revision: u8,
}

impl<'a> Sdt<'a> {
    /// Verifies the header and cuts the table to its Length. `minimum` is the table's fixed part, header included.
    ///
    /// A wrong checksum is a warning: firmware that patches tables late forgets it, and operating systems read on.
    ///
    /// # Errors
    /// Too few bytes for the fixed part or for Length, a foreign signature, a Length below the fixed part.
    pub fn parse(bytes: &'a [u8], signature: [u8; 4], minimum: usize, sink: &mut Sink<'_>) -> Result<Self, Unreadable> {
        let minimum = minimum.max(HEADER_BYTES);
        let finding = |rule| Finding::new(rule, signature);
        let header = match read::record::<Header>(bytes, 0) {
            Some(header) if bytes.len() >= minimum => header,
            _ => {
                let short = finding(&rule::E_SHORT).found(bytes.len() as u64).against(minimum as u64);
                return Err(refuse(short, sink));
            }
        };
        if header.signature != signature {
            let found = u32::from_be_bytes(header.signature);
            return Err(refuse(finding(&rule::E_SIG).at(0).found(found), sink));
        }
        let length = header.length.get();
        if u64::from(length) < minimum as u64 {
            let small = finding(&rule::E_LEN_LT_HDR).at(4).found(length).against(minimum as u64);
            return Err(refuse(small, sink));
        }
        let Some(table) = usize::try_from(length).ok().and_then(|length| bytes.get(..length)) else {
            let cut = finding(&rule::E_LEN_GT_FILE).at(4).found(length).against(bytes.len() as u64);
            return Err(refuse(cut, sink));
        };
        let sum = checksum(table);
        if sum != 0 {
            sink(finding(&rule::W_CHECKSUM).at(9).found(header.checksum).against(header.checksum.wrapping_sub(sum)));
        }
        if bytes.len() > table.len() {
            sink(finding(&rule::W_TRAILING_BYTES).at(table.len()).found((bytes.len() - table.len()) as u64));
        }
        Ok(Self { bytes: table, signature, revision: header.revision })
    }
}

/// Sum of all bytes; zero for a whole table.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec::Vec;

    fn table() -> Vec<u8> {
        let mut bytes = std::vec![0; 40];
        bytes[..4].copy_from_slice(b"TEST");
        bytes[4] = 40;
        bytes[8] = 3;
        bytes[9] = checksum(&bytes).wrapping_neg();
        bytes
    }

    fn parse(bytes: &[u8]) -> (Option<usize>, Vec<&'static str>) {
        let mut ids = Vec::new();
        let sdt = Sdt::parse(bytes, *b"TEST", HEADER_BYTES, &mut |f| ids.push(f.id()));
        (sdt.ok().map(|sdt| sdt.bytes.len()), ids)
    }

    #[test]
    fn whole_table_has_no_findings() {
        assert_eq!(parse(&table()), (Some(40), std::vec![]));
    }

    #[test]
    fn header_names_its_maker() {
        let mut bytes = table();
        bytes[10..28].copy_from_slice(b"Ampere Altra  \x02\0\0\x01");
        let maker = Maker { id: *b"Ampere", table_id: *b" Altra  ", revision: 0x0100_0002 };
        assert_eq!((Maker::of(&bytes), Maker::of(&bytes[..35])), (Some(maker), None));
    }

    #[test]
    fn every_broken_header_is_named() {
        let mut wrong_sum = table();
        wrong_sum[39] = 1;
        assert_eq!(parse(&wrong_sum), (Some(40), std::vec!["W_CHECKSUM"]));
        let mut longer = table();
        longer.push(7);
        assert_eq!(parse(&longer), (Some(40), std::vec!["W_TRAILING_BYTES"]));
        assert_eq!(parse(&table()[..39]), (None, std::vec!["E_LEN_GT_FILE"]));
        assert_eq!(parse(&table()[..35]), (None, std::vec!["E_SHORT"]));
        let mut small = table();
        small[4] = 35;
        assert_eq!(parse(&small), (None, std::vec!["E_LEN_LT_HDR"]));
        let mut foreign = table();
        foreign[0] = b'J';
        assert_eq!(parse(&foreign), (None, std::vec!["E_SIG"]));
    }

    #[test]
    fn finding_is_one_line_with_place_and_cure() {
        let mut wrong_sum = table();
        wrong_sum[39] = 1;
        let mut line = std::string::String::new();
        let _ = Sdt::parse(&wrong_sum, *b"TEST", HEADER_BYTES, &mut |f| line = std::format!("{f}"));
        assert!(line.starts_with("warning W_CHECKSUM: TEST+0x9: "), "{line}");
        assert!(line.contains("right: ") && !line.contains('\n'), "{line}");
    }
}
