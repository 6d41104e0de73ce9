//! Every finding in a real table, and why it is there: a fault of the firmware or of the file, never of this reader.
//!
//! The tables lie beside the checkout and not in it: most of their sources state no licence.

#![expect(clippy::unwrap_used, reason = "a folder that cannot be read fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tables::iort::Iort;

/// Files, the findings that they have, and why.
const EXPLAINED: [(&[&str], &[&str], &str); 10] = [
    (
        &["aarch64-laptops/microsoft-surface-pro-12-in/IORT.aml"],
        &["E_LEN_GT_FILE"],
        "the file went through a conversion of text, which made EF BF BD of each byte from 0x80 on, in Length too",
    ),
    (
        &[
            "aarch64-laptops/microsoft-surface-romulus13_and_15/IORT.aml",
            "edk2-msm/Silicon_Qualcomm_sdm845_AcpiTables/IORT.aml",
            "edk2-msm/Silicon_Qualcomm_sm7125_AcpiTables_BuiltIn/IORT.aml",
            "mu-aloha/Platforms_SurfaceDuo1Pkg_AcpiTables_CustomizedACPI_BOOT_TEST/IORT.aml",
            "silicium-acpi/SoCs_Qualcomm_Hana/IORT-2.aml",
            "silicium-acpi/SoCs_Qualcomm_Kailua/IORT.aml",
            "silicium-acpi/SoCs_Qualcomm_SM7150/IORT.aml",
        ],
        &["W_CHECKSUM"],
        "the stored file's checksum was never made right; a loader that installs the table does that",
    ),
    (
        &["edk2-msm/Silicon_Qualcomm_msm8998_AcpiTables/IORT.aml"],
        &["W_CHECKSUM", "E_MAP_REF_ZERO"],
        "the SoC has no ITS, and the SMMU nodes' mappings to one refer to 0",
    ),
    (&["hp-envy-x2-msm8998/hp-envy-x2/IORT.aml"], &["E_MAP_REF_ZERO"], "as above: the shipped firmware of that SoC"),
    (
        &["mu-aloha/Platforms_WaipioPkg_Device_qcom-hdk8450_ACPI/IORT.aml"],
        &["W_MAP_OFF_BY_ONE", "E_MAP_REF_INNER"],
        "ID counts are written as N, and some mappings of the GPU refer into the middle of the SMMU's node",
    ),
    (
        &["silicium-acpi/SoCs_Qualcomm_Moorea/IORT-2.aml"],
        &["W_CHECKSUM", "E_COUNT_OVERRUN"],
        "the node count was left at 20 when two nodes were taken out",
    ),
    (
        &["niyas-sait-acpi/adlink-ava-ampere-altra-1/IORT.aml", "niyas-sait-acpi/arm-morello-fvp/IORT.aml"],
        &["W_MAP_SINGLE_COUNT"],
        "the SMMUs' own DeviceID is one ID, and its count is written as 1, not 0",
    ),
    (
        &[
            "qemu-virt/7.2.22-virt-smmuv3-3pxb-mixed/IORT.aml",
            "qemu-virt/7.2.22-virt-smmuv3-pxb/IORT.aml",
            "qemu-virt/7.2.22-virt-smmuv3-root-bypass-pxb/IORT.aml",
            "qemu-virt/7.2.22-virt-smmuv3/IORT.aml",
        ],
        &["W_MAP_OFF_BY_ONE"],
        "QEMU 7.2 writes ID counts as N where it cuts the SMMU's buses out of the ITS' (mended in 8.0)",
    ),
    (
        &["acpica-templates/template/IORT.aml"],
        &["E_MAP_REF_ZERO", "W_DUP_SMMU_BASE", "W_SMMU_BASE_ZERO"],
        "the template that iasl writes for people to fill in: fields are zero",
    ),
    (
        &["fwts-test/fwts-iort-0001/IORT.aml", "fwts-test/fwts-iort-0002/IORT.aml"],
        &[
            "E_ITS_COUNT",
            "E_MAP_ARRAY_OOB",
            "E_MAP_REF_INNER",
            "E_MAP_REF_OOB",
            "E_MAP_REF_ZERO",
            "N_RMR_ATTR",
            "W_CHECKSUM",
            "W_MAP_FLAGS",
            "W_MAP_SINGLE_COUNT",
            "W_MAP_SINGLE_TYPE",
            "W_NODE_REV",
            "W_RMR_FLAGS",
            "W_RMR_ZERO_LEN",
            "W_SMMU_BASE_ZERO",
        ],
        "made to be wrong, for the tests of fwts",
    ),
];

fn iorts(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "synthetic" {
            iorts(&path, found);
        } else if name.starts_with("IORT") && name.ends_with(".aml") {
            found.push(path);
        }
    }
}

#[test]
fn every_finding_in_a_real_table_is_explained() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    if !corpus.is_dir() {
        println!("no corpus beside the checkout: nothing read");
        return;
    }
    let mut paths = Vec::new();
    iorts(&corpus, &mut paths);
    let (mut seen, mut wrong, mut count) = (BTreeMap::<&str, BTreeSet<String>>::new(), Vec::new(), 0);
    for path in &paths {
        let name = path.strip_prefix(&corpus).unwrap().display().to_string();
        let bytes = std::fs::read(path).unwrap();
        let mut ids = BTreeSet::new();
        let _ = Iort::parse(&bytes, &mut |finding| {
            count += 1;
            ids.insert(finding.id().to_owned());
        });
        match EXPLAINED.iter().find(|(files, ..)| files.contains(&name.as_str())) {
            None if ids.is_empty() => {}
            None => wrong.push(format!("{name}: {ids:?} without an explanation")),
            Some((_, _, why)) if ids.is_empty() => wrong.push(format!("{name}: nothing found; {why}")),
            Some((_, _, why)) => seen.entry(why).or_default().extend(ids),
        }
    }
    for (_, ids, why) in EXPLAINED {
        let expected: BTreeSet<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        if seen.get(why) != Some(&expected) {
            wrong.push(format!("{why}: {:?}, explained are {expected:?}", seen.get(why)));
        }
    }
    let sound = paths.len() - EXPLAINED.iter().map(|(files, ..)| files.len()).sum::<usize>();
    println!("{} real tables, {sound} of them without a finding; {count} findings in the others", paths.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
