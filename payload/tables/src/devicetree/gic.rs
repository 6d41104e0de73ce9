//! The interrupt controller: GIC, its redistributors and ITSs (Linux bindings `interrupt-controller/arm,gic-v3.yaml` and
//! `arm,gic.yaml`).

use super::tree::{Node, Tree};
use crate::finding::Sink;
use crate::madt::{Gicd, Gicr, Its};
use crate::rule;
use alloc::vec::Vec;

const GIC_V3: &str = "arm,gic-v3";
const GICS_V2: [&str; 7] = [
    "arm,gic-400",
    "arm,cortex-a15-gic",
    "arm,cortex-a9-gic",
    "arm,cortex-a7-gic",
    "arm,cortex-a5-gic",
    "arm,arm1176jzf-devchip-gic",
    "qcom,msm-qgic2",
];
/// Every controller whose interrupt numbers are the GIC's.
pub(super) const GICS: [&str; 8] = {
    let [a, b, c, d, e, f, g] = GICS_V2;
    [GIC_V3, a, b, c, d, e, f, g]
};
const ITS: &str = "arm,gic-v3-its";
/// Most ITSs, and more than a platform keeps.
const MAX_ITS: usize = 64;

/// An ITS and its node.
pub(super) struct ItsNode {
    pub(super) its: Its,
    pub(super) index: usize,
    pub(super) msi_cells: usize,
}

/// The ITSs, numbered in the order of the tree: devicetree has no identifiers of its own for them.
pub(super) fn its_nodes(tree: &Tree<'_>, sink: &mut Sink<'_>) -> Vec<ItsNode> {
    let mut found = Vec::new();
    for node in tree.compatible(&[ITS]).take(MAX_ITS) {
        let Some(range) = node.reg(sink) else { continue };
        let its = Its { id: found.len() as u32, base: range.base };
        found.push(ItsNode { its, index: node.index, msi_cells: node.msi_cells().unwrap_or(1).into() });
    }
    found
}

/// Distributor and redistributors.
pub(super) fn gic(tree: &Tree<'_>, sink: &mut Sink<'_>) -> (Option<Gicd>, Vec<Gicr>) {
    let mut nodes = tree.compatible(&GICS);
    let Some(node) = nodes.next() else {
        sink(super::finding(&rule::W_GIC_NO_DISTRIBUTOR));
        return (None, Vec::new());
    };
    if let Some(second) = nodes.next() {
        sink(second.finding(&rule::W_GIC_DISTRIBUTORS));
    }
    let regs = node.regs(sink);
    let Some(distributor) = regs.first().copied().flatten() else {
        sink(node.finding(&rule::E_DTB_REG));
        return (None, Vec::new());
    };
    if !node.is_compatible(&[GIC_V3]) {
        return (Some(Gicd { base: distributor.base, version: 2 }), Vec::new());
    }
    let redistributors = redistributors(&node, regs.get(1..).unwrap_or_default(), sink);
    (Some(Gicd { base: distributor.base, version: 3 }), redistributors)
}

/// Behind the distributor come the redistributor regions, and CPU interfaces that nothing here uses.
fn redistributors(node: &Node<'_, '_>, regs: &[Option<super::Range>], sink: &mut Sink<'_>) -> Vec<Gicr> {
    let count = node.cell("#redistributor-regions").unwrap_or(1) as usize;
    // A reader of the ranges takes the distance from GICR_TYPER, which knows two.
    if let Some(stride) = node.cells("redistributor-stride").and_then(|mut cells| cells.number(cells.len()))
        && !matches!(stride, 0x2_0000 | 0x4_0000)
    {
        sink(node.finding(&rule::W_DTB_REDISTRIBUTOR_STRIDE).found(stride));
    }
    let regions = regs.iter().take(count).flatten();
    let found: Vec<_> = regions
        .filter(|region| region.bytes > 0)
        .map(|region| Gicr { base: region.base, bytes: u32::try_from(region.bytes).unwrap_or(u32::MAX) })
        .collect();
    if found.is_empty() {
        sink(node.finding(&rule::W_GIC_NO_REDISTRIBUTOR));
    } else if found.len() < count {
        sink(node.finding(&rule::E_DTB_REG).found(found.len() as u64).against(count as u64));
    }
    found
}
