//! Hardware update of the flags in stage-1 leaves (IHI 0070, 3.13; 5.4, CD.HA, CD.HD, CD.AFFD, CD.IR0).

use crate::bus::Bus;
use crate::choice::Freedom;
use addr::PhysAddr;
use smmu::spec::cd::{Cd, Cd0};

/// AF.
pub(super) const ACCESSED: u64 = 1 << 10;
/// DBM, and the AP[2] that it lets hardware clear.
const DIRTY_MODIFIER: u64 = 1 << 51;
const READ_ONLY: u64 = 1 << 7;

/// What a CD asks for.
#[derive(Clone, Copy)]
pub(super) struct Flags {
    access: bool,
    dirty: bool,
    /// AFFD, which HA overrides.
    never_faults: bool,
    write_back: bool,
    big_endian: bool,
}

impl Flags {
    pub(super) fn of(cd: &Cd) -> Self {
        let cd0 = Cd0::from(cd[0]);
        let is_write_back = |attribute: u8| matches!(attribute, 1 | 3);
        Self {
            access: cd0.ha(),
            // {HD, HA} = 0b10 is reserved, and behaves as 0b00.
            dirty: cd0.hd() && cd0.ha(),
            never_faults: cd0.affd(),
            write_back: is_write_back(cd0.ir0()) && is_write_back(cd0.or0()),
            big_endian: cd0.endi(),
        }
    }

    /// A clear access flag is a fault.
    pub(super) const fn fault(self) -> bool {
        !self.access && !self.never_faults
    }

    /// Not writable, but only until a write marks it dirty.
    pub(super) const fn is_clean(self, leaf: u64) -> bool {
        self.dirty && leaf & DIRTY_MODIFIER != 0 && leaf & READ_ONLY != 0
    }

    /// Marks a leaf that is at `at`, as a transaction is translated by it; returns the leaf as it is then, or nothing where
    /// the update fails. What is marked already is not written.
    pub(super) fn update(self, bus: &mut Bus, at: PhysAddr, leaf: u64, write: bool) -> Option<u64> {
        let set = if self.access { ACCESSED & !leaf } else { 0 };
        let clear = if write && self.is_clean(leaf) { READ_ONLY } else { 0 };
        if set | clear == 0 {
            return Some(leaf);
        }
        if !self.write_back && bus.choices.pick(Freedom::UpdateAttributes, 2) == 1 {
            return None;
        }
        let stored = |bits: u64| if self.big_endian { bits.swap_bytes() } else { bits };
        bus.update(at, stored(set), stored(clear));
        // Its neighbour, where that is a leaf of the same kind. Nothing is marked dirty ahead (3.13.7).
        let neighbour = PhysAddr(at.0 ^ 8);
        if bus.choices.pick(Freedom::AheadAccess, 2) == 1
            && bus.fetch(neighbour).is_some_and(|raw| stored(raw) & 0b11 == leaf & 0b11)
        {
            bus.update(neighbour, stored(ACCESSED), 0);
        }
        Some(leaf & !clear | set)
    }
}
