//! What of a kernel's log is not there, and which checks that leaves open.

use super::seen::Log;
use crate::report::protocol::OVERFLOWED;

/// Why not all that a kernel did is in the log.
#[derive(Clone)]
pub struct Missing {
    /// Anywhere.
    pub anywhere: Option<String>,
    /// Up to the end of its takeover.
    pub in_takeover: Option<String>,
    /// When the log was full: who did what to a stream later nobody knows.
    pub from: Option<u64>,
}

impl Missing {
    /// `lacking`: of any log; `unwatched`: of one whose maker was watched. A log that is full has the takeover where something
    /// came after it.
    pub fn of(lacking: Option<String>, unwatched: Option<String>, log: &Log<'_>) -> Self {
        let is_full = lacking.as_deref() == Some(OVERFLOWED);
        let last = log.all.last().filter(|_| is_full);
        let is_past = |smmu| log.taken_over(smmu).zip(last).is_some_and(|(end, last)| end + 1 < last.at);
        let anywhere = lacking.or_else(|| unwatched.clone());
        let is_whole = is_full && log.smmus().into_iter().all(is_past);
        let in_takeover = if is_whole { unwatched } else { anywhere.clone() };
        Self { anywhere, in_takeover, from: last.map(|seen| seen.entry.ticks) }
    }
}
