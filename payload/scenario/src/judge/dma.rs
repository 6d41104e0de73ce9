//! Checks of what the streams moved.

use super::{
    evidence::{Evidence, StreamEvidence},
    seen::Seen,
};
use crate::phase::Delta;
use alloc::format;
use handover::oracle::{STREAM_NO_ATTEMPTS, STREAM_RMR, Stream};

const NO_STREAM: &str = "no live stream";
const PHASES: [&str; 3] = ["before", "blackout", "after"];
const AFTER: usize = 2;

fn phases(stream: &Stream, evidence: &StreamEvidence) -> [Delta; 3] {
    evidence.cuts.phases(counts_attempts(stream))
}

const fn counts_attempts(stream: &Stream) -> bool {
    stream.flags & STREAM_NO_ATTEMPTS == 0
}

/// The stream is named by an RMR node.
pub(super) const fn is_rmr(stream: &Stream) -> bool {
    stream.flags & STREAM_RMR != 0
}

/// Judges every phase of every stream by itself; the worst is the verdict.
fn each_phase(evidence: &Evidence<'_>, check: impl Fn(&Stream, usize, &Delta) -> Seen) -> Seen {
    let check = &check;
    let judged = evidence.streams().flat_map(|(stream, sampled)| {
        let phases = phases(stream, sampled);
        (0..PHASES.len()).map(move |phase| check(stream, phase, &phases[phase]))
    });
    Seen::worst(judged, NO_STREAM)
}

/// A check that only counts says nothing where nothing moved.
fn moved(evidence: &Evidence<'_>) -> Seen {
    let mut streams = evidence.streams().peekable();
    if streams.peek().is_none() {
        return Seen::not_covered(NO_STREAM);
    }
    if streams.any(|(stream, sampled)| phases(stream, sampled).iter().any(Delta::is_live)) {
        Seen::PASS
    } else {
        Seen::not_covered("no DMA in any phase")
    }
}

fn live(evidence: &Evidence<'_>, wanted: usize) -> Seen {
    each_phase(evidence, |stream, phase, delta| {
        if phase != wanted || delta.is_live() {
            Seen::PASS
        } else {
            Seen::not_covered(format!("{}: no DMA attempted", stream.bdf))
        }
    })
}

pub(super) fn live_before(evidence: &Evidence<'_>) -> Seen {
    live(evidence, 0)
}

pub(super) fn live_blackout(evidence: &Evidence<'_>) -> Seen {
    live(evidence, 1)
}

pub(super) fn live_after(evidence: &Evidence<'_>) -> Seen {
    live(evidence, AFTER)
}

pub(super) fn no_blocked(evidence: &Evidence<'_>) -> Seen {
    moved(evidence).and(|| {
        if !evidence.streams().any(|(stream, _)| counts_attempts(stream)) {
            return Seen::not_covered("no stream counts its attempts");
        }
        each_phase(evidence, |stream, phase, delta| match delta.phase.blocked {
            Some(blocked) if blocked > 0 => {
                Seen::fail(format!("{}: {blocked} blocked in phase {}", stream.bdf, PHASES[phase]))
            }
            _ => Seen::PASS,
        })
    })
}

pub(super) fn no_mis_steer(evidence: &Evidence<'_>) -> Seen {
    moved(evidence).and(|| {
        each_phase(evidence, |stream, phase, delta| match delta.phase.mis_steered {
            0 => Seen::PASS,
            count => Seen::fail(format!("{}: {count} mis-steered in phase {}", stream.bdf, PHASES[phase])),
        })
    })
}

pub(super) fn counts_consistent(evidence: &Evidence<'_>) -> Seen {
    // An impossible count may look like no movement at all, so it is looked for first.
    each_phase(evidence, |stream, phase, delta| {
        if delta.is_inconsistent {
            Seen::fail(format!("{}: counts of phase {} cannot be true", stream.bdf, PHASES[phase]))
        } else {
            Seen::PASS
        }
    })
    .and(|| moved(evidence))
}

pub(super) fn delivered_after(evidence: &Evidence<'_>) -> Seen {
    each_phase(evidence, |stream, phase, delta| {
        if phase != AFTER || delta.phase.delivered > 0 {
            Seen::PASS
        } else if delta.is_live() {
            Seen::fail(format!("{}: nothing delivered after the takeover", stream.bdf))
        } else {
            Seen::not_covered(format!("{}: no DMA attempted", stream.bdf))
        }
    })
}

/// The STE that the primary wrote for an RMR stream is still the one in force.
pub(super) fn rmr_ste_unchanged(evidence: &Evidence<'_>) -> Seen {
    if evidence.fresh_oracle().is_some_and(|oracle| !oracle.streams.iter().any(is_rmr)) {
        return Seen::skip("no stream is named by an RMR node");
    }
    let judged = evidence.streams().filter(|(stream, _)| is_rmr(stream)).map(|(stream, sampled)| {
        let Some(ste) = sampled.ste_after else {
            return Seen::not_covered(format!("{}: its STE could not be read", stream.bdf));
        };
        match ste.iter().zip(&stream.ste).position(|(after, before)| after != before) {
            None => Seen::PASS,
            Some(word) => {
                let (before, after) = (stream.ste.get(word).unwrap_or(&0), ste.get(word).unwrap_or(&0));
                Seen::fail(format!("{}: STE word {word} was {before:#x}, is {after:#x}", stream.bdf))
            }
        }
    });
    Seen::worst(judged, NO_STREAM)
}
