//! What is wrong between nodes, and between mappings of one node, found without comparing each with each.

use super::super::{Mapping, Node, NodeKind, RmrRange, check_map, finding};
use super::Index;
use super::graph::Graph;
use crate::finding::Finding;
use crate::rule;
use addr::PhysAddr;
use alloc::vec::Vec;

pub(super) fn find(index: &Index<'_>) -> Vec<Finding> {
    let mut faults = Vec::new();
    references(index, &mut faults);
    for node in &index.nodes {
        mapping_overlaps(node, &mut faults);
    }
    smmu_bases(index, &mut faults);
    segments(index, &mut faults);
    rmr_overlaps(index, &mut faults);
    faults
}

/// Where each mapping leads, and which lead back.
fn references(index: &Index<'_>, faults: &mut Vec<Finding>) {
    let mut graph = Graph { starts: Vec::with_capacity(index.nodes.len() + 1), targets: Vec::new() };
    for node in &index.nodes {
        graph.starts.push(graph.targets.len());
        for (at, mapping) in node.mappings().enumerate() {
            let target = index.node_at(mapping.output_reference);
            if let Some(wrong) = check_map::wrong_reference(index.iort, node, &mapping, target.as_ref()) {
                faults.push(wrong.at(node.mapping_at(at) + 12));
            }
            graph.targets.extend(target.map(|target| target.index));
        }
        if let Some(pmcg) = node.pmcg().filter(|pmcg| pmcg.monitors != 0 && index.node_at(pmcg.monitors).is_none()) {
            faults.push(finding(&rule::W_PMCG_REF).at(node.offset as usize + 28).found(pmcg.monitors));
        }
    }
    graph.starts.push(graph.targets.len());
    let components = graph.components();
    let component = |node: &Node<'_>| components.get(node.index as usize);
    for node in &index.nodes {
        let closes = |mapping: &Mapping| {
            let target = index.node_at(mapping.output_reference);
            target.is_some_and(|to| to.kind.rank() <= node.kind.rank() && component(&to) == component(node))
        };
        if let Some((at, mapping)) = node.mappings().enumerate().find(|(_, mapping)| closes(mapping)) {
            let back = finding(&rule::E_MAP_LOOP).at(node.mapping_at(at) + 12);
            faults.push(back.found(mapping.output_reference).against(node.offset));
        }
    }
}

/// Ranges of one node that share an ID, each with one that begins no later.
fn mapping_overlaps(node: &Node<'_>, faults: &mut Vec<Finding>) {
    if node.kind == NodeKind::Rmr {
        return;
    }
    let mut ranges: Vec<(usize, Mapping)> = check_map::ranges(node).collect();
    ranges.sort_unstable_by_key(|(at, mapping)| (mapping.input_base, *at));
    // Of those that begin no later, the one that reaches furthest.
    let mut furthest: Option<(usize, Mapping)> = None;
    for (at, mapping) in ranges {
        if let Some((other_at, other)) = furthest
            && let Some(overlap) = check_map::overlap(&other, &mapping)
        {
            faults.push(overlap.at(node.mapping_at(at.max(other_at))));
        }
        if furthest.is_none_or(|(_, other)| mapping.input_last() >= other.input_last()) {
            furthest = Some((at, mapping));
        }
    }
}

fn smmu_bases(index: &Index<'_>, faults: &mut Vec<Finding>) {
    let mut bases: Vec<(u64, u32)> =
        index.nodes.iter().filter_map(|node| Some((node.smmu_base()?.0, node.offset))).collect();
    bases.sort_unstable();
    for group in bases.chunk_by(|one, two| one.0 == two.0) {
        let Some(((base, first), rest)) = group.split_first() else { continue };
        for (_, offset) in rest {
            let twice = finding(&rule::W_DUP_SMMU_BASE).at(*offset as usize + 16);
            faults.push(twice.found(*base).against(*first));
        }
    }
}

/// Root complexes that map an ID of which another one of their segment has the first claim.
fn segments(index: &Index<'_>, faults: &mut Vec<Finding>) {
    for of_segment in index.complexes.chunk_by(|one, two| one.0 == two.0).filter(|group| group.len() > 1) {
        for (segment, node) in of_segment {
            let Some(node) = index.nodes.get(*node as usize) else { continue };
            let mut claims = node.mappings().map(|mapping| check_map::claim(&mapping));
            let taken = claims.find_map(|(first, last)| other_owner(index, *segment, first, last, node.index));
            if let Some(other) = taken {
                let twice = finding(&rule::W_DUP_SEGMENT).at(node.offset as usize + 28);
                faults.push(twice.found(*segment).against(other));
            }
        }
    }
}

/// Offset of a root complex before `node` that has one of the IDs from `first` to `last`.
fn other_owner(index: &Index<'_>, segment: u32, first: u32, last: u32, node: u32) -> Option<u32> {
    let from = index.owners.partition_point(|owner| (owner.segment, owner.last) < (segment, first));
    let owners = index.owners.get(from..)?.iter();
    let mut here = owners.take_while(|owner| owner.segment == segment && owner.first <= last);
    let owner = here.find(|owner| owner.node < node)?;
    index.nodes.get(owner.node as usize).map(|node| node.offset)
}

fn rmr_overlaps(index: &Index<'_>, faults: &mut Vec<Finding>) {
    let mut ranges: Vec<(u64, u64, u32)> = Vec::new();
    for rmr in index.nodes.iter().filter_map(|node| index.iort.rmr(node)) {
        let last = |range: &RmrRange| range.last().unwrap_or(PhysAddr(u64::MAX)).0;
        let some = rmr.ranges().filter(|range| range.bytes > 0);
        ranges.extend(some.map(|range| (range.base.0, last(&range), rmr.node.offset)));
    }
    ranges.sort_unstable();
    let mut furthest: Option<(u64, u64, u32)> = None;
    for (base, last, node) in ranges {
        if let Some((its_base, its_last, its_node)) = furthest
            && base <= its_last
        {
            let twice = finding(&rule::W_RMR_OVERLAP).at(node.max(its_node) as usize);
            faults.push(twice.found(base).against(its_base));
        }
        if furthest.is_none_or(|(_, its_last, _)| last >= its_last) {
            furthest = Some((base, last, node));
        }
    }
}
