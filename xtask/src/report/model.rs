//! The report: what `report.json` holds, key by key, and what every other rendering is made of.

use serde::{Serialize, Serializer};

pub use super::counts::Phases;

/// Value of the key `schema`.
pub const SCHEMA: &str = "inflight-report/1";

/// The board of a log that does not say it.
pub const UNKNOWN_BOARD: &str = "unknown";

/// How a run, a cycle or a whole boot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All as expected.
    Pass,
    /// Something is not as expected.
    Fail,
    /// No verdict.
    Lost,
}

impl Outcome {
    /// The word of the report.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Lost => "lost",
        }
    }
}

impl From<wire::record::Outcome> for Outcome {
    fn from(outcome: wire::record::Outcome) -> Self {
        match outcome {
            wire::record::Outcome::Pass => Self::Pass,
            wire::record::Outcome::Fail => Self::Fail,
            wire::record::Outcome::Lost => Self::Lost,
        }
    }
}

/// Verdict of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The rule holds.
    Pass,
    /// The rule is broken.
    Fail,
    /// The check does not apply.
    Skip,
    /// The check ought to have run and could not.
    NotCovered,
}

impl Verdict {
    /// The word of the report.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skip => "skip",
            Self::NotCovered => "not-covered",
        }
    }

    /// As the payload writes it.
    pub const fn wire(self) -> wire::record::Verdict {
        match self {
            Self::Pass => wire::record::Verdict::Pass,
            Self::Fail => wire::record::Verdict::Fail,
            Self::Skip => wire::record::Verdict::Skip,
            Self::NotCovered => wire::record::Verdict::NotCovered,
        }
    }
}

impl From<wire::record::Verdict> for Verdict {
    fn from(verdict: wire::record::Verdict) -> Self {
        match verdict {
            wire::record::Verdict::Pass => Self::Pass,
            wire::record::Verdict::Fail => Self::Fail,
            wire::record::Verdict::Skip => Self::Skip,
            wire::record::Verdict::NotCovered => Self::NotCovered,
        }
    }
}

/// An address or register value: hexadecimal text, since JSON's numbers end at 2^53 in most readers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hex(pub u64);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:#x}", self.0))
    }
}

/// A whole report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Name of the board's file.
    pub board: String,
    /// How the boot ended, after the host's own check.
    pub outcome: Outcome,
    /// What the payload itself said at its end.
    pub payload_outcome: Option<Outcome>,
    /// The planted fault; such a report never passes.
    pub planted: Option<String>,
    /// Why there is no verdict.
    pub lost: Option<Lost>,
    /// What the host found wrong with the payload's report.
    pub problems: Vec<String>,
    /// Images that said hello, in their order.
    pub images: Vec<Image>,
    /// The machine.
    pub platform: Platform,
    /// One for each scenario.
    pub runs: Vec<Run>,
}

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// What happened.
    pub reason: String,
    /// The last thing that the payload told or the console showed.
    pub last_seen: String,
}

/// An image that said hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Image {
    /// `primary` or `kdump`.
    pub image: String,
    /// Its version.
    pub version: String,
    /// Exception level that it runs at.
    pub el: u8,
    /// HCR_EL2.E2H.
    pub e2h: bool,
}

/// The machine, as the payload found it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Platform {
    /// The IORT in force; absent where there is none.
    pub iort: Option<Iort>,
    /// SMMUs.
    pub smmus: Vec<Smmu>,
    /// PCI functions.
    pub endpoints: Vec<Endpoint>,
    /// Reserved memory ranges.
    pub rmrs: Vec<Rmr>,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
}

/// The IORT in force.
#[derive(Clone, Debug, Serialize)]
pub struct Iort {
    /// `firmware`, `amended`, `file`, or `devicetree` where it was written from one.
    pub origin: &'static str,
    /// Digest of the table in force.
    pub sha256: String,
    /// Digest of the firmware's own table.
    pub firmware_sha256: Option<String>,
    /// Length.
    pub bytes: u32,
}

/// An SMMU as found at start.
#[derive(Clone, Debug, Serialize)]
pub struct Smmu {
    pub index: u8,
    pub base: Hex,
    pub idr0: Hex,
    pub idr1: Hex,
    pub idr3: Hex,
    pub idr5: Hex,
    pub iidr: Hex,
    pub aidr: Hex,
    pub cr0: Hex,
    pub gbpa: Hex,
    pub coherent: bool,
    /// What became of DMA before anybody set the SMMU up: GBPA.ABORT as found, `abort` or `bypass`.
    pub gbpa_reset: &'static str,
    /// The version by AIDR, such as `SMMUv3.1`.
    pub architecture: String,
    /// Implementer and product by IIDR, where they are known.
    pub product: Option<String>,
    /// The registers above, field by field: name and words.
    pub words: Vec<(&'static str, String)>,
}

/// A PCI function.
#[derive(Clone, Debug, Serialize)]
pub struct Endpoint {
    /// The function.
    pub bdf: String,
    /// Vendor ID.
    pub vendor: Hex,
    /// Device ID.
    pub device: Hex,
    /// Class code.
    pub class: Hex,
    /// Its SMMU.
    pub smmu: Option<u8>,
    /// Its StreamID.
    pub stream_id: Option<u32>,
    /// The driver that claims it.
    pub driver: Option<String>,
    /// Found with bus mastering on.
    pub bus_master: bool,
    /// It became a live stream.
    pub armed: bool,
}

/// A reserved memory range with one of its streams.
#[derive(Clone, Debug, Serialize)]
pub struct Rmr {
    /// First address.
    pub base: Hex,
    /// Length.
    pub bytes: u64,
    /// Its SMMU.
    pub smmu: Option<u8>,
    /// Its StreamID.
    pub stream_id: u32,
    /// Flags of the node.
    pub flags: Hex,
}

/// Something wrong with firmware tables, options or the platform.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// `note`, `warning` or `error`.
    pub severity: &'static str,
    /// Where: a table's signature or a word such as `options`.
    pub table: String,
    /// Stable name.
    pub id: String,
    /// Offset in the table.
    pub offset: Option<u32>,
    /// In words.
    pub text: String,
}

/// One scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Its name.
    pub scenario: String,
    /// Crashes asked for.
    pub cycles: u32,
    /// Crashes that ended.
    pub cycles_done: u32,
    /// Of those, not passed.
    pub cycles_failed: u32,
    /// How it ended, after the host's own check.
    pub outcome: Outcome,
    /// The planted fault.
    pub planted: Option<String>,
    /// What the host found wrong with this run's records.
    pub problems: Vec<String>,
    /// Verdicts; of several cycles the first that is not as expected, else the first.
    pub checks: Vec<Check>,
    /// Streams; counts are sums over all cycles, the gap is the longest.
    pub streams: Vec<Stream>,
    /// Of the first cycle that was sent whole: `[ticks, bdf, delivered, blocked, mis_steered]`.
    pub samples: Vec<(u64, String, u64, Option<u64>, u64)>,
    /// Events of all cycles.
    pub events: Vec<Event>,
    /// Of the first cycle that was sent whole.
    pub timing: Option<Timing>,
    /// Registers before and after, of the first cycle that was sent whole.
    pub registers: Vec<Register>,
    /// Bus errors, of the first cycle that was sent whole.
    pub aborts: Vec<Abort>,
    /// How the image died and what its other CPUs did, of the first cycle that was sent whole.
    pub crash: Option<Crash>,
    /// The stream that was moved to a new domain, of the first cycle that was sent whole.
    pub attach: Option<Attach>,
    /// The takeover's accesses, of the first cycle that was sent whole.
    pub access_log: Vec<Access>,
    /// What the protocol checker says; absent where no takeover began.
    pub protocol: Option<Protocol>,
    /// One line for each cycle.
    pub cycle_lines: Vec<CycleLine>,
    /// Cycles that failed, whole; empty for a run of one cycle, which is whole above.
    pub failed_cycles: Vec<FailedCycle>,
}

/// A check in one cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable name.
    pub id: String,
    /// What was seen against what the check demands.
    pub verdict: Verdict,
    /// What the scenario's documentation says.
    pub expected: Verdict,
    /// Not covered is a failure.
    pub must_run: bool,
    /// In words, with values.
    pub reason: Option<String>,
    /// Clause, mail or patch.
    pub source: String,
}

impl Check {
    /// The verdict is the expected one, and the check ran if it must.
    pub fn is_as_expected(&self) -> bool {
        self.verdict == self.expected && !(self.must_run && self.verdict == Verdict::NotCovered)
    }
}

/// A live stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stream {
    /// The function.
    pub bdf: String,
    /// Its StreamID.
    pub stream_id: u32,
    /// Its driver.
    pub endpoint: String,
    /// Named by a reserved memory range.
    pub rmr: bool,
    /// What is counted.
    pub unit: String,
    /// What in memory proves delivery.
    pub witness: String,
    /// The counts.
    #[serde(flatten)]
    pub phases: Phases,
    /// Crash to the first delivery after the takeover; `None`: never.
    pub gap_ticks: Option<u64>,
}

/// Decoded SMMU events of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// The SMMU.
    pub smmu: u8,
    /// Event number.
    pub id: u8,
    /// Its name.
    pub name: String,
    /// The StreamID.
    pub stream_id: u32,
    /// The function; absent where it is not known.
    pub bdf: Option<String>,
    /// The page.
    pub input_address: Hex,
    /// Direction.
    pub read: bool,
    /// How many.
    pub count: u64,
}

/// Ticks of a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Timing {
    pub counter_hz: u64,
    pub crash_to_kdump: u64,
    pub takeover: u64,
    pub hold: u64,
    pub watch: u64,
    pub cycle: u64,
}

/// A register of an SMMU before the takeover and after the watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Register {
    pub smmu: u8,
    pub name: String,
    pub before: Hex,
    pub after: Hex,
    /// The fields before; empty where no layout is known.
    pub words: String,
    /// What differs, field by field; absent where nothing does.
    pub change: Option<String>,
}

/// An SError or external abort.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Abort {
    pub step: String,
    pub esr: Hex,
    pub elr: Hex,
    pub far: Hex,
    pub serror: bool,
    pub count: u32,
}

/// How an image died. Counts are before the takeover's first access, after its last, and after the watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Crash {
    /// Affinity of the CPU that firmware booted.
    pub boot_cpu: Hex,
    /// Affinity of the CPU that the taker ran on.
    pub taker_cpu: Hex,
    /// A call, a panic or an exception.
    pub cause: String,
    /// Syndrome and address of the exception.
    pub esr: Hex,
    pub far: Hex,
    /// Rounds of a CPU that spins.
    pub spins: [u64; 3],
    /// Doorbells rung by a CPU of the dead image.
    pub rings: [u64; 3],
}

/// A stream that was moved to a new domain after an adoption, and what it moved there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attach {
    /// The function.
    pub bdf: String,
    /// Its StreamID.
    pub stream_id: u32,
    /// Of a new domain at stage 1.
    pub asid: Option<u16>,
    /// Of one at stage 2.
    pub vmid: Option<u16>,
    /// Units that the device tried to move since it was started again.
    pub attempted: u64,
    /// Units that landed in the new pages.
    pub delivered: u64,
    /// Units that landed in the dead image's.
    pub mis_steered: u64,
}

/// An entry of the access log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Access {
    /// Its number.
    pub index: u32,
    /// The step that it belongs to.
    pub step: Option<String>,
    /// Counter.
    pub ticks: u64,
    /// The SMMU.
    pub smmu: u8,
    /// What kind of access.
    pub kind: String,
    /// Register, structure or barrier.
    pub name: String,
    /// Register offset or physical address.
    pub address: Hex,
    /// Value read or written.
    pub value: Hex,
    /// Accesses merged in it.
    pub count: u32,
    /// Bytes from one word of a scan or fill to the next.
    pub stride: u32,
    /// The load met no memory.
    pub unbacked: bool,
}

/// What the protocol checker says of one cycle's access log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Protocol {
    /// The cycle: the first that is not as expected, else the first that told its log.
    pub cycle: u32,
    /// The log is whole.
    pub complete: bool,
    /// Its entries, steps included.
    pub entries: u64,
    /// What each SMMU's part of it follows.
    pub smmus: Vec<ProtocolSmmu>,
    /// Broken rules.
    pub violations: Vec<Broken>,
    /// What is doubtful or without effect.
    pub remarks: Vec<Broken>,
}

/// The reference sequence that is followed on one SMMU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProtocolSmmu {
    pub smmu: u8,
    /// `ADOPT v7`, `ADOPT v10`, `RESET` or `RESET (fallback)`; `None` where too little of any is there.
    pub profile: Option<&'static str>,
    /// Where it is left first.
    pub left: Option<Departure>,
}

/// Where a log leaves its reference sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Departure {
    /// First entry that does not fit; the number of entries where the log ends too early.
    pub entry: u64,
    /// What was due.
    pub expected: String,
    /// What came.
    pub found: String,
}

/// A rule that the log breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// Its name.
    pub rule: &'static str,
    /// Where it comes from.
    pub clause: &'static str,
    pub smmu: u8,
    /// Entries of the log that prove it.
    pub entries: Vec<u64>,
    /// In words.
    pub text: String,
    /// How often.
    pub count: u64,
}

/// One cycle in one line.
#[derive(Clone, Debug, Serialize)]
pub struct CycleLine {
    /// Its number.
    pub cycle: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// Checks made.
    pub checks: u32,
    /// Checks not as expected.
    pub failed: u32,
    /// Counts of its streams.
    pub streams: Vec<CycleStream>,
}

/// One stream in one cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CycleStream {
    /// The function.
    pub bdf: String,
    /// The counts.
    #[serde(flatten)]
    pub phases: Phases,
}

/// A failed cycle, whole; the fields are those of [`Run`], for one cycle.
#[derive(Clone, Debug, Serialize)]
pub struct FailedCycle {
    pub cycle: u32,
    pub checks: Vec<Check>,
    pub streams: Vec<Stream>,
    pub samples: Vec<(u64, String, u64, Option<u64>, u64)>,
    pub events: Vec<Event>,
    pub timing: Option<Timing>,
    pub registers: Vec<Register>,
    pub aborts: Vec<Abort>,
    pub crash: Option<Crash>,
    pub attach: Option<Attach>,
    pub access_log: Vec<Access>,
}
