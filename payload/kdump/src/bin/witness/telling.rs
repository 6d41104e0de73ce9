//! What the kernel does is told while it does it: of one that hangs the host knows the last access.
//!
//! Kernel and witness share a console. A line of the kernel's may be half written, so each telling begins with a new one. What is
//! told in the end takes the place of counts that were told before it.

use crate::{counting::Counting, watch::Traps};
use alloc::vec::Vec;
use arch::{console, cpu, timer};
use embedded_io::Write;
use kdump::{observe::Before, tell::Cycle};
use wire::{Record, record::Severity};
use witness::watch::{How, Seen, Witness};

/// What is older than this is told at the next occasion.
const AGE_US: u64 = 20_000;
/// Longest telling between two instructions of the kernel: a slow console must not take the time of its takeover.
const BUDGET_US: u64 = 5_000;
/// What is older than this is told at any trap: the kernel may poll until it is given up.
const LATE_US: u64 = 200_000;
/// Time between two signs of life.
const SIGN_US: u64 = 1_000_000;

/// How far it was told.
pub(crate) struct Telling {
    cycle: Cycle,
    told: usize,
    /// Ticks of the traps that made each entry.
    costs: Vec<u32>,
    /// Counter when the first entry came that is not told yet.
    oldest: u64,
    last_sign: u64,
    /// A takeover was over since streams were told last.
    is_count_due: bool,
}

impl Telling {
    pub(crate) fn new(cycle: Cycle) -> Self {
        Self { cycle, told: 0, costs: Vec::new(), oldest: 0, last_sign: timer::now(), is_count_due: false }
    }

    /// A trap has made entries up to the end of the log, and took `cost` ticks.
    pub(crate) fn add(&mut self, entries: &[Seen], cost: u64) {
        if self.told == self.costs.len() && self.told < entries.len() {
            self.oldest = timer::now();
        }
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        self.costs.resize(entries.len(), cost);
    }

    /// The streams as they are before the kernel runs; its SMMUs' registers likewise: they are judged by.
    pub(crate) fn tell_found(&self, counting: &Counting<'_>, before: &[Before], crash_tick: u64) {
        self.cycle.streams(&counting.streams, crash_tick);
        for old in before {
            self.cycle.registers(&old.registers, &old.registers);
        }
    }

    /// Tells what is old enough, and that the kernel lives.
    pub(crate) fn visit(&mut self, witness: &mut Witness, counting: &Counting<'_>, pc: u64, traps: &Traps) {
        let now = timer::now();
        let is_old = self.told < witness.log().entries().len() && now - self.oldest >= timer::ticks_of_us(AGE_US);
        if is_old || self.is_count_due {
            self.tell_some(witness, counting);
        }
        if now - self.last_sign >= timer::ticks_of_us(SIGN_US) {
            self.last_sign = now;
            let Cycle { run, cycle } = self.cycle;
            let accesses = witness.log().entries().len() as u32;
            begin();
            let (ticks, cpu, first_call, traps) = (now, cpu::affinity(), traps.first_call, traps.all);
            console::record(&Record::Watching { run, cycle, ticks, pc, traps, accesses, cpu, first_call });
            counting.tell(self.cycle);
        }
    }

    /// Whether the kernel made no occasion for so long that any trap is one.
    pub(crate) fn is_late(&self, witness: &Witness) -> bool {
        let now = timer::now();
        let is_untold = self.told < witness.log().entries().len();
        is_untold && now - self.oldest >= timer::ticks_of_us(LATE_US)
            || now - self.last_sign >= timer::ticks_of_us(SIGN_US)
    }

    /// Tells the rest, as far as it goes before `deadline`.
    pub(crate) fn tell(&mut self, witness: &mut Witness, deadline: u64) {
        let Cycle { run, cycle } = self.cycle;
        // What was told must not change.
        witness.close_log();
        let entries = witness.log().entries();
        if self.told < entries.len() {
            begin();
        }
        for (at, seen) in entries.iter().enumerate().skip(self.told) {
            if at > self.told && timer::now() >= deadline {
                break;
            }
            let index = at as u32;
            self.cycle.entry(index, &seen.entry);
            let how = match seen.how {
                How::Trapped => 0,
                How::Announced => 1,
                How::Snapshot => 2,
            };
            let cost = self.costs.get(at).copied().unwrap_or(0);
            let Seen { pc, old, cpu, .. } = *seen;
            console::record(&Record::Foreign { run, cycle, index, pc, old, how, cost, cpu });
            self.told = at + 1;
        }
    }

    /// Tells soon after the takeover, whatever its age; and then the streams, now or at the next occasion.
    pub(crate) fn tell_taken(&mut self, witness: &mut Witness, counting: &Counting<'_>) {
        self.is_count_due = true;
        self.tell_some(witness, counting);
    }

    fn tell_some(&mut self, witness: &mut Witness, counting: &Counting<'_>) {
        let deadline = timer::now() + timer::ticks_of_us(BUDGET_US);
        self.tell(witness, deadline);
        if self.is_count_due && self.told == witness.log().entries().len() && timer::now() < deadline {
            self.is_count_due = false;
            counting.tell(self.cycle);
        }
    }
}

/// A new line.
pub(crate) fn begin() {
    console::with(|writer| {
        // The console never fails.
        let _ = writer.console().write_all(b"\r\n");
    });
}

/// Something that is worth knowing.
pub(crate) fn note(id: &'static str, text: &str) {
    begin();
    console::record(&Record::Finding { severity: Severity::Note, table: "witness", id, offset: None, text });
}
