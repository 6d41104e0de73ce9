//! Times over all cycles of a run.

use serde::{Deserialize, Serialize};

use super::collect::Cycle;

/// The blackouts of a run's cycles, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Blackout {
    /// How many cycles told theirs.
    pub cycles: u64,
    pub mean_us: f64,
    /// Standard deviation of the sample; 0 for one cycle.
    pub deviation_us: f64,
    /// No more than one cycle in a hundred took longer.
    pub p99_us: u64,
    pub max_us: u64,
}

/// Crash to the takeover's last acknowledged access, without the hold, which is this tool's own waiting.
pub fn blackout<'a>(cycles: impl Iterator<Item = &'a Cycle>) -> Option<Blackout> {
    let us = |cycle: &Cycle| {
        let timing = cycle.timing.filter(|timing| timing.counter_hz != 0 && cycle.end.is_some())?;
        let ticks = u128::from(timing.crash_to_kdump) + u128::from(timing.takeover);
        u64::try_from(ticks * 1_000_000 / u128::from(timing.counter_hz)).ok()
    };
    of(cycles.filter_map(us).collect())
}

fn of(mut values: Vec<u64>) -> Option<Blackout> {
    values.sort_unstable();
    let max_us = *values.last()?;
    let count = values.len() as f64;
    let mean_us = values.iter().map(|value| *value as f64).sum::<f64>() / count;
    let squares = values.iter().map(|value| (*value as f64 - mean_us).powi(2)).sum::<f64>();
    let deviation_us = if values.len() < 2 { 0.0 } else { (squares / (count - 1.0)).sqrt() };
    // The nearest rank.
    let rank = (values.len() * 99).div_ceil(100);
    let p99_us = values.get(rank.saturating_sub(1)).copied().unwrap_or(max_us);
    Some(Blackout { cycles: values.len() as u64, mean_us, deviation_us, p99_us, max_us })
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn figures_are_those_of_the_values() {
        assert_eq!(of(vec![]), None);
        let one = of(vec![7]).unwrap();
        assert_eq!((one.cycles, one.mean_us, one.deviation_us, one.p99_us, one.max_us), (1, 7.0, 0.0, 7, 7));
        let hundred = of((1..=100).rev().collect()).unwrap();
        assert_eq!((hundred.mean_us, hundred.p99_us, hundred.max_us), (50.5, 99, 100));
        assert!((hundred.deviation_us - 29.011).abs() < 0.001, "{}", hundred.deviation_us);
        // One of a thousand is beyond the ninety-ninth percentile, eleven are not.
        let many = |slow: usize| {
            let mut values = vec![10; 1000 - slow];
            values.extend(vec![500; slow]);
            of(values).unwrap().p99_us
        };
        assert_eq!((many(1), many(10), many(11)), (10, 10, 500));
    }
}
