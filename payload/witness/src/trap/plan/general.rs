//! Traps of the general sort, identity, floating point and vectors, timers, interrupts; and HCR_EL2, which is written last.

use super::{Layout, Row, Value, row};
use crate::trap::feature as has;
use crate::trap::register as reg;

/// SCTLR_EL1 with the MMU off: LSMAOE, nTLSMD, SPAN, EIS, TSCXT, EOS, SED, ITD (D24.2.175).
const MMU_OFF: u64 = 0x30D0_0980;

/// Before the others.
pub(super) const ROWS: &[Row] = &[
    // D24.2.63. Without these bits the instructions are UNDEFINED at EL1 itself: EL2 never hears of it.
    row(reg::HCRX_EL2, 0, has::HCX, "UNKNOWN at reset: among others FnXS and VFNMI would be left to chance"),
    row(reg::HCRX_EL2, 1 << 11, has::MOPS, "MSCEn: memory copy and set are UNDEFINED at EL1, silently"),
    row(reg::HCRX_EL2, 1 << 14, has::TCR2, "TCR2En: TCR2_EL1 traps, and is taken for 0"),
    row(reg::HCRX_EL2, 1 << 15, has::SCTLR2, "SCTLR2En: SCTLR2_EL1 traps, and is taken for 0"),
    row(reg::HCRX_EL2, 1 << 16, has::THE, "PTTWI: TCR2_EL1.PTTWI has no effect"),
    row(reg::HCRX_EL2, 1 << 17, has::D128, "D128En: 128-bit TTBR0_EL1 and its like trap"),
    row(reg::HCRX_EL2, 1 << 21, has::SYSREG128, "EnIDCP128: IMPLEMENTATION DEFINED 128-bit registers trap"),
    row(reg::HCRX_EL2, 1 << 22, has::GCS, "GCSEn: guarded control stacks are off below EL2"),
    row(reg::HCRX_EL2, 1 << 23, has::FPMR, "EnFPM: FPMR traps"),
    row(reg::HCRX_EL2, 1 << 24, has::PAUTH_LR, "PACMEn: PACM has no effect"),
    // SRMASKEn, bit 26, stays 0: the mask registers are UNKNOWN at reset, and would silently keep a kernel that does not
    // know them from changing SCTLR_EL1. With 0 they are taken for 0, and trap.
    row(reg::HCRX_EL2, 1 << 1, has::LS64, "EnALS: LD64B and ST64B trap"),
    row(reg::HCRX_EL2, 1 << 2, has::LS64_V, "EnASR: ST64BV traps"),
    row(reg::HCRX_EL2, 1 << 0, has::LS64_ACCDATA, "EnAS0: ST64BV0 traps"),
    row(reg::HACR_EL2, 0, has::ALWAYS, "IMPLEMENTATION DEFINED traps (D24.2.60)"),
    row(reg::HSTR_EL2, 0, has::ALWAYS, "traps AArch32 system registers by CRn (D24.2.77)"),
    Row { value: Value::Midr, ..row(reg::VPIDR_EL2, 0, has::ALWAYS, "EL1 reads this as MIDR_EL1: UNKNOWN at reset") },
    Row {
        value: Value::Mpidr,
        ..row(
            reg::VMPIDR_EL2,
            0,
            has::ALWAYS,
            "EL1 reads this as MPIDR_EL1: the kernel would not know its CPU, and panic",
        )
    },
    // D24.2.38. Where SVE or SME is missing, its bit is RES1.
    row(reg::CPTR_EL2, 0x22FF, has::ALWAYS, "RES1; TCPAC, TAM, TTA, TFP 0: CPACR_EL1 traps before the MMU is on")
        .layout(Layout::Own),
    row(reg::CPTR_EL2, 1 << 8, has::NO_SVE, "TZ is RES1 without SVE").layout(Layout::Own),
    row(reg::CPTR_EL2, 1 << 12, has::NO_SME, "TSM is RES1 without SME").layout(Layout::Own),
    row(reg::CPTR_EL2, 3 << 20, has::ALWAYS, "FPEN; TCPAC, TAM, TTA 0: floating point traps").layout(Layout::Host),
    row(reg::CPTR_EL2, 3 << 16, has::SVE, "ZEN: SVE traps").layout(Layout::Host),
    row(reg::CPTR_EL2, 3 << 24, has::SME, "SMEN: SME traps").layout(Layout::Host),
    row(reg::CPTR_EL2, 1 << 29, has::S1POE, "E0POE: POR_EL0 traps from EL0").layout(Layout::Host),
    row(reg::ZCR_EL2, 0x1FF, has::SVE, "LEN: vectors are silently shorter than they are"),
    row(reg::SMCR_EL2, 0x1FF, has::SME, "LEN: streaming vectors are silently shorter than they are"),
    row(reg::SMCR_EL2, 1 << 31, has::SME_FA64, "FA64: the full instruction set is off in streaming mode"),
    row(reg::SMCR_EL2, 1 << 30, has::SME2, "EZT0: ZT0 traps"),
    row(reg::SMPRIMAP_EL2, 0, has::SME, "streaming priorities would be mapped to UNKNOWN ones"),
    // D24.10. Timers of EL2 raise interrupts, and those go to the kernel.
    row(reg::CNTHCTL_EL2, 3, has::ALWAYS, "EL1PCEN, EL1PCTEN: physical timer and counter trap").layout(Layout::Own),
    row(reg::CNTHCTL_EL2, 3 << 10, has::ALWAYS, "EL1PTEN, EL1PCTEN: physical timer and counter trap")
        .layout(Layout::Host),
    row(
        reg::CNTVOFF_EL2,
        0,
        has::ALWAYS,
        "the virtual counter is off by an UNKNOWN amount: timers never end, silently",
    ),
    row(reg::CNTPOFF_EL2, 0, has::ECV_POFF, "the physical counter is off by an UNKNOWN amount"),
    row(reg::CNTHP_CTL_EL2, 0, has::ALWAYS, "EL2's physical timer interrupts the kernel"),
    row(reg::CNTHV_CTL_EL2, 0, has::VHE, "EL2's virtual timer interrupts the kernel"),
    // GIC architecture, IHI 0069, 12.2: with Enable 0 ICC_SRE_EL1 traps, with SRE 0 ICH_HCR_EL2 is no register.
    row(reg::ICC_SRE_EL2, 0xF, has::GICV3, "Enable, DIB, DFB, SRE: ICC_SRE_EL1 traps"),
    row(reg::ICH_HCR_EL2, 0, has::GICV3, "traps of ICC_* (TC, TALL0, TALL1, TSEI, TDIR), and virtual interrupts"),
    // Of GICv5 these are the reads, writes and instructions that exist; 0 traps each.
    row(reg::ICH_HFGRTR_EL2, 0x1F_00F7, has::GICV5, "reads of the GICv5 CPU interface trap"),
    row(reg::ICH_HFGWTR_EL2, 0x1E_0065, has::GICV5, "writes of the GICv5 CPU interface trap"),
    row(reg::ICH_HFGITR_EL2, 0x7FF, has::GICV5, "GICv5 instructions trap"),
    // D24.12.
    row(reg::MPAM2_EL2, 0, has::MPAM, "TRAPMPAM0EL1, TRAPMPAM1EL1, TIDR: MPAM registers trap; the default partition"),
    row(reg::MPAM2_EL2, 1 << 50, has::MPAM_SME, "EnMPAMSM: MPAMSM_EL1 traps"),
    row(reg::MPAMHCR_EL2, 0, has::MPAM_HCR, "TRAP_MPAMIDR_EL1, and virtual partitions by UNKNOWN maps"),
    row(reg::MPAMVPMV_EL2, 0, has::MPAM_HCR, "no virtual partition has a map"),
    row(reg::MPAMBW2_EL2, 7 << 50, has::MPAM_BW, "nTRAP_MPAMBWIDR_EL1, 0_EL1, 1_EL1: bandwidth registers trap"),
    row(reg::MPAMBW2_EL2, 1 << 49, has::MPAM_BW_SME, "nTRAP_MPAMBWSM_EL1: MPAMBWSM_EL1 traps"),
    row(reg::MPAMBWCAP_EL2, 0, has::MPAM_BW_HCR, "ENABLED: the kernel's bandwidth is capped, silently"),
];

/// After the others: EL1 as a kernel expects it (booting.rst), and what puts stage 2 and the traps in force.
pub(super) const LAST: &[Row] = &[
    row(reg::LORC_EL1, 0, has::LOR, "limited ordering regions of UNKNOWN extent"),
    row(reg::SCTLR_EL1, MMU_OFF, has::ALWAYS, "EL1 begins with its MMU on, or big-endian").layout(Layout::Own),
    row(reg::SCTLR_EL12, MMU_OFF, has::ALWAYS, "EL1 begins with its MMU on, or big-endian").layout(Layout::Host),
    row(reg::SCTLR2_EL1, 0, has::SCTLR2, "EL1 begins with features that it does not know").layout(Layout::Own),
    row(reg::SCTLR2_EL12, 0, has::SCTLR2, "EL1 begins with features that it does not know").layout(Layout::Host),
    row(reg::TCR2_EL1, 0, has::TCR2, "EL1 begins with descriptors that it does not know").layout(Layout::Own),
    row(reg::TCR2_EL12, 0, has::TCR2, "EL1 begins with descriptors that it does not know").layout(Layout::Host),
    row(reg::GCSCR_EL1, 0, has::GCS, "EL1 begins with a guarded control stack").layout(Layout::Own),
    row(reg::GCSCR_EL12, 0, has::GCS, "EL1 begins with a guarded control stack").layout(Layout::Host),
    row(reg::GCSCRE0_EL1, 0, has::GCS, "EL0 begins with a guarded control stack"),
    // D24.2.62. TGE, AMO, IMO, FMO, TWI and all other traps 0: firmware leaves some of them set.
    row(
        reg::HCR_EL2,
        1 << 31 | 1 << 0,
        has::ALWAYS,
        "RW and VM: EL1 is AArch64 and behind stage 2; all traps that are not named 0",
    ),
    row(
        reg::HCR_EL2,
        1 << 19,
        has::ALWAYS,
        "TSC: a second CPU would come up beside us at EL2, and OFF end the log unseen",
    ),
    row(reg::HCR_EL2, 3 << 40, has::PAUTH, "APK, API: keys and instructions of pointer authentication trap"),
    row(reg::HCR_EL2, 1 << 47, has::RAS_V1P1, "FIEN: fault injection registers trap"),
    row(reg::HCR_EL2, 1 << 53, has::CSV2_2, "EnSCXT: SCXTNUM_EL1 and SCXTNUM_EL0 trap"),
    row(reg::HCR_EL2, 1 << 56, has::MTE2, "ATA: allocation tags are off, and their registers trap"),
    row(reg::HCR_EL2, 1 << 34, has::ALWAYS, "E2H stays as it was found").layout(Layout::Host),
];
