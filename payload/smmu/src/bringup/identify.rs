//! Is there an SMMU, and can it do what the tables of this image ask of it?

use super::BringUpError;
use crate::access::{Access, SmmuIndex};
use crate::spec::registers::{self as reg, Idr0, Idr1, Idr5};
use crate::translation::{Geometry, Stage};
use addr::PhysAddr;

/// Finds out whether an SMMU answers, and has what tables of this stage need.
pub(super) fn identify(
    hw: &mut dyn Access,
    smmu: SmmuIndex,
    base: PhysAddr,
    stage: Stage,
) -> Result<(Idr0, Idr1, Geometry), BringUpError> {
    /// TTENDIAN: big-endian tables only.
    const BIG_ENDIAN: u8 = 3;
    let [idr0, idr1, idr5] = [reg::IDR0, reg::IDR1, reg::IDR5].map(|offset| hw.read32(smmu, offset));
    if matches!(idr0, 0 | u32::MAX) {
        return Err(BringUpError::NoAnswer { base, idr0, aidr: hw.read32(smmu, reg::AIDR) });
    }
    let unsupported = |what, register, value| BringUpError::Unsupported { base, what, register, value };
    let (fields0, fields1) = (Idr0::from(idr0), Idr1::from(idr1));
    let (has_stage, lacks) = match stage {
        Stage::One => (fields0.s1p(), "no AArch64 stage 1 (S1P, TTF)"),
        Stage::Two => (fields0.s2p(), "no AArch64 stage 2 (S2P, TTF)"),
    };
    // TTF bit 1: VMSAv8-64 tables.
    if !has_stage || fields0.ttf() & 0b10 == 0 {
        return Err(unsupported(lacks, "SMMU_IDR0", idr0));
    }
    if fields0.ttendian() == BIG_ENDIAN {
        return Err(unsupported("big-endian tables only (TTENDIAN)", "SMMU_IDR0", idr0));
    }
    if fields1.tables_preset() || fields1.queues_preset() {
        return Err(unsupported("fixed tables or queues (TABLES_PRESET, QUEUES_PRESET)", "SMMU_IDR1", idr1));
    }
    let geometry =
        Geometry::choose(Idr5::from(idr5), stage).ok_or_else(|| unsupported("no granule", "SMMU_IDR5", idr5))?;
    Ok((fields0, fields1, geometry))
}
