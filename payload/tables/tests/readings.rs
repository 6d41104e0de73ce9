//! Where Linux reads a table otherwise than it is written, quirk by quirk.

#![expect(clippy::unwrap_used, reason = "the tables are made here")]

mod made;

use addr::{Bdf, StreamId};
use made::{Draft, lay_out};
use std::collections::BTreeSet;
use tables::iort::{Iort, Reading, Resolution, Trouble, quirk};

/// An SMMU as node 0 with a base, then what the test adds.
fn behind_an_smmu(drafts: Vec<Draft>, revision: u8) -> Vec<u8> {
    let mut smmu = Draft { kind: 4, revision: 4, body: vec![0; 68], mappings: Vec::new() };
    smmu.body[18] = 5;
    smmu.body[44..60].fill(1);
    let mut all = vec![smmu];
    all.extend(drafts);
    lay_out(&all, revision)
}

fn complex(segment: u8, mappings: Vec<[u32; 5]>) -> Draft {
    let mut body = vec![0; 40];
    body[28] = segment;
    body[32] = 64;
    Draft { kind: 2, revision: 4, body, mappings }
}

fn component(mappings: Vec<[u32; 5]>) -> Draft {
    let mut body = vec![0; 32];
    body[28] = 32;
    body[29] = b'A';
    Draft { kind: 1, revision: 4, body, mappings }
}

fn both(bytes: &[u8], rid: u16) -> [Resolution<'_>; 2] {
    let iort = Iort::parse(bytes, &mut |_| {}).unwrap();
    let function = Bdf { segment: 0, rid };
    [iort.resolve(function), iort.resolve_as_linux(function)]
}

fn stream(resolution: &Resolution<'_>) -> Option<u32> {
    resolution.smmu.map(|smmu| smmu.stream.0)
}

fn quirks(bytes: &[u8]) -> BTreeSet<&'static str> {
    let iort = Iort::parse(bytes, &mut |_| {}).unwrap();
    let mut names = BTreeSet::new();
    for node in iort.nodes() {
        quirk::of_node(iort, &node, &mut |quirk| _ = names.insert(quirk.name));
    }
    // Every SMMU made here has wired interrupts.
    assert!(names.remove("edge-interrupts"));
    names
}

#[test]
fn second_root_complex_of_a_segment_is_not_looked_at() {
    let bytes = behind_an_smmu(vec![complex(0, vec![[0, 0xff, 0, 0, 0]]), complex(0, vec![[0x100, 0xff, 0, 0, 0]])], 6);
    let [spec, linux] = both(&bytes, 0x105);
    assert_eq!((stream(&spec), linux), (Some(5), Resolution::default()));
}

#[test]
fn count_of_one_too_many_goes_to_the_next_range_and_never_back() {
    for mappings in [vec![[0, 8, 100, 0, 0], [8, 8, 200, 0, 0]], vec![[8, 8, 200, 0, 0], [0, 8, 100, 0, 0]]] {
        let bytes = behind_an_smmu(vec![complex(0, mappings)], 6);
        let [spec, linux] = both(&bytes, 8);
        assert!(matches!(spec.trouble, Some(Trouble::Ambiguous { .. })));
        assert_eq!(stream(&linux), Some(200));
        assert_eq!(both(&bytes, 16).map(|both| stream(&both)), [Some(208); 2]);
    }
    // Real overlaps are left as they are: the first mapping has the ID, also at its end.
    let bytes = behind_an_smmu(vec![complex(0, vec![[0, 8, 100, 0, 0], [4, 8, 200, 0, 0]])], 6);
    assert_eq!(both(&bytes, 8).map(|both| stream(&both))[1], Some(108));
}

#[test]
fn null_first_reference_gives_the_node_up() {
    let null_first = vec![[0, 0xf, 0, 0x7000_0000 - 1, 0], [0x10, 0xf, 0x10, 0, 0]];
    // A target past the last node is laid out as its number modulo 3: here zero.
    assert_eq!((0x7000_0000 - 1) % 3, 0);
    let bytes = behind_an_smmu(vec![complex(0, null_first)], 6);
    assert_eq!(both(&bytes, 0x12).map(|both| stream(&both)), [Some(0x12), None]);
    assert_eq!(quirks(&bytes), BTreeSet::from(["null-first-reference"]));
}

#[test]
fn sums_wrap_at_32_bits() {
    let bytes = behind_an_smmu(vec![complex(0, vec![[0, 0xff, u32::MAX - 1, 0, 0]])], 6);
    let [spec, linux] = both(&bytes, 4);
    assert_eq!((spec.trouble.is_some(), stream(&linux)), (true, Some(2)));
    let bytes = behind_an_smmu(vec![complex(0, vec![[16, u32::MAX, 0, 0, 0]])], 6);
    assert_eq!(both(&bytes, 17).map(|both| stream(&both)), [Some(1), None]);
    assert_eq!(quirks(&bytes), BTreeSet::from(["sums-wrap"]));
}

#[test]
fn single_mapping_comes_in_its_turn() {
    let bytes = behind_an_smmu(vec![complex(0, vec![[0, 0, 7, 0, 1], [0, 0xff, 0x100, 0, 0]])], 6);
    assert_eq!(both(&bytes, 3).map(|both| stream(&both)), [Some(0x103), Some(7)]);
}

#[test]
fn component_has_the_streams_of_its_single_mappings() {
    let bytes = behind_an_smmu(vec![component(vec![[0, 0, 3, 0, 1], [0, 3, 8, 0, 0], [0, 0, 5, 0, 1]])], 6);
    let iort = Iort::parse(&bytes, &mut |_| {}).unwrap();
    let component = iort.named_components().next().unwrap();
    let streams = |reading| -> Vec<(StreamId, StreamId)> {
        iort.component_streams(&component, reading).map(|streams| (streams.first, streams.last)).collect()
    };
    let pair = |first, last| (StreamId(first), StreamId(last));
    assert_eq!(streams(Reading::Spec), [pair(3, 3), pair(8, 11), pair(5, 5)]);
    assert_eq!(streams(Reading::Linux), [pair(3, 3)]);
    assert_eq!(quirks(&bytes), BTreeSet::from(["component-needs-single"]));
}

#[test]
fn quirks_are_named_where_they_apply() {
    let sound = behind_an_smmu(vec![complex(0, vec![[0, 0xff, 0, 0, 0]])], 6);
    assert_eq!(quirks(&sound), BTreeSet::new());
    let mut limit = complex(0, vec![[0, 0xff, 0, 0, 0]]);
    limit.body[32] = 0;
    assert_eq!(quirks(&behind_an_smmu(vec![limit], 6)), BTreeSet::from(["address-limit-zero"]));
    let rmr = Draft { kind: 6, revision: 3, body: vec![0; 28], mappings: Vec::new() };
    let old = quirks(&behind_an_smmu(vec![rmr], 3));
    assert_eq!(old, BTreeSet::from(["rmr-table-revision", "rmr-without-mapping"]));
    let pmcg = Draft { kind: 5, revision: 0, body: vec![0; 40], mappings: Vec::new() };
    assert_eq!(quirks(&behind_an_smmu(vec![pmcg], 6)), BTreeSet::from(["pmcg-one-page"]));
    let names: BTreeSet<_> = quirk::ALL.iter().map(|quirk| quirk.name).collect();
    assert_eq!(names.len(), quirk::ALL.len());
}
