//! The Generic Watchdog (Arm DEN 0094 BSA, appendix A): after a refresh it counts WOR ticks of the system counter and raises WS0, an
//! interrupt that nobody takes here, then as many again and raises WS1, which resets the board. No access is made here.

/// A register of one of its two frames, each of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// WRR, in the refresh frame: any write is a refresh.
    Refresh,
    /// WCS, in the control frame.
    Control,
    /// WOR, bits 31:0.
    OffsetLow,
    /// WOR, bits 47:32; reserved where the architecture's revision is 0.
    OffsetHigh,
    /// W_IIDR, in the control frame.
    Identity,
}

impl Register {
    /// Its distance from the start of its frame.
    #[must_use]
    pub const fn offset(self) -> u64 {
        match self {
            Self::Refresh | Self::Control => 0x000,
            Self::OffsetLow => 0x008,
            Self::OffsetHigh => 0x00c,
            Self::Identity => 0xfcc,
        }
    }
}

/// WCS.EN.
const ENABLE: u32 = 1;
/// Ticks that a WOR of 48 bits holds.
const MOST_WIDE: u64 = (1 << 48) - 1;

/// Registers of a watchdog.
pub trait Registers {
    /// Reads one.
    fn read(&mut self, register: Register) -> u32;
    /// Writes one.
    fn write(&mut self, register: Register, value: u32);
    /// Waits until all accesses before are complete: the two frames need not be one device to the bus.
    fn barrier(&mut self);
}

/// Why it is not armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its count is too short.
    #[error("it counts to {most} ticks, fewer than the longest wait takes")]
    TooShort {
        /// From a refresh to the reset.
        most: u64,
    },
    /// What was written is not there.
    #[error("what stands there is none: a register reads {0:#x}")]
    NotOne(u32),
}

/// Arms it: reset `wanted` ticks after the last refresh, or as much sooner as its count is shorter, but not before `least`. Returns
/// the ticks.
///
/// # Errors
/// [`Refused`]; it is disabled then.
pub fn arm(registers: &mut impl Registers, wanted: u64, least: u64) -> Result<u64, Refused> {
    // Whatever it was set to is over: a count that goes on may end between two of the writes below.
    disarm(registers);
    let is_wide = registers.read(Register::Identity) >> 16 & 0xf != 0;
    let most = if is_wide { MOST_WIDE } else { u64::from(u32::MAX) };
    let count = (wanted / 2).min(most);
    if 2 * count < least {
        return Err(Refused::TooShort { most: 2 * most });
    }
    let low = count as u32;
    registers.write(Register::OffsetLow, low);
    if is_wide {
        registers.write(Register::OffsetHigh, (count >> 32) as u32);
    }
    let found = registers.read(Register::OffsetLow);
    if found != low {
        return Err(Refused::NotOne(found));
    }
    // It counts from WCS.EN on: WOR must have arrived.
    registers.barrier();
    registers.write(Register::Control, ENABLE);
    let found = registers.read(Register::Control);
    if found & ENABLE == 0 {
        return Err(Refused::NotOne(found));
    }
    Ok(2 * count)
}

/// Refreshes it: all before has been done.
pub fn refresh(registers: &mut impl Registers) {
    // A store that never completes must not be passed by the sign that it did.
    registers.barrier();
    registers.write(Register::Refresh, 0);
}

/// Disables it.
pub fn disarm(registers: &mut impl Registers) {
    registers.write(Register::Control, 0);
    registers.barrier();
}

#[cfg(test)]
mod tests;
