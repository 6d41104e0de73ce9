//! A guest: an [`Access`] whose register accesses trap, and whose stores to watched pages do.

use super::*;
use smmu::access::{Barrier, Unbacked};

pub(super) struct Guest<'a> {
    pub(super) hw: &'a mut Fake,
    pub(super) witness: &'a mut Witness,
    /// Watched pages are unmapped, and not only read-only.
    pub(super) loads: bool,
}

impl Guest<'_> {
    fn is_watched(&self, at: PhysAddr) -> bool {
        self.witness.pages().any(|page| page.contains(&at.0))
    }

    fn register(&mut self, offset: u32, bytes: u8) -> u64 {
        let at = PhysAddr(FRAME + u64::from(offset));
        self.witness.load(self.hw, 0x1000, at, bytes).expect("a register")
    }

    fn write(&mut self, offset: u32, bytes: u8, value: u64) {
        let at = PhysAddr(FRAME + u64::from(offset));
        self.witness.store(self.hw, 0x2000, at, bytes, value).expect("a register");
    }
}

impl Access for Guest<'_> {
    fn read32(&mut self, _: SmmuIndex, offset: u32) -> u32 {
        self.register(offset, 4) as u32
    }
    fn write32(&mut self, _: SmmuIndex, offset: u32, value: u32) {
        self.write(offset, 4, value.into());
    }
    fn read64(&mut self, _: SmmuIndex, offset: u32) -> u64 {
        self.register(offset, 8)
    }
    fn write64(&mut self, _: SmmuIndex, offset: u32, value: u64) {
        self.write(offset, 8, value);
    }
    fn load(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr) -> Result<u64, Unbacked> {
        if self.loads && self.is_watched(at) {
            match self.witness.load(self.hw, 0x3000, at, 8) {
                Err(WatchError::Unwatched(_)) => {}
                answer => return answer.map_err(|_| Unbacked(at)),
            }
        }
        self.hw.load(smmu, what, at)
    }
    fn store(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr, value: u64) {
        let is_done = self.is_watched(at) && self.witness.store(self.hw, 0x4000, at, 8, value).is_ok();
        if !is_done {
            self.hw.store(smmu, what, at, value);
        }
    }
    fn swap(&mut self, smmu: SmmuIndex, what: Structure, at: PhysAddr, value: u64) -> Result<u64, Unbacked> {
        self.hw.swap(smmu, what, at, value)
    }
    fn barrier(&mut self, _: Barrier) {}
    fn ticks(&mut self) -> u64 {
        self.hw.ticks()
    }
    fn frequency(&self) -> u64 {
        self.hw.frequency()
    }
    fn pause(&mut self) {
        self.hw.pause();
    }
    fn step(&mut self, _: &'static str) {}
}
