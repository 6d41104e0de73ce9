//! Data aborts of EL1 and EL0 that stage 2 makes (DDI 0487, D24.2.45 ESR_ELx, D24.2.76 HPFAR_EL2).

use super::transfer::Transfer;

/// ESR_ELx.EC of a data abort from a lower exception level.
pub const DATA_ABORT: u64 = 0x24;

/// What kind of fault stage 2 found, by ESR_EL2.DFSC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is mapped there.
    Translation,
    /// It is mapped, and not for this access.
    Permission,
    /// Anything else, by its DFSC: stage 2 as the witness makes it has none of them.
    Other(u8),
}

/// Where the access went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// To this intermediate physical address.
    Ipa(u64),
    /// HPFAR_EL2 is UNKNOWN after a permission fault: `AT S1E1R` (`S1E0R` from EL0) of this virtual address, and then
    /// [`ipa_of`] tells.
    Translate(u64),
    /// Nobody says: FAR_EL2 is not valid.
    Unknown,
}

/// A data abort, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort {
    /// What stage 2 found.
    pub fault: Fault,
    /// Where.
    pub place: Place,
    /// A store. So are cache maintenance and address translation instructions, and the stage 1 walk's update of a flag.
    pub is_write: bool,
    /// It was no access of the instruction, but a stage 1 table walk for one: the tables lie where they must not.
    pub is_table_walk: bool,
    /// By a cache maintenance or address translation instruction.
    pub is_maintenance: bool,
    /// With acquire or release semantics, by the syndrome.
    pub is_ordered: bool,
    /// What the instruction moves, where the syndrome says so; else the instruction has to be looked at.
    pub transfer: Option<Transfer>,
}

/// Decodes ESR_EL2, FAR_EL2 and HPFAR_EL2; `None` where the exception is none of a data access from below.
#[must_use]
pub fn decode(esr: u64, far: u64, hpfar: u64) -> Option<Abort> {
    if esr >> 26 & 0x3F != DATA_ABORT {
        return None;
    }
    let is = |bit: u32| esr >> bit & 1 != 0;
    let dfsc = (esr & 0x3F) as u8;
    let fault = match dfsc {
        // Levels 0 to 3, and -1 with FEAT_LPA2.
        0x04..=0x07 | 0x2B => Fault::Translation,
        0x0C..=0x0F => Fault::Permission,
        other => Fault::Other(other),
    };
    let is_table_walk = is(7);
    // FnV is for external aborts; the rest of this is then not known either.
    let is_far_valid = !is(10);
    let place = match fault {
        // The page of the walk; its word is not said.
        Fault::Translation | Fault::Permission if is_table_walk => Place::Ipa(page(hpfar)),
        Fault::Translation if is_far_valid => Place::Ipa(page(hpfar) | far & 0xFFF),
        Fault::Permission if is_far_valid => Place::Translate(far),
        _ => Place::Unknown,
    };
    let is_maintenance = is(8);
    // LST names the 64-byte forms (FEAT_LS64), which move eight registers.
    let is_single = esr >> 11 & 3 == 0;
    let has_syndrome = is(24) && is_single && !is_table_walk && !is_maintenance;
    let transfer = has_syndrome.then(|| Transfer {
        register: (esr >> 16 & 0x1F) as u8,
        bytes: 1 << (esr >> 22 & 3),
        is_signed: is(21),
        is_wide: is(15),
        is_vector: false,
    });
    Some(Abort {
        fault,
        place,
        is_write: is(6),
        is_table_walk,
        is_maintenance,
        is_ordered: has_syndrome && is(14),
        transfer,
    })
}

/// Where an access or a fetch found nothing mapped; `None` for any other fault. The two classes share their fault codes.
#[must_use]
pub const fn unmapped(esr: u64, far: u64, hpfar: u64) -> Option<u64> {
    let is_walk = esr >> 7 & 1 != 0;
    match esr & 0x3F {
        0x04..=0x07 | 0x2B if is_walk => Some(page(hpfar)),
        0x04..=0x07 | 0x2B if esr >> 10 & 1 == 0 => Some(page(hpfar) | far & 0xFFF),
        _ => None,
    }
}

/// HPFAR_EL2.FIPA, with FEAT_D128 as wide as 47:4, is bits 55:12.
const fn page(hpfar: u64) -> u64 {
    (hpfar & 0xFFFF_FFFF_FFF0) << 8
}

/// The intermediate physical address that `AT S1E1R` found, by PAR_EL1 (D24.2.145) and the address that was asked for.
///
/// `None` where stage 1 does not translate it any more (PAR_EL1.F).
#[must_use]
pub const fn ipa_of(par: u64, virtual_address: u64) -> Option<u64> {
    if par & 1 != 0 {
        return None;
    }
    Some(par & 0x000F_FFFF_FFFF_F000 | virtual_address & 0xFFF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EC: u64 = DATA_ABORT << 26;
    const IL: u64 = 1 << 25;

    #[test]
    fn a_read_of_a_frame_and_a_store_to_a_table() {
        // LDR W3, [X1] of SMMU_CR0ACK, level 3: ISV, SAS word, SRT 3.
        let abort = decode(0x9383_0007, 0xFFFF_8000_8123_4024, 0x0009_0500);
        let transfer = Transfer::unsigned(3, 4);
        let expected = Abort {
            fault: Fault::Translation,
            place: Place::Ipa(0x0905_0024),
            is_write: false,
            is_table_walk: false,
            is_maintenance: false,
            is_ordered: false,
            transfer: Some(transfer),
        };
        assert_eq!(abort, Some(expected));
        // STR X8, [X0] to a read-only table: SF, SAS doubleword, WnR; HPFAR is UNKNOWN.
        let abort = decode(0x93C8_804F, 0xFFFF_0000_1E00_0408, 0xFFFF_FFFF_FFFF_FFFF).unwrap_or(expected);
        assert_eq!((abort.fault, abort.is_write), (Fault::Permission, true));
        assert_eq!(abort.place, Place::Translate(0xFFFF_0000_1E00_0408));
        assert_eq!(abort.transfer, Some(Transfer::unsigned(8, 8)));
        assert_eq!(ipa_of(0xFF00_0000_5E00_0B80, 0xFFFF_0000_1E00_0408), Some(0x5E00_0408));
        assert_eq!(ipa_of(0x0B81, 0), None);
    }

    #[test]
    fn other_exceptions_are_no_data_aborts() {
        for class in (0..64).filter(|class| *class != DATA_ABORT) {
            assert_eq!(decode(class << 26 | IL | 0x7, 0, 0), None, "EC {class:#x}");
        }
    }

    #[test]
    fn without_a_syndrome_nothing_is_said_to_move() {
        let moves = |esr: u64| decode(EC | IL | 0x07 | esr, 0, 0).and_then(|abort| abort.transfer).is_some();
        assert!(moves(1 << 24));
        assert!(!moves(0), "ISV 0");
        assert!(!moves(1 << 24 | 1 << 8), "cache maintenance");
        assert!(!moves(1 << 24 | 1 << 7), "a table walk");
        assert!(!moves(1 << 24 | 2 << 11), "64 bytes");
    }

    #[test]
    fn an_invalid_far_or_another_fault_is_nowhere() {
        let place = |iss: u64| decode(EC | IL | iss, 0x1234, 0x56_7890).map(|abort| abort.place);
        assert_eq!(place(0x10 | 1 << 10), Some(Place::Unknown));
        assert_eq!(place(0x07 | 1 << 10), Some(Place::Unknown));
        assert_eq!(place(0x21), Some(Place::Unknown));
        // Of a walk's permission fault HPFAR_EL2 is written, and FAR_EL2 is another address.
        assert_eq!(place(0x0F | 1 << 7), Some(Place::Ipa(0x5678_9000)));
        assert_eq!(place(0x2B), Some(Place::Ipa(0x5678_9234)));
    }

    proptest! {
        #[test]
        fn every_field_is_where_the_architecture_has_it(
            srt in 0_u64..32, sas in 0_u64..4, signed: bool, wide: bool, write: bool, page in 0_u64..1 << 36, far: u64,
        ) {
            let esr = EC | IL | 1 << 24 | sas << 22 | u64::from(signed) << 21 | srt << 16 | u64::from(wide) << 15
                | u64::from(write) << 6 | 0x06;
            let Some(abort) = decode(esr, far, page << 4) else { return Err(TestCaseError::fail("no abort")) };
            prop_assert_eq!(abort.place, Place::Ipa(page * 4096 + far % 4096));
            prop_assert_eq!(abort.is_write, write);
            let bytes = [1, 2, 4, 8][sas as usize];
            let expected = Transfer { is_signed: signed, is_wide: wide, ..Transfer::unsigned(srt as u8, bytes) };
            prop_assert_eq!(abort.transfer, Some(expected));
        }
    }
}
