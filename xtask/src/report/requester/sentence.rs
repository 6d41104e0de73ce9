//! What was seen of a function's DMA, in one sentence.

use super::Raw;
use crate::report::model::{Ending, Event, Mark, Stream};
use crate::report::view::milliseconds;

/// The function with its name and StreamID.
pub fn who(raw: &Raw, name: Option<&str>, key: Option<(u8, Option<u32>)>) -> String {
    if let Some((smmu, None)) = raw.stranger {
        return format!(
            "somebody behind SMMU {smmu} whose StreamID has no tables of its own (no PCI function's, or one beyond those that are told apart)"
        );
    }
    if let Some((smmu, Some(stream_id))) = raw.stranger {
        return format!("StreamID {stream_id:#x} of SMMU {smmu}, which belongs to no PCI function that is there,");
    }
    let name = name.map_or_else(String::new, |name| format!(" {name}"));
    let id = key.and_then(|(_, stream_id)| stream_id);
    let id = id.map_or_else(String::new, |stream_id| format!(" (StreamID {stream_id:#x})"));
    format!("{}{name}{id}", raw.bdf)
}

/// What a census says of a function that nobody of ours has started; `unwatched` is what there is to say where nothing of it
/// was seen, and it was not watched by itself all the time.
pub fn in_census(
    raw: &Raw,
    who: &str,
    (faults, marks): (&[Event], &[Mark]),
    unwatched: &Option<String>,
    (before_exit, hz): (Option<bool>, u64),
) -> String {
    let was = match (before_exit, raw.bus_master) {
        (Some(true), true) => "; it was bus mastering before the firmware's end, and still is",
        (Some(true), false) => "; it was bus mastering before the firmware's end",
        (Some(false), true) => "; it became bus mastering at the firmware's end",
        (None, true) => "; it is bus mastering",
        _ => "",
    };
    let (Some(first), Some(last)) = (raw.first_attempt, raw.last_attempt) else {
        return format!("{who} {}{was}", unwatched.as_deref().unwrap_or("did no DMA"));
    };
    let count: u64 = faults.iter().map(|fault| fault.count).sum();
    let page = |read: bool| {
        let found = faults.iter().find(|fault| fault.read == read && fault.input_address.0 != 0);
        found.map(|fault| format!("{} page {:#x}", if read { "reads of" } else { "writes to" }, fault.input_address.0))
    };
    let pages = [page(true), page(false)].into_iter().flatten().collect::<Vec<_>>().join(" and ");
    let pages = if pages.is_empty() { String::new() } else { format!(", among them {pages}") };
    let [first, last] = [first, last].map(|ticks| milliseconds(Some(ticks), hz));
    if !marks.is_empty() {
        let blocks = super::marks::in_words(marks);
        let refused = if count == 0 { "nothing of it was refused".into() } else { format!("{count} refusals{pages}") };
        return format!(
            "{who} was doing DMA that nobody of ours has started: {blocks}, from {first} to {last} of the census; {refused}{was}"
        );
    }
    format!(
        "{who} was doing DMA that nobody of ours has started: {count} refusals from {first} to {last} of the census{pages}{was}"
    )
}

/// How its DMA ended after the crash.
pub fn after_crash(raw: &Raw, who: &str, stream: Option<&Stream>, faults: &[Event], ending: Ending, hz: u64) -> String {
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
                "{who} was doing DMA when the {} came, {} after the crash; {late}{back}",
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
