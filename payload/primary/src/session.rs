//! All runs of one boot, in order.

use crate::{
    census,
    cycle::{self, Setting},
    damage,
    endpoints::Candidate,
    errors,
    firmware::Firmware,
    last_words,
    machine::Machine,
    others, quiesce,
    region::{Places, Prepared},
};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use arch::{alive, console, lost, timer};
use scenario::{Crash, Cycles, Damage, Plant, Policy, Risks, Scenario, Work, options::RunOptions};
use wire::{
    Record,
    record::{Outcome, Verdict},
};

/// The check that says why a scenario is not run.
const POSSIBLE: &str = "scenario.possible";

/// A boot's work.
pub(crate) struct Session {
    pub(crate) machine: Machine,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) options: RunOptions,
    pub(crate) prepared: Prepared,
    /// The taker that watches a kernel, or why there is none.
    pub(crate) witness: Result<Prepared, String>,
    pub(crate) places: Places,
    /// When the run that goes on ends, where it goes by time.
    pub(crate) deadline: Option<u64>,
    /// The run to begin with: a boot before this one did those before, and died in the last of them.
    pub(crate) first: u32,
}

impl Session {
    /// Runs every scenario as often as asked, and ends the boot's output. The session stays: it owns the map in force.
    pub(crate) fn run(&mut self, firmware: &mut dyn Firmware) {
        let scenarios = core::mem::take(&mut self.options.scenarios);
        console::with(|writer| {
            // The console never fails; what it loses, sequence numbers and CRCs show.
            let _ = writer.ktap_start();
            let _ = writer.ktap_plan(0, scenarios.len() as u32);
            if let Some(died) = scenarios.iter().take(self.first as usize).next_back() {
                let _ = writer.ktap_result(0, self.first, &died.to_string(), Outcome::Lost);
            }
        });
        let span = timer::ticks_of_us(u64::from(self.options.for_s) * 1_000_000) / (scenarios.len() as u64).max(1);
        let mut outcome = if self.first == 0 { Outcome::Pass } else { Outcome::Lost };
        for (run, work) in (0..).zip(&scenarios).skip(self.first as usize) {
            if self.options.watchdog_s != 0 {
                last_words::begin_run(firmware, run, &work.to_string());
            }
            if self.options.lava {
                console::with(|writer| {
                    // As above.
                    let _ = writer.lava_set(&work.to_string());
                });
            }
            self.deadline = (span != 0).then(|| timer::now() + span);
            let of_run = self.run_work(run, *work);
            console::with(|writer| {
                // As above.
                let _ = writer.ktap_result(0, run + 1, &work.to_string(), of_run);
                if self.options.lava {
                    let _ = writer.lava_end(of_run);
                }
            });
            if of_run != Outcome::Pass && outcome == Outcome::Pass {
                outcome = of_run;
            }
        }
        errors::put_back(&mut self.machine);
        console::record(&Record::End { outcome, runs: scenarios.len() as u32 });
        console::with(|writer| {
            // As above.
            let _ = writer.ktap_end(outcome);
        });
        if self.options.watchdog_s != 0 {
            alive::end();
            // Where it is not forgotten, it was not kept, or the next start tells it.
            let _ = firmware.keep(&[]);
        }
    }

    fn run_work(&mut self, run: u32, work: Work) -> Outcome {
        // A run by time announces no number.
        let cycles = if self.deadline.is_some() { 0 } else { self.options.cycles };
        let name = work.to_string();
        let plant = self.options.plant.map_or("", Plant::name);
        console::record(&Record::RunBegin { run, scenario: &name, cycles, plant });
        // Where hardware marks who does DMA, a census refuses nobody anything.
        let refuses = work != Work::Census || census::may_refuse(&mut self.machine);
        let risks = if refuses { work.risks() } else { Risks::NONE };
        let forbidden = risks.without(self.options.allow_risks);
        if !forbidden.is_empty() {
            let reason = format!("the board does not allow the risk {forbidden}");
            return not_run(run, "scenario.allowed", &reason, "board allow_risks", Outcome::Pass);
        }
        match work {
            Work::Crash(Scenario { policy, damage, crash }) => self.run_crash(run, &name, Some(policy), damage, crash),
            Work::Witness { damage, crash } => match &self.witness {
                Ok(_) => self.run_crash(run, &name, None, damage, crash),
                // Whoever asks for it counts on it: it is no scenario of `all`.
                Err(why) => not_run(run, POSSIBLE, why, "ARCHITECTURE.md, witness", Outcome::Fail),
            },
            Work::Census => self.repeat(run, &mut |session, cycle| census::run(session, run, cycle) == Outcome::Pass),
        }
    }

    /// Runs cycles, as many as asked or for as long; `cycle` says of each whether it passed.
    fn repeat(&mut self, run: u32, cycle: &mut dyn FnMut(&mut Self, u32) -> bool) -> Outcome {
        let (deadline, asked) = (self.deadline, self.options.cycles);
        let mut goes_on = |cycles| deadline.map_or(cycles < asked, |deadline| timer::now() < deadline);
        let mut each = |number| {
            alive::change(|words| words.begin_cycle(number));
            (cycle(self, number), self.machine.not_disabled)
        };
        let Cycles { run: cycles, failed: cycles_failed, not_disabled } = scenario::repeat(&mut each, &mut goes_on);
        if let Some(smmu) = not_disabled {
            lost::because(format_args!("SMMU {} is not disabled: it may use our memory", smmu.0));
        }
        let outcome = if cycles_failed == 0 { Outcome::Pass } else { Outcome::Fail };
        console::record(&Record::RunEnd { run, outcome, cycles, cycles_failed });
        outcome
    }

    /// Why the machine cannot have it, and where it says what that takes.
    fn lacks(&mut self, policy: Option<Policy>, damage: Damage, crash: Crash) -> Option<(&'static str, &'static str)> {
        if let Some(why) = damage::lacks(&mut self.machine, &self.options, damage) {
            return Some((why, "ARCHITECTURE.md, damage"));
        }
        let is_single =
            !self.machine.platform.gic.cpus.is_empty() && others::affinities(&self.machine).next().is_none();
        if is_single && crash.needs_second_cpu() {
            return Some(("the firmware names no second CPU", "ACPI 6.5, 5.2.12.14"));
        }
        let policy = policy?;
        if let Some(why) = quiesce::lacks(&mut self.machine, &self.candidates, policy) {
            return Some((why, "ARCHITECTURE.md, stopping devices"));
        }
        let has_audio = self.candidates.iter().any(|candidate| candidate.driver.name() == "hda");
        (policy.attaches() && !has_audio)
            .then_some(("no HD Audio controller to start again", "ARCHITECTURE.md, deferred attach"))
    }

    /// Crashes of one kind; `policy`: none where a kernel takes over that was brought along.
    fn run_crash(&mut self, run: u32, name: &str, policy: Option<Policy>, damage: Damage, crash: Crash) -> Outcome {
        if let Some((why, source)) = self.lacks(policy, damage, crash) {
            return not_run(run, POSSIBLE, why, source, Outcome::Pass);
        }
        let mut last_oracle = None;
        // The taker is told whether there are several.
        let cycles = if self.deadline.is_some() { self.options.cycles.max(2) } else { self.options.cycles };
        self.repeat(run, &mut |session, cycle| {
            let end = cycle::run(Setting {
                machine: &mut session.machine,
                candidates: &mut session.candidates,
                options: &session.options,
                prepared: match &session.witness {
                    Ok(witness) if policy.is_none() => witness,
                    _ => &session.prepared,
                },
                places: &mut session.places,
                last_oracle: &mut last_oracle,
                run,
                cycle,
                cycles,
                name,
                policy,
                damage,
                crash,
                functions: Vec::new(),
            });
            end.outcome == Outcome::Pass && end.checks != 0
        })
    }
}

/// A scenario that does not apply to the board (and passes), or could not be run: one check that says so, and no cycle.
fn not_run(run: u32, id: &str, reason: &str, source: &str, outcome: Outcome) -> Outcome {
    let must_run = outcome != Outcome::Pass;
    let (verdict, expected) =
        if must_run { (Verdict::NotCovered, Verdict::Pass) } else { (Verdict::Skip, Verdict::Skip) };
    console::record(&Record::Check { run, cycle: 0, id, verdict, expected, must_run, reason, source });
    console::record(&Record::RunEnd { run, outcome, cycles: 0, cycles_failed: 0 });
    outcome
}
