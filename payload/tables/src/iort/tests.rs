extern crate std;

use super::amend::{AmendError, RmrWish, amend, amended_len};
use super::*;
use crate::finding::Severity;
use addr::{Bdf, PhysAddr, StreamId};
use std::vec::Vec;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../../ci/fixtures/tables/", $name))
    };
}

const VIRT: &[u8] = fixture!("qemu-virt/IORT.aml");
const TWO_SMMUS: &[u8] = fixture!("qemu-virt/IORT-two-smmus.aml");
const REVISION_3: &[u8] = fixture!("qemu-virt/IORT-revision-3.aml");
const OFF_BY_ONE: &[u8] = fixture!("qemu-virt/IORT-off-by-one.aml");
const LOOP: &[u8] = fixture!("synthetic/loop-three-rcs.aml");
const ZERO_LENGTH: &[u8] = fixture!("synthetic/node-length-zero-i0.aml");
const ODD_LENGTHS: &[u8] = fixture!("synthetic/odd-node-lengths.aml");
const OWN_DEVICE_ID: &[u8] = fixture!("synthetic/smmuv3-msi-devid-index0.aml");
const DRAFT_RMR: &[u8] = fixture!("synthetic/rmr-rev0-draft.aml");
const THREE_STREAMS: &[u8] = fixture!("synthetic/two-smmus-three-streams-three-ranges.aml");
const ACCEL: &[u8] = fixture!("synthetic/qemu-accel-mixed.aml");

fn parse(bytes: &[u8]) -> (Iort<'_>, Vec<Finding>) {
    let mut findings = Vec::new();
    let iort = Iort::parse(bytes, &mut |finding| findings.push(finding)).unwrap();
    (iort, findings)
}

fn ids(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(Finding::id).collect()
}

/// Sets bytes and mends the checksum.
fn patched(bytes: &[u8], patches: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, patch) in patches {
        bytes[*at..at + patch.len()].copy_from_slice(patch);
    }
    bytes[9] = 0;
    bytes[9] = crate::sdt::checksum(&bytes).wrapping_neg();
    bytes
}

fn stream(iort: &Iort<'_>, bdf: Bdf) -> Option<(u64, u32)> {
    iort.resolve(bdf).smmu.map(|smmu| (smmu.base.0, smmu.stream.0))
}

#[test]
fn qemu_virt_reads_without_findings() {
    let (iort, findings) = parse(VIRT);
    assert_eq!(ids(&findings), [""; 0]);
    let [smmu] = iort.smmus().collect::<Vec<_>>()[..] else { panic!("one SMMU") };
    assert_eq!((smmu.base, smmu.model, smmu.gsivs), (PhysAddr(0x0905_0000), 0, [106, 107, 109, 108]));
    assert!(smmu.is_coherent_override() && smmu.proximity.is_none());
    let [complex] = iort.root_complexes().collect::<Vec<_>>()[..] else { panic!("one root complex") };
    assert_eq!((complex.segment, complex.has_ats(), complex.address_limit), (0, false, Some(64)));
}

#[test]
fn requester_ids_become_stream_and_device_ids() {
    let (iort, _) = parse(VIRT);
    let resolution = iort.resolve(Bdf::new(0, 0, 2, 0));
    assert_eq!(resolution.smmu.unwrap().stream, StreamId(0x10));
    assert_eq!(resolution.its.unwrap().device_id, 0x10);
    assert_eq!(resolution.its.unwrap().group.ids().collect::<Vec<_>>(), [0]);
    // Buses that nobody has enumerated go to the ITS and to no SMMU.
    let unmapped = iort.resolve(Bdf::new(0, 1, 0, 0));
    assert!(unmapped.smmu.is_none() && unmapped.its.unwrap().device_id == 0x100);
    assert_eq!(iort.resolve(Bdf::new(1, 0, 2, 0)), Resolution::default());
    let (iort, _) = parse(TWO_SMMUS);
    assert_eq!(stream(&iort, Bdf::new(0, 0, 2, 0)).unwrap().1, 0x10);
    assert_eq!(iort.smmus().count(), 2);
}

#[test]
fn revision_3_reads_like_revision_5() {
    let (old, findings) = parse(REVISION_3);
    assert!(findings.is_empty() && !old.has_rmrs_for_linux());
    let (new, _) = parse(VIRT);
    let bdf = Bdf::new(0, 0, 3, 1);
    assert_eq!(old.resolve(bdf).smmu, new.resolve(bdf).smmu);
}

#[test]
fn one_too_long_ranges_are_ambiguous_at_their_ends_only() {
    let (iort, findings) = parse(OFF_BY_ONE);
    assert!(findings.len() > 1 && findings.iter().all(|finding| finding.id() == "W_MAP_OFF_BY_ONE"), "{findings:?}");
    let shared = u16::try_from(findings[0].found.unwrap()).unwrap();
    let ambiguous = iort.resolve(Bdf { segment: 0, rid: shared });
    assert!(matches!(ambiguous.trouble, Some(Trouble::Ambiguous { .. })) && ambiguous.smmu.is_none());
    assert!(iort.resolve(Bdf { segment: 0, rid: shared - 1 }).trouble.is_none());
}

#[test]
fn loop_ends_the_walk_and_is_reported() {
    let (iort, findings) = parse(LOOP);
    assert!(ids(&findings).contains(&"E_MAP_LOOP") && ids(&findings).contains(&"E_MAP_REF_TYPE"));
    let complex = iort.root_complexes().next().unwrap();
    assert!(matches!(iort.resolve_from(&complex.node, 5).trouble, Some(Trouble::Loop { .. })));
}

#[test]
fn zero_length_node_ends_the_walk_and_is_reported() {
    let (iort, findings) = parse(ZERO_LENGTH);
    assert_eq!((iort.node_count(), ids(&findings)), (0, std::vec!["E_NODE_LEN_ZERO"]));
}

#[test]
fn nodes_at_odd_offsets_are_read() {
    let (iort, findings) = parse(ODD_LENGTHS);
    assert!(findings.is_empty() && iort.nodes().any(|node| node.offset % 2 == 1));
}

#[test]
fn own_device_id_of_an_smmu_is_no_stream_mapping() {
    let (iort, findings) = parse(OWN_DEVICE_ID);
    assert!(findings.is_empty());
    assert_eq!(iort.smmus().next().unwrap().node.device_id_mapping(), Some(0));
    let its = iort.resolve(Bdf { segment: 0, rid: 0 }).its.unwrap();
    assert_eq!((its.group.node.index, its.device_id), (0, 0));
}

#[test]
fn device_id_mapping_follows_the_node_revision() {
    // SMMU node at 72: revision at 75, flags at 96, GSIVs at 116.
    let index = |patches: &[(usize, &[u8])]| {
        let bytes = patched(VIRT, patches);
        parse(&bytes).0.smmus().next().unwrap().node.device_id_mapping()
    };
    assert_eq!(index(&[]), None, "all four interrupts are wired");
    assert_eq!(index(&[(116, &[0; 4])]), Some(0), "one is not");
    assert_eq!(index(&[(116, &[0; 4]), (75, &[0])]), None, "revision 0 has no such field");
    assert_eq!(index(&[(75, &[5])]), None, "since revision 5 a flag says so");
    assert_eq!(index(&[(75, &[5]), (96, &[0x11])]), Some(0));
}

#[test]
fn draft_rmr_has_no_flags_word() {
    let (iort, findings) = parse(DRAFT_RMR);
    assert_eq!(ids(&findings), ["W_TABLE_REV_DEPRECATED", "W_RMR_REV", "W_RMR_TABLE_REV"]);
    let rmr = iort.rmrs().next().unwrap();
    assert_eq!(rmr.flags, RmrFlags(0));
    let ranges: Vec<_> = rmr.ranges().map(|range| (range.base.0, range.bytes)).collect();
    assert_eq!(ranges, [(0x8000_0000, 0x1_0000), (0x9000_0000, 0x2_0000)]);
}

#[test]
fn rmr_streams_come_from_the_output_side() {
    let (iort, findings) = parse(THREE_STREAMS);
    assert!(findings.is_empty());
    let rmr = iort.rmrs().next().unwrap();
    assert_eq!(rmr.ranges().len(), 3);
    let streams: Vec<_> = rmr.streams().collect();
    assert_eq!(streams.len(), 3);
    assert!(streams.iter().all(|of| of.smmu.kind == NodeKind::SmmuV3));
    assert_eq!(streams.iter().map(|of| of.smmu.index).collect::<std::collections::BTreeSet<_>>().len(), 2);
}

#[test]
fn overlapping_and_broken_rmr_ranges_are_named() {
    assert!(ids(&parse(ACCEL).1).contains(&"W_RMR_OVERLAP"));
    let good = amended(VIRT, &wish(PhysAddr(0x5000_0000), 0x1_0000));
    // The added node starts at 236: its range at 284 (base) and 292 (length).
    let broken = |patches: &[(usize, &[u8])]| {
        let bytes = patched(&good, patches);
        let (iort, findings) = parse(&bytes);
        assert_eq!(iort.rmrs().next().unwrap().ranges().len(), 1);
        ids(&findings)
    };
    assert_eq!(broken(&[(284, &[0, 0x10])]), ["W_RMR_UNALIGNED"]);
    assert_eq!(broken(&[(292, &[1])]), ["W_RMR_UNALIGNED"]);
    assert_eq!(broken(&[(292, &[0; 8])]), ["W_RMR_ZERO_LEN"]);
    assert_eq!(broken(&[(284, &[0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), (292, &[0, 0, 2])]), ["E_RMR_WRAP"]);
    // Its mapping is at 264, the reference at 276.
    assert_eq!(broken(&[(276, &48_u32.to_le_bytes())]), ["E_RMR_REF_TYPE"]);
}

#[test]
fn unknown_types_are_listed_and_reported() {
    // The ITS group at 48 becomes a vendor's node.
    let bytes = patched(VIRT, &[(48, &[255])]);
    let (iort, findings) = parse(&bytes);
    assert_eq!(iort.nodes().next().unwrap().kind.raw(), 255);
    assert!(findings.iter().any(|finding| finding.id() == "W_NODE_TYPE" && finding.offset == Some(48)), "{findings:?}");
}

#[test]
fn every_rule_has_a_clause_and_a_name_of_its_own() {
    let mut names = std::collections::BTreeSet::new();
    for rule in rule::ALL {
        assert!(!rule.clause().is_empty() && names.insert(rule.id), "{}", rule.id);
        let letter = match rule.severity {
            Severity::Error => "E_",
            Severity::Warning => "W_",
            Severity::Note => "N_",
        };
        assert!(rule.id.starts_with(letter), "{}", rule.id);
    }
}

#[test]
fn dangling_references_are_named_and_resolve_to_nothing() {
    // First mapping of the root complex at 160 + 36; its reference 12 bytes on.
    for (reference, id) in [(0_u32, "E_MAP_REF_ZERO"), (0xffff_0000, "E_MAP_REF_OOB"), (73, "E_MAP_REF_INNER")] {
        let bytes = patched(VIRT, &[(208, &reference.to_le_bytes())]);
        let (iort, findings) = parse(&bytes);
        assert_eq!(ids(&findings), [id]);
        let trouble = iort.resolve(Bdf::new(0, 0, 2, 0)).trouble;
        assert_eq!(trouble, Some(Trouble::BadReference { node: 160, reference }));
    }
}

fn wish(base: PhysAddr, bytes: u64) -> RmrWish {
    RmrWish { stream: StreamId(0x18), smmu: 72, base, bytes }
}

fn amended(firmware: &[u8], wish: &RmrWish) -> Vec<u8> {
    let mut out = std::vec![0xaa; amended_len(firmware)];
    let length = amend(firmware, wish, &mut out).unwrap();
    out.truncate(length);
    out
}

#[test]
fn amended_table_reads_back_and_changes_nothing_else() {
    for firmware in [VIRT, REVISION_3] {
        let before = parse(firmware).0;
        let bytes = amended(firmware, &wish(PhysAddr(0x5000_0000), 0x2_0000));
        let (iort, findings) = parse(&bytes);
        assert!(findings.is_empty(), "{findings:?}");
        assert_eq!((iort.revision(), iort.node_count()), (5, before.node_count() + 1));
        assert!(iort.nodes().zip(before.nodes()).all(|(after, before)| after == before));
        let rmr = iort.rmrs().next().unwrap();
        assert_eq!(rmr.node.offset as usize, firmware.len());
        assert_eq!(rmr.node.revision, 3);
        assert_eq!(rmr.flags.attributes(), 5);
        let ranges: Vec<_> = rmr.ranges().collect();
        assert_eq!(ranges, [RmrRange { base: PhysAddr(0x5000_0000), bytes: 0x2_0000 }]);
        let streams: Vec<_> = rmr.streams().map(|of| (of.smmu.offset, of.first.0, of.last.0)).collect();
        assert_eq!(streams, [(72, 0x18, 0x18)]);
        let bdf = Bdf::new(0, 0, 3, 0);
        assert_eq!(iort.resolve(bdf).smmu, before.resolve(bdf).smmu);
    }
}

#[test]
fn amended_node_is_aligned_behind_an_odd_one() {
    let (before, _) = parse(ODD_LENGTHS);
    // Make the last node end at an odd offset: three bytes more than it needs.
    let last = before.nodes().last().unwrap();
    let mut odd = ODD_LENGTHS.to_vec();
    odd.extend([0; 3]);
    let (length, total) = (last.length() as u16 + 3, odd.len() as u32);
    let odd = patched(&odd, &[(last.offset as usize + 1, &length.to_le_bytes()), (4, &total.to_le_bytes())]);
    assert!(!odd.len().is_multiple_of(4) && parse(&odd).1.is_empty());
    let smmu = before.smmus().next().unwrap().node.offset;
    let bytes = amended(&odd, &RmrWish { smmu, ..wish(PhysAddr(0x1_0000), 0x1_0000) });
    let (iort, findings) = parse(&bytes);
    assert!(findings.iter().all(|finding| finding.severity() < Severity::Error), "{findings:?}");
    assert_eq!(iort.rmrs().next().unwrap().node.offset % 4, 0);
    assert_eq!(iort.node_count(), before.node_count() + 1);
}

#[test]
fn impossible_amendments_are_refused() {
    let mut out = [0; 512];
    let base = PhysAddr(0x5000_0000);
    let mut refuse = |firmware: &[u8], wish: RmrWish| amend(firmware, &wish, &mut out).unwrap_err();
    let good = wish(base, 0x1_0000);
    assert!(matches!(refuse(&VIRT[..100], good), AmendError::Table(_)));
    assert!(matches!(refuse(VIRT, wish(PhysAddr(0x5000_1000), 0x1_0000)), AmendError::Range { .. }));
    assert!(matches!(refuse(VIRT, wish(base, 0)), AmendError::Range { .. }));
    assert!(matches!(refuse(VIRT, wish(PhysAddr(u64::MAX << 16), 0x2_0000)), AmendError::Range { .. }));
    assert_eq!(refuse(VIRT, RmrWish { smmu: 48, ..good }), AmendError::NoSmmu(48));
    let fewer = patched(VIRT, &[(36, &[2])]);
    assert!(matches!(refuse(&fewer, good), AmendError::Nodes { counted: 2, walked: 2, .. }));
    let mut small = [0; 303];
    assert_eq!(amend(VIRT, &good, &mut small), Err(AmendError::Buffer { needed: 304, room: 303 }));
}

#[test]
fn table_made_to_be_slow_is_read_and_its_checks_are_cut() {
    // SMMUv3 nodes whose bases come from both ends, so that each is compared with all before it.
    let smmu = &VIRT[72..160];
    let count = 8192_u32;
    let mut bytes = VIRT[..72].to_vec();
    for index in 1..=count {
        let at = bytes.len();
        bytes.extend(smmu);
        let base = if index % 2 == 0 { u64::from(index) << 20 } else { u64::MAX - (u64::from(index) << 20) };
        bytes[at + 16..at + 24].copy_from_slice(&base.rotate_left(index).to_le_bytes());
    }
    let length = bytes.len() as u32;
    let bytes = patched(&bytes, &[(4, &length.to_le_bytes()), (36, &(count + 1).to_le_bytes())]);
    let (iort, findings) = parse(&bytes);
    assert_eq!((iort.node_count(), iort.smmus().count()), (count + 1, count as usize));
    assert_eq!(findings.iter().filter(|finding| finding.id() == "N_CHECK_CUT").count(), 1);
}
