//! Ranges that may overlap, cut into pieces that do not.

use super::super::{Mapping, Node, NodeKind, linux};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// Who has the IDs of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// The mapping of this index.
    Mapping(u32),
    /// More than one.
    Several,
}

/// Input IDs that one mapping has, or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) holder: Holder,
}

/// A claim to IDs: first, last, and whose.
pub(super) type Claim = (u32, u32, u32);

/// Cuts the claims at their ends and at `cuts`, and asks `holder` of each piece that somebody claims, whose claims hold
/// there being given in order. Neighbours with one answer are one piece.
fn cut<T: PartialEq + Copy>(
    claims: &[Claim],
    cuts: &[u64],
    holder: &mut dyn FnMut(u32, u32, &BTreeSet<u32>) -> T,
    visit: &mut dyn FnMut(u32, u32, T),
) {
    // Position, and what begins (true) or ends there; a cut is neither.
    let mut events: Vec<(u64, Option<(u32, bool)>)> = Vec::with_capacity(claims.len() * 2 + cuts.len());
    for (first, last, whose) in claims {
        events.push((u64::from(*first), Some((*whose, true))));
        events.push((u64::from(*last) + 1, Some((*whose, false))));
    }
    events.extend(cuts.iter().map(|at| (*at, None)));
    events.sort_unstable_by_key(|event| event.0);
    let mut active = BTreeSet::new();
    let mut open: Option<(u32, u32, T)> = None;
    let mut rest = events.iter().peekable();
    while let Some((at, what)) = rest.next() {
        match what {
            Some((whose, true)) => _ = active.insert(*whose),
            Some((whose, false)) => _ = active.remove(whose),
            None => {}
        }
        let Some((next, _)) = rest.peek().filter(|(next, _)| next > at) else { continue };
        // Positions up to 2^32 are ends; a piece begins and ends below.
        let (first, last) = (*at as u32, (*next - 1) as u32);
        let answer = (!active.is_empty()).then(|| holder(first, last, &active));
        open = match (open, answer) {
            (Some((start, end, had)), Some(answer)) if had == answer && end.checked_add(1) == Some(first) => {
                Some((start, last, had))
            }
            (before, answer) => {
                if let Some((start, end, had)) = before {
                    visit(start, end, had);
                }
                answer.map(|answer| (first, last, answer))
            }
        };
    }
    if let Some((start, end, had)) = open {
        visit(start, end, had);
    }
}

/// Tells whether claims are in order and apart, as those of most tables are: each is then a piece as it stands, in any reading.
fn are_apart(claims: &[Claim]) -> bool {
    claims.is_sorted_by(|one, next| one.1 < next.0)
}

fn as_they_stand(claims: &[Claim], pieces: &mut Vec<Piece>) {
    let piece = |(first, last, index): &Claim| Piece { first: *first, last: *last, holder: Holder::Mapping(*index) };
    pieces.extend(claims.iter().map(piece));
}

/// The plain reading: an ID that two mappings hold has no holder.
pub(super) fn spec(ranges: impl Iterator<Item = (usize, Mapping)>, pieces: &mut Vec<Piece>) {
    let claims: Vec<Claim> =
        ranges.map(|(index, mapping)| (mapping.input_base, mapping.input_last(), index as u32)).collect();
    if are_apart(&claims) {
        return as_they_stand(&claims, pieces);
    }
    let mut holder = |_, _, active: &BTreeSet<u32>| match active.first() {
        Some(only) if active.len() == 1 => Holder::Mapping(*only),
        _ => Holder::Several,
    };
    cut(&claims, &[], &mut holder, &mut |first, last, holder| pieces.push(Piece { first, last, holder }));
}

/// Linux's reading: the first mapping in the table has the ID, unless it is the last of its range and a later mapping
/// begins with it.
pub(super) fn linux(node: &Node<'_>, pieces: &mut Vec<Piece>) {
    if linux::gives_up(node) || matches!(node.kind, NodeKind::Unknown(_)) {
        return;
    }
    let own = linux::own_mapping(node);
    let mut claims: Vec<Claim> = Vec::new();
    let mut cuts = Vec::new();
    // First ID and index of each range; index of each single mapping.
    let mut starts: Vec<(u32, u32)> = Vec::new();
    let mut singles: Vec<u32> = Vec::new();
    for (at, mapping) in node.mappings().enumerate().filter(|(at, _)| Some(*at) != own) {
        let index = at as u32;
        if mapping.is_single() {
            if node.has_single_mappings() {
                claims.push((0, u32::MAX, index));
                singles.push(index);
            }
            continue;
        }
        // A range that passes 32 bits holds nothing there.
        let Some(last) = mapping.input_base.checked_add(mapping.id_count) else { continue };
        claims.push((mapping.input_base, last, index));
        starts.push((mapping.input_base, index));
        cuts.extend([u64::from(mapping.input_base) + 1, u64::from(last)]);
    }
    if are_apart(&claims) {
        return as_they_stand(&claims, pieces);
    }
    starts.sort_unstable();
    let array = node.mapping_array().unwrap_or(&[]);
    let mut holder = |first: u32, last: u32, active: &BTreeSet<u32>| {
        let winner = active.first().copied().unwrap_or(0);
        let mapping = array.get(winner as usize).map(Mapping::from);
        let is_last = mapping.is_some_and(|it| !it.is_single() && it.id_count > 0 && it.input_last() == first);
        if !is_last || first != last {
            return winner;
        }
        let start = starts.get(starts.partition_point(|start| *start <= (first, winner)));
        let start = start.filter(|start| start.0 == first).map(|start| start.1);
        let single = singles.get(singles.partition_point(|single| *single <= winner)).copied();
        start.into_iter().chain(single).min().unwrap_or(winner)
    };
    let mut keep = |first, last, winner| pieces.push(Piece { first, last, holder: Holder::Mapping(winner) });
    cut(&claims, &cuts, &mut holder, &mut keep);
}

/// Pieces of claims of which the first in order counts.
pub(super) fn first_of(claims: &[Claim], visit: &mut dyn FnMut(u32, u32, u32)) {
    let mut merged = claims.to_vec();
    // One claimant may claim twice, side by side: as one claim, its two ends do not meet in one event.
    merged.sort_unstable_by_key(|claim| (claim.2, claim.0));
    merged.dedup_by(|next, kept| {
        let touches = kept.2 == next.2 && u64::from(next.0) <= u64::from(kept.1) + 1;
        if touches {
            kept.1 = kept.1.max(next.1);
        }
        touches
    });
    let mut holder = |_, _, active: &BTreeSet<u32>| active.first().copied().unwrap_or(0);
    cut(&merged, &[], &mut holder, visit);
}
