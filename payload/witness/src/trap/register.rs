//! The system registers of the plan, by encoding (DDI 0487, D24.2 to D24.12, "Accessing"; C5.3 for the general form).

/// A system register: `MSR S<op0>_<op1>_C<crn>_C<crm>_<op2>, <Xt>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Register {
    /// 2 or 3.
    pub op0: u8,
    /// 0 to 7.
    pub op1: u8,
    /// 0 to 15.
    pub crn: u8,
    /// 0 to 15.
    pub crm: u8,
    /// 0 to 7.
    pub op2: u8,
    /// The architecture's name.
    pub name: &'static str,
}

impl core::fmt::Debug for Register {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { op0, op1, crn, crm, op2, name } = self;
        write!(f, "{name} (S{op0}_{op1}_C{crn}_C{crm}_{op2})")
    }
}

/// Hands every register of the plan to the macro `then`, as `(NAME, op0, op1, crn, crm, op2)`.
///
/// An `MSR` needs its register at compile time, so whoever carries the plan out makes its `match` from this list: a register
/// that is added here cannot be missing there.
#[macro_export]
macro_rules! for_each_register {
    ($then:ident) => {
        $then! {
            (HCR_EL2, 3, 4, 1, 1, 0),
            (HCRX_EL2, 3, 4, 1, 2, 2),
            (HACR_EL2, 3, 4, 1, 1, 7),
            (HSTR_EL2, 3, 4, 1, 1, 3),
            (VPIDR_EL2, 3, 4, 0, 0, 0),
            (VMPIDR_EL2, 3, 4, 0, 0, 5),
            (CPTR_EL2, 3, 4, 1, 1, 2),
            (ZCR_EL2, 3, 4, 1, 2, 0),
            (SMCR_EL2, 3, 4, 1, 2, 6),
            (SMPRIMAP_EL2, 3, 4, 1, 2, 5),
            (HFGRTR_EL2, 3, 4, 1, 1, 4),
            (HFGWTR_EL2, 3, 4, 1, 1, 5),
            (HFGITR_EL2, 3, 4, 1, 1, 6),
            (HDFGRTR_EL2, 3, 4, 3, 1, 4),
            (HDFGWTR_EL2, 3, 4, 3, 1, 5),
            (HAFGRTR_EL2, 3, 4, 3, 1, 6),
            (HFGRTR2_EL2, 3, 4, 3, 1, 2),
            (HFGWTR2_EL2, 3, 4, 3, 1, 3),
            (HFGITR2_EL2, 3, 4, 3, 1, 7),
            (HDFGRTR2_EL2, 3, 4, 3, 1, 0),
            (HDFGWTR2_EL2, 3, 4, 3, 1, 1),
            (MDCR_EL2, 3, 4, 1, 1, 1),
            (PMSCR_EL2, 3, 4, 9, 9, 0),
            (BRBCR_EL2, 2, 4, 9, 0, 0),
            (TRFCR_EL2, 3, 4, 1, 2, 1),
            (SPMACCESSR_EL2, 2, 4, 9, 13, 3),
            (CNTHCTL_EL2, 3, 4, 14, 1, 0),
            (CNTVOFF_EL2, 3, 4, 14, 0, 3),
            (CNTPOFF_EL2, 3, 4, 14, 0, 6),
            (CNTHP_CTL_EL2, 3, 4, 14, 2, 1),
            (CNTHV_CTL_EL2, 3, 4, 14, 3, 1),
            (ICC_SRE_EL2, 3, 4, 12, 9, 5),
            (ICH_HCR_EL2, 3, 4, 12, 11, 0),
            (ICH_HFGRTR_EL2, 3, 4, 12, 9, 4),
            (ICH_HFGWTR_EL2, 3, 4, 12, 9, 6),
            (ICH_HFGITR_EL2, 3, 4, 12, 9, 7),
            (MPAM2_EL2, 3, 4, 10, 5, 0),
            (MPAMHCR_EL2, 3, 4, 10, 4, 0),
            (MPAMVPMV_EL2, 3, 4, 10, 4, 1),
            (MPAMBW2_EL2, 3, 4, 10, 5, 4),
            (MPAMBWCAP_EL2, 3, 4, 10, 5, 6),
            (LORC_EL1, 3, 0, 10, 4, 3),
            (SCTLR_EL1, 3, 0, 1, 0, 0),
            (SCTLR_EL12, 3, 5, 1, 0, 0),
            (SCTLR2_EL1, 3, 0, 1, 0, 3),
            (SCTLR2_EL12, 3, 5, 1, 0, 3),
            (TCR2_EL1, 3, 0, 2, 0, 3),
            (TCR2_EL12, 3, 5, 2, 0, 3),
            (GCSCR_EL1, 3, 0, 2, 5, 0),
            (GCSCR_EL12, 3, 5, 2, 5, 0),
            (GCSCRE0_EL1, 3, 0, 2, 5, 2),
        }
    };
}

macro_rules! constants {
    ($(($name:ident, $op0:literal, $op1:literal, $crn:literal, $crm:literal, $op2:literal),)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "`.")]
            pub const $name: Register = Register {
                op0: $op0, op1: $op1, crn: $crn, crm: $crm, op2: $op2, name: stringify!($name),
            };
        )*
        /// All of them.
        pub const ALL: &[Register] = &[$($name),*];
    };
}
for_each_register!(constants);
