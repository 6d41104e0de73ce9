//! What a person sees while a command works: phase and time on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Shows phases.
pub enum Progress {
    /// A spinner.
    Terminal(ProgressBar),
    /// A line for each phase.
    Lines {
        /// When the command began.
        start: Instant,
    },
    /// Nothing.
    Silent,
}

impl Progress {
    /// Fits what standard error is.
    pub fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines { start: Instant::now() };
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed:>4} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self::Terminal(bar)
    }

    /// A new phase begins.
    pub fn phase(&self, text: &str) {
        match self {
            Self::Terminal(bar) => bar.set_message(text.to_owned()),
            Self::Lines { start } => crate::exit::tell!("[{:7.2} s] {text}", start.elapsed().as_secs_f64()),
            Self::Silent => {}
        }
    }

    /// A line that stays.
    pub fn line(&self, text: &str) {
        match self {
            Self::Terminal(bar) => bar.println(text),
            Self::Lines { .. } => crate::exit::tell!("{text}"),
            Self::Silent => {}
        }
    }

    /// Something small moves on inside of a phase: for a terminal only.
    pub fn detail(&self, text: &str) {
        if let Self::Terminal(bar) = self {
            bar.set_message(text.to_owned());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Self::Terminal(bar) = self {
            bar.finish_and_clear();
        }
    }
}
