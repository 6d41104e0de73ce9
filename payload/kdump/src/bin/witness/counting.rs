//! Counting goes on while a kernel takes over: at its traps, and as far as the devices are still as the primary left them.
//!
//! A device's registers are asked only where its function answers there with bus mastering on, and until the kernel first
//! reaches for them: from then on it has a driver, and what is looked at is memory that the dead image's DMA went to. Both shows
//! itself at once: the page of its configuration space and the first one of its registers are closed to the kernel. Registers
//! that the kernel gives another address are followed.

use alloc::{string::ToString, vec::Vec};
use arch::{
    bus::{Ecam, EcamWindow},
    console,
    frames::FrameRange,
    remap, timer,
};
use handover::{
    boot::Boot,
    oracle::{OracleView, STREAM_NO_ATTEMPTS, Stream},
};
use kdump::{errors::Errors, given, streams::Streams, tell::Cycle};
use pci::{Command, Found, Function};
use scenario::quiesce::Means;
use tables::iort::Iort;
use wire::Record;
use witness::course::{Course, Cut};
use witness::watch::Seen;

/// Least time between two looks, and between two that are kept at first.
const LOOK_US: u64 = 2_000;
/// Longest time between two, as far as there are occasions: a cyclic buffer comes round.
const LONGEST_US: u64 = 20_000;
/// A look may take one part of so many of the time.
const SHARE: u64 = 10;
const PAGE: u64 = 4096;
/// Registers of a device that are looked at lie in so many bytes.
const MOST_REGISTERS: u64 = 128 << 10;

/// Where a stream's device is found.
struct Place {
    found: Found,
    bar: u8,
    /// Page of its configuration space.
    config: u64,
    /// It answers, with bus mastering on: while a kernel sizes BARs it does not.
    is_on: bool,
    /// The kernel's driver has it.
    is_taken: bool,
}

/// All streams, and where the kernel is on its course.
pub(crate) struct Counting<'a> {
    pub(crate) streams: Streams,
    pub(crate) errors: Errors<'a>,
    pub(crate) config: Ecam,
    pub(crate) functions: Vec<Found>,
    places: Vec<Option<Place>>,
    course: Course,
    is_over: bool,
    next_look: u64,
    next_kept: u64,
    kept_every: u64,
    /// Counter at the last cuts: the takeover's end, and the watch's.
    pub(crate) takeover: Option<u64>,
    pub(crate) end: Option<u64>,
}

impl<'a> Counting<'a> {
    /// Goes on where the primary stopped.
    pub(crate) fn new(boot: &Boot, oracle: Option<OracleView<'a>>) -> Self {
        let known = oracle.map_or(&[][..], |oracle| oracle.streams);
        let mut config = given::config(boot);
        let errors = Errors::new(oracle.map_or(&[], |oracle| oracle.functions), &mut config);
        let iort = Iort::parse_again(given::bytes(boot.tables.iort)).ok();
        let functions = given::functions(boot, iort.as_ref(), &mut config);
        let windows = config.windows().to_vec();
        let place = |stream: &Stream| {
            let found = *functions.iter().find(|found| found.bdf == stream.bdf)?;
            let bar = dma::stopper_for(&found.identity)?.bar();
            let is_its = |window: &&EcamWindow| {
                window.segment == found.bdf.segment && (window.first_bus..=window.last_bus).contains(&found.bdf.bus())
            };
            let config = windows.iter().find(is_its)?.base.0 + u64::from(found.bdf.rid) * PAGE;
            Some(Place { found, bar, config, is_on: true, is_taken: false })
        };
        Self {
            streams: Streams::new(known, given::devices(known), &|_| None),
            errors,
            config,
            places: known.iter().map(place).collect(),
            functions,
            course: Course::default(),
            is_over: false,
            next_look: 0,
            next_kept: 0,
            kept_every: timer::ticks_of_us(LOOK_US),
            takeover: None,
            end: None,
        }
    }

    /// Pages whose accesses tell what the kernel does with the devices.
    pub(crate) fn pages(&self) -> Vec<u64> {
        let registers = self.streams.all.iter().map(|watched| watched.stream.registers.0 & !(PAGE - 1));
        registers.chain(self.places.iter().flatten().map(|place| place.config)).collect()
    }

    /// The kernel reaches for an address: whether these are registers of devices that were counted.
    pub(crate) fn reached_for(&mut self, at: u64) -> bool {
        let mut is_one = false;
        for index in 0..self.places.len() {
            let is_here = |stream: &Stream| stream.registers.0 / PAGE == at / PAGE;
            if self.streams.all.get(index).is_some_and(|watched| is_here(&watched.stream)) {
                is_one = true;
                if self.may_ask(index) {
                    self.streams.count_one(index);
                }
                self.take(index);
            }
        }
        is_one
    }

    /// Whether an address is configuration space of a device that was counted.
    pub(crate) fn is_config(&self, at: u64) -> bool {
        self.places.iter().flatten().any(|place| place.config == at & !(PAGE - 1))
    }

    /// The kernel has accessed configuration space: where registers are now that had another page before.
    pub(crate) fn configured(&mut self, frames: &mut FrameRange) -> Vec<(u64, u64)> {
        let Self { streams, places, config, .. } = self;
        let mut moved = Vec::new();
        for (place, watched) in places.iter_mut().zip(&mut streams.all) {
            let Some(place) = place.as_mut().filter(|place| !place.is_taken) else { continue };
            let Place { found, bar, .. } = *place;
            let on = match found.physical {
                Some(_) => Command::BUS_MASTER,
                None => Command::MEMORY_SPACE | Command::BUS_MASTER,
            };
            let is_on = Function::any(config, found.bdf).is_some_and(|mut function| function.command().contains(on));
            let registers = if is_on { given::registers(config, &found, bar) } else { None };
            let old = watched.stream.registers;
            // SAFETY: the map is the primary's, made for this image; the function answers there now.
            let registers = registers.filter(|at| unsafe { remap::map_like(old, *at, MOST_REGISTERS, frames) });
            place.is_on = registers.is_some();
            if let Some(at) = registers.filter(|at| *at != old) {
                moved.push((old.0, at.0));
                watched.stream.registers = at;
            }
        }
        moved
    }

    fn take(&mut self, index: usize) {
        if let Some(Some(place)) = self.places.get_mut(index)
            && !core::mem::replace(&mut place.is_taken, true)
        {
            self.streams.hide(index, Means::Kernel);
        }
    }

    fn may_ask(&self, index: usize) -> bool {
        matches!(self.places.get(index), Some(Some(Place { is_on: true, is_taken: false, .. })))
    }

    /// Looks, if it is time.
    pub(crate) fn look(&mut self) {
        if timer::now() >= self.next_look {
            self.look_now();
        }
    }

    /// Somebody has to look before long: the dead image's devices are still counted by their registers.
    pub(crate) fn is_needed(&self) -> bool {
        !self.is_over && self.places.iter().flatten().any(|place| place.is_on && !place.is_taken)
    }

    /// Looks.
    pub(crate) fn look_now(&mut self) {
        if self.is_over {
            return;
        }
        arch::alive::sign();
        let began = timer::now();
        for index in 0..self.streams.all.len() {
            let is_taken = self.places.get(index).and_then(Option::as_ref).is_some_and(|place| place.is_taken);
            if is_taken || self.may_ask(index) {
                self.streams.count_one(index);
            }
        }
        if self.takeover.is_some() {
            self.streams.all.iter_mut().for_each(|watched| watched.note_delivery());
        }
        let now = timer::now();
        if now >= self.next_kept {
            if self.streams.keep() {
                self.kept_every *= 2;
            }
            self.next_kept = now + self.kept_every;
        }
        let pause = (now - began) * (SHARE - 1);
        self.next_look = now + pause.clamp(timer::ticks_of_us(LOOK_US), timer::ticks_of_us(LONGEST_US));
    }

    /// The kernel has accessed an SMMU: whether its takeover is over by that.
    pub(crate) fn follow(&mut self, seen: &Seen) -> bool {
        let is_control = seen.entry.op.is_write() && seen.entry.name() == "CR0";
        let cut = self.course.take(&seen.entry);
        if is_control || cut.is_some() {
            self.look_now();
        }
        match cut {
            Some(Cut::Takeover) => self.cut_takeover(),
            Some(Cut::End) => self.cut_end(),
            None => {}
        }
        cut == Some(Cut::Takeover)
    }

    /// What became of the streams so far, as if the kernel ended now.
    pub(crate) fn tell(&self, Cycle { run, cycle }: Cycle) {
        for watched in &self.streams.all {
            let (totals, mut cuts) = (watched.stream.totals, watched.cuts);
            if self.takeover.is_none() {
                cuts.takeover = totals;
            }
            if !self.is_over {
                cuts.end = totals;
            }
            let has_attempts = watched.stream.flags & STREAM_NO_ATTEMPTS == 0;
            let bdf = &watched.stream.bdf.to_string();
            let phases = cuts.phases(has_attempts).map(|delta| delta.phase);
            console::record(&Record::CycleStream { run, cycle, bdf, phases });
            let (delivered, mis_steered) = (totals.delivered, totals.mis_steered);
            let blocked = has_attempts.then(|| totals.attempted.saturating_sub(delivered.saturating_add(mis_steered)));
            let ticks = timer::now();
            console::record(&Record::Sample { run, cycle, ticks, bdf, delivered, blocked, mis_steered });
        }
    }

    fn cut_takeover(&mut self) {
        self.takeover = Some(timer::now());
        self.streams.cut_takeover_as_counted();
        self.errors.cut(1, &mut self.config);
    }

    fn cut_end(&mut self) {
        self.end = Some(timer::now());
        self.streams.keep();
        self.streams.cut_end();
        self.errors.cut(2, &mut self.config);
        self.is_over = true;
    }

    /// The kernel has ended. All that it did not cut was blackout.
    pub(crate) fn finish(&mut self) {
        self.look_now();
        if self.takeover.is_none() {
            self.cut_takeover();
        }
        if !self.is_over {
            self.cut_end();
        }
    }
}
