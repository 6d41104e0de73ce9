extern crate std;
use super::*;
use crate::fake::*;
use crate::xhci::device::{Hid, find_hid, interval_exponent};
use proptest::prelude::*;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

const OPERATIONAL: u64 = 0x20;
const RUNTIME: u64 = 0x1000;
const DOORBELLS: u64 = 0x2000;
const BAR_BYTES: u32 = 0x4000;
const LEGACY_AT: u64 = 0xf00;
const LEGACY_CONTROL_AT: u64 = LEGACY_AT + LEGACY_CONTROL;

const KEYBOARD: [u8; 34] = [
    9, 2, 34, 0, 1, 1, 0, 0xa0, 50, // configuration 1
    9, 4, 0, 0, 1, 3, 1, 1, 0, // HID interface 0
    9, 0x21, 0x11, 1, 0, 1, 0x22, 63, 0, // its report descriptor
    7, 5, 0x81, 3, 8, 0, 7, // interrupt IN
];
const STICK: [u8; 25] = [9, 2, 25, 0, 1, 1, 0, 0xa0, 50, 9, 4, 0, 0, 1, 8, 6, 80, 0, 7, 5, 0x81, 2, 0, 2, 0];

#[derive(Clone, Copy, Default, Debug, PartialEq)]
struct Truth {
    delivered: u64,
    mis_steered: u64,
}

#[derive(Clone, Copy, Default)]
struct Ring {
    dequeue: u64,
    cycle: u32,
}

/// A controller with one device on each root port, as the specification has it.
struct Controller {
    command: u32,
    status: u32,
    config: u32,
    contexts: u64,
    commands: Ring,
    table: u64,
    dequeue: u64,
    events: (u64, u64),
    event_cycle: u32,
    legacy: u32,
    port_status: Vec<u32>,
    devices: Vec<(u32, Vec<u8>)>,
    slot_port: Vec<usize>,
    control: Ring,
    packet_bytes: u32,
    transfers: Ring,
    endpoint: u32,
    idle: u8,
    due_us: u64,
    truth: Truth,
    /// The sender pauses.
    is_still: bool,
    is_stuck: bool,
    never_halts: bool,
    is_gone: bool,
    /// As QEMU's, it goes on after a refusal.
    goes_on: bool,
    refuses_idle: bool,
    csz: u32,
    pads: u32,
    /// Size of the default control endpoint at full speed.
    first_packet: u8,
    evaluated: bool,
    firmware_yields: bool,
}

fn word(bytes: [u8; 16], index: usize) -> u32 {
    u32::from_le_bytes(bytes[4 * index..4 * index + 4].try_into().unwrap())
}

impl Controller {
    fn new() -> Self {
        Self::with(vec![(3, KEYBOARD.to_vec())])
    }

    fn with(devices: Vec<(u32, Vec<u8>)>) -> Self {
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

    fn reset(&mut self) {
        self.status = USBSTS_HCH;
        self.command = 0;
        (self.contexts, self.table, self.dequeue, self.endpoint, self.idle) = (0, 0, 0, 0, 0);
        (self.events, self.event_cycle) = ((0, 0), 1);
        self.slot_port.clear();
        for (port, (speed, _)) in self.port_status.iter_mut().zip(&self.devices) {
            *port = if *speed == 0 { PORTSC_PP } else { PORTSC_PP | PORTSC_CCS | *speed << 10 | 1 << 17 };
        }
    }

    fn is_running(&self) -> bool {
        self.status & USBSTS_HCH == 0
    }

    /// Refused DMA is a Host System Error.
    fn is_refused(&mut self, fabric: &Fabric) -> bool {
        if fabric.mode == Mode::Block && self.goes_on {
            self.status |= 1 << 12;
        } else if fabric.mode == Mode::Block {
            self.status |= USBSTS_HCH | 1 << 2;
            self.command &= !USBCMD_RS;
        }
        !self.is_running()
    }

    fn fetch(&self, fabric: &mut Fabric, ring: Ring) -> Option<([u8; 16], Ring)> {
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

    fn is_full(&self) -> bool {
        (self.events.0 + 1) % self.events.1 == (self.dequeue - self.event_start()) / 16
    }

    fn event_start(&self) -> u64 {
        CANARY.0 + EVENTS_AT
    }

    fn event(&mut self, fabric: &mut Fabric, pointer: u64, code: u32, control: u32) {
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

    fn context(&self, fabric: &mut Fabric, input: u64, index: u64) -> [u8; 16] {
        fabric.read(input + (if self.csz == 0 { 32 } else { 64 }) * index)
    }

    fn run_commands(&mut self, fabric: &mut Fabric) {
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

    fn run_control(&mut self, fabric: &mut Fabric, slot: u32) {
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

    fn report(&mut self, fabric: &mut Fabric) {
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

fn config() -> Config {
    Config { bar: (0, BAR_BYTES), ..Config::new(0x1b36, 0x000d, 0x0c_0330) }
}

fn armed_with(controller: Controller, rmr: bool) -> (Config, Board<Controller>, Stream) {
    let mut config = config();
    let mut stream = stream_of(rmr, WINDOW_BYTES);
    let mut board = Board::new(controller, &stream, Rc::clone(&config.bus_master));
    Xhci.arm(&mut config, &mut board, &mut stream).unwrap();
    (config, board, stream)
}

fn armed(rmr: bool) -> (Config, Board<Controller>, Stream) {
    armed_with(Controller::new(), rmr)
}

fn sample_still(board: &mut Board<Controller>, stream: &mut Stream) -> Truth {
    board.device.is_still = true;
    Xhci.sample(board, stream);
    board.device.is_still = false;
    board.device.truth
}

fn totals(stream: &Stream) -> Truth {
    assert_eq!(stream.totals.attempted, stream.totals.delivered + stream.totals.mis_steered);
    Truth { delivered: stream.totals.delivered, mis_steered: stream.totals.mis_steered }
}

#[test]
fn a_translated_stream_delivers_every_report() {
    for rmr in [false, true] {
        let (config, mut board, mut stream) = armed(rmr);
        assert!(config.bus_master.get());
        assert!(stream.flags & STREAM_NO_ATTEMPTS != 0);
        assert_eq!(board.device.legacy & (LEGACY_BIOS_OWNED | LEGACY_OS_OWNED), LEGACY_OS_OWNED);
        for _ in 0..30 {
            board.pass(33_333);
            assert_eq!(sample_still(&mut board, &mut stream), totals(&stream));
        }
        assert!(stream.totals.delivered > 3 * REPORTS, "the ring wrapped: {:?}", stream.totals);
        assert_eq!((stream.totals.mis_steered, Xhci.dry_samples(&stream)), (0, 0));
        assert_eq!(events_seen(&stream), (stream.totals.delivered, 0));
    }
}

#[test]
fn bypassed_reports_are_told_apart_and_a_refusal_is_the_end() {
    for rmr in [false, true] {
        let (_config, mut board, mut stream) = armed(rmr);
        for mode in [Mode::Translate, Mode::Bypass, Mode::Translate, Mode::Bypass] {
            board.fabric.mode = mode;
            let before = stream.totals;
            board.pass(80_000);
            assert_eq!(sample_still(&mut board, &mut stream), totals(&stream));
            let (good, stray) =
                (stream.totals.delivered - before.delivered, stream.totals.mis_steered - before.mis_steered);
            assert!(good + stray >= 18);
            match mode {
                Mode::Bypass if rmr => assert!(good.abs_diff(stray) <= 3, "{good} {stray}"),
                Mode::Bypass => assert_eq!(good, 0),
                _ => assert_eq!(stray, 0),
            }
        }
        board.fabric.mode = Mode::Block;
        assert_eq!(Xhci.refusals(&stream), 0);
        board.pass(50_000);
        sample_still(&mut board, &mut stream);
        let since = stream;
        board.fabric.mode = Mode::Translate;
        board.pass(50_000);
        sample_still(&mut board, &mut stream);
        assert_eq!((stream.totals, Xhci.refusals(&stream)), (since.totals, 2));
        assert_eq!(Xhci.tried(&since, &stream), 1);
    }
}

#[test]
fn a_controller_that_goes_on_gives_one_sign_of_a_refusal() {
    let (_config, mut board, mut stream) = armed_with(Controller { goes_on: true, ..Controller::new() }, false);
    board.pass(20_000);
    sample_still(&mut board, &mut stream);
    board.fabric.mode = Mode::Block;
    board.pass(5_000);
    sample_still(&mut board, &mut stream);
    assert_eq!(Xhci.refusals(&stream), 1);
    board.fabric.mode = Mode::Translate;
    let before = stream.totals.delivered;
    for _ in 0..20 {
        board.pass(5_000);
        sample_still(&mut board, &mut stream);
    }
    assert_eq!(Xhci.refusals(&stream), 1);
    assert!(stream.totals.delivered >= before + 20);
    board.fabric.mode = Mode::Block;
    for _ in 0..20 {
        board.pass(5_000);
        sample_still(&mut board, &mut stream);
    }
    assert!((4..=6).contains(&Xhci.refusals(&stream)), "{}", Xhci.refusals(&stream));
}

#[test]
fn a_full_event_ring_stops_the_controller_until_the_sample() {
    let (_config, mut board, mut stream) = armed(true);
    board.pass(900_000);
    assert_eq!(sample_still(&mut board, &mut stream), totals(&stream));
    assert!((REPORTS - 2..=REPORTS).contains(&stream.totals.delivered), "{:?}", stream.totals);
    assert_eq!(Xhci.dry_samples(&stream), 1);
    let before = stream.totals.delivered;
    board.pass(200_000);
    assert_eq!(sample_still(&mut board, &mut stream), totals(&stream));
    assert!(stream.totals.delivered >= before + 48);
    assert_eq!(Xhci.dry_samples(&stream), 1);
}

#[test]
fn another_image_goes_on_from_the_state_alone() {
    let (_config, mut board, mut stream) = armed(true);
    board.pass(20_000);
    Xhci.sample(&mut board, &mut stream);
    let mut copy = stream;
    board.pass(200_000);
    crate::by_id(Xhci.id()).unwrap().sample(&mut board, &mut copy);
    assert!(copy.totals.delivered >= stream.totals.delivered + 48);
}

#[test]
fn nothing_lands_after_quiesce_and_a_running_controller_is_armed_anew() {
    let (mut config, mut board, mut stream) = armed(false);
    board.pass(20_000);
    Xhci.quiesce(&mut config, &mut board, &stream).unwrap();
    assert!(!config.bus_master.get());
    config.bus_master.set(true);
    let landed = board.fabric.landed;
    crate::poison(&mut board, &stream);
    board.pass(100_000);
    assert_eq!((board.fabric.landed, crate::first_landed(&mut board, &stream)), (landed, None));
    for _ in 0..2 {
        Xhci.arm(&mut config, &mut board, &mut stream).unwrap();
        board.device.truth = Truth::default();
        board.pass(50_000);
        assert_eq!(sample_still(&mut board, &mut stream), totals(&stream));
        assert!(stream.totals.delivered >= 12);
    }
}

#[test]
fn a_controller_that_a_stranger_stopped_counts_nothing_and_is_left_alone() {
    let (mut config, mut board, mut stream) = armed(true);
    board.pass(20_000);
    sample_still(&mut board, &mut stream);
    let totals = stream.totals;
    let identity = Function::new(&mut config, BDF).unwrap().identity();
    crate::stopper_for(&identity).unwrap().stop(&mut config, &mut board, BDF, REGISTERS).unwrap();
    for _ in 0..3 {
        board.pass(100_000);
        Xhci.sample(&mut board, &mut stream);
    }
    assert_eq!((stream.totals, board.device.dequeue), (totals, 0));
    board.device.is_gone = true;
    Xhci.sample(&mut board, &mut stream);
    assert_eq!(stream.totals, totals);
}

#[test]
fn a_full_speed_device_says_its_packet_size_and_ports_of_no_use_are_passed_over() {
    for (first_packet, evaluated) in [(8, false), (64, true)] {
        let devices = vec![(0, Vec::new()), (3, STICK.to_vec()), (1, KEYBOARD.to_vec())];
        let controller = Controller { first_packet, csz: CSZ, pads: 16, ..Controller::with(devices) };
        let (_config, mut board, mut stream) = armed_with(controller, false);
        assert_eq!(board.device.evaluated, evaluated);
        board.pass(50_000);
        assert_eq!(sample_still(&mut board, &mut stream), totals(&stream));
        assert!(stream.totals.delivered >= 12);
    }
}

fn arm_fails(controller: Controller) -> DmaError {
    let mut config = config();
    let mut stream = stream_of(false, WINDOW_BYTES);
    let mut board = Board::new(controller, &stream, Rc::clone(&config.bus_master));
    let error = Xhci.arm(&mut config, &mut board, &mut stream).unwrap_err();
    assert!(!config.bus_master.get());
    let landed = board.fabric.landed;
    board.pass(50_000);
    assert_eq!(board.fabric.landed, landed);
    error
}

#[test]
fn a_failed_arm_says_why_and_leaves_the_function_stopped() {
    let error = arm_fails(Controller { is_stuck: true, ..Controller::new() });
    assert!(matches!(error, DmaError::Timeout { what: "xHCI USBCMD.HCRST", .. }), "{error}");
    let error = arm_fails(Controller { is_gone: true, ..Controller::new() });
    assert!(matches!(error, DmaError::Timeout { what: "xHCI USBSTS.CNR", .. }), "{error}");
    let none = DmaError::Unsupported("no HID device (keyboard, mouse) on a root port");
    assert_eq!(arm_fails(Controller::with(vec![(0, Vec::new())])), none);
    assert_eq!(arm_fails(Controller::with(vec![(3, STICK.to_vec())])), none);
    assert_eq!(arm_fails(Controller { refuses_idle: true, ..Controller::new() }), host::REFUSED);
    let error = arm_fails(Controller { pads: 31, csz: CSZ, ..Controller::with(vec![(0, Vec::new()); 100]) });
    assert_eq!(error, none);
}

#[test]
fn a_controller_that_does_not_halt_and_firmware_that_does_not_yield_do_not_stop_the_driver() {
    let controller = Controller { never_halts: true, firmware_yields: false, status: 0, ..Controller::new() };
    let (_config, mut board, mut stream) = armed_with(controller, false);
    board.pass(50_000);
    assert_eq!(sample_still(&mut board, &mut stream), totals(&stream));
}

#[test]
fn registers_past_the_bar_are_never_touched() {
    let mut config = Config { bar: (0, 0x1000), ..config() };
    let mut stream = stream_of(false, WINDOW_BYTES);
    let mut board = Board::new(Controller::new(), &stream, Rc::clone(&config.bus_master));
    let error = Xhci.arm(&mut config, &mut board, &mut stream).unwrap_err();
    assert!(matches!(error, DmaError::Unsupported(text) if text.contains("BAR")), "{error}");
}

#[test]
fn intervals_are_powers_of_two_of_125_us() {
    assert_eq!([1, 7, 10, 255, 0].map(|interval| interval_exponent(1, interval)), [3, 5, 6, 10, 3]);
    assert_eq!([1, 4, 16, 255, 0].map(|interval| interval_exponent(3, interval)), [0, 3, 15, 15, 0]);
}

#[test]
fn the_hid_endpoint_is_found_behind_others() {
    let hid = Hid { configuration: 1, interface: 0, endpoint: 1, packet_bytes: 8, interval: 7 };
    assert_eq!(find_hid(&KEYBOARD), Some(hid));
    assert_eq!(find_hid(&STICK), None);
    let mut both = STICK.to_vec();
    both.extend([9, 4, 1, 0, 1, 3, 0, 0, 0, 7, 5, 0x02, 3, 8, 0, 4, 7, 5, 0x83, 3, 4, 0, 4]);
    let second = Hid { interface: 1, endpoint: 3, packet_bytes: 4, interval: 4, ..hid };
    assert_eq!(find_hid(&both), Some(second));
}

proptest! {
    #[test]
    fn arbitrary_descriptors_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        if let Some(hid) = find_hid(&bytes) {
            prop_assert!((1..16).contains(&hid.endpoint) && (1..=64).contains(&hid.packet_bytes));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn no_interleaving_loses_or_doubles_a_report(
        rmr: bool,
        steps in prop::collection::vec((0u64..300_000, any::<bool>()), 1..24),
    ) {
        let (_config, mut board, mut stream) = armed(rmr);
        for (us, bypass) in steps {
            Xhci.sample(&mut board, &mut stream);
            board.fabric.mode = if bypass { Mode::Bypass } else { Mode::Translate };
            board.pass(us);
        }
        prop_assert_eq!(sample_still(&mut board, &mut stream), totals(&stream));
    }
}
