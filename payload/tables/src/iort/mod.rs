//! IO Remapping Table (Arm DEN 0049, issue E.f unless said otherwise, cited as IORT E.f): which device sits behind which SMMU and which ITS.

pub mod amend;
mod check;
mod check_map;
mod check_rmr;
mod component;
pub mod index;
pub mod layout;
mod linux;
mod monitor;
mod node;
pub mod quirk;
mod resolve;
mod rmr;
pub mod rmr_place;
mod smmu_v2;
mod view;

#[cfg(test)]
mod tests;

pub use component::Streams;
pub use index::Index;
pub use monitor::{Iwb, Pmcg};
pub use node::{Mapping, Node, NodeKind};
pub use quirk::{Quirk, Reading};
pub use resolve::{ItsDevice, Resolution, SmmuStream, Trouble, disagreement};
pub use rmr::{Rmr, RmrFlags, RmrRange, RmrStreams};
pub use smmu_v2::{Interrupt, SmmuV1V2};
pub use view::{ItsGroup, NamedComponent, RootComplex, SmmuV3};

use crate::finding::{Finding, Sink, Unreadable};
use crate::read;
use crate::rule::{self, Rule};
use crate::sdt::{HEADER_BYTES, Sdt};
use layout::TABLE_BYTES;

/// Signature of the table.
pub const SIGNATURE: [u8; 4] = *b"IORT";

/// A table whose walk ends: every node in it lies inside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Iort<'a> {
    table: &'a [u8],
    revision: u8,
    first: u32,
    nodes: u32,
}

impl<'a> Iort<'a> {
    /// Reads the table and checks all of it; what is wrong goes to `sink`, what has a meaning is kept.
    ///
    /// # Errors
    /// The bytes hold no IORT: too few, another signature, or a Length that cannot be.
    pub fn parse(bytes: &'a [u8], sink: &mut Sink<'_>) -> Result<Self, Unreadable> {
        let iort = Self::read(bytes, sink)?;
        check::check(iort, sink);
        Ok(iort)
    }

    /// Reads a table that was checked before: findings are not made again.
    ///
    /// # Errors
    /// As [`Iort::parse`].
    pub fn parse_again(bytes: &'a [u8]) -> Result<Self, Unreadable> {
        Self::read(bytes, &mut |_| {})
    }

    /// The table, walked but not checked.
    fn read(bytes: &'a [u8], sink: &mut Sink<'_>) -> Result<Self, Unreadable> {
        let sdt = Sdt::parse(bytes, SIGNATURE, TABLE_BYTES as usize, sink)?;
        match sdt.revision {
            0 | 3 | 5..=7 => {}
            1 | 2 | 4 => sink(finding(&rule::W_TABLE_REV_DEPRECATED).at(8).found(sdt.revision)),
            newer => sink(finding(&rule::W_TABLE_REV).at(8).found(newer).against(7_u8)),
        }
        let mut iort = Self { table: sdt.bytes, revision: sdt.revision, first: TABLE_BYTES, nodes: 0 };
        iort.walk(sink);
        Ok(iort)
    }

    /// Counts the nodes that can be walked, and says why there are not as many as the table claims.
    fn walk(&mut self, sink: &mut Sink<'_>) {
        let Some(fields) = read::record::<layout::TableFields>(self.table, HEADER_BYTES) else { return };
        let (count, first) = (fields.node_count.get(), fields.node_offset.get());
        if count == 0 {
            sink(finding(&rule::W_NO_NODES).at(36));
            return;
        }
        if first < TABLE_BYTES || first as usize >= self.table.len() {
            sink(finding(&rule::E_NODE_OFFSET).at(40).found(first).against(self.table.len() as u64));
            return;
        }
        self.first = first;
        let mut offset = first;
        while self.nodes < count {
            match Node::read(self.table, offset, self.nodes) {
                // An offset inside a table of at most 2^32 - 1 bytes: the sum fits.
                Ok(node) => offset = offset.saturating_add(node.length()),
                Err(broken) if core::ptr::eq(broken, &rule::E_COUNT_OVERRUN) => {
                    sink(finding(broken).at(36).found(count).against(self.nodes));
                    return;
                }
                Err(broken) => {
                    sink(finding(broken).at(offset as usize).against(self.nodes));
                    return;
                }
            }
            self.nodes += 1;
        }
        let left = self.table.len().saturating_sub(offset as usize);
        if left > 0 {
            sink(finding(&rule::W_COUNT_UNDERRUN).at(offset as usize).found(left as u64));
        }
    }

    /// The table's bytes, cut to its Length.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.table
    }

    /// Revision of the table.
    #[must_use]
    pub const fn revision(&self) -> u8 {
        self.revision
    }

    /// Tells whether Linux takes this table's RMR nodes.
    #[must_use]
    pub const fn has_rmrs_for_linux(&self) -> bool {
        self.revision >= layout::RMR_TABLE_REVISION
    }

    /// Number of nodes that can be walked.
    #[must_use]
    pub const fn node_count(&self) -> u32 {
        self.nodes
    }

    /// All nodes in table order, those of unread and unknown types included.
    #[must_use]
    pub const fn nodes(&self) -> Nodes<'a> {
        Nodes { table: self.table, offset: self.first, index: 0, count: self.nodes }
    }

    /// The node that starts at `offset`, as output references name it.
    #[must_use]
    pub fn node_at(&self, offset: u32) -> Option<Node<'a>> {
        self.nodes().take_while(|node| node.offset <= offset).find(|node| node.offset == offset)
    }
}

fn finding(rule: &'static Rule) -> Finding {
    Finding::new(rule, SIGNATURE)
}

/// Iterator over the nodes of a table.
#[derive(Clone, Debug)]
pub struct Nodes<'a> {
    table: &'a [u8],
    offset: u32,
    index: u32,
    count: u32,
}

impl<'a> Iterator for Nodes<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        if self.index >= self.count {
            return None;
        }
        let node = Node::read(self.table, self.offset, self.index).ok()?;
        self.offset = self.offset.saturating_add(node.length());
        self.index += 1;
        Some(node)
    }
}
