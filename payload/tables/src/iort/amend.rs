//! Adds one RMR node to a copy of a firmware's table, for machines whose firmware describes none.

use super::layout::{
    IdMapping, NodeHeader, RMR_GRANULE, RMR_TABLE_REVISION, Rmr, RmrDescriptor, TABLE_BYTES, TableFields,
};
use super::{Iort, Node};
use crate::finding::Unreadable;
use crate::sdt::{HEADER_BYTES, checksum};
use addr::{PhysAddr, StreamId};
use zerocopy::IntoBytes;

/// The node that is added: one mapping, one range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RmrWish {
    /// The stream that the range belongs to.
    pub stream: StreamId,
    /// Offset of the stream's SMMU node in the table.
    pub smmu: u32,
    /// First address, a multiple of 64 KiB.
    pub base: PhysAddr,
    /// Length in bytes, a multiple of 64 KiB and not zero.
    pub bytes: u64,
}

/// Why no node was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmendError {
    /// The bytes hold no IORT.
    #[error("no table to amend: {0}")]
    Table(#[from] Unreadable),
    /// The node array does not end where the table does, so a node behind it would not be the next one.
    #[error("the IORT counts {counted} nodes, {walked} can be walked and end at {end:#x} of {length:#x} bytes")]
    Nodes {
        /// Nodes that the table claims.
        counted: u32,
        /// Nodes that can be walked.
        walked: u32,
        /// End of the last one.
        end: u32,
        /// Length of the table.
        length: u32,
    },
    /// No SMMU node starts at the offset.
    #[error("no SMMU node starts at IORT+{0:#x}")]
    NoSmmu(u32),
    /// The range is not one that firmware may write.
    #[error("{bytes:#x} bytes at {base} are not whole 64 KiB granules below 2^64")]
    Range {
        /// First address.
        base: PhysAddr,
        /// Length.
        bytes: u64,
    },
    /// A length field of the table is at its end.
    #[error("the IORT is too long to be amended")]
    TooLong,
    /// The caller's buffer is too small.
    #[error("the amended IORT needs {needed} bytes, the buffer has {room}")]
    Buffer {
        /// Bytes needed.
        needed: usize,
        /// Bytes there.
        room: usize,
    },
}

/// Revision of the added node: the published layout (IORT E.d).
const NODE_REVISION: u8 = 3;
/// Access attributes of the added range: Normal write-back, for a range of RAM (IORT E.d, bits 9:2).
const NORMAL_WRITE_BACK: u32 = 5 << 2;
/// Alignment of the added node. Firmware need not align nodes (Qualcomm tables do not), ours is.
const NODE_ALIGN: usize = 4;

const MAPPING_AT: usize = size_of::<Rmr>();
const RANGE_AT: usize = MAPPING_AT + size_of::<IdMapping>();
const NODE_BYTES: usize = RANGE_AT + size_of::<RmrDescriptor>();

/// Bytes that [`amend`] needs for a table of `firmware` bytes: never less than it writes.
#[must_use]
pub const fn amended_len(firmware: &[u8]) -> usize {
    firmware.len().saturating_add(NODE_ALIGN - 1).saturating_add(NODE_BYTES)
}

/// Writes `firmware` with one more node to `out` and returns its length. Every offset of the table stays valid: the node
/// goes to the end; padding before it becomes part of the node before it.
///
/// The result has no error that `firmware` does not have.
///
/// # Errors
/// See [`AmendError`]; `out` is then of no use.
pub fn amend(firmware: &[u8], wish: &RmrWish, out: &mut [u8]) -> Result<usize, AmendError> {
    let iort = Iort::parse(firmware, &mut |_| {})?;
    let RmrWish { base, bytes, .. } = *wish;
    let is_range = base.is_aligned(RMR_GRANULE) && bytes > 0 && bytes.is_multiple_of(RMR_GRANULE);
    if !is_range || base.checked_add(bytes - 1).is_none() {
        return Err(AmendError::Range { base, bytes });
    }
    iort.node_at(wish.smmu).filter(|node| node.smmu_base().is_some()).ok_or(AmendError::NoSmmu(wish.smmu))?;
    let last = last_node(&iort)?;

    let table = iort.bytes();
    let at = table.len().next_multiple_of(NODE_ALIGN);
    let length = at.checked_add(NODE_BYTES).ok_or(AmendError::TooLong)?;
    let table_length = u32::try_from(length).map_err(|_| AmendError::TooLong)?;
    let padded = u16::try_from(last.bytes.len() + (at - table.len())).map_err(|_| AmendError::TooLong)?;
    let room = out.len();
    let out = out.get_mut(..length).ok_or(AmendError::Buffer { needed: length, room })?;

    let identifier = iort.nodes().map(|node| node.identifier).max().unwrap_or(0).wrapping_add(1);
    put(out, 0, table);
    put(out, table.len(), &[0; NODE_ALIGN - 1]);
    put(out, last.offset as usize + 1, &padded.to_le_bytes());
    put_node(out, at, wish, identifier);
    put(out, 4, &table_length.to_le_bytes());
    put(out, 8, &[iort.revision().max(RMR_TABLE_REVISION)]);
    put(out, HEADER_BYTES, &iort.node_count().saturating_add(1).to_le_bytes());
    put(out, 9, &[0]);
    let sum = checksum(out).wrapping_neg();
    put(out, 9, &[sum]);
    Ok(length)
}

/// The last node, where the node array is whole and ends with the table.
fn last_node<'a>(iort: &Iort<'a>) -> Result<Node<'a>, AmendError> {
    let fields: Option<TableFields> = crate::read::record(iort.bytes(), HEADER_BYTES);
    let counted = fields.map_or(0, |fields| fields.node_count.get());
    let last = iort.nodes().last();
    let end = last.map_or(TABLE_BYTES, |node| node.offset.saturating_add(node.length()));
    let length = iort.bytes().len() as u32;
    match last {
        Some(node) if counted == iort.node_count() && end == length => Ok(node),
        _ => Err(AmendError::Nodes { counted, walked: iort.node_count(), end, length }),
    }
}

fn put_node(out: &mut [u8], at: usize, wish: &RmrWish, identifier: u32) {
    let header = NodeHeader {
        node_type: 6,
        length: (NODE_BYTES as u16).into(),
        revision: NODE_REVISION,
        identifier: identifier.into(),
        mapping_count: 1.into(),
        mapping_offset: (MAPPING_AT as u32).into(),
    };
    let node = Rmr { header, flags: NORMAL_WRITE_BACK.into(), count: 1.into(), offset: (RANGE_AT as u32).into() };
    let mapping = IdMapping {
        input_base: 0.into(),
        id_count: 0.into(),
        output_base: wish.stream.0.into(),
        output_reference: wish.smmu.into(),
        flags: 1.into(),
    };
    let range = RmrDescriptor { base: wish.base.0.into(), length: wish.bytes.into(), reserved: 0.into() };
    put(out, at, node.as_bytes());
    put(out, at + MAPPING_AT, mapping.as_bytes());
    put(out, at + RANGE_AT, range.as_bytes());
}

/// Copies as much of `bytes` to `at` as `out` has room for.
fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in out.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}
