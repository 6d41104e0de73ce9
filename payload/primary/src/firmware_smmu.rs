//! Plays a firmware that uses the SMMUs itself, and leaves them translating, and a device at work, when the payload starts.
//! EDK2 under QEMU leaves them disabled.

use crate::{
    arm,
    endpoints::Candidate,
    machine::Machine,
    notes::Notes,
    streams::{self, Live},
};
use addr::{PhysAddr, StreamId};
use alloc::{format, string::String, vec, vec::Vec};
use arch::{
    bus::Devices,
    frames::{FramePool, FrameRange},
    timer,
};
use handover::oracle::Counts;
use scenario::{options::RunOptions, phase::Delta};
use smmu::{
    access::SmmuIndex,
    bringup::{BringUpError, Options, Unit},
    frames::Frames,
    table::Format,
};
use wire::record::Severity;

/// Tables and queues of all SMMUs together; a first level is 1 MiB at most.
const BYTES: usize = 2 << 20;
/// How long the device may take to begin, and to move between two steps of the payload's bring-up.
const LIVE_US: u64 = 300_000;
const STEP_US: u64 = 12_000;
const LOOK_US: u64 = 250;

/// Enables every SMMU with stage-2 identity for the streams of all devices. Those that came up are added to `played`.
pub(crate) fn play(
    machine: &mut Machine,
    candidates: &[Candidate],
    format: Option<Format>,
    frames: &mut dyn Frames,
    played: &mut Vec<Unit>,
) -> Result<(), String> {
    for (index, at) in (0_u8..).zip(machine.smmus.clone()) {
        let here = candidates.iter().filter(|candidate| candidate.smmu == usize::from(index));
        let streams: Vec<StreamId> = here.map(|candidate| candidate.stream_id).collect();
        let largest = streams.iter().copied().max().unwrap_or(StreamId(0));
        let coherent_override = at.coherent_override;
        let options = Options { format, coherent_override, ..Options::new(at.base, largest) };
        let hw = &mut machine.hw;
        let mut enable = || -> Result<Unit, BringUpError> {
            let mut unit = Unit::prepare(hw, SmmuIndex(index), &options, frames)?;
            unit.pass(hw, frames, &streams)?;
            unit.start(hw)?;
            Ok(unit)
        };
        played.push(enable().map_err(|error| format!("SMMU at {}, as firmware: {error}", at.base))?);
    }
    Ok(())
}

/// The same before everything else, as the option `firmware-smmu` asks, and for good: nobody remembers them.
pub(crate) fn play_for_good(machine: &mut Machine, candidates: &[Candidate], options: &RunOptions, notes: &mut Notes) {
    let memory = vec![0_u8; BYTES].leak();
    let start = PhysAddr(memory.as_ptr().addr() as u64);
    // SAFETY: leaked just now, and used for nothing else: like firmware's own, it stays as it is until the power goes.
    let mut frames = unsafe { FrameRange::new(start, BYTES as u64) };
    let text = match play(machine, candidates, arm::format(options), &mut frames, &mut Vec::new()) {
        Ok(()) => return notes.add(Severity::Note, "SMMU", "firmware-smmu", "the SMMUs were enabled first"),
        Err(text) => text,
    };
    notes.add(Severity::Error, "SMMU", "firmware-smmu", text);
}

/// The device that firmware has at work, seen through the payload's own bring-up.
pub(crate) struct Guest {
    pub(crate) live: Live,
    before: Counts,
}

impl Guest {
    /// Starts the last of the devices that count their attempts: the kind that needs least time to begin.
    pub(crate) fn start(
        machine: &mut Machine,
        candidates: &[Candidate],
        frames: &mut FramePool,
    ) -> Result<Option<Self>, String> {
        let mut counting = candidates.iter().rev().filter(|candidate| candidate.driver.counts_attempts());
        let Some(candidate) = counting.next() else { return Ok(None) };
        let mut live = streams::of_firmware(frames, *candidate)?;
        let armed = candidate.driver.arm(&mut machine.config, &mut machine.bus, &mut live.stream);
        armed.map_err(|error| format!("{}: {} as firmware: {error}", candidate.bdf, candidate.driver.name()))?;
        live.is_started = true;
        streams::wait_until_live(machine, core::slice::from_mut(&mut live), LIVE_US);
        let before = live.stream.totals;
        Ok(Some(Self { live, before }))
    }

    /// Between two steps of the bring-up: waits until the device has attempted DMA since.
    pub(crate) fn hold_step(&mut self, bus: &mut Devices) {
        let since = self.live.stream;
        let deadline = timer::now() + timer::ticks_of_us(STEP_US);
        loop {
            self.live.candidate.driver.sample(bus, &mut self.live.stream);
            if self.live.candidate.driver.tried(&since, &self.live.stream) > 0 || timer::now() >= deadline {
                return;
            }
            timer::sleep_us(LOOK_US);
        }
    }

    /// Stops the device, and says what became of its DMA meanwhile, and whether anything of it can be believed. It can be
    /// armed anew.
    pub(crate) fn stop(mut self, machine: &mut Machine) -> (Live, Delta, u64) {
        self.hold_step(&mut machine.bus);
        let Self { mut live, before } = self;
        let delta = Delta::between(&before, &live.stream.totals, true);
        let driver = live.candidate.driver;
        let late = driver.overruns(&live.stream);
        // One that does not stop shows itself: it moves data that nobody armed it for.
        let _ = driver.quiesce(&mut machine.config, &mut machine.bus, &live.stream);
        live.is_started = false;
        (live.stream.totals, live.stream.state) = Default::default();
        (live, delta, late)
    }
}
