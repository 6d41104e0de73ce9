//! What firmware with an SMMU driver leaves behind: its streams pass, at stage 2 where the hardware has one.

use super::{BringUpError, Unit};
use crate::access::{Access, Barrier, Structure};
use crate::frames::Frames;
use crate::spec::registers::{self as reg, Idr5};
use crate::spec::ste::Ste;
use crate::table::{bypass_ste, stage2_ste};
use crate::translation::{Geometry, Granule, Stage};
use addr::StreamId;

/// Firmware's VMID; 0 is the one of stage 1 alone.
const VMID: u16 = 1;
/// One table of 4 KiB at level 1 maps this much, in blocks of 1 GiB.
const MOST_INPUT_BITS: u8 = 39;
/// A stage-2 block descriptor (DDI 0487, D8.3, D8.5): Normal write-back, read and write, inner shareable, accessed.
const BLOCK: u64 = 0xF << 2 | 0b11 << 6 | 0b11 << 8 | 1 << 10 | 1;
const TABLE_BYTES: u64 = 4096;

impl Unit {
    /// Lets `streams` through to the addresses that they issue: by one stage-2 table of identity blocks, or by bypass where
    /// there is no stage 2 with a 4 KiB granule.
    ///
    /// # Errors
    /// [`BringUpError`].
    pub fn pass(
        &mut self,
        hw: &mut dyn Access,
        frames: &mut dyn Frames,
        streams: &[StreamId],
    ) -> Result<(), BringUpError> {
        let ste = self.identity(hw, frames)?;
        streams.iter().try_for_each(|stream_id| self.install(hw, frames, *stream_id, &ste))
    }

    fn identity(&self, hw: &mut dyn Access, frames: &mut dyn Frames) -> Result<Ste, BringUpError> {
        let smmu = self.control.smmu;
        let idr5 = Idr5::from(hw.read32(smmu, reg::IDR5));
        let chosen = Geometry::choose(idr5, Stage::Two).filter(|_| self.idr0.s2p() && idr5.gran4k());
        let one_table = |chosen: Geometry| {
            let input_bits = chosen.input_bits().min(MOST_INPUT_BITS);
            Geometry::new(Stage::Two, Granule::K4, input_bits, chosen.output_bits())
        };
        let Some(geometry) = chosen.and_then(one_table) else { return Ok(bypass_ste(self.idr1)) };
        let root = frames.allocate(TABLE_BYTES, TABLE_BYTES);
        let root = root.ok_or(BringUpError::OutOfMemory { what: "a stage-2 table", bytes: TABLE_BYTES })?;
        for block in 0..1_u64 << (geometry.input_bits() - 30) {
            hw.store(smmu, Structure::Pte, root.plus(block * 8), block << 30 | BLOCK);
        }
        hw.barrier(Barrier::PublishStructure);
        Ok(stage2_ste(self.idr1, root, geometry, VMID, self.coherent))
    }
}
