//! What a kernel did that was started to be watched.

use serde::{Deserialize, Serialize};

use super::{Artifact, Broken, Departure, Hex, Name};

/// A kernel that was watched, in one cycle: the first that is not as expected, else the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Witness {
    /// The kernel.
    pub kernel: Kernel,
    /// The reference sequence that it followed: `RESET`, `ADOPT-v7`, `ADOPT-v10`, or `none`; where that is not one and the same on
    /// every SMMU that it touched it is `none`, and `profiles` says which.
    pub profile: Name,
    /// Register accesses, each of a poll counted.
    pub accesses: u64,
    /// Commands that it announced.
    pub commands: u64,
    /// Stores to stream table and CDs that trapped.
    pub table_stores: u64,
    /// Broken rules.
    pub violations: Vec<Offence>,
    /// `off`, `reset` (also where nobody knows why; `kdump.survived` is not covered then), `panic` (a reset after the console said so), `hang`, or `stopped`: the witness could not go on.
    pub ended: Name,
    /// Why, where somebody says so: the words of the panic, or of the witness.
    #[serde(default)]
    pub reason: Option<String>,
    /// The cycle.
    #[serde(default)]
    pub cycle: u32,
    /// The same in words, with what was not told apart, and of several SMMUs which followed which.
    #[serde(default)]
    pub followed: String,
    /// The same of each SMMU that it touched.
    #[serde(default)]
    pub profiles: Vec<OnSmmu>,
    /// CPUs of it that were heard of, by an access, a sign of life or its end; 0 where nobody says.
    #[serde(default)]
    pub cpus: u32,
    /// Of a reset: it looked at GERROR as kernels do that can adopt.
    #[serde(default)]
    pub fallback: bool,
    /// Reads of tables were watched; without them revisions 7 and 10 look alike.
    #[serde(default)]
    pub reads: bool,
    /// Where it left its profile; of a kernel without an end, where it was in it.
    #[serde(default)]
    pub left: Option<Departure>,
    /// The last entry of its takeover.
    #[serde(default)]
    pub taken_over: Option<u64>,
    /// Rules that every released Linux breaks in the same way.
    #[serde(default)]
    pub known: Vec<Offence>,
    /// The last that it did.
    #[serde(default)]
    pub last: Option<Last>,
    /// What watching cost.
    #[serde(default)]
    pub cost: Option<Cost>,
    /// How names of functions were found, or why not; absent without a System.map.
    #[serde(default)]
    pub symbols: Option<String>,
}

/// A kernel: what the host knows of the file, and the board of its start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Kernel {
    /// Name of its file; absent in a log that does not tell what was asked for.
    pub name: Option<String>,
    /// Of the arm64 `Image`, unpacked.
    pub sha256: Option<String>,
    /// What it calls itself.
    pub version: Option<String>,
    /// Its whole command line.
    pub command_line: Option<String>,
    /// Size of its pages, by its header.
    #[serde(default)]
    pub pages: Option<String>,
    /// Its initrd.
    #[serde(default)]
    pub initrd: Option<Artifact>,
    /// `UEFI` with its tables, or `devicetree`; the fields from here on are absent where it was never started.
    pub way: Option<Name>,
    /// Its first instruction.
    pub entry: Option<Hex>,
    /// Memory that it lies in.
    pub memory_bytes: Option<u64>,
    /// Memory that it may use.
    pub usable: Option<Hex>,
    pub usable_bytes: Option<u64>,
    /// HCR_EL2.E2H of the witness above it.
    pub e2h: Option<bool>,
    /// MIDR_EL1.
    pub cpu: Option<Hex>,
}

/// What a kernel followed on one SMMU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OnSmmu {
    pub smmu: u8,
    /// As `profile` of the kernel.
    pub profile: Name,
    /// As `fallback` of the kernel.
    #[serde(default)]
    pub fallback: bool,
    /// Where it left that; without a profile, where it left each of those that are known.
    #[serde(default)]
    pub left: Vec<Departure>,
}

/// A broken rule, and who broke it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Offence {
    #[serde(flatten)]
    pub broken: Broken,
    /// The instruction of its last entry.
    pub pc: Option<Hex>,
    /// The same as a function's name and distance.
    #[serde(default)]
    pub symbol: Option<String>,
}

/// Where a kernel was seen last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Last {
    /// Its last access, in words; absent where none was told.
    pub access: Option<String>,
    /// At its last trap.
    pub pc: Hex,
    /// Of the CPU with these affinity fields of MPIDR_EL1.
    #[serde(default)]
    pub cpu: Option<Hex>,
    #[serde(default)]
    pub symbol: Option<String>,
}

/// What watching cost. Ticks are of the run's counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Cost {
    /// From the kernel's start to its end.
    pub ticks: u64,
    /// Of these in traps.
    pub trap_ticks: u64,
    /// Traps.
    pub traps: u32,
    /// Of these WFI and WFE.
    pub visits: u32,
    /// Calls that firmware answered.
    pub forwarded: u32,
}

/// What only a witness knows of an access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Foreign {
    /// The kernel's own address of the instruction.
    pub pc: Hex,
    #[serde(default)]
    pub symbol: Option<String>,
    /// What the word held before.
    pub old: Option<Hex>,
    /// `trapped`, `announced` (a command), or `found` (a table read when something began to point to it).
    pub how: Name,
    /// Ticks that the trap took.
    pub cost: u32,
    /// The CPU that made it: affinity fields of MPIDR_EL1.
    #[serde(default)]
    pub cpu: Option<Hex>,
}
