//! `reset`: what all released kernels do in a kdump kernel, with what they do wrong.
//!
//! The order and values are those of `arm_smmu_device_reset` up to 7.3, which did not change in substance since 6.12.
//! Kept on purpose: results of the GBPA update and of the invalidations are passed over; GERROR is not acknowledged, so
//! that an old CMDQ_ERR stops every CMD_SYNC until its deadline; the event queue is enabled, then disabled again;
//! GBPA.ABORT is never cleared.
//!
//! `reset-evtq` keeps the event queue. `reset-attach` gives streams domains afterwards. The `quiesce-*` policies stop the
//! devices before they come here; how, is not the SMMU's business.

use super::common::{self, Features, Queues, write_cr0};
use super::identifiers::Identifiers;
use super::{Ignored, Policy, Site, Taken, TakeoverError, attach, fresh};
use crate::access::Access;
use crate::poll::{TimedOut, until};
use crate::queue::EventQueue;
use crate::spec::registers::{self as reg, Cr0, Cr2, Gbpa, IrqCtrl};

/// Table and queue accesses Inner Shareable, Normal Write-Back (6.3.11).
const CR1: u32 = 0xD75;

/// Whose reset it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernel {
    /// No adoption in it.
    Released,
    /// The fallback of a kernel that can adopt: it acknowledges GERROR and leaves event and PRI queue alone.
    Adopting,
    /// One that is no crash kernel: event and PRI queue stay on, and somebody has to read them.
    Ordinary,
}

/// Runs the reset. On an error CR0 is written 0, as the failing probe does.
pub(super) fn run(
    policy: Policy,
    hw: &mut dyn Access,
    mut site: Site<'_>,
    features: &Features,
    queues: Queues,
    kernel: Kernel,
) -> Result<Taken, TakeoverError> {
    hw.step("reset.new-table");
    let mut table = fresh::build(hw, &mut site, features)?;
    let result = device_reset(policy, hw, &site, features, &table, queues, kernel);
    match result {
        Ok(taken) if policy == Policy::ResetAttach => attach::run(hw, &mut site, features, &mut table, taken),
        Ok(_) => result,
        Err(_) => {
            hw.step("reset.give-up");
            // The error that is told is the one before this.
            let _already_failing = write_cr0(hw, &site, Cr0::new(), "reset.give-up");
            result
        }
    }
}

fn device_reset(
    policy: Policy,
    hw: &mut dyn Access,
    site: &Site<'_>,
    features: &Features,
    table: &fresh::FreshTable,
    mut queues: Queues,
    kernel: Kernel,
) -> Result<Taken, TakeoverError> {
    let smmu = site.smmu;
    let mut ignored = Ignored::default();

    hw.step("reset.read-cr0");
    if Cr0::from(hw.read32(smmu, reg::CR0)).smmuen() {
        hw.step("reset.abort");
        ignored.gbpa = set_gbpa_abort(hw, site, true).err();
    }
    // With SMMUEN found 0, GBPA stays as it was left: perhaps bypass.
    hw.step("reset.disable");
    write_cr0(hw, site, Cr0::new(), "reset.disable")?;

    hw.step("reset.attributes");
    hw.write32(smmu, reg::CR1, CR1);
    hw.write32(smmu, reg::CR2, Cr2::new().with_ptm(true).with_recinvsid(true).with_e2h(features.e2h).into());

    hw.step("reset.strtab");
    hw.write64(smmu, reg::STRTAB_BASE, table.base().into());
    hw.write32(smmu, reg::STRTAB_BASE_CFG, table.config().into());

    if kernel == Kernel::Adopting {
        hw.step("reset.gerror");
        common::acknowledge_errors(hw, smmu);
    }
    hw.step("reset.cmdq");
    queues.commands.program(hw);
    let mut cr0 = Cr0::new().with_cmdqen(true);
    write_cr0(hw, site, cr0, "reset.cmdq")?;
    hw.step("reset.invalidate");
    common::invalidate(hw, &mut queues.commands, features.idr0.hyp(), &mut ignored);

    if kernel != Kernel::Adopting {
        cr0 = output_queues(hw, site, &queues, cr0)?;
    }
    if features.idr0.ats() {
        hw.step("reset.atschk");
        cr0 = cr0.with_atschk(true);
        write_cr0(hw, site, cr0, "reset.atschk")?;
    }

    hw.step("reset.interrupts");
    let enabled = IrqCtrl::new().with_gerror(true);
    let enabled = match kernel {
        Kernel::Released | Kernel::Ordinary => enabled.with_eventq(true).with_priq(features.idr0.pri()),
        Kernel::Adopting => enabled,
    };
    common::interrupts(hw, site, features, enabled, &mut ignored);

    // A kdump kernel takes both queues out of the value that it is about to write; there is no write of its own.
    if kernel != Kernel::Ordinary {
        cr0 = cr0.with_eventqen(false).with_priqen(false);
    }
    cr0 = cr0.with_smmuen(true);
    hw.step("reset.enable");
    write_cr0(hw, site, cr0, "reset.enable")?;
    let last_ack_ticks = hw.ticks();
    // Step 17 is the implementation's hook, empty for a generic SMMUv3.
    hw.step("reset.implementation");
    let events = (kernel == Kernel::Ordinary).then(|| EventQueue::new(smmu, queues.events));
    Ok(Taken {
        did: policy,
        refusal: None,
        reserved: Identifiers::default(),
        last_ack_ticks,
        ignored,
        commands: Some(queues.commands),
        events,
    })
}

/// GBPA.ABORT; attributes stay (6.3.14: one write with Update, only while Update is 0).
pub(super) fn set_gbpa_abort(hw: &mut dyn Access, site: &Site<'_>, abort: bool) -> Result<(), TimedOut> {
    let update = u32::from(Gbpa::new().with_update(true));
    let old = Gbpa::from(until(hw, site.smmu, reg::GBPA, update, 0, site.timeout_us)?);
    hw.write32(site.smmu, reg::GBPA, old.with_abort(abort).with_update(true).into());
    until(hw, site.smmu, reg::GBPA, update, 0, site.timeout_us).map(|_| ())
}

/// Event and PRI queue; the former is live for a moment, and what the SMMU had buffered may be written out.
fn output_queues(hw: &mut dyn Access, site: &Site<'_>, queues: &Queues, cr0: Cr0) -> Result<Cr0, TakeoverError> {
    hw.step("reset.evtq");
    hw.write64(site.smmu, reg::EVENTQ_BASE, queues.events.into());
    hw.write32(site.smmu, reg::EVENTQ_PROD, 0);
    hw.write32(site.smmu, reg::EVENTQ_CONS, 0);
    let mut cr0 = cr0.with_eventqen(true);
    write_cr0(hw, site, cr0, "reset.evtq")?;
    if let Some(requests) = queues.requests {
        hw.step("reset.priq");
        hw.write64(site.smmu, reg::PRIQ_BASE, requests.into());
        hw.write32(site.smmu, reg::PRIQ_PROD, 0);
        hw.write32(site.smmu, reg::PRIQ_CONS, 0);
        cr0 = cr0.with_priqen(true);
        write_cr0(hw, site, cr0, "reset.priq")?;
    }
    Ok(cr0)
}
