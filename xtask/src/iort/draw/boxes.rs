//! What is drawn: one box for a node, or for many alike, with a line for each thing that leads to another box.

use std::collections::{BTreeMap, BTreeSet};

use tables::Severity;
use tables::iort::{Index, Mapping, Node, NodeKind};

use crate::iort::answer::{Answer, Told, is_in};
use crate::iort::describe::{ids, text_of, title, type_name};

/// Rows of a box; what is more is counted.
const ROWS: usize = 10;

/// A line of a box, and the boxes that it leads to.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    pub text: String,
    pub to: Vec<usize>,
}

/// A node, or several that are alike.
#[derive(Debug)]
pub struct Box {
    pub kind: NodeKind,
    /// 0 to 2, from the left.
    pub column: usize,
    pub title: String,
    pub rows: Vec<Row>,
    /// The worst finding about it.
    pub severity: Option<Severity>,
}

/// How many nodes of a type that lead to the same nodes are drawn one by one.
const fn alike(kind: NodeKind) -> usize {
    match kind {
        NodeKind::NamedComponent => 3,
        NodeKind::RootComplex | NodeKind::Rmr => 8,
        NodeKind::SmmuV1V2 | NodeKind::SmmuV3 => 64,
        NodeKind::ItsGroup => 32,
        NodeKind::Pmcg | NodeKind::Iwb | NodeKind::Unknown(_) => 2,
    }
}

const fn column(kind: NodeKind) -> usize {
    match kind {
        NodeKind::SmmuV1V2 | NodeKind::SmmuV3 => 1,
        NodeKind::ItsGroup => 2,
        _ => 0,
    }
}

/// Type, targets and worst finding: nodes with one key are alike.
type Key = (u8, BTreeSet<u32>, Option<Severity>);

/// All boxes of a table; none where there is no table.
pub fn of(answer: &Answer<'_>) -> Vec<Box> {
    let Some(index) = &answer.index else { return Vec::new() };
    let severities = severities(answer, index);
    let mut groups = BTreeMap::<Key, Vec<u32>>::new();
    for (node, severity) in index.nodes().iter().zip(&severities) {
        let targets = targets(index, node).map(|(_, target)| target).collect();
        groups.entry((node.kind.raw(), targets, *severity)).or_default().push(node.index);
    }
    // Each group in the place of its first node; a small one is taken apart.
    let mut members: Vec<Vec<u32>> = Vec::new();
    for group in groups.into_values() {
        let kind = group.first().and_then(|first| index.nodes().get(*first as usize)).map(|node| node.kind);
        if kind.is_some_and(|kind| group.len() > alike(kind)) {
            members.push(group);
        } else {
            members.extend(group.into_iter().map(|node| vec![node]));
        }
    }
    members.sort_unstable();
    let box_of: BTreeMap<u32, usize> =
        members.iter().enumerate().flat_map(|(at, group)| group.iter().map(move |node| (*node, at))).collect();
    members.iter().filter_map(|group| a_box(index, group, &box_of, &severities)).collect()
}

/// The worst finding about each node.
fn severities(answer: &Answer<'_>, index: &Index<'_>) -> Vec<Option<Severity>> {
    let mut worst = vec![None; index.nodes().len()];
    for told in &answer.told {
        let Told::Finding(finding) = told else { continue };
        let Some(offset) = finding.offset else { continue };
        let behind = index.nodes().partition_point(|node| node.offset <= offset);
        let node = behind.checked_sub(1).and_then(|at| index.nodes().get(at)).filter(|node| is_in(finding, node));
        if let Some(place) = node.and_then(|node| worst.get_mut(node.index as usize)) {
            *place = (*place).max(Some(finding.severity()));
        }
    }
    worst
}

/// Nodes that a node leads to, by its mappings or as what it monitors; the mapping's number beside each.
fn targets<'i>(index: &'i Index<'_>, node: &'i Node<'_>) -> impl Iterator<Item = (Option<usize>, u32)> + 'i {
    let mapped = node.mappings().enumerate().filter_map(|(number, mapping)| {
        index.node_at(mapping.output_reference).map(|target| (Some(number), target.index))
    });
    let monitored = node.pmcg().and_then(|pmcg| index.node_at(pmcg.monitors)).map(|target| (None, target.index));
    mapped.chain(monitored)
}

fn a_box(
    index: &Index<'_>,
    group: &[u32],
    box_of: &BTreeMap<u32, usize>,
    severities: &[Option<Severity>],
) -> Option<Box> {
    let first = index.nodes().get(*group.first()? as usize)?;
    let severity = severities.get(first.index as usize).copied().flatten();
    let (title, rows) = match group {
        [_] => (format!("{}: {}", first.index, title(index.iort(), first)), rows_of_one(index, first, box_of)),
        _ => (format!("{} alike: {}", group.len(), type_name(first.kind)), rows_of_many(index, group, box_of)),
    };
    Some(Box { kind: first.kind, column: column(first.kind), title, rows, severity })
}

fn rows_of_one(index: &Index<'_>, node: &Node<'_>, box_of: &BTreeMap<u32, usize>) -> Vec<Row> {
    let mut rows = Vec::new();
    if let Some(rmr) = index.iort().rmr(node) {
        let line = |range: tables::iort::RmrRange| format!("{} + {:#x}", range.base, range.bytes);
        rows.extend(rmr.ranges().take(ROWS).map(|range| Row { text: line(range), to: Vec::new() }));
        let more = rmr.ranges().len().saturating_sub(ROWS);
        if more > 0 {
            rows.push(Row { text: format!("… {more} more ranges"), to: Vec::new() });
        }
    }
    let own = node.device_id_mapping().map(|own| own as usize);
    let target = |mapping: &Mapping| index.node_at(mapping.output_reference);
    let to = |target: Option<Node<'_>>| target.and_then(|target| box_of.get(&target.index).copied());
    for (number, mapping) in node.mappings().enumerate().take(ROWS) {
        let target = target(&mapping);
        let dangling = if target.is_none() { " (no node)" } else { "" };
        let ids = ids(node, &mapping, target.map(|target| target.kind), own == Some(number));
        rows.push(Row { text: format!("{ids}{dangling}"), to: to(target).into_iter().collect() });
    }
    let more = node.mappings().len().saturating_sub(ROWS);
    if more > 0 {
        let to: BTreeSet<usize> = node.mappings().skip(ROWS).filter_map(|mapping| to(target(&mapping))).collect();
        rows.push(Row { text: format!("… {more} more mappings"), to: to.into_iter().collect() });
    }
    if let Some(monitored) = node.pmcg().and_then(|pmcg| index.node_at(pmcg.monitors)) {
        rows.push(Row { text: "monitors".to_owned(), to: to(Some(monitored)).into_iter().collect() });
    }
    rows
}

/// Names of some, and one row for all that they lead to.
fn rows_of_many(index: &Index<'_>, group: &[u32], box_of: &BTreeMap<u32, usize>) -> Vec<Row> {
    let nodes = || group.iter().filter_map(|node| index.nodes().get(*node as usize));
    let name = |node: &Node<'_>| match (node.named_component(), node.root_complex(), node.smmu_v3()) {
        (Some(component), ..) => text_of(component.name),
        (_, Some(complex), _) => format!("segment {:#x}", complex.segment),
        (.., Some(smmu)) => smmu.base.to_string(),
        _ => format!("node {}", node.index),
    };
    let mut rows: Vec<Row> = nodes().take(ROWS).map(|node| Row { text: name(node), to: Vec::new() }).collect();
    let more = group.len().saturating_sub(ROWS);
    if more > 0 {
        rows.push(Row { text: format!("… {more} more"), to: Vec::new() });
    }
    let mappings: usize = nodes().map(|node| node.mappings().len()).sum();
    let to: BTreeSet<usize> =
        nodes().flat_map(|node| targets(index, node)).filter_map(|(_, target)| box_of.get(&target).copied()).collect();
    if !to.is_empty() {
        rows.push(Row { text: format!("{mappings} mappings"), to: to.into_iter().collect() });
    }
    rows
}
