//! What became of one scenario.

use serde::{Deserialize, Serialize};

use super::{
    Blackout, Foreign, Hex, Outcome, PcieErrors, Phases, Protocol, Requester, Throughput, Verdict, Watched, Witness,
};

/// One scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    /// Crash to the end of the takeover without the hold, over all cycles; absent where none told its times, and of a
    /// census.
    pub blackout: Option<Blackout>,
    /// What arrived since the crash, by time; absent where no time is known.
    pub throughput: Option<Throughput>,
    /// Registers before and after, of the first cycle that was sent whole.
    pub registers: Vec<Register>,
    /// Bus errors, of the first cycle that was sent whole.
    pub aborts: Vec<Abort>,
    /// What PCI functions told anew of errors, by phase, of the first cycle that was sent whole.
    #[serde(default)]
    pub pcie_errors: Vec<PcieErrors>,
    /// How the image died and what its other CPUs did, of the first cycle that was sent whole.
    pub crash: Option<Crash>,
    /// The stream that was moved to a new domain, of the first cycle that was sent whole.
    pub attach: Option<Attach>,
    /// Who was doing DMA after the crash, of the first cycle that was sent whole.
    #[serde(default)]
    pub requesters: Vec<Requester>,
    /// How a census watched each SMMU; empty otherwise.
    #[serde(default)]
    pub watched: Vec<Watched>,
    /// The takeover's accesses, of the first cycle that was sent whole.
    pub access_log: Vec<Access>,
    /// What the protocol checker says; absent where no takeover began.
    pub protocol: Option<Protocol>,
    /// The kernel that took over, where one was watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    /// One line for each cycle; of very many the first 2,000, and each that did not pass.
    pub cycle_lines: Vec<CycleLine>,
    /// Cycles that failed, whole; empty for a run of one cycle, which is whole above.
    pub failed_cycles: Vec<FailedCycle>,
}

/// A check in one cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    /// Why the deviation is accepted; only on a check that is not as expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<Waived>,
}

impl Check {
    /// The verdict is the expected one, and the check ran if it must.
    pub fn is_as_expected(&self) -> bool {
        self.verdict == self.expected && !(self.must_run && self.verdict == Verdict::NotCovered)
    }

    /// As expected, or accepted as it is.
    pub fn is_accepted(&self) -> bool {
        self.is_as_expected() || self.waived.is_some()
    }
}

/// A deviation that is known and accepted: for a time by the waivers file, or as the board's file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Waived {
    /// In the words of that file.
    pub reason: String,
    /// The last day on which a waiver counts, as in 2027-01-31.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Where a board's expectation is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// A live stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Timing {
    pub counter_hz: u64,
    pub crash_to_kdump: u64,
    pub takeover: u64,
    pub hold: u64,
    pub watch: u64,
    /// From the crash to the end of the watch, with all that was looked at in between.
    #[serde(default)]
    pub counted: u64,
    pub cycle: u64,
}

/// A register of an SMMU before the takeover and after the watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Register {
    pub smmu: u8,
    pub name: String,
    pub before: Hex,
    pub after: Hex,
    /// The fields before; empty where no layout is known.
    #[serde(default)]
    pub words: String,
    /// What differs, field by field; absent where nothing does.
    pub change: Option<String>,
}

/// An SError or external abort.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Abort {
    pub step: String,
    pub esr: Hex,
    pub elr: Hex,
    pub far: Hex,
    pub serror: bool,
    pub count: u32,
}

/// How an image died. Counts are before the takeover's first access, after its last, and after the watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    #[serde(default)]
    pub stride: u32,
    /// The load met no memory.
    #[serde(default)]
    pub unbacked: bool,
    /// The access is that of a kernel that was watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<Foreign>,
}

/// One cycle in one line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CycleStream {
    /// The function.
    pub bdf: String,
    /// The counts.
    #[serde(flatten)]
    pub phases: Phases,
}

/// A failed cycle, whole; the fields are those of [`Run`], for one cycle.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FailedCycle {
    pub cycle: u32,
    pub checks: Vec<Check>,
    pub streams: Vec<Stream>,
    pub samples: Vec<(u64, String, u64, Option<u64>, u64)>,
    pub events: Vec<Event>,
    pub timing: Option<Timing>,
    pub registers: Vec<Register>,
    pub aborts: Vec<Abort>,
    #[serde(default)]
    pub pcie_errors: Vec<PcieErrors>,
    pub crash: Option<Crash>,
    pub attach: Option<Attach>,
    #[serde(default)]
    pub requesters: Vec<Requester>,
    pub access_log: Vec<Access>,
}
