//! The image that takes over after the crash: observe, act, observe again, judge, tell, and go back or power off.

#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "entered from another image: memory is taken over by address")]

extern crate alloc;

mod attach;
mod quiesce;
mod takeover;

use alloc::vec::Vec;
use arch::{alive, exceptions, frames::FrameRange, mmio, power, timer};
use handover::{
    boot::Boot,
    last_words,
    oracle::OracleView,
    report::{Ended, Report},
};
use kdump::{
    errors::Errors,
    given::{self, bytes},
    observe::{self, Before},
    streams::Streams,
    tell::{self, Cycle},
};
use scenario::{
    Crash, Plant, Policy, Scenario, Work,
    judge::{self, AttachEvidence, Crashed, Evidence},
};
use smmu::log::Log;
use tables::iort::Iort;
use takeover::{Means, Moment};
use wire::{Record, record::Outcome};

kdump::image!("kdump", take_over);

/// Entries of the access log: an adoption has about 60, a reset 80, a poll one.
const LOG_ENTRIES: usize = 8192;
/// Steps that a takeover makes before it hangs as planted.
const HANG_STEPS: u32 = 3;
/// A planted leaf is only reached when the cyclic buffer comes round: watch for longer than that.
const LEAF_WATCH_US: u64 = 260_000;

/// One cycle from the first look to the last line.
fn take_over(boot: &'static Boot, mut frames: FrameRange, entered: u64) -> Report {
    let options = given::options(boot);
    let cycle = Cycle { run: boot.run, cycle: boot.cycle };
    let scenario = match options.scenarios.first() {
        Some(Work::Crash(scenario)) => *scenario,
        _ => Scenario::plain(Policy::Adopt),
    };
    let iort = bytes(boot.tables.iort);
    let mut hw = given::smmus(boot);

    // Observer: what only it may know is the oracle.
    let oracle = OracleView::find(bytes(boot.oracle));
    let known = oracle.map_or(&[][..], |oracle| oracle.streams);
    let devices = given::devices(known);
    let mut config = given::config(boot);
    let mut errors = Errors::new(oracle.map_or(&[], |oracle| oracle.functions), &mut config);
    let plan = if scenario::quiesce::named(scenario.policy).is_some() {
        let functions = given::functions(boot, Iort::parse_again(iort).ok().as_ref(), &mut config);
        let allowed = given::not_denied(&functions, &options.hands);
        quiesce::plan(scenario.policy, &mut config, &functions, &allowed)
    } else {
        Vec::new()
    };
    let means = |bdf| plan.iter().find(|planned| planned.bdf == bdf).map(|planned| planned.means);
    let mut streams = Streams::new(known, devices, &means);
    let hold = streams.hold(u64::from(options.hold_us));
    // The host injects once.
    let injects = |plant| options.plant == Some(plant) && boot.cycle == 0;
    let wait_in = |phase: u8| Record::Hold { run: boot.run, cycle: boot.cycle, phase };
    if injects(Plant::PcieErrorBlackout) {
        errors.wait_for_one(&wait_in(1), 1, &mut streams, &mut config);
    }
    // As late as possible: events of the hold are in the dead queue by now.
    let own = given::own_memory(boot);
    let before: Vec<Before> = observe::before(&mut hw, boot.smmus().len(), scenario.damage, own.start);

    // Taker: the boot block only, and the fault that is planted in it.
    let plants = observe::plants(&mut hw, &before, options.plant, &streams);
    let mut log = Log::with_capacity(LOG_ENTRIES);
    // What was pending is not the takeover's: told, and not judged.
    exceptions::clear();
    exceptions::record_aborts(true);
    exceptions::step("before the takeover");
    cycle.aborts();
    exceptions::clear();
    let is_spared = options.plant == Some(Plant::StopSkipped);
    let spared = known.first().filter(|_| is_spared).map(|stream| stream.bdf);
    let hangs = options.plant == Some(Plant::HangTakeover) && boot.cycle + 1 == options.cycles;
    let mut steps = 0;
    let mut observer = |moment: Moment<'_>| {
        // Resets of devices take seconds in one step.
        alive::sign();
        match moment {
            Moment::Step if hangs && steps == HANG_STEPS => power::halt(),
            Moment::Step if hangs => steps += 1,
            Moment::Step if options.step_hold => streams.hold_step(),
            Moment::Step => {}
            Moment::Wait => streams.count_meanwhile(),
            Moment::Stop(functions) => streams.stop(functions),
            Moment::Stopped(functions) => streams.stopped(functions),
            Moment::Quiet => streams.quiet(),
        }
    };
    let means = Means {
        boot,
        iort,
        config: &mut config,
        devices,
        frames: &mut frames,
        hands: &options.hands,
        plants: &plants,
        spared,
        observer: &mut observer,
    };
    if options.plant == Some(Plant::BusError) {
        exceptions::step("planted bus error");
        // SAFETY: the primary mapped the page as Device memory for this. Nothing answers there, and the abort is recorded.
        let _ = unsafe { mmio::read32(arch::cpu::last_page().0) };
    }
    let note = observe::note(boot.crash_note);
    let (takeover, mut taken) = takeover::take_all(scenario.policy, means, &mut hw, &mut log);

    // Observer again.
    let note_taken = observe::note(boot.crash_note);
    streams.cut_takeover();
    errors.cut(1, &mut config);
    if injects(Plant::PcieErrorAfter) {
        errors.wait_for_one(&wait_in(2), 2, &mut streams, &mut config);
    }
    let looked_again = observe::look_again(&mut hw, &before, scenario.damage, &own, &streams);
    let least_us = match options.plant {
        Some(Plant::LeafUnmapped | Plant::LeafCanary) => LEAF_WATCH_US,
        // What the attached stream's device then uses must be cached by then: its whole buffer.
        _ if scenario.policy.attaches() => attach::ROUND_US,
        _ => 0,
    };
    let taken_over = log.entries().len();
    alive::phase(last_words::AFTER, "watch");
    let mut handlers = observe::handlers(&taken);
    let watch = streams.watch(least_us, u64::from(options.watch_us), &mut || {
        handlers.iter_mut().flatten().for_each(|handler| handler.handle(&mut hw));
    });
    let counted = timer::now().saturating_sub(boot.crash_tick);
    errors.cut(2, &mut config);
    let note_after = match scenario.crash {
        Crash::HungCpu => observe::moved_note(boot.crash_note, &note, u64::from(options.watch_us)),
        _ => observe::note(boot.crash_note),
    };
    exceptions::step("after");
    exceptions::record_aborts(false);
    let after = observe::after(&mut hw, &before, &streams, handlers);

    // Only now, so that all that is said of the adoption is not about it.
    let means = Means {
        boot,
        iort,
        config: &mut config,
        devices,
        frames: &mut frames,
        hands: &options.hands,
        plants: &plants,
        spared,
        observer: &mut |_| (),
    };
    let watch_us = u64::from(options.watch_us);
    let again = attach::after_adoption(scenario.policy, means, &mut hw, &mut log, &mut taken, &mut streams, watch_us);
    let stes_at_end: Vec<_> = after.iter().map(|after| observe::stes(&mut hw, &after.registers, &streams)).collect();

    let seen = observe::Seen::new(&before, &after, &taken, &looked_again, &streams, &stes_at_end);
    let (takeover_log, attach_log) = log.entries().split_at(taken_over);
    let evidence = Evidence {
        scenario,
        plant: options.plant,
        run: boot.run,
        cycle: boot.cycle,
        boot: boot.verify(),
        oracle,
        smmus: &seen.smmus,
        streams: &seen.streams,
        log: takeover_log,
        log_overflowed: log.overflowed(),
        own: (own.start, own.end),
        aborts: Some(&seen.aborts),
        crashed: Crashed { boot_cpu: boot.boot_cpu, taker_cpu: arch::cpu::affinity(), before: note, after: note_after },
        functions: &errors.seen,
        attach: again.as_ref().map(|again| AttachEvidence {
            stream: again.index,
            attached: again.attached,
            is_armed: again.is_armed,
            overruns: streams.overruns_again(),
            log: attach_log,
        }),
    };
    let checks = judge::judge(&evidence);
    let outcome = judge::outcome(&checks, options.plant);

    if options.cycles > 1 {
        cycle.stream_lines(&streams);
    }
    if tell::is_worth_sending(boot.cycle, outcome) {
        cycle.checks(&checks, options.lava);
        cycle.streams(&streams, boot.crash_tick);
        cycle.log(log.entries());
        if let Some(again) = &again {
            again.tell(cycle, &streams.totals(again.index));
        }
        cycle.pcie_errors(&errors);
        cycle.aborts();
        cycle.crash(boot.boot_cpu, &[note, note_taken, note_after]);
        let functions = given::functions(boot, Iort::parse_again(iort).ok().as_ref(), &mut config);
        cycle.requesters(&functions, &streams, &mut config, boot.crash_tick);
        for (index, (old, new)) in (0_u8..).zip(before.iter().zip(&after)) {
            cycle.registers(&old.registers, &new.registers);
            cycle.events(index, &new.events.counts, &streams);
        }
    }
    Report {
        run: boot.run,
        cycle: boot.cycle,
        outcome: if outcome == Outcome::Pass { Ended::PASS } else { Ended::FAIL },
        checks: checks.len() as u32,
        failed: judge::failed(&checks),
        crash_to_kdump: entered.saturating_sub(boot.crash_tick),
        takeover,
        hold,
        watch,
        counted,
        ..Report::default()
    }
}
