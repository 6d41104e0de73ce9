//! Function level reset (PCI Express Base 6.0, 6.6.2): what it loses, and how it is asked for.

use crate::capability::{CapabilityId, express};
use crate::{Command, Function, HeaderType, PciError};

/// How long a function may take until it answers again.
pub const RESET_US: u64 = 100_000;

const BAR0: u16 = 0x10;

/// What software has to write again after a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    bars: [u32; 6],
    command: Command,
    /// Offset of the PCI Express capability.
    express: u16,
    control: u16,
}

impl Function<'_> {
    /// Notes what a reset will lose, and stops the function from issuing new requests. `None`: it has no function level
    /// reset, or is a bridge, and was left as it is.
    ///
    /// # Errors
    /// A capability list that cannot be walked.
    pub fn prepare_reset(&mut self) -> Result<Option<Saved>, PciError> {
        let Some(express) = self.capability(CapabilityId::EXPRESS)? else { return Ok(None) };
        if !self.has_flr()? || self.header_type().layout() != HeaderType::ENDPOINT {
            return Ok(None);
        }
        let mut bars = [0; 6];
        for (bar, at) in bars.iter_mut().zip((BAR0..).step_by(4)) {
            *bar = self.read32(at);
        }
        let control = self.read16(express + express::DEVICE_CONTROL) & !express::INITIATE_FLR;
        let saved = Saved { bars, command: self.command() - Command::BUS_MASTER, express, control };
        self.set_bus_master(false);
        Ok(Some(saved))
    }

    /// Some request of the function still waits for its completion: a reset would leave it to hit whoever comes next.
    pub fn has_pending(&mut self, saved: &Saved) -> bool {
        self.read16(saved.express + express::DEVICE_STATUS) & express::TRANSACTIONS_PENDING != 0
    }

    /// Resets the function. It must not be accessed for [`RESET_US`].
    pub fn reset(&mut self, saved: &Saved) {
        self.write16(saved.express + express::DEVICE_CONTROL, saved.control | express::INITIATE_FLR);
    }

    /// Writes what the reset lost. Bus mastering stays off.
    pub fn restore(&mut self, saved: &Saved) {
        for (bar, at) in saved.bars.iter().zip((BAR0..).step_by(4)) {
            self.write32(at, *bar);
        }
        self.write16(saved.express + express::DEVICE_CONTROL, saved.control);
        self.change_command(saved.command, Command::all() - saved.command);
    }
}
