//! PCI host bridges: segment, buses, configuration space and windows (IEEE 1275 PCI bus binding; Linux bindings
//! `pci/host-generic-pci.yaml` and `pci/pci.txt`).

use super::tree::{Node, Tree};
use crate::finding::Sink;
use crate::mcfg::EcamRegion;
use crate::rule;
use addr::PhysAddr;
use alloc::vec::Vec;

const ECAM: &str = "pci-host-ecam-generic";
/// Configuration space with 256 bytes for each function: not what ECAM readers can walk.
const CAM: &str = "pci-host-cam-generic";
/// ECAM in which the root bus shows its one device many times, so that a plain walk finds ghosts.
const ODD_ECAM: [&str; 3] = ["marvell,armada8k-pcie-ecam", "socionext,synquacer-pcie-ecam", "snps,dw-pcie-ecam"];
/// Most windows of one host bridge.
const MAX_WINDOWS: usize = 32;
/// Most host bridges.
const MAX_HOSTS: usize = 64;
const BUS_BYTES: u64 = 1 << 20;

/// A PCI host bridge that has a segment.
pub(super) struct Host<'t, 'a> {
    pub(super) node: Node<'t, 'a>,
    pub(super) segment: u16,
    pub(super) first_bus: u8,
    pub(super) last_bus: u8,
}

/// Address space of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// I/O ports.
    Io,
    /// Memory below 4 GiB on the PCI side.
    Memory32,
    /// Memory for 64-bit BARs.
    Memory64,
}

/// A range of CPU addresses that a host bridge passes to its bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Segment of the host bridge.
    pub segment: u16,
    /// Its first bus.
    pub first_bus: u8,
    /// Its last bus.
    pub last_bus: u8,
    /// Address space.
    pub space: Space,
    /// Reads have no effect, and may be merged.
    pub is_prefetchable: bool,
    /// First address on the bus.
    pub pci: u64,
    /// First address as the CPU sees it.
    pub cpu: PhysAddr,
    /// Length in bytes, not zero.
    pub bytes: u64,
}

/// The host bridges. Segments that the tree does not number are numbered in its order, past those that it does.
pub(super) fn hosts<'t, 'a>(tree: &'t Tree<'a>, sink: &mut Sink<'_>) -> Vec<Host<'t, 'a>> {
    let mut nodes: Vec<_> = tree.nodes().filter(|node| node.is_available() && is_host(node)).collect();
    if nodes.len() > MAX_HOSTS {
        sink(super::finding(&rule::W_CAPACITY).found(nodes.len() as u64).against(MAX_HOSTS as u64));
        nodes.truncate(MAX_HOSTS);
    }
    let mut taken: Vec<u32> = nodes.iter().filter_map(|node| node.cell("linux,pci-domain")).collect();
    let mut hosts: Vec<Host<'t, 'a>> = Vec::new();
    for node in nodes {
        let segment = node.cell("linux,pci-domain").unwrap_or_else(|| {
            let free = (0..).find(|segment| !taken.contains(segment)).unwrap_or(u32::MAX);
            taken.push(free);
            free
        });
        let Ok(segment) = u16::try_from(segment) else {
            sink(node.finding(&rule::E_DTB_DOMAIN).found(segment));
            continue;
        };
        let Some((first_bus, last_bus)) = buses(&node, sink) else { continue };
        let shares = |other: &Host<'_, '_>| {
            other.segment == segment && other.first_bus <= last_bus && first_bus <= other.last_bus
        };
        if hosts.iter().any(shares) {
            sink(node.finding(&rule::E_DTB_DOMAIN).found(segment).against(first_bus));
            continue;
        }
        hosts.push(Host { node, segment, first_bus, last_bus });
    }
    hosts
}

fn is_host(node: &Node<'_, '_>) -> bool {
    let is_pci = |node: &Node<'_, '_>| node.text("device_type") == Some("pci");
    node.is_compatible(&[ECAM, CAM]) || is_pci(node) && !node.parent().is_some_and(|parent| is_pci(&parent))
}

/// `bus-range`, or all buses.
fn buses(node: &Node<'_, '_>, sink: &mut Sink<'_>) -> Option<(u8, u8)> {
    let Some(mut cells) = node.cells("bus-range") else { return Some((0, 255)) };
    let (first, last) = (cells.cell().unwrap_or(u32::MAX), cells.cell().unwrap_or(0));
    match (u8::try_from(first), u8::try_from(last)) {
        (Ok(first), Ok(last)) if first <= last => Some((first, last)),
        _ => {
            sink(node.finding(&rule::E_ECAM_BUSES).found(last).against(first));
            None
        }
    }
}

impl Host<'_, '_> {
    /// Configuration space, where it is ECAM.
    pub(super) fn ecam(&self, sink: &mut Sink<'_>) -> Option<EcamRegion> {
        if !self.node.is_compatible(&[ECAM]) {
            let odd = if self.node.is_compatible(&[CAM]) {
                &rule::W_DTB_HOST_CAM
            } else if self.node.is_compatible(&ODD_ECAM) {
                &rule::W_DTB_HOST_GHOSTS
            } else {
                &rule::W_DTB_HOST_KIND
            };
            sink(self.node.finding(odd));
            return None;
        }
        let range = self.node.reg(sink)?;
        let wanted = u64::from(self.last_bus - self.first_bus) + 1;
        let there = range.bytes / BUS_BYTES;
        if there < wanted {
            sink(self.node.finding(&rule::W_DTB_ECAM_SHORT).found(range.bytes).against(wanted * BUS_BYTES));
        }
        let buses = there.min(wanted).checked_sub(1)?;
        // `reg` starts at the first bus, and a region of the MCFG at bus 0.
        let base = range.base.0.checked_sub(u64::from(self.first_bus) * BUS_BYTES).filter(|base| *base != 0);
        let Some(base) = base else {
            sink(self.node.finding(&rule::E_ECAM_BASE).found(range.base.0));
            return None;
        };
        let last_bus = self.first_bus + buses as u8;
        Some(EcamRegion { base: PhysAddr(base), segment: self.segment, first_bus: self.first_bus, last_bus })
    }

    /// Windows, in the order of `ranges`. An address on the bus has three cells, of which the first says the space.
    pub(super) fn windows(&self, sink: &mut Sink<'_>) -> Vec<Window> {
        let mut windows = Vec::new();
        let node = &self.node;
        let (Some(above), Some(ranges)) = (node.parent(), node.cells("ranges")) else { return windows };
        let (parent, size) = (above.address_cells(), node.size_cells());
        if node.address_cells() != 3 || parent > 2 || size != 2 || !ranges.len().is_multiple_of(5 + parent) {
            sink(node.finding(&rule::E_DTB_RANGES).found(ranges.len() as u64));
            return windows;
        }
        let mut cells = ranges;
        while let Some(high) = cells.cell() {
            let (Some(pci), Some(to), Some(bytes)) = (cells.number(2), cells.number(parent), cells.number(size)) else {
                break;
            };
            if windows.len() == MAX_WINDOWS {
                sink(node.finding(&rule::W_CAPACITY).against(MAX_WINDOWS as u64));
                break;
            }
            let space = match high >> 24 & 3 {
                1 => Space::Io,
                2 => Space::Memory32,
                3 => Space::Memory64,
                // Configuration space, which `reg` has already.
                _ => continue,
            };
            let cpu = above.translate(to, bytes).filter(|cpu| bytes > 0 && fits(*cpu, bytes) && fits(pci, bytes));
            let Some(cpu) = cpu else {
                sink(node.finding(&rule::E_DTB_ADDRESS).found(to).against(bytes));
                continue;
            };
            let Self { segment, first_bus, last_bus, .. } = *self;
            let (is_prefetchable, cpu) = (high & 1 << 30 != 0, PhysAddr(cpu));
            windows.push(Window { segment, first_bus, last_bus, space, is_prefetchable, pci, cpu, bytes });
        }
        windows
    }
}

fn fits(base: u64, bytes: u64) -> bool {
    base.checked_add(bytes - 1).is_some()
}
