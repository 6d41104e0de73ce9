//! Where new tables and queues come from.

use addr::PhysAddr;

/// Memory that the SMMU may read: RAM, zeroed, visible to the SMMU.
pub trait Frames {
    /// `bytes` of zeroed memory at a multiple of `alignment` (a power of two); `None` when there is none left.
    fn allocate(&mut self, bytes: u64, alignment: u64) -> Option<PhysAddr>;
}
