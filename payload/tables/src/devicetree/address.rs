//! From `reg` to physical addresses, through the `ranges` of every bus above (Devicetree Specification v0.4, 2.3.6 and 2.3.8).

use super::cells::Cells;
use super::tree::Node;
use crate::finding::Sink;
use crate::rule;
use addr::PhysAddr;
use alloc::vec::Vec;

/// Most entries of one `reg`.
const MAX_REGS: usize = 288;
/// Most entries of one bus's `ranges` that are looked through.
const MAX_RANGES: usize = 256;
/// Cells of a number that an address of memory can have.
const MAX_CELLS: usize = 2;

/// A range of physical addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// First address.
    pub base: PhysAddr,
    /// Length in bytes; may be zero.
    pub bytes: u64,
}

impl Range {
    /// Last address; `None` for an empty range.
    #[must_use]
    pub const fn last(&self) -> Option<PhysAddr> {
        match self.bytes.checked_sub(1) {
            Some(distance) => self.base.checked_add(distance),
            None => None,
        }
    }
}

impl Node<'_, '_> {
    /// Entries of `reg` as the CPU sees them. Each that has no such address is a finding and `None` in its place.
    pub(super) fn regs(&self, sink: &mut Sink<'_>) -> Vec<Option<Range>> {
        self.ranges_of(MAX_REGS, sink)
    }

    /// The first entry of `reg`.
    pub(super) fn reg(&self, sink: &mut Sink<'_>) -> Option<Range> {
        // Nothing at all is no entry that could be wrong.
        if self.property("reg").is_none_or(<[u8]>::is_empty) {
            sink(self.finding(&rule::E_DTB_REG));
        }
        self.ranges_of(1, sink).first().copied().flatten()
    }

    /// The first `limit` entries of `reg`.
    fn ranges_of(&self, limit: usize, sink: &mut Sink<'_>) -> Vec<Option<Range>> {
        let (Some(bus), Some(mut cells)) = (self.parent(), self.cells("reg")) else { return Vec::new() };
        let (address_cells, size_cells) = (bus.address_cells(), bus.size_cells());
        let entry_cells = address_cells + size_cells;
        if address_cells > MAX_CELLS || size_cells > MAX_CELLS || !cells.len().is_multiple_of(entry_cells.max(1)) {
            sink(self.finding(&rule::E_DTB_REG).found(cells.len() as u64).against(entry_cells as u64));
            return Vec::new();
        }
        let mut ranges = Vec::new();
        let count = cells.len().checked_div(entry_cells).unwrap_or(0);
        if limit > 1 && count > limit {
            sink(self.finding(&rule::W_CAPACITY).found(count as u64).against(limit as u64));
        }
        for _ in 0..count.min(limit) {
            let (Some(address), Some(bytes)) = (cells.number(address_cells), cells.number(size_cells)) else { break };
            ranges.push(self.seen_by_cpu(address, bytes, sink));
        }
        ranges
    }

    /// A range of this node's bus as the CPU sees it.
    fn seen_by_cpu(&self, address: u64, bytes: u64, sink: &mut Sink<'_>) -> Option<Range> {
        let base = self.parent().and_then(|bus| bus.translate(address, bytes));
        let range = base.map(|base| Range { base: PhysAddr(base), bytes });
        let inside = range.filter(|range| range.bytes == 0 || range.last().is_some());
        if inside.is_none() {
            sink(self.finding(&rule::E_DTB_ADDRESS).found(address).against(bytes));
        }
        inside
    }

    /// Takes an address on this bus up to the root. A bus without `ranges` lets nothing through.
    pub(super) fn translate(&self, address: u64, bytes: u64) -> Option<u64> {
        self.climb(address, bytes, |bus| bus.ranges())
    }

    /// Takes an address that this device issues up to the root. A bus without `dma-ranges` changes none.
    pub(super) fn translate_dma(&self, address: u64, bytes: u64) -> Option<u64> {
        self.parent()?.climb(address, bytes, |bus| Some(bus.property("dma-ranges").unwrap_or_default()))
    }

    /// One step for each bus below the root; an empty list leaves an address as it is.
    fn climb(&self, address: u64, bytes: u64, list: impl Fn(&Self) -> Option<&[u8]>) -> Option<u64> {
        let (mut bus, mut address) = (*self, address);
        while let Some(above) = bus.parent() {
            let ranges = list(&bus)?;
            if !ranges.is_empty() {
                address = step(&bus, &above, ranges, address, bytes)?;
            }
            bus = above;
        }
        Some(address)
    }
}

/// One step up: the entry of `ranges` that holds the whole range.
fn step(bus: &Node<'_, '_>, above: &Node<'_, '_>, ranges: &[u8], address: u64, bytes: u64) -> Option<u64> {
    let (child, parent, size) = (bus.address_cells(), above.address_cells(), bus.size_cells());
    if child > MAX_CELLS || parent > MAX_CELLS || size > MAX_CELLS {
        return None;
    }
    let mut cells = Cells::new(ranges);
    for _ in 0..MAX_RANGES {
        let (from, to, length) = (cells.number(child)?, cells.number(parent)?, cells.number(size)?);
        let Some(distance) = address.checked_sub(from) else { continue };
        if distance < length && bytes <= length - distance {
            return to.checked_add(distance);
        }
    }
    None
}
