//! Page frames for SMMU structures, queues and DMA windows, from a range that the image reserved.

use crate::{cache, heap::ORDERS, mmio};
use addr::PhysAddr;
use buddy_system_allocator::Heap;
use core::alloc::Layout;
use smmu::frames::Frames;

const FRAME: u64 = 4096;

/// A pool of page frames. Dropped and made anew, it starts from nothing: no cycle keeps another's pages.
///
/// The crate's `FrameAllocator` keeps its free blocks in trees, which would cost each image kilobytes; this is the heap's
/// own code, whose lists lie in the free blocks.
pub struct FramePool {
    free: Heap<ORDERS>,
}

impl FramePool {
    /// A pool over `start..start + bytes`; partial frames at the edges are left out.
    ///
    /// # Safety
    /// The range is mapped as Normal writable memory and belongs to the pool alone: no Rust object lives there.
    #[must_use]
    pub unsafe fn new(start: PhysAddr, bytes: u64) -> Self {
        let mut free = Heap::new();
        let first = start.0.next_multiple_of(FRAME);
        let end = start.0.saturating_add(bytes) / FRAME * FRAME;
        if first < end {
            // SAFETY: the caller's promise.
            unsafe { free.add_to_heap(first as usize, end as usize) }
        }
        Self { free }
    }
}

impl Frames for FramePool {
    fn allocate(&mut self, bytes: u64, alignment: u64) -> Option<PhysAddr> {
        let length = bytes.max(1).checked_next_multiple_of(FRAME)?;
        let layout = Layout::from_size_align(length as usize, alignment.max(FRAME) as usize).ok()?;
        let start = PhysAddr(self.free.alloc(layout).ok()?.addr().get() as u64);
        for at in (start.0..start.0 + length).step_by(8) {
            // SAFETY: frames of the pool's own range, just taken out of it.
            unsafe { mmio::write64(at, 0) }
        }
        // For an SMMU or device that does not snoop: zeroes must not be written back over what it is given later.
        cache::clean_invalidate(start, length);
        Some(start)
    }
}
