//! Counting on: the live streams of the oracle, sampled until each has been seen to attempt DMA.

use crate::stopping::{Stopping, landed};
use addr::{Bdf, PhysAddr};
use alloc::vec::Vec;
use arch::{bus::Devices, timer};
use dma::Witness;
use handover::oracle::{Counts, Stream};
use scenario::{phase::Cuts, quiesce::Means};

/// Time between two samples while waiting.
const STEP_US: u64 = 250;
/// Longest wait between two steps of a takeover: longer than the period of the slowest endpoint.
const STEP_HOLD_US: u64 = 12_000;
/// How long devices that were stopped are watched before the SMMU is touched: longer than the period of the slowest.
const QUIET_US: u64 = 12_000;
/// Longest stretch in which cyclic buffers are not looked at because others are.
const CYCLIC_US: u64 = 10_000;
/// Samples kept for the report.
const KEPT_SAMPLES: usize = 256;

/// Running totals of one stream at one instant.
#[derive(Clone, Copy)]
pub struct Sample {
    /// Counter.
    pub ticks: u64,
    /// Place of the stream among all.
    pub stream: usize,
    /// Its totals.
    pub totals: Counts,
}

/// A stream and what was seen of it.
pub struct Watched {
    /// The stream, with running totals.
    pub stream: Stream,
    /// Its totals at the cuts.
    pub cuts: Cuts,
    /// Counter at the first delivery after the takeover.
    pub first_delivery: Option<u64>,
    /// How the policy stops the function.
    pub means: Option<Means>,
    /// Its device was told to stop.
    pub stopping: Option<Stopping>,
    /// Something landed after it was reset.
    pub landed_when_stopped: Option<PhysAddr>,
    /// Units that landed after all were stopped, before the SMMU was touched.
    pub landed_in_quiet: u64,
    /// Counter when what has landed was first seen to grow in this image.
    pub first_arrival: Option<u64>,
    /// And last.
    pub last_arrival: Option<u64>,
    /// The same of what was attempted.
    pub first_attempt: Option<u64>,
    /// And last.
    pub last_attempt: Option<u64>,
    driver: Option<&'static dyn Witness>,
    /// As it was at the last cut.
    at_cut: Stream,
}

impl Watched {
    /// Samples that came too late since the stream was armed.
    pub fn overruns(&self) -> u64 {
        self.driver.map_or(0, |driver| driver.overruns(&self.stream))
    }

    /// Brings the totals up to date, as far as the device may be asked.
    fn count(&mut self, bus: &mut Devices) {
        if let Some(stopping) = self.stopping.as_mut().filter(|stopping| stopping.is_hidden()) {
            stopping.look(bus, &self.stream);
            return;
        }
        let before = self.stream.totals;
        if let Some(driver) = self.driver {
            driver.sample(bus, &mut self.stream);
        }
        let totals = &self.stream.totals;
        if landed(totals) != landed(&before) {
            self.last_arrival = Some(timer::now());
            self.first_arrival = self.first_arrival.or(self.last_arrival);
        }
        if totals.attempted != before.attempted {
            self.last_attempt = Some(timer::now());
            self.first_attempt = self.first_attempt.or(self.last_attempt);
        }
    }

    /// Notes the first delivery after the takeover.
    pub fn note_delivery(&mut self) {
        if self.first_delivery.is_none() && self.stream.totals.delivered > self.cuts.takeover.delivered {
            self.first_delivery = Some(timer::now());
        }
    }

    /// Cuts between two phases: `cut` is the number of the one that ends.
    fn cut(&mut self, cut: usize) {
        self.at_cut = self.stream;
        if let (Some(driver), Some(dry), Some(signs)) =
            (self.driver, self.cuts.dry.get_mut(cut), self.cuts.refusals.get_mut(cut))
        {
            (*dry, *signs) = (driver.dry_samples(&self.stream), driver.refusals(&self.stream));
        }
    }

    /// Units tried by `now` since the last cut.
    fn tried(&self, now: &Stream) -> u64 {
        self.driver.map_or(0, |driver| driver.tried(&self.at_cut, now))
    }

    /// All its windows have been used by `now` since the last cut.
    fn is_used(&self, now: &Stream) -> bool {
        self.driver.is_none_or(|driver| self.tried(now) >= driver.round())
    }
}

/// All streams of the oracle.
pub struct Streams {
    /// In the oracle's order.
    pub all: Vec<Watched>,
    /// Those that were kept, oldest first.
    pub samples: Vec<Sample>,
    /// The stream of this index works in a new domain, and is counted there.
    pub again: Option<(usize, Stream)>,
    bus: Devices,
    /// The counter before which nobody looks between other work.
    next_look: u64,
    /// When streams in cyclic buffers were last counted for their own sake.
    kept_up: u64,
}

impl Streams {
    /// Goes on counting where the primary stopped. `means` is how the policy stops a function.
    pub fn new(streams: &[Stream], bus: Devices, means: &dyn Fn(Bdf) -> Option<Means>) -> Self {
        let watched = |stream: &Stream| {
            let mut watched = Watched {
                stream: *stream,
                cuts: Cuts { crash: stream.at_crash, ..Cuts::default() },
                first_delivery: None,
                means: means(stream.bdf),
                stopping: None,
                landed_when_stopped: None,
                landed_in_quiet: 0,
                first_arrival: None,
                last_arrival: None,
                first_attempt: None,
                last_attempt: None,
                driver: dma::by_id(stream.driver),
                at_cut: *stream,
            };
            watched.cut(0);
            watched
        };
        let all = streams.iter().map(watched).collect();
        Self { all, samples: Vec::with_capacity(KEPT_SAMPLES), again: None, bus, next_look: 0, kept_up: 0 }
    }

    fn sample(&mut self) {
        self.count();
        self.keep_samples();
    }

    fn keep_samples(&mut self) {
        for (index, watched) in self.all.iter().enumerate() {
            if self.samples.len() < KEPT_SAMPLES {
                self.samples.push(Sample { ticks: timer::now(), stream: index, totals: watched.stream.totals });
            }
        }
    }

    /// Brings all totals up to date. A function that is being reset must not be accessed (PCI Express Base 6.0, 6.6.2), and
    /// knows nothing of its work afterwards: of it only the windows are looked at.
    pub fn count(&mut self) {
        for index in 0..self.all.len() {
            self.keep_up();
            self.count_one(index);
        }
    }

    /// Now and then while others are waited for: looking takes its time, and gets a quarter of it. What comes round by itself
    /// does not wait for the rest.
    pub fn count_meanwhile(&mut self) {
        let now = timer::now();
        if now < self.next_look {
            return self.keep_up();
        }
        self.count();
        let took = timer::now() - now;
        self.next_look = timer::now() + 3 * took;
    }

    /// Rings that somebody used up take their time; what comes round by itself does not wait for it.
    fn keep_up(&mut self) {
        if timer::now() - self.kept_up < timer::ticks_of_us(CYCLIC_US) {
            return;
        }
        for index in 0..self.all.len() {
            let driver = self.all.get(index).and_then(|watched| dma::by_id(watched.stream.driver));
            if driver.is_some_and(|driver| driver.is_cyclic()) {
                self.count_one(index);
            }
        }
        self.kept_up = timer::now();
    }

    /// Brings one stream's totals up to date.
    pub fn count_one(&mut self, index: usize) {
        let Self { all, again, bus, .. } = self;
        match again {
            Some((again, stream)) if *again == index => {
                if let Some(driver) = dma::by_id(stream.driver) {
                    driver.sample(bus, stream);
                }
            }
            _ => all.get_mut(index).into_iter().for_each(|watched| watched.count(bus)),
        }
    }

    /// The registers behind a stream are somebody else's from now on: of it only the windows are looked at.
    pub fn hide(&mut self, index: usize, means: Means) {
        let Self { all, bus, .. } = self;
        if let Some(watched) = all.get_mut(index) {
            watched.stopping = Some(Stopping::begin(means, bus, &watched.stream));
        }
    }

    /// Keeps the totals as they are now. Where there is no room left, every other instant gives way; returns whether it did.
    pub fn keep(&mut self) -> bool {
        let is_full = self.samples.len() + self.all.len() > KEPT_SAMPLES;
        if is_full {
            // Instants are told apart by where a stream comes again.
            let first = self.samples.first().map_or(0, |sample| sample.stream);
            let mut instant = 0_u32;
            self.samples.retain(|sample| {
                instant += u32::from(sample.stream == first);
                instant.is_multiple_of(2)
            });
        }
        self.keep_samples();
        is_full
    }

    /// Devices of these functions are told to stop now.
    pub fn stop(&mut self, functions: &[Bdf]) {
        self.each_of(functions, &|watched, bus| {
            watched.stopping = watched.means.map(|means| Stopping::begin(means, bus, &watched.stream));
        });
    }

    /// What was done to them is done.
    pub fn stopped(&mut self, functions: &[Bdf]) {
        self.each_of(functions, &|watched, bus| {
            if let Some(stopping) = &mut watched.stopping {
                stopping.end(bus, &watched.stream);
            }
        });
    }

    /// Counts these functions' streams, and does something with each.
    fn each_of(&mut self, functions: &[Bdf], then: &dyn Fn(&mut Watched, &mut Devices)) {
        for index in 0..self.all.len() {
            self.keep_up();
            let Self { all, bus, .. } = self;
            let named = all.get_mut(index).filter(|watched| functions.contains(&watched.stream.bdf));
            if let Some(watched) = named {
                watched.count(bus);
                then(watched, bus);
            }
        }
    }

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

    /// Samples in the new domain that came too late.
    pub fn overruns_again(&self) -> u64 {
        let overruns = |(_, stream): &(usize, Stream)| Some(dma::by_id(stream.driver)?.overruns(stream));
        self.again.as_ref().and_then(overruns).unwrap_or(0)
    }

    /// Totals of a stream where it works now.
    pub fn totals(&self, index: usize) -> Counts {
        match &self.again {
            Some((again, stream)) if *again == index => stream.totals,
            _ => self.all.get(index).map_or(Counts::default(), |watched| watched.stream.totals),
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

    /// The takeover is over: the cut between blackout and after.
    pub fn cut_takeover(&mut self) {
        self.sample();
        self.cut_takeover_as_counted();
    }

    /// The same with the totals as they were counted last; a cut before it is none.
    pub fn cut_takeover_as_counted(&mut self) {
        for watched in &mut self.all {
            watched.cuts.takeover = watched.stream.totals;
            watched.first_delivery = None;
            watched.cut(1);
        }
    }

    /// The watch is over: the last cut.
    pub fn cut_end(&mut self) {
        let Self { all, bus, .. } = self;
        for watched in all {
            watched.cuts.end = watched.stream.totals;
            watched.cut(2);
            watched.landed_when_stopped = watched.stopping.and_then(|stopping| stopping.landed(bus, &watched.stream));
        }
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
