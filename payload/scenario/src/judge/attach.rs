//! Checks of the deferred attach: that the stream moved, that nothing of the dead kernel's translation is left for it, and
//! that nobody else noticed.

use super::{
    dma,
    evidence::{AttachEvidence, Evidence, StreamEvidence},
    seen::Seen,
};
use crate::phase::Delta;
use alloc::format;
use handover::oracle::{Counts, Stream};
use smmu::{
    access::Structure,
    log::{Op, What},
    spec::ste::{Config, STE_BYTES, Ste0, Ste2},
    translation::Identifier,
};
use wire::record::Verdict;

const NONE: &str = "no stream was attached";

/// The attach and its stream.
type Subject<'a> = (AttachEvidence<'a>, &'a Stream, &'a StreamEvidence);

fn subject<'a>(evidence: &Evidence<'a>) -> Option<Subject<'a>> {
    let attach = evidence.attach?;
    let (stream, sampled) = evidence.streams().nth(attach.stream)?;
    Some((attach, stream, sampled))
}

/// The same where the device works in its new domain: what it moves says something.
fn at_work(evidence: &Evidence<'_>, check: impl FnOnce(&Stream, &Counts) -> Seen) -> Seen {
    let Some((attach, stream, sampled)) = subject(evidence) else { return Seen::not_covered(NONE) };
    let totals = &sampled.at_end;
    if attach.attached.is_err() || !attach.is_armed {
        return Seen::not_covered(format!("{}: it does not work in a new domain", stream.bdf));
    }
    if attach.overruns != 0 {
        return Seen::not_covered(format!("{}: {} samples came too late", stream.bdf, attach.overruns));
    }
    if totals.attempted == 0 {
        return Seen::not_covered(format!("{}: no DMA attempted since it was attached", stream.bdf));
    }
    check(stream, totals)
}

/// The stream has its domain, every command was taken, and its device was started again.
pub(super) fn completed(evidence: &Evidence<'_>) -> Seen {
    let Some((attach, stream, _)) = subject(evidence) else { return Seen::not_covered(NONE) };
    match attach.attached {
        Err(error) => Seen::fail(format!("{}: {error}", stream.bdf)),
        Ok(attached) => match attached.ignored {
            Some(error) => Seen::fail(format!("{}: {error}", stream.bdf)),
            None if !attach.is_armed => Seen::fail(format!("{}: its device cannot be started again", stream.bdf)),
            None => Seen::PASS,
        },
    }
}

/// What tagged a stream's translations under the dead kernel.
pub(super) fn identifier(stream: &Stream) -> Option<Identifier> {
    match Config(Ste0::from(stream.ste[0]).config()) {
        Config::BYPASS => None,
        Config::S2 => Some(Identifier::Vmid(Ste2::from(stream.ste[2]).s2vmid())),
        _ => u16::try_from(stream.asid).ok().map(Identifier::Asid),
    }
}

/// No stream of the dead kernel has the new domain's ASID, or at stage 2 its VMID: the same on every SMMU, whatever its TLB
/// still holds.
pub(super) fn asid_fresh(evidence: &Evidence<'_>) -> Seen {
    let Some((attach, stream, _)) = subject(evidence) else { return Seen::not_covered(NONE) };
    let Ok(attached) = attach.attached else { return Seen::not_covered(NONE) };
    let id = attached.id;
    let mut here = evidence.streams().filter(|(other, _)| other.smmu == stream.smmu);
    here.find(|(other, _)| identifier(other) == Some(id)).map_or(Seen::PASS, |(other, _)| {
        Seen::fail(format!("{}: {id} is that of {} under the dead kernel", stream.bdf, other.bdf))
    })
}

/// Nothing lands where the dead kernel's translation led.
pub(super) fn no_stale(evidence: &Evidence<'_>) -> Seen {
    at_work(evidence, |stream, totals| match totals.mis_steered {
        0 => Seen::PASS,
        stale => {
            let all = totals.attempted;
            Seen::fail(format!("{}: {stale} of {all} landed in the dead kernel's pages", stream.bdf))
        }
    })
}

/// All that the device attempts lands in its new pages.
pub(super) fn delivered(evidence: &Evidence<'_>) -> Seen {
    at_work(evidence, |stream, totals| {
        let Counts { attempted, delivered, .. } = *totals;
        if delivered == attempted {
            return Seen::PASS;
        }
        Seen::fail(format!("{}: {delivered} of {attempted} landed in its new pages", stream.bdf))
    })
}

/// With an ASID or VMID that is in use, what a TLB still holds decides. QEMU (IIDR 0) never evicts; elsewhere it is a matter of luck,
/// and either is documented.
pub(super) fn expected(evidence: &Evidence<'_>, check: fn(&Evidence<'_>) -> Seen) -> Verdict {
    if evidence.scenario.policy_expectation().reserves_identifiers {
        return Verdict::Pass;
    }
    let is_qemu = evidence.smmus.iter().all(|smmu| smmu.before.iidr == 0);
    if !is_qemu && check(evidence).verdict == Verdict::Pass { Verdict::Pass } else { Verdict::Fail }
}

/// The other streams of adopted SMMUs, with their places.
fn others<'a>(
    evidence: &Evidence<'a>,
    attached: usize,
) -> impl Iterator<Item = (usize, (&'a Stream, &'a StreamEvidence))> {
    let is_other = move |(index, (stream, _)): &(usize, (&Stream, _))| {
        *index != attached && evidence.expectation_for(stream).adopts
    };
    evidence.streams().enumerate().filter(is_other)
}

/// Every other stream goes on as before, from the end of the watch on: while the device was stopped and its stream moved.
pub(super) fn others_live(evidence: &Evidence<'_>) -> Seen {
    let Some((attach, ..)) = subject(evidence) else { return Seen::not_covered(NONE) };
    let others = others(evidence, attach.stream);
    Seen::worst(
        others.map(|(_, (stream, sampled))| goes_on(stream, &sampled.cuts.end, &sampled.at_end)),
        "no other stream",
    )
}

/// The stream moves from one sample to another, and all of it is delivered.
fn goes_on(stream: &Stream, from: &Counts, to: &Counts) -> Seen {
    let delta = Delta::between(from, to, dma::counts_attempts(stream));
    if !delta.is_live() {
        return dma::no_attempt(stream);
    }
    let (delivered, mis_steered) = (delta.phase.delivered, delta.phase.mis_steered);
    let blocked = delta.phase.blocked.unwrap_or(0);
    if delivered > 0 && mis_steered == 0 && blocked == 0 && !delta.is_inconsistent {
        return Seen::PASS;
    }
    Seen::fail(format!("{}: {delivered} delivered, {blocked} blocked, {mis_steered} mis-steered since", stream.bdf))
}

/// Of the dead kernel's structures the STE of the attached stream alone is written, and those of the others are as they were.
pub(super) fn others_untouched(evidence: &Evidence<'_>) -> Seen {
    let Some((attach, _, _)) = subject(evidence) else { return Seen::not_covered(NONE) };
    let Ok(attached) = attach.attached else { return Seen::not_covered(NONE) };
    let (start, end) = (evidence.own.0.0, evidence.own.1.0);
    let own_ste = attached.ste_at.0..attached.ste_at.0.saturating_add(STE_BYTES);
    let stray = attach.log.iter().find(|entry| {
        let is_own = (start..end).contains(&entry.address)
            || (entry.what == What::Structure(Structure::Ste) && own_ste.contains(&entry.address));
        matches!(entry.op, Op::Store | Op::Fill) && !is_own
    });
    if let Some(entry) = stray {
        return Seen::fail(format!("{} at {:#x} was written", entry.name(), entry.address));
    }
    let others = others(evidence, attach.stream);
    let judged = others.map(|(_, (stream, sampled))| match sampled.ste_at_end {
        None => Seen::not_covered(format!("{}: its STE could not be read", stream.bdf)),
        Some(ste) if ste == stream.ste => Seen::PASS,
        Some(_) => Seen::fail(format!("{}: its STE changed", stream.bdf)),
    });
    Seen::worst(judged, "no other stream")
}
