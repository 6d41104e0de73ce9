//! Everything that is looked at in configuration space, over one that answers with arbitrary bytes.

use addr::Bdf;
use pci::{
    BusRange, CapabilityId, ConfigSpace, ErrorPlaces, Function, State, audit, error, functions_and_faults, isolation,
};

/// Reads of one function that no look may pass: two lists of at most 48 and 960 entries, each walked some dozen times.
const READS: usize = 40_000;
/// Reads of a walk over 256 buses without a function: 32 devices of 8 functions each.
const EMPTY: usize = 70_000;
/// A record of the input: a function's number, and what its page repeats.
const RECORD: usize = 2 + 64;

/// Pages that repeat 64 bytes, at the functions that the input names; writes are kept in one word of all.
struct Space<'a> {
    records: &'a [u8],
    /// All answer all ones after so many reads.
    lives: usize,
    reads: usize,
    written: (u16, u16, u32),
}

impl Space<'_> {
    fn page(&self, rid: u16) -> Option<&[u8]> {
        let mut records = self.records.chunks_exact(RECORD);
        records.find(|record| record[..2] == rid.to_le_bytes()).map(|record| &record[2..])
    }
}

impl ConfigSpace for Space<'_> {
    fn read32(&mut self, function: Bdf, offset: u16) -> u32 {
        assert!(offset < 4096 && offset.is_multiple_of(4), "read at {offset:#x}");
        self.reads += 1;
        if self.reads > self.lives {
            return u32::MAX;
        }
        let (rid, at, value) = self.written;
        let Some(page) = self.page(function.rid) else { return u32::MAX };
        if (rid, at) == (function.rid, offset) {
            return value;
        }
        let at = usize::from(offset) % page.len();
        u32::from_le_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]])
    }

    fn write32(&mut self, function: Bdf, offset: u16, value: u32) {
        assert!(offset < 4096 && offset.is_multiple_of(4), "write at {offset:#x}");
        self.written = (function.rid, offset, value);
    }

    fn write16(&mut self, function: Bdf, offset: u16, value: u16) {
        assert!(offset < 4096 && offset.is_multiple_of(2), "write at {offset:#x}");
        self.written = (function.rid, offset & !3, u32::from(value) << (8 * (offset & 2)));
    }
}

/// Two bytes for how long the functions answer, then records of 66 bytes.
pub fn configuration(bytes: &[u8]) {
    let Some((lives, records)) = bytes.split_first_chunk::<2>() else { return };
    let lives = match u16::from_le_bytes(*lives) {
        u16::MAX => usize::MAX,
        lives => usize::from(lives) * 4,
    };
    let mut space = Space { records, lives, reads: 0, written: (0, 0, 0) };
    let mut faults = 0_usize;
    let mut tell = |fault: pci::Fault| {
        assert!(fault.offset < 4096 && !fault.to_string().contains('\n') && !fault.id().is_empty());
        faults += 1;
    };
    let roots = [BusRange { segment: 0, first: 0, last: 255 }, BusRange { segment: 0, first: 3, last: 255 }];
    let found = functions_and_faults(&mut space, &roots, 4096, &mut tell);
    audit(&mut space, &found, &[], &|first, last| first <= last && first >= 1 << 32, &mut tell);
    let (mut places, mut states) = (Vec::new(), Vec::new());
    for found in &found {
        let Some(mut function) = Function::new(&mut space, found.bdf) else { continue };
        let _ = function.capability(CapabilityId::MSI_X);
        let _ = (function.has_flr(), function.wake(), function.enable_for_dma());
        places.push(ErrorPlaces::find(&mut function));
        states.push((found.bdf, State::read(&mut function)));
    }
    error::link(&mut space, &mut places);
    for place in &places {
        assert!(place.upstream == ErrorPlaces::NONE || usize::from(place.upstream) < places.len());
        place.enable(&mut space);
        let before = place.read(&mut space);
        let after = place.clear(&mut space);
        let new = before.difference(&after);
        assert!(!after.is_gone() || before.is_gone() || new.is_gone());
        assert!(new.is_clean() || !new.to_string().is_empty());
        let _ = (new.sources(), new.is_first_hand(), new.is_refusal());
    }
    for (bdf, _) in states.iter().take(64) {
        let _ = isolation(&states, *bdf).map_err(|open| open.to_string());
    }
    assert!(space.reads <= 2 * EMPTY + READS * found.len().max(1), "{} reads of {}", space.reads, found.len());
    assert!(faults <= 65_536 + 32 * found.len(), "{faults} faults");
}
