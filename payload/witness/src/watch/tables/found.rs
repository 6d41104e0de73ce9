//! The crashed kernel's structures as they are found, as loads in the log: nobody made them, but a checker that is to notice how
//! they change, and an identifier that is used again, has to know them.

use super::{Owner, Tables};
use crate::watch::seen::How;
use crate::watch::trap::Trap;
use addr::PhysAddr;
use smmu::access::{Structure, Unbacked};
use smmu::log::{Op, What};
use smmu::spec::cd::{CD_BYTES, Cd0};
use smmu::spec::ste::{Config, L1Std, STE_BYTES, Ste0};

/// Structures that are told; past that the log is for the kernel.
const MAX: usize = 1 << 8;

impl Tables {
    /// Logs every level-1 descriptor that leads somewhere, every valid STE that does not abort (Linux fills its tables with such
    /// as do), and word 0 of every valid CD.
    pub(in crate::watch) fn tell_found(&self, trap: &mut Trap<'_>) {
        let mut told = 0;
        for region in self.regions().filter(|region| region.owner == Owner::Dead) {
            let structure = region.target.structure;
            let step = match structure {
                Structure::L1Std => 8,
                Structure::Cd => CD_BYTES,
                Structure::Ste => STE_BYTES,
                _ => continue,
            };
            for at in (region.target.start..region.end()).step_by(step as usize) {
                let Ok(first) = trap.hw.load(trap.smmu, structure, PhysAddr(at)) else { break };
                let words = match structure {
                    Structure::L1Std if L1Std::from(first).span() != 0 => 1,
                    Structure::Cd if Cd0::from(first).v() => 1,
                    Structure::Ste if is_in_use(Ste0::from(first)) => STE_BYTES / 8,
                    _ => continue,
                };
                if told == MAX || trap.tell_words(structure, at, words).is_err() {
                    return;
                }
                told += 1;
            }
        }
    }
}

const fn is_in_use(ste: Ste0) -> bool {
    ste.v() && !Config(ste.config()).is_abort()
}

impl Trap<'_> {
    fn tell_words(&mut self, structure: Structure, at: u64, words: u64) -> Result<(), Unbacked> {
        for at in (at..).step_by(8).take(words as usize) {
            let word = self.hw.load(self.smmu, structure, PhysAddr(at))?;
            let entry = self.entry(Op::Load, What::Structure(structure), at, word);
            // With an old value it is merged with no other: each has its own.
            self.record(entry, How::Snapshot, Some(word));
        }
        Ok(())
    }
}
