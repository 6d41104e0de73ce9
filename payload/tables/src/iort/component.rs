//! Streams of devices that ACPI names: their IDs stand in the mappings, and no bus gives them.

use super::{Iort, NamedComponent, Node, Reading};
use addr::StreamId;

/// Some streams of one SMMU, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streams<'a> {
    /// The SMMU, of any version.
    pub smmu: Node<'a>,
    /// First StreamID.
    pub first: StreamId,
    /// Last StreamID.
    pub last: StreamId,
}

impl<'a> Iort<'a> {
    /// Every stream that a named component can have, in the order of its mappings. A single mapping has one output,
    /// whatever its count says. Linux takes single mappings alone, and stops at the first that is none or that refers
    /// to nothing.
    pub fn component_streams(
        &self,
        component: &NamedComponent<'a>,
        reading: Reading,
    ) -> impl Iterator<Item = Streams<'a>> + use<'a> {
        let iort = *self;
        let is_linux = reading == Reading::Linux;
        let taken = component
            .node
            .mappings()
            .take_while(move |mapping| !is_linux || (mapping.is_single() && mapping.output_reference != 0));
        taken.filter_map(move |mapping| {
            let smmu = iort.node_at(mapping.output_reference).filter(|node| node.kind.is_smmu())?;
            let last = if mapping.is_single() { mapping.output_base } else { mapping.output_last() };
            Some(Streams { smmu, first: StreamId(mapping.output_base), last: StreamId(last) })
        })
    }
}
