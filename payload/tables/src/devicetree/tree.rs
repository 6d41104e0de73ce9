//! The tree as an index that is made in one pass: parents, phandles, and the properties that nodes below inherit.

use super::blob::{Blob, Reader};
use super::cells::{Cells, strings};
use super::finding;
use super::order::{Pair, sorted};
use crate::finding::{Sink, Unreadable, refuse};
use crate::rule;
use alloc::{string::String, vec::Vec};

/// Cells that the standard gives where a property is not there (Devicetree Specification v0.4, 2.3.5).
const ADDRESS_CELLS: u8 = 2;
const SIZE_CELLS: u8 = 1;
/// Bytes of a `compatible` that are read. It is asked for often, and a few names long.
const MAX_COMPATIBLE: usize = 512;

/// What other nodes ask of a node, read once.
struct Entry<'a> {
    node: fdt::nodes::Node<'a, Reader<'a>>,
    parent: u32,
    phandle: Option<u32>,
    /// Phandle of the interrupt parent that the node itself names.
    interrupt_parent: Option<u32>,
    compatible: &'a [u8],
    ranges: Option<&'a [u8]>,
    address_cells: Option<u8>,
    size_cells: Option<u8>,
    interrupt_cells: Option<u8>,
    iommu_cells: Option<u8>,
    msi_cells: Option<u8>,
    is_coherent: bool,
    is_available: bool,
}

/// The tree.
pub(super) struct Tree<'a> {
    pub(super) blob: Blob<'a>,
    entries: Vec<Entry<'a>>,
    /// Phandles in order, with the index of their node.
    phandles: Vec<Pair>,
}

/// A node of a tree.
#[derive(Clone, Copy)]
pub(super) struct Node<'t, 'a> {
    tree: &'t Tree<'a>,
    /// Place in the order of the blob; the root is 0, and every parent is before its children.
    pub(super) index: usize,
}

impl<'a> Tree<'a> {
    pub(super) fn read(bytes: &'a [u8], sink: &mut Sink<'_>) -> Result<Self, Unreadable> {
        let blob = Blob::read(bytes, sink)?;
        let mut tree = Self { blob, entries: Vec::with_capacity(blob.nodes as usize), phandles: Vec::new() };
        // The walk before has seen all nodes; a reader that finds fewer has another idea of the format.
        if tree.index().is_none() || tree.entries.len() != blob.nodes as usize {
            let found = finding(&rule::E_DTB_STRUCTURE).at(blob.structure_at());
            return Err(refuse(found.found(tree.entries.len() as u64).against(blob.nodes), sink));
        }
        tree.index_phandles(sink);
        Ok(tree)
    }

    fn index(&mut self) -> Option<()> {
        let reader = self.blob.open_reader()?;
        let root = reader.root().ok()?;
        let mut parents = [0_u32; super::blob::MAX_DEPTH as usize + 1];
        self.entries.push(entry(fdt::nodes::AsNode::as_node(&root), 0, None)?);
        for item in root.all_nodes().ok()? {
            let (depth, node) = item.ok()?;
            let parent = *parents.get(depth.checked_sub(1)?)?;
            *parents.get_mut(depth)? = u32::try_from(self.entries.len()).ok()?;
            let entry = entry(node, parent, self.entries.get(parent as usize))?;
            self.entries.push(entry);
        }
        Some(())
    }

    /// The first node of a phandle has it (Devicetree Specification v0.4, 2.3.3: a phandle is unique).
    fn index_phandles(&mut self, sink: &mut Sink<'_>) {
        let of = |(index, entry): (usize, &Entry<'_>)| Some((entry.phandle?.into(), index as u64));
        let mut phandles = sorted(self.entries.iter().enumerate().filter_map(of).collect());
        let mut twice = None;
        phandles.dedup_by(|later, earlier| {
            let is_same = later.0 == earlier.0;
            twice = twice.or(is_same.then_some(*later));
            is_same
        });
        self.phandles = phandles;
        if let Some((phandle, index)) = twice
            && let Some(node) = self.node(index as usize)
        {
            sink(node.finding(&rule::W_DTB_PHANDLE_TWICE).found(phandle));
        }
    }

    pub(super) fn node(&self, index: usize) -> Option<Node<'_, 'a>> {
        (index < self.entries.len()).then_some(Node { tree: self, index })
    }

    /// All nodes, parents before their children.
    pub(super) fn nodes(&self) -> impl Iterator<Item = Node<'_, 'a>> + Clone {
        (0..self.entries.len()).map(|index| Node { tree: self, index })
    }

    /// Nodes that are there and compatible with one of `names`.
    pub(super) fn compatible<'t>(&'t self, names: &[&str]) -> impl Iterator<Item = Node<'t, 'a>> {
        self.nodes().filter(|node| node.is_available() && node.is_compatible(names))
    }

    pub(super) fn by_phandle(&self, phandle: u32) -> Option<Node<'_, 'a>> {
        let at = self.phandles.binary_search_by_key(&u64::from(phandle), |(phandle, _)| *phandle).ok()?;
        self.node(self.phandles.get(at)?.1 as usize)
    }

    /// The node of a path such as `/soc/serial@9000000`; a component without unit address finds the first of its name.
    pub(super) fn by_path(&self, path: &str) -> Option<Node<'_, 'a>> {
        let mut node = self.node(0)?;
        for component in path.split('/').filter(|component| !component.is_empty()) {
            node = node.child(component)?;
        }
        Some(node)
    }
}

/// Reads what other nodes ask of this one.
fn entry<'a>(node: fdt::nodes::Node<'a, Reader<'a>>, parent: u32, above: Option<&Entry<'a>>) -> Option<Entry<'a>> {
    let mut entry = Entry {
        node,
        parent,
        phandle: None,
        interrupt_parent: None,
        compatible: &[],
        ranges: None,
        address_cells: None,
        size_cells: None,
        interrupt_cells: None,
        iommu_cells: None,
        msi_cells: None,
        is_coherent: above.is_some_and(|above| above.is_coherent),
        is_available: above.is_none_or(|above| above.is_available),
    };
    for property in node.properties().ok()? {
        let property = property.ok()?;
        let cell = || Cells::new(property.value).cell();
        let few = || cell().map(|cell| cell.min(255) as u8);
        match property.name {
            "phandle" => entry.phandle = cell().or(entry.phandle),
            "linux,phandle" => entry.phandle = entry.phandle.or(cell()),
            "interrupt-parent" => entry.interrupt_parent = cell(),
            "compatible" => entry.compatible = property.value.get(..MAX_COMPATIBLE).unwrap_or(property.value),
            "ranges" => entry.ranges = Some(property.value),
            "#address-cells" => entry.address_cells = few(),
            "#size-cells" => entry.size_cells = few(),
            "#interrupt-cells" => entry.interrupt_cells = few(),
            "#iommu-cells" => entry.iommu_cells = few(),
            "#msi-cells" => entry.msi_cells = few(),
            "dma-coherent" => entry.is_coherent = true,
            "dma-noncoherent" => entry.is_coherent = false,
            "status" => entry.is_available &= matches!(property.value, b"okay\0" | b"ok\0"),
            _ => {}
        }
    }
    Some(entry)
}

impl<'t, 'a> Node<'t, 'a> {
    fn entry(&self) -> Option<&'t Entry<'a>> {
        self.tree.entries.get(self.index)
    }

    pub(super) const fn tree(&self) -> &'t Tree<'a> {
        self.tree
    }

    /// `None` for the root.
    pub(super) fn parent(&self) -> Option<Self> {
        let parent = self.entry()?.parent as usize;
        (self.index != 0).then_some(Self { tree: self.tree, index: parent })
    }

    pub(super) fn children(&self) -> impl Iterator<Item = Self> + use<'t, 'a> {
        let (parent, tree) = (self.index, self.tree);
        let later = (parent + 1..tree.entries.len()).map(move |index| Self { tree, index });
        // Descendants follow their ancestor without a gap.
        let below = later.take_while(move |node| node.entry().is_some_and(|entry| entry.parent as usize >= parent));
        below.filter(move |node| node.entry().is_some_and(|entry| entry.parent as usize == parent))
    }

    fn child(&self, component: &str) -> Option<Self> {
        let is_it = |node: &Self| {
            let name = node.name();
            name == component || name.split_once('@').is_some_and(|(base, _)| base == component)
        };
        self.children().find(is_it)
    }

    /// Name with unit address; empty for the root.
    pub(super) fn name(&self) -> &'a str {
        let Some(Ok(name)) = self.entry().map(|entry| entry.node.name()) else { return "" };
        let Some(unit) = name.unit_address else {
            return if self.index == 0 { "" } else { name.name };
        };
        // Both parts and the `@` between them are neighbours in the blob.
        let bytes = self.tree.blob.bytes;
        let start = self.tree.blob.offset_of(name.name.as_bytes());
        let whole = bytes.get(start..start + name.name.len() + 1 + unit.len()).unwrap_or_default();
        core::str::from_utf8(whole).unwrap_or(name.name)
    }

    /// Path from the root.
    pub(super) fn path(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        let mut node = Some(*self);
        while let Some(here) = node.filter(|node| node.index != 0) {
            names.push(here.name());
            node = here.parent();
        }
        let mut path = String::new();
        for name in names.iter().rev() {
            path.push('/');
            path.push_str(name);
        }
        if path.is_empty() {
            path.push('/');
        }
        path
    }

    /// Where the node is in the blob: at its name.
    pub(super) fn offset(&self) -> usize {
        let name = self.entry().and_then(|entry| entry.node.name().ok());
        name.map_or(0, |name| self.tree.blob.offset_of(name.name.as_bytes()))
    }

    /// A finding about this node.
    pub(super) fn finding(&self, rule: &'static rule::Rule) -> crate::Finding {
        finding(rule).at(self.offset())
    }

    /// Value of a property; the first of its name.
    pub(super) fn property(&self, name: &str) -> Option<&'a [u8]> {
        self.entry()?.node.raw_property(name).ok().flatten().map(|property| property.value)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.property(name).is_some()
    }

    /// Cells of a property.
    pub(super) fn cells(&self, name: &str) -> Option<Cells<'a>> {
        self.property(name).map(Cells::new)
    }

    /// The one cell of a property.
    pub(super) fn cell(&self, name: &str) -> Option<u32> {
        self.cells(name)?.cell()
    }

    /// The first string of a property.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        strings(self.property(name)?).next()
    }

    pub(super) fn is_compatible(&self, names: &[&str]) -> bool {
        self.entry().is_some_and(|entry| strings(entry.compatible).any(|name| names.contains(&name)))
    }

    /// Neither the node nor one above it is switched off (Devicetree Specification v0.4, 2.3.4).
    pub(super) fn is_available(&self) -> bool {
        self.entry().is_some_and(|entry| entry.is_available)
    }

    /// `dma-coherent`, its own or of the nearest node above that says anything.
    pub(super) fn is_coherent(&self) -> bool {
        self.entry().is_some_and(|entry| entry.is_coherent)
    }

    pub(super) fn ranges(&self) -> Option<&'a [u8]> {
        self.entry()?.ranges
    }

    /// Cells of an address on the bus that this node is.
    pub(super) fn address_cells(&self) -> usize {
        self.entry().and_then(|entry| entry.address_cells).unwrap_or(ADDRESS_CELLS).into()
    }

    /// Cells of a length on the bus that this node is.
    pub(super) fn size_cells(&self) -> usize {
        self.entry().and_then(|entry| entry.size_cells).unwrap_or(SIZE_CELLS).into()
    }

    pub(super) fn interrupt_cells(&self) -> Option<u8> {
        self.entry()?.interrupt_cells
    }

    pub(super) fn iommu_cells(&self) -> Option<u8> {
        self.entry()?.iommu_cells
    }

    pub(super) fn msi_cells(&self) -> Option<u8> {
        self.entry()?.msi_cells
    }

    /// The node that takes this node's interrupts: named here, or else the nearest node above that takes interrupts or
    /// names one that does.
    pub(super) fn interrupt_parent(&self) -> Option<Self> {
        let mut node = *self;
        loop {
            if let Some(phandle) = node.entry()?.interrupt_parent {
                return self.tree.by_phandle(phandle);
            }
            node = node.parent()?;
            if node.interrupt_cells().is_some() {
                return Some(node);
            }
        }
    }
}
