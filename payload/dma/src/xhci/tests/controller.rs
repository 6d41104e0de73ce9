//! A controller for the tests: registers, rings in memory, and a device on each root port that reports with time.

extern crate std;
use super::super::*;
use crate::fake::*;
use std::vec;
use std::vec::Vec;

pub(super) const OPERATIONAL: u64 = 0x20;
pub(super) const RUNTIME: u64 = 0x1000;
pub(super) const DOORBELLS: u64 = 0x2000;
pub(super) const BAR_BYTES: u32 = 0x4000;
pub(super) const LEGACY_AT: u64 = 0xf00;
pub(super) const LEGACY_CONTROL_AT: u64 = LEGACY_AT + LEGACY_CONTROL;

pub(super) const KEYBOARD: [u8; 34] = [
    9, 2, 34, 0, 1, 1, 0, 0xa0, 50, // configuration 1
    9, 4, 0, 0, 1, 3, 1, 1, 0, // HID interface 0
    9, 0x21, 0x11, 1, 0, 1, 0x22, 63, 0, // its report descriptor
    7, 5, 0x81, 3, 8, 0, 7, // interrupt IN
];
pub(super) const STICK: [u8; 25] = [9, 2, 25, 0, 1, 1, 0, 0xa0, 50, 9, 4, 0, 0, 1, 8, 6, 80, 0, 7, 5, 0x81, 2, 0, 2, 0];

#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub(super) struct Truth {
    pub(super) delivered: u64,
    pub(super) mis_steered: u64,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Ring {
    pub(super) dequeue: u64,
    pub(super) cycle: u32,
}

/// A controller with one device on each root port, as the specification has it.
pub(super) struct Controller {
    pub(super) command: u32,
    pub(super) status: u32,
    pub(super) config: u32,
    pub(super) contexts: u64,
    pub(super) commands: Ring,
    pub(super) table: u64,
    pub(super) dequeue: u64,
    pub(super) events: (u64, u64),
    pub(super) event_cycle: u32,
    pub(super) legacy: u32,
    pub(super) port_status: Vec<u32>,
    pub(super) devices: Vec<(u32, Vec<u8>)>,
    pub(super) slot_port: Vec<usize>,
    pub(super) control: Ring,
    pub(super) packet_bytes: u32,
    pub(super) transfers: Ring,
    pub(super) endpoint: u32,
    pub(super) idle: u8,
    pub(super) due_us: u64,
    pub(super) truth: Truth,
    /// The sender pauses.
    pub(super) is_still: bool,
    pub(super) is_stuck: bool,
    pub(super) never_halts: bool,
    pub(super) is_gone: bool,
    /// As QEMU's, it goes on after a refusal.
    pub(super) goes_on: bool,
    pub(super) refuses_idle: bool,
    pub(super) csz: u32,
    pub(super) pads: u32,
    /// Size of the default control endpoint at full speed.
    pub(super) first_packet: u8,
    pub(super) evaluated: bool,
    pub(super) firmware_yields: bool,
}

pub(super) fn word(bytes: [u8; 16], index: usize) -> u32 {
    u32::from_le_bytes(bytes[4 * index..4 * index + 4].try_into().unwrap())
}

impl Controller {
    pub(super) fn new() -> Self {
        Self::with(vec![(3, KEYBOARD.to_vec())])
    }

    pub(super) fn with(devices: Vec<(u32, Vec<u8>)>) -> Self {
        Self {
            command: 0,
            status: USBSTS_HCH,
            config: 0,
            contexts: 0,
            commands: Ring::default(),
            table: 0,
            dequeue: 0,
            events: (0, 0),
            event_cycle: 1,
            legacy: LEGACY_ID | LEGACY_BIOS_OWNED,
            port_status: vec![0; devices.len()],
            devices,
            slot_port: Vec::new(),
            control: Ring::default(),
            packet_bytes: 0,
            transfers: Ring::default(),
            endpoint: 0,
            idle: 0,
            due_us: 0,
            truth: Truth::default(),
            is_still: false,
            is_stuck: false,
            never_halts: false,
            is_gone: false,
            goes_on: false,
            refuses_idle: false,
            csz: 0,
            pads: 0,
            first_packet: 8,
            evaluated: false,
            firmware_yields: true,
        }
    }

    pub(super) fn reset(&mut self) {
        self.status = USBSTS_HCH;
        self.command = 0;
        (self.contexts, self.table, self.dequeue, self.endpoint, self.idle) = (0, 0, 0, 0, 0);
        (self.events, self.event_cycle) = ((0, 0), 1);
        self.slot_port.clear();
        for (port, (speed, _)) in self.port_status.iter_mut().zip(&self.devices) {
            *port = if *speed == 0 { PORTSC_PP } else { PORTSC_PP | PORTSC_CCS | *speed << 10 | 1 << 17 };
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.status & USBSTS_HCH == 0
    }

    /// Refused DMA is a Host System Error.
    pub(super) fn is_refused(&mut self, fabric: &Fabric) -> bool {
        if fabric.mode == Mode::Block && self.goes_on {
            self.status |= 1 << 12;
        } else if fabric.mode == Mode::Block {
            self.status |= USBSTS_HCH | 1 << 2;
            self.command &= !USBCMD_RS;
        }
        !self.is_running()
    }

    pub(super) fn fetch(&self, fabric: &mut Fabric, ring: Ring) -> Option<([u8; 16], Ring)> {
        let mut at = ring;
        for _ in 0..2 {
            let trb: [u8; 16] = fabric.read(at.dequeue);
            if word(trb, 3) & TRB_C != at.cycle {
                return None;
            }
            if word(trb, 3) & KIND_MASK != LINK {
                return Some((trb, Ring { dequeue: at.dequeue + 16, ..at }));
            }
            at.dequeue = u64::from(word(trb, 0)) | u64::from(word(trb, 1)) << 32;
            at.cycle ^= word(trb, 3) >> 1 & 1;
        }
        panic!("a ring of links");
    }

    pub(super) fn is_full(&self) -> bool {
        (self.events.0 + 1) % self.events.1 == (self.dequeue - self.event_start()) / 16
    }

    pub(super) fn event_start(&self) -> u64 {
        CANARY.0 + EVENTS_AT
    }

    pub(super) fn event(&mut self, fabric: &mut Fabric, pointer: u64, code: u32, control: u32) {
        assert!(!self.is_full(), "the driver lets the event ring run full while it arms");
        let mut trb = pointer.to_le_bytes().to_vec();
        trb.extend((code << 24).to_le_bytes());
        trb.extend((control | self.event_cycle).to_le_bytes());
        fabric.write(self.event_start() + 16 * self.events.0, &trb);
        self.events.0 += 1;
        if self.events.0 == self.events.1 {
            self.events.0 = 0;
            self.event_cycle ^= 1;
        }
    }

    pub(super) fn context(&self, fabric: &mut Fabric, input: u64, index: u64) -> [u8; 16] {
        fabric.read(input + (if self.csz == 0 { 32 } else { 64 }) * index)
    }

    pub(super) fn run_commands(&mut self, fabric: &mut Fabric) {
        while !self.is_refused(fabric) {
            let Some((trb, next)) = self.fetch(fabric, self.commands) else { return };
            let at = self.commands.dequeue;
            self.commands = next;
            let input = u64::from(word(trb, 0)) | u64::from(word(trb, 1)) << 32;
            let mut slot = word(trb, 3) >> 24;
            match word(trb, 3) & KIND_MASK {
                ENABLE_SLOT => {
                    self.slot_port.push(usize::MAX);
                    slot = self.slot_port.len() as u32;
                    assert!(slot <= self.config & 0xff);
                }
                DISABLE_SLOT => self.slot_port[slot as usize - 1] = usize::MAX,
                ADDRESS_DEVICE => {
                    assert_eq!(word(self.context(fabric, input, 0), 1), 3);
                    let about = self.context(fabric, input, 1);
                    let port = (word(about, 1) >> 16) as usize - 1;
                    assert_eq!(word(about, 0) >> 20 & 0xf, self.devices[port].0);
                    assert!(self.port_status[port] & PORTSC_PED != 0, "the port was not reset");
                    self.slot_port[slot as usize - 1] = port;
                    let context: [u8; 8] = fabric.read(self.contexts + 8 * u64::from(slot));
                    assert_eq!(u64::from_le_bytes(context), CANARY.0 + DEVICE_CONTEXT_AT);
                    let endpoint = self.context(fabric, input, 2);
                    self.packet_bytes = word(endpoint, 1) >> 16;
                    let ring = u64::from(word(endpoint, 2)) | u64::from(word(endpoint, 3)) << 32;
                    self.control = Ring { dequeue: ring & !1, cycle: (ring & 1) as u32 };
                    fabric.write(CANARY.0 + DEVICE_CONTEXT_AT, &[1; 16]);
                }
                EVALUATE_CONTEXT => {
                    self.evaluated = true;
                    self.packet_bytes = word(self.context(fabric, input, 2), 1) >> 16;
                }
                CONFIGURE_ENDPOINT => {
                    let add = word(self.context(fabric, input, 0), 1);
                    self.endpoint = add.ilog2();
                    let endpoint = self.context(fabric, input, u64::from(self.endpoint) + 1);
                    assert_eq!(word(endpoint, 1) >> 3 & 7, 7);
                    let ring = u64::from(word(endpoint, 2)) | u64::from(word(endpoint, 3)) << 32;
                    self.transfers = Ring { dequeue: ring & !1, cycle: (ring & 1) as u32 };
                }
                other => panic!("command {other:#x}"),
            }
            self.event(fabric, at, SUCCESS, COMMAND_COMPLETION | slot << 24);
        }
    }

    pub(super) fn run_control(&mut self, fabric: &mut Fabric, slot: u32) {
        while !self.is_refused(fabric) {
            let Some((setup, next)) = self.fetch(fabric, self.control) else { return };
            assert_eq!(word(setup, 3) & KIND_MASK, SETUP_STAGE);
            let (speed, configuration) = &self.devices[self.slot_port[slot as usize - 1]];
            let answer = match setup[..4] {
                [0x80, 6, 0, 1] => {
                    assert_eq!(*speed, 1);
                    Some(vec![18, 1, 0, 2, 0, 0, 0, self.first_packet])
                }
                [0x80, 6, 0, 2] => {
                    let expected = if *speed == 1 { u32::from(self.first_packet) } else { 64 };
                    assert!(self.packet_bytes == expected || *speed != 1, "babble");
                    Some(configuration.clone())
                }
                [0, 9, 1, 0] => Some(Vec::new()),
                [0x21, 0x0a, 0, rate] => {
                    self.idle = rate;
                    (!self.refuses_idle).then(Vec::new)
                }
                _ => None,
            };
            self.control = next;
            loop {
                let (trb, next) = self.fetch(fabric, self.control).unwrap();
                self.control = next;
                match word(trb, 3) & KIND_MASK {
                    DATA_STAGE => {
                        let to = u64::from(word(trb, 0)) | u64::from(word(trb, 1)) << 32;
                        fabric.write(to, answer.as_deref().unwrap_or_default());
                    }
                    STATUS_STAGE => break,
                    other => panic!("control TRB {other:#x}"),
                }
            }
            let code = if answer.is_some() { SUCCESS } else { 6 };
            self.event(fabric, 0, code, TRANSFER_EVENT | slot << 24 | 1 << 16);
        }
    }

    pub(super) fn report(&mut self, fabric: &mut Fabric) {
        let Some((trb, next)) = self.fetch(fabric, self.transfers) else { return };
        let (at, to) = (self.transfers.dequeue, u64::from(word(trb, 0)) | u64::from(word(trb, 1)) << 32);
        self.transfers = next;
        fabric.write(to, &[0; 8]);
        let is_identity = (RMR.0..RMR.0 + 0x1_0000).contains(&to);
        match fabric.mode {
            Mode::Bypass if !is_identity => self.truth.mis_steered += 1,
            _ => self.truth.delivered += 1,
        }
        self.event(fabric, at, SHORT_PACKET, TRANSFER_EVENT | 1 << 24 | self.endpoint << 16);
    }
}

impl Device for Controller {
    fn read(&mut self, _fabric: &mut Fabric, offset: u64, _bytes: u8) -> u32 {
        if self.is_gone {
            return u32::MAX;
        }
        match offset {
            CAPLENGTH => 0x0120_0000 | OPERATIONAL as u32,
            HCSPARAMS1 => (self.devices.len() as u32) << 24 | 64,
            HCSPARAMS2 => self.pads << 27,
            HCCPARAMS1 => AC64 | self.csz | (LEGACY_AT as u32 / 4) << 16,
            DBOFF => DOORBELLS as u32,
            RTSOFF => RUNTIME as u32,
            LEGACY_AT => self.legacy,
            LEGACY_CONTROL_AT => LEGACY_SMI_ENABLES,
            _ => match offset.wrapping_sub(OPERATIONAL) {
                USBCMD => self.command,
                USBSTS => self.status,
                PAGESIZE => 1,
                CONFIG => self.config,
                port if (PORTSC..0x800).contains(&port) => self.port_status[((port - PORTSC) / 16) as usize],
                _ => 0,
            },
        }
    }

    fn write(&mut self, fabric: &mut Fabric, offset: u64, _bytes: u8, value: u32) {
        let half = |old: u64, high: bool| {
            if high { old & 0xffff_ffff | u64::from(value) << 32 } else { old & !0xffff_ffff | u64::from(value) }
        };
        match offset {
            LEGACY_AT => {
                self.legacy = value;
                if self.firmware_yields {
                    self.legacy &= !LEGACY_BIOS_OWNED;
                }
            }
            LEGACY_CONTROL_AT => assert_eq!(value, LEGACY_SMI_EVENTS),
            _ if offset >= DOORBELLS => {
                assert!(self.is_running());
                let slot = (offset - DOORBELLS) as u32 / 4;
                match (slot, value) {
                    (0, 0) => self.run_commands(fabric),
                    (_, 1) => self.run_control(fabric, slot),
                    (_, endpoint) => assert_eq!(endpoint, self.endpoint),
                }
            }
            _ if offset >= RUNTIME => match offset - RUNTIME {
                IMAN => assert_eq!(value & IMAN_IE, 0),
                ERSTSZ => assert_eq!(value, 1),
                ERDP => self.dequeue = half(self.dequeue, false) & !0xf,
                0x3c => self.dequeue = half(self.dequeue, true),
                ERSTBA => self.table = half(self.table, false),
                0x34 => {
                    self.table = half(self.table, true);
                    let entry: [u8; 16] = fabric.read(self.table);
                    self.events = (0, u64::from(word(entry, 2)));
                }
                other => panic!("runtime write of {other:#x}"),
            },
            _ => match offset - OPERATIONAL {
                USBCMD if value & USBCMD_HCRST != 0 => {
                    assert!(self.never_halts || !self.is_running(), "a running controller must not be reset");
                    if self.is_stuck {
                        self.command = value;
                    } else {
                        self.reset();
                    }
                }
                USBCMD => {
                    self.command = value;
                    if value & USBCMD_RS != 0 {
                        self.status &= !USBSTS_HCH;
                    } else if !self.never_halts {
                        self.status |= USBSTS_HCH;
                    }
                }
                CONFIG => self.config = value,
                CRCR => self.commands = Ring { dequeue: half(0, false) & !0x3f, cycle: value & 1 },
                0x1c => self.commands.dequeue = half(self.commands.dequeue, true),
                DCBAAP => self.contexts = half(self.contexts, false),
                0x34 => self.contexts = half(self.contexts, true),
                port if port >= PORTSC => {
                    let status = &mut self.port_status[((port - PORTSC) / 16) as usize];
                    *status &= !(value & PORTSC_CHANGES);
                    if value & PORTSC_PR != 0 {
                        *status |= PORTSC_PED | 1 << 21;
                    }
                    assert_eq!(value & PORTSC_PED, 0, "that disables the port");
                }
                other => panic!("operational write of {other:#x}"),
            },
        }
    }

    fn advance(&mut self, fabric: &mut Fabric, now_us: u64) {
        let works = self.idle != 0 && self.endpoint != 0 && self.is_running() && fabric.bus_master.get();
        if !works || self.is_still {
            self.due_us = now_us + 4_000;
            return;
        }
        while self.due_us <= now_us {
            if self.is_refused(fabric) {
                return;
            }
            if self.is_full() {
                self.due_us = now_us + 1;
                return;
            }
            self.report(fabric);
            self.due_us += 4_000 * u64::from(self.idle);
        }
    }
}
