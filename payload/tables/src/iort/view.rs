//! The nodes that IDs are walked through, with their fields read: devices, SMMUv3, ITS groups.

use super::layout::{self, MemoryProperties};
use super::{Iort, Node, NodeKind};
use crate::read;
use addr::PhysAddr;
use zerocopy::little_endian::U32;

/// An SMMUv3 (IORT E.f).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmmuV3<'a> {
    /// The node; its offset is what mappings refer to.
    pub node: Node<'a>,
    /// Base of register page 0. Zero: firmware switched the instance off.
    pub base: PhysAddr,
    /// All flag bits.
    pub flags: u32,
    /// Base of the VATOS page, zero where there is none.
    pub vatos: PhysAddr,
    /// 0 generic, 1 HiSilicon Hi161x, 2 Cavium CN99xx.
    pub model: u32,
    /// Wired interrupts, zero where there is none: event queue, PRI queue, GERROR, CMD_SYNC.
    pub gsivs: [u32; 4],
    /// Proximity domain, where the flags say that it is valid.
    pub proximity: Option<u32>,
    /// DeviceID mapping index as it stands, since node revision 1; [`Node::device_id_mapping`] says whether it counts.
    pub device_id_index: Option<u32>,
}

impl SmmuV3<'_> {
    /// COHACC override: its table and queue accesses are coherent whatever IDR0.COHACC says.
    #[must_use]
    pub const fn is_coherent_override(&self) -> bool {
        self.flags & 1 != 0
    }

    /// HTTU override: what hardware updates of translation tables are there, in place of IDR0.HTTU.
    #[must_use]
    pub const fn httu_override(&self) -> u8 {
        (self.flags >> 1 & 3) as u8
    }
}

/// A PCI root complex (IORT E.f).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootComplex<'a> {
    /// The node and its mappings, whose input is the requester ID.
    pub node: Node<'a>,
    /// PCI segment group; tables hold 32 bits for a number of 16.
    pub segment: u32,
    /// Bit 0 ATS, bit 1 PRI, bit 2 PASID forwarding.
    pub ats: u32,
    /// Fully coherent memory accesses (CCA is 1).
    pub is_coherent: bool,
    /// CCA as it stands; 0 and 1 have a meaning.
    pub cca: u32,
    /// Memory access flags: bit 0 CPM, bit 1 DACS, bit 2 CANWBS.
    pub memory_flags: u8,
    /// Allocation hints: bit 0 transient, bit 1 write allocate, bit 2 read allocate, bit 3 override.
    pub memory_hints: u8,
    /// Number of address bits that DMA can use, since node revision 1.
    pub address_limit: Option<u8>,
    /// Bits of a PASID, since node revision 4.
    pub pasid_bits: Option<u8>,
    /// Bit 0: PASIDs are supported. Since node revision 4.
    pub flags: Option<u32>,
}

impl RootComplex<'_> {
    /// Tells whether the root complex answers translation requests.
    #[must_use]
    pub const fn has_ats(&self) -> bool {
        self.ats & 1 != 0
    }
}

/// A device that ACPI names (IORT E.f).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedComponent<'a> {
    /// The node and its mappings.
    pub node: Node<'a>,
    /// Path of the device object, without its NUL; empty where it has no end.
    pub name: &'a [u8],
    /// Bit 0 stall, bits 5:1 PASID width.
    pub flags: u32,
    /// Fully coherent memory accesses (CCA is 1).
    pub is_coherent: bool,
    /// CCA as it stands; 0 and 1 have a meaning.
    pub cca: u32,
    /// Memory access flags: bit 0 CPM, bit 1 DACS, bit 2 CANWBS.
    pub memory_flags: u8,
    /// Allocation hints, as of a root complex.
    pub memory_hints: u8,
    /// Number of address bits that DMA can use.
    pub address_limit: u8,
}

/// A group of ITSs (IORT E.f).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItsGroup<'a> {
    /// The node.
    pub node: Node<'a>,
    /// Number of identifiers that the node claims to have.
    pub count: u32,
    ids: &'a [U32],
}

impl<'a> ItsGroup<'a> {
    /// Identifiers of the ITSs, as the MADT numbers them; none where the array is not inside the node.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = u32> + Clone + use<'a> {
        self.ids.iter().map(|id| id.get())
    }
}

fn is_coherent(memory: &MemoryProperties) -> bool {
    memory.cca.get() == 1
}

impl<'a> Node<'a> {
    /// The node's bytes, where it is of this kind and has all its fields.
    pub(super) fn whole(&self, kind: NodeKind) -> Option<&'a [u8]> {
        (self.kind == kind && self.is_whole()).then_some(self.bytes)
    }

    /// Base of an SMMU of any version.
    pub(super) fn smmu_base(&self) -> Option<PhysAddr> {
        let any: layout::AnySmmu = read::record(self.bytes, 0)?;
        (self.kind.is_smmu() && self.is_whole()).then_some(PhysAddr(any.base.get()))
    }

    /// The node as an SMMUv3.
    #[must_use]
    pub fn smmu_v3(&self) -> Option<SmmuV3<'a>> {
        let bytes = self.whole(NodeKind::SmmuV3)?;
        let raw: layout::SmmuV3 = read::record(bytes, 0)?;
        let tail: Option<layout::SmmuV3Tail> = match self.revision {
            0 => None,
            _ => read::record(bytes, size_of::<layout::SmmuV3>()),
        };
        let flags = raw.flags.get();
        Some(SmmuV3 {
            node: *self,
            base: PhysAddr(raw.base.get()),
            flags,
            vatos: PhysAddr(raw.vatos.get()),
            model: raw.model.get(),
            gsivs: [raw.event_gsiv, raw.pri_gsiv, raw.gerror_gsiv, raw.sync_gsiv].map(U32::get),
            proximity: tail.filter(|_| flags & 1 << 3 != 0).map(|tail| tail.proximity.get()),
            device_id_index: tail.map(|tail| tail.id_mapping_index.get()),
        })
    }

    /// The node as a root complex.
    #[must_use]
    pub fn root_complex(&self) -> Option<RootComplex<'a>> {
        let bytes = self.whole(NodeKind::RootComplex)?;
        let raw: layout::RootComplex = read::record(bytes, 0)?;
        let tail = |offset| bytes.get(size_of::<layout::RootComplex>() + offset..);
        let has_pasid = self.revision >= 4;
        Some(RootComplex {
            node: *self,
            segment: raw.segment.get(),
            ats: raw.ats.get(),
            is_coherent: is_coherent(&raw.memory),
            cca: raw.memory.cca.get(),
            memory_flags: raw.memory.flags,
            memory_hints: raw.memory.hints,
            address_limit: tail(0).and_then(<[u8]>::first).copied().filter(|_| self.revision > 0),
            pasid_bits: tail(1).and_then(<[u8]>::first).filter(|_| has_pasid).map(|width| width & 0x1f),
            flags: tail(4).and_then(|bytes| read::record::<U32>(bytes, 0)).filter(|_| has_pasid).map(U32::get),
        })
    }

    /// The node as a named component.
    #[must_use]
    pub fn named_component(&self) -> Option<NamedComponent<'a>> {
        let raw: layout::NamedComponent = read::record(self.whole(NodeKind::NamedComponent)?, 0)?;
        Some(NamedComponent {
            node: *self,
            name: self.object_name().unwrap_or_default(),
            flags: raw.flags.get(),
            is_coherent: is_coherent(&raw.memory),
            cca: raw.memory.cca.get(),
            memory_flags: raw.memory.flags,
            memory_hints: raw.memory.hints,
            address_limit: raw.address_limit,
        })
    }

    /// Path of the device object behind the `fixed` bytes of a node that has one; `None` where no NUL ends it before the
    /// ID mappings or the end of the node.
    fn name_behind(&self, fixed: usize) -> Option<&'a [u8]> {
        let behind = self.bytes.get(fixed..)?;
        let end = match self.mapping_array() {
            Some([_, ..]) => (self.mapping_offset as usize).checked_sub(fixed),
            _ => None,
        };
        let room = end.and_then(|end| behind.get(..end)).unwrap_or(behind);
        let length = room.iter().position(|byte| *byte == 0)?;
        room.get(..length)
    }

    /// The device object's path of a named component or an interrupt wire bridge; `None` where it has no end.
    pub(super) fn object_name(&self) -> Option<&'a [u8]> {
        self.name_behind(match self.kind {
            NodeKind::Iwb => size_of::<layout::Iwb>(),
            _ => size_of::<layout::NamedComponent>(),
        })
    }

    /// The node as a group of ITSs.
    #[must_use]
    pub fn its_group(&self) -> Option<ItsGroup<'a>> {
        let raw: layout::ItsGroup = read::record(self.whole(NodeKind::ItsGroup)?, 0)?;
        Some(ItsGroup { node: *self, count: raw.count.get(), ids: self.its_ids().unwrap_or_default() })
    }

    /// Identifiers of an ITS group; `None` where they cross the end of the node.
    pub(super) fn its_ids(&self) -> Option<&'a [U32]> {
        let raw: layout::ItsGroup = read::record(self.bytes, 0)?;
        read::array(self.bytes, size_of::<layout::ItsGroup>() as u32, raw.count.get())
    }
}

impl<'a> Iort<'a> {
    /// SMMUs of version 3.
    pub fn smmus(&self) -> impl Iterator<Item = SmmuV3<'a>> + use<'a> {
        self.nodes().filter_map(|node| node.smmu_v3())
    }

    /// PCI root complexes.
    pub fn root_complexes(&self) -> impl Iterator<Item = RootComplex<'a>> + use<'a> {
        self.nodes().filter_map(|node| node.root_complex())
    }

    /// Calls `visit` with segment and bus at which each range of requester IDs of a root complex begins: root buses are
    /// among them.
    pub fn each_root_bus(&self, visit: &mut dyn FnMut(u32, u8)) {
        for complex in self.root_complexes() {
            for mapping in complex.node.mappings() {
                visit(complex.segment, (mapping.input_base >> 8) as u8);
            }
        }
    }

    /// Devices that ACPI names.
    pub fn named_components(&self) -> impl Iterator<Item = NamedComponent<'a>> + use<'a> {
        self.nodes().filter_map(|node| node.named_component())
    }

    /// Groups of ITSs.
    pub fn its_groups(&self) -> impl Iterator<Item = ItsGroup<'a>> + use<'a> {
        self.nodes().filter_map(|node| node.its_group())
    }
}
