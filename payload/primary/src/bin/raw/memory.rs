//! Memory without a firmware that gives it: what the devicetree calls RAM, without what is in use.

use super::{Image, first::Map, given::Blob};
use addr::{Bdf, PhysAddr};
use alloc::{format, string::String, vec::Vec};
use arch::{
    mmu::{Kind, Region},
    ranges::Ranges,
};
use core::slice;
use handover::bundle::Bundle;
use primary::firmware::{Firmware, Left, Purpose, Reserved};
use tables::iort::rmr_place::MemoryRange;
use zerocopy::FromBytes;

/// Who owns what.
pub(crate) struct Memory<'a> {
    /// RAM that may be mapped: without `no-map` ranges, where secure firmware may hide.
    ram: Ranges,
    /// Of that, what nobody uses.
    free: Ranges,
    /// What the devicetree reserves, and we do.
    reserved: Vec<(PhysAddr, u64)>,
    /// In force until the payload has its own.
    map: &'a mut Map,
}

impl<'a> Memory<'a> {
    /// What the devicetree says, and where image, devicetree and initrd lie.
    pub(crate) fn new(blob: &Blob, image: Image, map: &'a mut Map) -> Self {
        let mut ram = Ranges::default();
        blob.ram().for_each(|(start, bytes)| ram.add(start, bytes));
        let mut free = ram.clone();
        blob.in_use().for_each(|(start, bytes)| free.remove(start, bytes));
        free.remove(image.start, image.end.0 - image.start.0);
        // Code and stack are the image's own region.
        ram.remove(image.start, image.heap.0 - image.start.0);
        // The first page is nobody's: an address of 0 means "none" in many places.
        free.remove(PhysAddr(0), 4096);
        Self { ram, free, reserved: blob.reserved().collect(), map }
    }

    fn keep(&mut self, start: PhysAddr, bytes: u64) {
        self.ram.remove(start, bytes);
        self.reserved.push((start, bytes));
    }

    /// The first bytes of memory that a boot loader filled, and nobody else uses.
    fn filled(&mut self, start: PhysAddr, bytes: u64) -> Option<&'static [u8]> {
        let is_free = self.free.contains(start, bytes) && self.map.memory(start, bytes).is_ok();
        let pointer = core::ptr::with_exposed_provenance::<u8>(start.0 as usize);
        // SAFETY: RAM by the devicetree, mapped just now, and not written to.
        is_free.then(|| unsafe { slice::from_raw_parts(pointer, bytes as usize) })
    }
}

impl Firmware for Memory<'_> {
    fn reserve(
        &mut self,
        what: &str,
        bytes: u64,
        alignment: u64,
        limit: u64,
        purpose: Purpose,
    ) -> Result<Reserved, String> {
        let start = self.free.take(bytes, alignment, limit).ok_or_else(|| {
            let (wanted, free) = (bytes >> 10, self.free.largest(limit) >> 10);
            format!("too little memory for {what}: {wanted} KiB below {limit:#x} needed, the largest free range has {free} KiB")
        })?;
        if purpose == Purpose::Kept {
            self.keep(start, bytes);
        }
        Ok(Reserved { start, bytes })
    }

    fn reserve_at(&mut self, start: PhysAddr, bytes: u64) -> Result<Reserved, String> {
        if !self.free.contains(start, bytes) {
            return Err("the devicetree does not call it free RAM".into());
        }
        self.free.remove(start, bytes);
        self.keep(start, bytes);
        Ok(Reserved { start, bytes })
    }

    fn bundle(&mut self, at: Option<PhysAddr>) -> Result<Reserved, String> {
        let start = at.ok_or("no kernel: option guest=ADDRESS says where the boot loader put its bundle")?;
        let head = self.filled(start, size_of::<Bundle>() as u64);
        let head = head.ok_or_else(|| format!("option guest={start}: no free RAM is there"))?;
        // What is wrong with it is told by who reads all of it.
        let bytes = Bundle::read_from_bytes(head).map_or(0, |bundle| bundle.file_bytes);
        let bytes = self.filled(start, bytes).filter(|all| all.len() >= head.len()).unwrap_or(head).len() as u64;
        self.free.remove(start, bytes);
        self.keep(start, bytes);
        Ok(Reserved { start, bytes })
    }

    fn memory_map(&self) -> Vec<MemoryRange> {
        // EfiReservedMemoryType and EfiConventionalMemory.
        let range = |kind| move |(base, bytes)| MemoryRange { base, bytes, kind };
        self.reserved.iter().copied().map(range(0)).chain(self.free.iter().map(range(7))).collect()
    }

    /// Nobody had the functions before.
    fn bus_masters(&mut self) -> Option<Vec<Bdf>> {
        None
    }

    /// Nobody would.
    fn watch(&mut self, _: u32) {}

    fn kept(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// Memory has to do.
    fn keep(&mut self, _: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn leave(&mut self) -> Left {
        let ram = self.ram.iter().map(|(start, bytes)| Region { start, bytes, kind: Kind::Data });
        Left { ram: ram.collect(), ..Left::default() }
    }
}
