//! How Linux walks IDs (`iort_node_map_id`, `iort_id_map`), which is not always what the table says.

use super::quirk::{self, Quirk};
use super::resolve::Step;
use super::{Mapping, Node, NodeKind};

/// What a mapping does with an ID.
pub(super) enum Match {
    /// Nothing.
    No,
    /// It gives this output.
    Yes(u32),
    /// It gives this output unless a later mapping starts with the ID: its count may have been written as N, not N-1.
    Unless(u32),
}

/// Whether `mapping` of `node` takes `id`. Sums wrap at 32 bits, as they do there.
pub(super) fn holds(node: &Node<'_>, mapping: &Mapping, id: u32) -> Match {
    if mapping.is_single() {
        return if node.has_single_mappings() { Match::Yes(mapping.output_base) } else { Match::No };
    }
    let last = mapping.input_base.wrapping_add(mapping.id_count);
    if id < mapping.input_base || id > last {
        return Match::No;
    }
    let output = mapping.output_base.wrapping_add(id - mapping.input_base);
    if mapping.id_count > 0 && id == last { Match::Unless(output) } else { Match::Yes(output) }
}

/// Tells whether Linux maps nothing through `node`: it looks for a null reference in the first mapping alone, and then
/// gives the node up.
pub(super) fn gives_up(node: &Node<'_>) -> bool {
    node.mappings().next().is_some_and(|first| first.output_reference == 0)
}

/// Index of the mapping that is not for streams but for the node's own MSIs.
pub(super) fn own_mapping(node: &Node<'_>) -> Option<usize> {
    match node.kind {
        NodeKind::Pmcg => node.pmcg().filter(|pmcg| pmcg.overflow_gsiv == 0).map(|_| 0),
        _ => node.device_id_mapping().map(|index| index as usize),
    }
}

/// The step that Linux makes. `used` is told of each quirk that decided something.
pub(super) fn step(node: &Node<'_>, id: u32, used: &mut dyn FnMut(&'static Quirk)) -> Step {
    if gives_up(node) {
        used(&quirk::NULL_FIRST_REFERENCE);
        return Step::Unmapped;
    }
    let own = own_mapping(node);
    let mut provisional = None;
    for (index, mapping) in node.mappings().enumerate() {
        if Some(index) == own {
            continue;
        }
        let reference = mapping.output_reference;
        match (holds(node, &mapping, id), provisional) {
            (Match::No, _) if mapping.is_single() => used(&quirk::SINGLE_ON_WRONG_TYPE),
            (Match::No, _) => {}
            (Match::Yes(id), None) => return Step::To { reference, id },
            (Match::Yes(output), Some(_)) if mapping.is_single() || mapping.input_base == id => {
                used(&quirk::COUNT_ONE_TOO_LARGE);
                return Step::To { reference, id: output };
            }
            (Match::Unless(id), None) => provisional = Some(Step::To { reference, id }),
            (Match::Yes(_) | Match::Unless(_), Some(_)) => used(&quirk::FIRST_MATCH_STAYS),
        }
    }
    provisional.unwrap_or(Step::Unmapped)
}
