//! One crash: arm, record, jump; and after the taker hands back, stop everything and look for DMA that did not stop.

use crate::{
    arm, damage, dying,
    endpoints::Candidate,
    errors, kdump_image,
    machine::Machine,
    oracle,
    others::Others,
    plant, quiesce,
    region::{Places, Prepared},
    streams::{self, Live},
};
use alloc::{format, string::String, vec::Vec};
use arch::{
    alive,
    bus::EcamWindow,
    console, exceptions,
    frames::FramePool,
    jump::{self, Context},
    power::Conduit,
    timer,
};
use handover::{
    boot::{self, Boot},
    last_words,
    oracle::FunctionLeft,
    report::{Ended, Report},
};
use scenario::{Crash, Damage, Plant, Policy, options::RunOptions};
use smmu::bringup::Unit;
use wire::{
    Record,
    record::{Outcome, Verdict},
};

/// How long DMA that did not stop is waited for, first translated and then not: longer than the period of the slowest
/// endpoint, together.
const LATE_US: u64 = 1_500;
const LATE_BYPASSED_US: u64 = 500;
/// Where the rules of a cycle are explained.
const SOURCE: &str = "ARCHITECTURE.md, cycles";
/// Where it says what firmware must do with a CPU that is to go off or on.
const PSCI: &str = "Arm DEN 0022, 5.5, 5.6";
/// A sender is gone when its stream is quiet for this long.
const QUIET_US: u64 = 60_000;
const QUIET_LIMIT_US: u64 = 3_000_000;

/// What a cycle needs from the session.
pub(crate) struct Setting<'a> {
    pub(crate) machine: &'a mut Machine,
    /// Those that could be armed so far.
    pub(crate) candidates: &'a mut Vec<Candidate>,
    pub(crate) options: &'a RunOptions,
    pub(crate) prepared: &'a Prepared,
    pub(crate) places: &'a mut Places,
    /// The oracle of the cycle before, for the planted fault.
    pub(crate) last_oracle: &'a mut Option<Vec<u8>>,
    pub(crate) run: u32,
    pub(crate) cycle: u32,
    pub(crate) cycles: u32,
    /// What is asked for, of which the rest is taken.
    pub(crate) name: &'a str,
    /// The taker's; `None`: it is a kernel that was brought along.
    pub(crate) policy: Option<Policy>,
    pub(crate) damage: Damage,
    pub(crate) crash: Crash,
    /// PCI functions, and what they told of errors when all was armed.
    pub(crate) functions: Vec<FunctionLeft>,
}

/// How a cycle ended.
pub(crate) struct CycleEnd {
    pub(crate) outcome: Outcome,
    pub(crate) checks: u32,
    pub(crate) failed: u32,
}

/// Runs one cycle from a quiet machine to a quiet machine.
pub(crate) fn run(mut setting: Setting<'_>) -> CycleEnd {
    let started = timer::now();
    let mut end = CycleEnd { outcome: Outcome::Pass, checks: 0, failed: 0 };
    // SAFETY: the arena is ours and mapped; everything of the last cycle in it was stopped and dropped.
    let mut frames = unsafe { FramePool::new(setting.machine.memory.arena.start, setting.machine.memory.arena.bytes) };
    let (mut units, mut live) = (Vec::new(), Vec::new());
    let mut report = Report::default();
    errors::clear(setting.machine, (setting.run, setting.cycle) == (0, 0));
    let armed = arm::arm(&mut setting, &mut frames, &mut units, &mut live, &mut end);
    let crashed = armed.map_err(NoCrash::from);
    alive::step("crash");
    match crashed.and_then(|()| crash(&mut setting, &mut frames, &mut units, &mut live)) {
        Ok((from_kdump, stopped)) => {
            report = from_kdump;
            match stopped {
                Err(reason) => setting.fail(&mut end, "cycle.cpus-off", &reason, PSCI),
                Ok(()) if setting.crash.needs_second_cpu() => setting.pass(&mut end, "cycle.cpus-off", PSCI),
                Ok(()) => {}
            }
        }
        Err(NoCrash { id, verdict, reason, source }) => setting.tell(&mut end, id, verdict, &reason, source),
    }
    if report.outcome != Ended::PASS {
        end.outcome = Outcome::Fail;
    }
    alive::phase(last_words::CLEAN_UP, "");
    tear_down(&mut setting, &mut units, &live, &mut end);
    quiesce::works_again(&mut setting, &mut end);
    let Setting { run, cycle, .. } = setting;
    // The count is of the checks that were sent; the taker sends those of a first and of a failed cycle.
    if cycle == 0 || report.outcome != Ended::PASS || end.failed == 0 {
        end.checks += report.checks;
        end.failed += report.failed;
    }
    console::record(&Record::Timing {
        run,
        cycle,
        crash_to_kdump: report.crash_to_kdump,
        takeover: report.takeover,
        hold: report.hold,
        watch: report.watch,
        counted: report.counted,
        cycle_total: timer::now() - started,
    });
    console::record(&Record::Cycle { run, cycle, outcome: end.outcome, checks: end.checks, failed: end.failed });
    end
}

/// The check that says why there was no crash, or no way back from it.
pub(crate) struct NoCrash {
    pub(crate) id: &'static str,
    pub(crate) verdict: Verdict,
    pub(crate) reason: String,
    pub(crate) source: &'static str,
}

impl From<String> for NoCrash {
    fn from(reason: String) -> Self {
        Self { id: "cycle.completed", verdict: Verdict::Fail, reason, source: SOURCE }
    }
}

impl Setting<'_> {
    /// Tells a check of the primary's own that failed.
    pub(crate) fn fail(&self, end: &mut CycleEnd, id: &str, reason: &str, source: &str) {
        self.tell(end, id, Verdict::Fail, reason, source);
    }

    /// Tells one that did not pass.
    pub(crate) fn tell(&self, end: &mut CycleEnd, id: &str, verdict: Verdict, reason: &str, source: &str) {
        end.checks += 1;
        end.failed += 1;
        end.outcome = Outcome::Fail;
        self.say_check(id, verdict, reason, source);
    }

    fn say_check(&self, id: &str, verdict: Verdict, reason: &str, source: &str) {
        let (run, cycle, expected) = (self.run, self.cycle, Verdict::Pass);
        console::record(&Record::Check { run, cycle, id, verdict, expected, must_run: true, reason, source });
    }

    /// The checks of a first cycle are sent one by one; later cycles only send what failed.
    pub(crate) fn pass(&self, end: &mut CycleEnd, id: &str, source: &str) {
        if self.cycle == 0 {
            end.checks += 1;
            self.say_check(id, Verdict::Pass, "", source);
        }
    }
}

/// Records the oracle, loads the taker, crashes, and returns with what the taker left, and whether the other CPUs are off.
fn crash(
    setting: &mut Setting<'_>,
    frames: &mut FramePool,
    units: &mut [Unit],
    live: &mut [Live],
) -> Result<(Report, Result<(), String>), NoCrash> {
    let (run, cycle) = (setting.run, setting.cycle);
    let armed_tick = timer::now();
    let is_sender_stopped = setting.options.plant == Some(Plant::SenderStopped);
    setting.functions = errors::sample(setting.machine);
    // Each of these steps takes its time where there is much of it: a cyclic buffer must not come round unseen meanwhile.
    streams::sample(setting.machine, live);
    if cycle == 0 || is_sender_stopped {
        console::record(&Record::Armed { run, cycle, streams: live.len() as u32 });
    }
    if is_sender_stopped {
        streams::wait_until_one_is_quiet(setting.machine, live, QUIET_US, QUIET_LIMIT_US);
    }
    if setting.options.plant == Some(Plant::PcieErrorBefore) && cycle == 0 {
        errors::wait_for_one(setting.machine, live, &setting.functions);
    }
    for unit in &*units {
        unit.discard_events(&mut setting.machine.hw);
    }
    plant::apply(setting, frames, units, live)?;

    // Damage that an adoption does not mind is part of the digests.
    let damaged = match setting.damage {
        damage if damage.is_adopted() => damage::apply(setting.machine, frames, damage)?,
        _ => Vec::new(),
    };
    let mut left = oracle::smmus(setting, units, live)?;
    damage::mark(&mut left, &damaged);
    streams::sample(setting.machine, live);
    let mut options = format!(
        "scenario={} cycles={} plant={} hold_us={} watch_us={} step-hold={} lava={}",
        setting.name,
        setting.cycles,
        setting.options.plant.map_or("none", Plant::name),
        setting.options.hold_us,
        setting.options.watch_us,
        u32::from(setting.options.step_hold),
        u32::from(setting.options.lava),
    );
    setting.options.hands.write(&mut options);
    let mut boot = setting.places.fill(setting.machine, setting.prepared, &options)?;
    if setting.options.plant == Some(Plant::KdumpDigest) {
        setting.places.damage_image();
    }
    // SAFETY: the image was loaded there, and nothing runs in it yet.
    let found = unsafe { kdump_image::digest(&boot.image) };
    if found != boot.image.digest {
        let text = format!("the kdump image's digest is {found:#x}, not {:#x}: no jump", boot.image.digest);
        return Err(text.into());
    }
    streams::sample(setting.machine, live);
    let others = Others::start(setting.machine, live, setting.crash, setting.places.note());
    let not_started = |reason| NoCrash { id: "cpu.started", verdict: Verdict::NotCovered, reason, source: PSCI };
    let others = others.map_err(not_started)?;
    let died = dying::die(setting, frames, live, &others, &mut boot, &mut left, armed_tick);
    // In any case, and before an endpoint is stopped: one of them may be ringing its doorbell.
    let stopped = others.stop();
    died?;

    let report = setting.places.report();
    report.verify().map_err(|error| format!("the kdump image's report: {error}"))?;
    if (report.run, report.cycle) != (run, cycle) {
        let text = format!("the kdump image reports cycle {}.{}, not {run}.{cycle}", report.run, report.cycle);
        return Err(text.into());
    }
    console::set_next_sequence(report.next_sequence);
    Ok((report, stopped))
}

/// What the boot block says of the machine.
pub(crate) fn complete(boot: &mut Boot, setting: &Setting<'_>, context: &Context) {
    let machine = &*setting.machine;
    (boot.run, boot.cycle) = (setting.run, setting.cycle);
    boot.psci = match machine.conduit {
        Conduit::Smc => boot::PSCI_SMC,
        Conduit::Hvc => boot::PSCI_HVC,
        Conduit::None => boot::PSCI_NONE,
    };
    boot.console = boot::Console {
        base: machine.console.base,
        kind: if machine.console.stride == 0 { boot::CONSOLE_PL011 } else { boot::CONSOLE_16550 },
        register_width: machine.console.register_width as u16,
        stride: machine.console.stride as u16,
    };
    boot.gic = machine.gic;
    boot.timer_interrupt = machine.timer_interrupt;
    boot.way_back.entry = jump::way_back();
    boot.way_back.context = (&raw const *context).addr() as u64;
    for (slot, window) in boot.ecam.iter_mut().zip(machine.config.windows()) {
        let EcamWindow { base, segment, first_bus, last_bus } = *window;
        *slot = boot::Ecam { base, segment, first_bus, last_bus, reserved: 0 };
        boot.ecam_count += 1;
    }
    boot.watchdog = alive::guarded();
    boot.last_words = alive::kept();
    boot.smmu_count = machine.smmus.len() as u32;
    for (slot, smmu) in boot.smmus.iter_mut().zip(&machine.smmus) {
        let flags = if smmu.coherent_override { boot::SMMU_COHERENT_OVERRIDE } else { 0 };
        *slot = boot::Smmu { base: smmu.base, flags, reserved: 0 };
    }
}

/// Stops every endpoint, poisons all windows, and disables the SMMUs once everything late must have come.
pub(crate) fn stop(setting: &mut Setting<'_>, units: &mut [Unit], live: &[Live], end: &mut CycleEnd) {
    for text in &streams::quiesce(setting.machine, live) {
        setting.fail(end, "cycle.endpoints-stopped", text, SOURCE);
    }
    streams::poison(setting.machine, live);
    timer::sleep_us(LATE_US);
    for unit in units {
        if let Err(error) = unit.give_back(&mut setting.machine.hw) {
            setting.machine.not_disabled = Some(unit.smmu());
            setting.fail(end, "cycle.smmu-disabled", &format!("SMMU {}: {error}", unit.smmu().0), "IHI 0070 6.3.9");
        }
    }
}

/// Stops every endpoint and looks for DMA that did not stop: what landed while the SMMU still translated as the taker left
/// it, or when it is disabled and GBPA is the firmware's. In between the SMMUs are disabled behind ABORT.
fn tear_down(setting: &mut Setting<'_>, units: &mut [Unit], live: &[Live], end: &mut CycleEnd) {
    exceptions::clear();
    exceptions::record_aborts(true);
    exceptions::step("stop endpoints");
    stop(setting, units, live, end);
    timer::sleep_us(LATE_BYPASSED_US);
    let late = streams::landed(setting.machine, live);
    for (stream_id, at) in &late {
        let text = format!("stream {stream_id} still writes after its endpoint was stopped, at {at}");
        setting.fail(end, "cycle.no-late-dma", &text, SOURCE);
    }
    if late.is_empty() {
        setting.pass(end, "cycle.no-late-dma", SOURCE);
    }
    exceptions::step("");
    exceptions::record_aborts(false);
    if let Some(abort) = exceptions::record(0) {
        let (class, step, esr, count) = (abort.class(), abort.step, abort.esr, exceptions::recorded());
        let text = format!("{count} taken after the taker handed back; first: {class} at step {step}, ESR {esr:#x}");
        setting.fail(end, "cycle.no-serror", &text, SOURCE);
    }
}
