//! What EL3 may keep from EL2: the ID registers announce a feature, and firmware has not turned it on (DDI 0487, D24, the
//! pseudocode of each register's "Accessing").
//!
//! The access is then UNDEFINED at EL2, or traps to firmware, which as a rule ends the machine. These words for it name what a
//! firmware engineer has to look at: they are the step in which the run is lost.

use super::register::{self as reg, Register};

/// What EL3 has to have set for EL2 to reach a register of the plan; `None` where nothing.
#[must_use]
pub fn control(register: &Register) -> Option<&'static str> {
    Some(match *register {
        reg::HCRX_EL2 => "needs SCR_EL3.HXEn = 1",
        reg::CPTR_EL2 => "needs CPTR_EL3.TCPAC = 0",
        reg::ZCR_EL2 => "needs CPTR_EL3.EZ = 1",
        reg::SMCR_EL2 | reg::SMPRIMAP_EL2 => "needs CPTR_EL3.ESM = 1",
        reg::HFGRTR_EL2
        | reg::HFGWTR_EL2
        | reg::HFGITR_EL2
        | reg::HDFGRTR_EL2
        | reg::HDFGWTR_EL2
        | reg::HAFGRTR_EL2 => "needs SCR_EL3.FGTEn = 1",
        reg::HFGRTR2_EL2 | reg::HFGWTR2_EL2 | reg::HFGITR2_EL2 | reg::HDFGRTR2_EL2 | reg::HDFGWTR2_EL2 => {
            "needs SCR_EL3.FGTEn2 = 1"
        }
        reg::MDCR_EL2 => "needs MDCR_EL3.TDA = 0",
        reg::PMSCR_EL2 => "needs MDCR_EL3.NSPB",
        reg::BRBCR_EL2 => "needs MDCR_EL3.SBRBE",
        reg::TRFCR_EL2 => "needs MDCR_EL3.TTRF = 0",
        reg::SPMACCESSR_EL2 => "needs MDCR_EL3.EnPM2 = 1",
        reg::CNTPOFF_EL2 => "needs SCR_EL3.ECVEn = 1",
        // IHI 0069, 12.2.
        reg::ICC_SRE_EL2 | reg::ICH_HCR_EL2 => "needs ICC_SRE_EL3.Enable and SRE",
        reg::MPAM2_EL2 | reg::MPAMHCR_EL2 | reg::MPAMVPMV_EL2 | reg::MPAMBW2_EL2 | reg::MPAMBWCAP_EL2 => {
            "needs MPAM3_EL3.TRAPLOWER = 0"
        }
        reg::LORC_EL1 => "needs SCR_EL3.TLOR = 0",
        reg::SCTLR2_EL1 | reg::SCTLR2_EL12 => "needs SCR_EL3.SCTLR2En = 1",
        reg::TCR2_EL1 | reg::TCR2_EL12 => "needs SCR_EL3.TCR2En = 1",
        reg::GCSCR_EL1 | reg::GCSCR_EL12 | reg::GCSCRE0_EL1 => "needs SCR_EL3.GCSEn = 1",
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
