//! What became of streams, and how long it took: only what is beyond noise.

use super::Change;
use crate::report::model::{Blackout, Run, Stream};
use crate::report::view::milliseconds;

/// A time of one cycle alone has no known noise: an emulator's host makes it twice as long without a cause.
const ONE_CYCLE_FACTOR: f64 = 4.0;
/// Means differ where they are this many standard errors apart, and by this share.
const STANDARD_ERRORS: f64 = 3.0;
const SHARE: f64 = 0.05;

/// Of one scenario in both reports.
pub fn of(old: &Run, new: &Run) -> Vec<Change> {
    let mut changes = Vec::new();
    let name = &new.scenario;
    for stream in &new.streams {
        match old.streams.iter().find(|old| old.bdf == stream.bdf) {
            Some(before) => changes.extend(one_stream(name, (before, old), (stream, new))),
            None => changes.extend(Change::of(format!("{name} {}", stream.bdf), "no live stream", &*stream.endpoint)),
        }
    }
    for stream in &old.streams {
        if !new.streams.iter().any(|new| new.bdf == stream.bdf) {
            changes.extend(Change::of(format!("{name} {}", stream.bdf), &*stream.endpoint, "no live stream"));
        }
    }
    if let (Some(before), Some(after)) = (&old.blackout, &new.blackout)
        && differs(before, after)
    {
        changes.extend(Change::of(format!("{name} blackout without the hold"), words(before), words(after)));
    }
    changes
}

fn one_stream(name: &str, (old, old_run): (&Stream, &Run), (new, new_run): (&Stream, &Run)) -> Vec<Change> {
    let who = format!("{name} {} {}", new.bdf, new.endpoint);
    let (before, after) = (old.phases.since_crash(), new.phases.since_crash());
    let unit = |count: u64| if count == 0 { "none".to_owned() } else { format!("{count} {}", new.unit) };
    let mut changes = Vec::new();
    // How much moved follows from how long one looked; whether anything did is the question.
    let mut count = |what: &str, before: u64, after: u64| {
        if (before == 0) != (after == 0) {
            changes.extend(Change::of(format!("{who}: {what}"), unit(before), unit(after)));
        }
    };
    count("delivered after the takeover", old.phases.after.delivered, new.phases.after.delivered);
    count("mis-steered since the crash", before.mis_steered, after.mis_steered);
    if let (Some(before), Some(after)) = (before.blocked, after.blocked) {
        count("blocked since the crash", before, after);
    }
    let hz = |run: &Run| run.timing.map_or(0, |timing| timing.counter_hz);
    let gap = |stream: &Stream, run: &Run| milliseconds(stream.gap_ticks, hz(run));
    let us = |stream: &Stream, run: &Run| Some(stream.gap_ticks? as f64 / (hz(run) as f64).max(1.0));
    let is_far = match (us(old, old_run), us(new, new_run)) {
        (Some(before), Some(after)) => is_far(before, after),
        (None, None) => false,
        _ => true,
    };
    if is_far {
        changes.extend(Change::of(format!("{who}: gap"), gap(old, old_run), gap(new, new_run)));
    }
    changes
}

fn is_far(before: f64, after: f64) -> bool {
    before.max(after) > ONE_CYCLE_FACTOR * before.min(after)
}

/// Welch's statistic, where both have a deviation.
fn differs(before: &Blackout, after: &Blackout) -> bool {
    let (mean, other) = (before.mean_us, after.mean_us);
    if before.cycles < 2 || after.cycles < 2 {
        return is_far(mean, other);
    }
    let square = |blackout: &Blackout| blackout.deviation_us.powi(2) / blackout.cycles as f64;
    let error = (square(before) + square(after)).sqrt();
    let difference = (mean - other).abs();
    difference > STANDARD_ERRORS * error && difference > SHARE * mean.max(other)
}

fn words(blackout: &Blackout) -> String {
    let Blackout { cycles, mean_us, deviation_us, p99_us, .. } = blackout;
    match cycles {
        1 => format!("{mean_us:.0} us in one cycle"),
        _ => format!("{mean_us:.0} us (deviation {deviation_us:.0}, p99 {p99_us}, {cycles} cycles)"),
    }
}
