//! Intel High Definition Audio: a cyclic capture stream. Once started it needs neither the CPU nor a peer, and its link
//! position register counts whether its writes arrive or not.
//!
//! Document: Intel High Definition Audio Specification 1.0a. Numbers in brackets are its sections.

mod codec;
mod count;
mod registers;
#[cfg(test)]
mod tests;

use crate::poll::{Pace, poll32, ticks_in};
use crate::window::{self, Place};
use crate::{Bus, DmaError, Doorbell, Endpoint, Stopper, Witness};
use addr::{Bdf, PhysAddr};
use codec::Link;
use handover::oracle::Stream;
use pci::{ConfigSpace, Function, Identity};
use registers::*;

/// Entries of the buffer descriptor list: as many as LVI can say (3.3.38).
const ENTRIES: u64 = 256;
/// Bytes of one entry: the alignment that the specification asks of buffers (3.6.2).
const ENTRY_BYTES: u64 = 128;
/// Bytes after which the stream begins again: 170.7 ms.
pub const CYCLE_BYTES: u64 = ENTRIES * ENTRY_BYTES;
/// 48 kHz, two channels, 16 bits.
pub const BYTES_PER_SECOND: u64 = 192_000;
/// GCTL.CRST and RUN follow a write within a few frames of 20.8 us; the rest is margin.
const RESET: Pace = Pace { every_us: 10, deadline_us: 10_000 };
/// Stream number on the link; 0 is reserved (4.5.3).
const TAG: u8 = 1;

// Layout of the canary window.
const BDL_AT: u64 = 0;
const POSITIONS_AT: u64 = 0x1000;
/// 8 bytes for each of at most 30 stream descriptors.
const POSITIONS_BYTES: u64 = 0x100;
const CORB_AT: u64 = 0x1400;
const RIRB_AT: u64 = 0x1800;
const DATA_AT: u64 = 0x2000;
const WINDOW_BYTES: u64 = 0x1_0000;

// Indices into `Stream::state`.
/// Link position up to which everything is counted.
const STATE_POSITION: usize = 0;
/// Ticks at that moment.
const STATE_TICKS: usize = 1;
/// Samples that came too late.
const STATE_OVERRUNS: usize = 2;
/// Samples that found the position buffer written at its target.
const STATE_POSITION_DELIVERED: usize = 3;
/// Samples that found it written in the canary.
const STATE_POSITION_MIS_STEERED: usize = 4;

/// The driver.
pub struct Hda;

/// Place of the `entry`th piece of the cyclic buffer. With an identity window the odd ones lie there.
fn entry_place(stream: &Stream, entry: u64) -> Place {
    if stream.rmr.bytes == 0 {
        Place::new(&stream.window, DATA_AT + entry * ENTRY_BYTES)
    } else if entry.is_multiple_of(2) {
        Place::new(&stream.window, DATA_AT + entry / 2 * ENTRY_BYTES)
    } else {
        Place::new(&stream.rmr, entry / 2 * ENTRY_BYTES)
    }
}

/// Samples that found the position buffer written, at its target and in the canary. Evidence beside the count: the
/// buffer is DMA that LPIB does not include.
#[must_use]
pub fn position_buffer_seen(stream: &Stream) -> (u64, u64) {
    (stream.state[STATE_POSITION_DELIVERED], stream.state[STATE_POSITION_MIS_STEERED])
}

impl Witness for Hda {
    fn id(&self) -> u32 {
        1
    }

    fn name(&self) -> &'static str {
        "hda"
    }

    fn unit(&self) -> &'static str {
        "bytes"
    }

    fn witness(&self) -> &'static str {
        "poisoned buffer overwritten"
    }

    fn round(&self) -> u64 {
        // Wherever they begin, so many bytes reach into the next entry, which lies in the other window.
        ENTRY_BYTES + 4
    }

    fn data_page(&self) -> u64 {
        DATA_AT
    }

    fn sample(&self, bus: &mut dyn Bus, stream: &mut Stream) {
        count::sample(bus, stream);
    }

    fn is_cyclic(&self) -> bool {
        true
    }

    fn overruns(&self, stream: &Stream) -> u64 {
        stream.state[STATE_OVERRUNS]
    }
}

impl Stopper for Hda {
    fn claims(&self, identity: &Identity) -> bool {
        // Multimedia, mixed mode, any programming interface.
        identity.class >> 8 == 0x0403
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
        hold_in_reset(bus, registers)
    }
}

impl Endpoint for Hda {
    fn window_bytes(&self) -> u64 {
        WINDOW_BYTES
    }

    fn rmr_bytes(&self) -> u64 {
        CYCLE_BYTES / 2
    }
    /// The command ring's; the ring is stopped once the codec is set up.
    fn doorbell(&self) -> Doorbell {
        Doorbell::Wide16(CORBWP)
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
            let _ = hold_in_reset(bus, stream.registers);
        }
        armed
    }
}

/// Everything between a function found in any state and a running stream.
fn start(function: &mut Function<'_>, bus: &mut dyn Bus, stream: &mut Stream) -> Result<(), DmaError> {
    let at = stream.registers;
    hold_in_reset(bus, at)?;
    let out_of_reset = leave_reset(bus, at)?;
    let capabilities = bus.read16(at.plus(GCAP));
    if capabilities >> 8 & 0xf == 0 {
        return Err(DmaError::Unsupported("the controller has no input stream"));
    }
    if capabilities & GCAP_64OK == 0 && !window::is_below_4g(stream) {
        return Err(DmaError::Unsupported("the controller has 32 address bits, the windows lie above"));
    }
    bus.write32(at.plus(INTCTL), 0);
    // The codecs need a while to ask for their addresses: time to prepare the memory.
    lay_out(bus, stream);
    program_stream(bus, stream);
    let codecs = wait_for_codecs(bus, at, out_of_reset)?;
    bus.before_doorbell();
    function.set_bus_master(true);
    start_converter(bus, stream, codecs)?;

    stream.totals = Default::default();
    stream.state = [0; 8];
    stream.state[STATE_TICKS] = bus.ticks();
    bus.before_doorbell();
    let control = u32::from(TAG) << SD_CTL_STREAM_SHIFT;
    // The stream number first: QEMU notifies the codec of the number that it finds when RUN is set.
    bus.write32(at.plus(SD_CTL), control);
    bus.write32(at.plus(SD_CTL), control | SD_CTL_RUN);
    Ok(())
}

/// Sets the first input converter of any codec to work.
fn start_converter(bus: &mut dyn Bus, stream: &Stream, codecs: u16) -> Result<(), DmaError> {
    for codec in (0..15).filter(|codec| codecs & 1 << codec != 0) {
        let mut link = Link::open(bus, stream, codec)?;
        let started = link.start_capture(codec, TAG);
        link.close();
        if started? {
            return Ok(());
        }
    }
    Err(DmaError::Unsupported("no codec has an input converter for 48 kHz and 16 bits"))
}

/// Buffer descriptor list, poisoned data, poisoned position buffer.
fn lay_out(bus: &mut dyn Bus, stream: &Stream) {
    let list = Place::new(&stream.window, BDL_AT);
    for entry in 0..ENTRIES {
        let place = entry_place(stream, entry);
        // Address, length, flags: no interrupt on completion (3.6.3). QEMU reads the list when RUN is set and keeps it,
        // silicon fetches each entry anew: the list stays valid in target and canary.
        let mut descriptor = [0; 16];
        descriptor[..8].copy_from_slice(&place.iova.0.to_le_bytes());
        descriptor[8..12].copy_from_slice(&(ENTRY_BYTES as u32).to_le_bytes());
        list.plus(16 * entry).publish(bus, &descriptor);
    }
    window::poison_data(bus, stream, DATA_AT, CYCLE_BYTES);
    Place::new(&stream.window, POSITIONS_AT).poison(bus, POSITIONS_BYTES);
}

/// First input stream, position buffer; nothing runs yet.
fn program_stream(bus: &mut dyn Bus, stream: &Stream) {
    let at = stream.registers;
    let (list, positions) = (Place::new(&stream.window, BDL_AT), Place::new(&stream.window, POSITIONS_AT));
    bus.write32(at.plus(SD_BDPL), list.iova.0 as u32);
    bus.write32(at.plus(SD_BDPU), (list.iova.0 >> 32) as u32);
    bus.write32(at.plus(SD_CBL), CYCLE_BYTES as u32);
    bus.write16(at.plus(SD_LVI), ENTRIES as u16 - 1);
    bus.write16(at.plus(SD_FMT), FORMAT_48K_16_STEREO);
    bus.write32(at.plus(DPUBASE), (positions.iova.0 >> 32) as u32);
    bus.write32(at.plus(DPLBASE), positions.iova.0 as u32 | DPLBASE_ENABLE);
}

/// Stops all DMA and holds the controller in reset (4.2.2): nothing lands after that.
fn hold_in_reset(bus: &mut dyn Bus, at: PhysAddr) -> Result<(), DmaError> {
    let gctl = at.plus(GCTL);
    // Registers of a controller in reset must not be written (3.3.7), and an absent one has none.
    let found = bus.read32(gctl);
    if found & GCTL_CRST != 0 && found != u32::MAX {
        let capabilities = u64::from(bus.read16(at.plus(GCAP)));
        let streams = (capabilities >> 8 & 0xf) + (capabilities >> 12 & 0xf) + (capabilities >> 3 & 0x1f);
        for stream in 0..streams {
            // RUN off before the reset: QEMU's codec goes on with a stream whose number is gone.
            let control = at.plus(SD_CTL + stream * SD_BYTES);
            let value = bus.read32(control) & 0x00ff_ffff;
            if value & SD_CTL_RUN != 0 {
                bus.write32(control, value & !SD_CTL_RUN);
                // A DMA engine whose requests are refused may never finish; the reset below is stronger.
                let _ = poll32(bus, "HDA SDnCTL.RUN", control, RESET, |value| value & SD_CTL_RUN == 0);
            }
        }
        bus.write8(at.plus(CORBCTL), 0);
        bus.write8(at.plus(RIRBCTL), 0);
        bus.write32(at.plus(DPLBASE), 0);
    }
    bus.write32(gctl, 0);
    poll32(bus, "HDA GCTL.CRST", gctl, RESET, |value| value & GCTL_CRST == 0)
}

/// Ends the reset; the ticks at which it had ended.
fn leave_reset(bus: &mut dyn Bus, at: PhysAddr) -> Result<u64, DmaError> {
    let gctl = at.plus(GCTL);
    // At least 100 us in reset for the link's clock to settle (5.5.1.2).
    bus.sleep_us(100);
    bus.write32(gctl, GCTL_CRST);
    poll32(bus, "HDA GCTL.CRST", gctl, RESET, |value| value & GCTL_CRST != 0)?;
    Ok(bus.ticks())
}

/// The codecs that asked for their address, one bit each: they do within 25 frames after the reset, 521 us (4.3).
fn wait_for_codecs(bus: &mut dyn Bus, at: PhysAddr, out_of_reset: u64) -> Result<u16, DmaError> {
    let passed = bus.ticks().wrapping_sub(out_of_reset);
    let left = ticks_in(bus, 521).saturating_sub(passed);
    let left_us = left.saturating_mul(1_000_000).div_ceil(bus.frequency().max(1));
    bus.sleep_us(left_us);
    let codecs = bus.read16(at.plus(STATESTS)) & 0x7fff;
    if codecs == 0 {
        return Err(DmaError::Unsupported("no codec answers"));
    }
    Ok(codecs)
}
