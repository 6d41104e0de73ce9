//! Page frames for SMMU structures, queues and DMA windows, from a range that the image reserved.

use crate::{cache, mmio};
use addr::PhysAddr;
use buddy_system_allocator::FrameAllocator;
use core::alloc::Layout;
use smmu::frames::Frames;

const FRAME: u64 = 4096;
/// Blocks of up to 2^18 frames (1 GiB).
const ORDERS: usize = 19;

/// A pool of page frames. Dropped and made anew, it starts from nothing: no cycle keeps another's pages.
pub struct FramePool {
    free: FrameAllocator<ORDERS>,
}

impl FramePool {
    /// A pool over `start..start + bytes`; partial frames at the edges are left out.
    ///
    /// # Safety
    /// The range is mapped as Normal writable memory and belongs to the pool alone: no Rust object lives there.
    #[must_use]
    pub unsafe fn new(start: PhysAddr, bytes: u64) -> Self {
        let mut free = FrameAllocator::new();
        let end = start.0.saturating_add(bytes);
        free.add_frame(start.0.div_ceil(FRAME) as usize, (end / FRAME) as usize);
        Self { free }
    }
}

impl Frames for FramePool {
    fn allocate(&mut self, bytes: u64, alignment: u64) -> Option<PhysAddr> {
        let frames = bytes.div_ceil(FRAME).max(1) as usize;
        let layout = Layout::from_size_align(frames, alignment.div_ceil(FRAME).max(1) as usize).ok()?;
        let start = PhysAddr(self.free.alloc_aligned(layout)? as u64 * FRAME);
        let length = frames as u64 * FRAME;
        for at in (start.0..start.0 + length).step_by(8) {
            // SAFETY: frames of the pool's own range, just taken out of it.
            unsafe { mmio::write64(at, 0) }
        }
        // For an SMMU or device that does not snoop: zeroes must not be written back over what it is given later.
        cache::clean_invalidate(start, length);
        Some(start)
    }
}
