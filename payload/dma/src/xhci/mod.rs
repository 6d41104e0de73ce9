//! USB host controllers (xHCI) with a keyboard or mouse on the root hub. A HID device that was given an idle rate
//! sends its report again and again, nobody touching it (HID 1.11, 7.2.4): every 4 ms the controller writes a report
//! and a Transfer Event, with no CPU.
//!
//! The transfer ring is endless: its Link TRB does not toggle the cycle bit, so that all of its TRBs stay the
//! controller's. What bounds it is the event ring: full after 62 reports, 248 ms, the controller waits. MFINDEX Wrap
//! Events, the only other DMA that needs nobody, come every 2,048 ms and are not used.
//!
//! No register counts what was attempted. Refused DMA is a Host System Error (4.10.2.6) or a Host Controller Error: the
//! controller gives up, and only a reset starts it again. That it has is a sign of refusal, and that it stays silent then is
//! another, now and then: what was refused once still stands in the next phase. QEMU's goes on after a Host Controller Error,
//! where it can, and then gives no second sign. The moment of abort in a reset of the SMMU may be enough to end it, as an RMR
//! stream too. A function level reset loses slots, addresses and rings, and the device its idle rate.
//! Not found: devices behind hubs.
//!
//! Documents: eXtensible Host Controller Interface 1.2; USB 2.0; Device Class Definition for HID 1.11.

mod count;
mod device;
mod host;
mod registers;
#[cfg(test)]
mod tests;

use crate::poll::{Pace, poll32};
use crate::window::{self, Place};
use crate::{Bus, DmaError, Doorbell, Endpoint, Stopper, Witness};
use addr::{Bdf, PhysAddr};
use handover::oracle::{STREAM_NO_ATTEMPTS, Stream};
use host::Host;
use pci::{ConfigSpace, Function, Identity};
use registers::*;

/// Entries of each ring. One of the transfer ring is its Link TRB; the event ring holds one less before it is full.
const RING: u64 = 64;
const TRB_BYTES: u64 = 16;
/// Reports that the transfer ring takes before it begins again.
const REPORTS: u64 = RING - 1;
/// Room for one report; a device with larger packets is not used.
const REPORT_BYTES: u64 = 64;

// Layout of the canary window. No ring crosses 64 KiB, no context a page (table 6-1).
const DCBAA_AT: u64 = 0;
const ERST_AT: u64 = 0x800;
const SCRATCHPADS_AT: u64 = 0xa00;
const COMMANDS_AT: u64 = 0x1000;
const EVENTS_AT: u64 = 0x1400;
const TRANSFERS_AT: u64 = 0x1800;
const CONTROL_AT: u64 = 0x1c00;
const INPUT_CONTEXT_AT: u64 = 0x2000;
const DEVICE_CONTEXT_AT: u64 = 0x3000;
const ANSWER_AT: u64 = 0x4000;
const ANSWER_BYTES: u64 = 0x100;
const REPORTS_AT: u64 = 0x8000;
const SCRATCH_AT: u64 = 0x1_0000;
/// Controllers ask for some tens of pages of 4 KiB.
const SCRATCH_BYTES: u64 = 0x4_0000;
const WINDOW_BYTES: u64 = SCRATCH_AT + SCRATCH_BYTES;

// Indices into `Stream::state`.
/// First entry of the event ring that is not taken yet.
const STATE_EVENT: usize = 0;
/// Offsets of the operational (31:0) and runtime (63:32) registers; 0: never armed.
const STATE_OFFSETS: usize = 1;
/// Events found at their target.
const STATE_EVENTS_DELIVERED: usize = 2;
/// Events found in the canary.
const STATE_EVENTS_MIS_STEERED: usize = 3;
/// Samples that found the event ring full.
const STATE_DRY: usize = 4;
/// Signs of refusal.
const STATE_REFUSED: usize = 5;
/// Ticks of the newest report or sign.
const STATE_TICKS: usize = 6;

/// A halt takes at most 16 ms (5.4.1.1).
const HALT: Pace = Pace { every_us: 100, deadline_us: 20_000 };
/// Nothing bounds a reset in the specification; controllers with firmware take some 100 ms.
const RESET: Pace = Pace { every_us: 100, deadline_us: 1_000_000 };

/// The driver.
pub struct Xhci;

/// Place of a report's buffer. With an identity window the odd ones lie there.
fn report_place(stream: &Stream, report: u64) -> Place {
    if stream.rmr.bytes == 0 {
        Place::new(&stream.window, REPORTS_AT + report * REPORT_BYTES)
    } else if report.is_multiple_of(2) {
        Place::new(&stream.window, REPORTS_AT + report / 2 * REPORT_BYTES)
    } else {
        Place::new(&stream.rmr, report / 2 * REPORT_BYTES)
    }
}

/// Writes a 64-bit register, the low half first (5.1).
fn write64(bus: &mut dyn Bus, at: PhysAddr, value: u64) {
    bus.write32(at, value as u32);
    bus.write32(at.plus(4), (value >> 32) as u32);
}

/// Events found at their target and in the canary: DMA beside the reports that are counted.
#[must_use]
pub fn events_seen(stream: &Stream) -> (u64, u64) {
    (stream.state[STATE_EVENTS_DELIVERED], stream.state[STATE_EVENTS_MIS_STEERED])
}

impl Witness for Xhci {
    fn id(&self) -> u32 {
        20
    }

    fn name(&self) -> &'static str {
        "xhci"
    }

    fn unit(&self) -> &'static str {
        "reports"
    }

    fn witness(&self) -> &'static str {
        "poisoned buffer overwritten"
    }

    fn round(&self) -> u64 {
        2
    }

    fn data_page(&self) -> u64 {
        REPORTS_AT
    }

    fn sample(&self, bus: &mut dyn Bus, stream: &mut Stream) {
        count::sample(bus, stream);
    }

    fn overruns(&self, _stream: &Stream) -> u64 {
        // A full event ring stops the controller before a buffer is used again.
        0
    }

    fn dry_samples(&self, stream: &Stream) -> u64 {
        stream.state[STATE_DRY]
    }

    fn counts_attempts(&self) -> bool {
        false
    }

    fn refusals(&self, stream: &Stream) -> u64 {
        stream.state[STATE_REFUSED]
    }

    fn tried(&self, since: &Stream, now: &Stream) -> u64 {
        let known = |stream: &Stream| stream.totals.attempted.saturating_add(stream.state[STATE_REFUSED]);
        known(now).saturating_sub(known(since))
    }
}

impl Stopper for Xhci {
    fn claims(&self, identity: &Identity) -> bool {
        // Serial bus controller, USB, xHCI.
        identity.class == 0x0c_0330
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

impl Endpoint for Xhci {
    fn window_bytes(&self) -> u64 {
        WINDOW_BYTES
    }

    fn rmr_bytes(&self) -> u64 {
        RING / 2 * REPORT_BYTES
    }
    /// Where the doorbells are, only DBOFF says. This is a read-only register: a write to it rings nothing.
    fn doorbell(&self) -> Doorbell {
        Doorbell::Wide32(HCCPARAMS1)
    }

    fn arm(&self, config: &mut dyn ConfigSpace, bus: &mut dyn Bus, stream: &mut Stream) -> Result<(), DmaError> {
        window::check(stream, self.window_bytes(), self.rmr_bytes())?;
        let mut function = Function::new(config, stream.bdf).ok_or(DmaError::Gone)?;
        function.set_bus_master(false);
        let bar = function.memory_bar(self.bar())?.ok_or(DmaError::Unsupported("the controller has no BAR 0"))?;
        let bytes = function.memory_bar_bytes(&bar);
        function.enable_for_dma()?;
        let armed = start(&mut function, bus, stream, bytes);
        if armed.is_err() {
            function.set_bus_master(false);
            // The first error is the one to report.
            let _ = reset(bus, stream.registers);
        }
        armed
    }
}

/// Everything between a function found in any state and a device that reports; the BAR has `bytes`.
fn start(function: &mut Function<'_>, bus: &mut dyn Bus, stream: &mut Stream, bytes: u64) -> Result<(), DmaError> {
    // Set first: what is counted means nothing without.
    stream.flags |= STREAM_NO_ATTEMPTS;
    stream.totals = Default::default();
    stream.state = [0; 8];
    take_from_firmware(bus, stream.registers, bytes);
    reset(bus, stream.registers)?;
    let mut host = Host::new(bus, stream, bytes)?;
    // A controller that was reset fetches nothing but the event ring's table, when its address is written.
    function.set_bus_master(true);
    host.lay_out();
    host.run()?;
    device::start_any(&mut host)?;
    let (event, offsets) = (host.next_event, host.offsets);
    stream.state[STATE_EVENT] = event;
    stream.state[STATE_OFFSETS] = offsets;
    Ok(())
}

/// Stops the controller and resets it (4.2): nothing lands after that, and no interrupt comes.
fn reset(bus: &mut dyn Bus, at: PhysAddr) -> Result<(), DmaError> {
    let at = at.plus(u64::from(bus.read32(at.plus(CAPLENGTH)) & 0xfc));
    let (command, status) = (at.plus(USBCMD), at.plus(USBSTS));
    let is_ready = |status| status & USBSTS_CNR == 0;
    // Before that nothing else may be written (5.4.2).
    poll32(bus, "xHCI USBSTS.CNR", status, RESET, is_ready)?;
    let found = bus.read32(command);
    bus.write32(command, found & !(USBCMD_RS | USBCMD_NOISE));
    // A controller whose requests are refused may never halt; the reset below is stronger.
    let _ = poll32(bus, "xHCI USBSTS.HCH", status, HALT, |status| status & USBSTS_HCH != 0);
    let halted = bus.read32(command);
    bus.write32(command, halted | USBCMD_HCRST);
    // Some controllers hang on an access in the first millisecond.
    bus.sleep_us(1_000);
    poll32(bus, "xHCI USBCMD.HCRST", command, RESET, |command| command & USBCMD_HCRST == 0)?;
    poll32(bus, "xHCI USBSTS.CNR", status, RESET, is_ready)
}

/// Asks firmware for the controller, and turns its management interrupts off (4.22.1).
fn take_from_firmware(bus: &mut dyn Bus, at: PhysAddr, bytes: u64) {
    /// Capabilities that are looked at: a broken list may be a circle.
    const MOST: usize = 64;
    let mut offset = u64::from(bus.read32(at.plus(HCCPARAMS1)) >> 16) * 4;
    for _ in 0..MOST {
        if offset == 0 || offset + 8 > bytes {
            return;
        }
        let capability = at.plus(offset);
        let header = bus.read32(capability);
        if header == u32::MAX {
            return;
        }
        if header & 0xff == LEGACY_ID {
            bus.write32(capability, header | LEGACY_OS_OWNED);
            // Firmware that does not answer within a second is not asked again: the reset takes the controller anyhow.
            let is_ours = |header| header & LEGACY_BIOS_OWNED == 0;
            let _ = poll32(bus, "xHCI USBLEGSUP", capability, RESET, is_ours);
            let control = bus.read32(capability.plus(LEGACY_CONTROL));
            bus.write32(capability.plus(LEGACY_CONTROL), control & !LEGACY_SMI_ENABLES | LEGACY_SMI_EVENTS);
            return;
        }
        let next = u64::from(header >> 8 & 0xff) * 4;
        if next == 0 {
            return;
        }
        offset += next;
    }
}
