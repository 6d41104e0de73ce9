//! What the CPU has: ID registers, and the features that one or two of their fields announce (DDI 0487, A2 and D24.2).

/// The ID registers that the plan asks, as read. One that the CPU does not have reads as 0; the last five must only be read
/// where the feature named with them is there, and stay 0 otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "field names are the architecture's, without ID_AA64 and _EL1")]
pub struct IdRegisters {
    pub pfr0: u64,
    pub pfr1: u64,
    pub pfr2: u64,
    pub dfr0: u64,
    pub dfr1: u64,
    pub dfr2: u64,
    pub mmfr0: u64,
    pub mmfr1: u64,
    pub mmfr3: u64,
    pub mmfr4: u64,
    pub isar1: u64,
    pub isar2: u64,
    pub smfr0: u64,
    pub midr: u64,
    pub mpidr: u64,
    /// PMCR_EL0; with [`PMU`].
    pub pmcr: u64,
    /// PMBIDR_EL1; with [`SPE`].
    pub pmbidr: u64,
    /// PMSIDR_EL1; with [`SPE`].
    pub pmsidr: u64,
    /// TRBIDR_EL1; with [`TRBE`].
    pub trbidr: u64,
    /// MPAMIDR_EL1; with [`MPAM`].
    pub mpamidr: u64,
}

/// A field of an ID register, and the values that announce something.
#[derive(Clone, Copy, Debug)]
struct Field {
    of: fn(&IdRegisters) -> u64,
    lowest_bit: u32,
    bits: u32,
    least: u64,
    most: u64,
}

impl Field {
    fn holds(&self, ids: &IdRegisters) -> bool {
        let value = (self.of)(ids) >> self.lowest_bit & ((1 << self.bits) - 1);
        (self.least..=self.most).contains(&value)
    }
}

/// Four bits, of at least this value (D24.1.3, "Principles of the ID scheme").
const fn least(of: fn(&IdRegisters) -> u64, lowest_bit: u32, least: u64) -> Field {
    Field { of, lowest_bit, bits: 4, least, most: 15 }
}

/// Four bits, of a value between these.
const fn within(of: fn(&IdRegisters) -> u64, lowest_bit: u32, least: u64, most: u64) -> Field {
    Field { of, lowest_bit, bits: 4, least, most }
}

/// One bit.
const fn bit(of: fn(&IdRegisters) -> u64, lowest_bit: u32, value: u64) -> Field {
    Field { of, lowest_bit, bits: 1, least: value, most: value }
}

/// Something that a CPU has or has not.
#[derive(Clone, Copy, Debug)]
pub struct Feature {
    /// The architecture's name.
    pub name: &'static str,
    /// It is there if all fields of one of these hold.
    any: &'static [&'static [Field]],
}

impl Feature {
    /// Whether a CPU with these ID registers has it.
    #[must_use]
    pub fn is_in(&self, ids: &IdRegisters) -> bool {
        self.any.iter().any(|all| all.iter().all(|field| field.holds(ids)))
    }
}

macro_rules! features {
    ($($(#[$doc:meta])* $name:ident = $text:literal: $([$($field:expr),*])|*;)*) => {
        $(
            $(#[$doc])*
            #[doc = concat!("`", $text, "`.")]
            pub const $name: Feature = Feature { name: $text, any: &[$(&[$($field),*]),*] };
        )*
        /// All of them.
        pub const ALL: &[Feature] = &[$($name),*];
    };
}

features! {
    ALWAYS = "EL2": [];
    AIE = "FEAT_AIE": [least(|ids| ids.mmfr3, 24, 1)];
    AMU = "FEAT_AMUv1": [least(|ids| ids.pfr0, 44, 1)];
    AMU_FGT = "FEAT_AMUv1 and FEAT_FGT": [least(|ids| ids.pfr0, 44, 1), least(|ids| ids.mmfr0, 56, 1)];
    BRBE = "FEAT_BRBE": [least(|ids| ids.dfr0, 52, 1)];
    CSV2_2 = "FEAT_CSV2_2 or FEAT_CSV2_1p2": [least(|ids| ids.pfr0, 56, 2)]
        | [within(|ids| ids.pfr0, 56, 1, 1), least(|ids| ids.pfr1, 32, 2)];
    D128 = "FEAT_D128": [least(|ids| ids.mmfr3, 32, 1)];
    DEBUG_V8P9 = "FEAT_Debugv8p9": [least(|ids| ids.dfr0, 0, 11)];
    EBEP = "FEAT_EBEP": [least(|ids| ids.dfr1, 48, 1)];
    EBEP_OR_PMU_SS = "FEAT_EBEP or FEAT_PMUv3_SS": [least(|ids| ids.dfr1, 48, 1)] | [least(|ids| ids.dfr0, 16, 1)];
    ECV_POFF = "FEAT_ECV_POFF": [least(|ids| ids.mmfr0, 60, 2)];
    FGT = "FEAT_FGT": [least(|ids| ids.mmfr0, 56, 1)];
    FGT2 = "FEAT_FGT2": [least(|ids| ids.mmfr0, 56, 2)];
    FPMR = "FEAT_FPMR": [least(|ids| ids.pfr2, 32, 1)];
    GCS = "FEAT_GCS": [least(|ids| ids.pfr1, 44, 1)];
    GICV3 = "GICv3 system registers": [least(|ids| ids.pfr0, 24, 1)];
    GICV5 = "FEAT_GCIE": [least(|ids| ids.pfr2, 12, 1)];
    HCX = "FEAT_HCX": [least(|ids| ids.mmfr1, 40, 1)];
    ITE = "FEAT_ITE": [least(|ids| ids.dfr1, 44, 1)];
    LOR = "FEAT_LOR": [least(|ids| ids.mmfr1, 16, 1)];
    LS64 = "FEAT_LS64": [least(|ids| ids.isar1, 60, 1)];
    LS64_V = "FEAT_LS64_V": [least(|ids| ids.isar1, 60, 2)];
    LS64_ACCDATA = "FEAT_LS64_ACCDATA": [least(|ids| ids.isar1, 60, 3)];
    MOPS = "FEAT_MOPS": [least(|ids| ids.isar2, 16, 1)];
    MPAM = "FEAT_MPAM": [least(|ids| ids.pfr0, 40, 1)] | [least(|ids| ids.pfr1, 16, 1)];
    MPAM_HCR = "FEAT_MPAM with MPAMIDR_EL1.HAS_HCR": [bit(|ids| ids.mpamidr, 17, 1)];
    MPAM_BW = "FEAT_MPAM with MPAMIDR_EL1.HAS_BW_CTRL": [bit(|ids| ids.mpamidr, 56, 1)];
    MPAM_SME = "FEAT_MPAM and FEAT_SME": [least(|ids| ids.pfr0, 40, 1), least(|ids| ids.pfr1, 24, 1)]
        | [least(|ids| ids.pfr1, 16, 1), least(|ids| ids.pfr1, 24, 1)];
    MPAM_BW_HCR = "FEAT_MPAM with MPAMIDR_EL1.HAS_BW_CTRL and HAS_HCR":
        [bit(|ids| ids.mpamidr, 56, 1), bit(|ids| ids.mpamidr, 17, 1)];
    MPAM_BW_SME = "FEAT_MPAM with MPAMIDR_EL1.HAS_BW_CTRL, and FEAT_SME":
        [bit(|ids| ids.mpamidr, 56, 1), least(|ids| ids.pfr1, 24, 1)];
    MTE2 = "FEAT_MTE2": [least(|ids| ids.pfr1, 8, 2)];
    /// Of two threads per core, where there is no EL3 to say so.
    MTPMU = "FEAT_MTPMU without EL3": [within(|ids| ids.dfr0, 48, 1, 1), within(|ids| ids.pfr0, 12, 0, 0)];
    NO_SME = "no FEAT_SME": [within(|ids| ids.pfr1, 24, 0, 0)];
    NO_SVE = "no FEAT_SVE": [within(|ids| ids.pfr0, 32, 0, 0)];
    PAUTH = "FEAT_PAuth": [least(|ids| ids.isar1, 4, 1)]
        | [least(|ids| ids.isar1, 8, 1)] | [least(|ids| ids.isar2, 12, 1)];
    PAUTH_LR = "FEAT_PAuth_LR": [least(|ids| ids.isar1, 4, 6)]
        | [least(|ids| ids.isar1, 8, 6)] | [least(|ids| ids.isar2, 12, 6)];
    PFAR = "FEAT_PFAR": [least(|ids| ids.pfr1, 60, 1)];
    PMU = "FEAT_PMUv3": [within(|ids| ids.dfr0, 8, 1, 14)];
    PMU_ICNTR = "FEAT_PMUv3_ICNTR": [least(|ids| ids.dfr1, 36, 1)];
    PMU_SS = "FEAT_PMUv3_SS": [least(|ids| ids.dfr0, 16, 1)];
    PMU_V3P9 = "FEAT_PMUv3p9": [within(|ids| ids.dfr0, 8, 9, 14)];
    POPS = "FEAT_PoPS": [least(|ids| ids.mmfr4, 0, 1)];
    RAS_V1P1 = "FEAT_RASv1p1": [least(|ids| ids.pfr0, 28, 2)]
        | [within(|ids| ids.pfr0, 28, 1, 1), least(|ids| ids.pfr1, 12, 1)];
    RAS_V2 = "FEAT_RASv2": [least(|ids| ids.pfr0, 28, 3)];
    S1PIE = "FEAT_S1PIE": [least(|ids| ids.mmfr3, 8, 1)];
    S1POE = "FEAT_S1POE": [least(|ids| ids.mmfr3, 16, 1)];
    S2POE = "FEAT_S2POE": [least(|ids| ids.mmfr3, 20, 1)];
    SCTLR2 = "FEAT_SCTLR2": [least(|ids| ids.mmfr3, 4, 1)];
    SEBEP = "FEAT_SEBEP": [least(|ids| ids.dfr0, 24, 1)];
    SME = "FEAT_SME": [least(|ids| ids.pfr1, 24, 1)];
    SME_FA64 = "FEAT_SME_FA64": [bit(|ids| ids.smfr0, 63, 1), least(|ids| ids.pfr1, 24, 1)];
    SME2 = "FEAT_SME2": [least(|ids| ids.pfr1, 24, 2)];
    SPE = "FEAT_SPE": [least(|ids| ids.dfr0, 32, 1)];
    /// Linux programs it where no higher level owns the buffer: PMBIDR_EL1.P is 0.
    SPE_OURS = "FEAT_SPE with PMBIDR_EL1.P 0": [least(|ids| ids.dfr0, 32, 1), bit(|ids| ids.pmbidr, 4, 0)];
    SPE_FDS = "FEAT_SPE_FDS": [least(|ids| ids.dfr0, 32, 1), bit(|ids| ids.pmsidr, 7, 1)];
    SPE_FNE = "FEAT_SPE_FnE": [least(|ids| ids.dfr0, 32, 1), bit(|ids| ids.pmsidr, 6, 1)];
    SPE_NVM = "FEAT_SPE_nVM": [least(|ids| ids.dfr2, 20, 1)];
    SPMU = "FEAT_SPMU": [least(|ids| ids.dfr1, 32, 1)];
    SRMASK = "FEAT_SRMASK": [least(|ids| ids.mmfr4, 44, 1)];
    STEP2 = "FEAT_STEP2": [least(|ids| ids.dfr2, 0, 1)];
    SVE = "FEAT_SVE": [least(|ids| ids.pfr0, 32, 1)];
    SYSREG128 = "FEAT_SYSREG128": [least(|ids| ids.isar2, 32, 1)];
    TCR2 = "FEAT_TCR2": [least(|ids| ids.mmfr3, 0, 1)];
    THE = "FEAT_THE": [least(|ids| ids.pfr1, 48, 1)];
    TRBE = "FEAT_TRBE": [least(|ids| ids.dfr0, 44, 1)];
    TRBE_MPAM = "FEAT_TRBE_MPAM": [least(|ids| ids.dfr0, 44, 1), least(|ids| ids.trbidr, 12, 1)];
    TRF = "FEAT_TRF": [least(|ids| ids.dfr0, 40, 1)];
    VHE = "FEAT_VHE": [least(|ids| ids.mmfr1, 8, 1)];
}
