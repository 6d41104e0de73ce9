//! The console of the running image: one UART, one running sequence number.

use crate::alive;
use crate::serial::{At, Kind};
use crate::uart::Uart;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use wire::{Record, Writer};

static BASE: AtomicU64 = AtomicU64::new(0);
static ACCESS_BYTES: AtomicU8 = AtomicU8::new(0);
/// Of a 16550; zero: a PL011.
static STRIDE: AtomicU8 = AtomicU8::new(0);
static SEQUENCE: AtomicU32 = AtomicU32::new(0);

/// Chooses the UART and the sequence number of the next record.
///
/// # Safety
/// As [`Uart::new`], for as long as the image runs.
pub unsafe fn init(at: At, next_sequence: u32) {
    let stride = match at.kind {
        Kind::Pl011 => 0,
        Kind::Ns16550 { stride } => stride,
    };
    ACCESS_BYTES.store(at.access_bytes, Ordering::Relaxed);
    STRIDE.store(stride, Ordering::Relaxed);
    SEQUENCE.store(next_sequence, Ordering::Relaxed);
    BASE.store(at.base, Ordering::Relaxed);
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
    let kind = match STRIDE.load(Ordering::Relaxed) {
        0 => Kind::Pl011,
        stride => Kind::Ns16550 { stride },
    };
    let at = At { base, kind, access_bytes: ACCESS_BYTES.load(Ordering::Relaxed) };
    // SAFETY: `init` was given this UART under the same promise.
    let uart = unsafe { Uart::new(at) };
    let mut writer = Writer::new(uart, SEQUENCE.load(Ordering::Relaxed));
    job(&mut writer);
    SEQUENCE.store(writer.next_sequence(), Ordering::Relaxed);
}

/// Writes one record, which is a sign of life. A record that cannot be written leaves a gap in the sequence, which the host notices.
pub fn record(record: &Record<'_>) {
    with(|writer| {
        if writer.write(record).is_err() {
            let skipped = writer.next_sequence().wrapping_add(1);
            writer.set_next_sequence(skipped);
        }
    });
    alive::sign();
}
