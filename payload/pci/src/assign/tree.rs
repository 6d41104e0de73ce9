//! What is below a host bridge.

use crate::Bar;
use addr::Bdf;
use alloc::vec::Vec;

/// A bus and its functions.
#[derive(Clone, Debug, Default)]
pub(super) struct Bus {
    pub(super) functions: Vec<Node>,
}

/// A function: what its BARs take, and the bus behind it if it is a bridge.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) bdf: Bdf,
    /// With the bytes that each takes, a power of two.
    pub(super) bars: Vec<(Bar, u64)>,
    pub(super) behind: Option<Bridge>,
}

/// A bridge and what is behind it.
#[derive(Clone, Debug)]
pub(super) struct Bridge {
    pub(super) bus: Bus,
    /// Its prefetchable window reaches above 4 GiB.
    pub(super) has_64_bit_window: bool,
}
