//! Several cycles into one run.

use super::collect::{Cycle, RawRun};
use super::model::*;

/// Adds an event to those of the same kind, stream, page and direction.
pub fn event(events: &mut Vec<Event>, event: Event) {
    let key = |e: &Event| (e.smmu, e.id, e.stream_id, e.input_address, e.read);
    match events.iter_mut().find(|known| key(known) == key(&event)) {
        Some(known) => known.count = known.count.saturating_add(event.count),
        None => events.push(event),
    }
}

/// Counts of a cycle's streams, however it was sent.
pub fn counts(cycle: &Cycle) -> Vec<CycleStream> {
    if cycle.streams.is_empty() {
        return cycle.short.clone();
    }
    cycle.streams.iter().map(|stream| CycleStream { bdf: stream.bdf.clone(), phases: stream.phases }).collect()
}

/// The run's streams: described by the first cycle that was sent whole, counted over all, with the longest gap.
pub fn streams(run: &RawRun) -> Vec<Stream> {
    let mut streams: Vec<Stream> = Vec::new();
    for cycle in run.cycles.values() {
        for stream in &cycle.streams {
            match streams.iter_mut().find(|known| known.bdf == stream.bdf) {
                Some(known) => known.gap_ticks = known.gap_ticks.zip(stream.gap_ticks).map(|(a, b)| a.max(b)),
                None => streams.push(stream.clone()),
            }
        }
    }
    for stream in &mut streams {
        let of_stream = |cycle: &Cycle| counts(cycle).into_iter().filter(|c| c.bdf == stream.bdf).collect::<Vec<_>>();
        let all = run.cycles.values().flat_map(of_stream).map(|count| count.phases);
        stream.phases = all.reduce(Phases::plus).unwrap_or(stream.phases);
    }
    streams
}

/// The run's checks: of each the first that is not as expected, else the first.
pub fn checks(run: &RawRun) -> Vec<Check> {
    let mut checks: Vec<Check> = Vec::new();
    run.cycles.values().flat_map(|cycle| &cycle.checks).for_each(|one| check(&mut checks, one));
    checks
}

/// Adds a check to those of earlier cycles.
pub fn check(checks: &mut Vec<Check>, check: &Check) {
    match checks.iter_mut().find(|known| known.id == check.id) {
        Some(known) if known.is_as_expected() && !check.is_as_expected() => *known = check.clone(),
        Some(_) => {}
        None => checks.push(check.clone()),
    }
}

/// Lines of a run of very many cycles: the first ones, and each that did not pass.
pub fn thinned(mut lines: Vec<CycleLine>) -> Vec<CycleLine> {
    const MOST: usize = 2_000;
    if lines.len() > MOST {
        let mut number = 0;
        lines.retain(|line| {
            number += 1;
            number <= MOST || line.outcome != Outcome::Pass
        });
    }
    lines
}

/// The run's events, of all cycles.
pub fn events(run: &RawRun) -> Vec<Event> {
    let mut events = Vec::new();
    for one in run.cycles.values().flat_map(|cycle| &cycle.events) {
        event(&mut events, one.clone());
    }
    events
}

/// The access log with the step that each entry belongs to, and what a witness knows of it.
pub fn access_log(cycle: &Cycle) -> Vec<Access> {
    let step_of = |index: u32| {
        cycle.steps.iter().filter(|(first, _)| *first <= index).max_by_key(|(first, _)| *first).map(|(_, name)| name)
    };
    let foreign_of = |index: u32| cycle.kernel.as_ref()?.foreign.get(&index).cloned();
    let with_step = |access: &Access| Access {
        step: step_of(access.index).cloned(),
        foreign: foreign_of(access.index),
        ..access.clone()
    };
    cycle.access_log.iter().map(with_step).collect()
}
