//! Stage 2 of the EL1&0 regime: everything at its own address, but for pages that are taken out or made read-only.
//!
//! Memory and devices are Normal write-back here: stage 1 of the guest decides, as the weaker of both types holds
//! (DDI 0487, D8.6.2, with HCR_EL2.FWB clear). Blocks of 1 GiB; below the one page that is watched, tables down to pages.
//! The tables are memory of the caller's, and TLBs are told through a trait: nothing here is unsafe.

use crate::mmu::address_bits;
use addr::PhysAddr;
use core::sync::atomic::{AtomicU64, Ordering};

/// A table of any level: 4 KiB, 4 KiB aligned. Table walks read it behind the compiler's back, hence atomics.
pub type Table = [AtomicU64; ENTRIES];

const ENTRIES: usize = 512;
const VALID: u64 = 1;
/// Of a level below 3: a table; of level 3: a page.
const TABLE: u64 = 2;
/// MemAttr Normal, inner and outer write-back; SH inner shareable; AF (DDI 0487, D8.3.2).
const NORMAL: u64 = 0b1111 << 2 | 0b11 << 8 | 1 << 10;
const READ: u64 = 0b01 << 6;
const WRITE: u64 = 0b10 << 6;
/// Output address of a table, a block or a page of 48 bits.
const ADDRESS: u64 = 0xffff_ffff_f000;
/// Address bits below the entries of levels 0 to 3.
const SHIFT: [u32; 4] = [39, 30, 21, 12];

/// What the guest may do with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guest {
    /// All that its own tables allow.
    Open,
    /// Read, and execute: a store comes here.
    ReadOnly,
    /// Nothing: every access comes here.
    Closed,
}

/// What table walkers see and keep.
pub trait Tlb {
    /// Has walkers see all stores so far, then forget both stages of the guest in force, on all CPUs; completed before it
    /// returns.
    fn invalidate(&mut self);
}

/// Why a map cannot be made, or not be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stage2Error {
    /// Tables are given by the caller.
    #[error("stage 2: no table is left of the {0} that it was given")]
    Full(usize),
    /// Beyond what the CPU can address.
    #[error("stage 2: {address} lies beyond the {bits} bits of this CPU")]
    Beyond {
        /// What was asked for.
        address: PhysAddr,
        /// ID_AA64MMFR0_EL1.PARange, 48 at most.
        bits: u32,
    },
    /// The granule of all maps here.
    #[error("stage 2: this CPU has no 4 KiB granule at stage 2 (ID_AA64MMFR0_EL1.TGran4_2)")]
    Granule,
}

/// The map of one guest.
#[derive(Debug)]
pub struct Stage2<'a> {
    tables: &'a [Table],
    at: PhysAddr,
    used: usize,
    /// Level of the first table, 0 or 1.
    start: usize,
    bits: u32,
    /// ID_AA64MMFR0_EL1.PARange, as far as 48 bits go.
    ps: u64,
}

impl<'a> Stage2<'a> {
    /// The empty map for a CPU with `mmfr0` (ID_AA64MMFR0_EL1), in `tables`, which lie at `at` and whose first ones are
    /// aligned to [`root_bytes`]. Nothing is mapped: [`Self::fault`] fills in what the guest turns to.
    ///
    /// # Errors
    /// [`Stage2Error::Granule`], and [`Stage2Error::Full`] where not even the first level fits.
    pub fn new(tables: &'a [Table], at: PhysAddr, mmfr0: u64) -> Result<Self, Stage2Error> {
        // TGran4_2 (43:40): 0 as TGran4 (31:28, where 0b1111 is none), 1 none.
        let has_granule = match mmfr0 >> 40 & 0xf {
            0 => mmfr0 >> 28 & 0xf != 0xf,
            value => value != 1,
        };
        if !has_granule {
            return Err(Stage2Error::Granule);
        }
        let bits = address_bits(pa_range(mmfr0));
        let used = (root_bytes_of(bits) / size_of::<Table>() as u64) as usize;
        let full = Stage2Error::Full(tables.len());
        let root = tables.get(..used).ok_or(full)?;
        root.iter().flatten().for_each(|entry| entry.store(0, Ordering::Relaxed));
        Ok(Self { tables, at, used, start: start_level(bits), bits, ps: u64::from(pa_range(mmfr0).min(5)) })
    }

    /// VTTBR_EL2 with a VMID of 1: 0 is what a guest without a hypervisor may have left behind.
    #[must_use]
    pub const fn vttbr(&self) -> u64 {
        1 << 48 | self.at.0
    }

    /// VTCR_EL2: this walk, write-back and inner shareable, no hardware update of flags (DDI 0487, D24.2.198).
    #[must_use]
    pub const fn vtcr(&self) -> u64 {
        let t0sz = 64 - self.bits as u64;
        // SL0 of a 4 KiB granule: 1 starts at level 1, 2 at level 0.
        let sl0 = 2 - self.start as u64;
        t0sz | sl0 << 6 | 0b01 << 8 | 0b01 << 10 | 0b11 << 12 | self.ps << 16 | 1 << 31
    }

    /// A translation fault at `address`: maps the whole block around it, unless it was taken out on purpose. Returns
    /// whether the guest can go on.
    ///
    /// # Errors
    /// [`Stage2Error::Beyond`] and [`Stage2Error::Full`].
    pub fn fault(&mut self, address: PhysAddr, tlb: &mut impl Tlb) -> Result<bool, Stage2Error> {
        let (level, slot) = self.walk(address)?;
        // Only what was split holds pages that are taken out.
        if level > 1 || self.entry(slot) & VALID != 0 {
            return Ok(false);
        }
        let slot = if level == 0 { self.split(slot, address, 0)? } else { slot };
        self.set(slot, leaf(address, 1) | READ | WRITE);
        tlb.invalidate();
        Ok(true)
    }

    /// Sets what the guest may do with all pages that `bytes` from `start` touch.
    ///
    /// # Errors
    /// [`Stage2Error::Beyond`], and [`Stage2Error::Full`], after which only some of the pages are changed.
    pub fn set_guest(
        &mut self,
        start: PhysAddr,
        bytes: u64,
        guest: Guest,
        tlb: &mut impl Tlb,
    ) -> Result<(), Stage2Error> {
        let beyond = Stage2Error::Beyond { address: start, bits: self.bits };
        let end = start.0.checked_add(bytes).ok_or(beyond)?;
        for page in (start.0 & !0xfff..end).step_by(0x1000) {
            let address = PhysAddr(page);
            let slot = self.page(address, tlb)?;
            let allowed = match guest {
                Guest::Open => READ | WRITE,
                Guest::ReadOnly => READ,
                Guest::Closed => 0,
            };
            // What becomes narrower needs no break before make, but TLBs must be told (D8.16.1).
            let entry = if allowed == 0 { 0 } else { leaf(address, 3) | allowed };
            self.set(slot, entry);
        }
        tlb.invalidate();
        Ok(())
    }

    /// What the guest may do at an address, as far as it has turned there.
    ///
    /// # Errors
    /// [`Stage2Error::Beyond`].
    pub fn allowed(&self, address: PhysAddr) -> Result<Guest, Stage2Error> {
        let entry = self.entry(self.walk(address)?.1);
        Ok(match entry & (READ | WRITE) {
            _ if entry & VALID == 0 => Guest::Closed,
            READ => Guest::ReadOnly,
            _ => Guest::Open,
        })
    }

    /// Takes everything out: from here on each access and fetch of the guest comes here, on all CPUs.
    pub fn close_all(&mut self, tlb: &mut impl Tlb) {
        let root = (root_bytes_of(self.bits) / size_of::<Table>() as u64) as usize;
        self.tables.iter().take(root).flatten().for_each(|entry| entry.store(0, Ordering::Relaxed));
        tlb.invalidate();
    }

    /// The entry of one page, after tables down to it were made where there were none.
    fn page(&mut self, address: PhysAddr, tlb: &mut impl Tlb) -> Result<Slot, Stage2Error> {
        loop {
            let (level, slot) = self.walk(address)?;
            if level == 3 {
                return Ok(slot);
            }
            let old = self.entry(slot);
            // What nobody turned to yet stays reachable beside the page.
            let same = if level == 1 && old & VALID == 0 { leaf(address, 1) | READ | WRITE } else { old };
            let table = self.made(address, level, same)?;
            if old & VALID != 0 {
                // Break before make: another size (D8.16.1).
                self.set(slot, 0);
                tlb.invalidate();
            }
            self.set(slot, table);
        }
    }

    /// Where a walk for `address` ends: the level, and the entry that is no table.
    fn walk(&self, address: PhysAddr) -> Result<(usize, Slot), Stage2Error> {
        if address.0 >> self.bits != 0 {
            return Err(Stage2Error::Beyond { address, bits: self.bits });
        }
        // Of concatenated tables the first index is longer than nine bits.
        let first = (address.0 >> SHIFT[self.start]) as usize;
        let mut slot = Slot { table: first / ENTRIES, index: first % ENTRIES };
        let mut level = self.start;
        while level < 3 && self.entry(slot) & (VALID | TABLE) == VALID | TABLE {
            let table = ((self.entry(slot) & ADDRESS) - self.at.0) as usize / size_of::<Table>();
            level += 1;
            slot = Slot { table, index: (address.0 >> SHIFT[level]) as usize % ENTRIES };
        }
        Ok((level, slot))
    }

    /// Puts a table in an empty entry; the entry of `address` in it.
    fn split(&mut self, slot: Slot, address: PhysAddr, level: usize) -> Result<Slot, Stage2Error> {
        let table = self.made(address, level, 0)?;
        self.set(slot, table);
        Ok(self.walk(address)?.1)
    }

    /// A table of the level below `level` that maps what `old` maps; its descriptor.
    fn made(&mut self, address: PhysAddr, level: usize, old: u64) -> Result<u64, Stage2Error> {
        let full = Stage2Error::Full(self.tables.len());
        let table = self.tables.get(self.used).ok_or(full)?;
        let below = level + 1;
        let first = address.0 >> SHIFT[level] << SHIFT[level];
        for (index, entry) in (0_u64..).zip(table) {
            let part = PhysAddr(first + (index << SHIFT[below]));
            let same = if old & VALID == 0 { 0 } else { leaf(part, below) | old & (READ | WRITE) };
            entry.store(same, Ordering::Relaxed);
        }
        let at = self.at.0 + (self.used * size_of::<Table>()) as u64;
        self.used += 1;
        Ok(at | VALID | TABLE)
    }

    fn entry(&self, slot: Slot) -> u64 {
        self.tables[slot.table][slot.index].load(Ordering::Relaxed)
    }

    fn set(&self, slot: Slot, entry: u64) {
        // Walkers of other CPUs must not meet a table before what is in it.
        self.tables[slot.table][slot.index].store(entry, Ordering::Release);
    }
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    table: usize,
    index: usize,
}

/// A block or page of `level` that holds `address`, without permissions.
const fn leaf(address: PhysAddr, level: usize) -> u64 {
    let first = address.0 >> SHIFT[level] << SHIFT[level];
    let kind = if level == 3 { VALID | TABLE } else { VALID };
    first | NORMAL | kind
}

/// ID_AA64MMFR0_EL1.PARange.
const fn pa_range(mmfr0: u64) -> u8 {
    (mmfr0 & 0xf) as u8
}

/// Up to 16 tables of level 1 may stand side by side, and so translate 43 bits (D8.2.8).
const fn start_level(bits: u32) -> usize {
    if bits <= 43 { 1 } else { 0 }
}

/// Bytes, and alignment, of the first level for a CPU with `mmfr0` (ID_AA64MMFR0_EL1).
#[must_use]
pub const fn root_bytes(mmfr0: u64) -> u64 {
    root_bytes_of(address_bits(pa_range(mmfr0)))
}

const fn root_bytes_of(bits: u32) -> u64 {
    let shift = SHIFT[start_level(bits)];
    let entries = 1 << bits.saturating_sub(shift);
    let bytes = entries * size_of::<u64>() as u64;
    if bytes < 4096 { 4096 } else { bytes }
}

#[cfg(test)]
mod tests;
