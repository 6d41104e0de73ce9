//! Checks of ID mappings: array, flags, ranges, references, loops, and two claims to one ID.

use super::check::Checker;
use super::{Iort, Mapping, Node, NodeKind, finding};
use crate::finding::Finding;
use crate::rule;

/// Longest chain that is searched for a loop; a legal one has three nodes.
const MAX_DEPTH: u32 = 8;

pub(super) fn check_mappings<'a>(checker: &mut Checker<'_, 'a>, node: &Node<'a>) {
    if matches!(node.kind, NodeKind::Unknown(_)) {
        return;
    }
    if node.mapping_array().is_none() {
        let at = node.offset as usize + 8;
        checker.report(finding(&rule::E_MAP_ARRAY_OOB).at(at).found(node.mapping_count).against(node.mapping_offset));
        return;
    }
    let mut is_loop_known = false;
    for (index, mapping) in node.mappings().enumerate() {
        let at = node.mapping_at(index);
        check_flags(checker, node, &mapping, at);
        check_wrap(checker, &mapping, at);
        is_loop_known |= check_reference(checker, node, &mapping, at, is_loop_known);
    }
    if node.kind != NodeKind::Rmr {
        check_overlaps(checker, node);
    }
}

fn check_flags<'a>(checker: &mut Checker<'_, 'a>, node: &Node<'a>, mapping: &Mapping, at: usize) {
    if mapping.flags & !1 != 0 {
        checker.report(finding(&rule::W_MAP_FLAGS).at(at + 16).found(mapping.flags));
    }
    if !mapping.is_single() {
        return;
    }
    if matches!(node.kind, NodeKind::ItsGroup | NodeKind::SmmuV1V2) {
        checker.report(finding(&rule::W_MAP_SINGLE_TYPE).at(at + 16).found(node.kind.raw()));
    }
    if mapping.id_count != 0 {
        checker.report(finding(&rule::W_MAP_SINGLE_COUNT).at(at + 4).found(mapping.id_count));
    }
}

/// Both sides, whether or not the side means something on this node: a count that fits neither is no count.
fn check_wrap(checker: &mut Checker<'_, '_>, mapping: &Mapping, at: usize) {
    let Mapping { input_base, id_count, output_base, .. } = *mapping;
    if input_base.checked_add(id_count).is_none() {
        checker.report(finding(&rule::E_MAP_WRAP).at(at).found(input_base).against(id_count));
    } else if output_base.checked_add(id_count).is_none() {
        checker.report(finding(&rule::E_MAP_WRAP).at(at + 8).found(output_base).against(id_count));
    }
}

/// Checks where a mapping leads; `true` when it leads back to its own node and that was reported.
fn check_reference<'a>(
    checker: &mut Checker<'_, 'a>,
    node: &Node<'a>,
    mapping: &Mapping,
    at: usize,
    is_loop_known: bool,
) -> bool {
    let Ok(target) = checker.node_at(mapping.output_reference) else { return false };
    if let Some(wrong) = wrong_reference(checker.iort, node, mapping, target.as_ref()) {
        checker.report(wrong.at(at + 12));
    }
    let Some(target) = target else { return false };
    // Only a reference that does not lead down the order device, SMMU, ITS can close a loop.
    if !is_loop_known && target.kind.rank() <= node.kind.rank() && reaches(checker, &target, node.offset, MAX_DEPTH) {
        let back = finding(&rule::E_MAP_LOOP).at(at + 12).found(mapping.output_reference);
        checker.report(back.against(node.offset));
        return true;
    }
    false
}

/// What is wrong with the reference of a mapping of `node`, which leads to `target`; the place is the caller's to add.
pub(super) fn wrong_reference(
    iort: Iort<'_>,
    node: &Node<'_>,
    mapping: &Mapping,
    target: Option<&Node<'_>>,
) -> Option<Finding> {
    let reference = mapping.output_reference;
    let Some(target) = target else {
        let rule = match reference {
            0 => &rule::E_MAP_REF_ZERO,
            _ if reference as usize >= iort.bytes().len() => &rule::E_MAP_REF_OOB,
            _ => &rule::E_MAP_REF_INNER,
        };
        return Some(finding(rule).found(reference));
    };
    let rule = match (node.kind, target.kind) {
        (NodeKind::Rmr, kind) if kind.is_smmu() => return None,
        (NodeKind::Rmr, _) => &rule::E_RMR_REF_TYPE,
        (_, NodeKind::ItsGroup) => return None,
        (NodeKind::SmmuV1V2 | NodeKind::SmmuV3 | NodeKind::Iwb, _) => &rule::E_MAP_REF_TYPE,
        (_, kind) if kind.is_smmu() => return None,
        _ => &rule::E_MAP_REF_TYPE,
    };
    Some(finding(rule).found(reference).against(target.kind.raw()))
}

/// Tells whether some chain of references leads from `from` to the node at `offset`.
fn reaches<'a>(checker: &mut Checker<'_, 'a>, from: &Node<'a>, offset: u32, depth: u32) -> bool {
    if from.offset == offset {
        return true;
    }
    let Some(depth) = depth.checked_sub(1) else { return false };
    from.mappings().any(|mapping| {
        if !checker.spend() {
            return false;
        }
        match checker.node_at(mapping.output_reference) {
            Ok(Some(next)) => reaches(checker, &next, offset, depth),
            _ => false,
        }
    })
}

/// Mappings of `node` that are ranges of input IDs.
pub(super) fn ranges<'a>(node: &Node<'a>) -> impl Iterator<Item = (usize, Mapping)> + Clone + use<'a> {
    node.stream_mappings().filter(|(_, mapping)| !mapping.is_single())
}

/// Two mappings of one node for one ID.
fn check_overlaps<'a>(checker: &mut Checker<'_, 'a>, node: &Node<'a>) {
    // Sorted mappings, the usual case, need no second look.
    let (mut low, mut high) = (u32::MAX, 0);
    for (position, (index, mapping)) in ranges(node).enumerate() {
        if position > 0 && mapping.input_last() >= low && mapping.input_base <= high {
            for (_, earlier) in ranges(node).take(position) {
                if !checker.spend() {
                    return;
                }
                if let Some(shared) = overlap(&earlier, &mapping) {
                    checker.report(shared.at(node.mapping_at(index)));
                }
            }
        }
        (low, high) = (low.min(mapping.input_base), high.max(mapping.input_last()));
    }
}

/// What two ranges share, if that is anything; the place is the caller's to add.
pub(super) fn overlap(one: &Mapping, two: &Mapping) -> Option<Finding> {
    let first = one.input_base.max(two.input_base);
    let last = one.input_last().min(two.input_last());
    if first > last {
        return None;
    }
    // A count written as N makes a range of at least two IDs one too long: its last ID is the next one's first.
    let is_too_long = |short: &Mapping, next: &Mapping| short.id_count > 0 && short.input_last() == next.input_base;
    let rule = match first == last && (is_too_long(one, two) || is_too_long(two, one)) {
        true => &rule::W_MAP_OFF_BY_ONE,
        false => &rule::E_MAP_OVERLAP,
    };
    Some(finding(rule).found(first).against(last))
}

/// Two root complexes of one segment that both map some requester ID.
pub(super) fn check_segments(checker: &mut Checker<'_, '_>) {
    let iort = checker.iort;
    for (position, complex) in iort.root_complexes().enumerate() {
        for earlier in iort.root_complexes().take(position) {
            if !checker.spend() {
                return;
            }
            if earlier.segment != complex.segment {
                continue;
            }
            match share_an_id(checker, &earlier.node, &complex.node) {
                Some(false) => {}
                Some(true) => {
                    let at = complex.node.offset as usize + 28;
                    let twice = finding(&rule::W_DUP_SEGMENT).at(at).found(complex.segment);
                    checker.report(twice.against(earlier.node.offset));
                    break;
                }
                None => return,
            }
        }
    }
}

/// Input IDs that a mapping takes.
pub(super) const fn claim(mapping: &Mapping) -> (u32, u32) {
    match mapping.is_single() {
        true => (0, u32::MAX),
        false => (mapping.input_base, mapping.input_last()),
    }
}

/// Tells whether two nodes map one input ID; `None` when the budget is used up.
fn share_an_id<'a>(checker: &mut Checker<'_, 'a>, one: &Node<'a>, two: &Node<'a>) -> Option<bool> {
    for mine in one.mappings().map(|mapping| claim(&mapping)) {
        for other in two.mappings().map(|mapping| claim(&mapping)) {
            if !checker.spend() {
                return None;
            }
            if mine.0 <= other.1 && other.0 <= mine.1 {
                return Some(true);
            }
        }
    }
    Some(false)
}
