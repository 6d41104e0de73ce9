//! SMMUs of versions 1 and 2, and their interrupts (IORT E.f).

use super::layout;
use super::{Iort, Node, NodeKind};
use crate::read;
use addr::PhysAddr;

/// A wired interrupt of an SMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupt {
    /// GIC interrupt number.
    pub gsiv: u32,
    /// Bit 0: edge triggered.
    pub flags: u32,
}

impl From<&layout::Interrupt> for Interrupt {
    fn from(raw: &layout::Interrupt) -> Self {
        Self { gsiv: raw.gsiv.get(), flags: raw.flags.get() }
    }
}

/// An SMMU of version 1 or 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmmuV1V2<'a> {
    /// The node; its offset is what mappings refer to.
    pub node: Node<'a>,
    /// Base of its registers.
    pub base: PhysAddr,
    /// Bytes of its registers.
    pub span: u64,
    /// 0 v1, 1 v2, 2 MMU-400, 3 MMU-500, 4 MMU-401, 5 Cavium ThunderX.
    pub model: u32,
    /// Bit 0: DVM is supported. Bit 1: table walks are coherent.
    pub flags: u32,
    interrupts: Arrays<'a>,
}

/// Interrupt arrays of an SMMU: `NSgIrpt` and `NSgCfgIrpt`, contexts, performance monitors.
type Arrays<'a> = [&'a [layout::Interrupt]; 3];

impl<'a> SmmuV1V2<'a> {
    /// Global fault interrupt and configuration access fault interrupt.
    pub fn global_interrupts(&self) -> impl ExactSizeIterator<Item = Interrupt> + Clone + use<'a> {
        let [global, ..] = self.interrupts;
        global.iter().map(Interrupt::from)
    }

    /// Interrupts of the context banks; none where the array is not inside the node.
    pub fn context_interrupts(&self) -> impl ExactSizeIterator<Item = Interrupt> + Clone + use<'a> {
        let [_, context, _] = self.interrupts;
        context.iter().map(Interrupt::from)
    }

    /// Interrupts of the performance monitors; none where the array is not inside the node.
    pub fn pmu_interrupts(&self) -> impl ExactSizeIterator<Item = Interrupt> + Clone + use<'a> {
        let [.., pmu] = self.interrupts;
        pmu.iter().map(Interrupt::from)
    }
}

/// Global interrupts: two, and no count says so.
const GLOBAL_INTERRUPTS: u32 = 2;

impl<'a> Node<'a> {
    /// The node as an SMMU of version 1 or 2.
    #[must_use]
    pub fn smmu_v1_v2(&self) -> Option<SmmuV1V2<'a>> {
        let raw: layout::SmmuV1V2 = read::record(self.whole(NodeKind::SmmuV1V2)?, 0)?;
        Some(SmmuV1V2 {
            node: *self,
            base: PhysAddr(raw.base.get()),
            span: raw.span.get(),
            model: raw.model.get(),
            flags: raw.flags.get(),
            interrupts: self.interrupt_arrays(&raw).map(|array| array.unwrap_or(&[])),
        })
    }

    fn interrupt_arrays(&self, raw: &layout::SmmuV1V2) -> [Option<&'a [layout::Interrupt]>; 3] {
        [
            (raw.global_offset, GLOBAL_INTERRUPTS),
            (raw.context_offset, raw.context_count.get()),
            (raw.pmu_offset, raw.pmu_count.get()),
        ]
        .map(|(offset, count)| match count {
            0 => Some(&[][..]),
            _ if (offset.get() as usize) < size_of::<layout::SmmuV1V2>() => None,
            _ => read::array(self.bytes, offset.get(), count),
        })
    }

    /// Offset in the node of the field that places the first interrupt array which is not inside the node behind its
    /// fixed part; `None` where all are.
    pub(super) fn broken_interrupts(&self) -> Option<usize> {
        let raw: layout::SmmuV1V2 = read::record(self.whole(NodeKind::SmmuV1V2)?, 0)?;
        let fields = [40, 48, 56];
        let arrays = self.interrupt_arrays(&raw);
        fields.into_iter().zip(arrays).find(|(_, array)| array.is_none()).map(|(field, _)| field)
    }
}

impl<'a> Iort<'a> {
    /// SMMUs of versions 1 and 2.
    pub fn smmus_v1_v2(&self) -> impl Iterator<Item = SmmuV1V2<'a>> + use<'a> {
        self.nodes().filter_map(|node| node.smmu_v1_v2())
    }
}
