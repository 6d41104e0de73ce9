//! The index of a table answers as the table itself does, and finds at least what the checks without memory find.

mod made;

use addr::Bdf;
use made::{mutated, table};
use proptest::prelude::*;
use std::collections::BTreeSet;
use tables::iort::{Index, Iort, Node, Reading};
use tables::{Finding, rule};

/// Rules of what is between nodes or mappings, with the offset of the node that each finding is in.
const BETWEEN: [&rule::Rule; 12] = [
    &rule::E_MAP_REF_ZERO,
    &rule::E_MAP_REF_OOB,
    &rule::E_MAP_REF_INNER,
    &rule::E_MAP_REF_TYPE,
    &rule::E_RMR_REF_TYPE,
    &rule::E_MAP_LOOP,
    &rule::E_MAP_OVERLAP,
    &rule::W_MAP_OFF_BY_ONE,
    &rule::W_DUP_SMMU_BASE,
    &rule::W_DUP_SEGMENT,
    &rule::W_PMCG_REF,
    &rule::W_RMR_OVERLAP,
];

fn named(findings: &[Finding], nodes: &[Node<'_>]) -> BTreeSet<(&'static str, u32)> {
    let node_of = |offset: u32| nodes.iter().rev().find(|node| node.offset <= offset).map_or(0, |node| node.offset);
    let between = findings.iter().filter(|finding| BETWEEN.contains(&finding.rule));
    between.map(|finding| (finding.id(), node_of(finding.offset.unwrap_or(0)))).collect()
}

/// IDs at which the answer may change, and one that is far from all.
fn probes(node: &Node<'_>) -> Vec<u32> {
    let ends = node.mappings().flat_map(|mapping| [mapping.input_base, mapping.input_last()]);
    let mut ids: Vec<u32> = ends.flat_map(|id| [id.saturating_sub(1), id, id.saturating_add(1)]).collect();
    ids.push(0x7654_3210);
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn compare(bytes: &[u8]) {
    let mut findings = Vec::new();
    let Ok(iort) = Iort::parse(bytes, &mut |finding| findings.push(finding)) else { return };
    let index = Index::build(iort);
    for node in iort.nodes() {
        assert_eq!(index.node_at(node.offset), Some(node));
        assert_eq!(index.node_at(node.offset + 1), iort.node_at(node.offset + 1));
        for id in probes(&node) {
            let (spec, linux) = (iort.resolve_from(&node, id), iort.resolve_from_as_linux(&node, id));
            assert_eq!(index.resolve_from(&node, id, Reading::Spec), spec, "node {} ID {id:#x}", node.index);
            assert_eq!(index.resolve_from(&node, id, Reading::Linux), linux, "node {} ID {id:#x}, Linux", node.index);
        }
        let Some(complex) = node.root_complex() else { continue };
        let Ok(segment) = u16::try_from(complex.segment) else { continue };
        for rid in probes(&node).into_iter().filter_map(|id| u16::try_from(id).ok()) {
            let function = Bdf { segment, rid };
            assert_eq!(index.resolve(function, Reading::Spec), iort.resolve(function), "{function}");
            assert_eq!(index.resolve(function, Reading::Linux), iort.resolve_as_linux(function), "{function}, Linux");
        }
    }
    if findings.iter().any(|finding| finding.id() == "N_CHECK_CUT") {
        return;
    }
    let (theirs, ours) = (named(&findings, index.nodes()), named(index.faults(), index.nodes()));
    let missed: Vec<_> = theirs.difference(&ours).filter(|(id, _)| !is_pairwise(id)).collect();
    assert!(missed.is_empty(), "the index misses {missed:x?} of {theirs:x?}");
    // Only a cycle that is longer than the checks look.
    let more: Vec<_> = ours.difference(&theirs).filter(|(id, _)| *id != "E_MAP_LOOP" && !is_pairwise(id)).collect();
    assert!(more.is_empty(), "the index has {more:x?} beside {theirs:x?}");
    // Of things that overlap, each blames one of the pair: by rule, not by place.
    let ids = |set: &BTreeSet<(&'static str, u32)>| -> BTreeSet<&str> { set.iter().map(|(id, _)| *id).collect() };
    assert_eq!(ids(&theirs).contains("W_RMR_OVERLAP"), ids(&ours).contains("W_RMR_OVERLAP"));
}

/// Rules about a pair, of which the two sides need not blame the same member.
fn is_pairwise(id: &str) -> bool {
    matches!(id, "W_RMR_OVERLAP" | "E_MAP_OVERLAP" | "W_MAP_OFF_BY_ONE")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn index_of_a_made_table_is_the_table(bytes in table()) {
        compare(&bytes);
    }

    #[test]
    fn index_of_a_mutated_table_is_the_table(bytes in mutated(&made::IORTS)) {
        compare(&bytes);
    }
}

#[test]
fn index_of_each_fixture_is_the_table() {
    for bytes in made::IORTS {
        compare(bytes);
    }
}

#[test]
fn cycle_longer_than_the_checks_look_is_found() {
    let bytes = made::chain(40, true);
    let iort = Iort::parse(&bytes, &mut |_| {}).unwrap();
    let loops = |index: &Index<'_>| index.faults().iter().filter(|finding| finding.id() == "E_MAP_LOOP").count();
    assert_eq!(loops(&Index::build(iort)), 40);
    let bytes = made::chain(40, false);
    assert_eq!(loops(&Index::build(Iort::parse(&bytes, &mut |_| {}).unwrap())), 0);
}
