//! What the page and the terminal show beside the model itself: one line for each run, the comparison, the events by rate.

mod timeline;
mod topology;
mod verdict;

use serde::Serialize;

use super::damage::{self, Damaged};
use super::judge;
use super::model::{Report, Run, Stream};
use timeline::Timeline;
use topology::Topology;

/// All tables over more than one run.
#[derive(Debug, Serialize)]
pub struct View {
    pub verdict: String,
    pub topology: Option<Topology>,
    /// Timelines are few enough to be shown from the start.
    pub has_few_timelines: bool,
    pub lines: Vec<Line>,
    pub comparison: Vec<Row>,
    pub damages: Vec<Damaged>,
    pub events: Vec<EventRow>,
    pub runs: Vec<RunView>,
}

/// A run in one line. Streams are counted, not units: frames and bytes have no sum.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    pub scenario: String,
    pub outcome: &'static str,
    pub as_expected: usize,
    pub checks: usize,
    pub streams: usize,
    /// Streams with a delivery after the takeover.
    pub delivered: usize,
    /// Streams of which something was blocked since the crash.
    pub blocked: usize,
    /// Streams of which something was mis-steered since the crash.
    pub mis_steered: usize,
    pub blackout: String,
    pub events: u64,
}

/// A stream under a policy.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    pub scenario: String,
    pub stream: String,
    pub delivered: String,
    pub blocked: String,
    pub mis_steered: u64,
    pub gap: String,
    pub blackout: String,
    pub events: u64,
    pub rate: String,
}

/// Events of one kind, stream, page and direction.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct EventRow {
    pub scenario: String,
    pub event: String,
    pub stream: String,
    pub page: String,
    pub direction: &'static str,
    pub count: u64,
    pub rate: String,
}

/// What a run's section shows of it.
#[derive(Debug, Serialize)]
pub struct RunView {
    /// Checks that are not as expected, in the order of the run's.
    pub unexpected: Vec<bool>,
    /// A check failed, or is not as expected.
    pub has_failures: bool,
    /// Registers that differ, in words.
    pub changes: Vec<String>,
    /// Entries of the access log that prove a violation.
    pub broken: Vec<u64>,
    /// The section is shown from the start.
    pub is_open: bool,
    /// The streams across crash and takeover.
    pub timeline: Option<Timeline>,
    /// The same of each failed cycle.
    pub failed_timelines: Vec<Option<Timeline>>,
}

/// Runs that are few enough to be shown from the start.
const FEW: usize = 2;
/// Lanes of timelines that are.
const FEW_LANES: usize = 24;

impl View {
    /// Of a whole report.
    pub fn of(report: &Report) -> Self {
        // What became of damage has its own table.
        let compared = report.runs.iter().filter(|run| !run.scenario.contains('+'));
        Self {
            verdict: verdict::sentence(report),
            topology: topology::of(report),
            has_few_timelines: report.runs.iter().map(|run| run.streams.len()).sum::<usize>() <= FEW_LANES,
            lines: report.runs.iter().map(Line::of).collect(),
            comparison: compared.flat_map(|run| run.streams.iter().map(|stream| Row::of(run, stream))).collect(),
            damages: report.runs.iter().filter_map(damage::row).collect(),
            events: report.runs.iter().flat_map(events).collect(),
            runs: report.runs.iter().map(|run| RunView::of(run, report.runs.len() <= FEW)).collect(),
        }
    }
}

impl Line {
    /// Of one run.
    pub fn of(run: &Run) -> Self {
        let count = |is: &dyn Fn(&Stream) -> bool| run.streams.iter().filter(|stream| is(stream)).count();
        Self {
            scenario: run.scenario.clone(),
            outcome: run.outcome.word(),
            as_expected: run.checks.iter().filter(|check| check.is_as_expected()).count(),
            checks: run.checks.len(),
            streams: run.streams.len(),
            delivered: count(&|stream| stream.phases.after.delivered > 0),
            blocked: count(&|stream| stream.phases.since_crash().blocked.is_some_and(|blocked| blocked > 0)),
            mis_steered: count(&|stream| stream.phases.since_crash().mis_steered > 0),
            blackout: blackout(run),
            events: run.events.iter().map(|event| event.count).sum(),
        }
    }
}

impl Row {
    /// Of one stream of a run, from the crash on.
    pub fn of(run: &Run, stream: &Stream) -> Self {
        let counts = stream.phases.since_crash();
        let events = run.events.iter().filter(|e| e.stream_id == stream.stream_id).map(|event| event.count).sum();
        let rmr = if stream.rmr { " RMR" } else { "" };
        Self {
            scenario: run.scenario.clone(),
            stream: format!("{} {}{rmr}", stream.bdf, stream.endpoint),
            delivered: format!("{} {}", counts.delivered, stream.unit),
            blocked: counts.blocked.map_or_else(|| "?".into(), |blocked| blocked.to_string()),
            mis_steered: counts.mis_steered,
            gap: milliseconds(stream.gap_ticks, run.timing.map_or(0, |timing| timing.counter_hz)),
            blackout: blackout(run),
            events,
            rate: rate(events, run).map_or_else(String::new, |rate| format!("{rate}/s")),
        }
    }
}

impl RunView {
    fn of(run: &Run, is_one_of_few: bool) -> Self {
        use super::model::{Outcome, Verdict};
        let unexpected: Vec<bool> = run.checks.iter().map(|check| !check.is_as_expected()).collect();
        let (timeline, failed_timelines) = (
            timeline::of_run(run),
            run.failed_cycles.iter().map(|cycle| timeline::of_cycle(cycle, run.witness.is_some())).collect(),
        );
        let has_failures = unexpected.contains(&true) || run.checks.iter().any(|check| check.verdict == Verdict::Fail);
        let change = |register: &super::model::Register| {
            let change = super::words::change(&register.name, register.before.0, register.after.0)?;
            Some(format!("SMMU {} {change}", register.smmu))
        };
        let changes = run.registers.iter().filter_map(change).collect();
        let violations = run.protocol.iter().flat_map(|protocol| &protocol.violations);
        let broken = violations.flat_map(|violation| violation.entries.iter().copied()).collect();
        let is_open = is_one_of_few || run.outcome != Outcome::Pass;
        Self { unexpected, has_failures, changes, broken, is_open, timeline, failed_timelines }
    }
}

/// A run's events, most first.
pub fn events(run: &Run) -> Vec<EventRow> {
    let mut events: Vec<&super::model::Event> = run.events.iter().collect();
    events.sort_by_key(|event| std::cmp::Reverse(event.count));
    let row = |event: &super::model::Event| EventRow {
        scenario: run.scenario.clone(),
        event: event.name.clone(),
        stream: event.bdf.clone().unwrap_or_else(|| format!("StreamID {}", event.stream_id)),
        // An event about the stream itself has no address.
        page: if event.input_address.0 == 0 { "none".into() } else { format!("{:#x}", event.input_address.0) },
        direction: if event.input_address.0 == 0 {
            "not told"
        } else if event.read {
            "read"
        } else {
            "write"
        },
        count: event.count,
        rate: rate(event.count, run).map_or_else(String::new, |rate| format!("{rate}/s")),
    };
    events.into_iter().map(row).collect()
}

/// Events in a second of the watch, where the queue was on for it.
pub fn rate(events: u64, run: &Run) -> Option<u128> {
    let policy = scenario::Scenario::parse(&run.scenario).ok()?;
    let is_recorded = policy.policy_expectation().records_events && events > 0 && run.cycles == 1;
    let timing = run.timing.filter(|timing| is_recorded && timing.watch > 0)?;
    Some(u128::from(events) * u128::from(timing.counter_hz) / u128::from(timing.watch))
}

/// Crash to the end of the takeover, of the first cycle that was sent whole; it contains the hold. A census has none.
pub fn blackout(run: &Run) -> String {
    if judge::is_census(&run.scenario) {
        return "none".into();
    }
    let Some(timing) = run.timing else { return "not known".into() };
    let ticks = [timing.crash_to_kdump, timing.hold, timing.takeover].into_iter().fold(0, u64::saturating_add);
    milliseconds(Some(ticks), timing.counter_hz)
}

/// Milliseconds, where the counter's frequency is known.
pub fn milliseconds(ticks: Option<u64>, counter_hz: u64) -> String {
    match ticks {
        None => "never".into(),
        Some(ticks) if counter_hz == 0 => format!("{ticks} ticks"),
        Some(ticks) => {
            let us = u128::from(ticks) * 1_000_000 / u128::from(counter_hz);
            format!("{}.{:02} ms", us / 1000, us % 1000 / 10)
        }
    }
}

#[cfg(test)]
mod tests;
