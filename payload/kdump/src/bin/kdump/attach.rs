//! One device is started again under an adopted table, as a crash kernel's driver does it: stopped, given a domain of its
//! own, and put to work. The taker finds it by class in configuration space, and its stream in the IORT.
//!
//! Which I/O virtual addresses the driver gets is the caller's word: a crash kernel's allocator starts empty, as the dead
//! one's did, and gives the same again (facts: adopting-kernel.md 5). The pages behind them are new.

use crate::takeover::{self, Means};
use addr::{Bdf, PhysAddr, StreamId};
use alloc::{string::ToString, vec::Vec};
use arch::{
    bus::{Ecam, Smmus},
    console, cpu, exceptions,
};
use dma::{Endpoint, Stopper, Witness, hda::Hda};
use handover::{
    boot::{self, Boot},
    oracle::{Counts, STREAM_NON_COHERENT, Stream, Window},
};
use kdump::{given, streams::Streams, tell::Cycle};
use pci::Found;
use scenario::Hands;
use smmu::{
    frames::Frames,
    log::{Log, Logged},
    takeover::{Attach, Attached, NewDomain, Policy, Taken, TakeoverError, attach_deferred},
    translation::Memory,
};
use tables::iort::Iort;
use wire::Record;

/// The slowest cyclic buffer has come round once: 170.7 ms.
pub(crate) const ROUND_US: u64 = 200_000;
/// Streams of RMR nodes without a driver that get domains, as in the dead image.
const MOST_FOREIGN: usize = 64;

/// What the driver asks for, beside the pages.
pub(crate) struct Request {
    /// The stream's place in the report.
    pub(crate) index: usize,
    /// Addresses for the device, and where its DMA lands if it is still translated as before.
    pub(crate) iova_and_stale: Window,
    /// Where firmware has reserved a range that the driver uses.
    pub(crate) rmr: Window,
    pub(crate) memory: Memory,
}

/// How it ended.
pub(crate) struct Again {
    pub(crate) index: usize,
    /// The stream in its new window.
    pub(crate) stream: Stream,
    pub(crate) attached: Result<Attached, TakeoverError>,
    pub(crate) is_armed: bool,
}

impl Again {
    /// The stream that was moved to a new domain, and what it did there.
    pub(crate) fn tell(&self, cycle: Cycle, totals: &Counts) {
        let Cycle { run, cycle } = cycle;
        let Counts { attempted, delivered, mis_steered } = *totals;
        let (asid, vmid) = self.attached.map_or((0, 0), |attached| attached.id.asid_and_vmid());
        console::record(&Record::Attach {
            run,
            cycle,
            bdf: &self.stream.bdf.to_string(),
            stream_id: self.stream.stream_id.0,
            asid,
            vmid,
            attempted,
            delivered,
            mis_steered,
        });
    }
}

/// A device that is to be started again.
struct Chosen {
    bdf: Bdf,
    smmu: u8,
    registers: PhysAddr,
    attach: Attach,
    /// Domains that were made before its own.
    earlier: u16,
}

/// All of it, where the policy wants it: the device is started again, and every stream watched until it has moved.
pub(crate) fn after_adoption(
    policy: Policy,
    means: Means<'_>,
    hw: &mut Smmus,
    log: &mut Log,
    taken: &mut [Result<Taken, TakeoverError>],
    streams: &mut Streams,
    watch_us: u64,
) -> Option<Again> {
    if !policy.attaches() {
        return None;
    }
    exceptions::record_aborts(true);
    exceptions::step("attach");
    let again = start_again(means, hw, log, taken, &|bdf| request(streams, bdf));
    if let Some(again) = &again {
        streams.watch_again(again.index, again.stream, ROUND_US, watch_us);
    }
    exceptions::record_aborts(false);
    again
}

/// What the driver of a function asks for when it starts it again: the addresses that an allocator gives which starts
/// empty, as the dead image's did. `None` where the function did no DMA.
fn request(streams: &Streams, bdf: Bdf) -> Option<Request> {
    let index = streams.all.iter().position(|watched| watched.stream.bdf == bdf)?;
    let stream = &streams.all.get(index)?.stream;
    let is_coherent = stream.flags & STREAM_NON_COHERENT == 0;
    let memory = if is_coherent { Memory::WriteBack } else { Memory::NonCacheable };
    // What is still translated as before shows where it did before.
    let iova_and_stale = Window { canary: stream.window.target, ..stream.window };
    Some(Request { index, iova_and_stale, rmr: stream.rmr, memory })
}

/// Stops one device, attaches its stream to a new domain, and starts it. `None` where there is none to be found, or its SMMU
/// was not adopted.
fn start_again(
    means: Means<'_>,
    hw: &mut Smmus,
    log: &mut Log,
    taken: &mut [Result<Taken, TakeoverError>],
    request: &dyn Fn(Bdf) -> Option<Request>,
) -> Option<Again> {
    let Means { boot, iort, config, mut devices, frames, hands, .. } = means;
    let iort = Iort::parse_again(iort).ok()?;
    let chosen = choose(boot, &iort, config, hands)?;
    let taken = taken.get_mut(usize::from(chosen.smmu))?.as_mut().ok().filter(|taken| taken.did.adopts())?;
    let Request { index, iova_and_stale: wanted, rmr, memory } = request(chosen.bdf)?;
    // A device that does not stop shows itself: it moves data that nobody armed it for.
    let _ = Hda.stop(config, &mut devices, chosen.bdf, chosen.registers);

    let smmu = boot.smmus().get(usize::from(chosen.smmu))?;
    let stream = chosen.attach.stream;
    let pages = frames.allocate(wanted.bytes, 0x1_0000);
    let attached = pages.ok_or(TakeoverError::Domain { stream }).and_then(|pages| {
        let window = (wanted.iova, pages, wanted.bytes);
        let Chosen { ref attach, earlier, .. } = chosen;
        let domain = NewDomain { attach, window, memory, earlier };
        let mut site = takeover::site(boot, chosen.smmu, smmu, frames, &[], &[]);
        attach_deferred(&mut Logged::new(hw, log), &mut site, taken, &domain)
    });
    let mut again = Stream {
        bdf: chosen.bdf,
        stream_id: stream,
        smmu: chosen.smmu.into(),
        driver: Hda.id(),
        registers: chosen.registers,
        window: Window { target: pages.unwrap_or_default(), ..wanted },
        rmr,
        ..Stream::default()
    };
    let is_armed = attached.is_ok() && Hda.arm(config, &mut devices, &mut again).is_ok();
    Some(Again { index, stream: again, attached, is_armed })
}

/// The first HD Audio controller whose stream no RMR node names, else the first of all: its DMA needs no peer.
fn choose(boot: &Boot, iort: &Iort<'_>, config: &mut Ecam, hands: &Hands) -> Option<Chosen> {
    let functions = given::functions(boot, Some(iort), config);
    let functions = given::not_denied(&functions, hands);
    let mut found: Vec<(Chosen, bool)> = Vec::new();
    for function in functions {
        let Some((smmu, at, registers)) = place(boot, iort, config, &function) else { continue };
        let attach = takeover::attach(iort, at.base, &[function]).pop();
        let is_hda = Hda.claims(&function.identity);
        // Of functions that share a stream the first was put to work.
        let is_same = |known: &Chosen, attach: &Attach| (known.smmu, known.attach.stream) == (smmu, attach.stream);
        let is_new = |attach: &Attach| !found.iter().any(|(known, _)| is_same(known, attach));
        let attach = attach.filter(is_new);
        found.extend(attach.map(|attach| (Chosen { bdf: function.bdf, smmu, registers, attach, earlier: 0 }, is_hda)));
    }
    let is_plain = |(chosen, is_hda): &(Chosen, bool)| *is_hda && chosen.attach.identity.is_empty();
    let at = found.iter().position(is_plain).or_else(|| found.iter().position(|(_, is_hda)| *is_hda))?;
    let smmu = found.get(at)?.0.smmu;
    // Drivers are probed one after the other, HD Audio last, as in the dead image; streams that RMR nodes name and no driver
    // uses have their domains before all.
    let here = || found.iter().enumerate().filter(|(_, (other, _))| other.smmu == smmu);
    let probed = here().filter(|(index, (_, is_hda))| !is_hda || *index < at).count();
    let is_used = |id: &StreamId| here().any(|(_, (other, _))| other.attach.stream == *id);
    let named = takeover::rmr_streams(iort, boot.smmus().get(usize::from(smmu))?.base);
    let foreign = named.iter().filter(|id| !is_used(id)).take(MOST_FOREIGN).count();
    let earlier = u16::try_from(probed + foreign).ok()?;
    let (chosen, _) = found.into_iter().nth(at)?;
    Some(Chosen { earlier, ..chosen })
}

/// The SMMU and the registers of a function that has a driver here.
fn place<'a>(
    boot: &'a Boot,
    iort: &Iort<'_>,
    config: &mut Ecam,
    function: &Found,
) -> Option<(u8, &'a boot::Smmu, PhysAddr)> {
    let driver = dma::stopper_for(&function.identity)?;
    let base = iort.resolve(function.requester).smmu?.base;
    let (smmu, at) = (0_u8..).zip(boot.smmus()).find(|(_, at)| at.base == base)?;
    let registers = given::registers(config, function, driver.bar())?;
    // The primary mapped the registers of every endpoint at work.
    cpu::device_memory_at(registers.0).then_some((smmu, at, registers))
}
