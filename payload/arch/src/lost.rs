//! The end of an image that cannot go on: one line for a person, the records for the host, and power off.

use crate::{
    console,
    exceptions::{self, Exception},
    jump,
    power::{self, Conduit},
};
use core::{
    fmt::{self, Write as _},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};
use wire::{Record, record::Outcome};

static CONDUIT: AtomicU32 = AtomicU32::new(0);
static ENDING: AtomicBool = AtomicBool::new(false);

/// Installs vectors that end the image here, and says how to power off.
pub fn install(conduit: Conduit) {
    CONDUIT.store(conduit as u32, Ordering::Relaxed);
    exceptions::install(on_exception);
}

/// The conduit given to [`install`].
#[must_use]
pub fn conduit() -> Conduit {
    match CONDUIT.load(Ordering::Relaxed) {
        0 => Conduit::Smc,
        1 => Conduit::Hvc,
        _ => Conduit::None,
    }
}

fn on_exception(taken: &Exception) -> ! {
    if jump::is_crashing() {
        jump::take_over_after(taken);
    }
    let (class, fault) = (taken.class(), taken.fault());
    let Exception { esr, elr, far, step, .. } = taken;
    because(format_args!("unexpected {class} {fault}: ESR {esr:#x} ELR {elr:#x} FAR {far:#x} at step \"{step}\""))
}

/// Says why the image cannot go on, and powers off.
pub fn because(reason: fmt::Arguments<'_>) -> ! {
    if !ENDING.swap(true, Ordering::Relaxed) {
        let mut text = Line::default();
        // A line that is too long is cut: `Line` never fails.
        let _ = text.write_fmt(reason);
        let reason = text.as_str();
        console::record(&Record::Lost { reason });
        console::record(&Record::End { outcome: Outcome::Lost, runs: 0 });
        console::with(|writer| {
            // Nobody is left to report a failure to.
            let _ = writer.ktap_comment(0, reason);
            let _ = writer.ktap_end(Outcome::Lost);
        });
    }
    power::off(conduit())
}

/// A line of text without allocation: a panic may come from the allocator.
struct Line {
    bytes: [u8; 240],
    length: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; 240], length: 0 }
    }
}

impl Line {
    fn as_str(&self) -> &str {
        self.bytes.get(..self.length).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or("")
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if let Some(slot) = self.bytes.get_mut(self.length) {
                *slot = if matches!(byte, b' '..=b'~') { byte } else { b' ' };
                self.length += 1;
            }
        }
        Ok(())
    }
}
