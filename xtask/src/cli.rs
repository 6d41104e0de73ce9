//! The command line.

mod payload;
#[cfg(test)]
mod tests;

pub use payload::{KernelArgs, PayloadArgs};

use std::ffi::OsString;
use std::path::PathBuf;

use addr::Bdf;
use board::Serve;
use clap::{Args, Parser, Subcommand};
use clap_complete::ArgValueCandidates;

use crate::completions::{Shell, values};
use crate::flash::Way;
use crate::iort::NodeInput;
use crate::lava;
use crate::run::Injection;

/// Crashes a machine while its endpoints do DMA, takes it over, and says what happened.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = false,
    after_help = "Begin with `cargo xtask run`; `cargo xtask COMMAND --help` shows examples.\n\n\
                  Exit status: 0 all as expected, 1 something not as expected, 2 wrong usage, configuration or input,\n\
                  3 lost (no verdict), 4 the host lacks something."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build both images, boot them, crash, take over, judge, and write a report
    Run(RunArgs),
    /// Run all tests, on the host and on QEMU
    Test(TestArgs),
    /// Build both images
    Build(BuildArgs),
    /// Build what a board needs and bring it there
    Flash(FlashArgs),
    /// Measure cycle time, CPU time and image sizes
    Bench(BenchArgs),
    /// Render a report again from a captured console log
    Report(ReportArgs),
    /// Read IORT tables: what they say, what is wrong, where a device's IDs go
    Iort(IortArgs),
    /// Make a LAVA job of a board's file, and the files that it deploys
    Lava(LavaArgs),
    /// List the boards, check their files, or begin one from what firmware says
    Boards(BoardsArgs),
    /// Show what the host has and what it lacks; changes nothing
    Doctor(DoctorArgs),
    /// Run exactly what continuous integration runs
    Ci(CiArgs),
    /// Put a release together: images, symbols, boards, licences, SBOM and checksums, as a folder and as an archive
    Dist(DistArgs),
    /// Print a script that completes `cargo xtask …` in a shell
    Completions(CompletionsArgs),
}

/// How to install what the host lacks; the same for every command that may do it.
#[derive(Clone, Debug, Default, Args)]
pub struct InstallArgs {
    /// Install what is missing without asking
    #[arg(long)]
    pub yes: bool,
}

/// Arguments of `run`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n\
                        \x20 cargo xtask run                                          # both policies on the default board\n\
                        \x20 cargo xtask run --board qemu-virt-igb --scenario adopt,quiesce-flr\n\
                        \x20 cargo xtask run --scenario adopt --cycles 100 --report target/hundred\n\
                        \x20 cargo xtask run --scenario adopt+l2-outside-ram,reset@panic\n\
                        \x20 cargo xtask run --kernel vmlinuz --initrd initrd.img     # a kernel takes over, and is watched\n\
                        \x20 cargo xtask run --board ./rack-7.toml --for 30m          # a board in a lab\n\
                        \x20 cargo xtask run -- -trace smmuv3_*                       # with a trace of QEMU")]
pub struct RunArgs {
    /// The board, by the name of its file in board-configs/, or a lab's own by its file, such as ./rack-7.toml
    #[arg(long, value_name = "BOARD", default_value = "qemu-virt", add = ArgValueCandidates::new(values::boards))]
    pub board: String,
    /// What the payload is told
    #[command(flatten)]
    pub payload: PayloadArgs,
    /// Show the scenarios: what is expected, by which source, and their risks
    #[arg(long)]
    pub list_scenarios: bool,
    /// Where the report goes
    #[arg(long, value_name = "DIR", default_value = "target/report")]
    pub report: PathBuf,
    /// Show the command line that would start the machine, and run nothing
    #[arg(long)]
    pub print_command: bool,
    /// Have QEMU inject a PCI Express error while the payload waits for it (repeatable): before, blackout or after, the
    /// function, and QEMU's name of the error, as in blackout=0000:01:00.0:COMP_TIME; four words for the header log may
    /// follow, as in :40000001,100000f,80000000,0. Such a report never passes
    #[arg(long, value_name = "MOMENT=FUNCTION:ERROR", value_parser = Injection::parse)]
    pub inject: Vec<Injection>,
    /// Deviations that are accepted; without it board-configs/waivers.toml, if there is one
    #[arg(long, value_name = "FILE")]
    pub waivers: Option<PathBuf>,
    /// Deadline for the whole boot in seconds, instead of the board's
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: Option<u64>,
    /// What to install, and whether to ask
    #[command(flatten)]
    pub install: InstallArgs,
    /// Arguments handed to QEMU as they are, after `--`
    #[arg(last = true, value_name = "QEMU-ARGS")]
    pub qemu_args: Vec<String>,
}

/// Arguments of `test`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "Examples:\n\
                        \x20 cargo xtask test --list\n\
                        \x20 cargo xtask test --host                                  # what needs no QEMU\n\
                        \x20 cargo xtask test --qemu adopt                            # cases with this word in their names")]
pub struct TestArgs {
    /// Only cases whose name contains this
    #[arg(value_name = "FILTER", add = ArgValueCandidates::new(values::cases))]
    pub filter: Option<String>,
    /// Only the tests that need no QEMU
    #[arg(long, conflicts_with = "qemu")]
    pub host: bool,
    /// Only the tests on QEMU
    #[arg(long)]
    pub qemu: bool,
    /// Show the cases, run none
    #[arg(long)]
    pub list: bool,
    /// What to install, and whether to ask
    #[command(flatten)]
    pub install: InstallArgs,
}

/// Arguments of `build`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "Examples:\n\
                        \x20 cargo xtask build\n\
                        \x20 cargo xtask build --verbose")]
pub struct BuildArgs {
    /// Show what cargo does
    #[arg(long, short)]
    pub verbose: bool,
}

/// Arguments of `flash`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n\
                        \x20 cargo xtask flash --board qemu-virt --to /media/stick          # the files, into a folder\n\
                        \x20 cargo xtask flash --board qemu-virt --to /dev/sdb              # a whole removable drive\n\
                        \x20 cargo xtask flash --board qemu-virt --to /dev/sdb --restore    # as it was before\n\
                        \x20 cargo xtask flash --board ./rack-7.toml --via redfish --serve 192.0.2.7\n\
                        \x20 cargo xtask flash --board ./rack-7.toml --via ssh --to root@lab-7:/boot/efi\n\n\
                        Exit status: 0 it is there, and reads back as written, 1 it reads back as something else,\n\
                        2 wrong usage, configuration or input, or it could not be written, 4 the host lacks something.")]
pub struct FlashArgs {
    /// The board, by the name of its file in board-configs/, or a lab's own by its file, such as ./rack-7.toml
    #[arg(long, value_name = "BOARD", add = ArgValueCandidates::new(values::boards))]
    pub board: String,
    /// The way to the board; without it that of the board's file, and else `esp`
    #[arg(long, value_name = "WAY", value_enum)]
    pub via: Option<Way>,
    /// Where it goes; for `esp` a folder that is there, a removable drive such as /dev/sdb, or a file for an image of one; for
    /// `uboot` bootefi or booti; for `netboot` http or pxe, where not both
    #[arg(long, value_name = "TARGET")]
    pub to: Option<PathBuf>,
    /// Put back what was there before
    #[arg(long, conflicts_with_all = ["scenario", "cycles", "span", "iort", "plant", "option", "kernel", "image"])]
    pub restore: bool,
    /// Bring this UEFI application instead of the one that is built, such as a signed one for Secure Boot
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// Overwrite the drive of this name, such as `sdb`, without asking for it
    #[arg(long, value_name = "NAME")]
    pub yes_erase: Option<String>,
    /// For `redfish`, `netboot` and `uboot`: the address of this host at which board or BMC fetch the image, IP or IP:PORT, where
    /// PORT is that of HTTP [default: loopback; `uboot` fetches nothing without]
    #[arg(long, value_name = "ADDRESS")]
    pub serve: Option<Serve>,
    /// For `netboot` and `uboot`: the port of TFTP [default: 69]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub tftp_port: Option<u16>,
    /// For `redfish` and `netboot`: leave the board off; its next start, such as that of `run`, is from the image
    #[arg(long, conflicts_with = "restore")]
    pub leave_off: bool,
    /// Largest drive to be written, in GiB
    #[arg(long, value_name = "GIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub largest: u64,
    /// What the payload is told
    #[command(flatten)]
    pub payload: PayloadArgs,
}

/// Arguments of `lava`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n\
                        \x20 cargo xtask lava --board qemu-virt --images http://192.0.2.7/inflight > job.yaml\n\
                        \x20 cargo xtask lava --board ./rack-7.toml --to target/lava      # the job and the files that it deploys\n\n\
                        The job's log is judged by `cargo xtask report LOG --board BOARD --scenario S,…`.")]
pub struct LavaArgs {
    /// The board, by the name of its file in board-configs/
    #[arg(long, value_name = "BOARD", add = ArgValueCandidates::new(values::boards))]
    pub board: String,
    /// How LAVA brings the payload there; without it as the board's file says. An emulated board takes none
    #[arg(long, value_name = "WAY", value_enum)]
    pub via: Option<lava::Way>,
    /// The device type of the lab; without it the board's own name, without that of its vendor
    #[arg(long, value_name = "TYPE")]
    pub device_type: Option<String>,
    /// Folder for job.yaml and the files that it deploys, which are built; without it the job goes to standard output
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Where the lab's workers find that folder, as in `https://builds.example/inflight`; without it by file:, on this host
    #[arg(long, value_name = "URL", value_parser = lava::address)]
    pub images: Option<String>,
    /// What the payload is told
    #[command(flatten)]
    pub payload: PayloadArgs,
}

/// Arguments of `bench`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n\
                        \x20 cargo xtask bench\n\
                        \x20 cargo xtask bench --report target/bench-before\n\
                        \x20 cargo xtask bench --kernel vmlinuz --initrd initrd.img   # what watching this kernel costs")]
pub struct BenchArgs {
    /// Measures what it costs to watch this kernel, instead
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// Where bench.json goes
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    pub report: PathBuf,
    /// What to install, and whether to ask
    #[command(flatten)]
    pub install: InstallArgs,
}

/// Arguments of `report`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Examples:\n\
                        \x20 cargo xtask report target/report/console.log             # beside the log\n\
                        \x20 cargo xtask report diff target/before target/report\n\
                        \x20 cargo xtask report merge lab/*/report --report target/fleet")]
pub struct ReportArgs {
    /// What to do with reports that are there
    #[command(subcommand)]
    pub command: Option<ReportCommand>,
    /// A console log, as `run` leaves it, or the log of a LAVA job
    #[arg(value_name = "LOG", required = true)]
    pub log: Option<PathBuf>,
    /// The board that the log is of, where others captured it: `run` says it in its first line
    #[arg(long, value_name = "BOARD")]
    pub board: Option<String>,
    /// The scenarios that were asked for, with --board
    #[arg(long, value_name = "S,…", value_delimiter = ',', default_value = "adopt,reset", requires = "board")]
    pub scenario: Vec<String>,
    /// Where the report goes; without it beside the log
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Deviations that are accepted; without it board-configs/waivers.toml, if there is one
    #[arg(long, value_name = "FILE")]
    pub waivers: Option<PathBuf>,
    /// System.map of the kernel that was watched: the report names functions
    #[arg(long, value_name = "FILE")]
    pub system_map: Option<PathBuf>,
}

/// What `report` does with reports that are there.
#[derive(Clone, Debug, Subcommand)]
pub enum ReportCommand {
    /// Compare two reports: new failures first. Exit status 1 where there are any
    Diff(DiffArgs),
    /// Put many reports together as a matrix, board by policy
    Merge(MergeArgs),
}

/// Arguments of `report diff`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n\
                        \x20 cargo xtask report diff target/before target/report\n\
                        \x20 cargo xtask report diff a/report.json b/report.json --json")]
pub struct DiffArgs {
    /// The earlier report: its folder, or its report.json
    #[arg(value_name = "A")]
    pub before: PathBuf,
    /// The later one
    #[arg(value_name = "B")]
    pub after: PathBuf,
    /// The differences as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `report merge`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n\
                        \x20 cargo xtask report merge lab/one lab/two --report target/fleet")]
pub struct MergeArgs {
    /// Folders of reports, or their report.json
    #[arg(value_name = "DIR", required = true)]
    pub reports: Vec<PathBuf>,
    /// Where fleet.html and fleet.json go
    #[arg(long, value_name = "DIR", default_value = "target/fleet")]
    pub report: PathBuf,
}

/// Arguments of `iort`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n\
                        \x20 cargo xtask iort /sys/firmware/acpi/tables\n\
                        \x20 cargo xtask iort acpidump.txt --resolve 0000:01:00.0\n\
                        \x20 cargo xtask iort IORT.aml --svg > topology.svg\n\n\
                        Exit status: 0 no error found, 1 errors found, 2 no IORT.")]
pub struct IortArgs {
    /// A raw table, the text of acpidump, or a folder of tables (of acpidump -b, or /sys/firmware/acpi/tables)
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Where the IDs of this PCI function go, as in 0000:01:00.0 (repeatable)
    #[arg(long, value_name = "FUNCTION", value_parser = function)]
    pub resolve: Vec<Bdf>,
    /// Where an input ID of a node goes, by the node's number, as in 3:0x100 (repeatable)
    #[arg(long, value_name = "NODE:ID", value_parser = NodeInput::parse)]
    pub input: Vec<NodeInput>,
    /// One JSON object for each table, on a line
    #[arg(long, group = "form")]
    pub json: bool,
    /// The topology as a graph for Graphviz
    #[arg(long, group = "form")]
    pub dot: bool,
    /// The topology as a picture
    #[arg(long, group = "form")]
    pub svg: bool,
}

/// Arguments of `boards`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n\
                        \x20 cargo xtask boards\n\
                        \x20 cargo xtask boards check\n\
                        \x20 cargo xtask boards check ./rack-7.toml\n\
                        \x20 cargo xtask boards new acme/blade --from acpidump.txt")]
pub struct BoardsArgs {
    /// What to do; without it the boards are listed
    #[command(subcommand)]
    pub command: Option<BoardsCommand>,
}

/// What else than a list `boards` does.
#[derive(Clone, Debug, Subcommand)]
pub enum BoardsCommand {
    /// Say every mistake in board files, with line and what would be right
    Check {
        /// A board's name, or a file; without any, all boards
        #[arg(value_name = "BOARD", add = ArgValueCandidates::new(values::boards))]
        boards: Vec<String>,
    },
    /// Begin a board's file from the tables of its firmware
    New(NewBoardArgs),
}

/// Arguments of `boards new`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n\
                        \x20 cargo xtask boards new acme/blade --from acpidump.txt --to board-configs/acme/blade.toml\n\
                        \x20 cargo xtask boards new acme/blade --from /sys/firmware/fdt")]
pub struct NewBoardArgs {
    /// Its name: lower-case letters, digits and `-`, after the folder of its vendor, as in ampere/altra
    #[arg(value_name = "NAME", value_parser = board_name)]
    pub name: String,
    /// The text of acpidump, a folder of tables (of acpidump -b, or /sys/firmware/acpi/tables), or a devicetree blob
    /// (/sys/firmware/fdt)
    #[arg(long, value_name = "FILE")]
    pub from: PathBuf,
    /// Where it goes, and nothing is overwritten; without it to standard output
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// Take tables with errors in them, too; the errors become comments
    #[arg(long)]
    pub despite_errors: bool,
}

fn board_name(text: &str) -> Result<String, String> {
    let wrong = "want lower-case letters, digits and `-`, with one `/` after the vendor, as in ampere/altra";
    if board::is_name(text) { Ok(text.to_owned()) } else { Err(wrong.into()) }
}

fn function(text: &str) -> Result<Bdf, String> {
    Bdf::parse(text).ok_or_else(|| "want SEGMENT:BUS:DEVICE.FUNCTION, as in 0000:01:00.0".into())
}

/// Arguments of `doctor`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "Examples:\n\
                        \x20 cargo xtask doctor")]
pub struct DoctorArgs {}

/// Arguments of `dist`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n\
                        \x20 cargo xtask dist\n\
                        \x20 cargo xtask dist --out /tmp/release --check")]
pub struct DistArgs {
    /// Where inflight-VERSION and inflight-VERSION.tar go; what is there by these names is replaced
    #[arg(long, value_name = "DIR", default_value = "target/dist")]
    pub out: PathBuf,
    /// Build the images once more, from a copy of the checkout in another folder and for another user, and compare them
    #[arg(long)]
    pub check: bool,
}

/// Arguments of `completions`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "The script asks the tool for boards and scenarios as they are, and builds nothing.\n\
                        It goes into a file that the shell loads when it starts:\n\
                        \x20 mkdir -p ~/.local/share/inflight\n\
                        \x20 cargo xtask completions bash > ~/.local/share/inflight/cargo-xtask.bash\n\
                        \x20 echo 'source ~/.local/share/inflight/cargo-xtask.bash' >> ~/.bashrc\n\
                        \x20 cargo xtask completions fish > ~/.config/fish/conf.d/cargo-xtask.fish")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,
    /// What the script asks for: the number of the word under the cursor, and all words
    #[arg(long, hide = true, value_name = "INDEX")]
    pub at: Option<usize>,
    /// The words, from `xtask` on
    #[arg(last = true, hide = true, value_name = "WORDS")]
    pub words: Vec<OsString>,
}

/// Arguments of `ci`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "Examples:\n\
                        \x20 cargo xtask ci --yes                                     # nobody is asked anything")]
pub struct CiArgs {
    /// What to install, and whether to ask
    #[command(flatten)]
    pub install: InstallArgs,
}
