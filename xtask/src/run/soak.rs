//! Runs that go on for a time: a line now and then, and an end by Ctrl-C that loses nothing.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use wire::Record;
use wire::record::Outcome;

use crate::exit::Exit;

/// Ctrl-C was pressed.
static IS_STOPPED: AtomicBool = AtomicBool::new(false);
/// A line is written this often, and at least five of them.
const EVERY: Duration = Duration::from_secs(60);

/// How long a run goes on, as `90s`, `30m`, `12h` or `3d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
        const LONGEST: u64 = 30 * 86_400;
        let right = || format!("`{text}` is no time; write `90s`, `30m`, `12h` or `3d`, at most 30 days");
        let unit =
            text.chars().last().and_then(|last| UNITS.iter().find(|(unit, _)| *unit == last)).ok_or_else(right)?;
        let digits = &text[..text.len() - 1];
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let count = if is_number { digits.parse::<u64>().ok() } else { None };
        let seconds = count.and_then(|count| count.checked_mul(unit.1)).filter(|it| (1..=LONGEST).contains(it));
        seconds.map(|seconds| Self(Duration::from_secs(seconds))).ok_or_else(right)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0.as_secs())
    }
}

/// Has Ctrl-C end the run instead of this program; the second time it ends the program.
pub fn listen() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        if IS_STOPPED.swap(true, Ordering::SeqCst) {
            std::process::exit(Exit::Stopped as i32);
        }
    })
    .context("cannot listen for Ctrl-C")
}

/// Ctrl-C was pressed since [`listen`].
pub fn is_stopped() -> bool {
    IS_STOPPED.load(Ordering::SeqCst)
}

/// What a run that goes on has told so far.
#[derive(Debug)]
pub struct Soak {
    start: Instant,
    every: Duration,
    next: Instant,
    scenario: String,
    cycles: u64,
    failed: u64,
}

impl Soak {
    /// Of a run that begins at `start` and takes `span`.
    pub fn new(start: Instant, span: Span) -> Self {
        let every = EVERY.min(span.0 / 5).max(Duration::from_secs(1));
        Self { start, every, next: start + every, scenario: "firmware".into(), cycles: 0, failed: 0 }
    }

    /// Takes a record.
    pub fn take(&mut self, record: &Record<'_>) {
        match record {
            Record::RunBegin { scenario, .. } => self.scenario = (*scenario).to_owned(),
            Record::Cycle { outcome, .. } => {
                self.cycles += 1;
                self.failed += u64::from(*outcome != Outcome::Pass);
            }
            _ => {}
        }
    }

    /// How long until the next line.
    pub fn wait(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    /// The line that is due.
    pub fn line(&mut self, now: Instant) -> Option<String> {
        if now < self.next {
            return None;
        }
        self.next = now + self.every;
        let Self { scenario, cycles, failed, .. } = self;
        let seconds = now.duration_since(self.start).as_secs();
        Some(format!("{:3}:{:02} min: {cycles} cycles, {failed} failed, now {scenario}", seconds / 60, seconds % 60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let seconds = |text: &str| text.parse::<Span>().map(|span| span.0.as_secs());
        assert_eq!(["90s", "30m", "12h", "3d"].map(seconds), [Ok(90), Ok(1800), Ok(43_200), Ok(259_200)]);
        for wrong in ["", "m", "30", "0s", "-1m", "1.5h", "31d", "99999999999999999999d", "5 m", "5µ", "+5m"] {
            let error = seconds(wrong).unwrap_err();
            assert!(error.contains("write `90s`"), "{error}");
        }
    }

    #[test]
    fn a_line_comes_when_it_is_due_and_counts() {
        let start = Instant::now();
        let mut soak = Soak::new(start, Span(Duration::from_secs(1800)));
        soak.take(&Record::RunBegin { run: 0, scenario: "adopt", cycles: 0, plant: "" });
        for outcome in [Outcome::Pass, Outcome::Fail, Outcome::Pass] {
            soak.take(&Record::Cycle { run: 0, cycle: 0, outcome, checks: 1, failed: 0 });
        }
        assert_eq!(soak.line(start + Duration::from_secs(59)), None);
        let line = soak.line(start + Duration::from_secs(61)).unwrap();
        assert_eq!(line, "  1:01 min: 3 cycles, 1 failed, now adopt");
        assert_eq!(soak.line(start + Duration::from_secs(62)), None);
        let mut short = Soak::new(start, Span(Duration::from_secs(30)));
        assert_eq!(short.wait(start), Duration::from_secs(6));
        let line = short.line(start + Duration::from_secs(6)).unwrap();
        assert_eq!(line, "  0:06 min: 0 cycles, 0 failed, now firmware");
    }
}
