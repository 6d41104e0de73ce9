//! Checks of what the streams moved.

use super::{
    evidence::{Evidence, StreamEvidence},
    seen::Seen,
};
use crate::{phase::Delta, policy::After, quiesce::Means};
use alloc::format;
use handover::oracle::{STREAM_FED, STREAM_IDENTITY, STREAM_NO_ATTEMPTS, STREAM_RMR, Stream};

const NO_STREAM: &str = "no live stream";
const ALL_SILENT: &str = "every device was stopped";
const NO_RMR: &str = "no stream is named by an RMR node";
const PHASES: [&str; 3] = ["before", "blackout", "after"];
const BEFORE: usize = 0;
const BLACKOUT: usize = 1;
const AFTER: usize = 2;

fn phases(stream: &Stream, evidence: &StreamEvidence) -> [Delta; 3] {
    evidence.cuts.phases(counts_attempts(stream))
}

pub(super) const fn counts_attempts(stream: &Stream) -> bool {
    stream.flags & STREAM_NO_ATTEMPTS == 0
}

/// The stream is named by an RMR node.
pub(super) const fn is_rmr(stream: &Stream) -> bool {
    stream.flags & STREAM_RMR != 0
}

/// Untranslated, all of its DMA arrives where translation led it: by firmware's identity tables.
const fn is_identity(stream: &Stream) -> bool {
    stream.flags & STREAM_IDENTITY != 0
}

/// Something of a stream that takes this course goes astray.
pub(super) const fn strays(course: After, stream: &Stream) -> bool {
    course.mis_steers() && !is_identity(stream)
}

/// Something of it arrives.
pub(super) const fn arrives(course: After, stream: &Stream) -> bool {
    course.delivers(stream.rmr.bytes != 0 || is_identity(stream))
}

/// What the scenario's documentation says of a stream's DMA after the takeover.
pub(super) fn documented(evidence: &Evidence<'_>, stream: &Stream) -> After {
    evidence.expectation_for(stream).of(is_rmr(stream))
}

/// No stream is documented to fare so.
pub(super) fn has_no(evidence: &Evidence<'_>, after: After) -> bool {
    let mut streams = evidence.streams().peekable();
    streams.peek().is_some() && !streams.any(|(stream, _)| documented(evidence, stream) == after)
}

/// Every stream is documented to be stopped.
pub(super) fn all_silent(evidence: &Evidence<'_>) -> bool {
    let mut streams = evidence.streams().peekable();
    streams.peek().is_some() && streams.all(|(stream, _)| documented(evidence, stream) == After::Silent)
}

/// Something was attempted that went nowhere, since the crash.
pub(super) fn is_blocked_since_crash(stream: &Stream, sampled: &StreamEvidence) -> bool {
    phases(stream, sampled)[BLACKOUT..].iter().any(|delta| blocked(delta) > 0)
}

/// Something went astray during the takeover.
pub(super) fn strays_in_blackout(stream: &Stream, sampled: &StreamEvidence) -> bool {
    phases(stream, sampled)[BLACKOUT].phase.mis_steered > 0
}

/// Judges every phase of every stream by itself; the worst is the verdict.
fn each_phase(evidence: &Evidence<'_>, check: &dyn Fn(&Stream, usize, &Delta) -> Seen) -> Seen {
    each_course(evidence, &|stream, _, phase, delta| check(stream, phase, delta))
}

/// The same with what is documented of the stream.
fn each_course(evidence: &Evidence<'_>, check: &dyn Fn(&Stream, After, usize, &Delta) -> Seen) -> Seen {
    let judged = evidence.streams().flat_map(|(stream, sampled)| {
        let (phases, course) = (phases(stream, sampled), documented(evidence, stream));
        (0..PHASES.len()).map(move |phase| check(stream, course, phase, &phases[phase]))
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

pub(super) fn no_attempt(stream: &Stream) -> Seen {
    let why = if stream.flags & STREAM_FED != 0 { ": no frame came; does anybody send to its network?" } else { "" };
    Seen::not_covered(format!("{}: no DMA attempted{why}", stream.bdf))
}

/// Units known to be blocked; where attempts are not counted, the signs that some were.
fn blocked(delta: &Delta) -> u64 {
    delta.phase.blocked.unwrap_or(delta.refusals)
}

/// What [`blocked`] is a number of.
fn blocked_what(delta: &Delta) -> &'static str {
    if delta.phase.blocked.is_some() { "blocked" } else { "signs of refusal" }
}

fn live(evidence: &Evidence<'_>, wanted: usize) -> Seen {
    each_course(evidence, &|stream, course, phase, delta| {
        if phase != wanted || (phase == AFTER && course == After::Silent) {
            Seen::PASS
        } else if !delta.is_live() {
            no_attempt(stream)
        } else if phase != BEFORE && delta.is_dry && blocked(delta) == 0 {
            // A block in the stretch without attempts would not have been seen. One that was seen says enough, and may
            // be what used the ring up: under QEMU a refused frame takes every descriptor.
            Seen::not_covered(format!("{}: its ring was used up, so that it stopped attempting", stream.bdf))
        } else {
            Seen::PASS
        }
    })
}

pub(super) fn live_before(evidence: &Evidence<'_>) -> Seen {
    live(evidence, BEFORE)
}

pub(super) fn live_blackout(evidence: &Evidence<'_>) -> Seen {
    live(evidence, BLACKOUT)
}

pub(super) fn live_after(evidence: &Evidence<'_>) -> Seen {
    if all_silent(evidence) { Seen::skip(ALL_SILENT) } else { live(evidence, AFTER) }
}

pub(super) fn no_blocked(evidence: &Evidence<'_>) -> Seen {
    moved(evidence)
        .and(|| {
            each_phase(evidence, &|stream, phase, delta| match blocked(delta) {
                0 => Seen::PASS,
                count => {
                    Seen::fail(format!("{}: {count} {} in phase {}", stream.bdf, blocked_what(delta), PHASES[phase]))
                }
            })
        })
        .and(|| {
            // That none showed is not that none was, where nobody counts.
            if evidence.streams().any(|(stream, _)| counts_attempts(stream)) {
                Seen::PASS
            } else {
                Seen::not_covered("no stream counts its attempts")
            }
        })
}

pub(super) fn no_mis_steer(evidence: &Evidence<'_>) -> Seen {
    moved(evidence).and(|| {
        each_phase(evidence, &|stream, phase, delta| match delta.phase.mis_steered {
            0 => Seen::PASS,
            count => Seen::fail(format!("{}: {count} mis-steered in phase {}", stream.bdf, PHASES[phase])),
        })
    })
}

pub(super) fn counts_consistent(evidence: &Evidence<'_>) -> Seen {
    // An impossible count may look like no movement at all, so it is looked for first.
    each_phase(evidence, &|stream, phase, delta| {
        if delta.is_inconsistent {
            Seen::fail(format!("{}: counts of phase {} cannot be true", stream.bdf, PHASES[phase]))
        } else {
            Seen::PASS
        }
    })
    .and(|| {
        let late = evidence.streams().find(|(_, sampled)| sampled.overruns != 0);
        late.map_or(Seen::PASS, |(stream, sampled)| {
            Seen::not_covered(format!("{}: {} samples came too late", stream.bdf, sampled.overruns))
        })
    })
    .and(|| moved(evidence))
}

/// What a stream must have done in a phase; otherwise what it did is told.
fn did(stream: &Stream, phase: usize, delta: &Delta, holds: bool) -> Seen {
    let (delivered, mis_steered) = (delta.phase.delivered, delta.phase.mis_steered);
    if holds {
        return Seen::PASS;
    }
    Seen::fail(format!(
        "{}: {delivered} delivered, {} {}, {mis_steered} mis-steered in phase {}",
        stream.bdf,
        blocked(delta),
        blocked_what(delta),
        PHASES[phase],
    ))
}

/// Until the crash every stream works: what goes wrong later is the takeover's doing.
pub(super) fn delivered_before(evidence: &Evidence<'_>) -> Seen {
    each_phase(evidence, &|stream, phase, delta| match phase {
        BEFORE if !delta.is_live() => no_attempt(stream),
        BEFORE => {
            let holds = delta.phase.delivered > 0 && blocked(delta) == 0 && delta.phase.mis_steered == 0;
            did(stream, phase, delta, holds)
        }
        _ => Seen::PASS,
    })
}

/// The STEs of a reset refuse everything but RMR streams.
pub(super) fn reset_blocks(evidence: &Evidence<'_>) -> Seen {
    if has_no(evidence, After::Blocked) {
        return Seen::skip("no stream is to be refused");
    }
    each_course(evidence, &|stream, course, phase, delta| match (course, phase) {
        (After::Blocked, AFTER) => follows(stream, course, delta),
        _ => Seen::PASS,
    })
}

/// RMR streams, and no others, get past the SMMU: what goes to the identity window arrives, the rest is mis-steered. Their
/// blackout ends somewhere between refusal and bypass, so it may hold anything.
pub(super) fn reset_bypasses_rmr(evidence: &Evidence<'_>) -> Seen {
    if has_no(evidence, After::Untranslated) {
        return Seen::skip("no stream is to bypass");
    }
    each_course(evidence, &|stream, course, phase, delta| match (course, phase) {
        (After::Untranslated, BLACKOUT) => Seen::PASS,
        (After::Untranslated, AFTER) => follows(stream, course, delta),
        _ => did(stream, phase, delta, delta.phase.mis_steered == 0),
    })
}

/// Every stream takes the course that the policy's documentation names, once the takeover is over.
pub(super) fn as_documented(evidence: &Evidence<'_>) -> Seen {
    each_course(evidence, &|stream, course, phase, delta| match (course, phase) {
        // That is `quiesce.silent`.
        (After::Silent, _) => Seen::PASS,
        (_, AFTER) => follows(stream, course, delta),
        // What is refused or goes astray elsewhere meanwhile excuses nothing here.
        (After::Delivered, BLACKOUT) => did(stream, phase, delta, blocked(delta) == 0 && delta.phase.mis_steered == 0),
        _ => Seen::PASS,
    })
}

/// Nothing lands of a device that was stopped, and it attempts nothing; where nothing reset it, its counter may run on.
pub(super) fn silent(evidence: &Evidence<'_>) -> Seen {
    if has_no(evidence, After::Silent) {
        return Seen::skip("no device is to be stopped");
    }
    let stopped = evidence.streams().filter(|(stream, _)| documented(evidence, stream) == After::Silent);
    let judged = stopped.map(|(stream, sampled)| {
        let Some(means) = sampled.means else {
            return Seen::not_covered(format!("{}: it was not stopped", stream.bdf));
        };
        if let Some(at) = sampled.landed_when_stopped {
            return Seen::fail(format!("{}: after {} something landed at {at}", stream.bdf, means.name()));
        }
        if sampled.landed_since_stopped != 0 {
            let (bdf, count) = (stream.bdf, sampled.landed_since_stopped);
            return Seen::fail(format!("{bdf}: after {} {count} still landed", means.name()));
        }
        let delta = &phases(stream, sampled)[AFTER];
        let (delivered, mis_steered) = (delta.phase.delivered, delta.phase.mis_steered);
        let tries = delta.phase.attempted.unwrap_or(delta.refusals);
        let may_count = means == Means::BusMaster;
        let holds = delivered == 0 && mis_steered == 0 && (may_count || tries == 0);
        did(stream, AFTER, delta, holds)
    });
    Seen::worst(judged, NO_STREAM)
}

/// What a stream did after the takeover against its documented course.
fn follows(stream: &Stream, course: After, delta: &Delta) -> Seen {
    if !delta.is_live() {
        return no_attempt(stream);
    }
    // Without an identity window of its own, all that an untranslated stream does goes astray.
    let holds = (delta.phase.delivered > 0) == arrives(course, stream)
        && (blocked(delta) > 0) == course.blocks()
        && (delta.phase.mis_steered > 0) == strays(course, stream);
    did(stream, AFTER, delta, holds)
}

/// The oracle names no stream that an RMR node names (`rmr`), or none that no such node names.
pub(super) fn has_none(evidence: &Evidence<'_>, rmr: bool) -> bool {
    evidence.fresh_oracle().is_some_and(|oracle| !oracle.streams.iter().any(|stream| is_rmr(stream) == rmr))
}

pub(super) fn delivered_after(evidence: &Evidence<'_>) -> Seen {
    if all_silent(evidence) {
        return Seen::skip(ALL_SILENT);
    }
    each_course(evidence, &|stream, course, phase, delta| {
        if phase != AFTER || course == After::Silent || delta.phase.delivered > 0 {
            Seen::PASS
        } else if delta.is_live() {
            Seen::fail(format!("{}: nothing delivered after the takeover", stream.bdf))
        } else {
            no_attempt(stream)
        }
    })
}

/// The STE that the primary wrote for an RMR stream is still the one in force.
pub(super) fn rmr_ste_unchanged(evidence: &Evidence<'_>) -> Seen {
    if has_none(evidence, true) {
        return Seen::skip(NO_RMR);
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
