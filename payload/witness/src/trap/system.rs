//! System instructions that trap although the plan opens everything: a newer CPU's, most likely (DDI 0487, D24.2.45, EC 0x18).

use core::fmt;

/// ESR_ELx.EC of a trapped MSR, MRS or system instruction.
pub const SYSTEM: u64 = 0x18;

/// Which register or instruction, and with which general register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "field names are the architecture's")]
pub struct System {
    pub op0: u8,
    pub op1: u8,
    pub crn: u8,
    pub crm: u8,
    pub op2: u8,
    /// 31 is XZR.
    pub rt: u8,
    /// MRS, and not MSR or an instruction.
    pub is_read: bool,
}

/// Decodes ESR_EL2; `None` for another class.
#[must_use]
pub const fn decode(esr: u64) -> Option<System> {
    if esr >> 26 & 0x3F != SYSTEM {
        return None;
    }
    Some(System {
        op0: (esr >> 20 & 3) as u8,
        op2: (esr >> 17 & 7) as u8,
        op1: (esr >> 14 & 7) as u8,
        crn: (esr >> 10 & 0xF) as u8,
        rt: (esr >> 5 & 0x1F) as u8,
        crm: (esr >> 1 & 0xF) as u8,
        is_read: esr & 1 != 0,
    })
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { op0, op1, crn, crm, op2, rt, is_read } = self;
        match (*op0, is_read) {
            (0 | 1, _) => write!(f, "SYS #{op1}, C{crn}, C{crm}, #{op2}, X{rt} (op0 {op0})"),
            (_, true) => write!(f, "MRS X{rt}, S{op0}_{op1}_C{crn}_C{crm}_{op2}"),
            (_, false) => write!(f, "MSR S{op0}_{op1}_C{crn}_C{crm}_{op2}, X{rt}"),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    /// Syndromes as the table of facts has met them: PAuth keys, SMPRI_EL1, MDSCR_EL1.
    #[test]
    fn the_register_is_named_as_an_assembler_takes_it() {
        for (esr, text) in [
            // MSR APIAKEYLO_EL1, X0: op0 3, op1 0, CRn 2, CRm 1, op2 0.
            (0x6230_0802, "MSR S3_0_C2_C1_0, X0"),
            // MRS X1, SMPRI_EL1: op0 3, op1 0, CRn 1, CRm 2, op2 4.
            (0x6238_0425, "MRS X1, S3_0_C1_C2_4"),
            // DC CIVAC, X3: op0 1, op1 3, CRn 7, CRm 14, op2 1.
            (0x6212_DC7C, "SYS #3, C7, C14, #1, X3 (op0 1)"),
        ] {
            assert_eq!(decode(esr).map(|system| system.to_string()).as_deref(), Some(text));
        }
        assert_eq!(decode(0x9600_0000), None);
    }

    proptest! {
        #[test]
        fn fields_are_where_the_architecture_has_them(
            op0 in 0_u8..4, op1 in 0_u8..8, crn in 0_u8..16, crm in 0_u8..16, op2 in 0_u8..8, rt in 0_u8..32, is_read: bool,
        ) {
            let wide = u64::from;
            let iss = wide(op0) * 0x10_0000 + wide(op2) * 0x2_0000 + wide(op1) * 0x4000 + wide(crn) * 0x400
                + wide(rt) * 0x20 + wide(crm) * 2 + u64::from(is_read);
            let expected = System { op0, op1, crn, crm, op2, rt, is_read };
            prop_assert_eq!(decode(0x6200_0000 + iss), Some(expected));
        }
    }
}
