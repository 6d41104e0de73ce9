//! Identifiers of the crashed kernel's streams, as loads in the log: nobody made them, but a checker that is to notice one used
//! again has to know them.

use super::{Owner, Tables};
use crate::watch::seen::How;
use crate::watch::trap::Trap;
use addr::PhysAddr;
use smmu::access::Structure;
use smmu::log::{Op, What};
use smmu::spec::cd::{CD_BYTES, Cd0};
use smmu::spec::ste::{Config, STE_BYTES, Ste0};

/// CDs and STEs with an identifier that are told; past that the log is for the kernel.
const MAX: usize = 1 << 8;

impl Tables {
    /// Logs word 0 of every valid CD, and word 2 of every STE with stage 2: ASIDs and VMIDs.
    pub(in crate::watch) fn tell_identifiers(&self, trap: &mut Trap<'_>) {
        let mut told = 0;
        for region in self.regions().filter(|region| region.owner == Owner::Dead) {
            let structure = region.target.structure;
            let step = match structure {
                Structure::Cd => CD_BYTES,
                Structure::Ste => STE_BYTES,
                _ => continue,
            };
            for at in (region.target.start..region.end()).step_by(step as usize) {
                let Ok(first) = trap.hw.load(trap.smmu, structure, PhysAddr(at)) else { break };
                let ste = Ste0::from(first);
                let at = match structure {
                    Structure::Cd if Cd0::from(first).v() => at,
                    Structure::Ste if ste.v() && Config(ste.config()).has_s2() => at + 16,
                    _ => continue,
                };
                let Ok(word) = trap.hw.load(trap.smmu, structure, PhysAddr(at)) else { break };
                if told == MAX {
                    return;
                }
                told += 1;
                let entry = trap.entry(Op::Load, What::Structure(structure), at, word);
                // With an old value it is merged with no other: each has its own identifier.
                trap.record(entry, How::Snapshot, Some(word));
            }
        }
    }
}
