//! Waiting with a deadline.

use crate::{Bus, DmaError};
use addr::PhysAddr;

/// Ticks in `us` microseconds.
pub(crate) fn ticks_in(bus: &dyn Bus, us: u64) -> u64 {
    // Frequencies go to 1 GHz (Arm ARM D12.1.2) and waits to seconds: the product is far below 2^64.
    bus.frequency().saturating_mul(us) / 1_000_000
}

/// A deadline, and how often to look until then.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) every_us: u64,
    pub(crate) deadline_us: u64,
}

/// Reads a 32-bit register until `done`.
pub(crate) fn poll32(
    bus: &mut dyn Bus,
    what: &'static str,
    at: PhysAddr,
    pace: Pace,
    done: impl Fn(u32) -> bool,
) -> Result<(), DmaError> {
    poll(bus, what, at, pace, &|bus| {
        let value = bus.read32(at);
        (value, done(value))
    })
}

/// Reads a 16-bit register until `done`.
pub(crate) fn poll16(
    bus: &mut dyn Bus,
    what: &'static str,
    at: PhysAddr,
    pace: Pace,
    done: impl Fn(u16) -> bool,
) -> Result<(), DmaError> {
    poll(bus, what, at, pace, &|bus| {
        let value = bus.read16(at);
        (value.into(), done(value))
    })
}

/// Reads an 8-bit register until `done`.
pub(crate) fn poll8(
    bus: &mut dyn Bus,
    what: &'static str,
    at: PhysAddr,
    pace: Pace,
    done: impl Fn(u8) -> bool,
) -> Result<(), DmaError> {
    poll(bus, what, at, pace, &|bus| {
        let value = bus.read8(at);
        (value.into(), done(value))
    })
}

/// One loop for all: it is called from many places.
#[inline(never)]
fn poll(
    bus: &mut dyn Bus,
    what: &'static str,
    at: PhysAddr,
    pace: Pace,
    look: &dyn Fn(&mut dyn Bus) -> (u32, bool),
) -> Result<(), DmaError> {
    let limit = ticks_in(bus, pace.deadline_us);
    let start = bus.ticks();
    loop {
        // The clock is read first: a value read after the deadline still counts, a late wake-up is not a time-out.
        let late = bus.ticks().wrapping_sub(start) > limit;
        let (last, done) = look(bus);
        if done {
            return Ok(());
        }
        if late {
            return Err(DmaError::Timeout { what, at, last, after_us: pace.deadline_us });
        }
        bus.sleep_us(pace.every_us);
    }
}
