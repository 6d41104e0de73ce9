//! The devicetree that the kernel is given (Devicetree Specification v0.4, 3.6 and 5; Linux,
//! Documentation/devicetree/bindings and Documentation/arch/arm/uefi.rst).
//!
//! Where firmware described the machine by a devicetree, its blob is edited; where by ACPI, a tree of `/chosen` alone leads
//! the kernel to the system table. Any other node in it would turn ACPI off.

use addr::PhysAddr;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use dtoolkit::{Node, Property};
use tables::Devicetree;
use thiserror::Error;

/// What a crash kernel is told, with either description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given<'a> {
    /// Command line.
    pub arguments: &'a str,
    /// The initrd.
    pub initrd: Option<Range<PhysAddr>>,
    /// The ELF core header: `is_kdump_kernel()` asks for nothing else.
    pub core_header: Range<PhysAddr>,
    /// All the memory that the kernel may use.
    pub usable: Range<PhysAddr>,
    /// No firmware takes calls: the witness does, by HVC ([`crate::psci::alone`]).
    pub is_alone: bool,
}

/// How UEFI is reached after ExitBootServices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Efi {
    /// The system table.
    pub system_table: PhysAddr,
    /// The memory map, which has to last.
    pub map: PhysAddr,
    /// Its length in bytes.
    pub map_bytes: u32,
    /// Bytes of one descriptor.
    pub descriptor_bytes: u32,
    /// Version of the descriptors.
    pub descriptor_version: u32,
    /// Secure Boot is on.
    pub is_secure: bool,
}

/// Why there is no tree.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TreeError {
    /// The blob is damaged, or past the bounds of its reader.
    #[error("the devicetree cannot be read: {0}")]
    Unreadable(String),
    /// Two nodes or properties of one name: one of them would be lost.
    #[error("the devicetree has two nodes or properties of one name, and cannot be written again")]
    Duplicate,
    /// The cells of the root are none that an address can be written in.
    #[error("the devicetree's root has {name} {value}: 1 or 2 is needed")]
    Cells {
        /// `#address-cells` or `#size-cells`.
        name: &'static str,
        /// What it has.
        value: u32,
    },
    /// Linux takes no other.
    #[error("/reserved-memory counts addresses and lengths in other cells than the root: the kernel would ignore it")]
    ReservedCells,
    /// One cell is too narrow.
    #[error("{0:#x} does not fit into one cell of the devicetree")]
    Narrow(u64),
    /// A zero byte ends a string.
    #[error("the command line has a zero byte in it")]
    Arguments,
}

const UEFI: [&str; 6] = [
    "linux,uefi-system-table",
    "linux,uefi-mmap-start",
    "linux,uefi-mmap-size",
    "linux,uefi-mmap-desc-size",
    "linux,uefi-mmap-desc-ver",
    "linux,uefi-secure-boot",
];
/// What an earlier stage may have left in /chosen for its own kernel.
const STALE: [&str; 4] = ["linux,initrd-start", "linux,initrd-end", "linux,elfcorehdr", "linux,usable-memory-range"];

/// Edits firmware's blob: /chosen for the kernel, the witness's memory reserved and never mapped, and PSCI where there is none.
///
/// # Errors
/// [`TreeError`]; a hostile blob is one.
pub fn edit(blob: &[u8], given: &Given<'_>, witness: &Range<PhysAddr>) -> Result<Vec<u8>, TreeError> {
    let unreadable = |error: &dyn core::fmt::Display| TreeError::Unreadable(alloc::format!("{error}"));
    // This one bounds nodes and levels, and the other one reads the same tokens by recursion.
    let mut first = None;
    let checked = Devicetree::read(blob, &mut |finding| {
        first.get_or_insert(finding);
    });
    let checked = checked.map_err(|_| first.map_or_else(|| unreadable(&"damaged"), |finding| unreadable(&finding)))?;
    let fdt = Fdt::new(checked.bytes()).map_err(|error| unreadable(&error))?;
    let mut tree = DeviceTree::from_fdt(&fdt);
    if count(&fdt.root()) != count(&&tree.root) {
        return Err(TreeError::Duplicate);
    }
    let cells = Cells::of(&tree.root)?;
    reserve(&mut tree.root, &cells, witness)?;
    choose(chosen(&mut tree.root), &cells, given)?;
    if given.is_alone {
        let node = child(&mut tree.root, "psci");
        set(node, "compatible", b"arm,psci-0.2\0");
        set(node, "method", b"hvc\0");
    }
    let mut edited = tree.to_dtb();
    // boot_cpuid_phys, word 7 of the header (5.2), which the writer does not know.
    const BOOT_CPU: Range<usize> = 28..32;
    if let (Some(new), Some(old)) = (edited.get_mut(BOOT_CPU), blob.get(BOOT_CPU)) {
        new.copy_from_slice(old);
    }
    Ok(edited)
}

/// A tree of /chosen alone, with what leads to UEFI.
///
/// # Errors
/// [`TreeError::Arguments`].
pub fn for_acpi(given: &Given<'_>, efi: &Efi) -> Result<Vec<u8>, TreeError> {
    let mut tree = DeviceTree::new();
    for name in ["#address-cells", "#size-cells"] {
        set(&mut tree.root, name, &2_u32.to_be_bytes());
    }
    let node = chosen(&mut tree.root);
    choose(node, &Cells { address: 2, size: 2 }, given)?;
    // All six: a kernel that misses one knows nothing of UEFI, and so of ACPI (drivers/firmware/efi/fdtparams.c).
    let [system_table, start, size, descriptor_size, version, secure] = UEFI;
    set(node, system_table, &efi.system_table.0.to_be_bytes());
    set(node, start, &efi.map.0.to_be_bytes());
    set(node, size, &efi.map_bytes.to_be_bytes());
    set(node, descriptor_size, &efi.descriptor_bytes.to_be_bytes());
    set(node, version, &efi.descriptor_version.to_be_bytes());
    // enum efi_secureboot_mode: 2 disabled, 3 enabled.
    set(node, secure, &(2 + u32::from(efi.is_secure)).to_be_bytes());
    Ok(tree.to_dtb())
}

fn set(node: &mut DeviceTreeNode, name: &str, value: &[u8]) {
    node.add_property(DeviceTreeProperty::new_unchecked(name, value));
}

fn child<'a>(root: &'a mut DeviceTreeNode, name: &str) -> &'a mut DeviceTreeNode {
    let kept = root.remove_child(name).unwrap_or_else(|| DeviceTreeNode::new_unchecked(name));
    root.add_child_mut(kept)
}

fn chosen(root: &mut DeviceTreeNode) -> &mut DeviceTreeNode {
    child(root, "chosen")
}

/// Fills /chosen in.
fn choose(node: &mut DeviceTreeNode, cells: &Cells, given: &Given<'_>) -> Result<(), TreeError> {
    for name in STALE.iter().chain(&UEFI) {
        node.remove_property(name);
    }
    if given.arguments.contains('\0') {
        return Err(TreeError::Arguments);
    }
    set(node, "bootargs", &[given.arguments.as_bytes(), &[0]].concat());
    if let Some(initrd) = &given.initrd {
        set(node, "linux,initrd-start", &initrd.start.0.to_be_bytes());
        set(node, "linux,initrd-end", &initrd.end.0.to_be_bytes());
    }
    set(node, "linux,elfcorehdr", &cells.range(&given.core_header)?);
    set(node, "linux,usable-memory-range", &cells.range(&given.usable)?);
    Ok(())
}

/// Adds the witness to /reserved-memory (3.5): not to be mapped, not even by speculation.
fn reserve(root: &mut DeviceTreeNode, cells: &Cells, witness: &Range<PhysAddr>) -> Result<(), TreeError> {
    let has_node = root.children().any(|node| node.name() == "reserved-memory");
    let node = child(root, "reserved-memory");
    if !has_node {
        set(node, "#address-cells", &cells.address.to_be_bytes());
        set(node, "#size-cells", &cells.size.to_be_bytes());
        set(node, "ranges", &[]);
    }
    if Cells::of(node).ok() != Some(*cells) {
        return Err(TreeError::ReservedCells);
    }
    let mut own = DeviceTreeNode::new_unchecked(alloc::format!("witness@{:x}", witness.start.0));
    set(&mut own, "reg", &cells.range(witness)?);
    set(&mut own, "no-map", &[]);
    node.add_child(own);
    Ok(())
}

/// How wide addresses and lengths are written, in words of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cells {
    address: u32,
    size: u32,
}

impl Cells {
    /// Of a node's children; without the properties it is 2 and 1 (2.3.5).
    fn of(node: &DeviceTreeNode) -> Result<Self, TreeError> {
        let cells = |name: &'static str, default: u32| {
            let property = node.properties().find(|property| property.name() == name);
            let value =
                property.map_or(Some(default), |property| property.value().try_into().ok().map(u32::from_be_bytes));
            match value {
                Some(1 | 2) => Ok(value.unwrap_or(default)),
                other => Err(TreeError::Cells { name, value: other.unwrap_or(0) }),
            }
        };
        Ok(Self { address: cells("#address-cells", 2)?, size: cells("#size-cells", 1)? })
    }

    /// A range as address and length.
    fn range(&self, range: &Range<PhysAddr>) -> Result<Vec<u8>, TreeError> {
        let mut bytes = Vec::new();
        let length = range.end.0.saturating_sub(range.start.0);
        for (value, cells) in [(range.start.0, self.address), (length, self.size)] {
            match (cells, u32::try_from(value)) {
                (1, Ok(word)) => bytes.extend_from_slice(&word.to_be_bytes()),
                (1, Err(_)) => return Err(TreeError::Narrow(value)),
                _ => bytes.extend_from_slice(&value.to_be_bytes()),
            }
        }
        Ok(bytes)
    }
}

/// Nodes and properties below a node and in it.
fn count<N: Node>(node: &N) -> usize {
    let below: usize = node.children().map(|child| count(&child)).sum();
    1 + node.properties().count() + below
}

#[cfg(test)]
mod tests;
