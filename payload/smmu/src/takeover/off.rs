//! `abort` and `bypass`: the SMMU is disabled, and GBPA says what becomes of DMA from then on.
//!
//! `abort` is what b63b3439b856 did in a crash kernel, before resets; `bypass` is what a clean kexec leaves where GBPA was
//! never touched (`arm_smmu_device_shutdown`: CR0 is written 0), made certain. Nothing is invalidated, no queue is set up.

use super::common::write_cr0;
use super::identifiers::Identifiers;
use super::{Ignored, Policy, Site, Taken, TakeoverError, reset};
use crate::access::Access;
use crate::spec::registers::Cr0;

/// Sets GBPA first: from SMMUEN 0 on it decides (6.3.14).
pub(super) fn run(policy: Policy, hw: &mut dyn Access, site: &Site<'_>) -> Result<Taken, TakeoverError> {
    hw.step("off.gbpa");
    // Without its Update a bypass may turn out an abort, or the other way round: told, and seen by what DMA does.
    let gbpa = reset::set_gbpa_abort(hw, site, policy == Policy::Abort).err();
    hw.step("off.disable");
    write_cr0(hw, site, Cr0::new(), "off.disable")?;
    Ok(Taken {
        did: policy,
        refusal: None,
        reserved: Identifiers::default(),
        last_ack_ticks: hw.ticks(),
        ignored: Ignored { gbpa, ..Ignored::default() },
        commands: None,
        events: None,
    })
}
