//! The image that starts somebody's kernel after the crash, and watches it from EL2 until it ends.
//!
//! ```text
//! bundle ─▶ kernel, initrd, devicetree in the memory set apart ─▶ stage 2, EL2's registers ─▶ ERET … traps … SYSTEM_OFF
//!                                                                       each: carried out, logged, counted, told ─▶ back
//! ```
//!
//! Nothing is judged here but whether the observation is whole: the host has log, checker and judge.

#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "EL2 of somebody else's kernel: its registers, its memory")]

extern crate alloc;

mod attention;
mod counting;
mod cpus;
mod early;
mod kernel;
mod load;
mod lpis;
mod map;
mod put_back;
mod registers;
mod share;
mod step;
mod survival;
mod telling;
mod vectors;
mod watch;

use addr::PhysAddr;
use alloc::{boxed::Box, format, string::String, vec::Vec};
use arch::{alive, console, el1::Vcpu, exceptions, frames::FrameRange, timer};
use attention::Attention;
use core::{mem, ops::Range};
use counting::Counting;
use cpus::Cpus;
use early::Early;
use handover::{
    boot::Boot,
    last_words,
    oracle::OracleView,
    report::{Ended as Outcome, Report},
};
use kdump::{
    given,
    observe::{self, Before, Events},
    tell::Cycle,
};
use load::{Loaded, Parts};
use lpis::Lpis;
use map::Map;
use scenario::{
    Damage, Plant, Work,
    judge::{self, Check},
};
use share::Shared;
use smmu::observe::Registers;
use survival::Survival;
use telling::Telling;
use watch::{Ended, Traps, Watch};
use wire::{
    Record,
    record::{Outcome as Verdicts, Verdict},
};
use witness::watch::{Unit, Witness};

kdump::image!("witness", take_over);

/// Entries of the log: a boot of Debian's kernel has about 400, a two-level table as it is found 256.
const LOG_ENTRIES: usize = 1 << 15;
/// Where the checks of this image are explained.
const SOURCE: &str = "ARCHITECTURE.md, witness";

/// One cycle: the kernel from its first to its last instruction.
fn take_over(boot: &'static Boot, mut frames: FrameRange, entered: u64) -> Report {
    let options = given::options(boot);
    let cycle = Cycle { run: boot.run, cycle: boot.cycle };
    let damage = match options.scenarios.first() {
        Some(Work::Witness { damage, .. }) => *damage,
        _ => Damage::NONE,
    };
    let mut hw = given::smmus(boot);
    let mut counting = Counting::new(boot, OracleView::find(given::bytes(boot.oracle)).ok());
    let survival = Survival::new(boot, &mut frames);
    let ids = registers::ids();
    let functions = put_back::Before::new(&mut counting.config, &counting.functions, &options.hands);
    put_back::forget_reservations(&boot.guest.efi);
    let lpis = Lpis::new(boot, &mut frames);
    let loaded = load(boot, &options, ids.mmfr0, &mut counting);
    let hold = counting.streams.hold(u64::from(options.hold_us));
    let own = given::own_memory(boot);
    // As late as possible: events of the hold are in the dead queue by now.
    let before: Vec<Before> = observe::before(&mut hw, boot.smmus().len(), damage, own.start);
    let note = observe::note(boot.crash_note);
    exceptions::clear();
    exceptions::record_aborts(true);
    exceptions::step("kernel");
    let started = timer::now();

    let units = before.iter().zip(boot.smmus()).map(|(before, smmu)| Unit::new(smmu.base, &(&before.registers).into()));
    let mut witness = Witness::new(&mut hw, units, LOG_ENTRIES);
    witness.tell_found(&mut hw);
    let bundle = loaded.as_ref().map(|_| ()).map_err(String::clone);
    let mut telling = Telling::new(cycle);
    let mut seen = Seen::default();
    let mut off = Ok(());
    let ended = match loaded.and_then(|(parts, loaded)| {
        lpis.are_outside(boot.guest.usable)?;
        Ok((Map::new(boot, &mut frames, ids.mmfr0, &parts)?, loaded, parts.attention))
    }) {
        Ok((map, loaded, attention)) => {
            cycle_kernel(cycle, boot, &loaded, ids.midr);
            telling.tell_found(&counting, &before, boot.crash_tick);
            let watch = Watch::new(
                Cpus::new(boot, attention),
                &mut hw,
                &mut witness,
                &mut counting,
                map,
                telling,
                Early::new(boot, attention),
            );
            // Never freed: a CPU that does not leave the kernel may come here at any time.
            let shared = Box::leak(Box::new(Shared::new(watch)));
            let mut vcpu = Vcpu::starting(loaded.entry.0, loaded.tree.0);
            let unfit = match start(shared, &mut vcpu, &ids, attention) {
                Ok(others) => {
                    off = others;
                    None
                }
                Err(reason) => Some(Ended::stopped(reason)),
            };
            let mut watch = share::lock(shared);
            let (pc, is_partial, cpu) = (watch.vcpu.pc, watch.map.is_partial, watch.witness.cpu());
            seen = Seen { pc, is_partial, cpu, traps: mem::take(&mut watch.traps) };
            telling = mem::replace(&mut watch.telling, Telling::new(cycle));
            unfit.or(watch.ended.take()).unwrap_or_else(|| Ended::stopped("nobody has seen the end".into()))
        }
        Err(reason) => Ended::stopped(reason),
    };
    counting.finish();
    let counted = timer::now();
    alive::phase(last_words::AFTER, "tell");
    exceptions::step("after");
    exceptions::record_aborts(false);

    telling::begin();
    telling.tell(&mut witness, u64::MAX);
    let notes = [note, note, observe::note(boot.crash_note)];
    tell(cycle, boot, &mut hw, &before, &mut counting, &notes);
    let Seen { pc, is_partial, cpu, traps } = seen;
    console::record(&Record::Witnessed {
        run: cycle.run,
        cycle: cycle.cycle,
        ended: ended.how,
        reason: clipped(&ended.reason),
        pc,
        first_call: traps.first_call,
        ticks: counted.saturating_sub(started),
        cost: traps.cost,
        traps: traps.all,
        visits: traps.visits,
        forwarded: traps.forwarded,
        partial: witness.is_partial() || is_partial,
        overflowed: witness.log().overflowed(),
        cpu,
    });
    if options.plant == Some(Plant::KdumpOverwritten) {
        survival.damage();
    }
    let checks = [
        check("handover.verified", boot.verify().map_err(|error| format!("{error}"))),
        check("witness.bundle", bundle),
        check("witness.observed", if ended.how == 2 { Err(ended.reason) } else { off.clone() }),
        check("kdump.survived", survival.look(boot)),
        counted_whole(&counting),
    ];
    lpis.turn_off();
    functions.put_back(boot, &mut counting.config);
    cycle.checks(&checks, options.lava);
    if let Err(reason) = off {
        arch::lost::because(format_args!("{reason}: there is no way back"));
    }
    let outcome = judge::outcome(&checks, options.plant);
    let (takeover, end) = (counting.takeover.unwrap_or(counted), counting.end.unwrap_or(counted));
    Report {
        run: boot.run,
        cycle: boot.cycle,
        outcome: if outcome == Verdicts::Pass { Outcome::PASS } else { Outcome::FAIL },
        checks: checks.len() as u32,
        failed: judge::failed(&checks),
        crash_to_kdump: entered.saturating_sub(boot.crash_tick),
        takeover: takeover.saturating_sub(started),
        hold,
        watch: end.saturating_sub(takeover),
        counted: end.saturating_sub(boot.crash_tick),
        ..Report::default()
    }
}

/// What is left of a watch.
#[derive(Default)]
struct Seen {
    pc: u64,
    is_partial: bool,
    cpu: u64,
    traps: Traps,
}

/// The kernel out of its bundle, ready to be started.
fn load(
    boot: &Boot,
    options: &scenario::options::RunOptions,
    mmfr0: u64,
    counting: &mut Counting<'_>,
) -> Result<(Parts, Loaded), String> {
    // Of the crashed image the kernel may see what one of its devices was given.
    let window = counting.streams.all.first().map(|watched| watched.stream.window);
    let old: Vec<Range<PhysAddr>> = window.iter().map(|it| it.target..it.target.plus(it.bytes)).collect();
    let is_damaged = options.plant == Some(Plant::BundleDigest);
    let mut meanwhile = || counting.look();
    let parts = load::parts(boot, is_damaged, &mut meanwhile)?;
    let loaded = load::load(boot, &parts, &old, mmfr0, &mut meanwhile)?;
    Ok((parts, loaded))
}

/// Starts the kernel, and takes EL2 back when it has ended: whether all its other CPUs went off.
fn start(
    shared: &Shared<'_, '_>,
    vcpu: &mut Vcpu,
    ids: &witness::trap::feature::IdRegisters,
    attention: Attention,
) -> Result<Result<(), String>, String> {
    let mut guard = share::lock(shared);
    let watch = &mut *guard;
    if attention == Attention::Watched {
        for page in watch.counting.pages().iter().chain(watch.early.pages()).copied() {
            watch.map.close(page)?;
        }
    }
    watch.map.follow(watch.witness)?;
    let map = watch.map.registers();
    // SAFETY: the map gives the kernel its memory, and closes ours and the crashed image's; nothing else runs at EL1.
    let before = unsafe { registers::enter(&attention.plan(ids, arch::cpu::is_e2h()), map, exceptions::step) };
    watch.early.begin();
    drop(guard);
    cpus::open_door(shared);
    // SAFETY: it was just set up so.
    let _ = unsafe { share::run(shared, vcpu) };
    let off = cpus::all_off(shared);
    before.restore();
    Ok(off)
}

/// Which kernel it is.
fn cycle_kernel(Cycle { run, cycle }: Cycle, boot: &Boot, loaded: &Loaded, cpu: u64) {
    let usable = boot.guest.usable;
    console::record(&Record::Kernel {
        run,
        cycle,
        entry: loaded.entry.0,
        memory_bytes: loaded.bytes,
        usable: usable.base.0,
        usable_bytes: usable.bytes,
        efi: loaded.efi,
        e2h: arch::cpu::is_e2h(),
        cpu,
    });
}

/// What became of streams, functions and SMMUs.
fn tell(
    cycle: Cycle,
    boot: &Boot,
    hw: &mut arch::bus::Smmus,
    before: &[Before],
    counting: &mut Counting<'_>,
    notes: &[handover::crash_note::CrashNote; 3],
) {
    cycle.streams(&counting.streams, boot.crash_tick);
    cycle.pcie_errors(&counting.errors);
    cycle.aborts();
    cycle.crash(boot.boot_cpu, notes);
    cycle.requesters(&counting.functions, &counting.streams, &mut counting.config, boot.crash_tick);
    for (index, old) in (0_u8..).zip(before) {
        let registers = Registers::read(hw, old.registers.smmu);
        cycle.registers(&old.registers, &registers);
        cycle.events(index, &Events::read(hw, old, &registers, None).counts, &counting.streams);
    }
}

fn check(id: &'static str, seen: Result<(), String>) -> Check {
    let (verdict, reason) = match seen {
        Ok(()) => (Verdict::Pass, String::new()),
        Err(reason) => (Verdict::Fail, reason),
    };
    Check { id, verdict, expected: Verdict::Pass, must_run: true, reason, source: SOURCE }
}

/// A sample so late that a cyclic buffer may have wrapped makes totals a lower bound. What landed in a canary stays seen, and whether
/// anything was blocked, too; and a kernel owes nobody a trap in time: told, and no failure.
fn counted_whole(counting: &Counting<'_>) -> Check {
    let check = check("witness.counts-whole", Ok(()));
    let late = counting.streams.all.iter().find(|watched| watched.overruns() != 0);
    let Some(late) = late else { return check };
    let reason = format!("totals are lower bounds: {} sample(s) of {} came too late", late.overruns(), late.stream.bdf);
    Check { verdict: Verdict::Skip, expected: Verdict::Skip, must_run: false, reason, ..check }
}

/// As much of a line as a record takes.
fn clipped(text: &str) -> &str {
    const MOST: usize = 240;
    let end = (0..=text.len().min(MOST)).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or("")
}
