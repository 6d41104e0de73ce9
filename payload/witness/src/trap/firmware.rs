//! What EL3 may keep from EL2: the ID registers announce a feature, and firmware has not turned it on (DDI 0487, D24, the
//! pseudocode of each register's "Accessing").
//!
//! The write is then UNDEFINED at EL2, or traps to firmware, which as a rule ends the machine. The plan's words for it name
//! what a firmware engineer has to look at.

use super::register::{self as reg, Register};

/// The control of EL3 that keeps a register of the plan from EL2; `None` where there is none.
#[must_use]
pub fn control(register: &Register) -> Option<&'static str> {
    Some(match *register {
        reg::HCRX_EL2 => "SCR_EL3.HXEn is 0",
        reg::CPTR_EL2 => "CPTR_EL3.TCPAC is 1",
        reg::ZCR_EL2 => "CPTR_EL3.EZ is 0",
        reg::SMCR_EL2 | reg::SMPRIMAP_EL2 => "CPTR_EL3.ESM is 0",
        reg::HFGRTR_EL2
        | reg::HFGWTR_EL2
        | reg::HFGITR_EL2
        | reg::HDFGRTR_EL2
        | reg::HDFGWTR_EL2
        | reg::HAFGRTR_EL2 => "SCR_EL3.FGTEn is 0",
        reg::HFGRTR2_EL2 | reg::HFGWTR2_EL2 | reg::HFGITR2_EL2 | reg::HDFGRTR2_EL2 | reg::HDFGWTR2_EL2 => {
            "SCR_EL3.FGTEn2 is 0"
        }
        reg::MDCR_EL2 => "MDCR_EL3.TDA is 1",
        reg::PMSCR_EL2 => "MDCR_EL3.NSPB keeps it",
        reg::BRBCR_EL2 => "MDCR_EL3.SBRBE keeps it",
        reg::TRFCR_EL2 => "MDCR_EL3.TTRF is 1",
        reg::SPMACCESSR_EL2 => "MDCR_EL3.EnPM2 is 0",
        reg::CNTPOFF_EL2 => "SCR_EL3.ECVEn is 0",
        // IHI 0069, 12.2.
        reg::ICC_SRE_EL2 | reg::ICH_HCR_EL2 => "ICC_SRE_EL3.Enable or SRE is 0",
        reg::MPAM2_EL2 | reg::MPAMHCR_EL2 | reg::MPAMVPMV_EL2 | reg::MPAMBW2_EL2 | reg::MPAMBWCAP_EL2 => {
            "MPAM3_EL3.TRAPLOWER is 1"
        }
        reg::LORC_EL1 => "SCR_EL3.TLOR is 1",
        reg::SCTLR2_EL1 | reg::SCTLR2_EL12 => "SCR_EL3.SCTLR2En is 0",
        reg::TCR2_EL1 | reg::TCR2_EL12 => "SCR_EL3.TCR2En is 0",
        reg::GCSCR_EL1 | reg::GCSCR_EL12 | reg::GCSCRE0_EL1 => "SCR_EL3.GCSEn is 0",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::trap::plan::rows;
    use std::vec::Vec;

    /// What EL2 always has EL3 cannot keep; what came with a feature it mostly can.
    #[test]
    fn registers_that_came_with_a_feature_are_kept_by_a_control_of_el3() {
        let is_named = |name: &str| ["CNTHV_CTL_EL2", "ICH_HFG"].iter().any(|known| name.starts_with(known));
        let mut open: Vec<&str> =
            rows().filter(|row| control(&row.register).is_none()).map(|row| row.register.name).collect();
        open.dedup();
        let first = |name: &str| rows().find(|row| row.register.name == name).map(|row| row.feature.name);
        let odd: Vec<_> = open.iter().filter(|name| first(name) != Some("EL2") && !is_named(name)).collect();
        assert!(odd.is_empty(), "{odd:?}");
        assert_eq!(control(&reg::HCR_EL2), None);
    }
}
