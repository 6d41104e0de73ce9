//! Writes an IORT of table revision 6: the first in which a flag of the SMMUv3 node says whether it has a DeviceID mapping
//! (IORT E.e). Below it a node with fewer than four wired interrupts always has one.

use crate::iort::layout::{
    self, IdMapping, MemoryProperties, NodeHeader, RMR_GRANULE, RmrDescriptor, SmmuV3Tail, TABLE_BYTES,
};
use crate::sdt::checksum;
use addr::PhysAddr;
use alloc::{vec, vec::Vec};
use zerocopy::IntoBytes;

const REVISION: u8 = 6;
/// Largest table that is written.
const MAX_BYTES: usize = 4 << 20;
/// Behind [`layout::RootComplex`] since node revision 4: address limit, PASID capabilities, reserved, flags.
const ROOT_COMPLEX_TAIL: usize = 8;
/// DMA addresses of a device are not known to be narrower than this.
const ADDRESS_BITS: u8 = 64;
/// Nodes of a type have these revisions (IORT E.e).
const ITS_REVISION: u8 = 1;
const COMPONENT_REVISION: u8 = 4;
const ROOT_COMPLEX_REVISION: u8 = 4;
const SMMU_V3_REVISION: u8 = 5;
const RMR_REVISION: u8 = 3;
/// SMMUv3 flags: COHACC override; DeviceID mapping index is valid; all hardware updates of tables that IDR0.HTTU has: a tree
/// takes none away.
const COHACC_OVERRIDE: u32 = 1 << 0;
const HTTU_OVERRIDE: u32 = 2 << 1;
const HAS_DEVICE_ID: u32 = 1 << 4;
/// RMR access attributes (IORT E.d, bits 9:2).
const NORMAL_NON_CACHEABLE: u32 = 4 << 2;
const NORMAL_WRITE_BACK: u32 = 5 << 2;

/// Most mappings of a root complex: a node's Length has 16 bits.
pub(super) const ROOT_COMPLEX_MAPPINGS: usize =
    (u16::MAX as usize - size_of::<layout::RootComplex>() - ROOT_COMPLEX_TAIL) / size_of::<IdMapping>();
/// Most mappings of an SMMUv3, its own DeviceID left out.
pub(super) const SMMU_MAPPINGS: usize =
    (u16::MAX as usize - size_of::<layout::SmmuV3>() - size_of::<SmmuV3Tail>()) / size_of::<IdMapping>() - 1;

/// An SMMUv3 node.
pub(super) struct SmmuFields<'m> {
    pub(super) base: PhysAddr,
    pub(super) is_coherent: bool,
    pub(super) model: u32,
    pub(super) gsivs: [u32; 4],
    pub(super) mappings: &'m [IdMapping],
    /// Its own DeviceID, as one more mapping.
    pub(super) device_id: Option<IdMapping>,
}

/// A mapping of consecutive IDs.
pub(super) fn range(first: u32, last: u32, output: u32, reference: u32) -> IdMapping {
    IdMapping {
        input_base: first.into(),
        id_count: (last - first).into(),
        output_base: output.into(),
        output_reference: reference.into(),
        flags: 0.into(),
    }
}

/// A mapping of no ID in particular.
pub(super) fn single(input: u32, output: u32, reference: u32) -> IdMapping {
    IdMapping { flags: 1.into(), ..range(input, input, output, reference) }
}

/// A table in the making. Each node method returns the node's offset, or `None` where the node has no room.
pub(super) struct Writer {
    bytes: Vec<u8>,
    nodes: u32,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; TABLE_BYTES as usize], nodes: 0 }
    }

    pub(super) fn its_group(&mut self, id: u32) -> Option<u32> {
        self.node(0, ITS_REVISION, &[1_u32.to_le_bytes(), id.to_le_bytes()].concat(), &[], &[])
    }

    pub(super) fn smmu(&mut self, fields: &SmmuFields<'_>) -> Option<u32> {
        let index = fields.mappings.len() as u32;
        let coherent = if fields.is_coherent { COHACC_OVERRIDE } else { 0 };
        let device_id = if fields.device_id.is_some() { HAS_DEVICE_ID } else { 0 };
        let [event_gsiv, pri_gsiv, gerror_gsiv, sync_gsiv] = fields.gsivs.map(Into::into);
        let node = layout::SmmuV3 {
            header: EMPTY,
            base: fields.base.0.into(),
            flags: (coherent | HTTU_OVERRIDE | device_id).into(),
            reserved: 0.into(),
            vatos: 0.into(),
            model: fields.model.into(),
            event_gsiv,
            pri_gsiv,
            gerror_gsiv,
            sync_gsiv,
        };
        let index = if fields.device_id.is_some() { index } else { 0 };
        let tail = SmmuV3Tail { proximity: 0.into(), id_mapping_index: index.into() };
        let mappings = [fields.mappings, fields.device_id.as_slice()].concat();
        self.node(4, SMMU_V3_REVISION, &[behind_header(node.as_bytes()), tail.as_bytes()].concat(), &mappings, &[])
    }

    pub(super) fn root_complex(
        &mut self,
        segment: u16,
        is_coherent: bool,
        has_ats: bool,
        mappings: &[IdMapping],
    ) -> Option<u32> {
        let node = layout::RootComplex {
            header: EMPTY,
            memory: memory(is_coherent),
            ats: u32::from(has_ats).into(),
            segment: u32::from(segment).into(),
        };
        let mut tail = [0; ROOT_COMPLEX_TAIL];
        if let Some(limit) = tail.first_mut() {
            *limit = ADDRESS_BITS;
        }
        self.node(2, ROOT_COMPLEX_REVISION, &[behind_header(node.as_bytes()), &tail].concat(), mappings, &[])
    }

    pub(super) fn named_component(&mut self, name: &str, is_coherent: bool, mappings: &[IdMapping]) -> Option<u32> {
        let node = layout::NamedComponent {
            header: EMPTY,
            flags: 0.into(),
            memory: memory(is_coherent),
            address_limit: ADDRESS_BITS,
        };
        let mut fixed = behind_header(node.as_bytes()).to_vec();
        fixed.extend_from_slice(name.as_bytes());
        fixed.push(0);
        fixed.resize(fixed.len().next_multiple_of(4), 0);
        self.node(1, COMPONENT_REVISION, &fixed, mappings, &[])
    }

    /// `is_coherent`: the device snoops the CPUs' caches, so that the range is cacheable for it.
    pub(super) fn rmr(&mut self, base: PhysAddr, bytes: u64, is_coherent: bool, mappings: &[IdMapping]) -> Option<u32> {
        let ranges = RmrDescriptor { base: base.0.into(), length: bytes.into(), reserved: 0.into() };
        let offset = size_of::<layout::Rmr>() + size_of_val(mappings);
        let attributes = if is_coherent { NORMAL_WRITE_BACK } else { NORMAL_NON_CACHEABLE };
        let node = layout::Rmr {
            header: EMPTY,
            flags: attributes.into(),
            count: 1.into(),
            offset: u32::try_from(offset).ok()?.into(),
        };
        self.node(6, RMR_REVISION, behind_header(node.as_bytes()), mappings, ranges.as_bytes())
    }

    fn node(
        &mut self,
        node_type: u8,
        revision: u8,
        fixed: &[u8],
        mappings: &[IdMapping],
        behind: &[u8],
    ) -> Option<u32> {
        let mapping_offset = size_of::<NodeHeader>() + fixed.len();
        let length = mapping_offset + size_of_val(mappings) + behind.len();
        if self.bytes.len() + length > MAX_BYTES {
            return None;
        }
        let header = NodeHeader {
            node_type,
            length: u16::try_from(length).ok()?.into(),
            revision,
            identifier: self.nodes.into(),
            mapping_count: (mappings.len() as u32).into(),
            mapping_offset: if mappings.is_empty() { 0.into() } else { (mapping_offset as u32).into() },
        };
        let offset = self.bytes.len() as u32;
        for part in [header.as_bytes(), fixed, mappings.as_bytes(), behind] {
            self.bytes.extend_from_slice(part);
        }
        self.nodes += 1;
        Some(offset)
    }

    /// The table with its header.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let mut header = Vec::with_capacity(TABLE_BYTES as usize);
        header.extend_from_slice(b"IORT");
        header.extend_from_slice(&(self.bytes.len() as u32).to_le_bytes());
        header.extend_from_slice(&[REVISION, 0]);
        header.extend_from_slice(b"INFLGTDTB TREE");
        header.extend_from_slice(&1_u32.to_le_bytes());
        header.extend_from_slice(b"INFL");
        for word in [1, self.nodes, TABLE_BYTES, 0] {
            header.extend_from_slice(&word.to_le_bytes());
        }
        for (to, from) in self.bytes.iter_mut().zip(&header) {
            *to = *from;
        }
        let sum = checksum(&self.bytes).wrapping_neg();
        if let Some(place) = self.bytes.get_mut(9) {
            *place = sum;
        }
        self.bytes
    }
}

/// Stands in layouts whose header [`Writer::node`] writes.
const EMPTY: NodeHeader = NodeHeader {
    node_type: 0,
    length: zerocopy::little_endian::U16::ZERO,
    revision: 0,
    identifier: zerocopy::little_endian::U32::ZERO,
    mapping_count: zerocopy::little_endian::U32::ZERO,
    mapping_offset: zerocopy::little_endian::U32::ZERO,
};

fn behind_header(node: &[u8]) -> &[u8] {
    node.get(size_of::<NodeHeader>()..).unwrap_or_default()
}

/// Coherent: CCA, and the flags CPM and DACS, without which Linux takes a device for one that does not snoop.
fn memory(is_coherent: bool) -> MemoryProperties {
    let flags = if is_coherent { 3 } else { 0 };
    MemoryProperties { cca: u32::from(is_coherent).into(), hints: 0, reserved: 0.into(), flags }
}

/// Tells whether a range is one that an RMR node may name without a finding.
pub(super) const fn is_whole(base: PhysAddr, bytes: u64) -> bool {
    base.is_aligned(RMR_GRANULE) && bytes.is_multiple_of(RMR_GRANULE)
}
