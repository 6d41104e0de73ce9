//! The plan on CPUs that exist, against values written down by hand; and properties of the table itself.

extern crate std;

use super::*;
use crate::trap::feature;
use crate::trap::register as reg;
use std::vec;
use std::vec::Vec;

/// ID registers by the Technical Reference Manuals, with a GICv3.
fn cortex_a72() -> IdRegisters {
    IdRegisters {
        pfr0: 0x0100_2222,
        dfr0: 0x1030_5106,
        mmfr0: 0x1124,
        midr: 0x410F_D083,
        mpidr: 0x8000_0000,
        pmcr: 0x4102_3000,
        ..IdRegisters::default()
    }
}

fn neoverse_n1() -> IdRegisters {
    IdRegisters {
        pfr0: 0x1100_0000_1111_1112,
        pfr1: 0x20,
        dfr0: 0x1_1030_5408,
        mmfr0: 0x10_1125,
        mmfr1: 0x1021_2122,
        isar1: 0x10_0001,
        midr: 0x414F_D0C1,
        mpidr: 0x8100_0100,
        pmcr: 0x410C_3000,
        ..IdRegisters::default()
    }
}

fn neoverse_v1() -> IdRegisters {
    IdRegisters {
        pfr0: 0x1101_1101_2111_1112,
        pfr1: 0x20,
        dfr0: 0x01F2_1030_5519,
        mmfr0: 0x10_1125,
        mmfr1: 0x1021_2122,
        isar1: 0x0011_1000_1121_1032,
        midr: 0x411F_D402,
        mpidr: 0x8100_0000,
        pmcr: 0x4121_3000,
        mpamidr: 0x0000_0001_0006_003F,
        ..IdRegisters::default()
    }
}

/// QEMU 10's `max` with `gic-version=3`.
fn max() -> IdRegisters {
    IdRegisters {
        pfr0: 0x1301_0011_2111_1112,
        pfr1: 0x10_0100_0321,
        dfr0: 0x1000_0000_1030_561A,
        mmfr0: 0x2100_0322_0010_1126,
        mmfr1: 0x0110_1121_1031_2122,
        isar1: 0x0111_1101_1021_1152,
        isar2: 0x0011_0012,
        smfr0: 1 << 63,
        midr: 0x000F_0510,
        mpidr: 0x8000_0000,
        pmcr: 0x3000,
        ..IdRegisters::default()
    }
}

/// Everything that any row asks for.
fn all() -> IdRegisters {
    let mut ids = IdRegisters {
        pfr0: u64::MAX,
        pfr1: u64::MAX,
        pfr2: u64::MAX,
        dfr0: 0xFFFF_FFFF_FFFF_FEFF,
        dfr1: u64::MAX,
        dfr2: u64::MAX,
        mmfr0: u64::MAX,
        mmfr1: u64::MAX,
        mmfr3: u64::MAX,
        mmfr4: u64::MAX,
        isar1: u64::MAX,
        isar2: u64::MAX,
        smfr0: u64::MAX,
        pmsidr: u64::MAX,
        trbidr: u64::MAX,
        mpamidr: u64::MAX,
        ..IdRegisters::default()
    };
    ids.pmcr = 31 << 11;
    (ids.midr, ids.mpidr) = (1, 2);
    ids
}

fn values(ids: &IdRegisters, e2h: bool) -> Vec<(Register, u64)> {
    plan(ids, e2h).map(|write| (write.register, write.value)).collect()
}

#[test]
fn cortex_a72_has_neither_vhe_nor_anything_newer() {
    let expected = vec![
        (reg::HACR_EL2, 0),
        (reg::HSTR_EL2, 0),
        (reg::VPIDR_EL2, 0x410F_D083),
        (reg::VMPIDR_EL2, 0x8000_0000),
        (reg::CPTR_EL2, 0x33FF),
        (reg::CNTHCTL_EL2, 3),
        (reg::CNTVOFF_EL2, 0),
        (reg::CNTHP_CTL_EL2, 0),
        (reg::ICC_SRE_EL2, 0xF),
        (reg::ICH_HCR_EL2, 0),
        (reg::MDCR_EL2, 6),
        (reg::SCTLR_EL1, 0x30D0_0980),
        (reg::HCR_EL2, 0x8008_0001),
    ];
    assert_eq!(values(&cortex_a72(), false), expected);
}

#[test]
fn neoverse_n1_has_profiling_and_regions() {
    let expected = vec![
        (reg::HACR_EL2, 0),
        (reg::HSTR_EL2, 0),
        (reg::VPIDR_EL2, 0x414F_D0C1),
        (reg::VMPIDR_EL2, 0x8100_0100),
        (reg::CPTR_EL2, 0x33FF),
        (reg::CNTHCTL_EL2, 3),
        (reg::CNTVOFF_EL2, 0),
        (reg::CNTHP_CTL_EL2, 0),
        (reg::CNTHV_CTL_EL2, 0),
        (reg::ICC_SRE_EL2, 0xF),
        (reg::ICH_HCR_EL2, 0),
        (reg::MDCR_EL2, 0x3006),
        (reg::PMSCR_EL2, 0x50),
        (reg::LORC_EL1, 0),
        (reg::SCTLR_EL1, 0x30D0_0980),
        (reg::HCR_EL2, 0x8008_0001),
    ];
    assert_eq!(values(&neoverse_n1(), false), expected);
}

#[test]
fn neoverse_v1_in_the_host_layout() {
    let expected = vec![
        (reg::HACR_EL2, 0),
        (reg::HSTR_EL2, 0),
        (reg::VPIDR_EL2, 0x411F_D402),
        (reg::VMPIDR_EL2, 0x8100_0000),
        (reg::CPTR_EL2, 0x33_0000),
        (reg::ZCR_EL2, 0x1FF),
        (reg::CNTHCTL_EL2, 0xC00),
        (reg::CNTVOFF_EL2, 0),
        (reg::CNTHP_CTL_EL2, 0),
        (reg::CNTHV_CTL_EL2, 0),
        (reg::ICC_SRE_EL2, 0xF),
        (reg::ICH_HCR_EL2, 0),
        (reg::MPAM2_EL2, 0),
        (reg::MPAMHCR_EL2, 0),
        (reg::MPAMVPMV_EL2, 0),
        (reg::MDCR_EL2, 0x3006),
        (reg::PMSCR_EL2, 0x50),
        (reg::TRFCR_EL2, 0),
        (reg::LORC_EL1, 0),
        (reg::SCTLR_EL12, 0x30D0_0980),
        (reg::HCR_EL2, 0x8304_8008_0001 | 1 << 34),
    ];
    assert_eq!(values(&neoverse_v1(), true), expected);
    let own = values(&neoverse_v1(), false);
    assert!(own.contains(&(reg::CPTR_EL2, 0x32FF)) && own.contains(&(reg::HCR_EL2, 0x8300_8008_0001)), "{own:x?}");
}

#[test]
fn max_has_fine_grained_traps_and_streaming_vectors() {
    let expected = vec![
        (reg::HCRX_EL2, 0x800),
        (reg::HACR_EL2, 0),
        (reg::HSTR_EL2, 0),
        (reg::VPIDR_EL2, 0x000F_0510),
        (reg::VMPIDR_EL2, 0x8000_0000),
        (reg::CPTR_EL2, 0x22FF),
        (reg::ZCR_EL2, 0x1FF),
        (reg::SMCR_EL2, 0x8000_01FF),
        (reg::SMPRIMAP_EL2, 0),
        (reg::CNTHCTL_EL2, 3),
        (reg::CNTVOFF_EL2, 0),
        (reg::CNTPOFF_EL2, 0),
        (reg::CNTHP_CTL_EL2, 0),
        (reg::CNTHV_CTL_EL2, 0),
        (reg::ICC_SRE_EL2, 0xF),
        (reg::ICH_HCR_EL2, 0),
        (reg::HFGRTR_EL2, 3 << 54),
        (reg::HFGWTR_EL2, 3 << 54),
        (reg::HFGITR_EL2, 0),
        (reg::HDFGRTR_EL2, 0),
        (reg::HDFGWTR_EL2, 0),
        (reg::MDCR_EL2, 6),
        (reg::LORC_EL1, 0),
        (reg::SCTLR_EL1, 0x30D0_0980),
        (reg::HCR_EL2, 0x0120_8300_8008_0001),
    ];
    assert_eq!(values(&max(), false), expected);
    assert!(values(&max(), true).contains(&(reg::CPTR_EL2, 0x0333_0000)));
}

/// Bits that `booting.rst` demands of EL2, whatever else a CPU has; not made from the table.
#[test]
fn a_cpu_that_has_everything_traps_nothing_that_linux_counts_on() {
    let plan = values(&all(), false);
    let value = |register| plan.iter().find(|(known, _)| *known == register).map(|(_, value)| *value);
    for (register, ones, zeros) in [
        (reg::HCRX_EL2, 1 << 11 | 1 << 14 | 1 << 22 | 1 << 15 | 7, 1 << 10 | 1 << 9 | 1 << 3),
        (reg::HFGRTR_EL2, 0x7F << 52 | 1 << 59 | 1 << 58 | 1 << 57, 0x3_FFFF_FFFF_FFFF),
        (reg::HFGITR_EL2, 0x1F << 55, 0x7F_FFFF_FFFF_FFFF),
        (reg::HDFGRTR_EL2, 0xF << 59, 1 << 63 | 0x7FF_FFFF_FFFF_FFFF),
        (reg::HDFGWTR_EL2, 7 << 60, 1 << 59 | 0xFFF_FFFF),
        (reg::HDFGRTR2_EL2, 7 << 2 | 1 << 5 | 1 << 19, 1 << 21),
        (reg::HDFGWTR2_EL2, 7 << 2 | 1 << 5 | 1 << 19 | 1 << 21, 1 << 6 | 3 << 17),
        (reg::HFGRTR2_EL2, 0x7FFF, 0),
        (reg::HFGWTR2_EL2, 0x7FFD, 2),
        (reg::HFGITR2_EL2, 2, 1),
        (reg::HAFGRTR_EL2, 0, u64::MAX),
        (reg::SMCR_EL2, 3 << 30 | 0xF, 0),
        (reg::MPAM2_EL2, 1 << 50, 1 << 58 | 3 << 48 | 0xFFFF_FFFF_FFFF),
        (reg::MPAMBW2_EL2, 0xF << 49, 0xFFFF_FFFF),
        (reg::MPAMBWCAP_EL2, 0, 3 << 62),
        (reg::MDCR_EL2, 3 << 12 | 3 << 24 | 1 << 15 | 1 << 43 | 31, 0xFE0 | 1 << 14 | 1 << 19 | 1 << 27),
    ] {
        let value = value(register).unwrap_or_else(|| panic!("{register:?} is not written"));
        assert_eq!((value & ones, value & zeros), (ones, 0), "{register:?} is {value:#x}");
    }
}

#[test]
fn every_register_of_the_list_is_planned_once_and_together() {
    let mut planned = Vec::new();
    for row in rows() {
        if planned.last() != Some(&row.register) {
            assert!(!planned.contains(&row.register), "{:?} is in two places", row.register);
            planned.push(row.register);
        }
    }
    planned.sort();
    let mut listed = reg::ALL.to_vec();
    listed.sort();
    assert_eq!(planned, listed);
    let mut encodings: Vec<_> = listed.iter().map(|r| (r.op0, r.op1, r.crn, r.crm, r.op2)).collect();
    encodings.dedup();
    assert_eq!(encodings.len(), listed.len(), "two registers with one encoding");
}

#[test]
fn every_feature_decides_a_row_and_every_row_has_its_feature() {
    let unused: Vec<_> =
        feature::ALL.iter().filter(|one| !rows().any(|row| row.feature.name == one.name)).map(|one| one.name).collect();
    // These two only say which ID registers may be read.
    assert_eq!(unused, ["FEAT_AMUv1"]);
    for row in rows().filter(|row| !["EL2", "no FEAT_SME", "no FEAT_SVE"].contains(&row.feature.name)) {
        assert!(!row.feature.is_in(&IdRegisters::default()), "{:?} without {}", row.register, row.feature.name);
        let is_possible =
            row.feature.is_in(&all()) || row.feature.is_in(&max()) || row.feature.name.contains("without EL3");
        assert!(is_possible, "{:?} is never written: {}", row.register, row.feature.name);
    }
}

/// No row is idle: leaving one out changes what is written on a CPU that asks for it.
#[test]
fn a_row_that_is_left_out_is_noticed() {
    let without_el3 = IdRegisters { pfr0: 0, dfr0: 1 << 48, ..IdRegisters::default() };
    // The registers without the features that have bits in them.
    let bare = IdRegisters { mmfr0: 2 << 56, mmfr1: 1 << 40, ..IdRegisters::default() };
    let models = [cortex_a72(), neoverse_n1(), neoverse_v1(), max(), all(), without_el3, bare];
    for (left_out, row) in rows().enumerate() {
        let is_noticed = models.iter().any(|ids| {
            [false, true].iter().any(|e2h| {
                let rest = rows().enumerate().filter(|(index, _)| *index != left_out).map(|(_, row)| row);
                writes(rest, *ids, *e2h).map(|w| (w.register, w.value)).ne(values(ids, *e2h))
            })
        });
        assert!(is_noticed, "{row:?}");
    }
}

#[test]
fn no_bit_brings_a_register_that_is_not_there() {
    let ids = IdRegisters { mmfr0: 0, mmfr1: 0, ..all() };
    let names: Vec<_> = values(&ids, false).iter().map(|(register, _)| register.name).collect();
    assert!(
        !names.iter().any(|name| name.starts_with("HFG") || name.starts_with("HDFG") || *name == "HCRX_EL2"),
        "{names:?}"
    );
}

#[test]
fn visits_when_idle_are_one_bit_more() {
    let with = writes(rows().chain([&VISITS]), max(), true).last();
    let without = plan(&max(), true).last();
    let value = without.map(|write| (write.register, write.value | 0x2000));
    assert_eq!(with.map(|write| (write.register, write.value)), value);
    assert_eq!(value.map(|(register, _)| register), Some(reg::HCR_EL2));
}

#[test]
fn the_two_layouts_write_the_same_registers_but_for_the_names_of_el1() {
    let names = |e2h| -> Vec<&str> {
        plan(&all(), e2h).map(|write| write.register.name.trim_end_matches("_EL12").trim_end_matches("_EL1")).collect()
    };
    assert_eq!(names(false), names(true));
}

/// The plan with visits differs in two bits, of two registers, on a CPU with a GICv3; HCR_EL2 stays the last.
#[test]
fn visits_add_two_bits() {
    let ids = IdRegisters { pfr0: 1 << 24, ..IdRegisters::default() };
    for e2h in [false, true] {
        let open: Vec<Write> = unmapped(&ids, e2h).collect();
        let (plain, visiting): (Vec<Write>, Vec<Write>) = (plan(&ids, e2h).collect(), visiting(&ids, e2h).collect());
        assert_eq!(plain.len(), visiting.len());
        let changed: Vec<_> = plain
            .iter()
            .zip(&visiting)
            .filter(|(old, new)| old != new)
            .map(|(old, new)| (new.register.name, old.register == new.register, old.value ^ new.value))
            .collect();
        assert_eq!(changed, [("ICH_HCR_EL2", true, 1 << 12), ("HCR_EL2", true, 1 << 13)]);
        let opened = plain.iter().zip(&open).filter(|(old, new)| old != new);
        let opened: Vec<_> = opened.map(|(old, new)| (new.register.name, old.value ^ new.value)).collect();
        assert_eq!(opened, [("HCR_EL2", 1)], "unmapped: without stage 2, and nothing else");
        assert_eq!(visiting.last().map(|write| write.register.name), Some("HCR_EL2"));
    }
}
