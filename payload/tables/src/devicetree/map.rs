//! `iommu-map` and `msi-map`: requester IDs to StreamIDs and DeviceIDs (Linux bindings `pci/pci-iommu.yaml` and
//! `pci/pci-msi.yaml`; Linux `of_map_id`).
//!
//! An entry is input base, phandle, output base, length. The mask is laid on the requester ID first, and the first entry
//! that holds the result has it.

use super::pieces::{Met, Pieces, Run};
use super::tree::Node;
use crate::finding::Sink;
use crate::rule;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// Cells of an entry, of which the third is the output base: SMMUv3 and ITS have IDs of one cell.
const ENTRY_CELLS: usize = 4;
/// Most entries of one map.
const MAX_ENTRIES: usize = 4096;
/// Last requester ID.
const LAST_RID: u32 = 0xffff;

/// The two properties of a map.
pub(super) struct Names {
    pub(super) map: &'static str,
    pub(super) mask: &'static str,
}

/// What an entry's phandle names.
pub(super) enum Target {
    /// This one of the caller's targets.
    At(usize),
    /// Something that translates nothing. IDs of the entry are in no other either.
    Nothing(&'static rule::Rule),
}

/// Runs of the requester IDs `rids`, sorted and disjoint; IDs that no entry has are in none.
pub(super) fn runs(
    node: &Node<'_, '_>,
    names: &Names,
    rids: RangeInclusive<u32>,
    target: &dyn Fn(u32) -> Target,
    sink: &mut Sink<'_>,
) -> Vec<Run> {
    let mask = node.cell(names.mask).unwrap_or(u32::MAX);
    let pieces = pieces(node, names, mask, target, sink);
    if mask & LAST_RID == LAST_RID {
        return pieces.runs(rids);
    }
    let mut runs: Vec<Run> = Vec::new();
    for rid in rids {
        let Some((target, output)) = pieces.get(rid & mask) else { continue };
        let single = Run { first: rid, last: rid, output, target };
        if !runs.last_mut().is_some_and(|run| run.join(&single)) {
            runs.push(single);
        }
    }
    runs
}

/// The entries of a map by masked ID.
fn pieces(
    node: &Node<'_, '_>,
    names: &Names,
    mask: u32,
    target: &dyn Fn(u32) -> Target,
    sink: &mut Sink<'_>,
) -> Pieces {
    let mut pieces = Pieces::default();
    let Some(value) = node.property(names.map) else { return pieces };
    if value.is_empty() || !value.len().is_multiple_of(4 * ENTRY_CELLS) {
        sink(node.finding(&rule::E_DTB_MAP_LENGTH).found(value.len() as u64).against(4 * ENTRY_CELLS as u64));
        return pieces;
    }
    let mut cells = super::cells::Cells::new(value);
    let count = cells.len() / ENTRY_CELLS;
    if count > MAX_ENTRIES {
        sink(node.finding(&rule::W_CAPACITY).found(count as u64).against(MAX_ENTRIES as u64));
    }
    for _ in 0..count.min(MAX_ENTRIES) {
        let (Some(base), Some(phandle), Some(output), Some(length)) =
            (cells.cell(), cells.cell(), cells.cell(), cells.cell())
        else {
            break;
        };
        // Linux gives up at such an entry, for every ID that comes as far as here.
        if base & !mask != 0 {
            sink(node.finding(&rule::E_DTB_MAP_MASK).found(base).against(mask));
            break;
        }
        if length == 0 {
            sink(node.finding(&rule::W_DTB_MAP_EMPTY).found(base));
            continue;
        }
        // Linux adds base and length in 32 bits: an entry whose sum wraps holds no ID.
        let last = base.checked_add(length).map(|end| (end - 1).min(LAST_RID));
        let is_fit = |last: &u32| output.checked_add(last.saturating_sub(base)).is_some();
        let Some(last) = last.filter(is_fit) else {
            sink(node.finding(&rule::E_DTB_MAP_WRAP).found(base).against(length));
            continue;
        };
        let to = match target(phandle) {
            Target::At(target) => Some((target, output)),
            Target::Nothing(rule) => {
                sink(node.finding(rule).found(phandle));
                None
            }
        };
        if pieces.add(base, last, to) != Met::Nothing {
            sink(node.finding(&rule::W_DTB_MAP_OVERLAP).found(base).against(length));
        }
    }
    pieces
}
