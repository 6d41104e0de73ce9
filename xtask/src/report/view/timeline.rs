//! Every stream across crash and takeover, as a picture: a lane for each, time from left to right, one segment between two
//! samples.

use serde::Serialize;

use super::milliseconds;
use crate::report::counts::{Phase, Phases};
use crate::report::model::{Access, CycleStream, FailedCycle, Requester, Run, Stream, Timing};

/// Width and height of a lane in units of its own view box: the page stretches it.
pub const WIDTH: f64 = 1000.0;
pub const HEIGHT: f64 = 20.0;
/// The part before the crash has no time of its own.
const BEFORE: f64 = 70.0;
/// Steps of the axis, times a power of ten; at most so many labels.
const STEPS: [u64; 3] = [1, 2, 5];
const LABELS: u64 = 6;
/// The taker keeps so many samples and no more (`kdump`, `streams.rs`).
const KEPT_SAMPLES: usize = 256;

/// The picture of one cycle.
#[derive(Debug, PartialEq, Serialize)]
pub struct Timeline {
    pub lanes: Vec<Lane>,
    /// Phases from left to right, over all lanes.
    pub phases: Vec<Span>,
    /// Labels of the axis: place in percent of the width, and text.
    pub axis: Vec<(f64, String)>,
}

/// A stream.
#[derive(Debug, PartialEq, Serialize)]
pub struct Lane {
    pub stream: String,
    /// What the lane adds up to from the crash on.
    pub told: String,
    pub segments: Vec<Segment>,
    /// Where the first delivery after the takeover is.
    pub first: Option<f64>,
}

/// What became of the DMA between two samples.
#[derive(Debug, PartialEq, Serialize)]
pub struct Segment {
    /// `delivered`, `blocked`, `mis-steered` or `nothing`.
    pub kind: &'static str,
    pub x: f64,
    pub width: f64,
    pub y: f64,
    pub height: f64,
    pub told: String,
}

/// A phase of the cycle.
#[derive(Debug, PartialEq, Serialize)]
pub struct Span {
    pub name: &'static str,
    pub x: f64,
    pub width: f64,
    pub told: String,
}

/// Running totals of one stream.
#[derive(Clone, Copy, Default)]
struct Totals {
    delivered: u64,
    blocked: u64,
    mis_steered: u64,
}

impl Totals {
    const fn sum(&self) -> u64 {
        self.delivered.saturating_add(self.blocked).saturating_add(self.mis_steered)
    }

    const fn since(&self, before: &Self) -> Self {
        Self {
            delivered: self.delivered.saturating_sub(before.delivered),
            blocked: self.blocked.saturating_sub(before.blocked),
            mis_steered: self.mis_steered.saturating_sub(before.mis_steered),
        }
    }
}

type Sample = (u64, String, u64, Option<u64>, u64);

/// What a cycle told, wherever the report keeps it.
struct Told<'a> {
    samples: &'a [Sample],
    timing: Timing,
    streams: &'a [Stream],
    /// The counts of this cycle alone.
    counts: &'a [CycleStream],
    log: &'a [Access],
    requesters: &'a [Requester],
    /// A kernel took over, and was watched.
    is_watched: bool,
}

/// Of a run's first cycle that was sent whole; `None` where it told no samples or no time.
pub fn of_run(run: &Run) -> Option<Timeline> {
    let counts = run.cycle_lines.first().map_or(&[][..], |line| &line.streams);
    let Run { samples, streams, access_log: log, requesters, .. } = run;
    let is_watched = run.witness.is_some();
    draw(&Told { samples, timing: run.timing?, streams, counts, log, requesters, is_watched })
}

/// Of a cycle that failed.
pub fn of_cycle(cycle: &FailedCycle, is_watched: bool) -> Option<Timeline> {
    let FailedCycle { samples, streams, access_log: log, requesters, .. } = cycle;
    let counts: Vec<CycleStream> =
        streams.iter().map(|stream| CycleStream { bdf: stream.bdf.clone(), phases: stream.phases }).collect();
    draw(&Told { samples, timing: cycle.timing?, streams, counts: &counts, log, requesters, is_watched })
}

fn draw(told: &Told<'_>) -> Option<Timeline> {
    let total = told.timing.counted;
    let crash = crash(told).filter(|_| total > 0)?;
    let scale = Scale { crash, total, hz: told.timing.counter_hz };
    let lanes: Vec<Lane> = told.streams.iter().map(|stream| lane(stream, told, &scale)).collect();
    (!lanes.is_empty()).then(|| Timeline { lanes, phases: phases(told, &scale), axis: axis(&scale) })
}

/// The counter at the crash. No record has it: the last sample is taken at the watch's end, which is so long after it.
/// Where the last ones were not kept, it follows from the first that showed a stream move, which its requester dates.
fn crash(told: &Told<'_>) -> Option<u64> {
    // A witness thins its samples out, and has the last.
    if told.is_watched || told.samples.len() < KEPT_SAMPLES {
        let end = told.samples.iter().map(|sample| sample.0).max()?;
        return end.checked_sub(told.timing.counted);
    }
    let by_stream = |stream: &Stream| {
        let requester = told.requesters.iter().find(|requester| requester.bdf == stream.bdf)?;
        let first_us = [requester.first_dma_us, requester.first_attempt_us].into_iter().flatten().min()?;
        let before = before(stream, told).sum();
        let is_first = |sample: &&Sample| sample.1 == stream.bdf && totals(sample).sum() > before;
        let ticks = u128::from(first_us) * u128::from(told.timing.counter_hz) / 1_000_000;
        told.samples.iter().find(is_first)?.0.checked_sub(u64::try_from(ticks).ok()?)
    };
    told.streams.iter().filter_map(by_stream).min()
}

/// What had moved at the crash, in this cycle.
fn before(stream: &Stream, told: &Told<'_>) -> Totals {
    moved(phases_of(stream, told).before)
}

fn phases_of(stream: &Stream, told: &Told<'_>) -> Phases {
    told.counts.iter().find(|count| count.bdf == stream.bdf).map_or(stream.phases, |count| count.phases)
}

fn totals((_, _, delivered, blocked, mis_steered): &Sample) -> Totals {
    Totals { delivered: *delivered, blocked: blocked.unwrap_or(0), mis_steered: *mis_steered }
}

struct Scale {
    crash: u64,
    total: u64,
    hz: u64,
}

impl Scale {
    /// Place of a tick of the counter.
    fn x(&self, tick: u64) -> f64 {
        self.x_since(tick.saturating_sub(self.crash))
    }

    /// Place of a moment after the crash.
    fn x_since(&self, ticks: u64) -> f64 {
        let share = ticks.min(self.total) as f64 / self.total as f64;
        rounded(BEFORE + share * (WIDTH - BEFORE))
    }

    fn ms(&self, ticks: u64) -> String {
        milliseconds(Some(ticks), self.hz)
    }
}

/// A tenth of a unit is less than a pixel.
fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn lane(stream: &Stream, told: &Told<'_>, scale: &Scale) -> Lane {
    let before = before(stream, told);
    let mut segments = split(0.0, BEFORE, &before, &format!("before the crash: {}", words(&before, stream)));
    let mut last = (scale.crash, before);
    for sample in told.samples.iter().filter(|sample| sample.1 == stream.bdf) {
        let (tick, now) = (sample.0, totals(sample));
        let new = now.since(&last.1);
        let [from, to] = [last.0, tick].map(|tick| tick.saturating_sub(scale.crash));
        let text = format!("{} to {}: {}", scale.ms(from), scale.ms(to), words(&new, stream));
        let x = scale.x(last.0);
        segments.extend(split(x, scale.x(tick) - x, &new, &text));
        last = (tick, now);
    }
    let rmr = if stream.rmr { " RMR" } else { "" };
    Lane {
        stream: format!("{} {}{rmr}", stream.bdf, stream.endpoint),
        told: words(&moved(phases_of(stream, told).since_crash()), stream),
        segments,
        first: stream.gap_ticks.filter(|gap| *gap <= scale.total).map(|gap| scale.x_since(gap)),
    }
}

fn moved(phase: Phase) -> Totals {
    Totals { delivered: phase.delivered, blocked: phase.blocked.unwrap_or(0), mis_steered: phase.mis_steered }
}

fn words(totals: &Totals, stream: &Stream) -> String {
    let Totals { delivered, blocked, mis_steered } = totals;
    let some = |count: u64, word: &str| if count > 0 { format!(", {count} {word}") } else { String::new() };
    format!("{delivered} {} delivered{}{}", stream.unit, some(*blocked, "blocked"), some(*mis_steered, "mis-steered"))
}

/// One segment for each kind, as high as its share.
fn split(x: f64, width: f64, totals: &Totals, told: &str) -> Vec<Segment> {
    let width = rounded(width);
    let Totals { delivered, blocked, mis_steered } = *totals;
    let sum = totals.sum();
    if sum == 0 {
        let (y, height) = (HEIGHT / 2.0 - 1.0, 2.0);
        return vec![Segment { kind: "nothing", x, width, y, height, told: told.to_owned() }];
    }
    let mut y = 0.0;
    let mut segments = Vec::new();
    for (kind, count) in [("delivered", delivered), ("blocked", blocked), ("mis-steered", mis_steered)] {
        let height = rounded(HEIGHT * count as f64 / sum as f64);
        if count > 0 {
            segments.push(Segment { kind, x, width, y: rounded(y), height, told: told.to_owned() });
        }
        y += height;
    }
    segments
}

/// Where they are by the clock; what lies between two of them is this tool's own looking.
fn phases(told: &Told<'_>, scale: &Scale) -> Vec<Span> {
    let Timing { crash_to_kdump, hold, takeover, watch, counted, .. } = told.timing;
    let ticks = |access: &Access| access.ticks.saturating_sub(scale.crash);
    let (first, last) = if told.is_watched {
        // A kernel's log begins with what was found, and goes on behind its takeover. What lies before is its loading, too.
        let last = counted.saturating_sub(watch);
        (last.saturating_sub(takeover), last)
    } else {
        let first = told.log.first().map_or(crash_to_kdump.saturating_add(hold), ticks);
        (first, told.log.last().map_or(first.saturating_add(takeover), ticks))
    };
    let span = |name, from: u64, to: u64| {
        let (x, end) = (scale.x_since(from), scale.x_since(to));
        let told = format!("{name} {} to {}", scale.ms(from), scale.ms(to));
        Span { name, x, width: rounded(end - x), told }
    };
    vec![
        Span { name: "before", x: 0.0, width: BEFORE, told: "before the crash, not to scale".into() },
        span("crash", 0, crash_to_kdump.min(first)),
        span("hold", crash_to_kdump.min(first), first),
        span("takeover", first, last.max(first)),
        span("watch", last.max(first), scale.total),
    ]
}

/// Round numbers of milliseconds, few enough to be read.
fn axis(scale: &Scale) -> Vec<(f64, String)> {
    if scale.hz == 0 {
        return Vec::new();
    }
    let total_us = u64::try_from(u128::from(scale.total) * 1_000_000 / u128::from(scale.hz)).unwrap_or(u64::MAX);
    let powers = (0..18).map(|power| 10_u64.pow(power));
    let step = powers.flat_map(|power| STEPS.map(|step| step * power)).find(|step| total_us / step < LABELS);
    let step = step.unwrap_or(total_us);
    let label = |us: u64| {
        let ticks = u64::try_from(u128::from(us) * u128::from(scale.hz) / 1_000_000).unwrap_or(u64::MAX);
        let text = match (us, us % 1000) {
            (0, _) => "crash".to_owned(),
            (_, 0) => format!("{} ms", us / 1000),
            _ => format!("{us} µs"),
        };
        (rounded(scale.x_since(ticks) / WIDTH * 100.0), text)
    };
    (0..=total_us / step.max(1)).map(|number| label(number * step)).collect()
}

#[cfg(test)]
mod tests;
