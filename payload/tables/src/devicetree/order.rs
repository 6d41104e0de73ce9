//! Sorting in one form, for size: each type and key that the standard sorts are used for costs an image 3 to 5 KB.

use alloc::{collections::BinaryHeap, vec::Vec};

/// A key, and something of it that may be a key of its own.
pub(super) type Pair = (u64, u64);

/// Pairs in ascending order.
#[inline(never)]
pub(super) fn sorted(pairs: Vec<Pair>) -> Vec<Pair> {
    BinaryHeap::from(pairs).into_sorted_vec()
}
