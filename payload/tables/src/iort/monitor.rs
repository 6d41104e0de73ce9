//! What stands beside the walk of IDs: performance monitors and interrupt wire bridges (IORT E.f).

use super::layout;
use super::{Iort, Node, NodeKind};
use crate::read;
use addr::PhysAddr;
use zerocopy::little_endian::U64;

/// A performance monitor counter group of `SMMUv3` form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pmcg<'a> {
    /// The node; its only mapping, if it has one, gives its own DeviceID.
    pub node: Node<'a>,
    /// Base of register page 0.
    pub page0: PhysAddr,
    /// Base of register page 1, since node revision 1.
    pub page1: Option<PhysAddr>,
    /// Wired overflow interrupt; zero where there is none.
    pub overflow_gsiv: u32,
    /// Offset of the node that is monitored, from the start of the table; zero where none is named.
    pub monitors: u32,
}

/// An interrupt wire bridge of a `GICv5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Iwb<'a> {
    /// The node; its mapping leads to an ITS group.
    pub node: Node<'a>,
    /// Base of its configuration frame.
    pub base: PhysAddr,
    /// Index, as the MADT numbers it.
    pub index: u16,
    /// Path of the device object, without its NUL; empty where it has no end.
    pub name: &'a [u8],
}

impl<'a> Node<'a> {
    /// The node as a performance monitor counter group.
    #[must_use]
    pub fn pmcg(&self) -> Option<Pmcg<'a>> {
        let bytes = self.whole(NodeKind::Pmcg)?;
        let raw: layout::Pmcg = read::record(bytes, 0)?;
        let page1: Option<U64> = match self.revision {
            0 => None,
            _ => read::record(bytes, size_of::<layout::Pmcg>()),
        };
        Some(Pmcg {
            node: *self,
            page0: PhysAddr(raw.page0.get()),
            page1: page1.map(|base| PhysAddr(base.get())),
            overflow_gsiv: raw.overflow_gsiv.get(),
            monitors: raw.node_reference.get(),
        })
    }

    /// The node as an interrupt wire bridge.
    #[must_use]
    pub fn iwb(&self) -> Option<Iwb<'a>> {
        let raw: layout::Iwb = read::record(self.whole(NodeKind::Iwb)?, 0)?;
        Some(Iwb {
            node: *self,
            base: PhysAddr(raw.base.get()),
            index: raw.index.get(),
            name: self.object_name().unwrap_or_default(),
        })
    }
}

impl<'a> Iort<'a> {
    /// Performance monitor counter groups.
    pub fn pmcgs(&self) -> impl Iterator<Item = Pmcg<'a>> + use<'a> {
        self.nodes().filter_map(|node| node.pmcg())
    }

    /// Interrupt wire bridges.
    pub fn iwbs(&self) -> impl Iterator<Item = Iwb<'a>> + use<'a> {
        self.nodes().filter_map(|node| node.iwb())
    }
}
