//! Lines for whoever reads the console.

use arch::{serial::At, uart::Uart};
use core::{
    fmt::Arguments,
    sync::atomic::{AtomicU64, Ordering},
};
use embedded_io::Write;

static BASE: AtomicU64 = AtomicU64::new(0);

/// # Safety
/// A PL011 is at `base`, mapped as Device memory, and nobody else writes to it.
pub(crate) unsafe fn init(base: u64) {
    BASE.store(base, Ordering::Relaxed);
}

/// Its address; 0: there is none.
pub(crate) fn base() -> u64 {
    BASE.load(Ordering::Relaxed)
}

/// Writes one line.
pub(crate) fn line(text: Arguments<'_>) {
    let base = base();
    if base == 0 {
        return;
    }
    // SAFETY: the promise of `init`.
    let mut uart = unsafe { Uart::new(At::new(base, 16, 0)) };
    // It never fails.
    let _ = write!(uart, "guest: {text}\r\n");
}

macro_rules! say {
    ($($text:tt)*) => {
        $crate::console::line(format_args!($($text)*))
    };
}
pub(crate) use say;
