//! Devices that make one transfer when they are told: QEMU's educational device, 100 ms later and translated then; Arm's PCIe
//! exerciser, of the architecture compliance suites, at once; and QEMU's `iommu-testdev`, inside of a register read.
//!
//! Each transfer is started by the sample that finds the one before done. In flight at the crash is one transfer of the first
//! and, as a rule, none of the second; the third is armed, and the next sample makes the transfer. Between its end and the
//! next sample a device attempts nothing. So these are not live as the others are: they show where DMA goes that is asked for
//! in each phase. Attempts are counted by the device: the start bit clears when it has tried.
//!
//! `edu` takes addresses below 4 GiB here, and fewer where QEMU is not told otherwise (`dma_mask`); no register says how many,
//! and so the first transfer is waited for. A transfer under way cannot be stopped, and without bus mastering comes to
//! nothing. There is no state that a function level reset could lose, but the mark of who is at work.
//!
//! `iommu-testdev` takes any address and length, and *does not ask for bus mastering* (QEMU 11.1.3): it is silent only when it
//! is disarmed, by its driver or a reset. It then compares what lies at a physical address, which it reads past the SMMU, with
//! what it wrote. Here that is the target, so that its result says delivered, refused or elsewhere; QEMU's trace shows it, and
//! the driver believes memory alone. It has no capabilities, and so no function level reset.
//!
//! Documents: QEMU, docs/specs/edu and docs/specs/iommu-testdev; Arm BSA ACS, docs/PCIe_Exerciser/Exerciser (read; no
//! exerciser was at hand).

mod registers;
#[cfg(test)]
mod tests;

use self::registers::*;
use crate::poll::{Pace, poll32};
use crate::window::{self, POISON_WORD, Place};
use crate::{Bus, DmaError, Doorbell, Endpoint, Stopper, Witness};
use addr::{Bdf, PhysAddr};
use handover::oracle::Stream;
use pci::{ConfigSpace, Function, Identity};

/// 100 ms; the rest is margin.
const TRANSFER: Pace = Pace { every_us: 1_000, deadline_us: 300_000 };

pub(crate) const TRANSFER_BYTES: u64 = 256;
/// Transfers go round over so many places.
const PLACES: u64 = 16;
const WINDOW_BYTES: u64 = 0x1_0000;

// Indices into `Stream::state`.
/// Transfers that were started; the last one is not counted yet.
const STATE_STARTED: usize = 0;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Edu,
    Exerciser,
    Testdev,
}

/// One of the three.
pub struct Once {
    id: u32,
    name: &'static str,
    vendor: u16,
    device: u16,
    kind: Kind,
    /// Register with the start bit, and its bits that are set until the transfer is done. A read of `iommu-testdev`'s makes
    /// the transfer, and gives 0.
    command: u64,
    busy: u32,
    /// The mark of who is at work: its register, what is written there, and where that is read as what. 0 takes it away.
    mark: (u64, u32),
    marked: (u64, u32),
    length: u64,
    /// Why a first transfer may not arrive.
    lost: &'static str,
}

/// QEMU's educational device.
pub static EDU: Once = Once {
    id: 24,
    name: "edu",
    vendor: 0x1234,
    device: 0x11e8,
    kind: Kind::Edu,
    command: EDU_COMMAND,
    busy: EDU_BUSY,
    mark: (EDU_LIVENESS, AT_WORK),
    marked: (EDU_LIVENESS, !AT_WORK),
    length: EDU_COUNT,
    lost: "the first transfer did not arrive; is dma_mask of an edu too small?",
};

/// Arm's PCIe exerciser.
pub static EXERCISER: Once = Once {
    id: 25,
    name: "acs-exerciser",
    vendor: 0x13b5,
    device: 0xed01,
    kind: Kind::Exerciser,
    command: EXERCISER_CONTROL,
    busy: EXERCISER_BUSY,
    mark: (EXERCISER_PASID, AT_WORK),
    marked: (EXERCISER_PASID, AT_WORK),
    length: EXERCISER_LENGTH,
    lost: "the first transfer did not arrive",
};

/// QEMU's device for tests of IOMMUs, since 11.0.
pub static TESTDEV: Once = Once {
    id: 26,
    name: "iommu-testdev",
    vendor: 0x1b36,
    device: 0x0005,
    kind: Kind::Testdev,
    command: TESTDEV_TRIGGER,
    busy: 0,
    mark: (TESTDEV_DOORBELL, TESTDEV_ARM),
    marked: (TESTDEV_RESULT, TESTDEV_ARMED),
    length: TESTDEV_LENGTH,
    lost: "the first transfer did not arrive; is it a pci-testdev, which has the same IDs?",
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
        const BYTES: u32 = TRANSFER_BYTES as u32;
        let (at, place) = (stream.registers, place(stream, stream.state[STATE_STARTED]));
        let halves = |address: u64| (address as u32, (address >> 32) as u32);
        let ((low, high), (target_low, target_high)) = (halves(place.iova.0), halves(place.target.0));
        place.poison(bus, TRANSFER_BYTES);
        bus.before_doorbell();
        let writes: &[(u64, u32)] = match self.kind {
            // No second half of an address.
            Kind::Edu => {
                &[(EDU_SOURCE, EDU_BUFFER), (EDU_DESTINATION, low), (EDU_COUNT, BYTES), (EDU_COMMAND, EDU_WRITE)]
            }
            Kind::Exerciser => &[
                (EXERCISER_STATUS, EXERCISER_STATUS_CLEAR),
                (EXERCISER_OFFSET, 0),
                (EXERCISER_ADDRESS, low),
                (EXERCISER_ADDRESS + 4, high),
                (EXERCISER_LENGTH, BYTES),
                (EXERCISER_CONTROL, EXERCISER_WRITE),
            ],
            Kind::Testdev => &[
                (TESTDEV_ADDRESS, low),
                (TESTDEV_ADDRESS + 4, high),
                (TESTDEV_LENGTH, BYTES),
                (TESTDEV_ATTRIBUTES, TESTDEV_NON_SECURE),
                (TESTDEV_COMPARED, target_low),
                (TESTDEV_COMPARED + 4, target_high),
                (TESTDEV_DOORBELL, TESTDEV_ARM),
            ],
        };
        for (register, value) in writes {
            bus.write32(at.plus(*register), *value);
        }
        stream.state[STATE_STARTED] = stream.state[STATE_STARTED].wrapping_add(1);
    }

    /// Waits for a transfer that was started; bus mastering decides whether it still lands.
    fn wait(&self, bus: &mut dyn Bus, at: PhysAddr) -> Result<(), DmaError> {
        poll32(bus, "DMA start bit", at.plus(self.command), TRANSFER, |command| command & self.busy == 0)
    }

    /// Nothing stops a transfer: without bus mastering it comes to nothing, or has not begun.
    fn end(&self, bus: &mut dyn Bus, at: PhysAddr) -> Result<(), DmaError> {
        bus.write32(at.plus(self.mark.0), 0);
        self.wait(bus, at)?;
        if self.kind == Kind::Edu {
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
            return Err(DmaError::Unsupported(self.lost));
        }
        bus.write32(at.plus(self.mark.0), self.mark.1);
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
        if bus.read32(at.plus(self.marked.0)) != self.marked.1 || bus.read32(at.plus(self.command)) & self.busy != 0 {
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
        Doorbell::Wide32(self.length)
    }

    fn arm(&self, config: &mut dyn ConfigSpace, bus: &mut dyn Bus, stream: &mut Stream) -> Result<(), DmaError> {
        window::check(stream, self.window_bytes(), self.rmr_bytes())?;
        if self.kind == Kind::Edu && !window::is_below_4g(stream) {
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
