//! Values that a command line may name, each with a line about it.

use clap_complete::CompletionCandidate;
use scenario::Plant;

use crate::{boards, run, test};

/// Boards of the checkout. What cannot be read is for `boards check` to say.
pub fn boards() -> Vec<CompletionCandidate> {
    let names = board::names(&boards::folder()).unwrap_or_default();
    let about = |name: &String| boards::load(name).map(|board| board.description).unwrap_or_default();
    names.iter().map(|name| candidate(name, &about(name))).collect()
}

/// Scenarios, and `all`.
pub fn scenarios() -> Vec<CompletionCandidate> {
    let each = run::all_work().map(|work| candidate(&work.to_string(), work.documented().expects));
    [candidate("all", "all of them, for which the board allows the risks")].into_iter().chain(each).collect()
}

/// Faults that can be planted.
pub fn plants() -> Vec<CompletionCandidate> {
    Plant::ALL.iter().map(|plant| CompletionCandidate::new(plant.name())).collect()
}

/// Cases on QEMU.
pub fn cases() -> Vec<CompletionCandidate> {
    test::names().into_iter().map(CompletionCandidate::new).collect()
}

fn candidate(name: &str, about: &str) -> CompletionCandidate {
    CompletionCandidate::new(name).help(Some(about.to_owned().into()))
}
