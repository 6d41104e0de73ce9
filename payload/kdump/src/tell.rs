//! What the host is told of a cycle.

use crate::{
    errors::Errors,
    stopping::Stopping,
    streams::{Streams, Watched},
};
use addr::Bdf;
use alloc::string::{String, ToString};
use arch::{bus::Ecam, console};
use handover::crash_note::CrashNote;
use handover::oracle::{STREAM_NO_ATTEMPTS, STREAM_RMR};
use pci::{Command, Found, Function, HeaderType};
use scenario::{judge::Check, phase};
use smmu::{
    event,
    log::{Entry, What},
    observe::Registers,
};
use wire::{
    Record,
    record::{Outcome, Phase, Stopped},
};

/// Which cycle it is.
#[derive(Clone, Copy)]
pub struct Cycle {
    /// Scenario of this boot.
    pub run: u32,
    /// Crash of that run.
    pub cycle: u32,
}

fn has_attempts(watched: &Watched) -> bool {
    watched.stream.flags & STREAM_NO_ATTEMPTS == 0
}

fn phases(watched: &Watched) -> [Phase; 3] {
    watched.cuts.phases(has_attempts(watched)).map(|delta| delta.phase)
}

impl Cycle {
    /// One line for each stream: enough for totals over thousands of cycles.
    pub fn stream_lines(self, streams: &Streams) {
        let Self { run, cycle } = self;
        for watched in &streams.all {
            let bdf = watched.stream.bdf.to_string();
            console::record(&Record::CycleStream { run, cycle, bdf: &bdf, phases: phases(watched) });
        }
    }

    /// The streams with names, units and gaps, and their samples.
    pub fn streams(self, streams: &Streams, crash_tick: u64) {
        let Self { run, cycle } = self;
        for watched in &streams.all {
            let driver = dma::by_id(watched.stream.driver);
            console::record(&Record::Stream {
                run,
                cycle,
                bdf: &watched.stream.bdf.to_string(),
                stream_id: watched.stream.stream_id.0,
                endpoint: driver.map_or("", |driver| driver.name()),
                rmr: watched.stream.flags & STREAM_RMR != 0,
                unit: driver.map_or("", |driver| driver.unit()),
                witness: driver.map_or("", |driver| driver.witness()),
                phases: phases(watched),
                gap_ticks: phase::gap(crash_tick, watched.first_delivery),
            });
        }
        for sample in &streams.samples {
            let Some(watched) = streams.all.get(sample.stream) else { continue };
            let totals = &sample.totals;
            let arrived = totals.delivered.saturating_add(totals.mis_steered);
            console::record(&Record::Sample {
                run,
                cycle,
                ticks: sample.ticks,
                bdf: &watched.stream.bdf.to_string(),
                delivered: totals.delivered,
                blocked: has_attempts(watched).then(|| totals.attempted.saturating_sub(arrived)),
                mis_steered: totals.mis_steered,
            });
        }
    }

    /// Every check, as a record, as KTAP, and as a LAVA signal where it is wanted.
    pub fn checks(self, checks: &[Check], is_lava: bool) {
        for check in checks {
            console::record(&check.record(self.run, self.cycle));
        }
        if self.cycle != 0 {
            return;
        }
        console::with(|writer| {
            // The console never fails; what it loses, sequence numbers and CRCs show.
            let _ = writer.ktap_version(1);
            let _ = writer.ktap_plan(1, checks.len() as u32);
            for (number, check) in (1..).zip(checks) {
                let Check { id, verdict, expected, reason, .. } = check;
                let _ = writer.ktap_check(1, number, id, *verdict, *expected, reason);
                if is_lava {
                    let _ = writer.lava_case(id, *verdict, *expected);
                }
            }
        });
    }

    /// The access log, entry by entry.
    pub fn log(self, entries: &[Entry]) {
        for (index, entry) in (0..).zip(entries) {
            self.entry(index, entry);
        }
    }

    /// One entry of the access log.
    pub fn entry(self, index: u32, entry: &Entry) {
        let Self { run, cycle } = self;
        let name = entry.name();
        if let What::Step(_) = entry.what {
            return console::record(&Record::Step { run, cycle, index, name });
        }
        let Entry { ticks, address, value, count, stride, unbacked, .. } = *entry;
        let (smmu, kind) = (entry.smmu.0, entry.op as u8);
        let access =
            Record::Access { run, cycle, index, ticks, smmu, kind, name, address, value, count, stride, unbacked };
        console::record(&access);
    }

    /// Registers of one SMMU that are worth knowing: all of them, before and after.
    pub fn registers(self, before: &Registers, after: &Registers) {
        let Self { run, cycle } = self;
        for ((name, old), (_, new)) in before.iter().zip(after.iter()) {
            console::record(&Record::Register { run, cycle, smmu: before.smmu.0, name, before: old, after: new });
        }
    }

    /// Events of the dead image's queue, counted.
    pub fn events(self, smmu: u8, events: &event::Counts, streams: &Streams) {
        let Self { run, cycle } = self;
        for row in events.rows() {
            let bdf = streams.all.iter().find(|watched| watched.stream.stream_id == row.stream);
            let bdf = bdf.map_or_else(String::new, |watched| Bdf::to_string(&watched.stream.bdf));
            console::record(&Record::Event {
                run,
                cycle,
                smmu,
                id: row.id,
                name: event::name(row.id),
                stream_id: row.stream.0,
                bdf: &bdf,
                input_address: row.page.map_or(0, |page| page.0),
                read: row.read.unwrap_or(false),
                count: u64::from(row.count),
            });
        }
    }

    /// Every function that is no bridge, and what its DMA did since the crash.
    pub fn requesters(self, functions: &[Found], streams: &Streams, config: &mut Ecam, crash_tick: u64) {
        let Self { run, cycle } = self;
        let since = |tick: Option<u64>| tick?.checked_sub(crash_tick);
        for found in functions {
            let Found { bdf, requester, identity, .. } = found;
            let watched = streams.all.iter().find(|watched| watched.stream.bdf == *bdf);
            let answers = watched.map(|watched| Stopping::answers(config, found, &watched.stream));
            let function = Function::any(config, *bdf);
            let (is_bridge, bus_master) = function.map_or((false, false), |mut function| {
                let is_bridge = function.header_type().layout() == HeaderType::BRIDGE;
                (is_bridge, function.command().contains(Command::BUS_MASTER))
            });
            // The host bridge has an endpoint's header.
            if is_bridge || identity.class >> 16 == 0x06 {
                continue;
            }
            let changed = watched.and_then(|watched| watched.stopping?.last_change());
            let stopped = watched.and_then(|watched| {
                let stopping = watched.stopping?;
                let moved = stopping.moved(&watched.stream.totals);
                Some(Stopped {
                    means: stopping.means.name(),
                    told: stopping.told.saturating_sub(crash_tick),
                    done: stopping.done.saturating_sub(crash_tick),
                    last_dma: stopping.last_dma(watched.last_arrival),
                    landed: moved.map(|(landed, _)| landed),
                    attempted: moved.map(|(_, attempted)| attempted),
                })
            });
            console::record(&Record::Requester {
                run,
                cycle,
                bdf: &bdf.to_string(),
                requester: &requester.to_string(),
                bus_master,
                answers: answers.unwrap_or_else(|| Function::any(config, *bdf).is_some()),
                first_dma: since(watched.and_then(|watched| watched.first_arrival)),
                last_dma: since(watched.and_then(|watched| watched.last_arrival).max(changed)),
                first_attempt: since(watched.and_then(|watched| watched.first_attempt)),
                last_attempt: since(watched.and_then(|watched| watched.last_attempt)),
                stopped,
            });
        }
    }

    /// How the image died, and what its other CPUs did: `notes` before the takeover, after it, and after the watch.
    pub fn crash(self, boot_cpu: u64, notes: &[CrashNote; 3]) {
        let Self { run, cycle } = self;
        let CrashNote { cause, esr, far, .. } = notes[0];
        console::record(&Record::Crash {
            run,
            cycle,
            boot_cpu,
            taker_cpu: arch::cpu::affinity(),
            cause: cause as u8,
            esr,
            far,
            spins: notes.map(|note| note.spins),
            rings: notes.map(|note| note.rings),
        });
    }

    /// What PCI functions tell anew.
    pub fn pcie_errors(self, errors: &Errors<'_>) {
        let Self { run, cycle } = self;
        errors.each_new(&mut |left, phase, new| {
            let bdf = &left.places.bdf.to_string();
            console::record(&Record::PcieErrors { run, cycle, bdf, phase, state: new.bytes() });
        });
    }

    /// Aborts taken since the takeover began.
    pub fn aborts(self) {
        let Self { run, cycle } = self;
        for index in 0..arch::exceptions::recorded().min(arch::exceptions::KEPT) {
            let Some(abort) = arch::exceptions::record(index) else { continue };
            let arch::exceptions::Exception { esr, elr, far, serror, step } = abort;
            console::record(&Record::Abort { run, cycle, step, esr, elr, far, serror, count: 1 });
        }
    }
}

/// Whether a cycle is sent whole: the first, and each that fails.
pub fn is_worth_sending(cycle: u32, outcome: Outcome) -> bool {
    cycle == 0 || outcome != Outcome::Pass
}
