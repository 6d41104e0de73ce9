//! Devicetree (Devicetree Specification v0.4): the same machine that ACPI tables give, so that nothing downstream knows
//! which of the two firmware has.
//!
//! What an IORT says is translated into one ([`Devicetree::to_iort`]): one resolver serves both, and the image that is
//! handed the IORT in force needs no other. This is the one reader here that takes memory: an index of the nodes.

mod address;
mod blob;
mod cells;
mod chosen;
mod cpu;
mod direct;
mod gic;
mod host;
mod interrupt;
mod map;
mod memory;
mod order;
mod pieces;
mod platform;
mod smmu;
mod timer;
mod to_iort;
mod tree;
mod write;

pub use address::Range;
pub use blob::{MAX_BYTES, MAX_DEPTH, MAX_NODES};
pub use host::{Space, Window};
pub use memory::Reserved;

use crate::finding::{Finding, Sink, Unreadable};
use crate::rule::Rule;
use alloc::{string::String, vec::Vec};
use tree::Tree;

/// Stands for the table's signature in findings. Their offsets are those of node names in the blob.
pub const TABLE: [u8; 4] = *b"DTB ";

/// A tree that was read, and the blob that it is borrowed from.
pub struct Devicetree<'a> {
    tree: Tree<'a>,
}

impl<'a> Devicetree<'a> {
    /// Length of the blob at whose first eight bytes `start` are; `None` where there is none, or none that would be read.
    /// For a loader that is given only an address.
    #[must_use]
    pub fn length(start: [u8; 8]) -> Option<usize> {
        blob::length(start)
    }

    /// Reads the blob at the start of `bytes`, walks all of it and makes the index. Takes time in the order of the blob's
    /// length, and memory for [`MAX_NODES`] nodes at most.
    ///
    /// # Errors
    /// No devicetree; blocks that are not inside it; a structure block that is not one tree; a tree that passes
    /// [`MAX_BYTES`], [`MAX_NODES`] or [`MAX_DEPTH`].
    pub fn read(bytes: &'a [u8], sink: &mut Sink<'_>) -> Result<Self, Unreadable> {
        Ok(Self { tree: Tree::read(bytes, sink)? })
    }

    /// The blob, cut to its own length.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.tree.blob.bytes
    }

    /// The table that says what this tree says of SMMUs, host bridges, devices behind SMMUs, ITSs and ranges that DMA
    /// reaches untranslated. Never larger than 4 MiB.
    #[must_use]
    pub fn to_iort(&self, sink: &mut Sink<'_>) -> Vec<u8> {
        to_iort::to_iort(&self.tree, sink)
    }

    /// Ranges that may be used as RAM: memory nodes less `no-map` ranges; sorted, disjoint, not empty. Of them
    /// [`Devicetree::reserved`] is taken by somebody.
    #[must_use]
    pub fn memory(&self, sink: &mut Sink<'_>) -> Vec<Range> {
        memory::usable(&self.tree, &memory::reserved(&self.tree, &mut |_| {}), sink)
    }

    /// The memory reservation block and all of `/reserved-memory` that has an address.
    #[must_use]
    pub fn reserved(&self, sink: &mut Sink<'_>) -> Vec<Reserved> {
        memory::reserved(&self.tree, sink)
    }

    /// What the host bridges pass to their buses, for whoever gives addresses to BARs.
    #[must_use]
    pub fn windows(&self, sink: &mut Sink<'_>) -> Vec<Window> {
        host::hosts(&self.tree, &mut |_| {}).iter().flat_map(|host| host.windows(sink)).collect()
    }

    /// Command line that the loader passes on.
    #[must_use]
    pub fn bootargs(&self) -> Option<&'a str> {
        chosen::bootargs(&self.tree)
    }

    /// Initial RAM disk that the loader left.
    #[must_use]
    pub fn initrd(&self, sink: &mut Sink<'_>) -> Option<Range> {
        chosen::initrd(&self.tree, sink)
    }

    /// Path of the node that a finding is about.
    #[must_use]
    pub fn path_of(&self, finding: &Finding) -> Option<String> {
        let offset = finding.offset? as usize;
        let is_named = |node: &tree::Node<'_, '_>| node.index > 0 && node.offset() == offset;
        (finding.table == TABLE).then(|| self.tree.nodes().find(is_named)).flatten().map(|node| node.path())
    }
}

const fn finding(rule: &'static Rule) -> Finding {
    Finding::new(rule, TABLE)
}
