//! Talks to codecs, and finds an input converter by walking their node tree (7.1.2).

use super::registers::*;
use super::{CORB_AT, RIRB_AT};
use crate::poll::{Pace, poll16};
use crate::window::Place;
use crate::{Bus, DmaError};
use addr::PhysAddr;
use handover::oracle::Stream;

/// A codec answers in the next frame or two of 20.8 us; the rest is margin.
const ANSWER: Pace = Pace { every_us: 5, deadline_us: 2_000 };
/// Entries of CORB and RIRB.
const RING_ENTRIES: u16 = 256;

/// Where a verb goes.
#[derive(Clone, Copy)]
struct Node {
    codec: u8,
    id: u8,
}

/// The way to the codecs.
pub(crate) struct Link<'a> {
    bus: &'a mut dyn Bus,
    registers: PhysAddr,
    corb: Place,
    rirb: Place,
    way: Way,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// ICW, IRR, ICS: no DMA, but optional.
    Immediate,
    /// CORB and RIRB; number of commands sent.
    Rings { sent: u16 },
}

impl<'a> Link<'a> {
    /// Opens the way to the codec: the immediate command registers if a first command is answered, else the rings. Bus
    /// mastering is on.
    pub(crate) fn open(bus: &'a mut dyn Bus, stream: &Stream, codec: u8) -> Result<Self, DmaError> {
        let (corb, rirb) = (Place::new(&stream.window, CORB_AT), Place::new(&stream.window, RIRB_AT));
        let mut link = Self { bus, registers: stream.registers, corb, rirb, way: Way::Immediate };
        if link.parameter(Node { codec, id: 0 }, PARAMETER_SUBORDINATES).is_err() {
            // Withdraw the command that was never taken, then use the rings.
            link.bus.write16(link.registers.plus(ICS), ICS_IRV);
            link.start_rings()?;
            link.parameter(Node { codec, id: 0 }, PARAMETER_SUBORDINATES)?;
        }
        Ok(link)
    }

    /// Sets an input converter of the codec to `tag` and the format. `false`: the codec has none that fits.
    pub(crate) fn start_capture(&mut self, codec: u8, tag: u8) -> Result<bool, DmaError> {
        let Some((group, converter)) = self.find_input_converter(codec)? else { return Ok(false) };
        let (group, converter) = (Node { codec, id: group }, Node { codec, id: converter });
        self.command(group, VERB_SET_POWER_STATE << 8)?;
        self.command(converter, VERB_SET_POWER_STATE << 8)?;
        self.command(converter, VERB4_SET_FORMAT << 16 | u32::from(FORMAT_48K_16_STEREO))?;
        // Channel 0 of the stream.
        self.command(converter, VERB_SET_STREAM_CHANNEL << 8 | u32::from(tag) << 4)?;
        Ok(true)
    }

    /// Finds an analogue input converter for 48 kHz and 16 bits, or a digital one; its function group and its node.
    fn find_input_converter(&mut self, codec: u8) -> Result<Option<(u8, u8)>, DmaError> {
        let mut digital = None;
        for group in self.subordinates(Node { codec, id: 0 })? {
            let group_node = Node { codec, id: group };
            if self.parameter(group_node, PARAMETER_GROUP_TYPE)? & 0xff != GROUP_AUDIO {
                continue;
            }
            let group_pcm = self.parameter(group_node, PARAMETER_PCM)?;
            for id in self.subordinates(group_node)? {
                let node = Node { codec, id };
                let widget = self.parameter(node, PARAMETER_WIDGET)?;
                if widget >> 20 & 0xf != WIDGET_AUDIO_INPUT {
                    continue;
                }
                let own = widget & WIDGET_FORMAT_OVERRIDE != 0;
                let pcm = if own { self.parameter(node, PARAMETER_PCM)? } else { group_pcm };
                if pcm & PCM_48K_16 != PCM_48K_16 {
                    continue;
                }
                if widget & WIDGET_DIGITAL == 0 {
                    return Ok(Some((group, id)));
                }
                digital = digital.or(Some((group, id)));
            }
        }
        Ok(digital)
    }

    /// Nodes below a node. Node numbers have 7 bits in a verb's short form; whatever the answer, the range ends there.
    fn subordinates(&mut self, of: Node) -> Result<core::ops::Range<u8>, DmaError> {
        let answer = self.parameter(of, PARAMETER_SUBORDINATES)?;
        let first = (answer >> 16 & 0xff).min(0x80);
        let end = (first + (answer & 0xff)).min(0x80);
        // Both are at most 80h.
        Ok(first as u8..end as u8)
    }

    fn parameter(&mut self, of: Node, which: u32) -> Result<u32, DmaError> {
        self.command(of, VERB_GET_PARAMETER << 8 | which)
    }

    /// Sends a command with 20 bits of verb and payload; the answer.
    fn command(&mut self, to: Node, verb: u32) -> Result<u32, DmaError> {
        let command = u32::from(to.codec) << 28 | u32::from(to.id) << 20 | verb;
        match self.way {
            Way::Immediate => self.immediate(command),
            Way::Rings { sent } => {
                let sent = (sent + 1) % RING_ENTRIES;
                self.way = Way::Rings { sent };
                self.by_rings(command, sent)
            }
        }
    }

    fn immediate(&mut self, command: u32) -> Result<u32, DmaError> {
        let ics = self.registers.plus(ICS);
        self.poll16("HDA ICS (busy)", ics, |ics| ics & ICS_ICB == 0)?;
        // IRV is write-one-to-clear.
        self.bus.write16(ics, ICS_IRV);
        self.bus.write32(self.registers.plus(ICW), command);
        self.bus.write16(ics, ICS_ICB);
        self.poll16("HDA ICS (answer)", ics, |ics| ics & (ICS_ICB | ICS_IRV) == ICS_IRV)?;
        Ok(self.bus.read32(self.registers.plus(IRR)))
    }

    fn by_rings(&mut self, command: u32, sent: u16) -> Result<u32, DmaError> {
        self.corb.plus(4 * u64::from(sent)).publish(self.bus, &command.to_le_bytes());
        self.bus.before_doorbell();
        self.bus.write16(self.registers.plus(CORBWP), sent);
        let rirbwp = self.registers.plus(RIRBWP);
        self.poll16("HDA RIRBWP", rirbwp, |answered| answered & 0xff == sent)?;
        // QEMU stops answering after RINTCNT answers until the status bit is cleared; INTCTL keeps it from the CPU.
        self.bus.write8(self.registers.plus(RIRBSTS), RIRBSTS_ALL);
        self.bus.after_index_read();
        let (target, canary) = self.rirb.plus(8 * u64::from(sent)).words(self.bus);
        // Where the SMMU does not translate yet the answer is in the canary.
        Ok(if target == crate::window::POISON_WORD { canary } else { target })
    }

    /// Sets both rings up (4.4.1.3, 4.4.2.2) and starts them.
    fn start_rings(&mut self) -> Result<(), DmaError> {
        let at = self.registers;
        for size in [CORBSIZE, RIRBSIZE] {
            let value = self.bus.read8(at.plus(size));
            if value & 3 != RING_256 {
                if value & RING_256_CAPABLE == 0 {
                    return Err(DmaError::Unsupported("neither immediate commands nor rings of 256 entries"));
                }
                self.bus.write8(at.plus(size), value & !3 | RING_256);
            }
        }
        self.bus.write8(at.plus(CORBCTL), 0);
        self.bus.write8(at.plus(RIRBCTL), 0);
        for (low, high, place) in [(CORBLBASE, CORBUBASE, self.corb), (RIRBLBASE, RIRBUBASE, self.rirb)] {
            self.bus.write32(at.plus(low), place.iova.0 as u32);
            self.bus.write32(at.plus(high), (place.iova.0 >> 32) as u32);
        }
        self.rirb.poison(self.bus, 8 * u64::from(RING_ENTRIES));
        self.bus.write16(at.plus(CORBWP), 0);
        // Some controllers never show the bit set; that it can be cleared is what counts.
        self.bus.write16(at.plus(CORBRP), CORBRP_RST);
        let _ = self.poll16("HDA CORBRP (set)", at.plus(CORBRP), |rp| rp & CORBRP_RST != 0);
        self.bus.write16(at.plus(CORBRP), 0);
        self.poll16("HDA CORBRP (cleared)", at.plus(CORBRP), |rp| rp & CORBRP_RST == 0)?;
        self.bus.write16(at.plus(RIRBWP), RIRBWP_RST);
        self.bus.write16(at.plus(RINTCNT), 1);
        self.bus.write8(at.plus(RIRBCTL), RIRBCTL_DMAEN | RIRBCTL_RINTCTL);
        self.bus.write8(at.plus(CORBCTL), CORBCTL_RUN);
        self.way = Way::Rings { sent: 0 };
        Ok(())
    }

    fn poll16(&mut self, what: &'static str, at: PhysAddr, done: impl Fn(u16) -> bool) -> Result<(), DmaError> {
        poll16(self.bus, what, at, ANSWER, done)
    }

    /// Stops the rings, if they were used.
    pub(crate) fn close(self) {
        if self.way != Way::Immediate {
            self.bus.write8(self.registers.plus(CORBCTL), 0);
            self.bus.write8(self.registers.plus(RIRBCTL), 0);
        }
    }
}
