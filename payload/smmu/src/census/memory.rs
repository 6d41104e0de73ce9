//! Which addresses are memory, as far as firmware says.

use addr::PhysAddr;
use alloc::vec::Vec;
use core::ops::Range;

/// A hole in memory of up to so many bytes is memory that firmware keeps for itself.
const MOST_KEPT: u64 = 64 << 20;

/// `ranges` in order and without overlaps, with the holes that firmware keeps. A hole is none where one of `devices` lies in
/// it, by the first address of its registers: writes to a doorbell or a BAR must not become Normal ones (IHI 0070, 13.5:
/// stage 1 replaces the type that a device asks for).
#[must_use]
pub fn memory(ranges: impl Iterator<Item = Range<u64>>, devices: &[PhysAddr]) -> Vec<Range<u64>> {
    let is_hole = |hole: Range<u64>| {
        hole.end.saturating_sub(hole.start) > MOST_KEPT || devices.iter().any(|device| hole.contains(&device.0))
    };
    let mut memory: Vec<Range<u64>> = Vec::new();
    for mut range in ranges {
        // What it reaches becomes part of it; the rest stays in order.
        let is_apart = |known: &Range<u64>| is_hole(known.end..range.start) || is_hole(range.end..known.start);
        let first = memory.iter().take_while(|known| is_apart(known) && known.end < range.start).count();
        let reached = memory.iter().skip(first).take_while(|known| !is_apart(known)).count();
        for known in memory.drain(first..first + reached) {
            range = range.start.min(known.start)..range.end.max(known.end);
        }
        memory.insert(first, range);
    }
    memory
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn of(ranges: &[Range<u64>], devices: &[u64]) -> Vec<Range<u64>> {
        let devices: Vec<PhysAddr> = devices.iter().map(|at| PhysAddr(*at)).collect();
        memory(ranges.iter().cloned(), &devices)
    }

    #[test]
    fn a_hole_is_kept_memory_unless_it_is_large_or_a_device_lies_in_it() {
        let ranges = [256 * MIB..300 * MIB, 0..64 * MIB, 96 * MIB..128 * MIB];
        assert_eq!(of(&ranges, &[]), [0..128 * MIB, 256 * MIB..300 * MIB]);
        assert_eq!(of(&ranges, &[80 * MIB]), [0..64 * MIB, 96 * MIB..128 * MIB, 256 * MIB..300 * MIB]);
        // Where memory is it stays: what begins there is none of a hole.
        assert_eq!(of(&ranges, &[MIB, 128 * MIB]), [0..128 * MIB, 256 * MIB..300 * MIB]);
        assert_eq!(of(&[0..MIB, MIB..2 * MIB], &[MIB])[..], *core::slice::from_ref(&(0..2 * MIB)));
    }

    #[test]
    fn whatever_comes_first_the_result_is_in_order() {
        let ranges = [0..MIB, 200 * MIB..201 * MIB, 100 * MIB..101 * MIB, 150 * MIB..151 * MIB, 50 * MIB..51 * MIB];
        assert_eq!(of(&ranges, &[])[..], *core::slice::from_ref(&(0..201 * MIB)));
        assert_eq!(of(&ranges, &[120 * MIB]), [0..101 * MIB, 150 * MIB..201 * MIB]);
    }
}
