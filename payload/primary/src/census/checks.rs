//! Checks of one census, sent and counted.

use arch::console;
use wire::{Record, record::Verdict};

/// The checks of one cycle.
pub(super) struct Checks {
    pub(super) run: u32,
    pub(super) cycle: u32,
    pub(super) checks: u32,
    pub(super) failed: u32,
}

impl Checks {
    pub(super) fn pass(&mut self, id: &str, source: &str) {
        self.say(id, Verdict::Pass, "", source);
    }

    pub(super) fn fail(&mut self, id: &str, reason: &str, source: &str) {
        self.say(id, Verdict::Fail, reason, source);
    }

    pub(super) fn not_covered(&mut self, id: &str, reason: &str, source: &str) {
        self.say(id, Verdict::NotCovered, reason, source);
    }

    fn say(&mut self, id: &str, verdict: Verdict, reason: &str, source: &str) {
        let (run, cycle, expected) = (self.run, self.cycle, Verdict::Pass);
        self.checks += 1;
        self.failed += u32::from(verdict != expected);
        console::record(&Record::Check { run, cycle, id, verdict, expected, must_run: true, reason, source });
    }
}
