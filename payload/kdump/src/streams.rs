//! Counting on: the live streams of the oracle, sampled until each has been seen to attempt DMA.

mod wait;

use crate::stopping::{Stopping, landed};
use addr::{Bdf, PhysAddr};
use alloc::vec::Vec;
use arch::{bus::Devices, timer};
use dma::Witness;
use handover::oracle::{Counts, Stream};
use scenario::{phase::Cuts, quiesce::Means};

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
}
