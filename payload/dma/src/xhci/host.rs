//! The controller as a host: its structures in memory, commands, events, control transfers.

use super::*;
use crate::poll::ticks_in;
use crate::window::POISON_WORD;

/// Slots that are enabled: one is used, and one more for each device that turned out to be none of ours.
const SLOTS: u32 = 8;
/// Longest wait for a command or a control transfer (USB 2.0, 9.2.6.4).
const ANSWER_US: u64 = 500_000;
const LOOK_US: u64 = 50;

/// What a device answers that is not as the driver needs it.
pub(super) const REFUSED: DmaError = DmaError::Unsupported("the USB device or its controller refused a request");

pub(super) struct Host<'a> {
    pub(super) bus: &'a mut dyn Bus,
    pub(super) stream: Stream,
    pub(super) operational: PhysAddr,
    runtime: PhysAddr,
    doorbells: PhysAddr,
    /// As in `Stream::state`.
    pub(super) offsets: u64,
    pub(super) ports: u64,
    slots: u32,
    /// Bytes of one context.
    pub(super) context_bytes: u64,
    scratchpads: u64,
    page_bytes: u64,
    next_command: u64,
    next_control: u64,
    pub(super) next_event: u64,
}

impl<'a> Host<'a> {
    /// Reads what the controller is; its registers take `bytes`.
    pub(super) fn new(bus: &'a mut dyn Bus, stream: &Stream, bytes: u64) -> Result<Self, DmaError> {
        let at = stream.registers;
        let mut read = |offset| bus.read32(at.plus(offset));
        let operational = u64::from(read(CAPLENGTH) & 0xfc);
        let (sizes, pads, features) = (read(HCSPARAMS1), read(HCSPARAMS2), read(HCCPARAMS1));
        let (doorbells, runtime) = (u64::from(read(DBOFF) & !3), u64::from(read(RTSOFF) & !0x1f));
        let (slots, ports) = ((sizes & 0xff).min(SLOTS), u64::from(sizes >> 24));
        let ends =
            [operational + PORTSC + 0x10 * ports, runtime + RUNTIME_BYTES, doorbells + 4 * (u64::from(slots) + 1)];
        if slots == 0 || ports == 0 || ends.into_iter().any(|end| end > bytes) {
            return Err(DmaError::Unsupported("the controller's registers pass the end of its BAR, or it has no port"));
        }
        if features & AC64 == 0 && !window::is_below_4g(stream) {
            return Err(DmaError::Unsupported("the controller has 32 address bits, the windows lie above"));
        }
        // The lowest bit that is set; 0 is no page size, and shifts the rest out.
        let page_bytes = 0x1000_u64 << bus.read32(at.plus(operational + PAGESIZE)).trailing_zeros().min(16);
        let scratchpads = u64::from((pads >> 21 & 0x1f) << 5 | pads >> 27);
        if scratchpads * page_bytes > SCRATCH_BYTES {
            return Err(DmaError::Unsupported("the controller asks for more scratchpad than 256 KiB"));
        }
        Ok(Self {
            bus,
            stream: *stream,
            operational: at.plus(operational),
            runtime: at.plus(runtime),
            doorbells: at.plus(doorbells),
            offsets: runtime << 32 | operational,
            ports,
            slots,
            context_bytes: if features & CSZ == 0 { 32 } else { 64 },
            scratchpads,
            page_bytes,
            next_command: 0,
            next_control: 0,
            next_event: 0,
        })
    }

    pub(super) fn place(&self, offset: u64) -> Place {
        Place::new(&self.stream.window, offset)
    }

    /// Zeroes target and canary.
    pub(super) fn clear(&mut self, offset: u64, bytes: u64) {
        let place = self.place(offset);
        for at in [Some(place.target), place.canary].into_iter().flatten() {
            self.bus.fill(at, bytes, 0);
        }
    }

    /// Writes words to target and canary.
    pub(super) fn publish(&mut self, offset: u64, words: &[u32]) {
        for (at, word) in (offset..).step_by(4).zip(words) {
            self.place(at).publish(self.bus, &word.to_le_bytes());
        }
    }

    fn publish64(&mut self, offset: u64, value: u64) {
        self.publish(offset, &[value as u32, (value >> 32) as u32]);
    }

    /// Rings, tables and reports in memory, and their addresses in the registers (4.2). Bus mastering is on.
    pub(super) fn lay_out(&mut self) {
        self.clear(0, WINDOW_BYTES);
        for pad in 0..self.scratchpads {
            let page = self.place(SCRATCH_AT + pad * self.page_bytes).iova.0;
            self.publish64(SCRATCHPADS_AT + 8 * pad, page);
        }
        if self.scratchpads != 0 {
            let array = self.place(SCRATCHPADS_AT).iova.0;
            self.publish64(DCBAA_AT, array);
        }
        let events = self.place(EVENTS_AT);
        events.poison(self.bus, RING * TRB_BYTES);
        self.publish64(ERST_AT, events.iova.0);
        self.publish(ERST_AT + 8, &[RING as u32]);
        for report in 0..REPORTS {
            let place = report_place(&self.stream, report);
            place.poison(self.bus, REPORT_BYTES);
        }
        self.bus.before_doorbell();

        let at = self.operational;
        let config = self.bus.read32(at.plus(CONFIG));
        self.bus.write32(at.plus(CONFIG), config & !0xff | self.slots);
        let (contexts, commands, table) = (self.place(DCBAA_AT), self.place(COMMANDS_AT), self.place(ERST_AT));
        write64(self.bus, at.plus(DCBAAP), contexts.iova.0);
        write64(self.bus, at.plus(CRCR), commands.iova.0 | CRCR_RCS);
        let at = self.runtime;
        let interrupts = self.bus.read32(at.plus(IMAN));
        self.bus.write32(at.plus(IMAN), interrupts & !IMAN_IE);
        let segments = self.bus.read32(at.plus(ERSTSZ));
        self.bus.write32(at.plus(ERSTSZ), segments & !0xffff | 1);
        write64(self.bus, at.plus(ERDP), events.iova.0);
        // Last: the table is read when its address is written (4.9.4).
        write64(self.bus, at.plus(ERSTBA), table.iova.0);
    }

    /// Starts the controller.
    pub(super) fn run(&mut self) -> Result<(), DmaError> {
        let (command, status) = (self.operational.plus(USBCMD), self.operational.plus(USBSTS));
        let value = self.bus.read32(command);
        self.bus.write32(command, value & !USBCMD_NOISE | USBCMD_RS);
        poll32(self.bus, "xHCI USBSTS.HCH", status, HALT, |status| status & USBSTS_HCH == 0)
    }

    /// Takes the next event, from wherever it landed.
    fn take_event(&mut self) -> Option<[u32; 4]> {
        let place = self.place(EVENTS_AT + self.next_event * TRB_BYTES);
        let (target, canary) = place.plus(12).words(self.bus);
        if (target, canary) == (POISON_WORD, POISON_WORD) {
            return None;
        }
        // The words before the one with the cycle bit.
        self.bus.after_index_read();
        let pick = |(here, there)| if target == POISON_WORD { there } else { here };
        let event = [0, 4, 8, 12].map(|offset| pick(place.plus(offset).words(self.bus)));
        place.poison(self.bus, TRB_BYTES);
        self.next_event = (self.next_event + 1) % RING;
        let dequeue = self.place(EVENTS_AT + self.next_event * TRB_BYTES).iova.0;
        write64(self.bus, self.runtime.plus(ERDP), dequeue | ERDP_EHB);
        Some(event)
    }

    /// Waits for an event of this kind, and lets others pass; its completion code and control word.
    fn wait_for(&mut self, what: &'static str, kind: u32) -> Result<(u32, u32), DmaError> {
        let limit = ticks_in(self.bus, ANSWER_US);
        let start = self.bus.ticks();
        loop {
            let late = self.bus.ticks().wrapping_sub(start) > limit;
            if let Some([_, _, status, control]) = self.take_event() {
                if control & KIND_MASK == kind {
                    return Ok((status >> 24, control));
                }
            } else {
                self.bus.sleep_us(LOOK_US);
            }
            if late {
                let at = self.operational.plus(USBSTS);
                return Err(DmaError::Timeout { what, at, last: self.bus.read32(at), after_us: ANSWER_US });
            }
        }
    }

    /// Rings a doorbell: slot 0 for commands.
    pub(super) fn ring(&mut self, slot: u32, target: u32) {
        self.bus.before_doorbell();
        // At most 8 slots were enabled, and `command` refuses any other.
        self.bus.write32(self.doorbells.plus(4 * u64::from(slot)), target);
    }

    /// Gives one command and waits for it; the slot that it concerns.
    pub(super) fn command(&mut self, kind: u32, slot: u32, address: u64) -> Result<u32, DmaError> {
        if self.next_command + 1 >= RING {
            return Err(DmaError::Unsupported("too many USB devices that are of no use"));
        }
        let at = COMMANDS_AT + self.next_command * TRB_BYTES;
        self.next_command += 1;
        self.publish(at, &[address as u32, (address >> 32) as u32, 0, kind | slot << 24 | TRB_C]);
        self.ring(0, 0);
        let (code, control) = self.wait_for("xHCI command completion, USBSTS", COMMAND_COMPLETION)?;
        let answered = control >> 24;
        if code != SUCCESS || !(1..=self.slots).contains(&answered) {
            return Err(REFUSED);
        }
        Ok(answered)
    }

    /// Empties the ring of the default control endpoint, for the next device.
    pub(super) fn new_control_ring(&mut self) {
        self.clear(CONTROL_AT, RING * TRB_BYTES);
        self.next_control = 0;
    }

    /// One control transfer (4.11.2.2): a request without data, or one that the device answers with up to `bytes`.
    pub(super) fn control(&mut self, slot: u32, setup: [u8; 8], bytes: u64) -> Result<(), DmaError> {
        if self.next_control + 4 > RING {
            return Err(REFUSED);
        }
        let [a, b, c, d, e, f, g, h] = setup;
        let (low, high) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        let has_data = bytes != 0;
        let answer = self.place(ANSWER_AT);
        if has_data {
            answer.poison(self.bus, ANSWER_BYTES);
        }
        let transfer_type = if has_data { TRB_TRT_IN } else { 0 };
        self.push_control([low, high, 8, SETUP_STAGE | TRB_IDT | transfer_type]);
        if has_data {
            let address = answer.iova.0;
            self.push_control([address as u32, (address >> 32) as u32, bytes as u32, DATA_STAGE | TRB_DIR_IN]);
        }
        // The status stage goes the other way than the data.
        let direction = if has_data { 0 } else { TRB_DIR_IN };
        self.push_control([0, 0, 0, STATUS_STAGE | TRB_IOC | direction]);
        self.ring(slot, 1);
        let (code, _) = self.wait_for("xHCI control transfer, USBSTS", TRANSFER_EVENT)?;
        if code == SUCCESS || code == SHORT_PACKET { Ok(()) } else { Err(REFUSED) }
    }

    fn push_control(&mut self, [a, b, c, d]: [u32; 4]) {
        let at = CONTROL_AT + self.next_control * TRB_BYTES;
        self.next_control += 1;
        self.publish(at, &[a, b, c, d | TRB_C]);
    }

    /// What the device has answered, from wherever it landed.
    pub(super) fn answer(&mut self) -> [u8; ANSWER_BYTES as usize] {
        let place = self.place(ANSWER_AT);
        self.bus.after_index_read();
        let mut answer = [0; ANSWER_BYTES as usize];
        let (target, canary) = place.words(self.bus);
        let landed = if target == POISON_WORD && canary != POISON_WORD { place.canary } else { None };
        self.bus.copy_from(landed.unwrap_or(place.target), &mut answer);
        answer
    }
}
