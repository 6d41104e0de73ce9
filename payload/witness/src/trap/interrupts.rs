//! What a kernel wants of its CPU interface for interrupts, trapped by ICH_HCR_EL2.TALL1 (IHI 0069, 12.2): the same is done at EL2.

use super::system::System;

/// Hands the registers of group 1 to the macro `then`, as `(crm, op2)` of `S3_0_C12_C<crm>_<op2>`: ICC_AP1R0_EL1 to ICC_AP1R3_EL1,
/// ICC_NMIAR1_EL1, ICC_IAR1_EL1, ICC_EOIR1_EL1, ICC_HPPIR1_EL1, ICC_BPR1_EL1, ICC_IGRPEN1_EL1.
#[macro_export]
macro_rules! for_each_group_1_register {
    ($then:ident) => {
        $then! { (9, 0), (9, 1), (9, 2), (9, 3), (9, 5), (12, 0), (12, 1), (12, 2), (12, 3), (12, 7) }
    };
}

macro_rules! places {
    ($(($crm:literal, $op2:literal)),*) => {
        const REGISTERS: &[(u8, u8)] = &[$(($crm, $op2)),*];
    };
}
for_each_group_1_register!(places);

/// Whether the instruction is an access to one of them.
#[must_use]
pub fn is_one(system: &System) -> bool {
    let System { op0, op1, crn, crm, op2, .. } = *system;
    (op0, op1, crn) == (3, 0, 12) && REGISTERS.contains(&(crm, op2))
}

/// INTIDs that are no interrupts (IHI 0069, 2.2.1): what was pending is gone, or is not for this security state.
const SPECIAL: core::ops::RangeInclusive<u32> = 1020..=1023;

/// What ICC_HPPIR1_EL1 means at EL2 while only the timer is EL2's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The timer's interrupt.
    Timer,
    /// None.
    Nobody,
    /// Something that the kernel has set up.
    Kernel,
}

/// Whose the pending interrupt is.
#[must_use]
pub fn whose(intid: u32, timer: u32) -> Whose {
    match intid {
        _ if intid == timer => Whose::Timer,
        _ if SPECIAL.contains(&intid) => Whose::Nobody,
        _ => Whose::Kernel,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trap::system;

    #[test]
    fn an_interrupt_that_is_gone_is_nobodys() {
        assert_eq!(whose(26, 26), Whose::Timer);
        // SGI, the kernel's timer, SPI, the last of them, LPI; of an extended range.
        for intid in [0, 27, 30, 32, 1019, 1056, 4096, 8192] {
            assert_eq!(whose(intid, 26), Whose::Kernel, "{intid}");
        }
        (1020..1024).for_each(|intid| assert_eq!(whose(intid, 26), Whose::Nobody, "{intid}"));
    }

    #[test]
    fn a_kernel_that_takes_an_interrupt_is_known() {
        // MRS X0, ICC_IAR1_EL1; MSR ICC_EOIR1_EL1, X0.
        for (esr, is_read) in [(0x6230_3019 | 1, true), (0x6232_3018, false)] {
            let system = system::decode(esr).expect("a system register");
            assert!(is_one(&system), "{system}");
            assert_eq!(system.is_read, is_read);
        }
        // ICC_SGI1R_EL1 and ICC_PMR_EL1 are others.
        let other = |crn, crm, op2| System { op0: 3, op1: 0, crn, crm, op2, rt: 0, is_read: false };
        assert!(!is_one(&other(12, 11, 5)) && !is_one(&other(4, 6, 0)) && is_one(&other(12, 12, 7)));
    }
}
