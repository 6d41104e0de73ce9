//! Evidence to judge: a real takeover of a fake SMMU, and streams whose counts are made up.

use super::super::{AbortTaken, AttachEvidence, Check, Crashed, Evidence, SmmuEvidence, StreamEvidence, judge};
use crate::{
    Damage, Plant, Policy, Scenario,
    damage::LookedAgain,
    phase::Cuts,
    policy::{After, Expectation},
    quiesce::Means,
};
use addr::{Bdf, Iova, PhysAddr, StreamId};
use alloc::{boxed::Box, vec, vec::Vec};
use core::ops::Range;
use handover::{
    HandoverError,
    crash_note::{CAUSE_CALL, CrashNote},
    oracle::{
        Counts, FunctionLeft, MAX_BYTES, OracleMut, OracleView, SMMU_DAMAGED, STREAM_IDENTITY, STREAM_RMR, SmmuLeft,
        Stream, Window,
    },
};
use pci::{ConfigSpace, ErrorPlaces, ErrorState, Function};
use smmu::{
    access::{Access, SmmuIndex},
    bringup::{Options, Unit},
    event,
    fake::{self, Fake, FakeFrames},
    frames::Frames,
    guard::{self, Guard},
    log::{Entry, Log, Logged},
    observe::{self, Digest, Registers},
    spec::{event::id, registers as reg},
    table::Format,
    takeover::{self, Attach, Attached, NewDomain, Site, Taken, TakeoverError, plant::Sabotaged},
    translation::Memory,
};
use zerocopy::IntoBytes;

pub(super) const SMMU: SmmuIndex = SmmuIndex(0);
const SIDS: [StreamId; 3] = [StreamId(0x10), StreamId(0x18), StreamId(0x20)];
/// What firmware reserves for the last stream.
const RMR: (PhysAddr, u64) = (PhysAddr(0x4800_0000), 0x1_0000);
/// The taker's memory; its frames come from it.
pub(super) const OWN: Range<PhysAddr> = PhysAddr(0x5400_0000)..PhysAddr(0x8000_0000);
const RUN: u32 = 1;
const CYCLE: u32 = 5;
pub(super) const NOTE: CrashNote = CrashNote { cause: CAUSE_CALL, esr: 0, elr: 0, far: 0, spins: 0, rings: 0 };

pub(super) struct World {
    pub(super) scenario: Scenario,
    pub(super) plant: Option<Plant>,
    pub(super) boot: Result<(), HandoverError>,
    pub(super) oracle_error: Option<HandoverError>,
    pub(super) oracle_cycle: u32,
    pub(super) known: Vec<Stream>,
    pub(super) left: Vec<SmmuLeft>,
    pub(super) streams: Vec<StreamEvidence>,
    pub(super) before: Registers,
    pub(super) after: Option<Registers>,
    pub(super) digest_after: Option<Digest>,
    pub(super) taken: Result<Taken, TakeoverError>,
    pub(super) damage_found: bool,
    pub(super) looked_again: Option<LookedAgain>,
    pub(super) events: Option<event::Counts>,
    pub(super) events_lost: bool,
    pub(super) strtab_guard: Option<Guard>,
    pub(super) log: Vec<Entry>,
    pub(super) log_overflowed: bool,
    pub(super) aborts: Option<Vec<AbortTaken<'static>>>,
    pub(super) crashed: Crashed,
    pub(super) no_smmu: bool,
    pub(super) attach: Option<Reattached>,
    /// What functions told when armed, and at each cut.
    pub(super) functions: Vec<(FunctionLeft, [ErrorState; 3])>,
    /// Of so many at most anything was seen later.
    pub(super) functions_seen: usize,
    /// What was seen of another SMMU; its streams and its part of the log are above.
    pub(super) second: Option<Box<World>>,
}

/// What the SMMUs share.
struct Machine {
    hw: Fake,
    frames: FakeFrames,
    /// The taker's.
    own: FakeFrames,
}

impl Machine {
    fn new(smmus: usize) -> Self {
        let own = FakeFrames { free: OWN.start.0..OWN.end.0 };
        Self { hw: Fake::with_units(smmus), frames: FakeFrames::default(), own }
    }
}

/// The first stream in a domain of the taker's own.
pub(super) struct Reattached {
    pub(super) stream: usize,
    pub(super) attached: Result<Attached, TakeoverError>,
    pub(super) is_armed: bool,
    pub(super) overruns: u64,
    pub(super) log: Vec<Entry>,
}

pub(super) const fn counts(attempted: u64, delivered: u64, mis_steered: u64) -> Counts {
    Counts { attempted, delivered, mis_steered }
}

impl World {
    /// A takeover as the policy makes it, and streams as they then fare.
    pub(super) fn new(policy: Policy) -> Self {
        Self::with(policy, None, |_| {})
    }

    /// The same with a sabotaged takeover, or with a crashed SMMU that `crash` has changed.
    pub(super) fn with(policy: Policy, plant: Option<Plant>, crash: impl FnOnce(&mut Fake)) -> Self {
        Self::build(Scenario::plain(policy), Damage::NONE, plant, crash)
    }

    /// A scenario with damage, of which `done` is really done; what does not depend on it is as documented.
    pub(super) fn damaged(scenario: Scenario, done: Damage) -> Self {
        Self::build(scenario, done, None, |_| {})
    }

    /// Two SMMUs of one machine, taken over one after the other, with three streams each; `done` was done to which. Its
    /// fields are of the first.
    pub(super) fn pair(scenario: Scenario, done: [Damage; 2]) -> Self {
        let mut machine = Machine::new(2);
        let mut on =
            |smmu, done| Self::on(&mut machine, SmmuIndex(smmu), scenario, (done, done != Damage::NONE), None, |_| {});
        let (mut first, mut second) = (on(0, done[0]), on(1, done[1]));
        first.known.append(&mut second.known);
        first.streams.append(&mut second.streams);
        first.left.append(&mut second.left);
        first.log.append(&mut second.log);
        Self { second: Some(Box::new(second)), ..first }
    }

    fn build(scenario: Scenario, done: Damage, plant: Option<Plant>, crash: impl FnOnce(&mut Fake)) -> Self {
        Self::on(&mut Machine::new(1), SMMU, scenario, (done, scenario.damage != Damage::NONE), plant, crash)
    }

    /// One SMMU, from its start to the last look. The damage that was done, and whether the oracle says that some was.
    fn on(
        machine: &mut Machine,
        smmu: SmmuIndex,
        scenario: Scenario,
        (done, is_marked): (Damage, bool),
        plant: Option<Plant>,
        crash: impl FnOnce(&mut Fake),
    ) -> Self {
        let Scenario { policy, damage, .. } = scenario;
        let Machine { hw, frames, own } = machine;
        let (hw, frames, own) = (&mut *hw, &mut *frames, &mut *own);
        let mut format = None;
        let meant = if done == Damage::NONE { damage } else { done };
        if meant.lacks(&Registers::read(hw, smmu), false).is_some() {
            if meant.lacks(&Registers::read(hw, smmu), true).is_none() {
                format = Some(Format::Linear);
            } else {
                // 12 SubstreamID bits.
                hw.unit(smmu).set(reg::IDR1, 0x0273_0010 | 12 << 6);
            }
        }
        let options =
            Options { first_id: 7, stage: done.stage(), format, ..Options::new(PhysAddr(0x0905_0000), SIDS[2]) };
        let mut unit = Unit::bring_up(hw, smmu, &options, frames).unwrap();
        let mut known = Vec::new();
        for (device, sid) in (2..).zip(SIDS) {
            let (mut flags, bytes) = if sid == SIDS[2] { (STREAM_RMR, 0x1_0000) } else { (0, 0) };
            let mut asid = 0;
            if sid == SIDS[2] && done.begins_in_firmware() {
                unit.pass(hw, frames, &[sid]).unwrap();
                flags |= STREAM_IDENTITY;
            } else {
                let domain = unit.new_domain(hw, frames).unwrap();
                unit.attach(hw, frames, sid, &domain).unwrap();
                asid = domain.id.asid_and_vmid().0.into();
            }
            known.push(Stream {
                rmr: Window { bytes, ..Window::default() },
                bdf: Bdf::new(0, smmu.0, device, 0),
                stream_id: sid,
                smmu: smmu.0.into(),
                flags,
                asid,
                ste: ste(hw, smmu, sid),
                ..Stream::default()
            });
        }
        crash(hw);
        let scratch = frames.allocate(4096, 4096).unwrap();
        // As the primary does it: what is adopted is part of the digest.
        let damage_it = |hw: &mut Fake, is_early| {
            if done.is_adopted() == is_early {
                done.apply(hw, smmu, OWN.start, scratch).unwrap();
            }
        };
        damage_it(hw, true);
        let intact = Registers::read(hw, smmu);
        let digest_before = observe::digest(hw, &intact, 1 << 20).unwrap();
        let ste_at = unit.table().ste_address(hw, SIDS[0]).unwrap().unwrap();

        damage_it(hw, false);
        let before = Registers::read(hw, smmu);
        let damage_found = damage.is_found(hw, smmu, OWN.start);

        let mut log = Log::with_capacity(4096);
        let mut logged = Logged::new(hw, &mut log);
        let mut taken = match plant {
            Some(Plant::SteRewritten) => {
                let plant = takeover::plant::Plant::SteRewritten { at: ste_at };
                take_over(policy, &mut Sabotaged::new(&mut logged, smmu, plant), smmu, own)
            }
            Some(Plant::SmmuenCleared) => {
                let plant = takeover::plant::Plant::SmmuenCleared;
                take_over(policy, &mut Sabotaged::new(&mut logged, smmu, plant), smmu, own)
            }
            _ => take_over(policy, &mut logged, smmu, own),
        };
        let looked_again = damage_found.then(|| damage.change_and_look(hw, smmu, &OWN, SIDS[0])).flatten();
        let after = Registers::read(hw, smmu);
        let strtab_guard = guard::strtab(hw, smmu);
        let stes = SIDS.map(|sid| ste(hw, smmu, sid));
        let digest_after = observe::digest(hw, &after, 1 << 20).ok();
        let expectation = scenario.policy_expectation();
        let expectation = if is_marked { damage.applied_to(expectation, &before, Some(SIDS[0])) } else { expectation };
        let attach = expectation.attaches.then(|| reattach(hw, smmu, own, &mut taken));
        let at_end = SIDS.map(|sid| ste(hw, smmu, sid));
        let left = SmmuLeft {
            level1_digest: digest_before.level1,
            level2_digest: digest_before.level2,
            contexts_digest: digest_before.contexts,
            digest_bytes: digest_before.bytes,
            flags: if is_marked { SMMU_DAMAGED } else { 0 },
            ..SmmuLeft::default()
        };
        Self {
            scenario,
            plant,
            boot: Ok(()),
            oracle_error: None,
            oracle_cycle: CYCLE,
            known,
            left: vec![left],
            streams: (0..3).map(|index| sampled(&expectation, index, stes[index], at_end[index])).collect(),
            before,
            after: Some(after),
            digest_after,
            taken,
            damage_found,
            looked_again,
            events: Some(events(scenario, is_marked)),
            events_lost: false,
            strtab_guard,
            log: log.entries().to_vec(),
            log_overflowed: log.overflowed(),
            aborts: Some(Vec::new()),
            crashed: Crashed { before: NOTE, after: NOTE, ..Crashed::default() },
            no_smmu: false,
            attach,
            functions: functions(smmu),
            functions_seen: usize::MAX,
            second: None,
        }
    }

    pub(super) fn drop_stream(&mut self, index: usize) {
        self.known.remove(index);
        self.streams.remove(index);
    }

    fn smmu(&self) -> SmmuEvidence<'_> {
        SmmuEvidence {
            before: &self.before,
            after: self.after.as_ref(),
            digest_after: self.digest_after,
            taken: self.taken.as_ref().map_err(|error| *error),
            damage_found: self.damage_found,
            looked_again: self.looked_again,
            events: self.events.as_ref(),
            events_lost: self.events_lost,
            strtab_guard: self.strtab_guard,
        }
    }

    pub(super) fn judge(&self) -> Vec<Check> {
        let mut memory = vec![0u64; MAX_BYTES / 8];
        let mut oracle =
            OracleMut::create(memory.as_mut_bytes(), self.known.len(), self.left.len(), self.functions.len()).unwrap();
        (oracle.header.run, oracle.header.cycle) = (RUN, self.oracle_cycle);
        oracle.streams.copy_from_slice(&self.known);
        oracle.smmus.copy_from_slice(&self.left);
        for (slot, (left, _)) in oracle.functions.iter_mut().zip(&self.functions) {
            *slot = *left;
        }
        let functions: Vec<_> = self.functions.iter().map(|(_, seen)| *seen).take(self.functions_seen).collect();
        oracle.seal();
        let oracle = self.oracle_error.map_or_else(|| OracleView::find(memory.as_bytes()), Err);
        let mut smmus = vec![self.smmu()];
        smmus.extend(self.second.as_ref().map(|second| second.smmu()));
        judge(&Evidence {
            scenario: self.scenario,
            plant: self.plant,
            run: RUN,
            cycle: CYCLE,
            boot: self.boot,
            oracle,
            smmus: if self.no_smmu { &[] } else { &smmus },
            streams: &self.streams,
            log: &self.log,
            log_overflowed: self.log_overflowed,
            own: (OWN.start, OWN.end),
            aborts: self.aborts.as_deref(),
            crashed: self.crashed,
            functions: &functions,
            attach: self.attach.as_ref().map(|attach| AttachEvidence {
                stream: attach.stream,
                attached: attach.attached,
                is_armed: attach.is_armed,
                overruns: attach.overruns,
                log: &attach.log,
            }),
        })
    }
}

/// Configuration space of one root port, which leads to `bus`, and of the first stream's function behind it; the other
/// streams' functions are conventional, on the root bus.
struct Topology {
    bus: u8,
}

impl ConfigSpace for Topology {
    fn read32(&mut self, bdf: Bdf, offset: u16) -> u32 {
        let is_port = bdf.device() == 1;
        match offset {
            0 => 0x1af4_0001 + 1,
            4 => 0x0010_0000,
            0x0c => u32::from(is_port) << 16,
            0x18 if is_port => u32::from(self.bus) << 8 | u32::from(self.bus) << 16,
            0x34 => 0x40,
            0x40 => 0x0002_0010 | u32::from(is_port) << 22,
            0x100 => 0x0001_0001,
            _ => 0,
        }
    }
    fn write32(&mut self, _: Bdf, _: u16, _: u32) {}
    fn write16(&mut self, _: Bdf, _: u16, _: u16) {}
}

/// A root port, and the streams' functions; the first one's bus is the port's.
fn functions(smmu: SmmuIndex) -> Vec<(FunctionLeft, [ErrorState; 3])> {
    let mut space = Topology { bus: smmu.0 };
    let port = Bdf::new(1, 0, 1, 0);
    let bdfs = [port, Bdf::new(0, smmu.0, 2, 0), Bdf::new(0, smmu.0, 3, 0), Bdf::new(0, smmu.0, 4, 0)];
    let mut places = bdfs.map(|bdf| ErrorPlaces::find(&mut Function::new(&mut space, bdf).unwrap()));
    places[1].upstream = 0;
    places
        .iter()
        .map(|places| (FunctionLeft { places: *places, ..FunctionLeft::default() }, Default::default()))
        .collect()
}

/// Seven domains were made before, as the dead kernel's allocator began at 7.
fn reattach(
    hw: &mut Fake,
    smmu: SmmuIndex,
    frames: &mut FakeFrames,
    taken: &mut Result<Taken, TakeoverError>,
) -> Reattached {
    let attach = Attach { stream: SIDS[0], identity: Vec::new() };
    let window = (Iova(0x4700_0000), frames.allocate(0x1_0000, 0x1_0000).unwrap(), 0x1_0000);
    let wanted = NewDomain { attach: &attach, window, memory: Memory::WriteBack, earlier: 6 };
    let mut site = fake::site(smmu, OWN, frames);
    let mut log = Log::with_capacity(4096);
    let mut logged = Logged::new(hw, &mut log);
    let attached = takeover::attach_deferred(&mut logged, &mut site, taken.as_mut().unwrap(), &wanted);
    Reattached { stream: 0, attached, is_armed: true, overruns: 0, log: log.entries().to_vec() }
}

fn take_over(
    policy: Policy,
    hw: &mut dyn Access,
    smmu: SmmuIndex,
    frames: &mut FakeFrames,
) -> Result<Taken, TakeoverError> {
    let site = Site {
        rmr_streams: &SIDS[2..],
        attach: &SIDS.map(|stream| Attach { stream, identity: if stream == SIDS[2] { vec![RMR] } else { Vec::new() } }),
        ..fake::site(smmu, OWN, frames)
    };
    takeover::take_over(policy, hw, site)
}

fn ste(hw: &mut Fake, smmu: SmmuIndex, sid: StreamId) -> [u64; 8] {
    let registers = Registers::read(hw, smmu);
    observe::ste(hw, &registers, sid).unwrap().map_or([0; 8], |(_, ste)| ste)
}

/// What the event queue holds: where it is left on, faults of the streams that have a domain.
fn events(Scenario { policy, damage, .. }: Scenario, is_damaged: bool) -> event::Counts {
    let mut events = event::Counts::with_capacity(4);
    if is_damaged && damage.leaves_events() {
        events.add([id::C_BAD_STREAMID.into(), 0, 0, 0]);
    }
    if policy == Policy::ResetAttach {
        SIDS.into_iter()
            .for_each(|sid| events.add([u64::from(id::F_TRANSLATION) | u64::from(sid.0) << 32, 0, 0x8000_0000, 0]));
    }
    events
}

/// How a stream fares: as is documented.
fn sampled(expectation: &Expectation, index: usize, ste: [u64; 8], at_end: [u64; 8]) -> StreamEvidence {
    let end = match expectation.of(index == 2) {
        After::Delivered => counts(60, 60, 0),
        After::Untranslated if index == 2 => counts(60, 45, 15),
        After::Untranslated => counts(60, 30, 30),
        After::Blocked => counts(60, 30, 0),
        After::IdentityBlocked => counts(60, 45, 0),
        After::Silent => counts(30, 30, 0),
    };
    let cuts =
        Cuts { armed: counts(0, 0, 0), crash: counts(10, 10, 0), takeover: counts(30, 30, 0), end, ..Cuts::default() };
    // The attached stream counts anew; with an ASID in use all that it moves goes to the dead kernel's pages.
    let at_end_counts = match (index, expectation.reserves_identifiers) {
        (0, true) => counts(40, 40, 0),
        (0, false) => counts(40, 0, 40),
        _ => counts(end.attempted + 40, end.delivered + 40, end.mis_steered),
    };
    StreamEvidence {
        cuts,
        overruns: 0,
        first_delivery: Some(1000),
        ste_after: Some(ste),
        means: expectation.quiesces().then_some(Means::Flr),
        landed_when_stopped: None,
        landed_since_stopped: 0,
        at_end: at_end_counts,
        ste_at_end: Some(at_end),
    }
}
