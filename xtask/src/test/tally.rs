//! Counts what passed and failed, one line each.

use std::time::Duration;

/// What ran so far.
#[derive(Debug, Default)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    pub skipped: u64,
}

impl Tally {
    /// One test or step: its line, and why it failed.
    pub fn add(&mut self, name: &str, result: &Result<(), String>, took: Duration) {
        match result {
            Ok(()) => {
                self.passed += 1;
                println!("{name} ... ok ({:.1} s)", took.as_secs_f64());
            }
            Err(reason) => {
                self.failed += 1;
                println!("{name} ... FAILED ({:.1} s)", took.as_secs_f64());
                for line in reason.lines() {
                    println!("    {line}");
                }
            }
        }
    }

    /// Runs one test or step and counts it.
    pub fn run(&mut self, name: &str, test: impl FnOnce() -> Result<(), String>) {
        let begin = std::time::Instant::now();
        let result = test();
        self.add(name, &result, begin.elapsed());
    }

    /// One that this host cannot run.
    pub fn skip(&mut self, name: &str, reason: &str) {
        self.skipped += 1;
        println!("{name} ... skipped: {reason}");
    }

    /// Nothing ran.
    pub fn is_empty(&self) -> bool {
        self.passed + self.failed + self.skipped == 0
    }

    /// Nothing failed, and something ran: silence is no success.
    pub fn is_good(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }

    /// The last line of every test run.
    pub fn summary(&self) -> String {
        // What was skipped stands before it: whoever reads the last line reads these two numbers.
        let skipped = if self.skipped == 0 { String::new() } else { format!("{} skipped\n", self.skipped) };
        format!("{skipped}{} passed, {} failed", self.passed, self.failed)
    }
}
