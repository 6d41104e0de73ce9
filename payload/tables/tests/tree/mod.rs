//! Trees made for tests: nodes as values, written as a blob.
#![allow(dead_code, reason = "each test uses its own part of this")]

use dtoolkit::memreserve::MemoryReservation;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use tables::{Devicetree, Finding, Platform};

/// A node. Names are not checked: bindings have longer ones than the specification allows.
#[derive(Clone)]
pub(crate) struct Made(DeviceTreeNode);

impl Made {
    pub(crate) fn new(name: &str) -> Self {
        Self(DeviceTreeNode::new_unchecked(name))
    }

    /// Adds a property, or replaces it.
    pub(crate) fn raw(mut self, name: &str, value: &[u8]) -> Self {
        self.0.add_property(DeviceTreeProperty::new_unchecked(name, value));
        self
    }

    pub(crate) fn text(self, name: &str, value: &str) -> Self {
        self.raw(name, &[value.as_bytes(), &[0]].concat())
    }

    pub(crate) fn flag(self, name: &str) -> Self {
        self.raw(name, &[])
    }

    pub(crate) fn cells(self, name: &str, cells: &[u32]) -> Self {
        let bytes: Vec<u8> = cells.iter().flat_map(|cell| cell.to_be_bytes()).collect();
        self.raw(name, &bytes)
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.remove_property(name);
        self
    }

    pub(crate) fn with(mut self, child: Self) -> Self {
        self.0.add_child(child.0);
        self
    }

    /// The blob of this root.
    pub(crate) fn blob(&self) -> Vec<u8> {
        self.blob_with(&[])
    }

    /// The same with a memory reservation block.
    pub(crate) fn blob_with(&self, reservations: &[(u64, u64)]) -> Vec<u8> {
        let mut tree = DeviceTree::new();
        tree.root = self.0.clone();
        tree.memory_reservations =
            reservations.iter().map(|(base, bytes)| MemoryReservation::new(*base, *bytes)).collect();
        tree.to_dtb()
    }
}

pub(crate) const GIC: u32 = 1;
pub(crate) const ITS: u32 = 2;
pub(crate) const SMMU: u32 = 3;
const PCI: u32 = 5;

/// A root with two cells for addresses and lengths.
pub(crate) fn root() -> Made {
    Made::new("").cells("#address-cells", &[2]).cells("#size-cells", &[2]).cells("interrupt-parent", &[GIC])
}

/// A bus that changes no address, with two cells for addresses and lengths.
pub(crate) fn bus(name: &str) -> Made {
    Made::new(name).cells("#address-cells", &[2]).cells("#size-cells", &[2]).flag("ranges")
}

/// GIC with one ITS.
pub(crate) fn gic() -> Made {
    let its = Made::new("its@8080000")
        .text("compatible", "arm,gic-v3-its")
        .cells("phandle", &[ITS])
        .cells("#msi-cells", &[1])
        .cells("reg", &[0, 0x808_0000, 0, 0x2_0000]);
    Made::new("intc@8000000")
        .text("compatible", "arm,gic-v3")
        .cells("phandle", &[GIC])
        .cells("#interrupt-cells", &[3])
        .cells("#address-cells", &[2])
        .cells("#size-cells", &[2])
        .flag("ranges")
        .cells("reg", &[0, 0x800_0000, 0, 0x1_0000, 0, 0x80a_0000, 0, 0xf6_0000])
        .with(its)
}

/// An SMMUv3 with wired interrupts.
pub(crate) fn smmu(phandle: u32, base: u32) -> Made {
    Made::new(&format!("iommu@{base:x}"))
        .text("compatible", "arm,smmu-v3")
        .cells("phandle", &[phandle])
        .cells("reg", &[0, base, 0, 0x2_0000])
        .cells("#iommu-cells", &[1])
        .cells("interrupts", &[0, 10, 1, 0, 11, 1, 0, 12, 1, 0, 13, 1])
        .text("interrupt-names", "eventq\0priq\0cmdq-sync\0gerror")
}

/// A host bridge of all buses, without any map.
pub(crate) fn pci() -> Made {
    Made::new("pcie@40000000")
        .text("compatible", "pci-host-ecam-generic")
        .text("device_type", "pci")
        .cells("phandle", &[PCI])
        .cells("#address-cells", &[3])
        .cells("#size-cells", &[2])
        .cells("reg", &[0, 0x4000_0000, 0, 0x1000_0000])
        .cells("bus-range", &[0, 255])
}

/// All that can be read of a blob; `None` where it is none. What is found is the last argument.
pub(crate) fn look<T>(blob: &[u8], look: impl FnOnce(&Devicetree<'_>, &Platform<'_>, &[&'static str]) -> T) -> T {
    let mut findings: Vec<Finding> = Vec::new();
    let Ok(tree) = Devicetree::read(blob, &mut |finding| findings.push(finding)) else { panic!("{findings:?}") };
    let iort = tree.to_iort(&mut |finding| findings.push(finding));
    let platform = Platform::from_devicetree(&tree, &iort, &mut |finding| findings.push(finding));
    let _ = (tree.memory(&mut |finding| findings.push(finding)), tree.windows(&mut |finding| findings.push(finding)));
    let _ = (tree.reserved(&mut |finding| findings.push(finding)), tree.initrd(&mut |finding| findings.push(finding)));
    // Trees of these tests leave out what they are not about, and large tables are not compared pair by pair.
    const MISSING: [&str; 8] = [
        "N_CHECK_CUT",
        "W_ECAM_NONE",
        "W_DTB_STDOUT",
        "W_TIMER_GSIV",
        "W_GIC_NO_DISTRIBUTOR",
        "W_DTB_NO_CPU",
        "W_PSCI_NONE",
        "W_DTB_NO_MEMORY",
    ];
    for finding in &findings {
        assert!(!finding.to_string().contains('\n'));
    }
    let ids: Vec<_> = findings.iter().map(Finding::id).filter(|id| !MISSING.contains(id)).collect();
    look(&tree, &platform, &ids)
}
