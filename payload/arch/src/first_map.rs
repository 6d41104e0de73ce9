//! The map of an image that starts with the MMU off: built without heap, atomics or unaligned accesses, in blocks of 2 MiB.
//!
//! It lives until the image has read the description of the machine, and made the map of [`crate::mmu`].

use crate::mmu::{Kind, Regime, regime};
use addr::PhysAddr;

/// Bytes that one block maps: nothing is mapped that lies further than that from what was asked.
pub const BLOCK: u64 = 2 << 20;

/// Descriptors of one table.
pub const ENTRIES: usize = 512;

/// A translation table (DDI 0487, D8.3), 4 KiB aligned.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(4096))]
pub struct Table(pub [u64; ENTRIES]);

impl Table {
    /// Nothing is mapped.
    pub const EMPTY: Self = Self([0; ENTRIES]);
}

const VALID: u64 = 1;
const TABLE: u64 = 0b11;
const ACCESSED: u64 = 1 << 10;
const INNER_SHAREABLE: u64 = 0b11 << 8;
/// RES1 in the EL2 format; access for EL0 in EL1's.
const AP_1: u64 = 1 << 6;
/// XN, or UXN in EL1's format.
const XN: u64 = 1 << 54;
const PXN: u64 = 1 << 53;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// No table is left, an address passes 48 bits, or the place is mapped as something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotMapped;

/// The map while it grows: the first table is the root.
pub struct FirstMap<'a> {
    tables: &'a mut [Table],
    used: usize,
    at: PhysAddr,
    is_el1_format: bool,
}

impl<'a> FirstMap<'a> {
    /// An empty map in `tables`, which lie at `at`. `is_el1_format`: for EL1, and for EL2 with E2H.
    pub fn new(tables: &'a mut [Table], at: PhysAddr, is_el1_format: bool) -> Self {
        tables.fill(Table::EMPTY);
        Self { tables, used: 1, at, is_el1_format }
    }

    /// Maps every block that holds a byte of the range to itself. It may be in force: what is mapped is not changed.
    ///
    /// # Errors
    /// [`NotMapped`]; blocks before stay mapped.
    pub fn map(&mut self, start: PhysAddr, bytes: u64, kind: Kind) -> Result<(), NotMapped> {
        let end = start.0.checked_add(bytes).filter(|end| *end <= 1 << 48).ok_or(NotMapped)?;
        let mut block = start.0 & !(BLOCK - 1);
        while block < end {
            let level1 = self.next(0, block >> 39)?;
            let level2 = self.next(level1, block >> 30)?;
            let descriptor = block | self.attributes(kind);
            let entry = self.entry(level2, block >> 21)?;
            if *entry != 0 && *entry != descriptor {
                return Err(NotMapped);
            }
            *entry = descriptor;
            block += BLOCK;
        }
        Ok(())
    }

    /// What puts it in force; `pa_range` is ID_AA64MMFR0_EL1.PARange.
    #[must_use]
    pub fn regime(&self, pa_range: u8) -> Regime {
        regime(self.at, self.is_el1_format, pa_range)
    }

    fn attributes(&self, kind: Kind) -> u64 {
        let index = match kind {
            Kind::Device => 0,
            Kind::Configuration => 2,
            Kind::Data | Kind::Image => 1,
        };
        let never = match (kind, self.is_el1_format) {
            (Kind::Image, false) => 0,
            (_, false) => XN,
            // EL0 executes nothing.
            (Kind::Image, true) => XN,
            (_, true) => XN | PXN,
        };
        let access = if self.is_el1_format { 0 } else { AP_1 };
        VALID | index << 2 | access | INNER_SHAREABLE | ACCESSED | never
    }

    /// The table behind an entry, made where there is none.
    fn next(&mut self, table: usize, index: u64) -> Result<usize, NotMapped> {
        let (at, used) = (self.at, self.used);
        let entry = self.entry(table, index)?;
        if *entry != 0 {
            let place = ((*entry & ADDRESS) - at.0) / size_of::<Table>() as u64;
            return Ok(place as usize);
        }
        // Before the descriptor is there: the map may be in force.
        if used == self.tables.len() {
            return Err(NotMapped);
        }
        let fresh = at.0 + (used * size_of::<Table>()) as u64;
        *self.entry(table, index)? = fresh | TABLE;
        self.used += 1;
        Ok(used)
    }

    fn entry(&mut self, table: usize, index: u64) -> Result<&mut u64, NotMapped> {
        let table = self.tables.get_mut(table).ok_or(NotMapped)?;
        table.0.get_mut(index as usize % ENTRIES).ok_or(NotMapped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::vec;

    const AT: PhysAddr = PhysAddr(0x4800_0000);

    fn leaf(map: &FirstMap<'_>, address: u64) -> Option<u64> {
        let mut table = 0;
        for shift in [39, 30, 21] {
            let entry = map.tables[table].0[(address >> shift & 0x1ff) as usize];
            match entry & 3 {
                0 => return None,
                1 => return Some(entry),
                _ => table = (((entry & ADDRESS) - AT.0) / 4096) as usize,
            }
        }
        unreachable!("no block at level 2")
    }

    #[test]
    fn blocks_around_a_range_are_mapped_to_themselves_and_no_others() {
        let mut tables = vec![Table::EMPTY; 8];
        let mut map = FirstMap::new(&mut tables, AT, false);
        map.map(PhysAddr(0x403f_f000), 0x2000, Kind::Image).unwrap();
        map.map(PhysAddr(0x80_0000_0000), 1, Kind::Data).unwrap();
        map.map(PhysAddr(0x900_0000), 0x1000, Kind::Device).unwrap();
        // Block, attribute 1, AP[1], inner shareable, accessed.
        assert_eq!(leaf(&map, 0x4020_0000), Some(0x4020_0000 | 0x745));
        assert_eq!(leaf(&map, 0x4040_0fff), Some(0x4040_0000 | 0x745));
        assert_eq!(leaf(&map, 0x4060_0000), None);
        assert_eq!(leaf(&map, 0x401f_ffff), None);
        assert_eq!(leaf(&map, 0x80_0000_0000), Some(0x80_0000_0000 | 0x745 | XN));
        assert_eq!(leaf(&map, 0x900_0000), Some(0x900_0000 | 0x741 | XN));
        assert_eq!(map.regime(4).ttbr0, AT.0);
    }

    #[test]
    fn the_format_of_el1_opens_nothing_to_el0() {
        let mut tables = vec![Table::EMPTY; 8];
        let mut map = FirstMap::new(&mut tables, AT, true);
        map.map(PhysAddr(0x4000_0000), 1, Kind::Image).unwrap();
        map.map(PhysAddr(0x900_0000), 1, Kind::Device).unwrap();
        assert_eq!(leaf(&map, 0x4000_0000), Some(0x4000_0000 | 0x705 | XN));
        assert_eq!(leaf(&map, 0x900_0000), Some(0x900_0000 | 0x701 | XN | PXN));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let mut tables = vec![Table::EMPTY; 3];
        let mut map = FirstMap::new(&mut tables, AT, false);
        map.map(PhysAddr(0x4000_0000), 1, Kind::Data).unwrap();
        map.map(PhysAddr(0x4010_0000), 1, Kind::Data).unwrap();
        assert_eq!(map.map(PhysAddr(0x4000_0000), 1, Kind::Device), Err(NotMapped), "as something else");
        assert_eq!(leaf(&map, 0x4000_0000), Some(0x4000_0000 | 0x745 | XN));
        assert_eq!(map.map(PhysAddr(0x8000_0000), 1, Kind::Data), Err(NotMapped), "no table left");
        assert_eq!(leaf(&map, 0x8000_0000), None);
        assert_eq!(map.map(PhysAddr(1 << 48), 1, Kind::Data), Err(NotMapped));
        assert_eq!(map.map(PhysAddr(u64::MAX), 2, Kind::Data), Err(NotMapped));
    }
}
