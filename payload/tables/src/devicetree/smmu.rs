//! SMMUs of version 3 (Linux binding `iommu/arm,smmu-v3.yaml`), and devices that name one.

use super::gic::ItsNode;
use super::map::Target;
use super::tree::{Node, Tree};
use crate::finding::Sink;
use crate::rule;
use addr::PhysAddr;
use alloc::vec::Vec;

const SMMU_V3: &str = "arm,smmu-v3";
/// Two register pages of 64 KiB (IHI 0070, 6.1).
const BYTES: u64 = 0x2_0000;
/// Model numbers of the IORT.
const GENERIC: u32 = 0;
const HI161X: u32 = 1;
const CN99XX: u32 = 2;
/// Most SMMUs, and more than a platform keeps.
const MAX_SMMUS: usize = 64;
/// Most StreamIDs of one device.
pub(super) const MAX_STREAMS: usize = 1024;

/// An SMMUv3 and its node.
pub(super) struct Smmu {
    pub(super) index: usize,
    pub(super) base: PhysAddr,
    /// Devicetree overrides IDR0.COHACC in both directions; the IORT knows only this one.
    pub(super) is_coherent: bool,
    pub(super) model: u32,
    /// Event queue, PRI queue, GERROR, CMD_SYNC.
    pub(super) gsivs: [u32; 4],
    /// Place of the ITS that takes its own MSIs, and its DeviceID there.
    pub(super) msi: Option<(usize, u32)>,
    iommu_cells: u8,
}

/// The SMMUs in the order of the tree.
pub(super) fn smmus(tree: &Tree<'_>, its: &[ItsNode], sink: &mut Sink<'_>) -> Vec<Smmu> {
    let mut found: Vec<Smmu> = Vec::new();
    for node in tree.compatible(&[SMMU_V3]).take(MAX_SMMUS) {
        let Some(range) = node.reg(sink) else { continue };
        let model = if node.has("cavium,cn9900-broken-page1-regspace") {
            CN99XX
        } else if node.has("hisilicon,broken-prefetch-cmd") {
            HI161X
        } else {
            GENERIC
        };
        if range.bytes < BYTES && model != CN99XX {
            sink(node.finding(&rule::W_DTB_SMMU_SHORT).found(range.bytes).against(BYTES));
        }
        let iommu_cells = node.iommu_cells().unwrap_or(0);
        if iommu_cells != 1 {
            sink(node.finding(&rule::E_DTB_IOMMU_CELLS).found(iommu_cells).against(1_u8));
        }
        found.push(Smmu {
            index: node.index,
            base: range.base,
            is_coherent: node.is_coherent(),
            model,
            gsivs: gsivs(&node, sink),
            msi: msi_parent(&node, its),
            iommu_cells,
        });
    }
    found
}

/// Wired interrupts by name; `combined` is all four.
fn gsivs(node: &Node<'_, '_>, sink: &mut Sink<'_>) -> [u32; 4] {
    let interrupts = node.interrupts(sink);
    let Some(places) = node.interrupt_places(["eventq", "priq", "gerror", "cmdq-sync", "combined"]) else {
        return [0; 4];
    };
    let gsiv = |place: Option<usize>| place.and_then(|place| interrupts.get(place)).map_or(0, |found| found.gsiv);
    let [event, pri, gerror, sync, combined] = places;
    match gsiv(combined) {
        0 => [event, pri, gerror, sync].map(gsiv),
        shared => [shared; 4],
    }
}

/// The ITS that `msi-parent` names, and the DeviceID behind it.
pub(super) fn msi_parent(node: &Node<'_, '_>, its: &[ItsNode]) -> Option<(usize, u32)> {
    let mut cells = node.cells("msi-parent")?;
    let index = node.tree().by_phandle(cells.cell()?)?.index;
    let place = its.binary_search_by_key(&index, |its| its.index).ok()?;
    let device_id = its.get(place).filter(|its| its.msi_cells > 0).and_then(|_| cells.cell());
    Some((place, device_id.unwrap_or(0)))
}

/// Which SMMU a phandle names.
pub(super) fn target(tree: &Tree<'_>, smmus: &[Smmu], phandle: u32) -> Target {
    let Some(node) = tree.by_phandle(phandle) else { return Target::Nothing(&rule::E_DTB_PHANDLE) };
    match smmus.binary_search_by_key(&node.index, |smmu| smmu.index) {
        Ok(place) if smmus.get(place).is_some_and(|smmu| smmu.iommu_cells == 1) => Target::At(place),
        Ok(_) => Target::Nothing(&rule::E_DTB_IOMMU_CELLS),
        Err(_) if !node.is_available() => Target::Nothing(&rule::N_DTB_IOMMU_OFF),
        Err(_) => Target::Nothing(&rule::W_DTB_IOMMU_KIND),
    }
}

/// Streams that a device's `iommus` names: place of the SMMU and StreamID.
pub(super) fn streams(node: &Node<'_, '_>, smmus: &[Smmu], sink: &mut Sink<'_>) -> Vec<(usize, u32)> {
    let (mut streams, tree) = (Vec::new(), node.tree());
    let mut said: Option<&rule::Rule> = None;
    let Some(mut cells) = node.cells("iommus") else { return streams };
    while let Some(phandle) = cells.cell() {
        let count = tree.by_phandle(phandle).map(|target| target.iommu_cells().unwrap_or(0));
        let specifier = count.and_then(|count| cells.take(count.into()));
        match (target(tree, smmus, phandle), specifier) {
            (Target::At(place), Some(mut specifier)) => streams.extend(specifier.cell().map(|stream| (place, stream))),
            // One word for all entries that lead to the same.
            (Target::Nothing(rule), Some(_)) if said == Some(rule) => {}
            (Target::Nothing(rule), Some(_)) => {
                said = Some(rule);
                sink(node.finding(rule).found(phandle));
            }
            // Without its target's cell count a list has no next entry.
            (_, None) => {
                sink(node.finding(&rule::E_DTB_PHANDLE).found(phandle));
                break;
            }
        }
        if streams.len() == MAX_STREAMS && !cells.is_empty() {
            sink(node.finding(&rule::W_CAPACITY).against(MAX_STREAMS as u64));
            break;
        }
    }
    streams
}
