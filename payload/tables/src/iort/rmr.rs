//! Reserved memory ranges: which stream does DMA to which physical range behind everyone's back.

use super::layout::{self, RmrDescriptor};
use super::{Iort, Node, NodeKind};
use crate::read;
use addr::{PhysAddr, StreamId};

/// Flag word of an RMR node (IORT E.d). A draft node has none and reads as zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RmrFlags(pub u32);

impl RmrFlags {
    /// The operating system may map the range elsewhere.
    #[must_use]
    pub const fn is_remap_permitted(self) -> bool {
        self.0 & 1 != 0
    }

    /// Accesses are privileged.
    #[must_use]
    pub const fn is_privileged(self) -> bool {
        self.0 & 2 != 0
    }

    /// Access attributes: 0 nGnRnE, 1 nGnRE, 2 nGRE, 3 GRE, 4 Normal non-cacheable, 5 Normal write-back.
    #[must_use]
    pub const fn attributes(self) -> u8 {
        (self.0 >> 2 & 0xff) as u8
    }
}

/// One memory range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RmrRange {
    /// First address.
    pub base: PhysAddr,
    /// Length in bytes, in whole 64 KiB granules where firmware is right.
    pub bytes: u64,
}

impl RmrRange {
    /// Last address; `None` for an empty range and for one that passes 64 bits.
    #[must_use]
    pub fn last(&self) -> Option<PhysAddr> {
        self.base.checked_add(self.bytes.checked_sub(1)?)
    }
}

/// The streams of one SMMU that an RMR belongs to, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RmrStreams<'a> {
    /// The SMMU, of any version.
    pub smmu: Node<'a>,
    /// First StreamID.
    pub first: StreamId,
    /// Last StreamID.
    pub last: StreamId,
}

/// An RMR node (IORT E.f): every range of it for every stream of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rmr<'a> {
    /// The node.
    pub node: Node<'a>,
    /// Flags.
    pub flags: RmrFlags,
    ranges: &'a [RmrDescriptor],
    iort: Iort<'a>,
}

impl<'a> Rmr<'a> {
    /// Memory ranges, those that make no sense included; none where their array is not inside the node.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = RmrRange> + Clone + use<'a> {
        self.ranges.iter().map(|raw| RmrRange { base: PhysAddr(raw.base.get()), bytes: raw.length.get() })
    }

    /// Streams, from the *output* side of the mappings: the input side means nothing here, nor does the single-mapping
    /// flag (IORT E.d). A mapping that names no SMMU, or passes 32 bits, gives none.
    pub fn streams(&self) -> impl Iterator<Item = RmrStreams<'a>> + use<'a> {
        self.streams_at().map(|(streams, _)| streams)
    }

    /// [`Rmr::streams`], each with the place of its mapping in the table.
    pub(super) fn streams_at(&self) -> impl Iterator<Item = (RmrStreams<'a>, usize)> + use<'a> {
        let (iort, node) = (self.iort, self.node);
        node.mappings().enumerate().filter_map(move |(index, mapping)| {
            let smmu = iort.node_at(mapping.output_reference).filter(|node| node.kind.is_smmu())?;
            let last = mapping.output_base.checked_add(mapping.id_count)?;
            let streams = RmrStreams { smmu, first: StreamId(mapping.output_base), last: StreamId(last) };
            Some((streams, node.mapping_at(index)))
        })
    }

    /// Place of a range's descriptor in the table.
    pub(super) fn descriptor_at(&self, index: usize) -> usize {
        let offset = self.node.rmr_fields().map_or(0, |fields| fields.offset as usize);
        (self.node.offset as usize)
            .saturating_add(offset)
            .saturating_add(index.saturating_mul(size_of::<RmrDescriptor>()))
    }
}

/// Fields of an RMR node that its revision has: flags, number and offset of the ranges.
pub(super) struct RmrFields {
    pub(super) flags: RmrFlags,
    pub(super) count: u32,
    pub(super) offset: u32,
}

impl<'a> Node<'a> {
    pub(super) fn rmr_fields(&self) -> Option<RmrFields> {
        if self.kind != NodeKind::Rmr || !self.is_whole() {
            return None;
        }
        // The first draft, shipped in 2021 (HoneyComb), has no flags word.
        if self.revision == 0 {
            let raw: layout::RmrDraft = read::record(self.bytes, 0)?;
            return Some(RmrFields { flags: RmrFlags(0), count: raw.count.get(), offset: raw.offset.get() });
        }
        let raw: layout::Rmr = read::record(self.bytes, 0)?;
        let flags = RmrFlags(raw.flags.get());
        Some(RmrFields { flags, count: raw.count.get(), offset: raw.offset.get() })
    }

    /// Memory ranges; `None` where they are not inside the node behind its fixed part.
    pub(super) fn rmr_descriptors(&self, fields: &RmrFields) -> Option<&'a [RmrDescriptor]> {
        if fields.count == 0 {
            return Some(&[]);
        }
        let behind = fields.offset >= self.kind.fixed_bytes(self.revision);
        behind.then(|| read::array(self.bytes, fields.offset, fields.count)).flatten()
    }
}

impl<'a> Iort<'a> {
    /// RMR nodes, whatever the table's revision: see [`Iort::has_rmrs_for_linux`].
    pub fn rmrs(&self) -> impl Iterator<Item = Rmr<'a>> + use<'a> {
        let iort = *self;
        self.nodes().filter_map(move |node| iort.rmr(&node))
    }

    /// A node of this table as an RMR node.
    #[must_use]
    pub fn rmr(&self, node: &Node<'a>) -> Option<Rmr<'a>> {
        let fields = node.rmr_fields()?;
        let ranges = node.rmr_descriptors(&fields).unwrap_or_default();
        Some(Rmr { node: *node, flags: fields.flags, ranges, iort: *self })
    }
}
