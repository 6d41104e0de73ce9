//! `adopt`: keep translating with the crashed kernel's tables.
//!
//! Order and values as measured on a real kernel with revision 7 of the series, with what revision 10 added: stricter
//! validation, and the identifiers of adopted streams kept out of use. Never written: STRTAB_*, CR1, CR2, GBPA, and
//! SMMUEN is 1 in every CR0 write. Bypass STEs for RMR streams are *not* installed: they would turn translated DMA into
//! physical DMA, in a live table. Event and PRI queue keep the dead kernel's registers and stay off.
//!
//! `adopt-v7` goes by revision 7 alone. `adopt-rmr-bypass` does install those STEs, as revisions before 6 did.

use super::common::{self, Features, Queues, write_cr0};
use super::identifiers::{self, Identifiers};
use super::validate::{self, Revision};
use super::{Ignored, Policy, Refusal, Rule, Site, Taken, TakeoverError, fresh};
use crate::access::Access;
use crate::queue::CommandQueue;
use crate::spec::registers::{self as reg, Cr0, Gerror, IrqCtrl};

/// Whether the SMMU as a whole can be adopted.
pub(super) fn eligible(hw: &mut dyn Access, site: &Site<'_>, features: &Features) -> Result<(), Refusal> {
    hw.step("adopt.eligible");
    let cr0 = hw.read32(site.smmu, reg::CR0);
    if !Cr0::from(cr0).smmuen() {
        return Err(Refusal::register(Rule::SmmuDisabled, reg::CR0, cr0.into()));
    }
    if !features.coherent {
        return Err(Refusal::register(Rule::NotCoherent, reg::IDR0, u32::from(features.idr0).into()));
    }
    let gerror = hw.read32(site.smmu, reg::GERROR);
    let active = gerror ^ hw.read32(site.smmu, reg::GERRORN);
    if Gerror::from(active).sfm_err() {
        return Err(Refusal::register(Rule::ServiceFailure, reg::GERROR, gerror.into()));
    }
    Ok(())
}

/// Whether the table can be, and which identifiers it uses. Nothing is written to the SMMU.
pub(super) fn examine(
    policy: Policy,
    hw: &mut dyn Access,
    site: &Site<'_>,
    features: &Features,
) -> Result<Identifiers, Refusal> {
    hw.step("adopt.validate");
    let revision = if policy.is_v7() { Revision::V7 } else { Revision::V10 };
    let table = validate::table(hw, site.smmu, features, revision)?;
    if policy.is_v7() {
        return Ok(Identifiers::default());
    }
    // Revision 10: without this a new domain gets an ASID whose translations are still cached for the old one.
    hw.step("adopt.identifiers");
    let identifiers = identifiers::scan(hw, site.smmu, features, &table)?;
    if policy == Policy::AdoptRmrBypass {
        hw.step("adopt.rmr-bypass");
        for stream in site.rmr_streams {
            if let Some(at) = validate::ste_at(hw, site.smmu, &site.own, &table, *stream)? {
                fresh::bypass_in_place(hw, site.smmu, features, at);
            }
        }
    }
    Ok(identifiers)
}

/// Takes over, behind a table that was examined. After an error SMMUEN is left as it is: aborting is what adoption is
/// there to avoid.
pub(super) fn run(
    policy: Policy,
    hw: &mut dyn Access,
    site: &Site<'_>,
    features: &Features,
    mut queues: Queues,
    reserved: Identifiers,
) -> Result<Adopted, TakeoverError> {
    let smmu = site.smmu;
    let mut ignored = Ignored::default();

    hw.step("adopt.queues-off");
    let found = Cr0::from(hw.read32(smmu, reg::CR0));
    // ATSCHK is kept as found: 5.2 forbids clearing it under STEs with EATS=0b10, and setting it changes live streams.
    // SMMUEN is constant, so that no read-back of a dying bus can turn translation off here.
    let mut cr0 = Cr0::new().with_smmuen(true).with_atschk(found.atschk());
    write_cr0(hw, site, cr0, "adopt.queues-off")?;

    hw.step("adopt.gerror");
    common::acknowledge_errors(hw, smmu);

    hw.step("adopt.cmdq");
    queues.commands.program(hw);
    cr0 = cr0.with_cmdqen(true);
    write_cr0(hw, site, cr0, "adopt.cmdq")?;
    hw.step("adopt.invalidate");
    common::invalidate(hw, &mut queues.commands, features.idr0.hyp(), &mut ignored);

    hw.step("adopt.interrupts");
    common::interrupts(hw, site, features, IrqCtrl::new().with_gerror(true), &mut ignored);

    // The same value again: the reference sets SMMUEN at this place for both of its ways.
    hw.step("adopt.enable");
    write_cr0(hw, site, cr0, "adopt.enable")?;
    let last_ack_ticks = hw.ticks();
    Ok(Adopted { did: policy, reserved, last_ack_ticks, ignored, commands: queues.commands })
}

/// An SMMU whose table was kept.
#[derive(Clone, Debug)]
pub struct Adopted {
    did: Policy,
    /// Identifiers found in the table.
    pub reserved: Identifiers,
    last_ack_ticks: u64,
    /// What went wrong without stopping the adoption.
    pub ignored: Ignored,
    /// The new command queue.
    pub commands: CommandQueue,
}

impl From<Adopted> for Taken {
    fn from(adopted: Adopted) -> Self {
        let Adopted { did, reserved, last_ack_ticks, ignored, commands } = adopted;
        Self { did, refusal: None, reserved, last_ack_ticks, ignored, commands: Some(commands), events: None }
    }
}
