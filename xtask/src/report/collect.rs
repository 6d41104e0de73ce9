//! From records to the report's model, as they come.

use std::collections::BTreeMap;

use wire::Record;
use wire::record::{IortOrigin, Severity};

use super::died::Died;
use super::model::*;
use super::{board, judge, merge, pcie, protocol, requester, waive, witness};
use crate::capture::Request;

/// Whose a finding of this side is.
const HOST: &str = "host";
/// The scenario of a run that an earlier boot told, to nobody who listened.
const UNHEARD: &str = "?";

/// A cycle as its records told it.
#[derive(Clone, Debug, Default)]
pub struct Cycle {
    /// What the payload said at its end: outcome, checks, checks not as expected.
    pub end: Option<(Outcome, u32, u32)>,
    /// Ends that came; more than one is a mistake.
    pub ends: u32,
    /// Checks.
    pub checks: Vec<Check>,
    /// Streams, with all that describes them.
    pub streams: Vec<Stream>,
    /// Streams of a cycle that was sent in short.
    pub short: Vec<CycleStream>,
    /// Running totals.
    pub samples: Vec<(u64, String, u64, Option<u64>, u64)>,
    /// Events.
    pub events: Vec<Event>,
    /// Ticks.
    pub timing: Option<Timing>,
    /// Registers.
    pub registers: Vec<Register>,
    /// Bus errors.
    pub aborts: Vec<Abort>,
    /// What PCI functions told anew of errors.
    pub pcie_errors: Vec<PcieErrors>,
    /// How the image died.
    pub crash: Option<Crash>,
    /// The stream that was moved to a new domain.
    pub attach: Option<Attach>,
    /// Functions, and what their DMA did.
    pub requesters: Vec<requester::Raw>,
    /// How a census watched each SMMU.
    pub watched: Vec<Watched>,
    /// What hardware marked in it, in ticks.
    pub marks: Vec<requester::RawMark>,
    /// Functions that it did not tell apart.
    pub pooled: Vec<String>,
    /// Accesses; their steps are filled in at the end.
    pub access_log: Vec<Access>,
    /// The same as the checker reads them, by their index.
    pub entries: Vec<(u32, smmu::log::Entry)>,
    /// Steps, by the first entry of the access log.
    pub steps: Vec<(u32, String)>,
    /// The kernel that took over, and what was told of it.
    pub kernel: Option<witness::Told>,
}

impl Cycle {
    /// Checks and streams were sent one by one.
    pub fn is_whole(&self) -> bool {
        !self.checks.is_empty() || !self.streams.is_empty()
    }

    /// A stream of which a watched kernel's cycle has told before: it is told as it goes, in case that no end comes.
    fn told_before(&mut self, bdf: &str) -> Option<&mut Stream> {
        let is_watched = self.kernel.is_some();
        self.streams.iter_mut().find(|known| is_watched && known.bdf == bdf)
    }

    /// Samples stand by time, however early some were told.
    fn sample(&mut self, sample: (u64, String, u64, Option<u64>, u64)) {
        let end = self.samples.partition_point(|known| known.0 <= sample.0);
        let same = self.samples.iter().take(end).rev().take_while(|known| known.0 == sample.0);
        if same.into_iter().all(|known| *known != sample) {
            self.samples.insert(end, sample);
        }
    }
}

/// A run as its records told it.
#[derive(Clone, Debug, Default)]
pub struct RawRun {
    /// Its scenario.
    pub scenario: String,
    /// Crashes that the payload was going to make.
    pub cycles_asked: u32,
    /// The planted fault.
    pub planted: Option<String>,
    /// Cycles by number.
    pub cycles: BTreeMap<u32, Cycle>,
    /// What the payload said at its end: outcome, cycles, failed cycles.
    pub end: Option<(Outcome, u32, u32)>,
    /// Lines were lost or damaged while it ran.
    pub is_damaged: bool,
    /// The user ended it.
    pub is_stopped: bool,
}

/// All that a boot told.
#[derive(Debug, Default)]
pub struct Builder {
    pub(super) images: Vec<Image>,
    pub(super) counter_hz: u64,
    pub(super) platform: Platform,
    /// Capabilities of PCI functions.
    functions: Vec<pcie::Told>,
    pub(super) runs: Vec<RawRun>,
    /// The payload's own last word.
    pub(super) end: Option<(Outcome, u32)>,
    /// The user ended a run that goes on by time.
    pub(super) is_stopped: bool,
    /// Why there is no verdict, first reason first.
    pub(super) lost: Vec<String>,
    /// How many of these are deaths of the board.
    deaths: usize,
    /// Records that make no sense where they came.
    pub(super) problems: Vec<String>,
}

impl Builder {
    /// Notes a lost, doubled or damaged line.
    pub fn anomaly(&mut self, text: String) {
        if let Some(run) = self.runs.last_mut().filter(|run| run.end.is_none()) {
            run.is_damaged = true;
        }
        self.lost(text);
    }

    /// The user ended a run that goes on by time: what it told until then counts.
    pub fn stop(&mut self) {
        self.is_stopped = true;
        if let Some(run) = self.runs.last_mut().filter(|run| run.end.is_none()) {
            run.is_stopped = true;
        }
    }

    /// Notes why there is no verdict.
    pub fn lost(&mut self, reason: String) {
        self.lost.push(reason);
    }

    /// What is wrong on the host's side.
    pub fn warn_of_host(&mut self, id: String, text: String) {
        self.platform.findings.push(Finding { severity: "warning".into(), table: HOST.into(), id, offset: None, text });
    }

    /// Judges and renders the model.
    pub fn finish(mut self, request: Option<&Request>, last_seen: String) -> Report {
        // A path is known when all bridges are.
        for endpoint in &mut self.platform.endpoints {
            endpoint.pcie = pcie::describe(&self.functions, &endpoint.bdf);
        }
        let mut report = judge::report(self, request, last_seen);
        if let Some(request) = request {
            waive::expect(&mut report, &request.expectations);
        }
        report
    }

    /// Takes a line that is no record: of firmware, or of a kernel.
    pub fn console(&mut self, line: &str) {
        let cycle = self.runs.last_mut().and_then(|run| run.cycles.values_mut().next_back());
        if let Some(told) = cycle.and_then(|cycle| cycle.kernel.as_mut()) {
            told.console(line);
        }
    }

    /// Takes one record.
    pub fn push(&mut self, record: &Record<'_>) {
        if self.end.is_some() {
            self.problems.push("a record came after the last one".into());
        }
        match *record {
            Record::Hello { wire, version, image, el, e2h, counter_hz } => {
                if wire != wire::record::VERSION {
                    let ours = wire::record::VERSION;
                    self.lost(format!("image {image} speaks version {wire} of the records, this tool version {ours}"));
                }
                self.counter_hz = counter_hz;
                // The kdump image says hello in every cycle.
                let image = Image { image: image.into(), version: version.into(), el, e2h };
                if !self.images.contains(&image) {
                    self.images.push(image);
                }
            }
            Record::RunBegin { run, scenario, cycles, plant } => self.run_begin(run, scenario, cycles, plant),
            Record::RunEnd { run, outcome, cycles, cycles_failed } => {
                if let Some(run) = self.run(run, "its end") {
                    run.end = Some((outcome.into(), cycles, cycles_failed));
                }
            }
            Record::Armed { .. } | Record::Hold { .. } => {}
            Record::Died { .. } => self.died(record),
            Record::Lost { reason } => self.lost(format!("the payload gave up: {reason}")),
            Record::End { outcome, runs } => self.end = Some((outcome.into(), runs)),
            _ => {
                if !self.platform(record) {
                    self.of_cycle(record);
                }
            }
        }
    }

    fn run_begin(&mut self, run: u32, scenario: &str, cycles: u32, plant: &str) {
        if run as usize != self.runs.len() {
            self.problems.push(format!("run {run} begins where run {} is due", self.runs.len()));
        }
        self.runs.push(RawRun {
            scenario: scenario.into(),
            cycles_asked: cycles,
            planted: text(plant),
            ..RawRun::default()
        });
    }

    /// A boot before this one died: in this capture, or before it.
    fn died(&mut self, record: &Record<'_>) {
        let Some(died) = Died::of(record) else { return };
        let is_told_here = !self.runs.is_empty();
        if !is_told_here && !died.is_resumed() {
            self.warn_of_host("died-before".into(), died.text);
            return;
        }
        // It is the reason for all that does not fit after it.
        self.lost.insert(self.deaths, died.text);
        self.deaths += 1;
        // The machine tells all of itself again.
        self.functions.clear();
        let of_host = std::mem::take(&mut self.platform).findings.into_iter().filter(|finding| finding.table == HOST);
        self.platform.findings = of_host.collect();
        // What was told elsewhere, or not to its end, holds its place.
        for run in self.runs.len()..died.next.unwrap_or(0) as usize {
            let scenario = if run == died.run as usize { died.scenario.clone() } else { UNHEARD.into() };
            self.runs.push(RawRun { scenario, is_damaged: true, ..RawRun::default() });
        }
    }

    /// The run with this number, if it is the one that goes on.
    fn run(&mut self, number: u32, what: &str) -> Option<&mut RawRun> {
        let is_current = number as usize + 1 == self.runs.len();
        match self.runs.last_mut() {
            Some(run) if is_current && run.end.is_none() => Some(run),
            _ => {
                self.problems.push(format!("run {number}: {what} came outside of the run"));
                None
            }
        }
    }

    /// Takes a record about the machine; tells whether it was one.
    fn platform(&mut self, record: &Record<'_>) -> bool {
        let platform = &mut self.platform;
        match *record {
            Record::Finding { severity, table, id, offset, text } => platform.findings.push(Finding {
                severity: match severity {
                    Severity::Note => "note",
                    Severity::Warning => "warning",
                    Severity::Error => "error",
                }
                .into(),
                table: table.into(),
                id: id.into(),
                offset,
                text: text.into(),
            }),
            Record::Iort { origin, firmware_sha256, sha256, bytes } => {
                let origin = match origin {
                    IortOrigin::Firmware => "firmware",
                    IortOrigin::Amended => "amended",
                    IortOrigin::File => "file",
                    IortOrigin::Devicetree => "devicetree",
                };
                let firmware_sha256 = firmware_sha256.map(|digest| hex(&digest));
                platform.iort = Some(Iort { origin: origin.into(), sha256: hex(&sha256), firmware_sha256, bytes });
            }
            Record::Firmware { vendor, revision } => {
                platform.firmware = Some(MadeBy { vendor: vendor.into(), revision: Hex(revision.into()) });
            }
            Record::Smmu { .. } => platform.smmus.extend(board::smmu(record)),
            Record::Endpoint {
                bdf,
                vendor,
                device,
                class,
                smmu,
                stream_id,
                driver,
                bus_master_before_exit,
                bus_master,
                armed,
                denied,
            } => {
                let endpoint = Endpoint {
                    bdf: bdf.into(),
                    vendor: Hex(vendor.into()),
                    device: Hex(device.into()),
                    class: Hex(class.into()),
                    smmu,
                    stream_id,
                    driver: text(driver),
                    bus_master,
                    bus_master_before_exit,
                    armed,
                    pcie: None,
                    denied,
                };
                // Told again when it is armed: the later one holds.
                match platform.endpoints.iter_mut().find(|known| known.bdf == endpoint.bdf) {
                    Some(known) => *known = endpoint,
                    None => platform.endpoints.push(endpoint),
                }
            }
            Record::PcieFunction { bdf, requester, state } => {
                self.functions.extend(pcie::Told::new(bdf, requester, state));
            }
            Record::Rmr { base, bytes, smmu, stream_id, flags } => {
                platform.rmrs.push(Rmr { base: Hex(base), bytes, smmu, stream_id, flags: Hex(flags.into()) });
            }
            _ => return false,
        }
        true
    }

    fn of_cycle(&mut self, record: &Record<'_>) {
        let hz = self.counter_hz;
        let Some((run, number)) = place(record) else { return };
        let Some(run) = self.run(run, "a record of a cycle") else { return };
        let cycle = run.cycles.entry(number).or_default();
        match *record {
            Record::Check { id, verdict, expected, must_run, reason, source, .. } => cycle.checks.push(Check {
                id: id.into(),
                verdict: verdict.into(),
                expected: expected.into(),
                must_run,
                reason: text(reason),
                source: source.into(),
                waived: None,
            }),
            Record::Stream { bdf, stream_id, endpoint, rmr, unit, witness, phases, gap_ticks, .. } => {
                let stream = Stream {
                    bdf: bdf.into(),
                    stream_id,
                    endpoint: endpoint.into(),
                    rmr,
                    unit: unit.into(),
                    witness: witness.into(),
                    phases: phases.into(),
                    gap_ticks,
                };
                match cycle.told_before(bdf) {
                    Some(known) => *known = stream,
                    None => cycle.streams.push(stream),
                }
            }
            Record::CycleStream { bdf, phases, .. } => match cycle.told_before(bdf) {
                Some(known) => known.phases = phases.into(),
                None => cycle.short.push(CycleStream { bdf: bdf.into(), phases: phases.into() }),
            },
            Record::Sample { ticks, bdf, delivered, blocked, mis_steered, .. } => {
                cycle.sample((ticks, bdf.into(), delivered, blocked, mis_steered));
            }
            Record::Event { smmu, id, name, stream_id, bdf, input_address, read, count, .. } => {
                let (name, bdf, input_address) = (name.into(), text(bdf), Hex(input_address));
                merge::event(&mut cycle.events, Event { smmu, id, name, stream_id, bdf, input_address, read, count });
            }
            Record::Access { index, ticks, smmu, kind, name, address, value, count, stride, unbacked, .. } => {
                cycle.entries.extend(protocol::entry(record).map(|entry| (index, entry)));
                cycle.access_log.push(Access {
                    index,
                    step: None,
                    ticks,
                    smmu,
                    kind: access_kind(kind),
                    name: name.into(),
                    address: Hex(address),
                    value: Hex(value),
                    count,
                    stride,
                    unbacked,
                    foreign: None,
                });
            }
            Record::Kernel { .. } | Record::Foreign { .. } | Record::Witnessed { .. } | Record::Watching { .. } => {
                cycle.kernel.get_or_insert_default().take(record);
            }
            Record::Step { index, name, .. } => cycle.steps.push((index, name.into())),
            Record::Register { smmu, name, before, after, .. } => {
                let register = board::register(smmu, name, before, after);
                let is_same = |known: &&mut Register| (known.smmu, known.name.as_str()) == (smmu, name);
                match cycle.registers.iter_mut().find(is_same).filter(|_| cycle.kernel.is_some()) {
                    Some(known) => *known = register,
                    None => cycle.registers.push(register),
                }
            }
            Record::Abort { step, esr, elr, far, serror, count, .. } => {
                let (esr, elr, far) = (Hex(esr), Hex(elr), Hex(far));
                cycle.aborts.push(Abort { step: step.into(), esr, elr, far, serror, count });
            }
            Record::PcieErrors { bdf, phase, state, .. } => {
                cycle.pcie_errors.extend(pcie::errors(bdf, phase, state));
            }
            Record::Crash { boot_cpu, taker_cpu, cause, esr, far, spins, rings, .. } => {
                let cause = crash_cause(cause);
                let [boot_cpu, taker_cpu, esr, far] = [boot_cpu, taker_cpu, esr, far].map(Hex);
                cycle.crash = Some(Crash { boot_cpu, taker_cpu, cause, esr, far, spins, rings });
            }
            Record::Attach { bdf, stream_id, asid, vmid, attempted, delivered, mis_steered, .. } => {
                let bdf = bdf.into();
                // Nobody hands 0 out.
                let [asid, vmid] = [asid, vmid].map(|id| Some(id).filter(|id| *id != 0));
                cycle.attach = Some(Attach { bdf, stream_id, asid, vmid, attempted, delivered, mis_steered });
            }
            Record::Requester { .. } | Record::Stranger { .. } => cycle.requesters.extend(requester::Raw::of(record)),
            Record::Watched { smmu, marks, how, .. } => {
                // What no mark can show, however quiet it was.
                let blind = if marks { "; DMA to ranges without memory leaves no marks" } else { "" };
                cycle.watched.push(Watched { smmu, marks, how: format!("{how}{blind}") });
            }
            Record::Pooled { bdf, .. } => cycle.pooled.push(bdf.into()),
            Record::Mark { .. } => cycle.marks.extend(requester::RawMark::of(record)),
            Record::Timing { crash_to_kdump, takeover, hold, watch, counted, cycle_total, .. } => {
                let timing =
                    Timing { counter_hz: hz, crash_to_kdump, takeover, hold, watch, counted, cycle: cycle_total };
                cycle.timing = Some(timing);
            }
            Record::Cycle { outcome, checks, failed, .. } => {
                cycle.end = Some((outcome.into(), checks, failed));
                cycle.ends += 1;
            }
            _ => {}
        }
    }
}

/// Run and cycle of a record that belongs to one.
fn place(record: &Record<'_>) -> Option<(u32, u32)> {
    match *record {
        Record::Check { run, cycle, .. }
        | Record::Stream { run, cycle, .. }
        | Record::CycleStream { run, cycle, .. }
        | Record::Sample { run, cycle, .. }
        | Record::Event { run, cycle, .. }
        | Record::Access { run, cycle, .. }
        | Record::Step { run, cycle, .. }
        | Record::Register { run, cycle, .. }
        | Record::Abort { run, cycle, .. }
        | Record::Crash { run, cycle, .. }
        | Record::Attach { run, cycle, .. }
        | Record::Requester { run, cycle, .. }
        | Record::Stranger { run, cycle, .. }
        | Record::Watched { run, cycle, .. }
        | Record::Mark { run, cycle, .. }
        | Record::Pooled { run, cycle, .. }
        | Record::PcieErrors { run, cycle, .. }
        | Record::Kernel { run, cycle, .. }
        | Record::Foreign { run, cycle, .. }
        | Record::Witnessed { run, cycle, .. }
        | Record::Watching { run, cycle, .. }
        | Record::Timing { run, cycle, .. }
        | Record::Cycle { run, cycle, .. } => Some((run, cycle)),
        _ => None,
    }
}

/// The console format sends "none" as an empty text.
fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The console format's number of an access kind in words.
fn access_kind(kind: u8) -> String {
    const KINDS: [&str; 9] = ["read32", "write32", "read64", "write64", "load", "store", "barrier", "step", "fill"];
    KINDS.get(usize::from(kind)).map_or_else(|| format!("kind {kind}"), |name| (*name).to_owned())
}

/// The note's number of a cause in words.
fn crash_cause(cause: u8) -> String {
    const CAUSES: [&str; 4] = ["not noted", "call", "panic", "exception"];
    CAUSES.get(usize::from(cause)).map_or_else(|| format!("cause {cause}"), |name| (*name).to_owned())
}
