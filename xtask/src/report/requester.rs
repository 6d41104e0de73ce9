//! The culprit report: who was still doing DMA after the crash, since when and until when, in a plain sentence.

use scenario::quiesce::Means;
use wire::Record;
use wire::record;

use super::collect::Cycle;
use super::model::*;
use super::view::milliseconds;

#[cfg(test)]
mod tests;

/// A function as its record told it. Ticks since the crash, as in [`Record::Requester`].
#[derive(Clone, Debug, Default)]
pub struct Raw {
    bdf: String,
    requester: String,
    bus_master: bool,
    answers: bool,
    first_dma: Option<u64>,
    last_dma: Option<u64>,
    last_attempt: Option<u64>,
    stopped: Option<RawStopped>,
}

#[derive(Clone, Debug)]
struct RawStopped {
    means: String,
    told: u64,
    done: u64,
    last_dma: Option<u64>,
    landed: Option<u64>,
    attempted: Option<u64>,
}

impl Raw {
    /// Of its record.
    pub fn of(told: &Record<'_>) -> Option<Self> {
        let &Record::Requester {
            bdf, requester, bus_master, answers, first_dma, last_dma, last_attempt, stopped, ..
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
        Some(Self { bdf, requester, bus_master, answers, first_dma, last_dma, last_attempt, stopped })
    }
}

/// All functions that a cycle told of.
pub fn all(cycle: &Cycle, platform: &Platform, hz: u64) -> Vec<Requester> {
    cycle.requesters.iter().map(|raw| one(raw, cycle, platform, hz)).collect()
}

fn one(raw: &Raw, cycle: &Cycle, platform: &Platform, hz: u64) -> Requester {
    let endpoint = platform.endpoints.iter().find(|endpoint| endpoint.bdf == raw.bdf);
    let stream = cycle.streams.iter().find(|stream| stream.bdf == raw.bdf);
    let key = endpoint.and_then(|endpoint| Some((endpoint.smmu?, endpoint.stream_id?)));
    let is_own = |event: &&Event| Some((event.smmu, event.stream_id)) == key;
    let faults: Vec<Event> = cycle.events.iter().filter(is_own).cloned().collect();
    let ending = ending(raw, stream, &faults);
    let us = |ticks: Option<u64>| microseconds(ticks?, hz);
    let name = endpoint.and_then(|endpoint| name(endpoint.vendor.0, endpoint.device.0));
    let sentence = sentence(raw, name.as_deref(), stream, &faults, ending, (key, hz));
    Requester {
        bdf: raw.bdf.clone(),
        chain: chain(raw, key, platform),
        stream_id: key.map(|(_, stream_id)| stream_id),
        driver: endpoint.and_then(|endpoint| endpoint.driver.clone()),
        bus_master: raw.bus_master,
        answers: raw.answers,
        first_dma_us: us(raw.first_dma),
        last_dma_us: us(raw.last_dma),
        last_attempt_us: us(raw.last_attempt),
        unit: stream.map(|stream| stream.unit.clone()),
        moved: stream.map(|stream| stream.phases.since_crash()),
        stopped: raw.stopped.as_ref().and_then(|stopped| self::stopped(stopped, hz)),
        faults,
        ending,
        sentence,
        name,
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

fn chain(raw: &Raw, key: Option<(u8, u32)>, platform: &Platform) -> String {
    let alias = if raw.requester == raw.bdf { String::new() } else { format!(" as requester {}", raw.requester) };
    let Some((smmu, stream_id)) = key else { return format!("{}{alias}, behind no SMMU", raw.bdf) };
    let base = platform.smmus.iter().find(|known| known.index == smmu);
    let at = base.map_or_else(String::new, |known| format!(" at {:#x}", known.base.0));
    format!("{}{alias}, SMMU {smmu}{at}, StreamID {stream_id:#x}", raw.bdf)
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

fn sentence(
    raw: &Raw,
    name: Option<&str>,
    stream: Option<&Stream>,
    faults: &[Event],
    ending: Ending,
    (key, hz): (Option<(u8, u32)>, u64),
) -> String {
    let name = name.map_or_else(String::new, |name| format!(" {name}"));
    let id = key.map_or_else(String::new, |(_, stream_id)| format!(" (StreamID {stream_id:#x})"));
    let who = format!("{}{name}{id}", raw.bdf);
    let ms = |ticks: u64| milliseconds(Some(ticks), hz);
    let since =
        |ticks: Option<u64>| ticks.map_or_else(|| "at the crash".into(), |ticks| format!("{} after it", ms(ticks)));
    let refused: u64 = faults.iter().map(|fault| fault.count).sum();
    match (ending, &raw.stopped) {
        (Ending::NotSeen, _) if raw.bus_master && stream.is_none() => {
            format!("{who} was left with bus mastering on, and nobody counts its DMA: the SMMU recorded none")
        }
        (Ending::NotSeen, _) => format!("{who} did no DMA that was seen"),
        (Ending::ByItself, _) => {
            format!(
                "{who} stopped by itself: nothing was attempted after the takeover, the last DMA landed {}",
                since(raw.last_dma)
            )
        }
        (Ending::WhenTold | Ending::ByReset, Some(stopped)) => {
            let late = match stopped.last_dma {
                Some(late) => format!("the last DMA landed {} after that", ms(late)),
                None => "nothing landed after that".into(),
            };
            let back = if raw.answers { "" } else { ", and it did not come back" };
            format!(
                "{who} was doing DMA until the {}, {} after the crash; {late}{back}",
                stopped.means,
                ms(stopped.told)
            )
        }
        (Ending::StillGoing, Some(stopped)) => {
            let last = stopped.last_dma.unwrap_or(0);
            format!("{who} was still doing DMA {} after the {}", ms(last), stopped.means)
        }
        (_, None) if stream.is_none() => {
            format!("{who} was still doing DMA after the crash: the SMMU recorded {refused} refusals of it")
        }
        (_, _) => {
            let last = raw.last_attempt.or(raw.last_dma).unwrap_or(0);
            let lands = stream.is_some_and(|stream| {
                let after = &stream.phases.after;
                after.delivered > 0 || after.mis_steered > 0
            });
            let what = if lands { "doing DMA" } else { "trying to do DMA" };
            let landed =
                if lands { String::new() } else { format!("; the last that landed was {}", since(raw.last_dma)) };
            format!("{who} was still {what} {} after the crash, when the watch ended{landed}", ms(last))
        }
    }
}
