//! Faults that are planted in the tables of the streams.

use crate::{cycle::Setting, streams::Live};
use addr::Iova;
use alloc::{format, string::String};
use arch::frames::FramePool;
use scenario::Plant;
use smmu::{bringup::Unit, translation::Attributes};

/// Plants the faults that are in the tables: one leaf of the first stream without an RMR is unmapped, or points at its
/// canary.
pub(crate) fn apply(
    setting: &mut Setting<'_>,
    frames: &mut FramePool,
    units: &mut [Unit],
    live: &[Live],
) -> Result<(), String> {
    let is_canary = match setting.options.plant {
        Some(Plant::IovaInKdump) => return iova_in_kdump(setting, frames, live),
        Some(Plant::HangBefore) if setting.cycle + 1 == setting.cycles => arch::power::halt(),
        Some(Plant::LeafUnmapped) => false,
        Some(Plant::LeafCanary) => true,
        _ => return Ok(()),
    };
    let mut plain = live.iter().filter(|live| live.stream.rmr.bytes == 0);
    let (victim, domain) =
        plain.find_map(|live| Some((live, live.domain?))).ok_or("plant: no stream of ours without an RMR")?;
    let unit = units.get_mut(victim.candidate.smmu).ok_or("plant: no SMMU")?;
    let offset = victim.candidate.driver.data_page();
    let (iova, canary) = (victim.stream.window.iova.plus(offset), victim.stream.window.canary.plus(offset));
    let hw = &mut setting.machine.hw;
    let refuse = |error: &dyn core::fmt::Display| format!("plant: {error}");
    domain.tables.unmap(hw, iova, 4096).map_err(|error| refuse(&error))?;
    unit.invalidate(hw, &domain).map_err(|error| refuse(&error))?;
    if is_canary {
        let read_write = Attributes::default();
        domain.tables.map(hw, frames, iova, canary, 4096, read_write).map_err(|error| refuse(&error))?;
    }
    Ok(())
}

/// The first page of the kdump region's addresses, in the first domain of ours: no device uses it.
fn iova_in_kdump(setting: &mut Setting<'_>, frames: &mut FramePool, live: &[Live]) -> Result<(), String> {
    let start = setting.machine.memory.kdump.start;
    let own = live.iter().find_map(|live| Some((live.stream.window.target, live.domain?)));
    let (target, domain) = own.ok_or("plant: no stream of ours")?;
    let mapped = domain.tables.map(&mut setting.machine.hw, frames, Iova(start.0), target, 4096, Attributes::default());
    mapped.map_err(|error| format!("plant: {error}"))
}
