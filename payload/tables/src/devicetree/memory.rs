//! Memory, and what of it is taken (Devicetree Specification v0.4, 3.4, 3.5 and 5.3).

use super::Range;
use super::order::{Pair, sorted};
use super::tree::{Node, Tree};
use crate::finding::Sink;
use crate::rule;
use addr::PhysAddr;
use alloc::vec::Vec;

/// A reserved range of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// The range.
    pub range: Range,
    /// It must not be mapped at all.
    pub is_no_map: bool,
    /// The owner lends it to the operating system.
    pub is_reusable: bool,
}

/// Ranges of RAM without the `no-map` ones: sorted, disjoint, not empty.
pub(super) fn usable(tree: &Tree<'_>, reserved: &[Reserved], sink: &mut Sink<'_>) -> Vec<Range> {
    let root = tree.node(0);
    let nodes = root.iter().flat_map(|root| root.children());
    let nodes = nodes.filter(|node| node.is_available() && node.text("device_type") == Some("memory"));
    let mut ram = Vec::new();
    for node in nodes {
        ram.extend(node.regs(sink).into_iter().flatten().filter_map(span));
    }
    if ram.is_empty() {
        sink(super::finding(&rule::W_DTB_NO_MEMORY));
    }
    let holes: Vec<_> =
        reserved.iter().filter(|reserved| reserved.is_no_map).filter_map(|reserved| span(reserved.range)).collect();
    subtract(merged(ram), holes).into_iter().map(range).collect()
}

/// The memory reservation block, then the children of `/reserved-memory` that have an address.
pub(super) fn reserved(tree: &Tree<'_>, sink: &mut Sink<'_>) -> Vec<Reserved> {
    let block = tree.blob.reservations(sink).map(|(base, bytes)| Range { base, bytes });
    let mut found: Vec<_> = block.map(|range| Reserved { range, is_no_map: false, is_reusable: false }).collect();
    for node in regions(tree) {
        let (is_no_map, is_reusable) = (node.has("no-map"), node.has("reusable"));
        let ranges = node.regs(sink).into_iter().flatten().filter(|range| range.bytes > 0);
        found.extend(ranges.map(|range| Reserved { range, is_no_map, is_reusable }));
    }
    found
}

/// Children of `/reserved-memory` that are not switched off.
pub(super) fn regions<'t, 'a>(tree: &'t Tree<'a>) -> impl Iterator<Item = Node<'t, 'a>> {
    let folder = tree.by_path("/reserved-memory");
    folder.into_iter().flat_map(|folder| folder.children()).filter(Node::is_available)
}

/// First and last address.
type Span = Pair;

fn span(range: Range) -> Option<Span> {
    Some((range.base.0, range.last()?.0))
}

/// Lengths are cut at 2^64 - 1 bytes.
const fn range((first, last): Span) -> Range {
    Range { base: PhysAddr(first), bytes: (last - first).saturating_add(1) }
}

/// Sorted, with overlapping and touching ranges made one.
fn merged(spans: Vec<Span>) -> Vec<Span> {
    let mut spans = sorted(spans);
    spans.dedup_by(|later, earlier| {
        let joins = later.0 <= earlier.1.saturating_add(1);
        if joins {
            earlier.1 = earlier.1.max(later.1);
        }
        joins
    });
    spans
}

/// What is left of sorted disjoint `spans` without `holes`.
fn subtract(spans: Vec<Span>, holes: Vec<Span>) -> Vec<Span> {
    let holes = merged(holes);
    let mut left = Vec::new();
    let mut next = 0;
    for (mut first, last) in spans {
        // Holes that end before this range have nothing to say to later ones either.
        while holes.get(next).is_some_and(|hole| hole.1 < first) {
            next += 1;
        }
        let mut at = next;
        let mut is_left = true;
        while let Some(hole) = holes.get(at).filter(|hole| hole.0 <= last) {
            if hole.0 > first {
                left.push((first, hole.0 - 1));
            }
            match hole.1.checked_add(1).filter(|behind| *behind <= last) {
                Some(behind) => first = behind,
                None => {
                    is_left = false;
                    break;
                }
            }
            at += 1;
        }
        if is_left {
            left.push((first, last));
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::{merged, subtract};
    use alloc::vec;

    #[test]
    fn ranges_are_merged_and_cut() {
        assert_eq!(merged(vec![(10, 19), (0, 4), (20, 29), (12, 13), (5, 5)]), [(0, 5), (10, 29)]);
        let ram = [(0, 99), (200, 299)];
        let left = |holes: &[(u64, u64)]| subtract(ram.to_vec(), holes.to_vec());
        assert_eq!(left(&[]), ram);
        assert_eq!(left(&[(0, 9), (50, 59), (90, 210)]), [(10, 49), (60, 89), (211, 299)]);
        assert_eq!(left(&[(0, u64::MAX)]), []);
        assert_eq!(left(&[(99, 99), (100, 199)]), [(0, 98), (200, 299)]);
        assert_eq!(left(&[(10, 19), (15, 24)]), [(0, 9), (25, 99), (200, 299)]);
    }
}
