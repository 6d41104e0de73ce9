//! Nothing that PCI Express functions tell of errors is new since they were at work.

use super::{dma, evidence::Evidence, seen::Seen};
use crate::{policy::After, quiesce::Means};
use addr::Bdf;
use alloc::{string::String, vec::Vec};
use core::fmt::Write;
use handover::oracle::FunctionLeft;
use pci::{ErrorPlaces, ErrorState};
use wire::record::Verdict;

const PHASES: [&str; 3] = ["before", "blackout", "after"];
/// Errors that a reason names.
const NAMED: usize = 4;

/// What a function tells anew in one phase.
struct New {
    function: usize,
    phase: usize,
    state: ErrorState,
}

/// The functions with what was seen of them; empty without an oracle of this cycle.
fn functions<'a>(evidence: &Evidence<'a>) -> (&'a [FunctionLeft], &'a [[ErrorState; 3]]) {
    let left = evidence.fresh_oracle().map_or(&[][..], |oracle| oracle.functions);
    if left.len() == evidence.functions.len() { (left, evidence.functions) } else { (&[], &[]) }
}

/// Everything that is new, by phase.
fn all_new(evidence: &Evidence<'_>) -> Vec<New> {
    let (left, seen) = functions(evidence);
    let mut all = Vec::new();
    for phase in 0..PHASES.len() {
        for (function, (left, seen)) in left.iter().zip(seen).enumerate() {
            let before = if phase == 0 { &left.armed } else { &seen[phase - 1] };
            let state = before.difference(&seen[phase]);
            if !state.is_clean() {
                all.push(New { function, phase, state });
            }
        }
    }
    all
}

/// Some function has more to tell than a conventional one.
fn reports(evidence: &Evidence<'_>) -> bool {
    let left = evidence.fresh_oracle().map_or(&[][..], |oracle| oracle.functions);
    left.iter().any(|left| left.places.reports())
}

/// `function` is the stream's, or leads from there to the root.
fn is_on_path(left: &[FunctionLeft], stream: Bdf, function: usize) -> bool {
    let mut at = left.iter().position(|known| known.places.bdf == stream);
    // Each step leads up; a list that leads in a circle ends with it.
    for _ in 0..left.len() {
        match at {
            Some(index) if index == function => return true,
            Some(index) => {
                let above = left.get(index).map_or(ErrorPlaces::NONE, |known| known.places.upstream);
                at = (above != ErrorPlaces::NONE).then_some(usize::from(above));
            }
            None => return false,
        }
    }
    false
}

/// The scenario's documentation allows for it: since the crash, requests of a stream on this path are refused, and it is the
/// trace of one; or the taker has looked for functions, also where none is.
fn is_documented(evidence: &Evidence<'_>, new: &New) -> bool {
    if new.phase == 0 {
        return false;
    }
    if !new.state.is_refusal() {
        return is_of_reset(evidence, new);
    }
    let is_probed = evidence.is_any(|row| row.quiesces() || row.rmr == After::IdentityBlocked);
    let (left, _) = functions(evidence);
    let mut streams = evidence.streams();
    is_probed
        || streams.any(|(stream, _)| {
            let course = dma::documented(evidence, stream);
            // Until its bypass is in force an RMR stream may be refused as well.
            let is_refused = course.blocks() || (course == After::Untranslated && dma::is_rmr(stream));
            is_refused && is_on_path(left, stream.bdf, new.function)
        })
}

/// The policy takes down a link on whose path the function is: a surprise to both ends (PCI Express Base 6.0, 3.2.1), and
/// containment tells of itself. That is over with the takeover, and then the function answers again.
fn is_of_reset(evidence: &Evidence<'_>, new: &New) -> bool {
    if PHASES.get(new.phase) != Some(&"blackout") || new.state.is_gone() {
        return false;
    }
    let (left, _) = functions(evidence);
    evidence.streams().any(|(stream, sampled)| {
        matches!(sampled.means, Some(Means::BusReset | Means::Containment))
            && is_on_path(left, stream.bdf, new.function)
    })
}

/// No function tells an error that it did not tell when the last stream was armed.
pub(super) fn no_new_errors(evidence: &Evidence<'_>) -> Seen {
    let Some(oracle) = evidence.fresh_oracle() else { return Seen::not_covered("no oracle of this cycle") };
    if oracle.functions.len() != evidence.functions.len() {
        return Seen::not_covered("not every function was looked at");
    }
    if !reports(evidence) {
        return Seen::skip("no function is of PCI Express");
    }
    let new = all_new(evidence);
    if new.is_empty() {
        return Seen::PASS;
    }
    let mut reason = String::new();
    let mut count = 0;
    // What no documentation allows for comes first, and of that what a function tells of itself, before what is told of it.
    for (is_allowed, is_first_hand) in [(false, true), (false, false), (true, true), (true, false)] {
        for entry in &new {
            if is_documented(evidence, entry) != is_allowed || entry.state.is_first_hand() != is_first_hand {
                continue;
            }
            let other = match is_first_hand {
                true => gatherer(oracle.functions, &new, entry),
                false => match source(oracle.functions, &new, entry) {
                    // It speaks for itself.
                    Some((_, true)) => continue,
                    told => told.map(|(bdf, _)| bdf),
                },
            };
            count += 1;
            if count <= NAMED {
                let between = if count == 1 { "" } else { " | " };
                // Writing to a String cannot fail.
                let _ = tell(&mut reason, between, entry, bdf(oracle.functions, entry), other);
            }
        }
    }
    if count > NAMED {
        // As above.
        let _ = write!(reason, " | and {} more", count - NAMED);
    }
    Seen::fail(reason)
}

fn bdf(left: &[FunctionLeft], new: &New) -> Bdf {
    left.get(new.function).map_or(Bdf::default(), |known| known.places.bdf)
}

/// One error in words. `other` gathers the message, where the function speaks for itself; else it is whom the message is of.
fn tell(reason: &mut String, between: &str, new: &New, here: Bdf, other: Option<Bdf>) -> core::fmt::Result {
    reason.push_str(between);
    let is_first_hand = new.state.is_first_hand();
    if let Some(source) = other.filter(|_| !is_first_hand) {
        write!(reason, "{source}, by its message to ")?;
    }
    let phase = PHASES.get(new.phase).unwrap_or(&"");
    write!(reason, "{here}: {} in phase {phase}", new.state)?;
    match other.filter(|_| is_first_hand) {
        Some(root) => write!(reason, ", told to {root}"),
        None => Ok(()),
    }
}

/// The root port or event collector that tells of a message from the function.
fn gatherer(left: &[FunctionLeft], all: &[New], new: &New) -> Option<Bdf> {
    let here = bdf(left, new);
    let roots = all.iter().filter(|root| root.phase == new.phase && names(root, here.rid));
    roots.map(|root| bdf(left, root)).find(|root| *root != here && root.segment == here.segment)
}

/// Whom a message is of, and whether that function speaks for itself; first one that does not.
fn source(left: &[FunctionLeft], all: &[New], new: &New) -> Option<(Bdf, bool)> {
    let here = bdf(left, new);
    let sources = new.state.sources();
    let mut found = sources.iter().flatten().map(|rid| {
        let source = Bdf { rid: *rid, ..here };
        let speaks =
            |other: &New| other.phase == new.phase && other.state.is_first_hand() && bdf(left, other) == source;
        (source, all.iter().any(speaks))
    });
    let first = found.next()?;
    if first.1 { Some(found.find(|(_, speaks)| !speaks).unwrap_or(first)) } else { Some(first) }
}

/// A root port or event collector tells of a message from this requester.
fn names(root: &New, rid: u16) -> bool {
    root.state.sources().contains(&Some(rid))
}

/// Where requests are refused, hardware may tell it or not: a write is dropped without a word, and what becomes of a read is the
/// root complex's. Either is documented; anything else is not.
pub(super) fn expected(evidence: &Evidence<'_>) -> Verdict {
    if evidence.fresh_oracle().is_some() && !reports(evidence) {
        return Verdict::Skip;
    }
    let new = all_new(evidence);
    if !new.is_empty() && new.iter().all(|new| is_documented(evidence, new)) { Verdict::Fail } else { Verdict::Pass }
}
