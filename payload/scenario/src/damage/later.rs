//! A table that changes after it was validated.

use super::{Damage, place::Places};
use addr::{PhysAddr, StreamId};
use core::ops::Range;
use smmu::{
    access::{Access, Barrier, SmmuIndex, Structure},
    observe::Registers,
    spec::ste::L1Std,
    takeover::{Refusal, look_again},
};

/// What the taker says when it meets devices of an adopted SMMU: where their STEs are, or why they are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookedAgain {
    /// A device behind the descriptor that changed.
    pub victim: Result<Option<PhysAddr>, Refusal>,
    /// A device of a live stream.
    pub other: Result<Option<PhysAddr>, Refusal>,
}

/// A span that no kernel writes.
const CHANGED: u8 = 5;

impl Damage {
    /// Changes the span of the last level-1 descriptor as the dead kernel's memory may change, has the taker look again at
    /// a stream behind it and at `live`, and puts it back: digests are of what the takeover did.
    ///
    /// `None` where the damage is another one, or the descriptor does not change.
    pub fn change_and_look(
        self,
        hw: &mut dyn Access,
        smmu: SmmuIndex,
        own: &Range<PhysAddr>,
        live: StreamId,
    ) -> Option<LookedAgain> {
        self.later_rule()?;
        let registers = Registers::read(hw, smmu);
        let places = Places::find(hw, &registers)?;
        let at = places.free_descriptor;
        let found = hw.load(smmu, Structure::L1Std, at).ok()?;
        let put = |hw: &mut dyn Access, word| {
            hw.store(smmu, Structure::L1Std, at, word);
            hw.barrier(Barrier::PublishStructure);
            hw.load(smmu, Structure::L1Std, at) == Ok(word)
        };
        let has_changed = put(hw, L1Std::from(found).with_span(CHANGED).into());
        let victim = look_again(hw, smmu, own, StreamId(places.free_stream));
        let other = look_again(hw, smmu, own, live);
        (put(hw, found) && has_changed).then_some(LookedAgain { victim, other })
    }
}
