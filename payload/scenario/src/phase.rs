//! Phases: what each stream moved between the cuts.

use handover::oracle::Counts;
use wire::record::Phase;

#[cfg(test)]
mod tests;

/// A stream's running totals at the cuts, which are the same instants for all streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cuts {
    /// When it was armed.
    pub armed: Counts,
    /// At the crash.
    pub crash: Counts,
    /// At the takeover's last acknowledged access.
    pub takeover: Counts,
    /// At the end of the watch.
    pub end: Counts,
    /// Samples so far that found a ring used up: at the crash, the takeover and the end.
    pub dry: [u64; 3],
    /// Signs of refusal so far, at the same cuts; of a device that counts its attempts there are none.
    pub refusals: [u64; 3],
}

/// One phase, and whether its counts can be true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// As in the report; what would be negative is 0.
    pub phase: Phase,
    /// A total ran backwards, or more arrived than was attempted.
    pub is_inconsistent: bool,
    /// A ring was used up: for a part of the phase nothing could be attempted.
    pub is_dry: bool,
    /// Signs that DMA was refused, where attempts are not counted: more than none or none, not a count.
    pub refusals: u64,
}

impl Delta {
    /// What moved between two samples. `has_attempts`: the device has an attempt count that avoids the SMMU.
    #[must_use]
    pub fn between(from: &Counts, to: &Counts, has_attempts: bool) -> Self {
        let delivered = to.delivered.checked_sub(from.delivered);
        let mis_steered = to.mis_steered.checked_sub(from.mis_steered);
        let attempted = to.attempted.checked_sub(from.attempted);
        let blocked = attempted
            .zip(delivered)
            .zip(mis_steered)
            .and_then(|((all, good), stray)| all.checked_sub(good)?.checked_sub(stray));
        let moved_backwards = delivered.is_none() || mis_steered.is_none();
        Self {
            phase: Phase {
                attempted: has_attempts.then(|| attempted.unwrap_or(0)),
                delivered: delivered.unwrap_or(0),
                blocked: has_attempts.then(|| blocked.unwrap_or(0)),
                mis_steered: mis_steered.unwrap_or(0),
            },
            is_inconsistent: moved_backwards || (has_attempts && blocked.is_none()),
            is_dry: false,
            refusals: 0,
        }
    }

    /// The stream attempted at least one unit; where attempts are not counted, something arrived somewhere or was seen to be
    /// refused.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        match self.phase.attempted {
            Some(attempted) => attempted > 0,
            None => self.phase.delivered > 0 || self.phase.mis_steered > 0 || self.refusals > 0,
        }
    }
}

impl Cuts {
    /// Before, blackout, after.
    #[must_use]
    pub fn phases(&self, has_attempts: bool) -> [Delta; 3] {
        let [crash, takeover, end] = self.dry;
        let dry = [crash != 0, takeover != crash, end != takeover];
        let [crash, takeover, end] = self.refusals;
        let refusals = [crash, takeover.saturating_sub(crash), end.saturating_sub(takeover)];
        let totals = [&self.armed, &self.crash, &self.takeover, &self.end];
        core::array::from_fn(|phase| Delta {
            is_dry: dry[phase],
            refusals: if has_attempts { 0 } else { refusals[phase] },
            ..Delta::between(totals[phase], totals[phase + 1], has_attempts)
        })
    }
}

/// Ticks from the crash to a stream's first delivery after the takeover; `None` if there was none, or if the two ticks are
/// not in this order.
#[must_use]
pub fn gap(crash_tick: u64, first_delivery: Option<u64>) -> Option<u64> {
    first_delivery?.checked_sub(crash_tick)
}
