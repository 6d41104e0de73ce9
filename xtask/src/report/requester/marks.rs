//! What hardware marked in a census: whose blocks, how often, since when and until when.

use wire::Record;

use super::{NOBODY, Raw, microseconds};
use crate::report::collect::Cycle;
use crate::report::model::{Ending, Hex, Mark};

/// Blocks that a sentence names.
const NAMED: usize = 2;

/// A mark as its record told it, in ticks since the census began.
#[derive(Clone, Copy, Debug)]
pub struct RawMark {
    smmu: u8,
    stream_id: Option<u32>,
    address: u64,
    bytes: u64,
    written: Option<bool>,
    first: u64,
    last: u64,
    scans: u32,
}

impl RawMark {
    /// Of its record.
    pub const fn of(told: &Record<'_>) -> Option<Self> {
        let Record::Mark { smmu, stream_id, address, bytes, written, first, last, scans, .. } = *told else {
            return None;
        };
        Some(Self { smmu, stream_id, address, bytes, written, first, last, scans })
    }
}

/// Those of one stream, or of all that an SMMU's census does not know.
pub(super) fn of(cycle: &Cycle, key: Option<(u8, Option<u32>)>, hz: u64) -> Vec<Mark> {
    let own = cycle.marks.iter().filter(|mark| Some((mark.smmu, mark.stream_id)) == key);
    own.map(|mark| Mark {
        address: Hex(mark.address),
        bytes: mark.bytes,
        written: mark.written,
        first_us: microseconds(mark.first, hz),
        last_us: microseconds(mark.last, hz),
        scans: mark.scans,
    })
    .collect()
}

/// Requesters without a name: for each SMMU those that have marks together, and no StreamID.
pub(super) fn nobody(cycle: &Cycle) -> Vec<Raw> {
    let mut found: Vec<Raw> = Vec::new();
    for mark in cycle.marks.iter().filter(|mark| mark.stream_id.is_none()) {
        let stranger = Some((mark.smmu, None));
        match found.iter_mut().find(|raw| raw.stranger == stranger) {
            Some(raw) => {
                raw.first_attempt = raw.first_attempt.min(Some(mark.first));
                raw.last_attempt = raw.last_attempt.max(Some(mark.last));
            }
            None => found.push(Raw {
                bdf: NOBODY.into(),
                stranger,
                first_attempt: Some(mark.first),
                last_attempt: Some(mark.last),
                ..Raw::default()
            }),
        }
    }
    found
}

/// Whether it went on to the end: its last mark is of the last tenth of the watch.
pub(super) fn ending(raw: &Raw, cycle: &Cycle) -> Ending {
    let watch = cycle.timing.map_or(0, |timing| timing.watch);
    let last = raw.last_attempt.unwrap_or(0);
    if last >= watch - watch / 10 { Ending::StillGoing } else { Ending::ByItself }
}

/// How many blocks, and the first of them.
pub(super) fn in_words(marks: &[Mark]) -> String {
    let named = marks.iter().take(NAMED).map(|mark| {
        let what = match mark.written {
            Some(true) => "written",
            // The flag may be set ahead of a transaction (IHI 0070, 3.13): no read is proved.
            Some(false) => "used, not written,",
            None => "used",
        };
        format!("{what} in {} scan(s): the {} at {:#x}", mark.scans, size(mark.bytes), mark.address.0)
    });
    let named = named.collect::<Vec<_>>().join(", ");
    match marks.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// A power of two.
fn size(bytes: u64) -> String {
    match bytes.trailing_zeros() {
        30.. => format!("{} GiB", bytes >> 30),
        20.. => format!("{} MiB", bytes >> 20),
        _ => format!("{} KiB", bytes >> 10),
    }
}
