//! The registers that tell the state of an SMMU.

use crate::access::{Access, SmmuIndex};
use crate::spec::registers::{
    self as reg, Cr0, Cr2, Gbpa, Gerror, Idr0, Idr1, Idr5, IrqCtrl, QueueBase, StrtabBase, StrtabBaseCfg,
};

/// PRIQ registers, where there are any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priq {
    /// SMMU_PRIQ_BASE.
    pub base: QueueBase,
    /// SMMU_PRIQ_PROD.
    pub prod: u32,
    /// SMMU_PRIQ_CONS.
    pub cons: u32,
}

/// Addresses of message-signalled interrupts, where there are any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsiAddresses {
    /// SMMU_GERROR_IRQ_CFG0.
    pub gerror: u64,
    /// SMMU_EVENTQ_IRQ_CFG0.
    pub eventq: u64,
}

/// One SMMU's registers, read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// Whose.
    pub smmu: SmmuIndex,
    /// SMMU_IDR0.
    pub idr0: Idr0,
    /// SMMU_IDR1.
    pub idr1: Idr1,
    /// SMMU_IDR2.
    pub idr2: u32,
    /// SMMU_IDR3.
    pub idr3: u32,
    /// SMMU_IDR4.
    pub idr4: u32,
    /// SMMU_IDR5.
    pub idr5: Idr5,
    /// SMMU_IIDR.
    pub iidr: u32,
    /// SMMU_AIDR.
    pub aidr: u32,
    /// SMMU_CR0.
    pub cr0: Cr0,
    /// SMMU_CR0ACK.
    pub cr0ack: Cr0,
    /// SMMU_CR1.
    pub cr1: u32,
    /// SMMU_CR2.
    pub cr2: Cr2,
    /// SMMU_GBPA.
    pub gbpa: Gbpa,
    /// SMMU_IRQ_CTRL.
    pub irq_ctrl: IrqCtrl,
    /// SMMU_IRQ_CTRLACK.
    pub irq_ctrlack: IrqCtrl,
    /// SMMU_GERROR.
    pub gerror: Gerror,
    /// SMMU_GERRORN.
    pub gerrorn: Gerror,
    /// SMMU_STRTAB_BASE.
    pub strtab_base: StrtabBase,
    /// SMMU_STRTAB_BASE_CFG.
    pub strtab_base_cfg: StrtabBaseCfg,
    /// SMMU_CMDQ_BASE.
    pub cmdq_base: QueueBase,
    /// SMMU_CMDQ_PROD.
    pub cmdq_prod: u32,
    /// SMMU_CMDQ_CONS.
    pub cmdq_cons: u32,
    /// SMMU_EVENTQ_BASE.
    pub eventq_base: QueueBase,
    /// SMMU_EVENTQ_PROD.
    pub eventq_prod: u32,
    /// SMMU_EVENTQ_CONS.
    pub eventq_cons: u32,
    /// With IDR0.PRI only: elsewhere the registers are reserved.
    pub priq: Option<Priq>,
    /// With IDR0.MSI only: elsewhere the registers are reserved.
    pub msi: Option<MsiAddresses>,
}

impl Registers {
    /// Reads every register of `smmu` that exists; no read has a side effect (IHI 0070, 6.3).
    pub fn read(hw: &mut dyn Access, smmu: SmmuIndex) -> Self {
        let idr0 = Idr0::from(hw.read32(smmu, reg::IDR0));
        Self {
            smmu,
            idr0,
            idr1: hw.read32(smmu, reg::IDR1).into(),
            idr2: hw.read32(smmu, reg::IDR2),
            idr3: hw.read32(smmu, reg::IDR3),
            idr4: hw.read32(smmu, reg::IDR4),
            idr5: hw.read32(smmu, reg::IDR5).into(),
            iidr: hw.read32(smmu, reg::IIDR),
            aidr: hw.read32(smmu, reg::AIDR),
            cr0: hw.read32(smmu, reg::CR0).into(),
            cr0ack: hw.read32(smmu, reg::CR0ACK).into(),
            cr1: hw.read32(smmu, reg::CR1),
            cr2: hw.read32(smmu, reg::CR2).into(),
            gbpa: hw.read32(smmu, reg::GBPA).into(),
            irq_ctrl: hw.read32(smmu, reg::IRQ_CTRL).into(),
            irq_ctrlack: hw.read32(smmu, reg::IRQ_CTRLACK).into(),
            gerror: hw.read32(smmu, reg::GERROR).into(),
            gerrorn: hw.read32(smmu, reg::GERRORN).into(),
            strtab_base: hw.read64(smmu, reg::STRTAB_BASE).into(),
            strtab_base_cfg: hw.read32(smmu, reg::STRTAB_BASE_CFG).into(),
            cmdq_base: hw.read64(smmu, reg::CMDQ_BASE).into(),
            cmdq_prod: hw.read32(smmu, reg::CMDQ_PROD),
            cmdq_cons: hw.read32(smmu, reg::CMDQ_CONS),
            eventq_base: hw.read64(smmu, reg::EVENTQ_BASE).into(),
            eventq_prod: hw.read32(smmu, reg::EVENTQ_PROD),
            eventq_cons: hw.read32(smmu, reg::EVENTQ_CONS),
            priq: idr0.pri().then(|| Priq {
                base: hw.read64(smmu, reg::PRIQ_BASE).into(),
                prod: hw.read32(smmu, reg::PRIQ_PROD),
                cons: hw.read32(smmu, reg::PRIQ_CONS),
            }),
            msi: idr0.msi().then(|| MsiAddresses {
                gerror: hw.read64(smmu, reg::GERROR_IRQ_CFG0),
                eventq: hw.read64(smmu, reg::EVENTQ_IRQ_CFG0),
            }),
        }
    }

    /// Global errors that nobody has acknowledged.
    #[must_use]
    pub const fn active_errors(&self) -> Gerror {
        Gerror::from_bits(self.gerror.into_bits() ^ self.gerrorn.into_bits())
    }

    /// Name and value of every register read, for reports.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let always = [
            ("IDR0", self.idr0.into_bits().into()),
            ("IDR1", self.idr1.into_bits().into()),
            ("IDR2", self.idr2.into()),
            ("IDR3", self.idr3.into()),
            ("IDR4", self.idr4.into()),
            ("IDR5", self.idr5.into_bits().into()),
            ("IIDR", self.iidr.into()),
            ("AIDR", self.aidr.into()),
            ("CR0", self.cr0.into_bits().into()),
            ("CR0ACK", self.cr0ack.into_bits().into()),
            ("CR1", self.cr1.into()),
            ("CR2", self.cr2.into_bits().into()),
            ("GBPA", self.gbpa.into_bits().into()),
            ("IRQ_CTRL", self.irq_ctrl.into_bits().into()),
            ("IRQ_CTRLACK", self.irq_ctrlack.into_bits().into()),
            ("GERROR", self.gerror.into_bits().into()),
            ("GERRORN", self.gerrorn.into_bits().into()),
            ("STRTAB_BASE", self.strtab_base.into_bits()),
            ("STRTAB_BASE_CFG", self.strtab_base_cfg.into_bits().into()),
            ("CMDQ_BASE", self.cmdq_base.into_bits()),
            ("CMDQ_PROD", self.cmdq_prod.into()),
            ("CMDQ_CONS", self.cmdq_cons.into()),
            ("EVENTQ_BASE", self.eventq_base.into_bits()),
            ("EVENTQ_PROD", self.eventq_prod.into()),
            ("EVENTQ_CONS", self.eventq_cons.into()),
        ];
        let priq = self.priq.map(|priq| {
            [
                ("PRIQ_BASE", priq.base.into_bits()),
                ("PRIQ_PROD", u64::from(priq.prod)),
                ("PRIQ_CONS", u64::from(priq.cons)),
            ]
        });
        let msi = self.msi.map(|msi| [("GERROR_IRQ_CFG0", msi.gerror), ("EVENTQ_IRQ_CFG0", msi.eventq)]);
        always.into_iter().chain(priq.into_iter().flatten()).chain(msi.into_iter().flatten())
    }
}
