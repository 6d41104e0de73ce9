//! Signs of life: a watchdog that is refreshed where work goes on, and words in memory that say after a reset where it stopped.
//! Without either nothing is done here.

use crate::{
    cache, cpu, mmio, timer,
    watchdog::{self, Refused, Register, Registers},
};
use addr::PhysAddr;
use core::{
    slice,
    sync::atomic::{AtomicU64, Ordering},
};
use handover::{boot::Watchdog, last_words::LastWords};
use zerocopy::{FromBytes, IntoBytes};

static REFRESH: AtomicU64 = AtomicU64::new(0);
static CONTROL: AtomicU64 = AtomicU64::new(0);
static WORDS: AtomicU64 = AtomicU64::new(0);

/// The frames of an armed watchdog.
struct Frames(Watchdog);

impl Frames {
    const fn at(&self, register: Register) -> u64 {
        let frame = match register {
            Register::Refresh => self.0.refresh,
            _ => self.0.control,
        };
        frame.0 + register.offset()
    }
}

impl Registers for Frames {
    fn read(&mut self, register: Register) -> u32 {
        // SAFETY: whoever gave the frames promised that they are mapped and a watchdog's.
        unsafe { mmio::read32(self.at(register)) }
    }

    fn write(&mut self, register: Register, value: u32) {
        // SAFETY: as above.
        unsafe { mmio::write32(self.at(register), value) }
    }

    fn barrier(&mut self) {
        cpu::dsb();
    }
}

/// Arms a watchdog, which is refreshed from here on: reset `wanted_us` after the last sign of life, or sooner, but not before
/// `least_us`. Returns the time in seconds.
///
/// # Errors
/// As [`watchdog::arm`].
///
/// # Safety
/// Both frames are mapped as Device memory, and nobody else uses this watchdog.
pub unsafe fn arm(frames: Watchdog, wanted_us: u64, least_us: u64) -> Result<u64, Refused> {
    let ticks = watchdog::arm(&mut Frames(frames), timer::ticks_of_us(wanted_us), timer::ticks_of_us(least_us))?;
    // SAFETY: the caller's promise.
    unsafe { guard(frames) };
    // Halves were rounded down.
    Ok((ticks + 1) / timer::frequency())
}

/// Refreshes a watchdog that is armed; addresses of 0: there is none.
///
/// # Safety
/// As [`arm`].
pub unsafe fn guard(frames: Watchdog) {
    CONTROL.store(frames.control.0, Ordering::Relaxed);
    REFRESH.store(frames.refresh.0, Ordering::Relaxed);
    sign();
}

/// The watchdog that is refreshed.
#[must_use]
pub fn guarded() -> Watchdog {
    let load = |at: &AtomicU64| PhysAddr(at.load(Ordering::Relaxed));
    Watchdog { refresh: load(&REFRESH), control: load(&CONTROL) }
}

/// Keeps last words at `at`; 0: nowhere.
///
/// # Safety
/// There is room for them, mapped and a multiple of 8, and nobody else goes there while this image runs.
pub unsafe fn keep(at: PhysAddr) {
    WORDS.store(at.0, Ordering::Relaxed);
}

/// Where words are kept; 0: nowhere.
#[must_use]
pub fn kept() -> PhysAddr {
    PhysAddr(WORDS.load(Ordering::Relaxed))
}

/// Work goes on.
pub fn sign() {
    let frames = guarded();
    if frames.refresh.0 != 0 {
        watchdog::refresh(&mut Frames(frames));
    }
}

/// A step begins.
pub fn step(name: &str) {
    if !name.is_empty() {
        change(|words| words.step(name));
    }
    sign();
}

/// A phase begins (`handover::last_words`), with this step.
pub fn phase(phase: u32, step: &str) {
    change(|words| words.enter(phase, step));
    sign();
}

/// Changes the words that were said.
pub fn change(job: impl FnOnce(&mut LastWords)) {
    with(|place| {
        // They are this boot's own: nothing is checked.
        if let Ok(words) = LastWords::mut_from_bytes(place) {
            job(words);
        }
    });
}

/// Says the first words.
pub fn say(words: &LastWords) {
    with(|place| place.copy_from_slice(words.as_bytes()));
}

/// The work is over, or was given up with a word of its own: nothing resets, and nothing is told at the next start.
pub fn end() {
    let frames = guarded();
    if frames.control.0 != 0 {
        watchdog::disarm(&mut Frames(frames));
    }
    REFRESH.store(0, Ordering::Relaxed);
    with(|place| place.fill(0));
}

fn with(job: impl FnOnce(&mut [u8])) {
    let at = kept();
    if at.0 == 0 {
        return;
    }
    let pointer = core::ptr::with_exposed_provenance_mut(at.0 as usize);
    // SAFETY: the promise of `keep`; no other reference to it outlives a call of this.
    job(unsafe { slice::from_raw_parts_mut(pointer, size_of::<LastWords>()) });
    // What a cache holds is lost in a reset.
    cache::clean_invalidate(at, size_of::<LastWords>() as u64);
}
