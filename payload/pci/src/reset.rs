//! Resets (PCI Express Base 6.0, 6.6): what a function loses by one, and function level reset.

use crate::capability::{CapabilityId, ExtendedCapabilityId, express};
use crate::{Command, Function, HeaderType, PciError, sriov};

#[cfg(test)]
mod tests;

/// How long a function may take until it answers again.
pub const RESET_US: u64 = 100_000;
/// After that it may still ask for more time (2.3.1, 6.6.1), and then reads as nobody.
pub const ANSWER_US: u64 = 1_000_000;

/// Places of 32 bits that software wrote, beside the command register: of an endpoint BARs and ROM, of a bridge bus numbers
/// and windows too.
const ENDPOINT: &[u16] = &[0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x30];
const BRIDGE: &[u16] = &[0x10, 0x14, 0x18, 0x20, 0x24, 0x28, 0x2c, 0x30, 0x38];
/// I/O window of a bridge. Its upper half is Secondary Status, which is write-one-to-clear.
const IO_WINDOW: u16 = 0x1c;
const CACHE_LINE_SIZE: u16 = 0x0c;
const INTERRUPT_LINE: u16 = 0x3c;
/// 16 bits, in a bridge.
pub(crate) const BRIDGE_CONTROL: u16 = 0x3e;
/// Resets the secondary bus while it is set (7.5.1.3.13).
pub(crate) const SECONDARY_BUS_RESET: u16 = 1 << 6;
/// Write-one-to-clear.
pub(crate) const DISCARD_TIMER_STATUS: u16 = 1 << 10;
/// ACS Control, 16 bits (7.7.11.3): without it a switch passes requests from port to port, past the SMMU.
const ACS_CONTROL: u16 = 6;

/// BARs that one Resizable BAR capability sizes at most (7.8.6).
const MOST_RESIZABLE: usize = 6;

/// What software has to write again after a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    is_bridge: bool,
    header: [u32; BRIDGE.len()],
    io_window: u16,
    cache_line: u16,
    interrupt_line: u16,
    bridge_control: u16,
    command: Command,
    /// Offset of the PCI Express capability, and Device Control.
    express: Option<(u16, u16)>,
    /// Device Control 2, where there is one: without ARI forwarding a port of a switch hides virtual functions.
    control_2: Option<u16>,
    /// Offsets and values of Resizable BAR Control; offset 0: none.
    sizes: [(u16, u32); MOST_RESIZABLE],
    /// Offset of the ACS capability, and its control.
    isolation: Option<(u16, u16)>,
    /// Its virtual functions, where it has any.
    sriov: Option<sriov::Saved>,
}

impl Saved {
    fn places(&self) -> &'static [u16] {
        if self.is_bridge { BRIDGE } else { ENDPOINT }
    }
}

impl Function<'_> {
    /// Notes what a reset will lose. An endpoint's bus mastering is not among it: after the reset it is off.
    ///
    /// # Errors
    /// A capability list that cannot be walked.
    pub fn save(&mut self) -> Result<Saved, PciError> {
        let is_bridge = self.header_type().layout() == HeaderType::BRIDGE;
        let express = self.capability(CapabilityId::EXPRESS)?;
        let isolation = match express {
            Some(_) => self.extended_capability(ExtendedCapabilityId::ACCESS_CONTROL)?,
            None => None,
        };
        let control_2 = express.filter(|at| self.read16(at + express::CAPABILITIES) & 0xf >= 2);
        let command = self.command();
        let mut saved = Saved {
            is_bridge,
            header: [0; BRIDGE.len()],
            io_window: self.read16(IO_WINDOW),
            cache_line: self.read16(CACHE_LINE_SIZE),
            interrupt_line: self.read16(INTERRUPT_LINE),
            bridge_control: self.read16(BRIDGE_CONTROL) & !(SECONDARY_BUS_RESET | DISCARD_TIMER_STATUS),
            // A bridge passes on the requests of others.
            command: if is_bridge { command } else { command - Command::BUS_MASTER },
            express: express.map(|at| (at, self.read16(at + express::DEVICE_CONTROL) & !express::INITIATE_FLR)),
            control_2: control_2.map(|at| self.read16(at + express::DEVICE_CONTROL_2)),
            sizes: self.bar_sizes()?,
            isolation: isolation.map(|at| (at, self.read16(at + ACS_CONTROL))),
            sriov: self.save_virtual()?,
        };
        let places = saved.places();
        for (word, at) in saved.header.iter_mut().zip(places) {
            *word = self.read32(*at);
        }
        Ok(saved)
    }

    fn bar_sizes(&mut self) -> Result<[(u16, u32); MOST_RESIZABLE], PciError> {
        let mut sizes = [(0, 0); MOST_RESIZABLE];
        // The first control register says how many there are; the last one lies inside configuration space.
        let resizable = self.extended_if_any(ExtendedCapabilityId::RESIZABLE_BAR)?;
        if let Some(at) = resizable.filter(|at| at + 8 * (MOST_RESIZABLE as u16) < 0x1000) {
            let count = (self.read32(at + 8) >> 5 & 7) as usize;
            for (size, control) in sizes.iter_mut().take(count).zip((at + 8..).step_by(8)) {
                *size = (control, self.read32(control));
            }
        }
        Ok(sizes)
    }

    /// Some request of the function still waits for its completion: a reset would leave it to hit whoever comes next.
    pub fn has_pending(&mut self, saved: &Saved) -> bool {
        saved
            .express
            .is_some_and(|(at, _)| self.read16(at + express::DEVICE_STATUS) & express::TRANSACTIONS_PENDING != 0)
    }

    /// Resets the function, which has function level reset (6.6.2). It must not be accessed for [`RESET_US`].
    pub fn reset(&mut self, saved: &Saved) {
        if let Some((at, control)) = saved.express {
            self.write16(at + express::DEVICE_CONTROL, control | express::INITIATE_FLR);
        }
    }

    /// Writes what the reset lost; a bridge comes before what lies behind it. Virtual functions are there again, and answer
    /// [`sriov::ENABLE_US`] later.
    pub fn restore(&mut self, saved: &Saved) {
        // The size decides which bits of a BAR can be written.
        for (at, size) in saved.sizes.iter().filter(|(at, _)| *at != 0) {
            self.write32(*at, *size);
        }
        for (word, at) in saved.header.iter().zip(saved.places()) {
            self.write32(*at, *word);
        }
        self.write16(CACHE_LINE_SIZE, saved.cache_line);
        self.write16(INTERRUPT_LINE, saved.interrupt_line);
        if saved.is_bridge {
            self.write16(IO_WINDOW, saved.io_window);
            self.write16(BRIDGE_CONTROL, saved.bridge_control);
        }
        // Bit 15 is no reset in a bridge (7.5.3.4), and was never set in what is written here.
        if let Some((at, control)) = saved.express {
            self.write16(at + express::DEVICE_CONTROL, control);
            if let Some(control) = saved.control_2 {
                self.write16(at + express::DEVICE_CONTROL_2, control);
            }
        }
        if let Some((at, control)) = saved.isolation {
            self.write16(at + ACS_CONTROL, control);
        }
        self.change_command(saved.command, Command::all() - saved.command);
        if let Some(sriov) = &saved.sriov {
            self.restore_virtual(sriov);
        }
    }

    /// Writes the same where no reset was, but another kernel: the function is silenced first, and sends no more interrupts.
    pub fn take_back(&mut self, saved: &Saved) {
        self.change_command(Command::empty(), Command::MEMORY_SPACE | Command::BUS_MASTER);
        // Enable bits of Message Control (7.7.1.2, 7.7.2.2).
        for (id, enable) in [(CapabilityId::MSI, 1), (CapabilityId::MSI_X, 1 << 15)] {
            if let Ok(Some(at)) = self.capability(id) {
                let control = self.read16(at + 2);
                self.write16(at + 2, control & !enable);
            }
        }
        self.restore(saved);
    }

    /// What the reset lost is there again: the function answers where it did.
    pub fn is_as_before(&mut self, saved: &Saved) -> bool {
        let places = saved.header.iter().zip(saved.places());
        places.into_iter().all(|(word, at)| self.read32(*at) == *word)
    }
}
