//! The culprit report: who was still doing DMA after the crash, since when and until when, in a plain sentence.

use scenario::quiesce::Means;
use wire::Record;
use wire::record;

use super::collect::Cycle;
use super::model::*;
pub use marks::RawMark;

mod marks;
mod sentence;
#[cfg(test)]
mod tests;

/// Instead of a function's address.
pub const NOBODY: &str = "none";

/// A function as its record told it. Ticks since the crash, as in [`Record::Requester`].
#[derive(Clone, Debug, Default)]
pub struct Raw {
    pub(super) bdf: String,
    requester: String,
    /// SMMU and StreamID of one that belongs to no function; without a StreamID all of those that a census does not know.
    pub(super) stranger: Option<(u8, Option<u32>)>,
    pub(super) bus_master: bool,
    pub(super) answers: bool,
    first_dma: Option<u64>,
    pub(super) last_dma: Option<u64>,
    pub(super) first_attempt: Option<u64>,
    pub(super) last_attempt: Option<u64>,
    pub(super) stopped: Option<RawStopped>,
}

#[derive(Clone, Debug)]
pub(super) struct RawStopped {
    pub(super) means: String,
    pub(super) told: u64,
    done: u64,
    pub(super) last_dma: Option<u64>,
    landed: Option<u64>,
    attempted: Option<u64>,
}

impl Raw {
    /// Of its record.
    pub fn of(told: &Record<'_>) -> Option<Self> {
        if let Record::Stranger { smmu, stream_id, first, last, .. } = *told {
            let (bdf, stranger) = (NOBODY.into(), Some((smmu, Some(stream_id))));
            let (first_attempt, last_attempt) = (Some(first), Some(last));
            return Some(Self { bdf, stranger, first_attempt, last_attempt, ..Self::default() });
        }
        let &Record::Requester {
            bdf,
            requester,
            bus_master,
            answers,
            first_dma,
            last_dma,
            first_attempt,
            last_attempt,
            stopped,
            ..
        } = told
        else {
            return None;
        };
        let stopped = stopped.map(|record::Stopped { means, told, done, last_dma, landed, attempted }| RawStopped {
            means: means.into(),
            told,
            done,
            last_dma,
            landed,
            attempted,
        });
        let (bdf, requester) = (bdf.into(), requester.into());
        let stranger = None;
        Some(Self {
            bdf,
            requester,
            stranger,
            bus_master,
            answers,
            first_dma,
            last_dma,
            first_attempt,
            last_attempt,
            stopped,
        })
    }
}

/// All functions that a cycle told of.
pub fn all(cycle: &Cycle, platform: &Platform, hz: u64, is_census: bool) -> Vec<Requester> {
    let nobody = marks::nobody(cycle);
    cycle.requesters.iter().chain(&nobody).map(|raw| one(raw, cycle, platform, hz, is_census)).collect()
}

fn one(raw: &Raw, cycle: &Cycle, platform: &Platform, hz: u64, is_census: bool) -> Requester {
    let endpoint = platform.endpoints.iter().find(|endpoint| endpoint.bdf == raw.bdf);
    let stream = cycle.streams.iter().find(|stream| stream.bdf == raw.bdf);
    let of_function = endpoint.and_then(|endpoint| Some((endpoint.smmu?, Some(endpoint.stream_id?))));
    let key = raw.stranger.or(of_function);
    let is_own = |event: &&Event| Some((event.smmu, Some(event.stream_id))) == key;
    let faults: Vec<Event> = cycle.events.iter().filter(is_own).cloned().collect();
    let marks = marks::of(cycle, key, hz);
    let ending = if marks.is_empty() { ending(raw, stream, &faults) } else { marks::ending(raw, cycle) };
    let us = |ticks: Option<u64>| microseconds(ticks?, hz);
    let name = endpoint.and_then(|endpoint| name(endpoint.vendor.0, endpoint.device.0));
    let who = sentence::who(raw, name.as_deref(), key);
    let sentence = if is_census {
        let before_exit = endpoint.and_then(|endpoint| endpoint.bus_master_before_exit);
        let who = who + &sharing(raw, key, platform);
        sentence::in_census(raw, &who, (&faults, &marks), &unwatched(raw, key, cycle), (before_exit, hz))
    } else {
        sentence::after_crash(raw, &who, stream, &faults, ending, hz)
    };
    Requester {
        bdf: raw.bdf.clone(),
        chain: chain(raw, key, platform),
        stream_id: key.and_then(|(_, stream_id)| stream_id),
        driver: endpoint.and_then(|endpoint| endpoint.driver.clone()),
        bus_master: raw.bus_master,
        answers: raw.answers,
        first_dma_us: us(raw.first_dma),
        last_dma_us: us(raw.last_dma),
        first_attempt_us: us(raw.first_attempt),
        last_attempt_us: us(raw.last_attempt),
        unit: stream.map(|stream| stream.unit.clone()),
        moved: stream.map(|stream| stream.phases.since_crash()),
        stopped: raw.stopped.as_ref().and_then(|stopped| self::stopped(stopped, hz)),
        faults,
        marks,
        ending,
        sentence,
        name,
    }
}

/// Functions that go by the same StreamID: whose DMA it is, nobody can tell.
fn sharing(raw: &Raw, key: Option<(u8, Option<u32>)>, platform: &Platform) -> String {
    let is_same = |other: &&Endpoint| {
        raw.stranger.is_none()
            && other.bdf != raw.bdf
            && Some((other.smmu, other.stream_id)) == key.map(|(smmu, stream_id)| (Some(smmu), stream_id))
    };
    let others: Vec<&str> = platform.endpoints.iter().filter(is_same).map(|other| &*other.bdf).collect();
    if others.is_empty() { String::new() } else { format!(", watched together with {},", others.join(", ")) }
}

/// Why nothing can be said of a function of which a census saw nothing; `None` where it was watched all the time.
fn unwatched(raw: &Raw, key: Option<(u8, Option<u32>)>, cycle: &Cycle) -> Option<String> {
    let passes = |check: &Check| check.id == "census.watched" && check.verdict == Verdict::Pass;
    match key {
        None => Some("was not watched: it is behind no SMMU".into()),
        Some(_) if !cycle.checks.iter().any(passes) => {
            Some("did no DMA that was seen, but not everything was watched all the time (census.watched)".into())
        }
        Some((smmu, _)) if cycle.pooled.contains(&raw.bdf) => {
            let seen = marks::of(cycle, Some((smmu, None)), 0).len();
            Some(format!(
                "was watched together with all StreamIDs of SMMU {smmu} that have no tables of their own: {seen} block(s) were used"
            ))
        }
        Some(_) => None,
    }
}

fn microseconds(ticks: u64, hz: u64) -> Option<u64> {
    u64::try_from(u128::from(ticks) * 1_000_000 / u128::from((hz != 0).then_some(hz)?)).ok()
}

fn stopped(raw: &RawStopped, hz: u64) -> Option<Stopped> {
    Some(Stopped {
        means: raw.means.clone(),
        told_us: microseconds(raw.told, hz)?,
        took_us: microseconds(raw.done.saturating_sub(raw.told), hz)?,
        last_dma_us: raw.last_dma.and_then(|ticks| microseconds(ticks, hz)),
        landed: raw.landed,
        attempted: raw.attempted,
    })
}

/// Vendor and device, by the PCI ID repository.
pub fn name(vendor: u64, device: u64) -> Option<String> {
    use pci_ids::FromId;
    let (vendor, device) = (u16::try_from(vendor).ok()?, u16::try_from(device).ok()?);
    let by = pci_ids::Vendor::from_id(vendor)?.name();
    Some(match pci_ids::Device::from_vid_pid(vendor, device) {
        Some(device) => format!("{by} {}", device.name()),
        None => format!("{by} device {device:04x}"),
    })
}

fn chain(raw: &Raw, key: Option<(u8, Option<u32>)>, platform: &Platform) -> String {
    let alias = if raw.requester == raw.bdf || raw.stranger.is_some() {
        String::new()
    } else {
        format!(" as requester {}", raw.requester)
    };
    let Some((smmu, stream_id)) = key else { return format!("{}{alias}, behind no SMMU", raw.bdf) };
    let base = platform.smmus.iter().find(|known| known.index == smmu);
    let at = base.map_or_else(String::new, |known| format!(" at {:#x}", known.base.0));
    let stream = stream_id.map_or_else(|| "any StreamID".into(), |stream_id| format!("StreamID {stream_id:#x}"));
    format!("{}{alias}, SMMU {smmu}{at}, {stream}", raw.bdf)
}

fn ending(raw: &Raw, stream: Option<&Stream>, faults: &[Event]) -> Ending {
    let Some(stream) = stream else {
        // Nobody counts it: what was refused is all that is known.
        return if faults.is_empty() { Ending::NotSeen } else { Ending::StillGoing };
    };
    if let Some(RawStopped { means, told, done, last_dma, .. }) = &raw.stopped {
        let goes_on = last_dma.is_some_and(|last| told.saturating_add(last) > *done);
        let is_told = [Means::BusMaster, Means::Driver].iter().any(|known| known.name() == means);
        return match (goes_on, is_told) {
            (true, _) => Ending::StillGoing,
            (false, true) => Ending::WhenTold,
            (false, false) => Ending::ByReset,
        };
    }
    let moves =
        |phase: &super::counts::Phase| phase.attempted.unwrap_or(0) > 0 || phase.delivered > 0 || phase.mis_steered > 0;
    let phases = &stream.phases;
    match (moves(&phases.after), moves(&phases.before) || moves(&phases.blackout)) {
        (true, _) => Ending::StillGoing,
        (false, true) => Ending::ByItself,
        (false, false) => Ending::NotSeen,
    }
}
