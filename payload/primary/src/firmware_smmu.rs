//! Option `firmware-smmu`: plays a firmware that uses the SMMUs itself, and leaves them enabled when the payload starts.
//! EDK2 under QEMU leaves them disabled.

use crate::{machine::Machine, notes::Notes};
use addr::{PhysAddr, StreamId};
use alloc::{format, vec};
use arch::frames::FrameRange;
use smmu::{
    access::SmmuIndex,
    bringup::{BringUpError, Options, Unit},
};
use wire::record::Severity;

/// Tables and queues of all SMMUs together; a first level is 1 MiB at most.
const BYTES: usize = 2 << 20;

/// Enables every SMMU with stage-2 identity for every StreamID, and forgets about them.
pub(crate) fn play(machine: &mut Machine, notes: &mut Notes) {
    let memory = vec![0_u8; BYTES].leak();
    let start = PhysAddr(memory.as_ptr().addr() as u64);
    // SAFETY: leaked just now, and used for nothing else: like firmware's own, it stays as it is until the power goes.
    let mut frames = unsafe { FrameRange::new(start, BYTES as u64) };
    for (index, at) in (0_u8..).map(SmmuIndex).zip(machine.smmus.clone()) {
        let options = Options { coherent_override: at.coherent_override, ..Options::new(at.base, StreamId(0)) };
        let hw = &mut machine.hw;
        let mut enable = || -> Result<(), BringUpError> {
            Unit::bring_up(hw, index, &options, &mut frames)?.pass_all(hw, &mut frames)
        };
        match enable() {
            Ok(()) => notes.add(Severity::Note, "SMMU", "firmware-smmu", format!("{} was enabled first", at.base)),
            Err(error) => notes.add(Severity::Error, "SMMU", "firmware-smmu", format!("{}: {error}", at.base)),
        }
    }
}
