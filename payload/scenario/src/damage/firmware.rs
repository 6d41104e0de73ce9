//! Firmware's table in force: what tells it from one of the payload's, which gives every stream its own stage 1.

use addr::PhysAddr;
use smmu::{
    access::{Access, Structure},
    observe::{Budget, Entry, ObserveError, Registers, for_each_ste},
    spec::ste::{Config, Ste, Ste0, Ste3},
};

/// More than the first level and some hundred level-2 tables.
const LIMIT: u64 = 16 << 20;

/// DDI 0487, D8.3: descriptor type of a block, output address of a 1 GiB block.
const BLOCK: u64 = 0b01;
const ADDRESS: u64 = 0x0000_FFFF_C000_0000;
const GIB: u64 = 1 << 30;

enum Stop {
    Found,
    Unreadable,
}

impl From<ObserveError> for Stop {
    fn from(_: ObserveError) -> Self {
        Self::Unreadable
    }
}

/// A stream passes by blocks of identity at stage 2, or untranslated where the SMMU has no stage 2.
pub(super) fn is_found(hw: &mut dyn Access, registers: &Registers) -> bool {
    let wanted = if registers.idr0.s2p() { Config::S2 } else { Config::BYPASS };
    let mut budget = Budget::new(LIMIT);
    let looked = for_each_ste(hw, registers, &mut budget, &mut |hw, _, entry| {
        let Entry::Ste { ste, .. } = entry else { return Ok(()) };
        let ste0 = Ste0::from(ste[0]);
        let is_wanted = ste0.v() && Config(ste0.config()) == wanted;
        let passes = is_wanted && (wanted == Config::BYPASS || is_identity(hw, registers, &ste));
        if passes { Err(Stop::Found) } else { Ok(()) }
    });
    registers.cr0ack.smmuen() && matches!(looked, Err(Stop::Found))
}

/// The second GiB is mapped to itself, by a block of level 1.
fn is_identity(hw: &mut dyn Access, registers: &Registers, ste: &Ste) -> bool {
    let root = PhysAddr(Ste3::from(ste[3]).s2ttb_55_4() << 4);
    let descriptor = hw.load(registers.smmu, Structure::Pte, root.plus(8)).unwrap_or(0);
    root.0 != 0 && descriptor & 0b11 == BLOCK && descriptor & ADDRESS == GIB
}
