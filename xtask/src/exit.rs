//! How a command ends: its exit status, and the one line that a user gets for a mistake.

use std::fmt;
use std::process::ExitCode;

/// Prints a line on standard output. A reader that went away is no fault of the run: its report is written all the same.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// Prints a line on standard error, as [`say!`].
macro_rules! tell {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

pub(crate) use {say, tell};

/// Exit status of every command. The numbers are part of the command line's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// All as expected.
    Pass = 0,
    /// Something is not as expected.
    Fail = 1,
    /// Wrong usage, configuration or input.
    Usage = 2,
    /// No verdict: silence, a reset or a cut log.
    Lost = 3,
    /// The host lacks something.
    Host = 4,
    /// Ctrl-C: what a shell reports of a program that a signal ended.
    Stopped = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// An error with an exit status of its own. One line: what, where, and what would be right.
#[derive(Debug)]
pub struct Problem {
    exit: Exit,
    text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Problem {}

/// An error for wrong usage, configuration or input.
pub fn usage(text: impl Into<String>) -> anyhow::Error {
    Problem { exit: Exit::Usage, text: text.into() }.into()
}

/// An error for something that is not as it ought to be.
pub fn unexpected(text: impl Into<String>) -> anyhow::Error {
    Problem { exit: Exit::Fail, text: text.into() }.into()
}

/// An error for what Ctrl-C ended.
pub fn stopped() -> anyhow::Error {
    Problem { exit: Exit::Stopped, text: "stopped by Ctrl-C".into() }.into()
}

/// An error for something that the host lacks; `text` says how to get it.
pub fn host_lacks(text: impl Into<String>) -> anyhow::Error {
    Problem { exit: Exit::Host, text: text.into() }.into()
}

/// The exit status of an error. Without one of its own it is an input or output that failed.
pub fn status_of(error: &anyhow::Error) -> Exit {
    error.downcast_ref::<Problem>().map_or(Exit::Usage, |problem| problem.exit)
}

/// An error on one line, its causes after colons.
pub fn one_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" | ")
}

/// Replaces the panic message by one line: a user is told what to do, not where a thread was.
pub fn hide_panics() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload_as_str().unwrap_or("no message").replace('\n', " | ");
        let place = info.location().map(|place| format!(" ({}:{})", place.file(), place.line())).unwrap_or_default();
        crate::exit::tell!("error: internal fault, please report it: {text}{place}");
    }));
}

/// An error of the command line parser on one line: what is wrong and what would be right, without the usage text.
pub fn clap_line(text: &str) -> String {
    let mut line = String::new();
    for part in text.lines().map(str::trim) {
        if part.starts_with("Usage:") || part.starts_with("For more information") {
            break;
        }
        if !part.is_empty() {
            let gap = if line.is_empty() { "" } else { "; " };
            line = format!("{line}{gap}{}", part.strip_prefix("tip: ").unwrap_or(part));
        }
    }
    format!("{line} (`--help` shows the options)")
}
