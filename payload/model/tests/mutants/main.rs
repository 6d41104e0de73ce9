//! Every action of `adopt` and `reset` is dropped, doubled, delayed and altered, one at a time: does the model notice?

#[path = "../common/mod.rs"]
mod common;
mod reasons;
mod start;

use common::*;
use model::{Action, Choices, FreshFrames, Hardware, Machine, Mutant, Mutation, Outcome, Path, Seen, Stop};
use smmu::spec::registers as reg;
use smmu::takeover::{Policy, Taken, TakeoverError};
use start::{LEFT, Left, RMR, Start, hardware, is_stale, start};
use std::collections::{BTreeMap, BTreeSet};

/// Runs of each mutant on each machine.
const SEEDS: u64 = 4;

/// What a mutant did that the policy itself does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Damage {
    /// A live stream met what it must not.
    Dma,
    /// A poll or a CMD_SYNC ran into its deadline, or the takeover failed.
    Hang,
    /// A guard of the architecture was broken.
    Guard,
    /// None of these, but the SMMU ends with other registers than the policy leaves.
    State,
}

/// Registers that a takeover leaves, without those that the hardware moves.
fn state(machine: &Machine, policy: Policy) -> Vec<u64> {
    let unit = &machine.units[0];
    let words = [
        reg::CR0,
        reg::CR1,
        reg::CR2,
        reg::IRQ_CTRL,
        reg::STRTAB_BASE_CFG,
        reg::GBPA,
        reg::EVENTQ_CONS,
        reg::PRIQ_PROD,
        reg::PRIQ_CONS,
    ];
    let wide = [
        reg::STRTAB_BASE,
        reg::CMDQ_BASE,
        reg::EVENTQ_BASE,
        reg::GERROR_IRQ_CFG0,
        reg::EVENTQ_IRQ_CFG0,
        reg::PRIQ_BASE,
        reg::PRIQ_IRQ_CFG0,
    ];
    let words = words.into_iter().map(|offset| u64::from(unit.get(offset)));
    // Of the event queue's PROD the hardware moves what adoption leaves; a reset sets it.
    let produced = if policy == Policy::Reset { unit.get(reg::EVENTQ_PROD) } else { 0 };
    // How full an event queue got is a matter of time.
    let active = u32::from(unit.active_errors().with_eventq_abt_err(false));
    words.chain([produced.into(), active.into()]).chain(wide.into_iter().map(|offset| unit.get64(offset))).collect()
}

/// Everything that a run shows.
struct Shown {
    damage: BTreeSet<Damage>,
    state: Vec<u64>,
    changed: Option<(Action, &'static str)>,
    actions: usize,
}

fn run(policy: Policy, hardware: Hardware, left: Left, choices: Choices, mutation: Option<(usize, Mutation)>) -> Shown {
    let Start { mut machine, streams, whole } = start(hardware, left, choices);
    let (taken, changed, actions) = {
        let mut mutant = match mutation {
            Some((at, mutation)) => Mutant::new(&mut machine, at, mutation),
            None => Mutant::counting(&mut machine),
        };
        let mut frames = FreshFrames::default();
        let taken = take_with(policy, &mut mutant, &[RMR], &mut frames);
        (taken, mutant.changed.map(|action| (action, mutant.step)), mutant.actions())
    };
    let mut damage = BTreeSet::new();
    if !completed(policy, left, &taken) {
        damage.insert(Damage::Hang);
    }
    if !machine.units[0].violations.is_empty() {
        damage.insert(Damage::Guard);
    }
    let during = std::mem::take(&mut machine.record);
    let dma = match policy {
        Policy::Adopt => during.rows().iter().any(|seen| {
            // What was stale before may be so until the caches are clean.
            !is_stale(seen.function, left)
                && !hazards(seen, &whole[seen.function..=seen.function], streams[seen.function].kind.delivers())
                    .is_empty()
        }),
        _ => during.rows().iter().any(|seen| reset_hazard(seen, streams[seen.function].id, left)),
    };
    // And for good, in whatever the device does next.
    for _ in 0..4 {
        machine.dma_all();
    }
    let after = machine.record.rows().iter().any(|seen| {
        let delivers = match policy {
            Policy::Adopt => streams[seen.function].kind.delivers(),
            _ => false,
        };
        match seen.outcome {
            Outcome::Delivered(..) => !delivers,
            Outcome::MisSteered(_, Path::Bypass) => policy == Policy::Adopt || streams[seen.function].id != RMR.0,
            Outcome::MisSteered(..) => true,
            Outcome::Blocked(stop) => {
                delivers || stop == Stop::GbpaAbort || policy == Policy::Reset && streams[seen.function].id == RMR.0
            }
        }
    });
    if dma || after {
        damage.insert(Damage::Dma);
    }
    Shown { damage, state: state(&machine, policy), changed, actions }
}

/// Without a deadline passed, but for the released kernel's reset under CMDQ_ERR, which is its documented defect.
fn completed(policy: Policy, left: Left, taken: &Result<Taken, TakeoverError>) -> bool {
    let Ok(taken) = taken else { return false };
    let documented = policy == Policy::Reset && left == Left::CommandError;
    let ignored = taken.ignored;
    taken.did == policy
        && ignored.gbpa.is_none()
        && ignored.irq_ctrl.is_none()
        && (ignored.invalidation.is_none() || documented)
}

/// Until SMMUEN is off the old translation holds; then nothing arrives but what the RMR bypass lets through at the end.
fn reset_hazard(seen: &Seen, stream: u32, left: Left) -> bool {
    let translating =
        ["probe", "reset.new-table", "reset.read-cr0", "reset.abort", "reset.disable"].contains(&seen.step);
    let enabled = ["reset.enable", "reset.implementation"].contains(&seen.step);
    let stale = is_stale(seen.function, left);
    match seen.outcome {
        Outcome::Delivered(..) => !translating,
        Outcome::MisSteered(_, Path::Bypass) => !(stream == RMR.0 && enabled || stale && translating),
        Outcome::MisSteered(..) => !(stale && translating),
        Outcome::Blocked(Stop::GbpaAbort) => false,
        Outcome::Blocked(_) => false,
    }
}

/// Bits that are altered: those of enables, and others.
const ALTERED: [u64; 3] = [1, 1 << 3 | 1 << 20, 1 << 1];

fn mutations() -> Vec<Mutation> {
    let plain = [Mutation::Drop, Mutation::Double, Mutation::Swap];
    plain.into_iter().chain(ALTERED.map(Mutation::Alter)).collect()
}

/// One mutant: which action, how it was changed, and what was noticed on any machine.
struct Verdict {
    policy: Policy,
    action: String,
    mutation: Mutation,
    damage: BTreeSet<Damage>,
    runs: u32,
}

impl Verdict {
    /// Noticed by its effect.
    fn is_caught(&self) -> bool {
        self.damage.iter().any(|damage| *damage != Damage::State)
    }
}

/// The n-th action is another one where the SMMU has other features: it is named by what it is.
fn name(action: Action, step: &str) -> String {
    // Addresses differ from machine to machine.
    match action {
        Action::Write64(_, reg::STRTAB_BASE | reg::CMDQ_BASE | reg::EVENTQ_BASE | reg::PRIQ_BASE, _) => {
            format!("{step}: {}", action.name())
        }
        Action::Barrier(_) => format!("{step}: {}", action.name()),
        Action::Store(..) => format!("{step}: {} {:#x}", action.name(), action.value() & 0xFFFF),
        _ => format!("{step}: {} {:#x}", action.name(), action.value()),
    }
}

/// Every mutant of `policy`.
fn all(policy: Policy) -> Vec<Verdict> {
    let mut verdicts = BTreeMap::new();
    for hardware in hardware() {
        for left in LEFT {
            // The released kernel's reset cannot complete under CMDQ_ERR: nothing to compare with.
            if policy == Policy::Reset && left == Left::CommandError {
                continue;
            }
            for seed in 0..SEEDS {
                one_machine(policy, hardware, left, seed, &mut verdicts);
            }
        }
    }
    verdicts.into_values().collect()
}

fn one_machine(
    policy: Policy,
    hardware: Hardware,
    left: Left,
    seed: u64,
    verdicts: &mut BTreeMap<(String, String), Verdict>,
) {
    let choices = || if seed == 0 { Choices::kind() } else { Choices::seeded(seed) };
    let reference = run(policy, hardware, left, choices(), None);
    assert_eq!(reference.damage, BTreeSet::new(), "{policy} {hardware:?} {left:?} seed {seed}");
    for at in 0..reference.actions {
        for mutation in mutations() {
            let shown = run(policy, hardware, left, choices(), Some((at, mutation)));
            let Some((action, step)) = shown.changed else { continue };
            if matches!((action, mutation), (Action::Barrier(_), Mutation::Alter(_))) {
                continue;
            }
            let action = name(action, step);
            let key = (action.clone(), format!("{mutation:?}"));
            let verdict = verdicts.entry(key).or_insert_with(|| Verdict {
                policy,
                action,
                mutation,
                damage: BTreeSet::new(),
                runs: 0,
            });
            verdict.runs += 1;
            verdict.damage.extend(shown.damage);
            if shown.state != reference.state {
                verdict.damage.insert(Damage::State);
            }
        }
    }
}

fn examine(policy: Policy, at_least: usize) {
    let verdicts = all(policy);
    let (mut caught, mut registers, mut unexplained) = (0, 0, Vec::new());
    for verdict in &verdicts {
        let Verdict { policy, action, mutation, damage, runs } = verdict;
        let row = format!("{policy:5} {action:40} {:15}", format!("{mutation:?}"));
        if verdict.is_caught() {
            caught += 1;
            println!("caught     {row} {damage:?} in {runs} runs");
            continue;
        }
        let reason = reasons::reason(action, *mutation);
        match reason {
            _ if damage.contains(&Damage::State) => {
                registers += 1;
                println!("registers  {row} no DMA passes through what differs");
            }
            Some(reason) => println!("equivalent {row} {reason}"),
            None => unexplained.push(row),
        }
    }
    println!(
        "{policy}: {} mutants, {caught} caught by effect, {registers} by the registers left behind, the rest equivalent",
        verdicts.len()
    );
    assert_eq!(unexplained, Vec::<String>::new());
    assert!(caught >= at_least, "{policy}: only {caught} caught");
}

#[test]
fn every_mutant_of_adopt_is_caught_or_explained() {
    examine(Policy::Adopt, 60);
}

#[test]
fn every_mutant_of_reset_is_caught_or_explained() {
    examine(Policy::Reset, 80);
}
