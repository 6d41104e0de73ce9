//! The console of the running image: one UART, one running sequence number.

use crate::uart::Uart;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use wire::{Record, Writer};

static BASE: AtomicU64 = AtomicU64::new(0);
static WIDE: AtomicBool = AtomicBool::new(false);
static SEQUENCE: AtomicU32 = AtomicU32::new(0);

/// Chooses the UART and the sequence number of the next record.
///
/// # Safety
/// As [`Uart::new`], for as long as the image runs.
pub unsafe fn init(base: u64, wide: bool, next_sequence: u32) {
    WIDE.store(wide, Ordering::Relaxed);
    SEQUENCE.store(next_sequence, Ordering::Relaxed);
    BASE.store(base, Ordering::Relaxed);
}

/// Sequence number of the next record.
#[must_use]
pub fn next_sequence() -> u32 {
    SEQUENCE.load(Ordering::Relaxed)
}

/// Goes on counting where another image, or another console, stopped.
pub fn set_next_sequence(next: u32) {
    SEQUENCE.store(next, Ordering::Relaxed);
}

/// Lends the console; does nothing where there is none.
pub fn with(job: impl FnOnce(&mut Writer<Uart>)) {
    let base = BASE.load(Ordering::Relaxed);
    if base == 0 {
        return;
    }
    // SAFETY: `init` was given this UART under the same promise.
    let uart = unsafe { Uart::new(base, WIDE.load(Ordering::Relaxed)) };
    let mut writer = Writer::new(uart, SEQUENCE.load(Ordering::Relaxed));
    job(&mut writer);
    SEQUENCE.store(writer.next_sequence(), Ordering::Relaxed);
}

/// Writes one record. A record that cannot be written leaves a gap in the sequence, which the host notices.
pub fn record(record: &Record<'_>) {
    with(|writer| {
        if writer.write(record).is_err() {
            let skipped = writer.next_sequence().wrapping_add(1);
            writer.set_next_sequence(skipped);
        }
    });
}
