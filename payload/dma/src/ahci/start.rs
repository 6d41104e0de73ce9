//! From an HBA found in any state to a port with full command slots, and back to one that is reset.

use super::*;
use crate::poll::{Pace, poll32, ticks_in};

/// The HBA ends its reset within a second, or is hung (10.4.3).
const RESET: Pace = Pace { every_us: 100, deadline_us: 1_000_000 };
/// How long links, and then disks, may take to come up, on all ports together.
const UP_US: u64 = 5_000_000;
/// A command list ends within 500 ms (10.1.2).
const ENDS: Pace = Pace { every_us: 100, deadline_us: 500_000 };
/// How long IDENTIFY DEVICE may take.
const ANSWER: Pace = Pace { every_us: 100, deadline_us: 2_000_000 };

/// Resets the HBA, whatever it is doing: all ports stop, and no interrupt comes (10.4.3).
pub(super) fn reset(bus: &mut dyn Bus, at: PhysAddr) -> Result<(), DmaError> {
    let ghc = at.plus(GHC);
    if bus.read32(ghc) == u32::MAX {
        return Err(DmaError::Unsupported("registers read all ones"));
    }
    // AE first: without it no other bit can be relied on (3.1.2).
    bus.write32(ghc, GHC_AE);
    take_from_firmware(bus, at);
    bus.write32(ghc, GHC_AE | GHC_HR);
    poll32(bus, "AHCI GHC.HR", ghc, RESET, |ghc| ghc & GHC_HR == 0)
}

/// Asks firmware for the HBA (10.6.3). One that does not answer is not asked again: the reset takes the HBA anyhow.
fn take_from_firmware(bus: &mut dyn Bus, at: PhysAddr) {
    const ANSWERS: Pace = Pace { every_us: 100, deadline_us: 25_000 };
    const ENDS_WORK: Pace = Pace { every_us: 1_000, deadline_us: 2_000_000 };
    let control = at.plus(BOHC);
    let found = if bus.read32(at.plus(CAP2)) & CAP2_BOH == 0 { 0 } else { bus.read32(control) };
    if found & BOHC_BOS == 0 {
        return;
    }
    bus.write32(control, found & !BOHC_OOC | BOHC_OOS);
    let is_ours = |control| control & BOHC_BOS == 0;
    if poll32(bus, "AHCI BOHC.BOS", control, ANSWERS, is_ours).is_err() && bus.read32(control) & BOHC_BB != 0 {
        let _ = poll32(bus, "AHCI BOHC.BOS", control, ENDS_WORK, is_ours);
    }
}

/// Everything between a function found in any state and a port with full command slots.
pub(super) fn start(function: &mut Function<'_>, bus: &mut dyn Bus, stream: &mut Stream) -> Result<(), DmaError> {
    let at = stream.registers;
    reset(bus, at)?;
    bus.write32(at.plus(GHC), GHC_AE);
    let capabilities = bus.read32(at.plus(CAP));
    if capabilities & CAP_S64A == 0 && !window::is_below_4g(stream) {
        return Err(DmaError::Unsupported("the controller has 32 address bits, the windows lie above"));
    }
    let slots = ((capabilities >> 8 & 0x1f) + 1).min(MOST_SLOTS);
    stream.totals = Default::default();
    stream.state = [0; 8];
    lay_out(bus, stream);
    bus.before_doorbell();
    function.set_bus_master(true);

    let implemented = bus.read32(at.plus(PI));
    let deadline = bus.ticks().wrapping_add(ticks_in(bus, UP_US));
    let ports = || (0..MOST_PORTS).filter(|port| implemented & 1 << port != 0).map(|port| PORTS + port * PORT_BYTES);
    ports().for_each(|port| prepare_port(bus, stream, at.plus(port)));
    for offset in ports() {
        if is_disk(bus, at.plus(offset), deadline) && identify(bus, stream, at.plus(offset)) {
            stream.state[STATE_PORT] = offset | u64::from(slots) << 32;
            for slot in 0..slots {
                make_read(bus, stream, slot);
                sector_place(stream, slot).poison(bus, SECTOR_BYTES);
            }
            stream.state[STATE_LAST] = bus.ticks();
            bus.before_doorbell();
            bus.write32(at.plus(offset + CI), mask(slots));
            return Ok(());
        }
        leave_port(bus, at.plus(offset));
    }
    Err(DmaError::Unsupported("no port has a disk with 48-bit addresses and 512-byte sectors"))
}

/// A bit for each slot.
pub(super) const fn mask(slots: u32) -> u32 {
    (u32::MAX).unbounded_shr(MOST_SLOTS - slots)
}

/// Command list and tables, empty but for addresses.
fn lay_out(bus: &mut dyn Bus, stream: &Stream) {
    for slot in 0..32 {
        let table = own_place(stream, TABLES_AT + slot * TABLE_BYTES);
        let mut header = [0; HEADER_BYTES as usize];
        header[..4].copy_from_slice(&(HEADER_CFL | 1 << 16).to_le_bytes());
        header[8..16].copy_from_slice(&table.iova.0.to_le_bytes());
        own_place(stream, LIST_AT + slot * HEADER_BYTES).publish(bus, &header);
        table.publish(bus, &[0; TABLE_BYTES as usize]);
    }
    own_place(stream, FIS_AT).poison(bus, 0x1000);
}

/// A port that receives FISes and starts nothing yet.
fn prepare_port(bus: &mut dyn Bus, stream: &Stream, port: PhysAddr) {
    for (register, offset) in [(CLB, LIST_AT), (FB, FIS_AT)] {
        let base = own_place(stream, offset).iova.0;
        bus.write32(port.plus(register), base as u32);
        bus.write32(port.plus(register + 4), (base >> 32) as u32);
    }
    bus.write32(port.plus(PORT_IE), 0);
    bus.write32(port.plus(SERR), u32::MAX);
    bus.write32(port.plus(PORT_IS), u32::MAX);
    let command = bus.read32(port.plus(CMD));
    bus.write32(port.plus(CMD), command | CMD_UP | CMD_FRE);
}

/// Nothing more comes of this port. FIS Receive ends only after the command list has (3.3.7); a port that goes on with it is
/// left alone, until the HBA is reset.
fn leave_port(bus: &mut dyn Bus, port: PhysAddr) {
    let command = bus.read32(port.plus(CMD)) & !CMD_ST;
    bus.write32(port.plus(CMD), command);
    if poll32(bus, "AHCI PxCMD.CR", port.plus(CMD), ENDS, |command| command & CMD_CR == 0).is_ok() {
        bus.write32(port.plus(CMD), command & !CMD_FRE);
    }
}

/// Waits until a disk is there and ready, as long as there is time.
fn is_disk(bus: &mut dyn Bus, port: PhysAddr, deadline: u64) -> bool {
    /// A device that is there shows within so long (Serial ATA 3.2, 8.4.2).
    const SHOWS: Pace = Pace { every_us: 1_000, deadline_us: 20_000 };
    let left = (deadline.wrapping_sub(bus.ticks()) as i64).max(0) as u64;
    let left_us = left.saturating_mul(1_000_000) / bus.frequency().max(1);
    let ready = Pace { every_us: 1_000, deadline_us: left_us };
    if poll32(bus, "AHCI PxSSTS.DET", port.plus(SSTS), SHOWS, |status| status & 0xf == 3).is_err() {
        return false;
    }
    // The first FIS of a device that has just shown reaches PxTFD and PxSIG once DIAG.X is cleared (10.4.2).
    bus.write32(port.plus(SERR), u32::MAX);
    poll32(bus, "AHCI PxTFD.BSY", port.plus(TFD), ready, |tfd| tfd & TFD_BUSY == 0).is_ok()
        && bus.read32(port.plus(SIG)) == SIG_DISK
}

/// Starts the port and asks the disk: blocks of 512 bytes, 48-bit addresses, and enough of them.
fn identify(bus: &mut dyn Bus, stream: &Stream, port: PhysAddr) -> bool {
    let data = sector_place(stream, 0);
    data.poison(bus, SECTOR_BYTES);
    make_command(bus, stream, 0, IDENTIFY_DEVICE, 0);
    // After FIS Receive has begun, ST may be set (10.3.1).
    let command = bus.read32(port.plus(CMD));
    bus.write32(port.plus(SERR), u32::MAX);
    bus.write32(port.plus(CMD), command | CMD_ST);
    bus.before_doorbell();
    bus.write32(port.plus(CI), 1);
    let is_done = |issued| issued & 1 == 0;
    let answered = poll32(bus, "AHCI PxCI", port.plus(CI), ANSWER, is_done).is_ok();
    if !answered || bus.read32(port.plus(TFD)) & TFD_ERR != 0 {
        return false;
    }
    bus.after_index_read();
    let mut bytes = [0; SECTOR_BYTES as usize];
    let in_canary = data.canary.filter(|_| data.words(bus).1 != window::POISON_WORD);
    bus.copy_from(in_canary.unwrap_or(data.target), &mut bytes);
    let word = |index: usize| u64::from(u16::from_le_bytes([bytes[2 * index], bytes[2 * index + 1]]));
    // ACS-4, 9.11.8: words 83, 100 to 103, 106. Word 83 has bits 15:14 = 01b where it is valid.
    let has_sectors = (100..104).any(|index| word(index) != 0);
    // Bits 15:14 are 01b where it is valid, bit 12: logical sectors of more than 512 bytes.
    let has_long_sectors = word(106) & 0xd000 == 0x5000;
    word(83) & 0xc400 == 0x4400 && has_sectors && !has_long_sectors
}

/// A slot's command: one sector, the first of the disk, to the slot's place.
fn make_command(bus: &mut dyn Bus, stream: &Stream, slot: u32, ata: u8, device: u8) {
    let mut table = [0; TABLE_BYTES as usize];
    // Register FIS, host to device, with a command (Serial ATA 3.2, 10.5.5).
    table[..4].copy_from_slice(&[0x27, 0x80, ata, 0]);
    table[7] = device;
    table[12] = 1;
    table[REGION..REGION + 8].copy_from_slice(&sector_place(stream, slot).iova.0.to_le_bytes());
    // Bytes less one; no interrupt (4.2.3.3).
    table[REGION + 12..REGION + 16].copy_from_slice(&(SECTOR_BYTES as u32 - 1).to_le_bytes());
    own_place(stream, TABLES_AT + u64::from(slot) * TABLE_BYTES).publish(bus, &table);
}

fn make_read(bus: &mut dyn Bus, stream: &Stream, slot: u32) {
    // Bit 6 of the device field: a block address.
    make_command(bus, stream, slot, READ_SECTORS_EXT, 1 << 6);
}
