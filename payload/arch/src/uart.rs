//! The console's registers: accesses of the width that the UART takes, and waits that end.

use crate::serial::{At, Kind, Registers};
use crate::{mmio, timer};
use core::convert::Infallible;
use embedded_io::{ErrorType, Write};

/// A FIFO of 32 characters at 9600 baud takes 33 ms.
const PATIENCE_US: u64 = 100_000;

/// A UART.
#[derive(Clone, Copy, Debug)]
pub struct Uart {
    at: At,
    deadline: u64,
}

impl Uart {
    /// A UART at a place.
    ///
    /// # Safety
    /// `at.base..at.base + 0x1000`, cut at the end of its page, is mapped as Device memory and is such a UART, and nobody
    /// else writes to it.
    #[must_use]
    pub const unsafe fn new(at: At) -> Self {
        Self { at, deadline: 0 }
    }
}

impl Registers for Uart {
    fn read(&mut self, offset: u64) -> u32 {
        let register = self.at.base + offset;
        match (self.at.access_bytes, self.at.kind) {
            // SAFETY: the constructor's promise covers the registers of the kind.
            (4, _) => unsafe { mmio::read32(register) },
            // SAFETY: as above.
            (1, Kind::Ns16550 { .. }) => u32::from(unsafe { mmio::read8(register) }),
            // SAFETY: as above.
            _ => u32::from(unsafe { mmio::read16(register) }),
        }
    }

    fn write(&mut self, offset: u64, value: u32) {
        let register = self.at.base + offset;
        match (self.at.access_bytes, self.at.kind) {
            // SAFETY: the constructor's promise covers the registers of the kind.
            (4, _) => unsafe { mmio::write32(register, value) },
            // SAFETY: as above.
            (1, Kind::Ns16550 { .. }) => unsafe { mmio::write8(register, value as u8) },
            // SAFETY: as above.
            _ => unsafe { mmio::write16(register, value as u16) },
        }
    }

    fn begin_wait(&mut self) {
        self.deadline = timer::now() + timer::ticks_of_us(PATIENCE_US);
    }

    fn is_patient(&mut self) -> bool {
        timer::now() < self.deadline
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Write for Uart {
    /// Never fails: a UART that stays full for 100 ms loses characters, which sequence numbers and CRCs then show.
    fn write(&mut self, text: &[u8]) -> Result<usize, Infallible> {
        for byte in text {
            self.at.kind.put(self, *byte);
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        self.at.kind.drain(self);
        Ok(())
    }
}
