//! What tags a domain's translations in the TLBs (IHI 0070, 3.17): of the same identifier, one is taken for the other.

use super::Stage;
use crate::spec::registers::Idr0;
use core::fmt;

/// ASID or VMID of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identifier {
    /// Of stage 1 alone, by its CD.
    Asid(u16),
    /// Of stage 2 alone, by its STE.
    Vmid(u16),
}

impl Identifier {
    /// Of a domain at this stage.
    #[must_use]
    pub const fn new(stage: Stage, value: u16) -> Self {
        match stage {
            Stage::One => Self::Asid(value),
            Stage::Two => Self::Vmid(value),
        }
    }

    /// Largest that the SMMU has at a stage (6.3.1, ASID16, VMID16).
    #[must_use]
    pub const fn largest(stage: Stage, idr0: Idr0) -> u16 {
        let has_16_bits = match stage {
            Stage::One => idr0.asid16(),
            Stage::Two => idr0.vmid16(),
        };
        if has_16_bits { u16::MAX } else { 0xFF }
    }

    /// ASID and VMID, one of them 0: nobody hands 0 out.
    #[must_use]
    pub const fn asid_and_vmid(self) -> (u16, u16) {
        match self {
            Self::Asid(asid) => (asid, 0),
            Self::Vmid(vmid) => (0, vmid),
        }
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, value) = match self {
            Self::Asid(asid) => ("ASID", asid),
            Self::Vmid(vmid) => ("VMID", vmid),
        };
        write!(f, "{name} {value}")
    }
}
