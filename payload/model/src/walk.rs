//! One transaction through the SMMU (IHI 0070, 3.3 to 3.5, 15): GBPA, stream table, context, translation.

mod context;
mod flags;
mod stages;
mod stream;

use crate::bus::Bus;
use crate::choice::Freedom;
use crate::unit::{Regime, Stalled, TlbEntry, Unit};
use addr::PhysAddr;
use smmu::spec::cd::Cd;
use smmu::spec::event::{Event, Event0, Event1, id};
use smmu::spec::registers::Cr2;
use smmu::spec::ste::{Config, Ste, Ste0, Ste1, Ste2};
use stages::{Found, Stage2};

/// Transactions that may be stalled at a time; more are terminated.
const MOST_STALLED: usize = 16;

/// What a function asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Its StreamID.
    pub stream: u32,
    /// Its SubstreamID (PASID), if any.
    pub substream: Option<u32>,
    /// Input address.
    pub address: u64,
    /// Length.
    pub bytes: u64,
    /// It is a write.
    pub write: bool,
}

/// How an address was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Path {
    /// SMMUEN is 0 and GBPA bypasses.
    Disabled,
    /// The STE bypasses.
    Bypass,
    /// Walked.
    Walk,
    /// From a cached translation.
    Tlb,
}

/// Why a transaction did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stop {
    /// SMMUEN is 0 and GBPA aborts.
    GbpaAbort,
    /// The SMMU is in Service Failure Mode.
    ServiceFailure,
    /// STE.Config is 0b0xx: without an event.
    SteAbort,
    /// A fault, by its event number (7.3), recorded or not.
    Fault(u8),
    /// It waits for CMD_RESUME.
    Stalled,
}

/// A transaction's way through the SMMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Translated {
    /// The STE that was used, where one was found.
    pub ste: Option<Ste>,
    /// The CD that was used, where one was found.
    pub cd: Option<Cd>,
    /// Where it goes, or why not.
    pub result: Result<(PhysAddr, Path), Stop>,
}

/// A fault on its way to the event queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    id: u8,
    /// At stage 2.
    stage2: bool,
    /// 0 CD, 1 translation table descriptor, 2 input address.
    class: u8,
    /// What could not be read, or the intermediate address.
    address: u64,
}

impl Fault {
    const fn plain(id: u8) -> Self {
        Self { id, stage2: false, class: 2, address: 0 }
    }

    const fn is_translation(self) -> bool {
        matches!(self.id, id::F_TRANSLATION | id::F_ADDR_SIZE | id::F_ACCESS | id::F_PERMISSION)
    }
}

/// Takes a transaction through `unit`.
pub(crate) fn translate(unit: &mut Unit, bus: &mut Bus, request: &Request) -> Translated {
    let mut translated = Translated { ste: None, cd: None, result: Err(Stop::GbpaAbort) };
    if unit.service_failure {
        translated.result = Err(Stop::ServiceFailure);
        return translated;
    }
    if !unit.resolve_smmuen(bus) {
        if !unit.gbpa_in_force(bus).abort() {
            translated.result = Ok((PhysAddr(request.address), Path::Disabled));
        }
        return translated;
    }
    let ste = match stream::ste(unit, bus, request.stream) {
        Ok(ste) => ste,
        Err(fault) => {
            translated.result = Err(stop(unit, bus, request, fault, Handling::default()));
            return translated;
        }
    };
    translated.ste = Some(ste);
    let (ste0, ste1) = (Ste0::from(ste[0]), Ste1::from(ste[1]));
    if let Err(fault) = stream::check(unit, &ste) {
        translated.result = Err(stop(unit, bus, request, fault, Handling::default()));
        return translated;
    }
    let config = Config(ste0.config());
    if config.is_abort() {
        translated.result = Err(Stop::SteAbort);
        return translated;
    }
    let substream = match context::substream(unit, &ste, request.substream) {
        Ok(substream) => substream,
        Err(fault) => {
            translated.result = Err(stop(unit, bus, request, fault, Handling::default()));
            return translated;
        }
    };
    let stage2 = config.has_s2().then(|| Stage2::new(unit, &ste));
    let vmid = if unit.hardware.idr0.s2p() { Ste2::from(ste[2]).s2vmid() } else { 0 };
    let mut handling = Handling { record: true, stall: false };
    let result = match substream.filter(|_| config.has_s1()) {
        None => match stage2 {
            // S1DSS=0b01 of a stage-1 STE ends here too.
            None => Ok((PhysAddr(request.address), Path::Bypass)),
            Some(stage2) => {
                let ste2 = Ste2::from(ste[2]);
                handling = Handling { record: ste2.s2r(), stall: ste2.s2s() };
                let key = Key { regime: Regime::El1, vmid, asid: 0, stage2_only: true };
                look_up(unit, bus, request, key, &mut |bus, _| stage2.translate(bus, request.address, request.write))
            }
        },
        Some(substream) => match context::cd(unit, bus, request.stream, substream, &ste, stage2.as_ref()) {
            Err(fault) => Err(fault),
            Ok(cd) => {
                translated.cd = Some(cd);
                let cd0 = smmu::spec::cd::Cd0::from(cd[0]);
                handling = Handling { record: cd0.r(), stall: cd0.s() && !ste1.s1stalld() };
                let el2 = ste1.strw() == 2 && unit.hardware.idr0.hyp();
                let regime = if el2 { Regime::El2 } else { Regime::El1 };
                let key = Key { regime, vmid: if el2 { 0 } else { vmid }, asid: cd0.asid(), stage2_only: false };
                let oas = unit.hardware.idr5;
                look_up(unit, bus, request, key, &mut |bus, _| stages::stage1(bus, &cd, oas, stage2.as_ref(), request))
            }
        },
    };
    translated.result = result.map_err(|fault| stop(unit, bus, request, fault, handling));
    translated
}

/// Under what a translation is cached.
#[derive(Clone, Copy)]
struct Key {
    regime: Regime,
    vmid: u16,
    asid: u16,
    stage2_only: bool,
}

impl Key {
    fn matches(&self, entry: &TlbEntry, address: u64) -> bool {
        entry.regime == self.regime
            && entry.vmid == self.vmid
            && entry.stage2_only == self.stage2_only
            && entry.asid.is_none_or(|asid| asid == self.asid)
            && address.wrapping_sub(entry.input) < entry.bytes
    }
}

/// The address from a cached translation, or by `walk`, whose result is cached.
fn look_up(
    unit: &mut Unit,
    bus: &mut Bus,
    request: &Request,
    key: Key,
    walk: &mut dyn FnMut(&mut Bus, &Unit) -> Result<Found, Fault>,
) -> Result<(PhysAddr, Path), Fault> {
    let permission = |writable: bool| match request.write && !writable {
        true => Err(Fault::plain(id::F_PERMISSION)),
        false => Ok(()),
    };
    while let Some(index) = unit.caches.tlb.iter().position(|entry| key.matches(entry, request.address)) {
        let entry = unit.caches.tlb[index];
        let evicted = !unit.hardware.personality.is_qemu() && bus.choices.pick(Freedom::TlbEviction, 2) == 1;
        if evicted {
            unit.caches.tlb.remove(index);
            continue;
        }
        if request.write && entry.clean {
            // The write has to be marked first.
            unit.caches.tlb.remove(index);
            continue;
        }
        permission(entry.writable)?;
        return Ok((PhysAddr(entry.output + (request.address - entry.input)), Path::Tlb));
    }
    let found = walk(bus, unit)?;
    let asid = (!found.global && !key.stage2_only).then_some(key.asid);
    let (regime, vmid, stage2_only) = (key.regime, key.vmid, key.stage2_only);
    let Found { input, output, bytes, writable, clean, .. } = found;
    unit.caches.add(TlbEntry { regime, vmid, asid, stage2_only, input, output, bytes, writable, clean });
    permission(writable)?;
    Ok((PhysAddr(output + (request.address - input)), Path::Walk))
}

/// What the CD (or a stage-2 STE) wants done with a translation fault.
#[derive(Clone, Copy)]
struct Handling {
    record: bool,
    stall: bool,
}

impl Default for Handling {
    fn default() -> Self {
        Self { record: true, stall: false }
    }
}

/// Ends a transaction: event, stall, or nothing that anybody hears of.
fn stop(unit: &mut Unit, bus: &mut Bus, request: &Request, fault: Fault, handling: Handling) -> Stop {
    let translation = fault.is_translation();
    let stall = translation && handling.stall && unit.hardware.stalls() && unit.stalled.len() < MOST_STALLED;
    let silent = (translation && !handling.record && !stall)
        || (fault.id == id::C_BAD_STREAMID && !Cr2::from(unit.live().cr2).recinvsid());
    let mut tag = 0;
    if stall {
        while unit.stalled.iter().any(|stalled| stalled.tag == tag) {
            tag += 1;
        }
        unit.stalled.push(Stalled { stream: request.stream, tag });
    }
    if !silent {
        let mut event = event(request, fault, stall.then_some(tag));
        if unit.hardware.personality.is_qemu() && !translation && fault.id != id::F_WALK_EABT {
            // QEMU names no fetch address (qemu.md 5.6).
            event[3] = 0;
        }
        unit.record(bus, event, request.bytes);
    }
    if stall { Stop::Stalled } else { Stop::Fault(fault.id) }
}

fn event(request: &Request, fault: Fault, stall: Option<u16>) -> Event {
    let word0 = Event0::new()
        .with_id(fault.id)
        .with_stream_id(request.stream)
        .with_ssv(request.substream.is_some())
        .with_substream_id(request.substream.unwrap_or(0) & 0xF_FFFF);
    if !fault.is_translation() && fault.id != id::F_WALK_EABT {
        // F_STE_FETCH and F_CD_FETCH name the address that was fetched; the rest have none.
        let fetched = matches!(fault.id, id::F_STE_FETCH | id::F_CD_FETCH);
        return [word0.into(), 0, 0, if fetched { fault.address } else { 0 }];
    }
    let word1 = Event1::new()
        .with_rnw(!request.write)
        .with_s2(fault.stage2)
        .with_class(fault.class)
        .with_stall(stall.is_some())
        .with_stag(stall.unwrap_or(0));
    [word0.into(), word1.into(), request.address, fault.address]
}
