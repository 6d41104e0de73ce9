//! A configuration space in memory for tests.

extern crate std;
use crate::ConfigSpace;
use addr::Bdf;
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

/// Functions with plain memory behind, BAR masks, and a count of accesses.
#[derive(Default)]
pub(crate) struct FakeSpace {
    functions: BTreeMap<u16, Vec<u8>>,
    /// Writable bits of 32-bit registers; those not named are writable whole.
    masks: BTreeMap<(u16, u16), u32>,
    pub(crate) accesses: usize,
}

impl FakeSpace {
    pub(crate) fn add(&mut self, bdf: Bdf, vendor: u16, device: u16) {
        self.functions.insert(bdf.rid, vec![0; 4096]);
        self.put(bdf, 0, u32::from(device) << 16 | u32::from(vendor));
    }

    pub(crate) fn fill(&mut self, bdf: Bdf, bytes: &[u8]) {
        let mut page = vec![0; 4096];
        for (to, from) in page.iter_mut().zip(bytes.iter().cycle()) {
            *to = *from;
        }
        self.functions.insert(bdf.rid, page);
    }

    pub(crate) fn put(&mut self, bdf: Bdf, offset: u16, value: u32) {
        let at = usize::from(offset);
        self.functions.get_mut(&bdf.rid).unwrap()[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn mask(&mut self, bdf: Bdf, offset: u16, writable: u32) {
        self.masks.insert((bdf.rid, offset), writable);
    }
}

impl ConfigSpace for FakeSpace {
    fn read32(&mut self, function: Bdf, offset: u16) -> u32 {
        assert!(offset < 4096 && offset.is_multiple_of(4), "read at {offset:#x}");
        self.accesses += 1;
        let at = usize::from(offset);
        self.functions
            .get(&function.rid)
            .map_or(u32::MAX, |page| u32::from_le_bytes(page[at..at + 4].try_into().unwrap()))
    }

    fn write32(&mut self, function: Bdf, offset: u16, value: u32) {
        let before = self.read32(function, offset);
        let mask = self.masks.get(&(function.rid, offset)).copied().unwrap_or(u32::MAX);
        if self.functions.contains_key(&function.rid) {
            self.put(function, offset, before & !mask | value & mask);
        }
    }

    fn write16(&mut self, function: Bdf, offset: u16, value: u16) {
        assert!(offset < 4096 && offset.is_multiple_of(2), "write at {offset:#x}");
        self.accesses += 1;
        let at = usize::from(offset);
        if let Some(page) = self.functions.get_mut(&function.rid) {
            page[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
    }
}
