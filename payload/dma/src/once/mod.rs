//! Devices that make one transfer when they are told: QEMU's educational device, 100 ms later and translated then; and Arm's
//! PCIe exerciser, of the architecture compliance suites, at once.
//!
//! Each transfer is started by the sample that finds the one before done. In flight at the crash is one transfer of the first
//! and, as a rule, none of the second; between its end and the next sample a device attempts nothing. So these are not live
//! as the others are: they show where DMA goes that is asked for in each phase. Attempts are counted by the device: the start
//! bit clears when it has tried.
//!
//! `edu` takes addresses below 4 GiB here, and fewer where QEMU is not told otherwise (`dma_mask`); no register says how many,
//! and so the first transfer is waited for. A transfer under way cannot be stopped, and without bus mastering comes to
//! nothing. There is no state that a function level reset could lose, but the mark of who is at work.
//!
//! Documents: QEMU, docs/specs/edu; Arm BSA ACS, docs/PCIe_Exerciser/Exerciser (read; no exerciser was at hand).

#[cfg(test)]
mod tests;

use crate::poll::{Pace, poll32};
use crate::window::{self, POISON_WORD, Place};
use crate::{Bus, DmaError, Doorbell, Endpoint, Stopper, Witness};
use addr::{Bdf, PhysAddr};
use handover::oracle::Stream;
use pci::{ConfigSpace, Function, Identity};

/// What the mark register holds while the driver is at work; 20 bits.
const AT_WORK: u32 = 0xf_1e57;

// QEMU's edu.
/// The mark: reads as the inverse of what was written.
const EDU_LIVENESS: u64 = 0x04;
const EDU_INTERRUPT_ACKNOWLEDGE: u64 = 0x64;
const EDU_SOURCE: u64 = 0x80;
const EDU_DESTINATION: u64 = 0x88;
const EDU_COUNT: u64 = 0x90;
const EDU_COMMAND: u64 = 0x98;
/// Start, and from the device's buffer to memory; without its bit for an interrupt.
const EDU_WRITE: u32 = 1 << 0 | 1 << 1;
const EDU_BUSY: u32 = 1 << 0;
/// Where the device's own buffer begins, as a source.
const EDU_BUFFER: u32 = 0x4_0000;

// Arm's exerciser.
const EXERCISER_CONTROL: u64 = 0x08;
/// Trigger, and write. No PASID, address untranslated, snooping.
const EXERCISER_WRITE: u32 = 1 << 0 | 1 << 4;
const EXERCISER_BUSY: u32 = 0xf;
const EXERCISER_OFFSET: u64 = 0x0c;
const EXERCISER_ADDRESS: u64 = 0x10;
const EXERCISER_LENGTH: u64 = 0x18;
const EXERCISER_STATUS: u64 = 0x1c;
const EXERCISER_STATUS_CLEAR: u32 = 1 << 2;
/// The mark: the PASID value, which is not used.
const EXERCISER_PASID: u64 = 0x20;

/// 100 ms; the rest is margin.
const TRANSFER: Pace = Pace { every_us: 1_000, deadline_us: 300_000 };

pub(crate) const TRANSFER_BYTES: u64 = 256;
/// Transfers go round over so many places.
const PLACES: u64 = 16;
const WINDOW_BYTES: u64 = 0x1_0000;

// Indices into `Stream::state`.
/// Transfers that were started; the last one is not counted yet.
const STATE_STARTED: usize = 0;

/// One of the two.
pub struct Once {
    id: u32,
    name: &'static str,
    vendor: u16,
    device: u16,
    is_edu: bool,
    /// Register with the start bit, and its bits that are set until the transfer is done.
    command: u64,
    busy: u32,
    mark: u64,
}

/// QEMU's educational device.
pub static EDU: Once = Once {
    id: 24,
    name: "edu",
    vendor: 0x1234,
    device: 0x11e8,
    is_edu: true,
    command: EDU_COMMAND,
    busy: EDU_BUSY,
    mark: EDU_LIVENESS,
};

/// Arm's PCIe exerciser.
pub static EXERCISER: Once = Once {
    id: 25,
    name: "acs-exerciser",
    vendor: 0x13b5,
    device: 0xed01,
    is_edu: false,
    command: EXERCISER_CONTROL,
    busy: EXERCISER_BUSY,
    mark: EXERCISER_PASID,
};

/// Place of a transfer. With an identity window the odd ones lie there.
fn place(stream: &Stream, transfer: u64) -> Place {
    let at = transfer % PLACES * TRANSFER_BYTES;
    let is_odd = !transfer.is_multiple_of(2);
    Place::new(if stream.rmr.bytes != 0 && is_odd { &stream.rmr } else { &stream.window }, at)
}

impl Once {
    /// Starts the next transfer.
    fn start_next(&self, bus: &mut dyn Bus, stream: &mut Stream) {
        let (at, place) = (stream.registers, place(stream, stream.state[STATE_STARTED]));
        let (low, high) = (place.iova.0 as u32, (place.iova.0 >> 32) as u32);
        place.poison(bus, TRANSFER_BYTES);
        bus.before_doorbell();
        // `edu` takes no second half of an address.
        let edu = [
            (EDU_SOURCE, EDU_BUFFER),
            (EDU_DESTINATION, low),
            (EDU_COUNT, TRANSFER_BYTES as u32),
            (EDU_COMMAND, EDU_WRITE),
        ];
        let exerciser = [
            (EXERCISER_STATUS, EXERCISER_STATUS_CLEAR),
            (EXERCISER_OFFSET, 0),
            (EXERCISER_ADDRESS, low),
            (EXERCISER_ADDRESS + 4, high),
            (EXERCISER_LENGTH, TRANSFER_BYTES as u32),
            (EXERCISER_CONTROL, EXERCISER_WRITE),
        ];
        for (register, value) in if self.is_edu { &edu[..] } else { &exerciser } {
            bus.write32(at.plus(*register), *value);
        }
        stream.state[STATE_STARTED] = stream.state[STATE_STARTED].wrapping_add(1);
    }

    /// Waits for a transfer that was started; bus mastering decides whether it still lands.
    fn wait(&self, bus: &mut dyn Bus, at: PhysAddr) -> Result<(), DmaError> {
        poll32(bus, "DMA start bit", at.plus(self.command), TRANSFER, |command| command & self.busy == 0)
    }

    /// Nothing stops a transfer: without bus mastering it comes to nothing.
    fn end(&self, bus: &mut dyn Bus, at: PhysAddr) -> Result<(), DmaError> {
        bus.write32(at.plus(self.mark), 0);
        self.wait(bus, at)?;
        if self.is_edu {
            bus.write32(at.plus(EDU_INTERRUPT_ACKNOWLEDGE), u32::MAX);
        }
        Ok(())
    }

    /// Everything between a function found in any state and a transfer that is due.
    fn start(&self, function: &mut Function<'_>, bus: &mut dyn Bus, stream: &mut Stream) -> Result<(), DmaError> {
        let at = stream.registers;
        self.end(bus, at)?;
        stream.totals = Default::default();
        stream.state = [0; 8];
        function.set_bus_master(true);
        self.start_next(bus, stream);
        self.wait(bus, at)?;
        bus.after_index_read();
        if place(stream, 0).words(bus) == (POISON_WORD, POISON_WORD) {
            return Err(DmaError::Unsupported("the first transfer did not arrive; is dma_mask of an edu too small?"));
        }
        bus.write32(at.plus(self.mark), AT_WORK);
        // As if none had been: what is counted begins with the next.
        stream.state = [0; 8];
        self.start_next(bus, stream);
        Ok(())
    }
}

impl Witness for Once {
    fn id(&self) -> u32 {
        self.id
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn unit(&self) -> &'static str {
        "transfers"
    }

    fn witness(&self) -> &'static str {
        "poisoned buffer overwritten"
    }

    fn round(&self) -> u64 {
        2
    }

    fn data_page(&self) -> u64 {
        0
    }

    fn sample(&self, bus: &mut dyn Bus, stream: &mut Stream) {
        let at = stream.registers;
        let Some(transfer) = stream.state[STATE_STARTED].checked_sub(1) else { return };
        // A device that somebody stopped is left alone, and one that is gone.
        let mark = if self.is_edu { !AT_WORK } else { AT_WORK };
        if bus.read32(at.plus(self.mark)) != mark || bus.read32(at.plus(self.command)) & self.busy != 0 {
            return;
        }
        bus.after_index_read();
        let (target, canary) = place(stream, transfer).words(bus);
        stream.totals.attempted += 1;
        if canary != POISON_WORD {
            stream.totals.mis_steered += 1;
        } else if target != POISON_WORD {
            stream.totals.delivered += 1;
        }
        self.start_next(bus, stream);
    }

    fn overruns(&self, _stream: &Stream) -> u64 {
        0
    }
}

impl Stopper for Once {
    fn claims(&self, identity: &Identity) -> bool {
        (identity.vendor, identity.device) == (self.vendor, self.device)
    }

    fn stop(
        &self,
        config: &mut dyn ConfigSpace,
        bus: &mut dyn Bus,
        function: Bdf,
        registers: PhysAddr,
    ) -> Result<(), DmaError> {
        let mut function = Function::new(config, function).ok_or(DmaError::Gone)?;
        function.set_bus_master(false);
        self.end(bus, registers)
    }
}

impl Endpoint for Once {
    fn window_bytes(&self) -> u64 {
        WINDOW_BYTES
    }

    fn rmr_bytes(&self) -> u64 {
        PLACES * TRANSFER_BYTES
    }
    /// The transfer's length, which starts nothing.
    fn doorbell(&self) -> Doorbell {
        Doorbell::Wide32(if self.is_edu { EDU_COUNT } else { EXERCISER_LENGTH })
    }

    fn arm(&self, config: &mut dyn ConfigSpace, bus: &mut dyn Bus, stream: &mut Stream) -> Result<(), DmaError> {
        window::check(stream, self.window_bytes(), self.rmr_bytes())?;
        if self.is_edu && !window::is_below_4g(stream) {
            return Err(DmaError::Unsupported("the device has 32 address bits here, the windows lie above"));
        }
        let mut function = Function::new(config, stream.bdf).ok_or(DmaError::Gone)?;
        function.set_bus_master(false);
        function.enable_for_dma()?;
        let armed = self.start(&mut function, bus, stream);
        if armed.is_err() {
            function.set_bus_master(false);
            // The first error is the one to report.
            let _ = self.end(bus, stream.registers);
        }
        armed
    }
}
