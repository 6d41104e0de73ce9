//! From a requester ID to StreamID and DeviceID, along the output references.

use super::{Iort, ItsGroup, Mapping, Node, NodeKind, Reading, finding, linux};
use crate::finding::Finding;
use crate::rule;
use addr::{Bdf, PhysAddr, StreamId};
use arrayvec::ArrayVec;

/// Nodes of the longest walk. A legal one has three (device, SMMU, ITS group); a longer one is broken firmware already.
const MAX_WALK: usize = 16;

/// Where a device's accesses and its MSIs go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resolution<'a> {
    /// The first SMMU on the way; none: the device is untranslated.
    pub smmu: Option<SmmuStream>,
    /// The ITS group at the end; none: no MSI is described.
    pub its: Option<ItsDevice<'a>>,
    /// Why the walk broke off, if it did. What was found before it stands.
    pub trouble: Option<Trouble>,
}

/// An SMMU and what it calls the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmmuStream {
    /// Offset of the SMMU's node in the table.
    pub offset: u32,
    /// Index of the SMMU's node in table order.
    pub index: u32,
    /// Version 1/2 or 3.
    pub kind: NodeKind,
    /// Base of its registers.
    pub base: PhysAddr,
    /// The device's StreamID there.
    pub stream: StreamId,
}

/// An ITS group and what it calls the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItsDevice<'a> {
    /// The group; [`ItsGroup::ids`] are the ITSs that can take the device's MSIs.
    pub group: ItsGroup<'a>,
    /// The device's DeviceID there.
    pub device_id: u32,
}

/// Why a walk broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Two mappings hold the ID.
    #[error("two mappings of the node at {node:#x} hold ID {id:#x}")]
    Ambiguous {
        /// Offset of the node.
        node: u32,
        /// The ID.
        id: u32,
    },
    /// A mapping names no node, or a node too short for its type.
    #[error("the node at {node:#x} refers to {reference:#x}, which is no whole node")]
    BadReference {
        /// Offset of the node that refers.
        node: u32,
        /// What it refers to.
        reference: u32,
    },
    /// The output ID passes 32 bits.
    #[error("the output ID of {id:#x} at the node at {node:#x} passes 32 bits")]
    Wrap {
        /// Offset of the node.
        node: u32,
        /// The ID.
        id: u32,
    },
    /// The walk comes back to a node, or is longer than any legal one.
    #[error("the walk comes back to the node at {node:#x}")]
    Loop {
        /// Offset of the node.
        node: u32,
    },
}

/// What the mappings of one node say about an ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Unmapped,
    To { reference: u32, id: u32 },
    Broken(Trouble),
}

impl<'a> Node<'a> {
    /// Tells whether the single-mapping flag has a meaning on this node's stream mappings.
    pub(super) const fn has_single_mappings(&self) -> bool {
        matches!(self.kind, NodeKind::NamedComponent | NodeKind::RootComplex | NodeKind::Iwb)
    }

    /// Mappings that translate IDs, with their place: all but an SMMUv3's own DeviceID.
    pub(super) fn stream_mappings(&self) -> impl Iterator<Item = (usize, Mapping)> + Clone + use<'a> {
        let own = self.device_id_mapping().map(|index| index as usize);
        self.mappings().enumerate().filter(move |(index, _)| Some(*index) != own)
    }

    /// The plain reading: the only range that holds the ID, else the single mapping.
    pub(super) fn step(&self, id: u32) -> Step {
        let node = self.offset;
        let mut hit: Option<Mapping> = None;
        let mut single: Option<Mapping> = None;
        for (_, mapping) in self.stream_mappings() {
            if mapping.is_single() && self.has_single_mappings() {
                single = single.or(Some(mapping));
            } else if id.checked_sub(mapping.input_base).is_some_and(|distance| distance <= mapping.id_count) {
                if hit.is_some() {
                    return Step::Broken(Trouble::Ambiguous { node, id });
                }
                hit = Some(mapping);
            }
        }
        match hit.or(single) {
            Some(mapping) => self.apply(&mapping, id),
            None => Step::Unmapped,
        }
    }

    /// The step that `mapping`, which was found to hold `id`, makes of it.
    pub(super) fn apply(&self, mapping: &Mapping, id: u32) -> Step {
        let is_single = mapping.is_single() && self.has_single_mappings();
        match if is_single { Some(mapping.output_base) } else { mapping.output(id) } {
            Some(id) => Step::To { reference: mapping.output_reference, id },
            None => Step::Broken(Trouble::Wrap { node: self.offset, id }),
        }
    }
}

/// What a walk asks on its way: the table itself can answer, and so can an index of it.
pub(super) trait Steps<'a> {
    /// What the mappings of `node` say about `id`.
    fn step(&self, node: &Node<'a>, id: u32) -> Step;
    /// The node that starts at `offset`.
    fn node_at(&self, offset: u32) -> Option<Node<'a>>;
}

/// Walks from `start` with an input ID of it to the end.
pub(super) fn walk<'a>(steps: &dyn Steps<'a>, start: &Node<'a>, id: u32) -> Resolution<'a> {
    let mut resolution = Resolution::default();
    let mut visited = ArrayVec::<u32, MAX_WALK>::new();
    let (mut node, mut id) = (*start, id);
    loop {
        if visited.contains(&node.offset) || visited.try_push(node.offset).is_err() {
            resolution.trouble = Some(Trouble::Loop { node: node.offset });
            return resolution;
        }
        if let Some(group) = node.its_group() {
            resolution.its = Some(ItsDevice { group, device_id: id });
            return resolution;
        }
        if let Some(base) = node.smmu_base()
            && resolution.smmu.is_none()
        {
            let Node { offset, index, kind, .. } = node;
            resolution.smmu = Some(SmmuStream { offset, index, kind, base, stream: StreamId(id) });
        }
        match steps.step(&node, id) {
            Step::Unmapped => return resolution,
            Step::Broken(trouble) => {
                resolution.trouble = Some(trouble);
                return resolution;
            }
            Step::To { reference, id: output } => {
                let Some(next) = steps.node_at(reference).filter(Node::is_whole) else {
                    resolution.trouble = Some(Trouble::BadReference { node: node.offset, reference });
                    return resolution;
                };
                (node, id) = (next, output);
            }
        }
    }
}

/// A table that is searched from its start for every step.
struct Table<'a> {
    iort: Iort<'a>,
    reading: Reading,
}

impl<'a> Steps<'a> for Table<'a> {
    fn step(&self, node: &Node<'a>, id: u32) -> Step {
        match self.reading {
            Reading::Spec => node.step(id),
            Reading::Linux => linux::step(node, id, &mut |_| ()),
        }
    }

    fn node_at(&self, offset: u32) -> Option<Node<'a>> {
        self.iort.node_at(offset)
    }
}

impl<'a> Iort<'a> {
    /// Where a PCI function's accesses and MSIs go, by the plain reading of the table. Of two root complexes with the
    /// function's segment the first one that maps the requester ID counts.
    #[must_use]
    pub fn resolve(&self, function: Bdf) -> Resolution<'a> {
        let id = u32::from(function.rid);
        let complex = self.complexes_of(function.segment).find(|complex| complex.step(id) != Step::Unmapped);
        complex.map(|complex| self.resolve_from(&complex, id)).unwrap_or_default()
    }

    /// Walks from any node with an input ID of that node, by the plain reading of the table.
    #[must_use]
    pub fn resolve_from(&self, start: &Node<'a>, id: u32) -> Resolution<'a> {
        walk(&Table { iort: *self, reading: Reading::Spec }, start, id)
    }

    /// Where Linux takes a PCI function's accesses and MSIs to: only the first root complex of a segment counts.
    #[must_use]
    pub fn resolve_as_linux(&self, function: Bdf) -> Resolution<'a> {
        let first = self.complexes_of(function.segment).next();
        first.map(|complex| self.resolve_from_as_linux(&complex, u32::from(function.rid))).unwrap_or_default()
    }

    /// Walks from any node with an input ID of that node, as Linux does.
    #[must_use]
    pub fn resolve_from_as_linux(&self, start: &Node<'a>, id: u32) -> Resolution<'a> {
        walk(&Table { iort: *self, reading: Reading::Linux }, start, id)
    }

    /// [`disagreement`] about a PCI function, said at the first root complex of its segment.
    #[must_use]
    pub fn readings_differ(&self, function: Bdf) -> Option<Finding> {
        let complex = self.complexes_of(function.segment).next()?;
        disagreement(&complex, &self.resolve(function), &self.resolve_as_linux(function))
    }

    fn complexes_of(&self, segment: u16) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let of_segment = self.root_complexes().filter(move |complex| complex.segment == u32::from(segment));
        of_segment.map(|complex| complex.node)
    }
}

/// What the two readings of one device's IDs disagree about, if they do: `None` where both lead to one place.
#[must_use]
pub fn disagreement(start: &Node<'_>, spec: &Resolution<'_>, linux: &Resolution<'_>) -> Option<Finding> {
    if (spec.smmu, spec.its) == (linux.smmu, linux.its) {
        return None;
    }
    let differ = finding(&rule::W_READINGS_DIFFER).at(start.offset as usize);
    let streams = (spec.smmu.map(|smmu| smmu.stream.0), linux.smmu.map(|smmu| smmu.stream.0));
    Some(match streams {
        (Some(ours), Some(theirs)) if ours != theirs => differ.found(ours).against(theirs),
        (Some(stream), _) => differ.found(stream),
        (None, Some(stream)) => differ.against(stream),
        (None, None) => differ,
    })
}
