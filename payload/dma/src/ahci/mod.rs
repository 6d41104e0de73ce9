//! AHCI: a disk on one port, whose command slots are full of reads of one sector each.
//!
//! **Reads only.** No ATA command is ever sent but IDENTIFY DEVICE and READ SECTOR(S) EXT, and no header has its write bit set.
//! With the latter's PIO protocol the disk paces the HBA's DMA, and under QEMU a sector is translated when it arrives. QEMU maps
//! the data of DMA READ and of queued reads at the start of a command, and command list and received FIS once for all: neither
//! the FIS nor the byte count in a header is a witness there. One sector to a command: QEMU 10 goes on with the next sector of a
//! command that a reset cuts short, and ends by an assertion.
//!
//! **Witness and attempts.** The unit is the sector. Each slot has a place of its own, poisoned; what the disk holds is not known,
//! but a sector that is poison from end to end is none. The attempt count is PxCI: a command whose bit the HBA has cleared
//! has moved its sector, somewhere. A host bus error that stops the port is an attempt, too; the port is started again, as a
//! kernel's error handler does. So is a read that does not end in a long time.
//!
//! **Windows.** With an identity window every second slot's sector goes there, and what the HBA fetches (command list, command tables)
//! lies there: it goes on where that window alone can be reached. Else it is valid in target and canary.
//!
//! **How long.** 32 sectors are 170 ms at 190 a second, as QEMU is throttled. A real disk is done within a millisecond, and a
//! sample that finds it so is a dry one: then the judge does not take its silence for evidence.
//!
//! **Function level reset**, where an HBA has it, loses the port's registers: it is stopped after it. QEMU's has none.
//!
//! Documents: Serial ATA AHCI 1.3.1, numbers in brackets; ATA Command Set 4.

mod count;
mod registers;
mod start;
#[cfg(test)]
mod tests;

use crate::window::{self, Place};
use crate::{Bus, DmaError, Doorbell, Endpoint, Stopper, Witness};
use addr::{Bdf, PhysAddr};
use handover::oracle::Stream;
use pci::{ConfigSpace, Function, Identity};
use registers::*;
use start::{mask, reset, start};

/// Command slots of a list (4.2.2); an HBA may have fewer.
const MOST_SLOTS: u32 = 32;
pub(crate) const SECTOR_BYTES: u64 = 512;
/// Ports whose registers lie in the first page, which every HBA has.
const MOST_PORTS: u64 = 30;

// Layout of either window.
const LIST_AT: u64 = 0x0000;
const FIS_AT: u64 = 0x1000;
const TABLES_AT: u64 = 0x2000;
const DATA_AT: u64 = 0x4000;
const WINDOW_BYTES: u64 = 0x1_0000;
/// Bytes of all sectors together.
const DATA_BYTES: u64 = MOST_SLOTS as u64 * SECTOR_BYTES;

// Indices into `Stream::state`.
/// Offset of the port's registers (31:0), slots (63:32); 0: never armed.
const STATE_PORT: usize = 0;
/// Samples that found all commands ended.
const STATE_DRY: usize = 1;
/// Ticks of the last sample that counted an attempt, or of the start.
const STATE_LAST: usize = 2;
/// Attempts of odd slots, or of one that is not known.
const STATE_ODD: usize = 3;
/// Attempts of even ones, or the same.
const STATE_EVEN: usize = 4;
/// 0.
const STATE_ZERO: usize = 7;

/// The driver.
pub struct Ahci;

/// Place of a slot's sector. With an identity window the odd ones lie there.
fn sector_place(stream: &Stream, slot: u32) -> Place {
    let slot = u64::from(slot);
    if stream.rmr.bytes == 0 {
        Place::new(&stream.window, DATA_AT + slot * SECTOR_BYTES)
    } else {
        let window = if slot.is_multiple_of(2) { &stream.window } else { &stream.rmr };
        Place::new(window, DATA_AT + slot / 2 * SECTOR_BYTES)
    }
}

/// Place of what is no sector.
fn own_place(stream: &Stream, offset: u64) -> Place {
    Place::new(if stream.rmr.bytes == 0 { &stream.window } else { &stream.rmr }, offset)
}

impl Witness for Ahci {
    fn id(&self) -> u32 {
        9
    }

    fn name(&self) -> &'static str {
        "ahci"
    }

    fn unit(&self) -> &'static str {
        "sectors"
    }

    fn witness(&self) -> &'static str {
        "poisoned sector overwritten"
    }

    fn round(&self) -> u64 {
        2
    }

    fn data_page(&self) -> u64 {
        DATA_AT
    }

    fn sample(&self, bus: &mut dyn Bus, stream: &mut Stream) {
        count::sample(bus, stream);
    }

    fn overruns(&self, _stream: &Stream) -> u64 {
        // Every sector has its place until it is counted.
        0
    }

    fn dry_samples(&self, stream: &Stream) -> u64 {
        stream.state[STATE_DRY]
    }

    fn tried(&self, since: &Stream, now: &Stream) -> u64 {
        count::tried(since, now)
    }
}

impl Stopper for Ahci {
    fn claims(&self, identity: &Identity) -> bool {
        // Mass storage, Serial ATA, AHCI.
        identity.class == 0x01_0601
    }

    fn bar(&self) -> u8 {
        5
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
        reset(bus, registers)
    }
}

impl Endpoint for Ahci {
    fn window_bytes(&self) -> u64 {
        WINDOW_BYTES
    }

    fn rmr_bytes(&self) -> u64 {
        DATA_AT + DATA_BYTES / 2
    }

    /// Where PxCI lies depends on the port. An interrupt handler goes on writing IS, and zeros clear nothing.
    fn doorbell(&self) -> Doorbell {
        Doorbell::Kept32 { at: IS, state: STATE_ZERO }
    }

    fn arm(&self, config: &mut dyn ConfigSpace, bus: &mut dyn Bus, stream: &mut Stream) -> Result<(), DmaError> {
        window::check(stream, self.window_bytes(), self.rmr_bytes())?;
        let mut function = Function::new(config, stream.bdf).ok_or(DmaError::Gone)?;
        function.set_bus_master(false);
        function.enable_for_dma()?;
        let armed = start(&mut function, bus, stream);
        if armed.is_err() {
            function.set_bus_master(false);
            // The first error is the one to report.
            let _ = reset(bus, stream.registers);
        }
        armed
    }
}
