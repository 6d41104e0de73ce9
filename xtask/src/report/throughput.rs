//! Bytes a second, stream by stream and in sum, against what the endpoints could do.

use serde::{Deserialize, Serialize};

use super::collect::Cycle;
use super::model::Stream;

/// What arrived where it belongs since the crash, over the time until the end of the watch, of all cycles that told theirs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Throughput {
    pub streams: Vec<Rate>,
    /// Sum over the streams whose units have a known weight; absent where none has.
    pub bytes_per_second: Option<u64>,
    /// Sum of their limits, where each has one.
    pub limit_bytes_per_second: Option<u64>,
}

/// One stream's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Rate {
    pub bdf: String,
    pub unit: String,
    pub units_per_second: f64,
    /// Absent where a unit has no certain weight.
    pub bytes_per_second: Option<u64>,
    /// What the endpoint itself could do; absent where nobody says.
    pub limit_bytes_per_second: Option<u64>,
}

/// Of the streams of a run, whose counts are sums over `cycles`.
pub fn of<'a>(streams: &[Stream], cycles: impl Iterator<Item = &'a Cycle>) -> Option<Throughput> {
    let mut seconds = 0.0;
    for cycle in cycles.filter(|cycle| cycle.end.is_some()) {
        // Counts without their time would be too fast.
        let timing = cycle.timing.filter(|timing| timing.counter_hz != 0)?;
        seconds += timing.counted as f64 / timing.counter_hz as f64;
    }
    if seconds <= 0.0 || streams.is_empty() {
        return None;
    }
    let rate = |stream: &Stream| {
        let load = dma::load::of(&stream.endpoint);
        let units_per_second = stream.phases.since_crash().delivered as f64 / seconds;
        Rate {
            bdf: stream.bdf.clone(),
            unit: stream.unit.clone(),
            units_per_second,
            bytes_per_second: load.unit_bytes.map(|bytes| (units_per_second * bytes as f64) as u64),
            limit_bytes_per_second: load.limit,
        }
    };
    let streams: Vec<Rate> = streams.iter().map(rate).collect();
    let weighed = || streams.iter().filter(|rate| rate.bytes_per_second.is_some());
    let bytes_per_second = weighed().map(|rate| rate.bytes_per_second).sum();
    let limit_bytes_per_second = weighed().map(|rate| rate.limit_bytes_per_second).sum();
    let has_any = weighed().next().is_some();
    Some(Throughput {
        bytes_per_second: if has_any { bytes_per_second } else { None },
        limit_bytes_per_second: if has_any { limit_bytes_per_second } else { None },
        streams,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::counts::{Phase, Phases};
    use crate::report::model::{Outcome, Timing};

    fn cycle(ticks: u64) -> Cycle {
        let timing =
            Timing { counter_hz: 1_000, crash_to_kdump: 0, takeover: 0, hold: 0, watch: 0, counted: ticks, cycle: 0 };
        Cycle { timing: Some(timing), end: Some((Outcome::Pass, 1, 0)), ..Cycle::default() }
    }

    fn stream(bdf: &str, endpoint: &str, unit: &str, delivered: u64) -> Stream {
        let moved = Phase { attempted: Some(delivered), delivered, blocked: Some(0), mis_steered: 0 };
        Stream {
            bdf: bdf.into(),
            stream_id: 0,
            endpoint: endpoint.into(),
            rmr: false,
            unit: unit.into(),
            witness: String::new(),
            phases: Phases { before: Phase::default(), blackout: Phase::default(), after: moved },
            gap_ticks: None,
        }
    }

    #[test]
    fn what_arrived_is_put_to_the_time_that_it_took() {
        let streams = [stream("a", "hda", "bytes", 384_000), stream("b", "e1000e", "frames", 200)];
        let both = [cycle(1_000), cycle(1_000)];
        let found = of(&streams, both.iter()).unwrap();
        let rates: Vec<_> = found.streams.iter().map(|rate| (rate.units_per_second, rate.bytes_per_second)).collect();
        assert_eq!(rates, [(192_000.0, Some(192_000)), (100.0, Some(6_000))]);
        assert_eq!(found.bytes_per_second, Some(198_000));
        assert_eq!(found.limit_bytes_per_second, Some(192_000 + 125_000_000));
    }

    #[test]
    fn a_unit_without_a_weight_is_in_no_sum() {
        let streams = [stream("a", "nvme", "completions", 50), stream("b", "hda", "bytes", 10)];
        let found = of(&streams, [cycle(1_000)].iter()).unwrap();
        assert_eq!((found.streams[0].units_per_second, found.streams[0].bytes_per_second), (50.0, None));
        assert_eq!(found.bytes_per_second, Some(10));
        assert_eq!(of(&streams[..1], [cycle(1_000)].iter()).unwrap().bytes_per_second, None);
        // No time, or no stream: no rate.
        assert_eq!(of(&streams, [cycle(0)].iter()), None);
        assert_eq!(of(&[], [cycle(1_000)].iter()), None);
        let timeless = Cycle { end: Some((Outcome::Pass, 1, 0)), ..Cycle::default() };
        assert_eq!(of(&streams, [cycle(1_000), timeless].iter()), None);
    }
}
