//! `iommu-addresses`: what devicetree has for RMR nodes (`reserved-memory/reserved-memory.yaml` of the devicetree schema;
//! Linux `of_iommu_get_resv_regions`).
//!
//! A region belongs to a device only if the device's own `memory-region` names it, and is mapped to itself only if the
//! device addresses are those of its `reg`. All else is a reservation of device addresses, which no RMR node can say.

use super::Range;
use super::memory::regions;
use super::order::sorted;
use super::tree::{Node, Tree};
use crate::finding::Sink;
use crate::rule;
use alloc::vec::Vec;

/// Most entries of one `memory-region` and of one `iommu-addresses`.
const MAX_ENTRIES: usize = 256;
/// Most ranges of all devices, and more than a platform keeps.
const MAX_DIRECTS: usize = 256;

/// A range that a device reaches at the addresses that it has.
pub(super) struct Direct<'t, 'a> {
    pub(super) device: Node<'t, 'a>,
    pub(super) range: Range,
}

struct Region<'t, 'a> {
    node: Node<'t, 'a>,
    range: Option<Range>,
    claims: Vec<Claim>,
}

struct Claim {
    /// Index of the device's node.
    device: usize,
    iova: u64,
    bytes: u64,
    is_reached: bool,
}

/// Ranges that devices reach at their own addresses, in the order of devices.
pub(super) fn directs<'t, 'a>(tree: &'t Tree<'a>, sink: &mut Sink<'_>) -> Vec<Direct<'t, 'a>> {
    let mut regions: Vec<_> = regions(tree).filter_map(|node| region(node, sink)).collect();
    let mut directs = Vec::new();
    if regions.is_empty() {
        return directs;
    }
    for device in tree.nodes().filter(|node| node.has("memory-region") && node.is_available()) {
        for place in named(&device, &regions, sink) {
            let Some(region) = regions.get_mut(place) else { continue };
            for claim in region.claims.iter_mut().filter(|claim| claim.device == device.index) {
                claim.is_reached = true;
                directs.extend(direct(&region.node, region.range, claim, sink).map(|range| Direct { device, range }));
            }
        }
    }
    if directs.len() > MAX_DIRECTS {
        sink(super::finding(&rule::W_CAPACITY).found(directs.len() as u64).against(MAX_DIRECTS as u64));
        directs.truncate(MAX_DIRECTS);
    }
    for region in &regions {
        for claim in region.claims.iter().filter(|claim| !claim.is_reached) {
            sink(region.node.finding(&rule::W_DTB_REGION_UNREACHED).found(claim.iova).against(claim.bytes));
        }
    }
    directs
}

/// A region that has `iommu-addresses`.
fn region<'t, 'a>(node: Node<'t, 'a>, sink: &mut Sink<'_>) -> Option<Region<'t, 'a>> {
    let mut cells = node.cells("iommu-addresses")?;
    let range = node.regs(sink).first().copied().flatten();
    let mut claims = Vec::new();
    while let Some(phandle) = cells.cell() {
        if claims.len() == MAX_ENTRIES {
            sink(node.finding(&rule::W_CAPACITY).against(MAX_ENTRIES as u64));
            break;
        }
        let device = node.tree().by_phandle(phandle);
        let Some((device, bus)) = device.and_then(|device| Some((device, device.parent()?))) else {
            sink(node.finding(&rule::E_DTB_PHANDLE).found(phandle));
            break;
        };
        let numbers = (cells.number(bus.address_cells()), cells.number(bus.size_cells()));
        let (Some(address), Some(bytes)) = numbers else {
            sink(node.finding(&rule::E_DTB_REG).found(cells.len() as u64));
            break;
        };
        if bytes == 0 {
            sink(node.finding(&rule::W_DTB_REGION_EMPTY).found(address));
            continue;
        }
        match device.translate_dma(address, bytes) {
            Some(iova) => claims.push(Claim { device: device.index, iova, bytes, is_reached: false }),
            None => sink(node.finding(&rule::E_DTB_ADDRESS).found(address).against(bytes)),
        }
    }
    Some(Region { node, range, claims })
}

/// Places of the regions that a device's `memory-region` names, each once.
fn named(device: &Node<'_, '_>, regions: &[Region<'_, '_>], sink: &mut Sink<'_>) -> Vec<usize> {
    let (mut places, mut left) = (Vec::new(), MAX_ENTRIES);
    let Some(mut cells) = device.cells("memory-region") else { return Vec::new() };
    while let Some(phandle) = cells.cell().filter(|_| left > 0) {
        left -= 1;
        let Some(node) = device.tree().by_phandle(phandle) else {
            sink(device.finding(&rule::E_DTB_PHANDLE).found(phandle));
            continue;
        };
        // Regions are children of one node, in the order of the tree.
        let place = regions.binary_search_by_key(&node.index, |region| region.node.index);
        places.extend(place.ok().map(|place| (place as u64, 0)));
    }
    let mut places = sorted(places);
    places.dedup();
    places.iter().map(|(place, _)| *place as usize).collect()
}

/// The range to map to itself, where a claim asks for that.
fn direct(region: &Node<'_, '_>, range: Option<Range>, claim: &Claim, sink: &mut Sink<'_>) -> Option<Range> {
    let Some(range) = range.filter(|range| range.bytes > 1) else {
        sink(region.finding(&rule::N_DTB_REGION_IOVA).found(claim.iova).against(claim.bytes));
        return None;
    };
    if range.base.0 != claim.iova || range.bytes != claim.bytes {
        sink(region.finding(&rule::W_DTB_REGION_INDIRECT).found(claim.iova).against(range.base.0));
        return None;
    }
    Some(range)
}
