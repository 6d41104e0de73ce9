//! What the boot loader left: a devicetree, and what it names.

use super::{Image, first::DEVICETREE_MOST, first::Map};
use addr::PhysAddr;
use alloc::{boxed::Box, vec::Vec};
use arch::{
    mmu::{Kind, Region},
    power::Conduit,
};
use core::slice;
use primary::firmware::{Description, Given, Reserved, conduit};
use tables::{Platform, devicetree::Devicetree, spcr::Console};

/// An IORT longer than this is not read.
const LONGEST_FILE: u64 = 4 << 20;

/// x0 led to none.
pub(crate) struct NoDevicetree;

/// The devicetree, in a copy that stays.
pub(crate) struct Blob {
    tree: Devicetree<'static>,
    /// Where the original is.
    at: (PhysAddr, u64),
}

impl Blob {
    /// Reads it. Its findings are told by whoever reads it again, once there is a console.
    ///
    /// # Errors
    /// Nothing that could be read, at an address of the boot protocol.
    ///
    /// # Safety
    /// The block at `at` is mapped, what the header there counts is memory, and nobody writes to it.
    pub(crate) unsafe fn at(at: PhysAddr, map: &mut Map) -> Result<Self, NoDevicetree> {
        if at.0 == 0 || !at.is_aligned(8) {
            return Err(NoDevicetree);
        }
        let pointer = core::ptr::with_exposed_provenance::<u8>(at.0 as usize);
        // SAFETY: the caller's promise.
        let start = unsafe { slice::from_raw_parts(pointer, 8) };
        let length = start.first_chunk().and_then(|start| Devicetree::length(*start)).ok_or(NoDevicetree)?;
        if length as u64 > DEVICETREE_MOST || map.memory(at, length as u64).is_err() {
            return Err(NoDevicetree);
        }
        // SAFETY: the caller's promise.
        let copy: &'static [u8] = unsafe { slice::from_raw_parts(pointer, length) }.to_vec().leak();
        let tree = Devicetree::read(copy, &mut |_| {}).map_err(|_| NoDevicetree)?;
        Ok(Self { tree, at: (at, length as u64) })
    }

    /// Memory that may be used and mapped.
    pub(crate) fn ram(&self) -> impl Iterator<Item = (PhysAddr, u64)> {
        self.tree.memory(&mut |_| {}).into_iter().map(|range| (range.base, range.bytes))
    }

    /// What of it firmware keeps.
    pub(crate) fn reserved(&self) -> impl Iterator<Item = (PhysAddr, u64)> {
        let ranges = self.tree.reserved(&mut |_| {}).into_iter().map(|reserved| reserved.range);
        ranges.map(|range| (range.base, range.bytes))
    }

    /// What of it belongs to somebody.
    pub(crate) fn in_use(&self) -> impl Iterator<Item = (PhysAddr, u64)> {
        let initrd = self.tree.initrd(&mut |_| {}).map(|range| (range.base, range.bytes));
        self.reserved().chain(initrd).chain([self.at])
    }

    /// The console, for a boot that goes no further.
    pub(crate) fn console(&self) -> Option<Console> {
        Platform::from_devicetree(&self.tree, &[], &mut |_| {}).console
    }

    /// How to power off.
    pub(crate) fn conduit(&self) -> Conduit {
        conduit(Platform::from_devicetree(&self.tree, &[], &mut |_| {}).psci)
    }
}

/// What the payload starts with: options from the command line, an IORT where an initrd would be.
pub(crate) fn given(blob: &Blob, image: Image, map: &mut Map) -> Given {
    let initrd = blob.tree.initrd(&mut |_| {}).filter(|range| range.bytes <= LONGEST_FILE);
    let iort_file = initrd.and_then(|range| {
        map.memory(range.base, range.bytes).ok()?;
        let pointer = core::ptr::with_exposed_provenance::<u8>(range.base.0 as usize);
        // SAFETY: mapped just now; the boot loader put a file there, and nobody writes to it.
        let bytes: Box<[u8]> = unsafe { slice::from_raw_parts(pointer, range.bytes as usize) }.into();
        Some(bytes)
    });
    Given {
        load_options: Some(blob.tree.bootargs().unwrap_or_default().into()),
        option_file: None,
        iort_file,
        heap: Reserved { start: image.heap, bytes: image.end.0 - image.heap.0 },
        made_by: None,
        description: Description::Devicetree(Vec::from(blob.tree.bytes())),
        image: Region { start: image.start, bytes: image.heap.0 - image.start.0, kind: Kind::Image },
    }
}
