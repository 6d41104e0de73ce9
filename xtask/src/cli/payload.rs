//! What the payload is told, by whatever way it comes to a machine.

use std::path::PathBuf;

use clap::Args;
use clap::builder::ArgPredicate;
use clap_complete::ArgValueCandidates;

use crate::completions::values;
use crate::run::Span;

/// What the payload is told: the same, whoever brings it to a machine.
#[derive(Clone, Debug, Args)]
pub struct PayloadArgs {
    /// Scenarios in this order, separated by commas, or `all`; `run --list-scenarios` says what each does
    #[arg(long, value_name = "S,…", value_delimiter = ',', default_value = "adopt,reset",
        default_value_if("kernel", ArgPredicate::IsPresent, "witness"),
        add = ArgValueCandidates::new(values::scenarios))]
    pub scenario: Vec<String>,
    /// Crashes of each scenario in one boot
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub cycles: u32,
    /// Go on for this long instead, such as `30m`, each scenario for its share; Ctrl-C ends it before, with its report
    #[arg(long = "for", value_name = "TIME", conflicts_with = "cycles")]
    pub span: Option<Span>,
    /// A table that replaces the firmware's IORT
    #[arg(long, value_name = "FILE")]
    pub iort: Option<PathBuf>,
    /// Plant a fault, such as `leaf-canary`; the report is marked and never passes. A wrong name lists them all
    #[arg(long, value_name = "FAULT", add = ArgValueCandidates::new(values::plants))]
    pub plant: Option<String>,
    /// A kernel that takes over
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// Hand an option to the payload as it is, such as `e2h=1` or `step-hold=1` (repeatable). A wrong one lists them all
    #[arg(long, value_name = "KEY=VALUE")]
    pub option: Vec<String>,
}

/// A kernel that takes over instead of the payload's own image, and is watched.
#[derive(Clone, Debug, Default, Args)]
pub struct KernelArgs {
    /// Have this arm64 Linux take over, in scenario `witness[+DAMAGE][@CRASH]`, and watch what it does to the SMMU: an Image,
    /// plain, packed by gzip, xz, zstd or as EFI zboot, or a .deb or .rpm package with one
    #[arg(long, value_name = "IMAGE")]
    pub kernel: Option<PathBuf>,
    /// The kernel's initrd, as it is
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub initrd: Option<PathBuf>,
    /// More for the kernel's command line, after `earlycon nr_cpus=1 reset_devices panic=1`: of most things the last word holds
    #[arg(long, value_name = "TEXT", requires = "kernel", allow_hyphen_values = true)]
    pub cmdline: Option<String>,
    /// The kernel's System.map: the report names functions
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub system_map: Option<PathBuf>,
    /// Watch the kernel's loads from stream tables, too: a trap for each
    #[arg(long, requires = "kernel")]
    pub watch_reads: bool,
}
