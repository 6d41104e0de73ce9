//! Waits in which all streams are counted: until each has been seen to attempt DMA, or for as long as is asked.

use super::{Streams, Watched};
use crate::stopping::landed;
use alloc::vec::Vec;
use arch::timer;
use handover::oracle::Stream;

/// Time between two samples while waiting.
const STEP_US: u64 = 250;
/// Longest wait between two steps of a takeover: longer than the period of the slowest endpoint.
const STEP_HOLD_US: u64 = 12_000;
/// How long devices that were stopped are watched before the SMMU is touched: longer than the period of the slowest.
const QUIET_US: u64 = 12_000;

impl Streams {
    /// All are stopped that are to be, and translation is as it was: what still lands shows itself now.
    pub fn quiet(&mut self) {
        let before: Vec<u64> = self.all.iter().map(|watched| landed(&watched.stream.totals)).collect();
        let deadline = timer::now() + timer::ticks_of_us(QUIET_US);
        while timer::now() < deadline {
            timer::sleep_us(STEP_US);
            self.count();
        }
        for (watched, before) in self.all.iter_mut().zip(before) {
            watched.landed_in_quiet = landed(&watched.stream.totals).saturating_sub(before);
        }
    }

    /// Between two steps of a takeover: waits until every stream has attempted DMA since, as far as it still can. Which
    /// step it was, the ticks of the samples tell.
    pub fn hold_step(&mut self) {
        let since: Vec<Stream> = self.all.iter().map(|watched| watched.stream).collect();
        let deadline = timer::now() + timer::ticks_of_us(STEP_HOLD_US);
        loop {
            self.count();
            let has_tried = |(watched, since): (&Watched, &Stream)| {
                watched.driver.is_none_or(|driver| driver.tried(since, &watched.stream) > 0)
            };
            if self.all.iter().zip(&since).all(has_tried) || timer::now() >= deadline {
                break;
            }
            timer::sleep_us(STEP_US);
        }
        self.sample();
    }

    /// Waits until every stream has used all its windows since the last cut, at least `least_us` and at most `limit_us`.
    /// Returns the ticks that it took.
    /// `meanwhile` is called after each sample.
    fn wait(&mut self, least_us: u64, limit_us: u64, each: fn(&mut Watched), meanwhile: &mut dyn FnMut()) -> u64 {
        let start = timer::now();
        let (least, limit) = (timer::ticks_of_us(least_us), timer::ticks_of_us(limit_us.max(least_us)));
        loop {
            self.sample();
            self.all.iter_mut().for_each(each);
            meanwhile();
            let is_used = |watched: &Watched| watched.is_used(&watched.stream);
            let passed = timer::now() - start;
            if passed >= least && (self.all.iter().all(is_used) || passed >= limit) {
                return passed;
            }
            timer::sleep_us(STEP_US);
        }
    }

    /// Holds before the takeover until every stream has attempted DMA since the crash.
    pub fn hold(&mut self, limit_us: u64) -> u64 {
        self.wait(0, limit_us, |_| (), &mut || ())
    }

    /// Watches after the takeover until every stream has attempted DMA since, at least `least_us`. `meanwhile` is whatever
    /// the taker goes on doing.
    pub fn watch(&mut self, least_us: u64, limit_us: u64, meanwhile: &mut dyn FnMut()) -> u64 {
        let ticks = self.wait(least_us, limit_us, Watched::note_delivery, meanwhile);
        self.cut_end();
        ticks
    }

    /// Goes on with one stream in a new domain: watches until all have used their windows since the end of the watch before,
    /// at least `least_us` and at most `limit_us`.
    pub fn watch_again(&mut self, index: usize, stream: Stream, least_us: u64, limit_us: u64) {
        self.again = Some((index, stream));
        let start = timer::now();
        let (least, limit) = (timer::ticks_of_us(least_us), timer::ticks_of_us(limit_us.max(least_us)));
        loop {
            self.count();
            let is_used = |(at, watched): (usize, &Watched)| match (&self.again, watched.driver) {
                // Armed anew: since its state was empty.
                (Some((_, stream)), Some(driver)) if at == index => {
                    driver.tried(&Stream::default(), stream) >= driver.round()
                }
                _ => watched.is_used(&watched.stream),
            };
            let passed = timer::now() - start;
            if passed >= least && (self.all.iter().enumerate().all(is_used) || passed >= limit) {
                return;
            }
            timer::sleep_us(STEP_US);
        }
    }
}
