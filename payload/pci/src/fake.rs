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
    /// Write-one-to-clear bits of 32-bit registers.
    clears: BTreeMap<(u16, u16), u32>,
    /// A function that answers so many reads more, and then none.
    pub(crate) vanishes: Option<(Bdf, usize)>,
    pub(crate) accesses: usize,
    /// Functions that were written to, by each write.
    pub(crate) written: Vec<Bdf>,
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

    pub(crate) fn clears(&mut self, bdf: Bdf, offset: u16, bits: u32) {
        self.clears.insert((bdf.rid, offset), bits);
    }

    pub(crate) fn get(&self, bdf: Bdf, offset: u16) -> u32 {
        let at = usize::from(offset);
        u32::from_le_bytes(self.functions[&bdf.rid][at..at + 4].try_into().unwrap())
    }

    /// A bridge with its bus numbers, and as PCI Express port of this type.
    pub(crate) fn bridge(&mut self, bdf: Bdf, port: Option<u32>, secondary: u32, subordinate: u32) {
        self.add(bdf, 0x1b36, 0xc);
        self.put(bdf, 0x0c, 0x0001_0000);
        self.put(bdf, 0x18, subordinate << 16 | secondary << 8 | u32::from(bdf.bus()));
        if let Some(port) = port {
            self.express(bdf, port);
        }
    }

    /// A PCI Express capability at 40h, version 2.
    pub(crate) fn express(&mut self, bdf: Bdf, kind: u32) {
        self.put(bdf, 0x04, 0x0010_0000);
        self.put(bdf, 0x34, 0x40);
        self.put(bdf, 0x40, kind << 20 | 0x0002_0010);
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
        if let Some((gone, left)) = &mut self.vanishes
            && gone.rid == function.rid
        {
            match left.checked_sub(1) {
                Some(less) => *left = less,
                None => return u32::MAX,
            }
        }
        self.functions
            .get(&function.rid)
            .map_or(u32::MAX, |page| u32::from_le_bytes(page[at..at + 4].try_into().unwrap()))
    }

    fn write32(&mut self, function: Bdf, offset: u16, value: u32) {
        self.written.push(function);
        let before = self.read32(function, offset);
        let mask = self.masks.get(&(function.rid, offset)).copied().unwrap_or(u32::MAX);
        if self.functions.contains_key(&function.rid) {
            let clears = self.clears.get(&(function.rid, offset)).copied().unwrap_or(0);
            let kept = before & clears & !value;
            self.put(function, offset, (before & !mask | value & mask) & !clears | kept);
        }
    }

    fn write16(&mut self, function: Bdf, offset: u16, value: u16) {
        assert!(offset < 4096 && offset.is_multiple_of(2), "write at {offset:#x}");
        self.written.push(function);
        self.accesses += 1;
        let at = usize::from(offset);
        let clears = self.clears.get(&(function.rid, offset & !3)).copied().unwrap_or(0) >> (8 * (offset & 2));
        if let Some(page) = self.functions.get_mut(&function.rid) {
            let before = u16::from_le_bytes(page[at..at + 2].try_into().unwrap());
            let kept = before & clears as u16 & !value;
            let new = value & !(clears as u16) | kept;
            page[at..at + 2].copy_from_slice(&new.to_le_bytes());
        }
    }
}
