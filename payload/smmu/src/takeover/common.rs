//! Steps that the policies share.

use super::{Ignored, Site, TakeoverError};
use crate::access::{Access, SmmuIndex};
use crate::poll::{TimedOut, until};
use crate::queue::{CommandQueue, output_queue};
use crate::spec::command::{CFGI_ALL, TLBI_EL2_ALL, TLBI_NSNH_ALL};
use crate::spec::event::EVENT_BYTES;
use crate::spec::registers::{self as reg, Cr0, Idr0, Idr1, Idr5, IrqCtrl, QueueBase};
use crate::translation::{Geometry, Stage};
use addr::PhysAddr;
use core::ops::Range;

/// Bytes of one PRI queue entry (IHI 0070, 8.2).
const PRI_BYTES: u64 = 16;

/// Bits of GERROR that are acknowledged: all that version 3.0 has. CMDQP_ERR and DPT_ERR (9, 10) are not covered.
const ACKNOWLEDGED: u32 = 0x1FD;

/// What the ID registers say.
pub(super) struct Features {
    pub(super) idr0: Idr0,
    pub(super) idr1: Idr1,
    pub(super) idr5: Idr5,
    /// The SMMU snoops, by the firmware's word or IDR0.
    pub(super) coherent: bool,
    /// CR2.E2H is to be set.
    pub(super) e2h: bool,
    /// Where nothing of the dead kernel may be.
    pub(super) own: Range<PhysAddr>,
}

impl Features {
    /// Reads the registers that a probe reads, in its order. IIDR decides errata, none of which concerns a takeover.
    pub(super) fn read(hw: &mut dyn Access, site: &Site<'_>) -> Self {
        let idr0 = Idr0::from(hw.read32(site.smmu, reg::IDR0));
        let idr1 = Idr1::from(hw.read32(site.smmu, reg::IDR1));
        hw.read32(site.smmu, reg::IDR3);
        let idr5 = Idr5::from(hw.read32(site.smmu, reg::IDR5));
        hw.read32(site.smmu, reg::IIDR);
        let (coherent, e2h) = (site.coherent.unwrap_or(idr0.cohacc()), site.cpu_is_vhe && idr0.hyp());
        Self { idr0, idr1, idr5, coherent, e2h, own: site.own.clone() }
    }

    /// Shape of a translation of its own at `stage`; `None` where the SMMU lacks it.
    pub(super) fn geometry(&self, stage: Stage) -> Option<Geometry> {
        let has_stage = match stage {
            Stage::One => self.idr0.s1p(),
            Stage::Two => self.idr0.s2p(),
        };
        Geometry::choose(self.idr5, stage).filter(|_| has_stage)
    }

    /// Bits of a StreamID (6.3.2: at most 32).
    pub(super) fn sid_bits(&self) -> u8 {
        self.idr1.sidsize().min(32)
    }
}

/// Memory for the new queues.
pub(super) struct Queues {
    pub(super) commands: CommandQueue,
    pub(super) events: QueueBase,
    pub(super) requests: Option<QueueBase>,
}

impl Queues {
    /// Adoption allocates the event queue too, and leaves it unused unless it falls back: as the real kernel does.
    pub(super) fn allocate(site: &mut Site<'_>, features: &Features) -> Result<Self, TakeoverError> {
        let (cap, idr1) = (site.queue_cap_log2, features.idr1);
        let commands = CommandQueue::new(site.smmu, site.frames, idr1, cap, site.timeout_us)?;
        let events = output_queue(site.frames, idr1.eventqs(), cap, EVENT_BYTES)?;
        let requests = match features.idr0.pri() {
            true => Some(output_queue(site.frames, idr1.priqs(), cap, PRI_BYTES)?),
            false => None,
        };
        Ok(Self { commands, events, requests })
    }
}

/// Writes CR0 and waits for the acknowledge: no field is written again before (6.3.9). `step` names it in an error.
pub(super) fn write_cr0(
    hw: &mut dyn Access,
    site: &Site<'_>,
    value: Cr0,
    step: &'static str,
) -> Result<(), TakeoverError> {
    let value = u32::from(value);
    hw.write32(site.smmu, reg::CR0, value);
    until(hw, site.smmu, reg::CR0ACK, u32::MAX, value, site.timeout_us)
        .map(|_| ())
        .map_err(|source| TakeoverError::NoAck { step, source })
}

/// Acknowledges what the crashed kernel left active: under CMDQ_ERR no command is consumed (7.1).
pub(super) fn acknowledge_errors(hw: &mut dyn Access, smmu: SmmuIndex) {
    let gerror = hw.read32(smmu, reg::GERROR);
    let gerrorn = hw.read32(smmu, reg::GERRORN);
    if (gerror ^ gerrorn) & ACKNOWLEDGED != 0 {
        hw.write32(smmu, reg::GERRORN, gerror);
    }
}

/// The same for errors that were read a moment ago: toggles those and no others (6.3.21).
pub(super) fn acknowledge_active(hw: &mut dyn Access, smmu: SmmuIndex, active: u32) {
    let active = active & ACKNOWLEDGED;
    if active != 0 {
        let gerrorn = hw.read32(smmu, reg::GERRORN);
        hw.write32(smmu, reg::GERRORN, gerrorn ^ active);
    }
}

/// Invalidates everything Non-secure; a failure is kept and passed over, as the reference kernel does.
pub(super) fn invalidate(hw: &mut dyn Access, queue: &mut CommandQueue, hyp: bool, ignored: &mut Ignored) {
    for command in [Some(CFGI_ALL), hyp.then_some(TLBI_EL2_ALL), Some(TLBI_NSNH_ALL)].into_iter().flatten() {
        if let Err(error) = queue.issue_and_sync(hw, &[command]) {
            ignored.invalidation.get_or_insert(error);
        }
    }
}

/// Interrupts off, MSI addresses cleared, interrupts on. The payload handles none: this is what Linux writes with
/// wired interrupts, and the sources that it enables. A missing acknowledge only warns.
pub(super) fn interrupts(
    hw: &mut dyn Access,
    site: &Site<'_>,
    features: &Features,
    enabled: IrqCtrl,
    ignored: &mut Ignored,
) {
    let smmu = site.smmu;
    let mut write = |hw: &mut dyn Access, value: u32| {
        hw.write32(smmu, reg::IRQ_CTRL, value);
        let acked: Result<u32, TimedOut> = until(hw, smmu, reg::IRQ_CTRLACK, u32::MAX, value, site.timeout_us);
        if let Err(error) = acked {
            ignored.irq_ctrl.get_or_insert(error);
        }
    };
    write(hw, 0);
    hw.write64(smmu, reg::GERROR_IRQ_CFG0, 0);
    hw.write64(smmu, reg::EVENTQ_IRQ_CFG0, 0);
    if features.idr0.pri() {
        hw.write64(smmu, reg::PRIQ_IRQ_CFG0, 0);
    }
    write(hw, enabled.into());
}
