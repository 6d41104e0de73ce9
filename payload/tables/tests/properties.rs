//! Whatever the bytes are: no panic, no endless walk, and no error that an amendment brings in.

#[expect(unreachable_pub, reason = "the crate of the fuzz targets exports it")]
#[path = "../../../ci/fuzz/src/entry.rs"]
mod entry;
mod made;

use addr::{Bdf, PhysAddr, StreamId};
use made::{IORTS, OTHERS, mutated, with_header};
use proptest::prelude::*;
use tables::iort::Iort;
use tables::iort::amend::{RmrWish, amend, amended_len};
use tables::{Finding, Platform, Severity, Tables};

const SIGNATURES: [&[u8; 4]; 7] = [b"IORT", b"MCFG", b"SPCR", b"DBG2", b"GTDT", b"APIC", b"FACP"];

type Parser = fn(&[u8]);

/// Each parser of its own, and the table that it is for.
const PARSERS: [(&[u8; 4], Parser); 8] = [
    (b"IORT", entry::iort),
    (b"MCFG", entry::mcfg),
    (b"SPCR", entry::spcr),
    (b"DBG2", entry::dbg2),
    (b"GTDT", entry::gtdt),
    (b"APIC", entry::madt),
    (b"FACP", entry::fadt),
    (b"\xd0\x0d\xfe\xed", entry::devicetree),
];

fn parse(bytes: &[u8]) {
    for (signature, parser) in PARSERS {
        if bytes.starts_with(signature) {
            parser(bytes);
        }
    }
}

/// All fixtures, and a FADT, of which there is none: zeroes with the flags that say PSCI.
fn fixtures() -> Vec<Vec<u8>> {
    let mut fadt = vec![0; 276];
    fadt[8] = 6;
    fadt[129] = 1;
    let mut all: Vec<Vec<u8>> = IORTS.iter().chain(&OTHERS).map(|bytes| bytes.to_vec()).collect();
    all.push(with_header(fadt, *b"FACP"));
    all
}

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
        let bytes = with_header(body, *signature);
        parse(&bytes);
        prop_assert!(!read_all(&bytes).is_empty());
    }

    #[test]
    fn made_tables_are_read(bytes in made::table()) {
        parse(&bytes);
        read_all(&bytes);
    }

    #[test]
    fn mutated_iorts_are_read(bytes in mutated(&IORTS)) {
        parse(&bytes);
        read_all(&bytes);
    }

    #[test]
    fn mutated_tables_are_read(bytes in mutated(&OTHERS)) {
        parse(&bytes);
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
fn every_fixture_is_read_cut_at_every_length() {
    for bytes in fixtures() {
        let signature = *bytes.first_chunk::<4>().unwrap();
        for length in 0..=bytes.len() {
            parse(&bytes[..length]);
            // Cut, and the header says so: what is left is all there is.
            if length >= 36 {
                parse(&with_header(bytes[..length].to_vec(), signature));
            }
        }
    }
}

#[test]
fn every_fixture_is_read_with_any_bit_flipped() {
    for bytes in fixtures() {
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            parse(&flipped);
        }
    }
}

/// A record's length field is all that a walk has to go on: each value of each byte of each small table.
#[test]
fn every_fixture_is_read_with_any_byte_anything() {
    for bytes in OTHERS {
        for at in 36..bytes.len() {
            for value in 0..=255 {
                let mut changed = bytes.to_vec();
                changed[at] = value;
                parse(&changed);
            }
        }
    }
}

/// Cut and flipped, the real tables of the shared corpus, which lies beside the checkout and not in it.
#[test]
fn real_tables_are_read_cut_and_flipped() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    if !corpus.is_dir() {
        println!("no corpus beside the checkout: nothing read");
        return;
    }
    let (mut folders, mut read) = (vec![corpus.clone()], 0);
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.extend((!path.ends_with("synthetic")).then_some(path));
            } else if path.extension().is_some_and(|extension| extension == "aml") {
                let bytes = std::fs::read(&path).unwrap();
                // Two hundred places spread over each: all of them take minutes.
                let step = (bytes.len() / 200).max(1);
                for at in (0..bytes.len()).step_by(step) {
                    parse(&bytes[..at]);
                    let mut flipped = bytes.clone();
                    flipped[at] ^= 1 << (at % 8);
                    parse(&flipped);
                }
                read += 1;
            }
        }
    }
    println!("read {read} tables");
    assert!(read > 0);
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
