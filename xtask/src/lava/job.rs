//! A LAVA job: what of a board, its files and its options stands in it.

use board::{Board, Qemu};
use minijinja::context;
use minijinja::value::Serde;
use serde::Serialize;

use super::Way;
use crate::exit::usage;
use crate::run::Options;
use crate::template;

/// Longest name of a job (`lava_common/schemas/__init__.py`).
const LONGEST_NAME: usize = 200;
/// Letters of `bootargs` that U-Boot takes in a line, as in `flash`.
const TYPED: usize = 128;
/// LAVA's device type `qemu` adds a network card to each machine. The payload leaves it alone: its DMA passes the SMMU by. Not every
/// worker has its option ROM.
const FOREIGN_CARD: &str = "-global virtio-net-pci.romfile=";

/// A file that LAVA brings to its worker.
#[derive(Clone, Debug, Serialize)]
pub struct File {
    /// Its name in the job, by the way's own word.
    pub label: &'static str,
    pub url: String,
    /// Of what was built; LAVA compares it.
    pub sha256: Option<String>,
    /// More keys and their values.
    pub more: Vec<(&'static str, String)>,
}

/// What is rendered.
#[derive(Debug)]
pub struct Job<'a> {
    pub board: &'a Board,
    pub way: Way,
    pub device_type: &'a str,
    pub options: &'a Options,
    pub files: Vec<File>,
    /// Longer than the board's own limit, for a run that goes on by time.
    pub seconds: u64,
}

#[derive(Serialize)]
struct Deploy<'a> {
    to: &'static str,
    /// Where files have names of the lab's, the key above them.
    label: Option<&'static str>,
    files: &'a [File],
}

#[derive(Serialize)]
struct Boot {
    method: &'static str,
    commands: Vec<String>,
}

#[derive(Serialize)]
struct Suite {
    name: String,
}

#[derive(Serialize)]
struct Machine<'a> {
    machine: &'a str,
    cpu: &'a str,
    memory: &'a str,
    options: Vec<String>,
}

impl Job<'_> {
    /// The job's text.
    pub fn text(&self) -> anyhow::Result<String> {
        let Self { board, .. } = self;
        let scenarios = self.options.request.scenarios.join(",");
        let name: String = format!("inflight {} {scenarios}", board.name).chars().take(LONGEST_NAME).collect();
        let suites = self.suites()?;
        let (to, label) = match self.way {
            Way::Qemu => ("tmpfs", Some("images")),
            Way::Flasher => ("flasher", Some("images")),
            Way::Grub | Way::Uboot => ("tftp", None),
        };
        let deploy = Deploy { to, label, files: &self.files };
        let machine = board.qemu.as_ref().filter(|_| self.way == Way::Qemu).map(machine);
        let values = context! {
            name,
            board => &board.name,
            device_type => self.device_type,
            scenarios,
            minutes => self.seconds.div_ceil(60),
            end => wire::END_LINE.trim_end(),
            deploy => Serde(deploy),
            boot => Serde(self.boot()),
            machine => Serde(machine),
            suites => Serde(suites),
        };
        template::render(include_str!("job.yaml.jinja"), values)
    }

    /// A monitor for each scenario, in their order. LAVA tells them apart by name.
    fn suites(&self) -> anyhow::Result<Vec<Suite>> {
        let mut suites: Vec<Suite> = Vec::new();
        for scenario in &self.options.request.scenarios {
            // As the payload names it.
            let name = scenario.replace(['+', '@'], "_");
            if suites.iter().any(|known| known.name == name) {
                return Err(usage(format!("--scenario {scenario}: twice in one job, whose results go by their names")));
            }
            suites.push(Suite { name });
        }
        Ok(suites)
    }

    fn boot(&self) -> Boot {
        let options = &self.options.text;
        match self.way {
            Way::Qemu => Boot { method: "qemu", commands: Vec::new() },
            // Firmware starts the payload by itself.
            Way::Flasher => Boot { method: "minimal", commands: Vec::new() },
            // What follows the file are its load options.
            Way::Grub => Boot {
                method: "grub",
                commands: vec![format!("chainloader (tftp,{{SERVER_IP}})/{{KERNEL}} {options}"), "boot".into()],
            },
            Way::Uboot => Boot { method: "u-boot", commands: by_uboot(options) },
        }
    }
}

fn by_uboot(options: &str) -> Vec<String> {
    let letters: Vec<char> = options.chars().collect();
    let parts = letters.chunks(TYPED).map(|part| part.iter().collect::<String>());
    let mut commands = vec!["setenv autoload no".into(), "dhcp".into(), "setenv serverip {SERVER_IP}".into()];
    commands.push("setenv bootargs".into());
    commands.extend(parts.map(|part| format!("setenv bootargs \"${{bootargs}}{part}\"")));
    commands.push("tftpboot ${kernel_addr_r} {KERNEL}".into());
    commands.push("bootefi ${kernel_addr_r}:${filesize}".into());
    commands
}

/// The machine of an emulated board, by the words of the device type `qemu`.
fn machine(qemu: &Qemu) -> Machine<'_> {
    let firmware = qemu.firmware.iter().find(|path| path.is_file()).or(qemu.firmware.first());
    let own = [
        ("-audiodev", &qemu.audiodevs),
        ("-netdev", &qemu.netdevs),
        ("-drive", &qemu.drives),
        ("-device", &qemu.devices),
    ];
    let own = own.iter().flat_map(|(option, values)| values.iter().map(move |value| format!("{option} {value}")));
    let first = [format!("-smp {}", qemu.smp), "-no-reboot".into(), FOREIGN_CARD.into()];
    let firmware = firmware.map(|path| format!("-bios {}", path.display()));
    let options = first.into_iter().chain(firmware).chain(own).collect();
    Machine { machine: &qemu.machine, cpu: &qemu.cpu, memory: &qemu.memory, options }
}
