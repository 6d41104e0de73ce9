//! A table made ready to be asked often: every look-up takes time that grows with the logarithm of the table.
//!
//! Needs memory, unlike the table itself, so it is for the host and for whoever asks about every function of a machine.
//! What is wrong with mappings, references and ranges is found while it is built, however large the table is; the checks
//! of [`Iort::parse`] need no memory and give up on tables that are made to be slow.

mod faults;
mod graph;
mod pieces;

use super::resolve::{Step, Steps, Trouble, walk};
use super::{Iort, Mapping, Node, Reading, Resolution};
use crate::finding::Finding;
use addr::Bdf;
use alloc::vec::Vec;
use core::ops::Range;
use pieces::{Holder, Piece};

/// The index of one table.
#[derive(Clone, Debug)]
pub struct Index<'a> {
    iort: Iort<'a>,
    /// In table order, which is the order of their offsets.
    nodes: Vec<Node<'a>>,
    /// For each node its pieces.
    runs: Vec<Run>,
    pieces: Vec<Piece>,
    /// Requester IDs of each segment, with the index of the root complex that has them: sorted, disjoint.
    owners: Vec<Owner>,
    /// Segment and index of each root complex, sorted.
    complexes: Vec<(u32, u32)>,
    faults: Vec<Finding>,
}

/// What one node's mappings came to.
#[derive(Clone, Debug, Default)]
struct Run {
    spec: Range<usize>,
    linux: Range<usize>,
    /// First single mapping that counts.
    single: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    segment: u32,
    first: u32,
    last: u32,
    node: u32,
}

impl<'a> Index<'a> {
    /// Builds the index in one pass over the nodes and one over what each node's mappings hold.
    #[must_use]
    pub fn build(iort: Iort<'a>) -> Self {
        let nodes: Vec<Node<'a>> = iort.nodes().collect();
        let mut index = Self {
            iort,
            runs: Vec::with_capacity(nodes.len()),
            nodes,
            pieces: Vec::new(),
            owners: Vec::new(),
            complexes: Vec::new(),
            faults: Vec::new(),
        };
        for at in 0..index.nodes.len() {
            index.add_pieces(at);
        }
        index.add_owners();
        index.faults = faults::find(&index);
        index
    }

    fn add_pieces(&mut self, at: usize) {
        let Some(node) = self.nodes.get(at) else { return };
        let start = self.pieces.len();
        let ranges = node.stream_mappings().filter(|(_, mapping)| !(mapping.is_single() && node.has_single_mappings()));
        pieces::spec(ranges, &mut self.pieces);
        let middle = self.pieces.len();
        pieces::linux(node, &mut self.pieces);
        let mut single = node.stream_mappings();
        let single = single.find(|(_, mapping)| mapping.is_single() && node.has_single_mappings());
        let single = single.map(|(index, _)| index as u32);
        self.runs.push(Run { spec: start..middle, linux: middle..self.pieces.len(), single });
    }

    /// Which root complex has which requester IDs of its segment: the first in table order that maps them.
    fn add_owners(&mut self) {
        let segments = self.nodes.iter().filter_map(|node| Some((node.root_complex()?.segment, node.index)));
        self.complexes = segments.collect();
        self.complexes.sort_unstable();
        let mut claims = Vec::new();
        for of_segment in self.complexes.chunk_by(|one, two| one.0 == two.0) {
            claims.clear();
            for (_, node) in of_segment {
                let Some(run) = self.runs.get(*node as usize) else { continue };
                match run.single {
                    Some(_) => claims.push((0, u32::MAX, *node)),
                    None => claims.extend(self.part(&run.spec).iter().map(|piece| (piece.first, piece.last, *node))),
                }
            }
            let segment = of_segment.first().map_or(0, |(segment, _)| *segment);
            pieces::first_of(&claims, &mut |first, last, node| self.owners.push(Owner { segment, first, last, node }));
        }
    }

    fn part(&self, range: &Range<usize>) -> &[Piece] {
        self.pieces.get(range.clone()).unwrap_or(&[])
    }

    /// The table.
    #[must_use]
    pub const fn iort(&self) -> Iort<'a> {
        self.iort
    }

    /// All nodes, in table order.
    #[must_use]
    pub fn nodes(&self) -> &[Node<'a>] {
        &self.nodes
    }

    /// The node that starts at `offset`.
    #[must_use]
    pub fn node_at(&self, offset: u32) -> Option<Node<'a>> {
        let at = self.nodes.binary_search_by_key(&offset, |node| node.offset).ok()?;
        self.nodes.get(at).copied()
    }

    /// What is wrong between nodes, by rule as [`Iort::parse`] finds it, all of it; of several overlaps of one mapping
    /// only one.
    #[must_use]
    pub fn faults(&self) -> &[Finding] {
        &self.faults
    }

    /// Where a PCI function's accesses and MSIs go.
    #[must_use]
    pub fn resolve(&self, function: Bdf, reading: Reading) -> Resolution<'a> {
        let (segment, id) = (u32::from(function.segment), u32::from(function.rid));
        let complex = match reading {
            Reading::Spec => self.owner(segment, id),
            Reading::Linux => {
                let first = self.complexes.partition_point(|complex| complex.0 < segment);
                self.complexes.get(first).filter(|complex| complex.0 == segment).map(|complex| complex.1)
            }
        };
        let node = complex.and_then(|node| self.nodes.get(node as usize));
        node.map(|node| self.resolve_from(node, id, reading)).unwrap_or_default()
    }

    fn owner(&self, segment: u32, id: u32) -> Option<u32> {
        let behind = self.owners.partition_point(|owner| (owner.segment, owner.first) <= (segment, id));
        let owner = self.owners.get(behind.checked_sub(1)?)?;
        (owner.segment == segment && id <= owner.last).then_some(owner.node)
    }

    /// Walks from any node with an input ID of that node.
    #[must_use]
    pub fn resolve_from(&self, start: &Node<'a>, id: u32, reading: Reading) -> Resolution<'a> {
        walk(&Indexed { index: self, reading }, start, id)
    }

    /// Tells whether the two readings of one node's mappings may differ.
    #[must_use]
    pub fn is_ambiguous(&self, node: &Node<'a>) -> bool {
        let run = self.runs.get(node.index as usize);
        run.is_some_and(|run| self.part(&run.spec).iter().any(|piece| piece.holder == Holder::Several))
    }

    fn holder(&self, range: &Range<usize>, id: u32) -> Option<Holder> {
        let part = self.part(range);
        let behind = part.partition_point(|piece| piece.first <= id);
        part.get(behind.checked_sub(1)?).filter(|piece| id <= piece.last).map(|piece| piece.holder)
    }
}

struct Indexed<'i, 'a> {
    index: &'i Index<'a>,
    reading: Reading,
}

impl<'a> Steps<'a> for Indexed<'_, 'a> {
    fn step(&self, node: &Node<'a>, id: u32) -> Step {
        let Some(run) = self.index.runs.get(node.index as usize) else { return Step::Unmapped };
        let mapping = |index: u32| -> Option<Mapping> { node.mapping_array()?.get(index as usize).map(Mapping::from) };
        let holder = match self.reading {
            Reading::Spec => self.index.holder(&run.spec, id).or(run.single.map(Holder::Mapping)),
            Reading::Linux => self.index.holder(&run.linux, id),
        };
        match (holder, self.reading) {
            (None, _) => Step::Unmapped,
            (Some(Holder::Several), _) => Step::Broken(Trouble::Ambiguous { node: node.offset, id }),
            (Some(Holder::Mapping(index)), Reading::Spec) => {
                mapping(index).map_or(Step::Unmapped, |mapping| node.apply(&mapping, id))
            }
            (Some(Holder::Mapping(index)), Reading::Linux) => mapping(index).map_or(Step::Unmapped, |mapping| {
                let distance = if mapping.is_single() { 0 } else { id.wrapping_sub(mapping.input_base) };
                Step::To { reference: mapping.output_reference, id: mapping.output_base.wrapping_add(distance) }
            }),
        }
    }

    fn node_at(&self, offset: u32) -> Option<Node<'a>> {
        self.index.node_at(offset)
    }
}
