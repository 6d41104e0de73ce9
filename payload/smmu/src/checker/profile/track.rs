//! One reference sequence, followed as far as it goes.

use super::Departure;
use super::steps::{ACKNOWLEDGED, Step, Value};
use crate::checker::command::{is_cfgi_all, name as command_name, opcode_of};
use crate::checker::found::Found;
use crate::checker::guards;
use crate::checker::queue::Sent;
use crate::log::Entry;
use crate::spec::command::opcode;
use crate::spec::registers as reg;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What was read since the last write.
#[derive(Clone, Debug)]
pub(super) struct Reads {
    pub(super) seen: BTreeSet<u32>,
    pub(super) gerror: u32,
    pub(super) gerrorn: u32,
}

impl Reads {
    pub(super) fn take(&mut self, offset: u32, value: u32) {
        // Registers of interest lie in page 0; no log makes the set large.
        if offset < 0x200 {
            self.seen.insert(offset);
        }
        match offset {
            reg::GERROR => self.gerror = value,
            reg::GERRORN => self.gerrorn = value,
            _ => {}
        }
    }

    const fn active(&self) -> u32 {
        (self.gerror ^ self.gerrorn) & ACKNOWLEDGED
    }
}

/// A sequence and how far it is followed.
#[derive(Clone, Debug)]
pub(super) struct Track {
    steps: Vec<Step>,
    next: usize,
    /// Steps that were seen.
    pub(super) matched: u32,
    /// Where it was left first.
    pub(super) left: Option<Departure>,
    /// The awaited acknowledge was polled in vain.
    has_polled: bool,
    has_msi: bool,
    has_written: bool,
}

impl Track {
    pub(super) fn new(steps: Vec<Step>, found: &Found) -> Self {
        let has_msi = found.ids().idr0.msi();
        Self { steps, next: 0, matched: 0, left: None, has_polled: false, has_msi, has_written: false }
    }

    /// All steps were seen or passed over.
    pub(super) fn is_complete(&self) -> bool {
        self.next >= self.steps.len()
    }

    /// Nothing was written yet.
    pub(super) const fn is_first(&self) -> bool {
        !self.has_written
    }

    fn step(&self) -> Option<Step> {
        self.steps.get(self.next).copied()
    }

    const fn advance(&mut self) {
        (self.next, self.matched, self.has_polled) = (self.next + 1, self.matched + 1, false);
    }

    /// Notes the first departure.
    pub(super) fn leave(&mut self, at: u64, expected: impl Into<String>, found: impl Into<String>) {
        if self.left.is_none() {
            self.left = Some(Departure { at, expected: expected.into(), found: found.into() });
        }
    }

    pub(super) fn read(&mut self, offset: u32, value: u32, count: u32, is_drained: bool) {
        let is_met = match self.step() {
            Some(Step::Acked { register, mask, value: wanted, .. }) if register == offset => value & mask == wanted,
            Some(Step::Consumed) if offset == reg::CMDQ_CONS => is_drained,
            _ => return,
        };
        if is_met {
            self.advance();
        } else {
            self.has_polled |= count > 1;
        }
    }

    /// Passes over what may be missing before a write of `offset`.
    fn pass_over(&mut self, offset: u32, reads: &Reads) {
        while let Some(step) = self.step() {
            let is_first_config = step == Step::Config(reg::GERROR_IRQ_CFG0);
            match step {
                // A result that the reference kernel passes over, after it has waited.
                Step::Acked { must: false, .. } | Step::Consumed if self.has_polled => self.has_polled = false,
                Step::Errors if offset != reg::GERRORN && reads.active() == 0 && has_errors(reads) => self.matched += 1,
                Step::Config(_) if is_first_config && offset == reg::IRQ_CTRL => {
                    while matches!(self.step(), Some(Step::Config(_))) {
                        self.next += 1;
                    }
                    continue;
                }
                _ => return,
            }
            self.next += 1;
        }
    }

    pub(super) fn write(&mut self, index: u64, offset: u32, value: u64, reads: &Reads) {
        if self.is_complete() {
            return;
        }
        self.has_written = true;
        self.pass_over(offset, reads);
        let fits = |step: &Step| fits(step, offset, value, reads);
        match self.step() {
            Some(step) if fits(&step) => {
                if let Step::Write(_, _, needed) = step
                    && let Some(missing) = needed.iter().find(|register| !reads.seen.contains(register))
                {
                    let what = format!("a read of {} before it", reg::name(*missing));
                    self.leave(index, what, format!("{} written", reg::name(offset)));
                }
                self.advance();
            }
            _ if self.has_msi && is_message(offset) => {}
            step => self.depart(index, step, format!("{} written {value:#x}", guards::name(offset)), fits),
        }
    }

    pub(super) fn commands(&mut self, index: u64, commands: &[Sent], is_known: bool) {
        if self.is_complete() || commands.is_empty() {
            return;
        }
        self.has_written = true;
        // A result that the reference kernel passes over, after it has waited.
        if self.step() == Some(Step::Consumed) && self.has_polled {
            self.next += 1;
            self.has_polled = false;
        }
        let codes: Vec<u8> = commands.iter().map(|sent| opcode_of(sent.command)).collect();
        let fits = |step: &Step| match step {
            Step::Command(opcode::CFGI_ALL)
                if is_known && !commands.iter().take(1).all(|sent| is_cfgi_all(sent.command)) =>
            {
                false
            }
            Step::Command(code) => !is_known || codes == [*code, opcode::SYNC],
            _ => false,
        };
        match self.step() {
            Some(step) if fits(&step) => self.advance(),
            step => {
                let names: Vec<&str> = codes.iter().map(|code| command_name(*code)).collect();
                self.depart(index, step, format!("commands {}", names.join(", ")), fits);
            }
        }
    }

    /// Something else came. Goes on behind the next step that fits, if one does.
    fn depart(&mut self, index: u64, step: Option<Step>, found: String, fits: impl Fn(&Step) -> bool) {
        self.leave(index, step.map_or_else(|| "nothing".to_string(), |step| words(&step)), found);
        let rest = self.steps.get(self.next..).unwrap_or(&[]);
        if let Some(ahead) = rest.iter().position(fits) {
            self.next += ahead;
            self.advance();
        }
    }

    /// A structure of a table that is in force, or to be, is stored where none is due.
    pub(super) fn table_store(&mut self, index: u64, entry: &Entry) {
        if !self.is_complete() && self.left.is_none() {
            self.leave(index, "no store to a table", format!("{} at {:#x} stored", entry.name(), entry.address));
        }
    }

    /// The next step, in words.
    pub(super) fn due(&self) -> Option<String> {
        self.step().as_ref().map(words)
    }

    /// The log ends.
    pub(super) fn end(&mut self, entries: u64) {
        // A result that nobody waited for is missing all the same.
        if let Some(step) = self.step() {
            let is_given_up = self.has_polled && self.next + 1 == self.steps.len() && !is_must(&step);
            if !is_given_up {
                self.leave(entries, words(&step), "the end of the log");
            }
        }
    }
}

const fn is_must(step: &Step) -> bool {
    matches!(step, Step::Acked { must: true, .. })
}

fn has_errors(reads: &Reads) -> bool {
    reads.seen.contains(&reg::GERROR) && reads.seen.contains(&reg::GERRORN)
}

/// One of the interrupt configuration registers.
const fn is_message(offset: u32) -> bool {
    matches!(offset, reg::GERROR_IRQ_CFG0..=0x74 | reg::EVENTQ_IRQ_CFG0..=0xBC | reg::PRIQ_IRQ_CFG0..=0xDC)
}

fn fits(step: &Step, offset: u32, value: u64, reads: &Reads) -> bool {
    match step {
        Step::Write(register, wanted, _) => {
            let is_value = match wanted {
                Value::Is(wanted) => value == *wanted,
                Value::Either(one, other) => value == *one || value == *other,
                Value::Any => true,
            };
            *register == offset && is_value
        }
        Step::Config(register) => *register == offset && value == 0,
        Step::Errors => {
            let is_whole = reads.active() != 0 && value == u64::from(reads.gerror);
            offset == reg::GERRORN && is_whole && has_errors(reads)
        }
        _ => false,
    }
}

/// A step in words.
fn words(step: &Step) -> String {
    match step {
        Step::Write(register, Value::Is(value), _) => format!("{} written {value:#x}", reg::name(*register)),
        Step::Write(register, ..) => format!("{} written", reg::name(*register)),
        Step::Acked { register, mask, value, .. } => {
            format!("{} read as {value:#x} under {mask:#x}", reg::name(*register))
        }
        Step::Errors => "GERROR and GERRORN read, and active errors acknowledged".to_string(),
        Step::Config(register) => format!("{} written 0", reg::name(*register)),
        Step::Command(code) => format!("{} and SYNC", command_name(*code)),
        Step::Consumed => "CMDQ_CONS polled until the commands are consumed".to_string(),
    }
}
