//! CPUs and how to start them (Linux bindings `arm/cpus.yaml` and `arm/psci.yaml`).

use super::tree::{Node, Tree};
use crate::fadt::Conduit;
use crate::finding::Sink;
use crate::platform::Cpu;
use crate::rule;
use alloc::vec::Vec;

/// Versions since 0.2 have the function numbers that the standard gives.
const PSCI: [&str; 2] = ["arm,psci-1.0", "arm,psci-0.2"];
const PSCI_0_1: &str = "arm,psci";

/// CPUs in the order of the tree. Only those that PSCI starts, and the one that booted, are enabled.
pub(super) fn cpus(tree: &Tree<'_>, sink: &mut Sink<'_>) -> Vec<Cpu> {
    let folder = tree.by_path("/cpus");
    let cells = folder.map_or(1, |folder| folder.address_cells());
    let nodes: Vec<_> = folder.into_iter().flat_map(|folder| folder.children()).filter(is_cpu).collect();
    let boot = u64::from(tree.blob.boot_cpu());
    for node in &nodes {
        if mpidr(node, cells).is_none() {
            sink(node.finding(&rule::E_DTB_REG));
        } else if node.text("enable-method").is_some_and(|method| method != "psci") {
            sink(node.finding(&rule::W_DTB_CPU_METHOD));
        }
    }
    if nodes.is_empty() {
        sink(super::finding(&rule::W_DTB_NO_CPU));
    }
    let cpu = |node: &Node<'_, '_>| {
        let mpidr = mpidr(node, cells)?;
        // `disabled` is a CPU that is not running yet (Devicetree Specification v0.4, 3.8.1); `fail` one that is broken.
        let is_broken = node.text("status").is_some_and(|status| status.starts_with("fail"));
        let is_started = node.text("enable-method") == Some("psci") || mpidr == boot;
        Some(Cpu { mpidr, is_enabled: is_started && !is_broken })
    };
    nodes.iter().filter_map(cpu).collect()
}

fn is_cpu(node: &Node<'_, '_>) -> bool {
    node.text("device_type") == Some("cpu") || node.name().split('@').next() == Some("cpu")
}

fn mpidr(node: &Node<'_, '_>, cells: usize) -> Option<u64> {
    node.cells("reg")?.number(cells).filter(|_| matches!(cells, 1 | 2))
}

/// How PSCI is called.
pub(super) fn conduit(tree: &Tree<'_>, sink: &mut Sink<'_>) -> Conduit {
    let Some(node) = tree.compatible(&PSCI).next() else {
        match tree.compatible(&[PSCI_0_1]).next() {
            Some(old) => sink(old.finding(&rule::W_DTB_PSCI)),
            None => sink(super::finding(&rule::W_PSCI_NONE)),
        }
        return Conduit::None;
    };
    match node.text("method") {
        Some("smc") => Conduit::Smc,
        Some("hvc") => Conduit::Hvc,
        _ => {
            sink(node.finding(&rule::W_DTB_PSCI));
            Conduit::None
        }
    }
}
