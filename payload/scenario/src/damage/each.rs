//! Machines with several SMMUs: damage is done to each that can have it, and one is enough.

use super::{Damage, apply::NotDone};
use addr::PhysAddr;
use alloc::vec::Vec;
use smmu::{
    access::{Access, SmmuIndex},
    frames::Frames,
    observe::Registers,
};

/// An empty page for structures that only the damage leads to.
const PAGE: u64 = 4096;

/// No SMMU was damaged, or one no longer follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undone {
    /// The SMMU that does not follow, else the first.
    pub smmu: SmmuIndex,
    /// What stood in the way there.
    pub why: NotDone,
}

fn all(count: usize) -> impl Iterator<Item = SmmuIndex> {
    (0_u8..).map(SmmuIndex).take(count)
}

impl Damage {
    /// Why none of `count` SMMUs can have it, if so: the first one's reason. `is_linear`: tables will have one level.
    pub fn lacks_everywhere(self, hw: &mut dyn Access, count: usize, is_linear: bool) -> Option<&'static str> {
        let mut first = None;
        for smmu in all(count) {
            // One that can have it is enough.
            let why = self.lacks(&Registers::read(hw, smmu), is_linear)?;
            first = first.or(Some(why));
        }
        first
    }

    /// Damages every one of `count` live SMMUs that can have it, and tells which did. Without live streams an SMMU has no
    /// STE, CD or level-1 descriptor whose damage says anything. `own` is where the crash kernel's memory begins.
    ///
    /// # Errors
    /// [`Undone`].
    pub fn apply_to_each(
        self,
        hw: &mut dyn Access,
        count: usize,
        own: PhysAddr,
        frames: &mut dyn Frames,
    ) -> Result<Vec<bool>, Undone> {
        if self == Self::NONE {
            return Ok(Vec::new());
        }
        let (mut done, mut first) = (Vec::new(), None);
        for smmu in all(count) {
            let undone = |why| Undone { smmu, why };
            let scratch = frames.allocate(PAGE, PAGE).ok_or(undone(NotDone::NoMemory))?;
            let result = self.one(hw, smmu, own, scratch);
            done.push(result.is_ok());
            match result {
                // What it does now nobody knows.
                Err(NotDone::NoAck) => return Err(undone(NotDone::NoAck)),
                Err(why) => first = first.or(Some(undone(why))),
                Ok(()) => {}
            }
        }
        match first {
            Some(first) if !done.contains(&true) => Err(first),
            _ => Ok(done),
        }
    }

    fn one(self, hw: &mut dyn Access, smmu: SmmuIndex, own: PhysAddr, scratch: PhysAddr) -> Result<(), NotDone> {
        let registers = Registers::read(hw, smmu);
        match self.lacks(&registers, registers.strtab_base_cfg.fmt() == 0) {
            Some(why) => Err(NotDone::Lacks(why)),
            None => self.apply(hw, smmu, own, scratch),
        }
    }
}
