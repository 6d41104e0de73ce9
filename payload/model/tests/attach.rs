//! Bring-up, arming, and changes of a live stream table: hitless or breaking, never a mixture.

mod common;

use addr::{Iova, PhysAddr, StreamId};
use common::*;
use model::{
    Choices, Freedom, Freedoms, FreshFrames, Function, Hardware, Machine, Outcome, Path, Personality, Schedule, Seen,
    Window, exhaust, used,
};
use smmu::access::{Access, Structure};
use smmu::bringup::{Domain, Options, Unit};
use smmu::spec::ste::Ste;
use smmu::table::{ABORT, Format, bypass_ste};
use smmu::takeover::Policy;
use smmu::translation::Attributes;

const SID: StreamId = StreamId(0x18);
const A: PhysAddr = PhysAddr(0x4800_0000);
const B: PhysAddr = PhysAddr(0x4900_0000);

struct Board {
    machine: Machine,
    frames: FreshFrames,
    unit: Unit,
}

/// A brought-up SMMU, with a live function behind it from the first access on.
fn bring_up(hardware: Hardware, choices: Choices, format: Option<Format>, function: Function) -> Board {
    let mut machine = Machine::new(hardware, choices);
    machine.functions.push(function);
    machine.schedule = Schedule::EveryAccess;
    let mut frames = FreshFrames::default();
    let mut options = Options::new(PhysAddr(0x0905_0000), StreamId(0x1F));
    options.format = format;
    options.timeout_us = 2000;
    let unit = Unit::bring_up(&mut machine, SMMU, &options, &mut frames).expect("bring-up");
    Board { machine, frames, unit }
}

fn domain(board: &mut Board, target: PhysAddr) -> Domain {
    let Board { machine, frames, unit } = board;
    let domain = unit.new_domain(machine, frames).expect("domain");
    domain.tables.map(machine, frames, Iova(IOVA), target, 0x1000, Attributes::default()).expect("map");
    domain
}

fn formats(hardware: Hardware) -> Vec<Option<Format>> {
    let linear_too = hardware.idr0.st_level() == 1;
    std::iter::once(None).chain(linear_too.then_some(Some(Format::Linear))).collect()
}

#[test]
fn from_bring_up_over_arming_to_adoption_a_stream_meets_nothing_half_done() {
    for (name, hardware) in hardware() {
        for format in formats(hardware) {
            for seed in 0..60 {
                let label = format!("{name}, {format:?}, seed {seed}");
                let function = Function::new(SID, &[Window::new(Iova(IOVA), A)]);
                let mut board = bring_up(hardware, Choices::seeded(seed), format, function);
                let translation = domain(&mut board, A);
                let Board { machine, frames, unit } = &mut board;
                // What came before: firmware's bypass, then an aborting table.
                let before = std::mem::take(&mut machine.record);
                for seen in before.rows() {
                    let right = match seen.outcome {
                        Outcome::MisSteered(_, Path::Disabled) => {
                            ["smmu.identify", "smmu.disable", "smmu.program", "smmu.enable"].contains(&seen.step)
                        }
                        outcome => outcome.is_blocked(),
                    };
                    assert!(right, "{label}: {seen:?}");
                }
                machine.step("arm");
                unit.attach(machine, frames, SID, &translation).expect("attach");
                let whole = [ABORT, translation.ste];
                for seen in machine.record.rows() {
                    assert_eq!(hazards(seen, &whole, false), [], "{label}: {seen:?}");
                }
                machine.record.clear();
                machine.dma_all();
                let taken = take_with(Policy::Adopt, machine, &[], frames).expect("adopt");
                let coherent = hardware.idr0.cohacc();
                assert_eq!(taken.did == Policy::Adopt, coherent, "{label}: {:?}", taken.refusal);
                for seen in machine.record.rows() {
                    assert_eq!(hazards(seen, &whole[1..], true), [], "{label}: {seen:?}");
                }
                assert_eq!(machine.units[0].violations, [], "{label}");
            }
        }
    }
}

/// What a stream is made to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Abort,
    Bypass,
    S1(usize),
}

const STATES: [State; 4] = [State::Abort, State::Bypass, State::S1(0), State::S1(1)];

fn expected(state: State, domains: &[Domain; 2], board: &Board) -> Ste {
    match state {
        State::Abort => ABORT,
        State::Bypass => bypass_ste(board.machine.units[0].hardware.idr1),
        State::S1(which) => domains[which].ste,
    }
}

fn change(board: &mut Board, state: State, domains: &[Domain; 2]) {
    let Board { machine, frames, unit } = board;
    match state {
        State::Abort => unit.detach(machine, SID),
        State::Bypass => unit.attach_bypass(machine, frames, SID),
        State::S1(which) => unit.attach(machine, frames, SID, &domains[which]),
    }
    .expect("change");
}

/// The address that a state gives.
fn lands(state: State) -> Option<PhysAddr> {
    match state {
        State::Abort => None,
        State::Bypass => Some(PhysAddr(IOVA)),
        State::S1(0) => Some(A),
        State::S1(_) => Some(B),
    }
}

/// Old state, new state, or V=0 in between: nothing else, and the new one alone when the change has returned.
fn check(seen: &Seen, from: (State, Ste), to: (State, Ste), done: bool) {
    if let Some(ste) = seen.ste {
        let invalid = ste[0] & 1 == 0;
        let whole = used::same(&ste, &to.1) || !done && (invalid || used::same(&ste, &from.1));
        assert!(whole, "{from:x?} to {to:x?}: {seen:x?}");
    }
    let address = match seen.outcome {
        Outcome::Delivered(pa, _) | Outcome::MisSteered(pa, _) => Some(pa),
        Outcome::Blocked(_) => None,
    };
    let right = address == lands(to.0) || !done && (address.is_none() || address == lands(from.0));
    assert!(right, "{from:x?} to {to:x?}, done {done}: {seen:x?}");
}

/// Every change from one state to another on a live SMMU.
fn changes(hardware: Hardware, format: Option<Format>, mut choices: impl FnMut() -> Choices) {
    for from in STATES {
        for to in STATES {
            one_change(hardware, format, choices(), from, to);
        }
    }
}

fn one_change(hardware: Hardware, format: Option<Format>, choices: Choices, from: State, to: State) -> Machine {
    let function = Function::new(SID, &[Window::new(Iova(IOVA), A)]);
    // What leads to the old state is not part of the question, and takes no choices.
    let mut board = bring_up(hardware, Choices::kind(), format, function);
    let domains = [domain(&mut board, A), domain(&mut board, B)];
    change(&mut board, from, &domains);
    board.machine.bus.choices = choices;
    board.machine.dma_all();
    board.machine.record.clear();
    let (old, new) = (expected(from, &domains, &board), expected(to, &domains, &board));
    change(&mut board, to, &domains);
    for seen in board.machine.record.rows() {
        check(seen, (from, old), (to, new), false);
    }
    board.machine.record.clear();
    for _ in 0..4 {
        board.machine.dma_all();
    }
    for seen in board.machine.record.rows() {
        // Without a level 2, a detached stream is a bad StreamID: blocked as well.
        check(seen, (from, old), (to, new), true);
    }
    assert_eq!(board.machine.units[0].violations, []);
    board.machine
}

#[test]
fn every_change_of_a_live_stream_is_hitless_or_breaking_and_complete_when_it_returns() {
    for (_, hardware) in hardware() {
        for format in formats(hardware) {
            for seed in 0..80 {
                changes(hardware, format, || Choices::seeded(seed));
            }
        }
    }
}

#[test]
fn changes_are_right_whatever_three_choices_the_hardware_makes_otherwise() {
    let allowed = Freedoms::of(&[
        Freedom::Visibility,
        Freedom::Torn,
        Freedom::ConfigEviction,
        Freedom::TlbEviction,
        Freedom::Consume,
        Freedom::Complete,
    ]);
    let mut runs = 0;
    let hardware = Hardware { slowest: 1, ..Hardware::virt(Personality::Architecture { minor: 1 }) };
    for (from, to) in [(State::S1(0), State::S1(1)), (State::Abort, State::S1(0)), (State::Bypass, State::S1(1))] {
        runs +=
            exhaust(allowed, 3, |choices| one_change(hardware, Some(Format::Linear), choices, from, to).bus.choices);
    }
    println!("{runs} runs");
    assert!(runs > 10_000, "{runs}");
}

#[test]
fn a_writer_that_replaces_an_ste_in_place_is_seen_mixed() {
    let mut mixed = 0;
    for seed in 0..100 {
        let function = Function::new(SID, &[Window::new(Iova(IOVA), A)]);
        let mut board = bring_up(Hardware::server(1), Choices::seeded(seed), Some(Format::Linear), function);
        let domains = [domain(&mut board, A), domain(&mut board, B)];
        change(&mut board, State::S1(0), &domains);
        board.machine.record.clear();
        let whole = [State::S1(0), State::Bypass].map(|state| expected(state, &domains, &board));
        let at = board.unit.table().ste_address(&mut board.machine, SID).unwrap().unwrap();
        for (word, offset) in whole[1].iter().zip((0..).step_by(8)) {
            board.machine.store(SMMU, Structure::Ste, at.plus(offset), *word);
        }
        let all = board.machine.record.rows().iter().flat_map(|seen| hazards(seen, &whole, true));
        mixed += u32::from(all.into_iter().any(|hazard| hazard == Hazard::Mixed));
    }
    println!("{mixed} of 100 seeds see a mixture");
    assert!(mixed >= 5);
}

#[test]
fn a_cpu_that_does_not_clean_its_stores_for_a_non_coherent_smmu_is_found() {
    let hardware = Hardware::virt(Personality::Architecture { minor: 1 }).idr0(|idr0| idr0.with_cohacc(false));
    let armed = |keeps_stores| {
        let function = Function::new(SID, &[Window::new(Iova(IOVA), A)]);
        let mut board = bring_up(hardware, Choices::kind(), None, function);
        let translation = domain(&mut board, A);
        board.machine.bus.keeps_stores = keeps_stores;
        let Board { machine, frames, unit } = &mut board;
        let attached = unit.attach(machine, frames, SID, &translation);
        machine.dma(0, 0).is_delivered() && attached.is_ok()
    };
    assert!(armed(false));
    assert!(!armed(true));
}
