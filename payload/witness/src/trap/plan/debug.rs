//! Debug, trace and performance monitors (D24.3.17, D24.4, D24.5, D24.7, D24.8): all of it is the kernel's.

use super::{Row, Value, row};
use crate::trap::feature as has;
use crate::trap::register as reg;

pub(super) const ROWS: &[Row] = &[
    row(
        reg::MDCR_EL2,
        0,
        has::ALWAYS,
        "TDE, TDA, TDOSA, TDRA, TPM, TPMCR, TTRF, TDCC: MDSCR_EL1 traps before the MMU is on",
    ),
    Row { value: Value::Counters, ..row(reg::MDCR_EL2, 0, has::PMU, "HPMN: the kernel has fewer event counters") },
    row(reg::MDCR_EL2, 3 << 12, has::SPE, "E2PB: EL2 owns the profiling buffer, and its registers trap"),
    row(reg::MDCR_EL2, 3 << 24, has::TRBE, "E2TB: EL2 owns the trace buffer, and its registers trap"),
    row(reg::MDCR_EL2, 1 << 15, has::SPMU, "EnSPM: System PMU registers trap"),
    row(reg::MDCR_EL2, 1 << 28, has::MTPMU, "MTPME: PMEVTYPER<n>_EL0.MT has no effect"),
    row(reg::MDCR_EL2, 1 << 30, has::PMU_SS, "PMSSE 0b01: captures do not follow PMECR_EL1.SSE"),
    row(reg::MDCR_EL2, 1 << 40, has::EBEP, "PMEE 0b01: PMU exceptions do not follow PMECR_EL1.PMEE"),
    row(reg::MDCR_EL2, 1 << 43, has::DEBUG_V8P9, "EBWE: breakpoints past the 16th are off"),
    row(reg::MDCR_EL2, 1 << 50, has::STEP2, "EnSTEPOP: MDSTEPOP_EL1 has no effect"),
    row(
        reg::PMSCR_EL2,
        1 << 6 | 1 << 4,
        has::SPE_OURS,
        "PCT, PA: samples have neither physical counter nor address; E2SPE 0",
    ),
    row(reg::BRBCR_EL2, 1 << 4 | 1 << 3, has::BRBE, "MPRED, CC: branch records lack both at EL1, too; E2BRE 0"),
    row(reg::TRFCR_EL2, 0, has::TRF, "E2TRE, E0HTRE: EL2 would be traced; TS 0 leaves time stamps to TRFCR_EL1"),
    row(reg::SPMACCESSR_EL2, u64::MAX, has::SPMU, "System PMUs trap, two bits each"),
];
