//! The console: PL011 and SBSA Generic UART, data and flag registers only. Baud rate and line control stay as found.

use crate::{mmio, timer};
use core::convert::Infallible;
use embedded_io::{ErrorType, Write};

const DR: u64 = 0x00;
const FR: u64 = 0x18;
const FR_TXFF: u32 = 1 << 5;
const FR_BUSY: u32 = 1 << 3;
/// A FIFO of 32 characters at 9600 baud takes 33 ms.
const PATIENCE_US: u64 = 100_000;

/// A PL011 or SBSA UART.
#[derive(Clone, Copy, Debug)]
pub struct Uart {
    base: u64,
    wide: bool,
}

impl Uart {
    /// A UART whose registers are at `base`; `wide`: 32-bit accesses, else 16-bit (SPCR interface type 0x0D is the
    /// one with 32-bit accesses only).
    ///
    /// # Safety
    /// `base..base + 0x1000` is mapped as Device memory and is such a UART, and nobody else writes to it.
    #[must_use]
    pub const unsafe fn new(base: u64, wide: bool) -> Self {
        Self { base, wide }
    }

    fn flags(&self) -> u32 {
        if self.wide {
            // SAFETY: the constructor's promise covers the flag register.
            unsafe { mmio::read32(self.base + FR) }
        } else {
            // SAFETY: the constructor's promise covers the flag register.
            u32::from(unsafe { mmio::read16(self.base + FR) })
        }
    }

    fn wait_while(&self, flag: u32) {
        if self.flags() & flag == 0 {
            return;
        }
        let deadline = timer::now() + timer::ticks_of_us(PATIENCE_US);
        while self.flags() & flag != 0 && timer::now() < deadline {}
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Write for Uart {
    /// Never fails: a UART that stays full for 100 ms loses characters, which sequence numbers and CRCs then show.
    fn write(&mut self, text: &[u8]) -> Result<usize, Infallible> {
        for byte in text {
            self.wait_while(FR_TXFF);
            if self.wide {
                // SAFETY: the constructor's promise covers the data register.
                unsafe { mmio::write32(self.base + DR, u32::from(*byte)) }
            } else {
                // SAFETY: the constructor's promise covers the data register.
                unsafe { mmio::write16(self.base + DR, u16::from(*byte)) }
            }
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        self.wait_while(FR_BUSY);
        Ok(())
    }
}
