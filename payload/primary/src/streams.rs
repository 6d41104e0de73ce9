//! Live streams: windows, arming, waiting until they move, stopping, and the search for late DMA.

use crate::{endpoints::Candidate, machine::Machine};
use addr::{Iova, PhysAddr, StreamId};
use alloc::{format, string::String, vec::Vec};
use arch::{frames::FramePool, timer};
use handover::oracle::{
    STREAM_FED, STREAM_IDENTITY, STREAM_NO_ATTEMPTS, STREAM_NON_COHERENT, STREAM_RMR, Stream, Window,
};
use smmu::{
    bringup::{Domain, Unit},
    frames::Frames,
    translation::{Attributes, Memory},
};

/// A stream with its domain, in the primary's hands.
pub(crate) struct Live {
    pub(crate) stream: Stream,
    /// None where firmware's translation serves the stream.
    pub(crate) domain: Option<Domain>,
    pub(crate) candidate: Candidate,
    /// Its endpoint was started.
    pub(crate) is_started: bool,
}

/// Makes a domain with the windows of `candidate` and attaches its stream. Nothing moves yet.
pub(crate) fn attach(
    machine: &mut Machine,
    unit: &mut Unit,
    frames: &mut FramePool,
    candidate: Candidate,
) -> Result<Live, String> {
    let Candidate { bdf, smmu, stream_id, is_coherent, .. } = candidate;
    let named = |what: &str, error: &dyn core::fmt::Display| format!("{bdf}: {what}: {error}");
    let (target, canary, bytes) = pages(frames, candidate)?;
    let window = Window { iova: Iova(canary.0), target, canary, bytes };
    let domain = unit.new_domain(&mut machine.hw, frames).map_err(|error| named("domain", &error))?;
    let memory = if is_coherent { Memory::WriteBack } else { Memory::NonCacheable };
    let attributes = Attributes { memory, ..Attributes::default() };
    let mut map = |machine: &mut Machine, iova, pa, bytes| {
        let mapped = domain.tables.map(&mut machine.hw, frames, iova, pa, bytes, attributes);
        mapped.map_err(|error| named("map", &error))
    };
    map(machine, window.iova, window.target, bytes)?;
    // Every range that firmware names for the stream stays reachable, also one that is not ours to aim at.
    for (base, bytes) in machine.rmrs_of(smmu, stream_id).collect::<Vec<_>>() {
        map(machine, Iova(base.0), base, bytes)?;
    }
    unit.attach(&mut machine.hw, frames, stream_id, &domain).map_err(|error| named("attach", &error))?;
    // A VMID is in the STE.
    let stream = Stream { asid: domain.id.asid_and_vmid().0.into(), ..stream(candidate, window) };
    Ok(Live { stream, domain: Some(domain), candidate, is_started: false })
}

/// A device that firmware put to work: its stream passes to the addresses that it issues.
pub(crate) fn of_firmware(frames: &mut FramePool, candidate: Candidate) -> Result<Live, String> {
    let (target, canary, bytes) = pages(frames, candidate)?;
    let mut stream = stream(candidate, Window { iova: Iova(target.0), target, canary, bytes });
    stream.flags |= STREAM_IDENTITY;
    Ok(Live { stream, domain: None, candidate, is_started: false })
}

/// Memory for both ends of a window, and its length.
fn pages(frames: &mut FramePool, candidate: Candidate) -> Result<(PhysAddr, PhysAddr, u64), String> {
    let (bdf, bytes) = (candidate.bdf, candidate.driver.window_bytes());
    let mut pages = |what: &str| {
        let free = frames.allocate(bytes, 0x1_0000);
        free.ok_or_else(|| format!("{bdf}: no memory for {what} of {bytes:#x} bytes"))
    };
    Ok((pages("a window")?, pages("a canary")?, bytes))
}

/// A stream that nothing has moved yet.
fn stream(candidate: Candidate, window: Window) -> Stream {
    let Candidate { bdf, driver, smmu, stream_id, is_rmr, rmr, registers, is_coherent } = candidate;
    let rmr =
        rmr.map_or(Window::default(), |(base, bytes)| Window { iova: Iova(base.0), target: base, canary: base, bytes });
    let flags = [
        (is_rmr, STREAM_RMR),
        (!is_coherent, STREAM_NON_COHERENT),
        (!driver.counts_attempts(), STREAM_NO_ATTEMPTS),
        // Nobody sends blocks or samples.
        (driver.unit() == "frames", STREAM_FED),
    ];
    let flags = flags.iter().filter(|(is_so, _)| *is_so).fold(0, |flags, (_, flag)| flags | flag);
    Stream {
        bdf,
        stream_id,
        smmu: smmu as u32,
        driver: driver.id(),
        flags,
        registers,
        window,
        rmr,
        ..Stream::default()
    }
}

/// Keeps the firmware's own DMA going: each stream that an RMR node names and no driver uses gets its ranges, mapped to
/// themselves, as under Linux.
pub(crate) fn attach_foreign_rmrs(
    machine: &mut Machine,
    unit: &mut Unit,
    smmu: usize,
    frames: &mut FramePool,
    used: &[Candidate],
) -> Result<(), String> {
    /// Streams that get a domain of their own; a node may name 65,536.
    const MOST: usize = 64;
    let is_used = |id: StreamId| used.iter().any(|candidate| candidate.smmu == smmu && candidate.stream_id == id);
    for stream_id in machine.rmr_streams(smmu, MOST).into_iter().filter(|id| !is_used(*id)) {
        let named = |error: &dyn core::fmt::Display| format!("RMR of stream {stream_id}: {error}");
        // In firmware's own table it has what it needs, for all that is known.
        if unit.table().serves(&mut machine.hw, stream_id).map_err(|error| named(&error))? {
            continue;
        }
        let domain = unit.new_domain(&mut machine.hw, frames).map_err(|error| named(&error))?;
        for (base, bytes) in machine.rmrs_of(smmu, stream_id).collect::<Vec<_>>() {
            let iova = Iova(base.0);
            let mapped = domain.tables.map(&mut machine.hw, frames, iova, base, bytes, Attributes::default());
            mapped.map_err(|error| named(&error))?;
        }
        unit.attach(&mut machine.hw, frames, stream_id, &domain).map_err(|error| named(&error))?;
    }
    Ok(())
}

/// Samples every stream.
pub(crate) fn sample(machine: &mut Machine, streams: &mut [Live]) {
    for live in streams {
        live.candidate.driver.sample(&mut machine.bus, &mut live.stream);
    }
}

/// Samples until every stream that was started has used each of its windows, at most `limit_us`.
pub(crate) fn wait_until_live(machine: &mut Machine, streams: &mut [Live], limit_us: u64) -> bool {
    let deadline = timer::now() + timer::ticks_of_us(limit_us);
    loop {
        sample(machine, streams);
        // Since they were armed, that is: since their state was empty.
        let tried = |live: &Live| live.candidate.driver.tried(&Stream::default(), &live.stream);
        if streams.iter().all(|live| tried(live) >= live.candidate.driver.round()) {
            return true;
        }
        if timer::now() >= deadline {
            return false;
        }
        timer::sleep_us(250);
    }
}

/// Samples until some stream has made no attempt for `quiet_us`, at most `limit_us`: its sender is gone.
pub(crate) fn wait_until_one_is_quiet(machine: &mut Machine, streams: &mut [Live], quiet_us: u64, limit_us: u64) {
    let deadline = timer::now() + timer::ticks_of_us(limit_us);
    let mut last: Vec<(Stream, u64)> = streams.iter().map(|live| (live.stream, timer::now())).collect();
    while timer::now() < deadline {
        timer::sleep_us(2_000);
        sample(machine, streams);
        for (live, last) in streams.iter().zip(&mut last) {
            if live.candidate.driver.tried(&last.0, &live.stream) != 0 {
                *last = (live.stream, timer::now());
            }
        }
        if last.iter().any(|(_, since)| timer::now() - since > timer::ticks_of_us(quiet_us)) {
            return;
        }
    }
}

/// Stops every endpoint that was started: bus mastering off, then the driver's own reset. Names those that do not stop. The last
/// armed is the first: a virtual function's own resets it.
pub(crate) fn quiesce(machine: &mut Machine, streams: &[Live]) -> Vec<String> {
    let mut failed = Vec::new();
    for live in streams.iter().rev().filter(|live| live.is_started) {
        let driver = live.candidate.driver;
        if let Err(error) = driver.quiesce(&mut machine.config, &mut machine.bus, &live.stream) {
            failed.push(format!("{}: {} does not stop: {error}", live.stream.bdf, driver.name()));
        }
    }
    failed
}

/// Poisons the windows of all streams.
pub(crate) fn poison(machine: &mut Machine, streams: &[Live]) {
    for live in streams {
        dma::poison(&mut machine.bus, &live.stream);
    }
}

/// Streams in whose windows something landed since [`poison`], and where.
pub(crate) fn landed(machine: &mut Machine, streams: &[Live]) -> Vec<(StreamId, PhysAddr)> {
    let landed = |live: &Live| Some((live.stream.stream_id, dma::first_landed(&mut machine.bus, &live.stream)?));
    streams.iter().filter_map(landed).collect()
}
