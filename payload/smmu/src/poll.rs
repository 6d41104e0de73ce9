//! Waiting for a register, never for ever.

use crate::access::{Access, SmmuIndex};
use crate::spec::registers;

/// A moment of the system counter after which nobody waits any more.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(u64);

impl Deadline {
    /// `microseconds` from now.
    pub fn after(hw: &mut dyn Access, microseconds: u64) -> Self {
        const SECOND: u64 = 1_000_000;
        let frequency = hw.frequency();
        // Whole seconds and the rest apart: only the first product can pass 64 bits.
        let seconds = (microseconds / SECOND).saturating_mul(frequency);
        let rest = (microseconds % SECOND).saturating_mul(frequency) / SECOND;
        Self(hw.ticks().saturating_add(seconds).saturating_add(rest))
    }

    /// The moment has passed.
    pub fn passed(self, hw: &mut dyn Access) -> bool {
        hw.ticks() >= self.0
    }
}

/// A register did not take the value in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is {last:#x} after {microseconds} µs, not {wanted:#x} under mask {mask:#x}", registers::name(*.register))]
pub struct TimedOut {
    /// Offset of the register.
    pub register: u32,
    /// Bits that were compared.
    pub mask: u32,
    /// What they were to be.
    pub wanted: u32,
    /// Last value read.
    pub last: u32,
    /// How long it was polled.
    pub microseconds: u64,
}

/// Reads `register` until its bits in `mask` are `wanted`; returns the whole value.
///
/// # Errors
/// [`TimedOut`] after `microseconds`.
pub fn until(
    hw: &mut dyn Access,
    smmu: SmmuIndex,
    register: u32,
    mask: u32,
    wanted: u32,
    microseconds: u64,
) -> Result<u32, TimedOut> {
    let deadline = Deadline::after(hw, microseconds);
    loop {
        // Asked before the read: a poller that was held up for longer than the deadline still reads once more.
        let late = deadline.passed(hw);
        let last = hw.read32(smmu, register);
        if last & mask == wanted {
            return Ok(last);
        }
        if late {
            return Err(TimedOut { register, mask, wanted, last, microseconds });
        }
        hw.pause();
    }
}
