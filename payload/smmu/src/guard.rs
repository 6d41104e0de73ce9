//! Whether a write that the architecture says is ignored is ignored: tried only where it says so.

use crate::access::{Access, SmmuIndex};
use crate::observe::Registers;
use crate::spec::registers::{self as reg, StrtabBase};

/// What became of such a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The register read back as before.
    Ignored,
    /// It did not; what it held was written back.
    Changed,
}

/// Whether STRTAB_BASE may be written while the SMMU is enabled: only where that is *ignored* (IHI 0070 6.3.24).
///
/// # Errors
/// In words why not. Up to SMMUv3.1 the SMMU may then fetch from any address until it is disabled.
pub const fn may_write_strtab(registers: &Registers) -> Result<(), &'static str> {
    // AIDR: minor revision in 3:0, major in 7:4, 0 for SMMUv3 (6.3.8). A later major version is not known here.
    if registers.aidr >> 4 != 0 || registers.aidr < 2 {
        return Err("AIDR is not that of SMMUv3.2 or later: the write might do anything");
    }
    if !registers.cr0.smmuen() || !registers.cr0ack.smmuen() {
        return Err("SMMUEN is 0: nothing guards the register");
    }
    if registers.idr1.tables_preset() {
        return Err("IDR1.TABLES_PRESET: the register is read-only at any time");
    }
    Ok(())
}

/// Writes STRTAB_BASE of an enabled SMMU and reads it back; `None` where that must not be tried.
///
/// Only the allocation hint (RA) differs, so that translation goes on from the same table even where the write has an effect.
pub fn strtab(hw: &mut dyn Access, smmu: SmmuIndex) -> Option<Guard> {
    let registers = Registers::read(hw, smmu);
    may_write_strtab(&registers).ok()?;
    let found = registers.strtab_base;
    hw.write64(smmu, reg::STRTAB_BASE, found.with_ra(!found.ra()).into());
    if StrtabBase::from(hw.read64(smmu, reg::STRTAB_BASE)) == found {
        return Some(Guard::Ignored);
    }
    hw.write64(smmu, reg::STRTAB_BASE, found.into());
    Some(Guard::Changed)
}

#[cfg(test)]
mod tests;
