//! Checks of the event queues: that nothing was recorded, or that what must be recorded was.

use super::{
    dma,
    evidence::{Evidence, StreamEvidence},
    seen::Seen,
};
use alloc::format;
use handover::oracle::Stream;
use smmu::{
    event,
    spec::{
        event::id,
        ste::{Config, Ste0},
    },
};

pub(super) fn none(evidence: &Evidence<'_>) -> Seen {
    evidence.each_smmu(&|_, smmu| {
        let Some(events) = smmu.events else { return Seen::not_covered("the event queue could not be read") };
        let lost = if smmu.events_lost { " and others that were lost" } else { "" };
        match (events.total(), events.rows().first()) {
            (0, _) if lost.is_empty() => Seen::PASS,
            (total, Some(row)) => {
                let name = event::name(row.id);
                Seen::fail(format!("{total} events{lost}, the first {name} of StreamID {}", row.stream))
            }
            (total, None) => Seen::fail(format!("{total} events{lost}")),
        }
    })
}

/// What the STE in force says of DMA that it refuses: an abort is silent (5.2), a stream beyond the table is not.
fn due(sampled: &StreamEvidence) -> Option<u8> {
    let Some(ste) = sampled.ste_after else { return Some(id::C_BAD_STREAMID) };
    let ste = Ste0::from(ste[0]);
    match Config(ste.config()) {
        _ if !ste.v() => Some(id::C_BAD_STE),
        Config::S1 => Some(id::F_TRANSLATION),
        _ => None,
    }
}

/// Streams whose DMA is refused, and what the SMMU must have said of it.
fn all_due<'a>(evidence: &Evidence<'a>) -> impl Iterator<Item = (&'a Stream, u8)> {
    let blocks = |stream: &Stream| dma::documented(evidence, stream).blocks();
    evidence.streams().filter_map(move |(stream, sampled)| Some((stream, due(sampled).filter(|_| blocks(stream))?)))
}

/// Some stream's DMA must be recorded.
pub(super) fn are_due(evidence: &Evidence<'_>) -> bool {
    all_due(evidence).next().is_some()
}

pub(super) fn recorded(evidence: &Evidence<'_>) -> Seen {
    if !evidence.streams().any(|_| true) {
        return Seen::not_covered("no live stream");
    }
    if !are_due(evidence) {
        return Seen::skip("the STEs of all refused streams abort, which is silent");
    }
    let judged = all_due(evidence).map(|(stream, id)| {
        let smmu = evidence.smmus.get(stream.smmu as usize);
        let is_lossy = smmu.is_some_and(|smmu| smmu.events_lost);
        let Some(events) = smmu.and_then(|smmu| smmu.events) else {
            return Seen::not_covered("the event queue could not be read");
        };
        if events.rows().iter().any(|row| row.id == id && row.stream == stream.stream_id) {
            return Seen::PASS;
        }
        let name = event::name(id);
        if is_lossy || events.unlisted() > 0 {
            return Seen::not_covered(format!("{}: no {name} among those that were not lost", stream.bdf));
        }
        Seen::fail(format!("{}: no {name} was recorded", stream.bdf))
    });
    Seen::worst(judged, "no live stream")
}
