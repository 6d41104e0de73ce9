//! Whatever the bytes are: no panic, no endless walk, and no error that an amendment brings in.

mod made;

use addr::{Bdf, PhysAddr, StreamId};
use made::{IORTS, OTHERS, mutated, with_header};
use proptest::prelude::*;
use tables::iort::Iort;
use tables::iort::amend::{RmrWish, amend, amended_len};
use tables::{Finding, Platform, Severity, Tables};

const SIGNATURES: [&[u8; 4]; 7] = [b"IORT", b"MCFG", b"SPCR", b"DBG2", b"GTDT", b"APIC", b"FACP"];

/// Reads everything that can be read, as every table; returns the findings.
fn read_all(bytes: &[u8]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let table = Some(bytes);
    let tables = Tables { iort: table, mcfg: table, spcr: table, dbg2: table, gtdt: table, madt: table, fadt: table };
    let platform = Platform::from_tables(&tables, &mut |finding| findings.push(finding));
    // SPCR's absence sends the reader to the DBG2.
    let _ = Platform::from_tables(&Tables { spcr: None, ..tables }, &mut |finding| findings.push(finding));
    for rid in [0, 0x10, 0x100, 0x7fff, u16::MAX] {
        let _ = platform.resolve(Bdf { segment: 0, rid });
    }
    if let Some(iort) = platform.iort {
        for node in iort.nodes() {
            for id in node.mappings().take(8).flat_map(|mapping| [mapping.input_base, mapping.input_last()]) {
                let _ = iort.resolve_from(&node, id);
            }
            let _ = (node.named_component(), node.its_group().map(|group| group.ids().count()));
        }
        for rmr in iort.rmrs() {
            let _ = (rmr.ranges().count(), rmr.streams().count());
        }
    }
    for finding in &findings {
        assert!(!finding.to_string().contains('\n'));
    }
    findings
}

fn error_ids(findings: &[Finding]) -> Vec<&'static str> {
    let errors = findings.iter().filter(|finding| finding.severity() == Severity::Error);
    errors.map(Finding::id).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(!read_all(&bytes).is_empty());
    }

    #[test]
    fn arbitrary_bodies_are_read(
        body in prop::collection::vec(prop_oneof![3 => 0..32_u8, 1 => any::<u8>()], 48..600),
        signature in prop::sample::select(&SIGNATURES[..]),
    ) {
        prop_assert!(!read_all(&with_header(body, *signature)).is_empty());
    }

    #[test]
    fn mutated_iorts_are_read(bytes in mutated(&IORTS)) {
        read_all(&bytes);
    }

    #[test]
    fn mutated_tables_are_read(bytes in mutated(&OTHERS)) {
        read_all(&bytes);
    }

    #[test]
    fn amendments_bring_in_no_error(
        firmware in prop_oneof![prop::sample::select(&IORTS[..]).prop_map(<[u8]>::to_vec), mutated(&IORTS)],
        smmu in any::<prop::sample::Index>(),
        stream in any::<u32>(),
        granule in 0..1_u64 << 48,
        granules in 1..1_u64 << 16,
    ) {
        let mut before = Vec::new();
        let Ok(iort) = Iort::parse(&firmware, &mut |finding| before.push(finding)) else { return Ok(()) };
        let smmus: Vec<u32> = iort.smmus().map(|smmu| smmu.node.offset).collect();
        let smmu = smmus.get(smmu.index(smmus.len().max(1))).copied().unwrap_or(48);
        let (base, bytes) = (PhysAddr(granule << 16), granules << 16);
        let wish = RmrWish { stream: StreamId(stream), smmu, base, bytes };
        let mut out = vec![0xaa; amended_len(&firmware)];
        let Ok(length) = amend(&firmware, &wish, &mut out) else { return Ok(()) };
        let mut after = Vec::new();
        let amended = Iort::parse(&out[..length], &mut |finding| after.push(finding)).unwrap();
        prop_assert!(!after.iter().any(|finding| matches!(finding.id(), "W_CHECKSUM" | "W_RMR_TABLE_REV")));
        prop_assert_eq!(amended.node_count(), iort.node_count() + 1);
        let rmr = amended.rmrs().last().unwrap();
        prop_assert_eq!(rmr.ranges().map(|range| (range.base, range.bytes)).collect::<Vec<_>>(), [(base, bytes)]);
        let streams: Vec<_> = rmr.streams().map(|of| (of.smmu.offset, of.first, of.last)).collect();
        prop_assert_eq!(streams, [(smmu, StreamId(stream), StreamId(stream))]);
        // A reference that dangles may point at the new node by chance, and is then another error.
        let is_sound = error_ids(&before).is_empty();
        prop_assert!(!is_sound || error_ids(&after).is_empty(), "{after:?}");
        for (old, new) in iort.nodes().zip(amended.nodes()).take_while(|_| is_sound) {
            prop_assert_eq!((old.offset, old.kind), (new.offset, new.kind));
            for id in old.mappings().take(4).map(|mapping| mapping.input_last()) {
                let (old, new) = (iort.resolve_from(&old, id), amended.resolve_from(&new, id));
                prop_assert_eq!((old.smmu, old.trouble), (new.smmu, new.trouble));
            }
        }
    }
}

#[test]
fn every_fixture_can_be_amended() {
    let mut amended = 0;
    for firmware in IORTS {
        let iort = Iort::parse(firmware, &mut |_| {}).unwrap();
        let smmu = iort.smmus().next().unwrap().node.offset;
        let wish = RmrWish { stream: StreamId(1), smmu, base: PhysAddr(1 << 40), bytes: 1 << 16 };
        let mut out = vec![0; amended_len(firmware)];
        amended += u32::from(amend(firmware, &wish, &mut out).is_ok());
    }
    assert_eq!(amended, IORTS.len() as u32);
}
