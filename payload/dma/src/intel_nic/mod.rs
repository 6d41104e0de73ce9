//! Intel gigabit controllers that receive frames nobody asked for: 82574 (`e1000e`), 82576 (`igb`) with its virtual functions
//! (`igbvf`), and I210 (`i210`).
//!
//! The host sends [`crate::frame::Frame`]s; the ring takes 255 of them without the CPU. All chips are run the same way;
//! a descriptor handed to the hardware is an address and eight zero bytes in the 82574's legacy format and in the
//! others' advanced one (82576 7.1.5.1; it has the legacy format too, QEMU's does not).
//!
//! Documents: Intel 82574 GbE Controller Family data sheet 3.4; Intel 82576 EB data sheet 2.61; Intel I210 data sheet 3.7.

mod count;
mod link;
mod pools;
mod registers;
#[cfg(test)]
mod tests;

use crate::poll::{Pace, poll32};
use crate::window::{self, Place};
use crate::{Bus, DmaError, Doorbell, Endpoint, Stopper, Witness};
use addr::{Bdf, PhysAddr};
use handover::oracle::Stream;
use pci::{ConfigSpace, Function, Identity};
use registers::*;

/// Descriptors of the ring; the hardware has at most one less.
pub const RING: u64 = 256;
const DESCRIPTOR_BYTES: u64 = 16;
const RING_BYTES: u32 = (RING * DESCRIPTOR_BYTES) as u32;
const BUFFER_BYTES: u64 = 256;

/// Registers that follow within microseconds; the rest is margin.
const SOON: Pace = Pace { every_us: 10, deadline_us: 10_000 };

// Layout of the canary window.
const RING_AT: u64 = 0;
const BUFFERS_AT: u64 = 0x1000;
const WINDOW_BYTES: u64 = 0x2_0000;

// Indices into `Stream::state`.
/// First descriptor that is not counted yet.
const STATE_HEAD: usize = 0;
/// Good packets counted by the MAC that no descriptor was seen for yet.
const STATE_SPARE: usize = 1;
/// Sender (31:0) of the newest frame of ours.
const STATE_SENDER: usize = 2;
/// Its sequence number; 0: none yet.
const STATE_SEQUENCE: usize = 3;
/// Frames with a sequence number that was counted before.
const STATE_REPEATED: usize = 4;
/// Samples that found the ring used up.
const STATE_DRY: usize = 5;
/// Offset of the receive queue at work from the registers; [`BEGUN`] before it is.
const STATE_QUEUE: usize = 6;
/// Last reading of a count of good packets that reading does not clear.
const STATE_GOOD: usize = 7;
/// The MAC was reset, and its link begins.
const BEGUN: u64 = u64::MAX;

/// What differs beyond numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chip {
    I82574,
    I82576,
    /// A virtual function of the 82576: one queue, and nothing of the MAC.
    Virtual,
    I210,
}

/// What the chips do not share.
pub struct IntelNic {
    id: u32,
    name: &'static str,
    devices: &'static [u16],
    queue: u64,
    transmit_tail: u64,
    chip: Chip,
}

/// The driver for 82574.
pub static E1000E: IntelNic = IntelNic {
    id: 2,
    name: "e1000e",
    devices: &[0x10d3],
    queue: QUEUE_82574,
    transmit_tail: TDT_82574,
    chip: Chip::I82574,
};

/// The driver for 82576.
pub static IGB: IntelNic = IntelNic {
    id: 3,
    name: "igb",
    devices: &[0x10c9],
    queue: QUEUE_82576,
    transmit_tail: TDT_82576,
    chip: Chip::I82576,
};

/// The driver for virtual functions of 82576, whose physical function is armed before them.
pub static IGBVF: IntelNic = IntelNic {
    id: 16,
    name: "igbvf",
    devices: &[0x10ca],
    // Where the 82574 has its own (82576 8.26).
    queue: QUEUE_82574,
    transmit_tail: TDT_82574,
    chip: Chip::Virtual,
};

/// The driver for I210 and I211 with copper ports. No emulator has them: by their documents alone.
pub static I210: IntelNic = IntelNic {
    id: 17,
    name: "i210",
    devices: &[0x1533, 0x1539, 0x157b],
    queue: QUEUE_82576,
    transmit_tail: TDT_82576,
    chip: Chip::I210,
};

/// Frames of ours that came with a sequence number counted before: they are in no total.
#[must_use]
pub fn repeated_frames(stream: &Stream) -> u64 {
    stream.state[STATE_REPEATED]
}

/// Place of a descriptor.
fn descriptor_place(stream: &Stream, slot: u64) -> Place {
    Place::new(&stream.window, RING_AT + slot * DESCRIPTOR_BYTES)
}

/// Place of a receive buffer. With an identity window the odd ones lie there.
fn buffer_place(stream: &Stream, slot: u64) -> Place {
    if stream.rmr.bytes == 0 {
        Place::new(&stream.window, BUFFERS_AT + slot * BUFFER_BYTES)
    } else if slot.is_multiple_of(2) {
        Place::new(&stream.window, BUFFERS_AT + slot / 2 * BUFFER_BYTES)
    } else {
        Place::new(&stream.rmr, slot / 2 * BUFFER_BYTES)
    }
}

/// Makes a descriptor ready for the hardware, whatever was written back to it.
fn write_descriptor(bus: &mut dyn Bus, stream: &Stream, slot: u64) {
    let mut descriptor = [0; DESCRIPTOR_BYTES as usize];
    descriptor[..8].copy_from_slice(&buffer_place(stream, slot).iova.0.to_le_bytes());
    descriptor_place(stream, slot).publish(bus, &descriptor);
}

impl Witness for IntelNic {
    fn id(&self) -> u32 {
        self.id
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn unit(&self) -> &'static str {
        "frames"
    }

    fn witness(&self) -> &'static str {
        "sequence number"
    }

    fn round(&self) -> u64 {
        2
    }

    fn data_page(&self) -> u64 {
        BUFFERS_AT
    }

    fn sample(&self, bus: &mut dyn Bus, stream: &mut Stream) {
        count::sample(bus, stream, self.chip);
    }

    fn overruns(&self, _stream: &Stream) -> u64 {
        // A ring that is used up stops; it does not wrap.
        0
    }

    fn dry_samples(&self, stream: &Stream) -> u64 {
        stream.state[STATE_DRY]
    }
}

impl Stopper for IntelNic {
    fn claims(&self, identity: &Identity) -> bool {
        identity.vendor == 0x8086 && self.devices.contains(&identity.device)
    }

    fn stop(
        &self,
        config: &mut dyn ConfigSpace,
        bus: &mut dyn Bus,
        function: Bdf,
        registers: PhysAddr,
    ) -> Result<(), DmaError> {
        let mut function = self.function(config, function)?;
        function.set_bus_master(false);
        self.reset(bus, registers)
    }
}

impl Endpoint for IntelNic {
    fn window_bytes(&self) -> u64 {
        WINDOW_BYTES
    }

    fn rmr_bytes(&self) -> u64 {
        RING / 2 * BUFFER_BYTES
    }
    fn doorbell(&self) -> Doorbell {
        Doorbell::Wide32(self.transmit_tail)
    }

    fn rank(&self) -> u32 {
        // A virtual function comes after its own.
        if self.chip == Chip::Virtual { E1000E.id } else { self.id }
    }

    fn most_virtual(&self) -> u16 {
        if self.chip == Chip::I82576 { pools::OWN } else { 0 }
    }

    fn begin(&self, config: &mut dyn ConfigSpace, bus: &mut dyn Bus, stream: &mut Stream) {
        if self.chip != Chip::I82576 {
            return;
        }
        let Ok(mut function) = self.function(config, stream.bdf) else { return };
        function.set_bus_master(false);
        if function.enable_for_dma().is_ok()
            && self.reset(bus, stream.registers).is_ok()
            && link::begin(bus, stream.registers).is_ok()
        {
            stream.state[STATE_QUEUE] = BEGUN;
        }
    }

    fn arm(&self, config: &mut dyn ConfigSpace, bus: &mut dyn Bus, stream: &mut Stream) -> Result<(), DmaError> {
        window::check(stream, self.window_bytes(), self.rmr_bytes())?;
        let mut function = self.function(config, stream.bdf)?;
        function.set_bus_master(false);
        function.enable_for_dma()?;
        let armed = self.start(&mut function, bus, stream);
        if armed.is_err() {
            function.set_bus_master(false);
            // The first error is the one to report.
            let _ = self.reset(bus, stream.registers);
        }
        armed
    }
}

impl IntelNic {
    fn function<'a>(&self, config: &'a mut dyn ConfigSpace, function: Bdf) -> Result<Function<'a>, DmaError> {
        let found =
            if self.chip == Chip::Virtual { Function::any(config, function) } else { Function::new(config, function) };
        found.ok_or(DmaError::Gone)
    }

    /// Everything between a function found in any state and a receiver that runs.
    fn start(&self, function: &mut Function<'_>, bus: &mut dyn Bus, stream: &mut Stream) -> Result<(), DmaError> {
        let at = stream.registers;
        let has_begun = stream.state[STATE_QUEUE] == BEGUN;
        match self.chip {
            Chip::Virtual => pools::stop_queue(bus, at)?,
            _ if has_begun => {}
            _ => self.reset(bus, at)?,
        }
        for slot in 0..RING {
            write_descriptor(bus, stream, slot);
        }
        window::poison_data(bus, stream, BUFFERS_AT, RING * BUFFER_BYTES);
        match self.chip {
            // Its physical function has seen to the link, or is not at work.
            Chip::Virtual => link::is_up(bus, at)?,
            Chip::I82576 if has_begun => link::wait(bus, at)?,
            _ => {
                link::begin_where(bus, at, self.chip != Chip::I210)?;
                link::wait(bus, at)?;
            }
        }
        (stream.totals, stream.state) = Default::default();
        stream.state[STATE_QUEUE] = self.queue;
        if self.chip != Chip::Virtual {
            // No frame for the station's own address: every frame begins with six bytes of ones, unlike poison and unlike
            // the rest of a long frame that takes several buffers.
            bus.write32(at.plus(RAL0), 0);
            bus.write32(at.plus(RAH0), 0);
        }
        if self.chip == Chip::I82576
            && let Some(sriov) = function.sriov()?.filter(|sriov| sriov.count != 0)
        {
            stream.state[STATE_QUEUE] = pools::share(bus, at, sriov.count);
        }
        self.program_queue(bus, stream)?;
        count::begin(bus, stream, self.chip);
        bus.before_doorbell();
        function.set_bus_master(true);
        if self.chip != Chip::Virtual {
            bus.write32(at.plus(RCTL), RCTL_EN | RCTL_BAM | RCTL_BSIZE_256 | RCTL_SECRC);
        }
        // The tail comes after the enable bit (82574 4.6.5, 82576 4.5.9).
        bus.write32(at.plus(stream.state[STATE_QUEUE] + RDT), RING as u32 - 1);
        Ok(())
    }

    fn program_queue(&self, bus: &mut dyn Bus, stream: &Stream) -> Result<(), DmaError> {
        let at = stream.registers.plus(stream.state[STATE_QUEUE]);
        let ring = descriptor_place(stream, 0).iova.0;
        let is_enabled = |control| control & RXDCTL_ENABLE != 0;
        let is_advanced = self.chip != Chip::I82574;
        bus.write32(at.plus(RDBAL), ring as u32);
        bus.write32(at.plus(RDBAH), (ring >> 32) as u32);
        bus.write32(at.plus(RDLEN), RING_BYTES);
        if is_advanced {
            // One pool without descriptors must not hold up the others (82576 8.10.2).
            let drop = if stream.state[STATE_QUEUE] == QUEUE_82576 { 0 } else { SRRCTL_DROP };
            bus.write32(at.plus(SRRCTL), SRRCTL_ADVANCED_ONE_BUFFER | drop);
        }
        bus.write32(at.plus(RDH), 0);
        bus.write32(at.plus(RDT), 0);
        let enable = if is_advanced { RXDCTL_ENABLE } else { RXDCTL_GRAN };
        bus.write32(at.plus(RXDCTL), enable | RXDCTL_WTHRESH_1);
        if is_advanced {
            poll32(bus, "NIC RXDCTL.ENABLE", at.plus(RXDCTL), SOON, is_enabled)?;
        }
        Ok(())
    }

    /// Stops receiving and resets the MAC: nothing lands after that, and no interrupt comes.
    fn reset(&self, bus: &mut dyn Bus, at: PhysAddr) -> Result<(), DmaError> {
        if self.chip == Chip::Virtual {
            return pools::reset_virtual(bus, at);
        }
        bus.write32(at.plus(IMC), u32::MAX);
        bus.write32(at.plus(RCTL), 0);
        let control = bus.read32(at.plus(CTRL));
        bus.write32(at.plus(CTRL), control | CTRL_GIO_MASTER_DISABLE);
        // Requests that are never answered keep the bit set; the reset below is stronger (82574 5.2.3.3).
        let idle = |status| status & STATUS_GIO_MASTER_ENABLE == 0;
        let _ = poll32(bus, "NIC STATUS.GIO_MASTER_ENABLE", at.plus(STATUS), SOON, idle);
        bus.write32(at.plus(CTRL), control | CTRL_RST);
        // No access in the first microsecond (82574 10.2.2.1, 82576 8.2.1).
        bus.sleep_us(10);
        poll32(bus, "NIC CTRL.RST", at.plus(CTRL), SOON, |control| control & CTRL_RST == 0)?;
        if matches!(self.chip, Chip::I82574 | Chip::I210) {
            // The non-volatile memory is read anew. A board without one never sets the bit: then there is nothing to wait for.
            let _ = poll32(bus, "NIC EECD.AUTO_RD", at.plus(EECD), SOON, |eecd| eecd & EECD_AUTO_RD != 0);
        }
        bus.write32(at.plus(IMC), u32::MAX);
        Ok(())
    }
}
