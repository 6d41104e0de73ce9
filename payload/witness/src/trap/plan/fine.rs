//! Fine-grained traps (D24.2.61 to D24.2.75). A bit without "n" traps where it is 1, one with "n" where it is 0: so each
//! register is the "n" bits of what the CPU has, and nothing else.

use super::{Row, row};
use crate::trap::feature as has;
use crate::trap::feature::Feature;
use crate::trap::register as reg;
use crate::trap::register::Register;

const TRAPS: &str = "every bit that is 1 traps: UNKNOWN at reset";

/// A bit for reads and writes of registers that came later than the trap register itself.
const fn open(register: Register, bits: u64, feature: Feature) -> Row {
    row(register, bits, feature, "accesses trap where this bit is 0")
}

pub(super) const ROWS: &[Row] = &[
    row(reg::HFGRTR_EL2, 0, has::FGT, TRAPS),
    // nACCDATA
    open(reg::HFGRTR_EL2, 1 << 50, has::LS64_ACCDATA),
    // nGCS_EL0, nGCS_EL1
    open(reg::HFGRTR_EL2, 3 << 52, has::GCS),
    // nSMPRI, nTPIDR2
    open(reg::HFGRTR_EL2, 3 << 54, has::SME),
    // nRCWMASK
    open(reg::HFGRTR_EL2, 1 << 56, has::THE),
    // nPIRE0, nPIR
    open(reg::HFGRTR_EL2, 3 << 57, has::S1PIE),
    // nPOR_EL0, nPOR_EL1
    open(reg::HFGRTR_EL2, 3 << 59, has::S1POE),
    // nS2POR
    open(reg::HFGRTR_EL2, 1 << 61, has::S2POE),
    // nMAIR2, nAMAIR2
    open(reg::HFGRTR_EL2, 3 << 62, has::AIE),
    row(reg::HFGWTR_EL2, 0, has::FGT, TRAPS),
    open(reg::HFGWTR_EL2, 1 << 50, has::LS64_ACCDATA),
    open(reg::HFGWTR_EL2, 3 << 52, has::GCS),
    open(reg::HFGWTR_EL2, 3 << 54, has::SME),
    open(reg::HFGWTR_EL2, 1 << 56, has::THE),
    open(reg::HFGWTR_EL2, 3 << 57, has::S1PIE),
    open(reg::HFGWTR_EL2, 3 << 59, has::S1POE),
    open(reg::HFGWTR_EL2, 1 << 61, has::S2POE),
    open(reg::HFGWTR_EL2, 3 << 62, has::AIE),
    row(reg::HFGITR_EL2, 0, has::FGT, TRAPS),
    // nBRBINJ, nBRBIALL
    open(reg::HFGITR_EL2, 3 << 55, has::BRBE),
    // nGCSPUSHM_EL1, nGCSSTR_EL1, nGCSEPP
    open(reg::HFGITR_EL2, 7 << 57, has::GCS),
    row(reg::HDFGRTR_EL2, 0, has::FGT, TRAPS),
    // nBRBIDR, nBRBCTL, nBRBDATA
    open(reg::HDFGRTR_EL2, 7 << 59, has::BRBE),
    // nPMSNEVFR
    open(reg::HDFGRTR_EL2, 1 << 62, has::SPE_FNE),
    row(reg::HDFGWTR_EL2, 0, has::FGT, TRAPS),
    // nBRBCTL, nBRBDATA
    open(reg::HDFGWTR_EL2, 3 << 60, has::BRBE),
    open(reg::HDFGWTR_EL2, 1 << 62, has::SPE_FNE),
    row(reg::HAFGRTR_EL2, 0, has::AMU_FGT, TRAPS),
    row(reg::HFGRTR2_EL2, 0, has::FGT2, TRAPS),
    // nPFAR
    open(reg::HFGRTR2_EL2, 1 << 0, has::PFAR),
    // nERXGSR
    open(reg::HFGRTR2_EL2, 1 << 1, has::RAS_V2),
    // nRCWSMASK
    open(reg::HFGRTR2_EL2, 1 << 2, has::THE),
    // The mask registers, and the aliases that go past them.
    open(reg::HFGRTR2_EL2, 0x7FF8, has::SRMASK),
    row(reg::HFGWTR2_EL2, 0, has::FGT2, TRAPS),
    open(reg::HFGWTR2_EL2, 1 << 0, has::PFAR),
    open(reg::HFGWTR2_EL2, 1 << 2, has::THE),
    open(reg::HFGWTR2_EL2, 0x7FF8, has::SRMASK),
    row(reg::HFGITR2_EL2, 0, has::FGT2, TRAPS),
    // nDCCIVAPS
    open(reg::HFGITR2_EL2, 1 << 1, has::POPS),
    row(reg::HDFGRTR2_EL2, 0, has::FGT2, TRAPS),
    // nPMECR
    open(reg::HDFGRTR2_EL2, 1 << 0, has::EBEP_OR_PMU_SS),
    // nPMIAR
    open(reg::HDFGRTR2_EL2, 1 << 1, has::SEBEP),
    // nPMICNTR, nPMICFILTR
    open(reg::HDFGRTR2_EL2, 3 << 2, has::PMU_ICNTR),
    // nPMUACR
    open(reg::HDFGRTR2_EL2, 1 << 4, has::PMU_V3P9),
    // nMDSELR
    open(reg::HDFGRTR2_EL2, 1 << 5, has::DEBUG_V8P9),
    // nPMSSDATA, nPMSSCR
    open(reg::HDFGRTR2_EL2, 3 << 6, has::PMU_SS),
    // nSPMEVCNTRn to nSPMDEVAFF
    open(reg::HDFGRTR2_EL2, 0x7FF << 8, has::SPMU),
    // nPMSDSFR
    open(reg::HDFGRTR2_EL2, 1 << 19, has::SPE_FDS),
    // nTRCITECR
    open(reg::HDFGRTR2_EL2, 1 << 20, has::ITE),
    // nTRBMPAM
    open(reg::HDFGRTR2_EL2, 1 << 22, has::TRBE_MPAM),
    // nMDSTEPOP
    open(reg::HDFGRTR2_EL2, 1 << 23, has::STEP2),
    // nPMBMAR
    open(reg::HDFGRTR2_EL2, 1 << 24, has::SPE_NVM),
    row(reg::HDFGWTR2_EL2, 0, has::FGT2, TRAPS),
    open(reg::HDFGWTR2_EL2, 1 << 0, has::EBEP_OR_PMU_SS),
    open(reg::HDFGWTR2_EL2, 1 << 1, has::SEBEP),
    open(reg::HDFGWTR2_EL2, 3 << 2, has::PMU_ICNTR),
    // nPMUACR, nPMZR
    open(reg::HDFGWTR2_EL2, 1 << 4 | 1 << 21, has::PMU_V3P9),
    open(reg::HDFGWTR2_EL2, 1 << 5, has::DEBUG_V8P9),
    // nPMSSCR
    open(reg::HDFGWTR2_EL2, 1 << 7, has::PMU_SS),
    // nSPMEVCNTRn to nSPMSCR
    open(reg::HDFGWTR2_EL2, 0x1FF << 8, has::SPMU),
    open(reg::HDFGWTR2_EL2, 1 << 19, has::SPE_FDS),
    open(reg::HDFGWTR2_EL2, 1 << 20, has::ITE),
    open(reg::HDFGWTR2_EL2, 1 << 22, has::TRBE_MPAM),
    open(reg::HDFGWTR2_EL2, 1 << 23, has::STEP2),
    open(reg::HDFGWTR2_EL2, 1 << 24, has::SPE_NVM),
];
