//! Ranges of memory: what there is, what is free, and what is taken from it.

use addr::PhysAddr;
use alloc::vec::Vec;

/// Disjoint ranges in ascending order; neighbours are one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Adds a range; what passes 64 bits is left out.
    pub fn add(&mut self, start: PhysAddr, bytes: u64) {
        let (mut start, mut end) = (start.0, start.0.saturating_add(bytes));
        if start == end {
            return;
        }
        self.0.retain(|(from, to)| {
            let is_apart = *to < start || *from > end;
            if !is_apart {
                (start, end) = (start.min(*from), end.max(*to));
            }
            is_apart
        });
        let at = self.0.partition_point(|(from, _)| *from < start);
        self.0.insert(at, (start, end));
    }

    /// Takes a range out, as far as it is there.
    pub fn remove(&mut self, start: PhysAddr, bytes: u64) {
        let (start, end) = (start.0, start.0.saturating_add(bytes));
        let before = core::mem::take(&mut self.0);
        let keep = |(from, to): (u64, u64)| [(from, to.min(start)), (from.max(end), to)];
        self.0.extend(before.into_iter().flat_map(keep).filter(|(from, to)| from < to));
    }

    /// Whether all of a range is there.
    #[must_use]
    pub fn contains(&self, start: PhysAddr, bytes: u64) -> bool {
        let end = start.0.saturating_add(bytes);
        self.0.iter().any(|(from, to)| *from <= start.0 && end <= *to)
    }

    /// Takes `bytes` at a multiple of `alignment`, a power of two, from as high as possible up to the address `last`.
    pub fn take(&mut self, bytes: u64, alignment: u64, last: u64) -> Option<PhysAddr> {
        let place = |(from, to): &(u64, u64)| {
            let end = (*to).min(last.saturating_add(1));
            let start = end.checked_sub(bytes)? & !(alignment - 1);
            (start >= *from).then_some(PhysAddr(start))
        };
        let start = self.0.iter().rev().find_map(place)?;
        self.remove(start, bytes);
        Some(start)
    }

    /// Bytes of the largest range below `last`.
    #[must_use]
    pub fn largest(&self, last: u64) -> u64 {
        let bytes = |(from, to): &(u64, u64)| (*to).min(last.saturating_add(1)).saturating_sub(*from);
        self.0.iter().map(bytes).max().unwrap_or(0)
    }

    /// First address and length of each.
    pub fn iter(&self) -> impl Iterator<Item = (PhysAddr, u64)> + '_ {
        self.0.iter().map(|(from, to)| (PhysAddr(*from), to - from))
    }
}

/// Bytes of the next access to memory that a device reads and writes: the widest that lies at a multiple of itself and within
/// `left` bytes. An index of 16 bits, or a word of 32, that one side writes must never be seen half old.
#[must_use]
pub const fn widest(at: u64, left: usize) -> usize {
    let mut bytes = 8;
    while bytes > left || !at.is_multiple_of(bytes as u64) {
        if bytes == 0 {
            return 0;
        }
        bytes /= 2;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::vec;

    #[test]
    fn what_a_device_shares_is_accessed_whole() {
        let widths = |at: u64, bytes: usize| {
            let (mut at, mut left, mut all) = (at, bytes, vec![]);
            while widest(at, left) != 0 {
                all.push(widest(at, left));
                (at, left) = (at + widest(at, left) as u64, left - widest(at, left));
            }
            all
        };
        // The available ring's index; an entry's last word; a descriptor that is cut off.
        assert_eq!((widths(0x1002, 2), widths(0x100c, 4), widths(0x1000, 4)), (vec![2], vec![4], vec![4]));
        assert_eq!(widths(0x1000, 15), [8, 4, 2, 1]);
        assert_eq!((widths(0x1001, 8), widths(0x1000, 0)), (vec![1, 2, 4, 1], vec![]));
    }

    fn ranges(all: &[(u64, u64)]) -> Ranges {
        let mut ranges = Ranges::default();
        all.iter().for_each(|(start, bytes)| ranges.add(PhysAddr(*start), *bytes));
        ranges
    }

    #[test]
    fn neighbours_and_overlaps_become_one() {
        let all = ranges(&[(0x5000, 0x1000), (0x1000, 0x1000), (0x2000, 0x1000), (0x1800, 0x400), (0x9000, 0)]);
        assert_eq!(all.iter().collect::<Vec<_>>(), [(PhysAddr(0x1000), 0x2000), (PhysAddr(0x5000), 0x1000)]);
        assert_eq!(ranges(&[(0x1000, u64::MAX)]).0, [(0x1000, u64::MAX)]);
        assert_eq!(ranges(&[(0, 0x1000), (0x3000, 0x1000), (0x800, 0x3000)]).0, [(0, 0x4000)]);
    }

    #[test]
    fn what_is_removed_is_gone_and_nothing_else() {
        let mut all = ranges(&[(0x1000, 0x4000), (0x8000, 0x1000)]);
        all.remove(PhysAddr(0x2000), 0x1000);
        assert_eq!(all.0, [(0x1000, 0x2000), (0x3000, 0x5000), (0x8000, 0x9000)]);
        all.remove(PhysAddr(0x4000), 0x4800);
        assert_eq!(all.0, [(0x1000, 0x2000), (0x3000, 0x4000), (0x8800, 0x9000)]);
        all.remove(PhysAddr(0), u64::MAX);
        assert_eq!(all, Ranges::default());
    }

    #[test]
    fn memory_is_taken_from_the_top_where_it_fits() {
        let mut all = ranges(&[(0x1000, 0x4000), (0x10_0000, 0x1800), (1 << 32, 0x1_0000)]);
        assert_eq!(all.take(0x1000, 0x1000, 0xffff_ffff), Some(PhysAddr(0x10_0000)));
        assert_eq!(all.take(0x1000, 0x1000, 0xffff_ffff), Some(PhysAddr(0x4000)));
        assert_eq!(all.take(0x1000, 0x1000, u64::MAX), Some(PhysAddr((1 << 32) + 0xf000)));
        assert_eq!(all.take(0x10_0000, 0x1000, u64::MAX), None);
        assert_eq!(all.take(0x1000, 0x1_0000, 0xffff_ffff), None);
        assert!(all.contains(PhysAddr(0x1000), 0x3000) && !all.contains(PhysAddr(0x1000), 0x3001));
        assert_eq!((all.largest(0x1fff), all.largest(0xffff_ffff), Ranges::default().largest(9)), (0x1000, 0x3000, 0));
        assert_eq!(all.iter().map(|(_, bytes)| bytes).collect::<Vec<_>>(), vec![0x3000, 0x800, 0xf000]);
    }
}
