//! Control registers whose changes are complete only when they are acknowledged.

use super::BringUpError;
use crate::access::{Access, SmmuIndex};
use crate::poll;
use crate::spec::registers::{self as reg, Cr0, Gbpa, Gerror};

/// CR0 fields that are mirrored in CR0ACK; reserved ones are not (6.3.10).
const CR0_FIELDS: u32 = 0x1DF;

/// One SMMU's control registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) smmu: SmmuIndex,
    /// Deadline of every single wait.
    pub(super) timeout_us: u64,
}

impl Control {
    /// Changes CR0 and waits for the acknowledge. `value` has only fields that the SMMU implements.
    pub(super) fn set_cr0(&self, hw: &mut dyn Access, step: &'static str, value: Cr0) -> Result<(), BringUpError> {
        hw.write32(self.smmu, reg::CR0, value.into());
        self.until(hw, step, reg::CR0ACK, CR0_FIELDS, value.into())
    }

    /// Makes GBPA abort and keeps its attributes.
    pub(super) fn abort_when_disabled(&self, hw: &mut dyn Access) -> Result<(), BringUpError> {
        let gbpa = Gbpa::from(hw.read32(self.smmu, reg::GBPA));
        self.set_gbpa(hw, gbpa.with_abort(true))
    }

    /// Changes GBPA: one write with Update, only while Update is 0, complete when it is 0 again (6.3.14).
    pub(super) fn set_gbpa(&self, hw: &mut dyn Access, value: Gbpa) -> Result<(), BringUpError> {
        let update = Gbpa::new().with_update(true).into();
        self.until(hw, "GBPA before its update", reg::GBPA, update, 0)?;
        hw.write32(self.smmu, reg::GBPA, value.with_update(true).into());
        self.until(hw, "GBPA", reg::GBPA, update, 0)
    }

    /// SMMUEN off, then queues and checks, then interrupts; global errors acknowledged.
    ///
    /// ATSCHK goes after SMMUEN and not with it: CR0's fields are updated independently, and translated requests must
    /// not pass unchecked (6.3.9).
    pub(super) fn disable(&self, hw: &mut dyn Access) -> Result<(), BringUpError> {
        let cr0 = Cr0::from(hw.read32(self.smmu, reg::CR0));
        if cr0.smmuen() {
            // A field whose last change is not acknowledged must not be changed again (6.3.9).
            let smmuen = Cr0::new().with_smmuen(true).into();
            self.until(hw, "SMMUEN as found", reg::CR0ACK, smmuen, smmuen)?;
            hw.write32(self.smmu, reg::CR0, cr0.with_smmuen(false).into());
            self.until(hw, "SMMUEN off", reg::CR0ACK, smmuen, 0)?;
        }
        self.set_cr0(hw, "all of CR0 off", Cr0::new())?;
        hw.write32(self.smmu, reg::IRQ_CTRL, 0);
        self.until(hw, "interrupts off", reg::IRQ_CTRLACK, 0b111, 0)?;
        self.acknowledge_errors(hw)
    }

    /// An active CMDQ_ERR would keep every command from being consumed, even in a new queue (7.1).
    fn acknowledge_errors(&self, hw: &mut dyn Access) -> Result<(), BringUpError> {
        let (gerror, gerrorn) = self.errors(hw);
        let active = Gerror::from(gerror ^ gerrorn);
        if active.sfm_err() {
            return Err(BringUpError::ServiceFailure { gerror, gerrorn });
        }
        if active != Gerror::new() {
            hw.write32(self.smmu, reg::GERRORN, gerror);
        }
        Ok(())
    }

    /// Nothing went wrong meanwhile.
    pub(super) fn check_errors(&self, hw: &mut dyn Access) -> Result<(), BringUpError> {
        let (gerror, gerrorn) = self.errors(hw);
        if gerror == gerrorn { Ok(()) } else { Err(BringUpError::GlobalError { gerror, gerrorn }) }
    }

    fn errors(&self, hw: &mut dyn Access) -> (u32, u32) {
        (hw.read32(self.smmu, reg::GERROR), hw.read32(self.smmu, reg::GERRORN))
    }

    fn until(
        &self,
        hw: &mut dyn Access,
        step: &'static str,
        register: u32,
        mask: u32,
        wanted: u32,
    ) -> Result<(), BringUpError> {
        match poll::until(hw, self.smmu, register, mask, wanted, self.timeout_us) {
            Ok(_) => Ok(()),
            Err(error) => Err(BringUpError::TimedOut { step, error }),
        }
    }
}
