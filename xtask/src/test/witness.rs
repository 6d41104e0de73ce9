//! A second witness: QEMU's own trace of the SMMU against what the payload reports.
//!
//! Two things are compared: the takeover's register writes, one by one, and for each StreamID and phase whether DMA was
//! translated, with what the report says of delivered and mis-steered. Of a kernel that was watched it is every access, reads too.

use std::collections::BTreeSet;

mod claim;
mod kernel;
mod trace;

#[cfg(test)]
mod tests;

use claim::Stream;
use trace::{Reg, Through};

pub use claim::Claim;
pub use trace::{Entry, parse};

/// Offset of CR0; bit 0 is SMMUEN (IHI 0070, 6.3.9).
const CR0: u64 = 0x20;
/// Offset of IDR0. Both images read it whenever they look at an SMMU: before a bring-up, before the crash, before the
/// takeover and after the watch. No policy reads it once it writes.
const IDR0: u64 = 0;

/// Offsets of EVENTQ_CONS and GERRORN (6.3.32, 6.3.21; page 1 is folded onto page 0): a policy that leaves the event queue on
/// goes on writing them, after the takeover that the access log is of.
const OF_HANDLER: [u64; 2] = [0xac, 0x64];

/// Compares both; every line of the result is a difference.
pub fn compare(trace: &[Entry], claim: &Claim) -> Vec<String> {
    if let Some(kernel) = &claim.kernel {
        let places = match kernel.find(trace) {
            Ok(places) => places,
            Err(difference) => return vec![difference],
        };
        let armed = armed_at(trace, places.blackout.start);
        let (before, end) = (&trace[armed..places.blackout.start], places.after.end);
        let phases = [before, &trace[places.blackout], &trace[places.after]];
        return streams(claim, phases, &trace[armed..end], &[0, 1, 2]);
    }
    if claim.writes.is_empty() {
        // Nothing took over, so there is one phase: all from the last time that the SMMU was enabled.
        let before = &trace[armed_at(trace, trace.len())..];
        return streams(claim, [before, &[], &[]], before, &[0]);
    }
    let (observed, end) = match takeover(trace, claim) {
        Ok(places) => places,
        Err(difference) => return vec![difference],
    };
    let armed = armed_at(trace, observed);
    let (before, rest) = (&trace[armed..observed], &trace[end..]);
    let watched = rest.iter().position(is_look).unwrap_or(rest.len());
    let phases = [before, &trace[observed..end], &rest[..watched]];
    streams(claim, phases, &trace[armed..end + watched], &[0, 1, 2])
}

/// The look before the takeover's first write, and the place after its last.
fn takeover(trace: &[Entry], claim: &Claim) -> Result<(usize, usize), String> {
    let stretches = stretches(trace);
    let takeover = stretches.iter().rev().find(|stretch| stretch.is_takeover(&claim.writes));
    let end =
        takeover.and_then(|stretch| Some((stretch.observed, *stretch.ends.get(claim.writes.len().checked_sub(1)?)?)));
    end.ok_or_else(|| closest(&stretches, &claim.writes))
}

/// What QEMU did with the DMA of a stream once it was in its new domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Went to the page where the same address led before the crash.
    pub stale: usize,
    /// Went to another page, or into a reserved range.
    pub fresh: usize,
    pub refused: usize,
}

/// Offset of CMDQ_PROD: an attach writes nothing else.
const CMDQ_PROD: u64 = 0x98;

/// Follows a stream of a deferred attach, from the attach's last command on. It comes after a look at the SMMU.
pub fn moved(trace: &[Entry], claim: &Claim, stream: u32) -> Result<Moved, String> {
    let (observed, end) = takeover(trace, claim)?;
    let of = |entry: &Entry| match *entry {
        Entry::Dma { stream_id, address, through } if stream_id == stream => Some((address, through)),
        _ => None,
    };
    let page = |address: u64| address >> 12;
    let old: BTreeSet<_> = trace[armed_at(trace, observed)..observed]
        .iter()
        .filter_map(of)
        .filter_map(|(address, through)| match through {
            Through::Translated(to) => Some((page(address), page(to))),
            _ => None,
        })
        .collect();
    let look = trace[end..].iter().position(is_look).ok_or("nobody looks at the SMMU after the takeover")?;
    let rest = &trace[end + look..];
    let is_command = |entry: &Entry| matches!(entry, Entry::Write(Reg { offset: CMDQ_PROD, .. }));
    let stop = rest.iter().position(|entry| matches!(entry, Entry::Write(_)) && !is_command(entry));
    let rest = &rest[..stop.unwrap_or(rest.len())];
    let last = rest.iter().rposition(is_command).ok_or("no command after the takeover")?;
    let mut moved = Moved::default();
    for (address, through) in rest[last..].iter().filter_map(of) {
        match through {
            Through::Translated(to) if to == address || !old.contains(&(page(address), page(to))) => moved.fresh += 1,
            Through::Translated(_) => moved.stale += 1,
            _ => moved.refused += 1,
        }
    }
    Ok(moved)
}

fn is_look(entry: &Entry) -> bool {
    matches!(entry, Entry::Read(Reg { offset: IDR0, .. }))
}

/// Register writes between two looks at the SMMU.
#[derive(Debug, Default)]
struct Stretch {
    /// The first look before them.
    observed: usize,
    /// The writes as 32-bit words: one 64-bit write may reach the SMMU as two.
    words: Vec<(u64, u32)>,
    /// Place after the write of each word.
    ends: Vec<usize>,
}

impl Stretch {
    /// These writes, and after them nothing but an event handler's.
    fn is_takeover(&self, writes: &[(u64, u32)]) -> bool {
        let rest = self.words.strip_prefix(writes);
        rest.is_some_and(|rest| rest.iter().all(|(offset, _)| OF_HANDLER.contains(offset)))
    }
}

fn stretches(trace: &[Entry]) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut look = None;
    for (index, entry) in trace.iter().enumerate() {
        if is_look(entry) {
            look = look.or(Some(index));
        } else if let Entry::Write(write) = entry {
            if look.is_some() || stretches.is_empty() {
                stretches.push(Stretch { observed: look.take().unwrap_or(index), ..Stretch::default() });
            }
            if let Some(stretch) = stretches.last_mut() {
                stretch.words.extend(write.words());
                stretch.ends.resize(stretch.words.len(), index + 1);
            }
        }
    }
    stretches
}

/// Where the access log differs from that stretch of the trace which it agrees with the longest.
fn closest(stretches: &[Stretch], claimed: &[(u64, u32)]) -> String {
    let agrees =
        |stretch: &Stretch| stretch.words.iter().zip(claimed).take_while(|(seen, logged)| seen == logged).count();
    let best = stretches.iter().max_by_key(|stretch| agrees(stretch));
    let Some(best) = best else { return format!("the access log has {} writes, the trace has none", claimed.len()) };
    let index = agrees(best);
    let shown = |word: Option<&(u64, u32)>| match word {
        Some((offset, value)) => format!("{value:#x} to {offset:#x}"),
        None => "nothing".to_owned(),
    };
    let (seen, logged) = (shown(best.words.get(index)), shown(claimed.get(index)));
    let (all, of) = (best.words.len(), claimed.len());
    format!("takeover write {index}: the trace has {seen}, the access log {logged} ({all} and {of} words in all)")
}

/// Index after the last write that enabled the SMMU, before `end`.
fn armed_at(trace: &[Entry], end: usize) -> usize {
    let enables = |entry: &Entry| matches!(entry, Entry::Write(Reg { offset: CR0, value, .. }) if value & 1 != 0);
    trace[..end].iter().rposition(enables).map_or(0, |index| index + 1)
}

/// Compares each stream in each phase of `judged`. The trace shows when the SMMU was looked at and written, not when the
/// streams were sampled: what was counted just before or after such an instant may stand on its other side in the trace.
/// So what is reported must be somewhere in `all`, while what the trace shows inside a phase must be reported for it.
fn streams(claim: &Claim, phases: [&[Entry]; 3], all: &[Entry], judged: &[usize]) -> Vec<String> {
    const NAMES: [&str; 3] = ["before", "blackout", "after"];
    let mut differences = Vec::new();
    for stream in &claim.streams {
        for &phase in judged {
            let strict = Evidence::of(phases[phase], stream);
            let wide = if phase == 2 { strict } else { Evidence::of(all, stream) };
            for difference in judge(stream, phase, strict, wide, claim.has_fetches) {
                let (id, name) = (stream.stream_id, NAMES[phase]);
                differences.push(format!("stream {id:#x}, {name}: {difference}"));
            }
        }
    }
    differences
}

fn judge(stream: &Stream, phase: usize, strict: Evidence, wide: Evidence, has_fetches: bool) -> Vec<String> {
    let (delivered, mis_steered) = stream.phases[phase];
    let mut differences = Vec::new();
    let all = strict.right + strict.stray + strict.refused;
    if phase == 2 && stream.is_silent && all > 0 {
        differences.push(format!("silent, but {all} accesses in the trace"));
    }
    if delivered > 0 && wide.right == 0 {
        differences.push(format!("{delivered} delivered, but no translation in the trace"));
    }
    if delivered == 0 && strict.right > 0 && !has_fetches {
        differences.push(format!("none delivered, but {} translations in the trace", strict.right));
    }
    if mis_steered > 0 && wide.stray == 0 {
        differences.push(format!("{mis_steered} mis-steered, but no untranslated access in the trace"));
    }
    // The primary looks at the SMMU a little before it samples the streams and crashes: what the trace shows in between is
    // counted before the crash.
    let earlier = if phase == 1 { stream.phases[0].1 } else { 0 };
    // A device of which one part goes to its reserved range writes beside it what it does not count, such as the position of
    // HD Audio: a page of its own, and the last that it writes each time.
    let uncounted = usize::from(!stream.reserved.is_empty());
    if mis_steered + earlier == 0 && strict.stray_pages > uncounted {
        differences.push(format!("none mis-steered, but {} untranslated accesses in the trace", strict.stray));
    }
    differences
}

/// What the trace says of one stream in one phase.
#[derive(Clone, Copy, Debug, Default)]
struct Evidence {
    /// Accesses that went where the stream's windows say.
    right: u64,
    /// Accesses that left the SMMU at the address at which they came, and not through the stream's reserved range.
    stray: u64,
    /// Pages that these were in.
    stray_pages: usize,
    /// Accesses that did not leave it.
    refused: u64,
}

impl Evidence {
    fn of(trace: &[Entry], stream: &Stream) -> Self {
        let (mut evidence, mut pages) = (Self::default(), BTreeSet::new());
        for entry in trace {
            let Entry::Dma { stream_id, address, through } = entry else { continue };
            if *stream_id != stream.stream_id {
                continue;
            }
            let is_reserved = stream.reserved.iter().any(|range| range.contains(address));
            let is_moved = matches!(through, Through::Translated(to) if to >> 12 != address >> 12);
            match through {
                Through::Refused => evidence.refused += 1,
                _ if is_moved || is_reserved => evidence.right += 1,
                _ => {
                    evidence.stray += 1;
                    pages.insert(address >> 12);
                }
            }
        }
        evidence.stray_pages = pages.len();
        evidence
    }
}
