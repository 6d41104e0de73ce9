//! The heap of an image: a buddy allocator over memory that no device can reach.

use addr::PhysAddr;
use buddy_system_allocator::LockedHeap;

/// Blocks of up to 2^31 bytes.
const ORDERS: usize = 32;

#[global_allocator]
static HEAP: LockedHeap<ORDERS> = LockedHeap::empty();

/// Gives memory to the heap.
///
/// # Safety
/// `start..start + bytes` is mapped as Normal writable memory, belongs to the caller alone, and does so for as long as
/// the image runs.
pub unsafe fn give(start: PhysAddr, bytes: u64) {
    // SAFETY: the caller's promise is the allocator's.
    unsafe { HEAP.lock().init(start.0 as usize, bytes as usize) }
}
