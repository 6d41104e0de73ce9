//! What a cycle's records, and the console between them, told of a kernel.

use std::collections::BTreeMap;

use wire::Record;

use crate::report::model::{Foreign, Hex, Kernel};

/// What a kernel says before it gives up (Linux, kernel/panic.c).
const PANIC: &str = "Kernel panic - ";
/// What it says before a reset that somebody asked for (Linux, kernel/reboot.c, drivers/tty/sysrq.c).
const RESTARTS: [&str; 2] = ["reboot: Restarting system", "sysrq: Resetting"];
/// `Foreign::how` as a number, in words.
const HOW: [&str; 3] = ["trapped", "announced", "found"];
/// The access itself trapped.
pub const TRAPPED: &str = HOW[0];
/// A table was read, when something began to point to it or before the kernel ran.
pub const FOUND: &str = HOW[2];

/// A kernel that was started to be watched.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Its start.
    pub start: Option<Kernel>,
    /// What is known of each access, by its index.
    pub foreign: BTreeMap<u32, Foreign>,
    /// Its end.
    pub end: Option<End>,
    /// The last sign of life.
    pub alive: Option<Alive>,
    /// Where it called firmware first; 0 until it did.
    pub first_call: u64,
    /// The words of its panic.
    pub panic: Option<String>,
    /// It said that it restarts.
    pub restarts: bool,
}

/// As [`Record::Witnessed`].
#[derive(Clone, Debug)]
pub struct End {
    pub ended: u8,
    pub reason: String,
    pub pc: u64,
    pub cpu: u64,
    pub ticks: u64,
    pub cost: u64,
    pub traps: u32,
    pub visits: u32,
    pub forwarded: u32,
    pub partial: bool,
    pub overflowed: bool,
}

/// As [`Record::Watching`].
#[derive(Clone, Copy, Debug)]
pub struct Alive {
    pub ticks: u64,
    pub pc: u64,
    pub cpu: u64,
    pub traps: u32,
    pub accesses: u32,
}

impl Told {
    /// CPUs of which an access, a sign of life or the end was told.
    pub fn cpus(&self) -> usize {
        let made = self.foreign.values().filter(|foreign| foreign.how != FOUND).filter_map(|foreign| foreign.cpu);
        let ends = self.end.as_ref().map(|end| end.cpu).into_iter().chain(self.alive.map(|alive| alive.cpu));
        let mut all: Vec<u64> = made.map(|cpu| cpu.0).chain(ends).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    }

    /// Takes one of its records.
    pub fn take(&mut self, record: &Record<'_>) {
        match *record {
            Record::Kernel { entry, memory_bytes, usable, usable_bytes, efi, e2h, cpu, .. } => {
                self.start = Some(Kernel {
                    way: Some(if efi { "UEFI" } else { "devicetree" }.into()),
                    entry: Some(Hex(entry)),
                    memory_bytes: Some(memory_bytes),
                    usable: Some(Hex(usable)),
                    usable_bytes: Some(usable_bytes),
                    e2h: Some(e2h),
                    cpu: Some(Hex(cpu)),
                    ..Kernel::default()
                });
            }
            Record::Foreign { index, pc, old, how, cost, cpu, .. } => {
                let how = HOW.get(usize::from(how)).map_or_else(|| format!("way {how}").into(), |how| (*how).into());
                let (pc, old, cpu) = (Hex(pc), old.map(Hex), Some(Hex(cpu)));
                self.foreign.insert(index, Foreign { pc, symbol: None, old, how, cost, cpu });
            }
            Record::Witnessed {
                ended,
                reason,
                pc,
                first_call,
                ticks,
                cost,
                traps,
                visits,
                forwarded,
                partial,
                overflowed,
                cpu,
                ..
            } => {
                self.first_call = first_call;
                let reason = reason.to_owned();
                let end = End { ended, reason, pc, cpu, ticks, cost, traps, visits, forwarded, partial, overflowed };
                self.end = Some(end);
            }
            Record::Watching { ticks, pc, traps, accesses, cpu, first_call, .. } => {
                self.first_call = first_call;
                self.alive = Some(Alive { ticks, pc, cpu, traps, accesses });
            }
            _ => {}
        }
    }

    /// Takes a line of the console while the kernel runs.
    pub fn console(&mut self, line: &str) {
        if self.end.is_some() {
            return;
        }
        self.restarts |= RESTARTS.iter().any(|words| line.contains(words));
        if let Some(at) = line.find(PANIC) {
            let printable = |c: &char| !c.is_control();
            self.panic.get_or_insert_with(|| line[at..].chars().filter(printable).take(200).collect());
        }
    }
}
