//! What the primary knows before it dies, for the taker to be judged by: counts of the streams, SMMUs, PCI functions.

use crate::{arm, cycle::Setting, firmware::Reserved, machine::SmmuAt, streams::Live};
use addr::{Iova, PhysAddr};
use alloc::{format, string::String, vec::Vec};
use arch::bus::Smmus;
use handover::oracle::{OracleMut, SmmuLeft};
use scenario::Plant;
use smmu::{
    access::SmmuIndex,
    bringup::Unit,
    observe::{Registers, digest, reaches, ste, uses},
};
use wire::record::Severity;

/// Structures of one SMMU that are read for digests, in bytes: a linear table of 2^16 STEs and more.
const DIGEST_LIMIT: u64 = 16 << 20;

/// The SMMUs as they are now: registers and digests, and that none lets a stream reach the kdump region. In firmware's own
/// table only the streams of the payload's are asked: what firmware allows itself is a finding.
pub(crate) fn smmus(setting: &mut Setting<'_>, units: &[Unit], live: &mut [Live]) -> Result<Vec<SmmuLeft>, String> {
    let region = setting.machine.memory.kdump;
    let mut left = Vec::new();
    for ((index, SmmuAt { base, .. }), unit) in (0_u8..).zip(setting.machine.smmus.clone()).zip(units) {
        let hw = &mut setting.machine.hw;
        let registers = Registers::read(hw, SmmuIndex(index));
        let named = |what: &str, error: &dyn core::fmt::Display| format!("SMMU at {base}: {what}: {error}");
        let digest = digest(hw, &registers, DIGEST_LIMIT).map_err(|error| named("digest", &error))?;
        let is_ours = |stream_id| {
            let mut here = live.iter().filter(|live| live.stream.smmu == u32::from(index) && live.domain.is_some());
            !unit.has_adopted() || here.any(|live| live.stream.stream_id == stream_id)
        };
        let mut ask = |is_asked| reaches(hw, &registers, region.start, region.bytes, DIGEST_LIMIT, is_asked);
        let reach = ask(&is_ours);
        if unit.has_adopted() && setting.cycle == 0 && !matches!(ask(&|stream_id| !is_ours(stream_id)), Ok(None)) {
            let text =
                format!("SMMU at {base}: firmware's own streams may reach the kdump region, or cannot be followed");
            arm::finding(Severity::Warning, "SMMU", "firmware-reaches-kdump", &text);
        }
        if let Some(reach) = reach.map_err(|error| named("reach", &error))? {
            let (stream, iova) = (reach.stream_id, reach.iova);
            return Err(format!("stream {stream} reaches the kdump region by {iova}: the taker could be overwritten"));
        }
        if setting.cycle == 0 {
            say_overlap(hw, &registers, region, base);
        }
        for live in live.iter_mut().filter(|live| live.stream.smmu == u32::from(index)) {
            let found = ste(hw, &registers, live.stream.stream_id).map_err(|error| named("STE", &error))?;
            live.stream.ste = found.map(|(_, words)| words).unwrap_or_default();
        }
        left.push(SmmuLeft {
            base,
            strtab_base: registers.strtab_base.into(),
            strtab_base_cfg: u32::from(registers.strtab_base_cfg).into(),
            eventq_base: registers.eventq_base.into(),
            level1_digest: digest.level1,
            level2_digest: digest.level2,
            contexts_digest: digest.contexts,
            digest_bytes: digest.bytes,
            flags: 0,
        });
    }
    Ok(left)
}

/// A device that issues addresses of the kdump region writes there as soon as nobody translates for it: what a crash kernel that
/// reserves such addresses keeps from its own devices.
fn say_overlap(hw: &mut Smmus, registers: &Registers, region: Reserved, base: PhysAddr) {
    // Tables that cannot be walked were refused by then.
    let found = uses(hw, registers, Iova(region.start.0), region.bytes, DIGEST_LIMIT, &|_| true).ok().flatten();
    if let Some(reach) = found {
        let (stream, iova) = (reach.stream_id, reach.iova);
        let text = format!(
            "SMMU at {base}: stream {stream} uses {iova}, which is an address of the kdump region: untranslated, its DMA would hit the taker"
        );
        arm::finding(Severity::Warning, "SMMU", "iova-in-kdump", &text);
    }
}

/// Writes it all into the oracle's memory, with the counts of the streams.
pub(crate) fn write(
    setting: &mut Setting<'_>,
    live: &mut [Live],
    left: &[SmmuLeft],
    armed_tick: u64,
    crash_tick: u64,
) -> Result<(), String> {
    let memory = setting.places.oracle();
    let mut oracle = OracleMut::create(memory, live.len(), left.len(), setting.functions.len())
        .map_err(|error| format!("oracle: {error}"))?;
    (oracle.header.run, oracle.header.cycle) = (setting.run, setting.cycle);
    (oracle.header.armed_tick, oracle.header.crash_tick) = (armed_tick, crash_tick);
    oracle.header.plant = setting.options.plant.map_or(0, Plant::code);
    for (slot, live) in oracle.streams.iter_mut().zip(live) {
        live.stream.at_crash = live.stream.totals;
        *slot = live.stream;
    }
    oracle.smmus.copy_from_slice(left);
    oracle.functions.copy_from_slice(&setting.functions);
    oracle.seal();
    if setting.options.plant == Some(Plant::StaleOracle) {
        let fresh = memory.to_vec();
        if let Some(stale) = setting.last_oracle.replace(fresh) {
            memory.copy_from_slice(&stale);
        }
    }
    Ok(())
}
