//! Bytes and rate, as they go.

use std::time::Instant;

use indicatif::HumanBytes;

use crate::exit::stopped;
use crate::run::{self, Progress};

/// Counts bytes of one phase.
pub struct Meter<'a> {
    progress: &'a Progress,
    what: &'static str,
    total: u64,
    done: u64,
    begin: Instant,
}

impl<'a> Meter<'a> {
    /// A phase of `total` bytes begins.
    pub fn new(progress: &'a Progress, what: &'static str, total: u64) -> Self {
        progress.detail(what);
        Self { progress, what, total, done: 0, begin: Instant::now() }
    }

    /// So many bytes more are through.
    ///
    /// # Errors
    /// Ctrl-C was pressed.
    pub fn add(&mut self, bytes: usize) -> anyhow::Result<()> {
        self.done += bytes as u64;
        let (done, total, rate) = (HumanBytes(self.done), HumanBytes(self.total), HumanBytes(self.rate()));
        self.progress.detail(&format!("{} {done} of {total}, {rate}/s", self.what));
        if run::is_stopped() { Err(stopped()) } else { Ok(()) }
    }

    /// All are through.
    pub fn end(self) {
        let seconds = self.begin.elapsed().as_secs_f64();
        let (done, rate) = (HumanBytes(self.done), HumanBytes(self.rate()));
        self.progress.line(&format!("{} {done} in {seconds:.2} s, {rate}/s", self.what));
    }

    fn rate(&self) -> u64 {
        let micros = self.begin.elapsed().as_micros().max(1);
        u64::try_from(u128::from(self.done) * 1_000_000 / micros).unwrap_or(u64::MAX)
    }
}
