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
        // SAFETY: frames of the pool's own range, just taken out of it.
        unsafe { zero(start, frames as u64 * FRAME) }
        Some(start)
    }
}

/// A range that is only ever handed out: a crash kernel gives nothing back before it goes.
pub struct FrameRange {
    next: u64,
    end: u64,
}

impl FrameRange {
    /// The frames of `start..start + bytes`.
    ///
    /// # Safety
    /// As [`FramePool::new`].
    #[must_use]
    pub const unsafe fn new(start: PhysAddr, bytes: u64) -> Self {
        Self { next: start.0, end: start.0.saturating_add(bytes) }
    }
}

impl Frames for FrameRange {
    fn allocate(&mut self, bytes: u64, alignment: u64) -> Option<PhysAddr> {
        let start = self.next.checked_next_multiple_of(alignment.max(FRAME))?;
        let length = bytes.max(1).checked_next_multiple_of(FRAME)?;
        let end = start.checked_add(length).filter(|end| *end <= self.end)?;
        self.next = end;
        // SAFETY: frames of the range, handed out once.
        unsafe { zero(PhysAddr(start), length) }
        Some(PhysAddr(start))
    }
}

/// Zeroes frames as far as memory: for an SMMU or device that does not snoop, zeroes must not be written back later over
/// what they are given.
///
/// # Safety
/// The range is mapped as Normal memory, writable, a multiple of 16 bytes at a multiple of 16, and holds no Rust object.
unsafe fn zero(start: PhysAddr, bytes: u64) {
    let mut next = start.0;
    while next < start.0 + bytes {
        // SAFETY: the caller's promise.
        unsafe { mmio::write_pair(next, 0) }
        next += 16;
    }
    cache::clean_invalidate(start, bytes);
}
