//! Domains that refuse nothing, and in whose tables hardware marks where their streams went.

use super::{BringUpError, Domain, Unit};
use crate::access::{Access, Barrier};
use crate::frames::Frames;
use crate::spec::ste::Ste1;
use crate::translation::{Geometry, Identity, Marked, Memory};

/// STE.INSTCFG: every access is one to data (5.2; only with IDR1.ATTR_PERMS_OVR).
const INSTCFG_DATA: u8 = 2;

impl Unit {
    /// A domain of identity tables of its own.
    ///
    /// # Errors
    /// [`BringUpError::NoIdentifier`], [`BringUpError::Map`], [`BringUpError::OutOfMemory`].
    pub fn new_marked_domain(
        &mut self,
        hw: &mut dyn Access,
        frames: &mut dyn Frames,
        identity: &mut Identity<'_>,
        memory: Memory,
    ) -> Result<(Domain, Marked), BringUpError> {
        self.check_identifiers()?;
        let marked = identity.tables(hw, frames, memory)?;
        let mut domain = self.domain(hw, frames, *marked.translation(), Some(identity.httu()))?;
        if self.idr1.attr_perms_ovr() {
            // What unprivileged DMA may write no privileged instruction fetch may read (PXN; DDI 0487, D8.4).
            domain.ste[1] = Ste1::from(domain.ste[1]).with_instcfg(INSTCFG_DATA).into();
        }
        Ok((domain, marked))
    }

    /// One more domain can be made.
    pub(crate) fn has_identifier(&self) -> bool {
        self.check_identifiers().is_ok()
    }

    /// The shape of its own tables.
    pub(crate) const fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Waits until the SMMU has carried out what it was told, and what it wrote for transactions before is visible.
    pub(crate) fn sync(&mut self, hw: &mut dyn Access) -> Result<(), BringUpError> {
        let synced = self.commands.sync(hw);
        synced.map_err(|error| BringUpError::Queue { step: "CMD_SYNC", error })
    }

    /// Drops cached translations of `domain`, after descriptors of it were changed.
    pub(crate) fn publish_and_invalidate(&mut self, hw: &mut dyn Access, domain: &Domain) -> Result<(), BringUpError> {
        hw.barrier(Barrier::PublishStructure);
        self.invalidate(hw, domain)
    }

    /// Translates all StreamIDs through `domain` that nobody attaches. Before [`Unit::start`], and before the first of them
    /// is attached.
    ///
    /// # Errors
    /// [`BringUpError::Table`].
    pub fn attach_unknown(
        &mut self,
        hw: &mut dyn Access,
        frames: &mut dyn Frames,
        domain: &Domain,
    ) -> Result<(), BringUpError> {
        Ok(self.table.lead_unknown(hw, frames, domain.ste)?)
    }

    /// Disables an SMMU that was found disabled, and that nobody had in between, without refusing anything meanwhile: GBPA
    /// was never written, so that firmware's setting holds from SMMUEN=0 on.
    ///
    /// # Errors
    /// [`BringUpError`].
    pub fn release(&mut self, hw: &mut dyn Access) -> Result<(), BringUpError> {
        hw.step("smmu.release");
        self.disable(hw)
    }
}
