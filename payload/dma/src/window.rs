//! Places in a stream's windows: where translated and untranslated DMA to one address lands.

use crate::{Bus, DmaError};
use addr::{Iova, PhysAddr};
use handover::oracle::{Stream, Window};

/// A byte that target and canary are filled with. As a sample it is loud (-23131), as a MAC address no broadcast.
pub(crate) const POISON: u8 = 0xa5;
/// [`POISON`] in every byte.
pub(crate) const POISON_WORD: u32 = 0xa5a5_a5a5;

/// One place in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The address that the device issues.
    pub(crate) iova: Iova,
    /// Where its DMA must land.
    pub(crate) target: PhysAddr,
    /// Where its DMA lands untranslated; `None` in an identity window, where that is right.
    pub(crate) canary: Option<PhysAddr>,
}

impl Place {
    /// Finds the place at `offset` of a window, which is inside it.
    pub(crate) fn new(window: &Window, offset: u64) -> Self {
        let target = window.target.plus(offset);
        let canary = window.canary.plus(offset);
        Self { iova: window.iova.plus(offset), target, canary: (canary != target).then_some(canary) }
    }

    /// The place `bytes` further on.
    pub(crate) fn plus(self, bytes: u64) -> Self {
        let canary = self.canary.map(|canary| canary.plus(bytes));
        Self { iova: self.iova.plus(bytes), target: self.target.plus(bytes), canary }
    }

    /// Writes `bytes` to target and canary: what a device fetches here is valid whether it is translated or not.
    pub(crate) fn publish(self, bus: &mut dyn Bus, bytes: &[u8]) {
        bus.copy_to(self.target, bytes);
        if let Some(canary) = self.canary {
            bus.copy_to(canary, bytes);
        }
    }

    /// Fills target and canary with poison.
    pub(crate) fn poison(self, bus: &mut dyn Bus, bytes: u64) {
        bus.fill(self.target, bytes, POISON);
        if let Some(canary) = self.canary {
            bus.fill(canary, bytes, POISON);
        }
    }

    /// Reads one word of the target and of the canary; a canary that does not exist reads as poison.
    pub(crate) fn words(self, bus: &mut dyn Bus) -> (u32, u32) {
        let (mut target, mut canary) = ([0; 4], POISON_WORD.to_le_bytes());
        bus.copy_from(self.target, &mut target);
        if let Some(at) = self.canary {
            bus.copy_from(at, &mut canary);
        }
        (u32::from_le_bytes(target), u32::from_le_bytes(canary))
    }
}

/// Checks that the stream's windows hold what the driver puts there. 4 KiB alignment covers every alignment rule of
/// the structures in them.
pub(crate) fn check(stream: &Stream, window_bytes: u64, rmr_bytes: u64) -> Result<(), DmaError> {
    let (window, rmr) = (&stream.window, &stream.rmr);
    if window.bytes < window_bytes {
        return Err(DmaError::WindowTooSmall { has: window.bytes, needs: window_bytes });
    }
    if rmr.bytes != 0 && rmr.bytes < rmr_bytes {
        return Err(DmaError::WindowTooSmall { has: rmr.bytes, needs: rmr_bytes });
    }
    if !window.iova.is_aligned(0x1000) || !rmr.iova.is_aligned(0x1000) {
        return Err(DmaError::Unsupported("the windows do not begin at a page"));
    }
    if window.iova.checked_add(window.bytes).is_none() || rmr.iova.checked_add(rmr.bytes).is_none() {
        return Err(DmaError::Unsupported("a window passes the end of the address space"));
    }
    Ok(())
}

/// Tells whether a device with 32 address bits reaches both windows.
pub(crate) fn is_below_4g(stream: &Stream) -> bool {
    [&stream.window, &stream.rmr].iter().all(|window| window.iova.0.saturating_add(window.bytes) <= 1 << 32)
}

/// Poisons the `bytes` of data that DMA alternates over: all at `offset` of the canary window, or, with an identity window,
/// one half there and the other at the start of that one.
pub(crate) fn poison_data(bus: &mut dyn Bus, stream: &Stream, offset: u64, bytes: u64) {
    let in_rmr = if stream.rmr.bytes == 0 { 0 } else { bytes / 2 };
    Place::new(&stream.window, offset).poison(bus, bytes - in_rmr);
    if in_rmr != 0 {
        Place::new(&stream.rmr, 0).poison(bus, in_rmr);
    }
}

/// Fills both windows of the stream with poison, so that [`first_landed`] can tell whether DMA still lands. The
/// endpoint is stopped.
pub fn poison(bus: &mut dyn Bus, stream: &Stream) {
    for window in [&stream.window, &stream.rmr].into_iter().filter(|window| window.bytes != 0) {
        Place::new(window, 0).poison(bus, window.bytes);
    }
}

/// A sum over targets and canaries that changes where anything in them does, but for changes that cancel out: whether DMA
/// lands, of a device whose registers nobody may read.
#[must_use]
pub fn fingerprint(bus: &mut dyn Bus, stream: &Stream) -> u64 {
    let mut sum = 0_u64;
    let mut chunk = [0; 1024];
    for window in [&stream.window, &stream.rmr] {
        let canary = if window.canary == window.target { 0 } else { window.bytes };
        for (start, bytes) in [(window.target, window.bytes), (window.canary, canary)] {
            for offset in (0..bytes).step_by(chunk.len()) {
                bus.copy_from(start.plus(offset), &mut chunk);
                for word in chunk.as_chunks::<8>().0 {
                    sum = sum.rotate_left(5).wrapping_add(u64::from_le_bytes(*word));
                }
            }
        }
    }
    sum
}

/// Finds the first byte in targets and canaries that is not what [`poison`] left: something landed there since.
#[must_use]
pub fn first_landed(bus: &mut dyn Bus, stream: &Stream) -> Option<PhysAddr> {
    let (window, rmr) = (&stream.window, &stream.rmr);
    let ranges = [(window.target, window.bytes), (window.canary, window.bytes), (rmr.target, rmr.bytes)];
    // That the endpoint is stopped was read from it.
    bus.after_index_read();
    ranges.into_iter().find_map(|(start, bytes)| Some(start.plus(bus.first_other(start, bytes, POISON)?)))
}
