//! From a requester ID to StreamID and DeviceID, along the output references.

use super::{Iort, ItsGroup, Mapping, Node, NodeKind};
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
enum Step {
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

    fn step(&self, id: u32) -> Step {
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
        let (mapping, output) = match (hit, single) {
            (Some(mapping), _) => (mapping, mapping.output(id)),
            (None, Some(mapping)) => (mapping, Some(mapping.output_base)),
            (None, None) => return Step::Unmapped,
        };
        match output {
            Some(id) => Step::To { reference: mapping.output_reference, id },
            None => Step::Broken(Trouble::Wrap { node, id }),
        }
    }
}

impl<'a> Iort<'a> {
    /// Where a PCI function's accesses and MSIs go. Of two root complexes with the function's segment the first one
    /// that maps the requester ID counts.
    #[must_use]
    pub fn resolve(&self, function: Bdf) -> Resolution<'a> {
        self.root_complexes()
            .filter(|complex| complex.segment == u32::from(function.segment))
            .map(|complex| self.resolve_from(&complex.node, u32::from(function.rid)))
            .find(|resolution| *resolution != Resolution::default())
            .unwrap_or_default()
    }

    /// Walks from any node with an input ID of that node, by the plain reading of the table.
    #[must_use]
    pub fn resolve_from(&self, start: &Node<'a>, id: u32) -> Resolution<'a> {
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
            match node.step(id) {
                Step::Unmapped => return resolution,
                Step::Broken(trouble) => {
                    resolution.trouble = Some(trouble);
                    return resolution;
                }
                Step::To { reference, id: output } => {
                    let Some(next) = self.node_at(reference).filter(Node::is_whole) else {
                        resolution.trouble = Some(Trouble::BadReference { node: node.offset, reference });
                        return resolution;
                    };
                    (node, id) = (next, output);
                }
            }
        }
    }
}
