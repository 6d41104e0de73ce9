//! SMMUs into the payload's hands, and endpoints to work. An SMMU that firmware left translating keeps its table: what
//! firmware's devices do goes on, and the payload's streams are attached beside theirs.

use crate::{
    cycle::{CycleEnd, Setting},
    firmware_smmu::{self, Guest},
    machine::{Machine, SmmuAt},
    streams::{self, Live},
};
use addr::StreamId;
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use arch::{console, frames::FramePool};
use scenario::{
    Plant, Policy,
    options::{RunOptions, Strtab},
};
use smmu::{
    access::SmmuIndex,
    bringup::{Options, Unit},
    observe::Registers,
    table::Format,
    takeover::Held,
};
use wire::{
    Record,
    record::{Severity, Verdict},
};

/// How long streams may take to begin.
const LIVE_US: u64 = 300_000;
/// Where it says that what is found enabled is kept.
const SOURCE: &str = "ARCHITECTURE.md, found in firmware's hands";

/// Brings up the SMMUs, makes the windows and starts the endpoints.
pub(crate) fn arm(
    setting: &mut Setting<'_>,
    frames: &mut FramePool,
    units: &mut Vec<Unit>,
    live: &mut Vec<Live>,
    end: &mut CycleEnd,
) -> Result<(), String> {
    let mut played = Vec::new();
    let armed = arm_after(setting, frames, units, live, end, &mut played);
    if armed.is_err() {
        // The cycle ends here, and the next one makes other use of the memory in which their tables are.
        for unit in &mut played {
            // The error that is told is the first one.
            let _ = unit.shut_down(&mut setting.machine.hw);
        }
    }
    armed
}

/// The same; `played` are the SMMUs that a firmware of ours has enabled first.
fn arm_after(
    setting: &mut Setting<'_>,
    frames: &mut FramePool,
    units: &mut Vec<Unit>,
    live: &mut Vec<Live>,
    end: &mut CycleEnd,
    played: &mut Vec<Unit>,
) -> Result<(), String> {
    refuse_linear_after_two_level(setting)?;
    let plays = setting.damage.begins_in_firmware();
    let is_first = (setting.run, setting.cycle) == (0, 0);
    if plays {
        firmware_smmu::play(setting.machine, setting.candidates, format(setting.options), frames, played)?;
    }
    let mut guest = None;
    if plays || (setting.options.firmware_smmu && is_first) {
        guest = Guest::start(setting.machine, setting.candidates, frames)?;
    }
    let mut dropped = Vec::new();
    let up = bring_up(setting, frames, units, live, guest.as_mut(), &mut dropped);
    if let Some(guest) = guest {
        // In any case: its device is at work.
        end_guest(setting, guest, units, live, &dropped, end);
    } else if is_first {
        for text in &dropped {
            finding(Severity::Warning, "SMMU", "firmware-table-dropped", text);
        }
    }
    up?;
    start_endpoints(setting, live);
    // Streams that do not begin are for the judge to see.
    streams::wait_until_live(setting.machine, live, LIVE_US);
    Ok(())
}

/// The same once more, of a quiet machine; nothing of firmware's is played.
pub(crate) fn arm_again(
    setting: &mut Setting<'_>,
    frames: &mut FramePool,
    units: &mut Vec<Unit>,
    live: &mut Vec<Live>,
) -> Result<(), String> {
    bring_up(setting, frames, units, live, None, &mut Vec::new())?;
    start_endpoints(setting, live);
    streams::wait_until_live(setting.machine, live, LIVE_US);
    Ok(())
}

/// Every SMMU translates for the streams of ours, and for those that it served before; `dropped` says where not.
fn bring_up(
    setting: &mut Setting<'_>,
    frames: &mut FramePool,
    units: &mut Vec<Unit>,
    live: &mut Vec<Live>,
    mut guest: Option<&mut Guest>,
    dropped: &mut Vec<String>,
) -> Result<(), String> {
    for (index, at) in (0_u8..).zip(setting.machine.smmus.clone()) {
        let options = options(setting, usize::from(index), at);
        let index = SmmuIndex(index);
        let Machine { hw, bus, .. } = &mut *setting.machine;
        let is_enabled = Registers::read(hw, index).cr0.smmuen();
        let adopted = match is_enabled {
            true if setting.options.plant == Some(Plant::FirmwareDropped) => Err("planted".into()),
            true => {
                let mut look = || guest.iter_mut().for_each(|guest| guest.hold_step(bus));
                let adopted = Unit::adopt(&mut Held::new(hw, &mut look), index, &options, frames);
                adopted.map_err(|error| error.to_string())
            }
            false => Err(String::new()),
        };
        let unit = match adopted {
            Ok(unit) => unit,
            Err(reason) => {
                if is_enabled {
                    dropped.push(format!("SMMU at {}: firmware's table is not kept: {reason}", at.base));
                }
                let unit = Unit::prepare(hw, index, &options, frames);
                unit.map_err(|error| format!("SMMU at {}: {error}", at.base))?
            }
        };
        units.push(unit);
        let unit = units.last_mut().ok_or("no unit")?;
        streams::attach_foreign_rmrs(setting.machine, unit, usize::from(index.0), frames, setting.candidates)?;
    }
    for candidate in &*setting.candidates {
        let Some(unit) = units.get_mut(candidate.smmu) else { continue };
        // Its stream stays firmware's.
        let is_guest = guest.as_ref().is_some_and(|guest| guest.live.candidate.bdf == candidate.bdf);
        if !(is_guest && unit.has_adopted()) {
            live.push(streams::attach(setting.machine, unit, frames, *candidate)?);
        }
    }
    // Every stream has its STE by now: DMA of the firmware's that a reserved range serves is not cut off for a moment.
    let Machine { hw, bus, smmus, .. } = &mut *setting.machine;
    for (unit, at) in units.iter_mut().zip(smmus).filter(|(unit, _)| !unit.has_adopted()) {
        let mut look = || guest.iter_mut().for_each(|guest| guest.hold_step(bus));
        unit.start(&mut Held::new(hw, &mut look)).map_err(|error| format!("SMMU at {}: {error}", at.base))?;
    }
    Ok(())
}

/// Stops firmware's device, says what it has missed, and hands it over to be armed again where its stream still is firmware's.
fn end_guest(
    setting: &mut Setting<'_>,
    guest: Guest,
    units: &[Unit],
    live: &mut Vec<Live>,
    dropped: &[String],
    end: &mut CycleEnd,
) {
    let (again, delta, late) = guest.stop(setting.machine);
    let is_adopted = !units.is_empty() && units.iter().all(Unit::has_adopted);
    match dropped.first() {
        Some(reason) => setting.fail(end, "firmware.adopted", reason, SOURCE),
        None if is_adopted => setting.pass(end, "firmware.adopted", SOURCE),
        None => setting.fail(
            end,
            "firmware.adopted",
            "not every SMMU was found enabled, as firmware should have it",
            SOURCE,
        ),
    }
    let (bdf, id) = (again.stream.bdf, "firmware.no-loss");
    let (blocked, stray) = (delta.phase.blocked.unwrap_or(0), delta.phase.mis_steered);
    if late != 0 || !delta.is_live() {
        let reason = format!("{bdf}: {late} samples too late, or no DMA attempted during the bring-up");
        setting.tell(end, id, Verdict::NotCovered, &reason, SOURCE);
    } else if delta.is_inconsistent || blocked != 0 || stray != 0 || delta.phase.delivered == 0 {
        let delivered = delta.phase.delivered;
        let reason = format!("{bdf}: {delivered} delivered, {blocked} blocked, {stray} mis-steered in the bring-up");
        setting.fail(end, id, &reason, SOURCE);
    } else {
        setting.pass(end, id, SOURCE);
    }
    if units.get(again.candidate.smmu).is_some_and(Unit::has_adopted) {
        live.push(again);
    }
}

/// Starts them. One that does not start is left out from here on, stopped and with bus mastering off.
fn start_endpoints(setting: &mut Setting<'_>, live: &mut Vec<Live>) {
    let Setting { machine, candidates, .. } = setting;
    let left_out = usize::from(setting.options.plant == Some(Plant::EndpointOff));
    let started = live.len().saturating_sub(left_out);
    for Live { stream, candidate, .. } in live.iter_mut().take(started) {
        candidate.driver.begin(&mut machine.config, &mut machine.bus, stream);
    }
    let mut refused = Vec::new();
    for index in 0..started {
        let Some((live, before)) = live.get_mut(..=index).and_then(<[Live]>::split_last_mut) else { break };
        // What came round by itself while one after the other was armed would not be counted.
        for Live { stream, candidate, .. } in before.iter_mut().filter(|live| live.candidate.driver.is_cyclic()) {
            candidate.driver.sample(&mut machine.bus, stream);
        }
        let armed = live.candidate.driver.arm(&mut machine.config, &mut machine.bus, &mut live.stream);
        live.is_started = armed.is_ok();
        if let Err(error) = armed {
            let (bdf, driver) = (live.stream.bdf, live.candidate.driver.name());
            let text = format!("{bdf}: {driver} cannot be armed: {error}; the run goes on without it");
            finding(Severity::Error, "PCI", "endpoint-not-armed", &text);
            refused.push(bdf);
        }
    }
    live.retain(|live| !refused.contains(&live.stream.bdf));
    candidates.retain(|candidate| !refused.contains(&candidate.bdf));
}

/// A finding while cycles run.
pub(crate) fn finding(severity: Severity, table: &str, id: &str, text: &str) {
    console::record(&Record::Finding { severity, table, id, offset: None, text });
}

fn options(setting: &Setting<'_>, smmu: usize, at: SmmuAt) -> Options {
    let streams = setting.candidates.iter().filter(|candidate| candidate.smmu == smmu);
    let of_rmrs = setting.machine.largest_rmr_stream(smmu);
    let largest = streams.map(|candidate| candidate.stream_id).chain(of_rmrs).max().unwrap_or(StreamId(0));
    // The lower or the upper half of 8-bit identifiers, in turn: beside the invalidations, no TLB entry of the last cycle
    // can match. A taker whose allocator starts empty counts from 1, and is to be met there.
    let starts_at_1 = setting.cycle.is_multiple_of(2) || setting.policy.is_some_and(Policy::attaches);
    Options {
        coherent_override: at.coherent_override,
        format: format(setting.options),
        first_id: if starts_at_1 { 1 } else { 128 },
        stage: setting.damage.stage(),
        ..Options::new(at.base, largest)
    }
}

/// The form of stream table that the run asks for.
pub(crate) fn format(options: &RunOptions) -> Option<Format> {
    options.strtab.map(|strtab| match strtab {
        Strtab::Linear => Format::Linear,
        Strtab::TwoLevel => Format::TwoLevel,
    })
}

/// QEMU's SMMU (IIDR 0) goes on walking two levels once it was given a two-level table, whatever STRTAB_BASE_CFG.FMT says
/// later: a linear table after a reset would be misread, and the policy blamed for it.
pub(crate) fn refuse_linear_after_two_level(setting: &mut Setting<'_>) -> Result<(), String> {
    if setting.options.strtab != Some(Strtab::Linear) {
        return Ok(());
    }
    for (index, _) in (0_u8..).zip(&setting.machine.smmus) {
        let registers = Registers::read(&mut setting.machine.hw, SmmuIndex(index));
        if registers.iidr == 0 && registers.strtab_base_cfg.fmt() != 0 {
            return Err(
                "strtab=linear: QEMU misreads it after a two-level table: let `reset` come last, with one cycle".into(),
            );
        }
    }
    Ok(())
}
