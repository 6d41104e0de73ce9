extern crate std;
use super::*;
use crate::fake::*;
use crate::frame::Frame;
use crate::window::POISON;
use proptest::prelude::*;
use std::cell::Cell;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

/// A MAC that receives a frame each `every_us`, and knows itself what became of them.
struct Mac {
    chip: Chip,
    queue: u64,
    ring_bytes: u32,
    /// Registers that say which pools receive.
    pools: Vec<(u64, u32)>,
    /// Good packets of one pool: reading does not clear it.
    pool_good: u32,
    head: u64,
    tail: u64,
    ring: u64,
    control: u32,
    receive: u32,
    queue_control: u32,
    good: u32,
    has_link: bool,
    /// The link comes up when the PHY is told to negotiate.
    link_follows: bool,
    is_stuck: bool,
    station_is_valid: bool,
    /// A refused descriptor is skipped, as QEMU does it: one frame uses up the ring.
    burns: bool,
    every_us: u64,
    due_us: u64,
    sequence: u64,
    /// Frames of others, in bytes, in between.
    foreign: Vec<usize>,
    truth: Truth,
    tails_written: usize,
    /// The sender pauses.
    is_still: bool,
}

const ALL: [&IntelNic; 4] = [&E1000E, &IGB, &IGBVF, &I210];

#[derive(Clone, Copy, Default, Debug, PartialEq)]
struct Truth {
    attempted: u64,
    delivered: u64,
    mis_steered: u64,
}

impl Mac {
    fn new(nic: &IntelNic) -> Self {
        Self {
            chip: nic.chip,
            queue: nic.queue,
            ring_bytes: 0,
            pools: Vec::new(),
            // It wraps soon.
            pool_good: u32::MAX - 20,
            head: 0,
            tail: 0,
            ring: 0,
            control: 0,
            receive: 0,
            queue_control: 0,
            good: 0,
            has_link: true,
            link_follows: false,
            is_stuck: false,
            station_is_valid: nic.chip != Chip::Virtual,
            burns: false,
            every_us: 500,
            due_us: 0,
            sequence: 0,
            foreign: Vec::new(),
            truth: Truth::default(),
            tails_written: 0,
            is_still: false,
        }
    }

    fn free(&self) -> u64 {
        (self.tail + RING - self.head) % RING
    }

    fn is_receiving(&self, fabric: &Fabric) -> bool {
        let queue_on = self.chip == Chip::I82574 || self.queue_control & RXDCTL_ENABLE != 0;
        let receiver_on = self.chip == Chip::Virtual || self.receive & RCTL_EN != 0;
        !self.is_still && receiver_on && queue_on && fabric.bus_master.get()
    }

    /// One frame to memory; `false` where no descriptor is left for it.
    fn receive(&mut self, fabric: &mut Fabric, frame: &[u8]) -> bool {
        assert!(!self.station_is_valid);
        if (self.free() as usize) < frame.len().div_ceil(BUFFER_BYTES as usize) {
            return false;
        }
        self.truth.attempted += 1;
        let mut landed = None;
        for piece in frame.chunks(BUFFER_BYTES as usize) {
            loop {
                if self.free() == 0 {
                    return true;
                }
                let at = self.ring + self.head * DESCRIPTOR_BYTES;
                self.head = (self.head + 1) % RING;
                let descriptor: [u8; 16] = fabric.read(at);
                let address = u64::from_le_bytes(descriptor[..8].try_into().unwrap());
                if address == 0 && self.burns {
                    continue;
                }
                let is_identity = (RMR.0..RMR.0 + 0x1_0000).contains(&address);
                landed = landed.or(Some(is_identity));
                fabric.write(address, piece);
                // Written back: the advanced format overwrites the address.
                let mut back = descriptor;
                back[8] = piece.len() as u8;
                back[12] = 3;
                if self.chip != Chip::I82574 {
                    back[..8].fill(0xee);
                }
                fabric.write(at, &back);
                break;
            }
        }
        self.good += 1;
        self.pool_good = self.pool_good.wrapping_add(1);
        match (fabric.mode, landed) {
            (Mode::Translate, _) | (Mode::Bypass, Some(true)) => self.truth.delivered += 1,
            (Mode::Bypass, _) => self.truth.mis_steered += 1,
            (Mode::Block, _) => {}
        }
        true
    }

    fn next_frame(&mut self) -> Vec<u8> {
        self.sequence += 1;
        if let Some(bytes) = self.foreign.pop() {
            let mut frame = vec![0x11; bytes];
            frame[..6].fill(0xff);
            return frame;
        }
        Frame { stream: 7, sequence: self.sequence }.encode().to_vec()
    }
}

impl Device for Mac {
    fn read(&mut self, _fabric: &mut Fabric, offset: u64, _bytes: u8) -> u32 {
        match offset {
            CTRL => self.control,
            STATUS => {
                let link = if self.has_link { STATUS_LU } else { 0 };
                let master = if self.control & CTRL_GIO_MASTER_DISABLE == 0 { STATUS_GIO_MASTER_ENABLE } else { 0 };
                link | master
            }
            EECD => EECD_AUTO_RD,
            MDIC => MDIC_READY,
            RCTL => self.receive,
            GPRC if self.queue == QUEUE_82576 || self.chip == Chip::I82574 => core::mem::take(&mut self.good),
            VFGPRC if self.chip == Chip::Virtual => self.pool_good,
            PVFGPRC_7 if self.chip == Chip::I82576 => self.pool_good,
            // Reserved bits that are to stay.
            CTRL_EXT => 1 << 22,
            VMOLR..0x5af0 => 0x2600,
            _ if offset == self.queue + RDLEN => self.ring_bytes,
            _ if offset == self.queue + RDH => self.head as u32,
            _ if offset == self.queue + RXDCTL => self.queue_control,
            _ => panic!("read of {offset:#x}"),
        }
    }

    fn write(&mut self, _fabric: &mut Fabric, offset: u64, _bytes: u8, value: u32) {
        let in_queue = offset.wrapping_sub(self.queue);
        match offset {
            CTRL => {
                self.control = if self.is_stuck { value } else { value & !CTRL_RST };
                if value & CTRL_RST != 0 {
                    (self.head, self.tail, self.ring, self.receive, self.queue_control) = (0, 0, 0, 0, 0);
                    self.ring_bytes = 0;
                    self.station_is_valid = self.chip != Chip::Virtual;
                }
            }
            RCTL if self.chip != Chip::Virtual => self.receive = value,
            MRQC | VT_CTL | QDE | VFRE | CTRL_EXT | VMOLR..0x5af0 if self.chip == Chip::I82576 => {
                self.pools.push((offset, value));
            }
            VTEIMC if self.chip == Chip::Virtual => assert_eq!(value, u32::MAX),
            RAH0 => self.station_is_valid = value >> 31 != 0,
            IMC => assert_eq!(value, u32::MAX),
            RAL0 => {}
            MDIC if self.chip != Chip::I210 => self.has_link |= self.link_follows,
            _ => match in_queue {
                RDBAL => self.ring = self.ring & !0xffff_ffff | u64::from(value),
                RDBAH => self.ring = self.ring & 0xffff_ffff | u64::from(value) << 32,
                RDLEN => self.ring_bytes = value,
                SRRCTL => assert!(self.chip != Chip::I82574),
                RDH => self.head = value.into(),
                RDT => {
                    self.tail = value.into();
                    self.tails_written += 1;
                }
                RXDCTL => self.queue_control = value,
                _ => panic!("write of {offset:#x}"),
            },
        }
    }

    fn advance(&mut self, fabric: &mut Fabric, now_us: u64) {
        if !self.is_receiving(fabric) {
            self.due_us = now_us + self.every_us;
            return;
        }
        while self.due_us <= now_us {
            let frame = self.next_frame();
            if !self.receive(fabric, &frame) {
                // Held back until there are descriptors.
                self.sequence -= 1;
                if frame.len() != 60 {
                    self.foreign.push(frame.len());
                }
                self.due_us = now_us + 1;
                return;
            }
            self.due_us += self.every_us;
        }
    }
}

fn armed_with(nic: &IntelNic, mac: Mac, rmr: bool) -> (Config, Board<Mac>, Stream) {
    let mut config = Config::new(0x8086, nic.devices[0], 0x02_0000);
    let mut stream = stream(rmr);
    let mut board = Board::new(mac, &stream, Rc::clone(&config.bus_master));
    nic.arm(&mut config, &mut board, &mut stream).unwrap();
    (config, board, stream)
}

fn armed(nic: &IntelNic, rmr: bool) -> (Config, Board<Mac>, Stream) {
    armed_with(nic, Mac::new(nic), rmr)
}

/// No frame while the CPU looks, so that the device's own count and the totals are of one instant.
fn sample_still(nic: &IntelNic, board: &mut Board<Mac>, stream: &mut Stream) -> Truth {
    board.device.is_still = true;
    nic.sample(board, stream);
    board.device.is_still = false;
    board.device.truth
}

fn totals(stream: &Stream) -> Truth {
    let totals = stream.totals;
    Truth { attempted: totals.attempted, delivered: totals.delivered, mis_steered: totals.mis_steered }
}

#[test]
fn a_translated_stream_delivers_every_frame() {
    for (nic, rmr) in ALL.into_iter().flat_map(|nic| [(nic, false), (nic, true)]) {
        let (config, mut board, mut stream) = armed(nic, rmr);
        assert!(config.bus_master.get());
        for _ in 0..30 {
            board.pass(33_333);
            assert_eq!(sample_still(nic, &mut board, &mut stream), totals(&stream));
        }
        assert!(stream.totals.delivered > 7 * RING, "the ring wrapped: {:?}", stream.totals);
        assert_eq!(stream.totals.attempted, stream.totals.delivered);
        assert_eq!((repeated_frames(&stream), nic.dry_samples(&stream)), (0, 0));
        assert_eq!(stream.state[STATE_SEQUENCE], board.device.sequence);
    }
}

#[test]
fn blocked_and_bypassed_frames_are_told_apart() {
    for (nic, rmr) in ALL.into_iter().flat_map(|nic| [(nic, false), (nic, true)]) {
        let (_config, mut board, mut stream) = armed(nic, rmr);
        for mode in [Mode::Translate, Mode::Block, Mode::Bypass, Mode::Translate, Mode::Bypass, Mode::Block] {
            board.fabric.mode = mode;
            let before = stream.totals;
            board.pass(50_000);
            assert_eq!(sample_still(nic, &mut board, &mut stream), totals(&stream));
            let attempted = stream.totals.attempted - before.attempted;
            assert!(attempted >= 98, "{attempted}");
            match mode {
                Mode::Translate => assert_eq!(stream.totals.delivered - before.delivered, attempted),
                Mode::Block => assert_eq!(stream.totals.delivered, before.delivered),
                Mode::Bypass if rmr => {
                    assert!((stream.totals.mis_steered - before.mis_steered).abs_diff(attempted / 2) <= 1);
                }
                Mode::Bypass => assert_eq!(stream.totals.mis_steered - before.mis_steered, attempted),
            }
        }
    }
}

#[test]
fn a_blocked_frame_that_burns_the_ring_is_one_attempt() {
    let (_config, mut board, mut stream) = armed_with(&E1000E, Mac { burns: true, ..Mac::new(&E1000E) }, false);
    board.pass(10_000);
    board.fabric.mode = Mode::Block;
    board.pass(10_000);
    assert_eq!(sample_still(&E1000E, &mut board, &mut stream), totals(&stream));
    let (attempted, delivered) = (stream.totals.attempted, stream.totals.delivered);
    assert_eq!((attempted, delivered), (board.device.sequence, board.device.sequence - 1));
    assert_eq!(E1000E.dry_samples(&stream), 1);
    // The next one burns what was handed back.
    board.pass(10_000);
    assert_eq!(sample_still(&E1000E, &mut board, &mut stream), totals(&stream));
    assert_eq!(stream.totals.attempted, attempted + 1);
    board.fabric.mode = Mode::Translate;
    board.pass(50_000);
    assert_eq!(sample_still(&E1000E, &mut board, &mut stream), totals(&stream));
    assert!(stream.totals.delivered > delivered + 90);
}

#[test]
fn a_ring_used_up_stops_without_attempts_and_goes_on_after_the_sample() {
    for nic in ALL {
        let (_config, mut board, mut stream) = armed(nic, true);
        board.pass(500_000);
        assert_eq!(sample_still(nic, &mut board, &mut stream), totals(&stream));
        assert_eq!(stream.totals.attempted, RING - 1);
        assert_eq!(nic.dry_samples(&stream), 1);
        board.pass(50_000);
        assert_eq!(sample_still(nic, &mut board, &mut stream), totals(&stream));
        assert!(stream.totals.attempted > RING + 90);
    }
}

#[test]
fn frames_of_others_are_counted_once_however_many_buffers_they_take() {
    let mac = Mac { foreign: vec![342, 60, 1518, 1518, 257, 256], ..Mac::new(&E1000E) };
    let (_config, mut board, mut stream) = armed_with(&E1000E, mac, true);
    board.pass(20_000);
    assert_eq!(sample_still(&E1000E, &mut board, &mut stream), totals(&stream));
    assert_eq!(stream.totals.attempted, stream.totals.delivered);
    assert!(board.device.foreign.is_empty());
}

#[test]
fn a_sequence_number_is_counted_once() {
    let (_config, mut board, mut stream) = armed(&E1000E, false);
    board.pass(5_000);
    sample_still(&E1000E, &mut board, &mut stream);
    let before = stream.totals;
    board.device.sequence -= 3;
    board.pass(5_000);
    sample_still(&E1000E, &mut board, &mut stream);
    assert_eq!(repeated_frames(&stream), 3);
    assert_eq!(stream.totals.attempted, stream.totals.delivered);
    assert!(stream.totals.delivered - before.delivered >= 6);
}

#[test]
fn another_image_goes_on_from_the_state_alone() {
    let (_config, mut board, mut stream) = armed(&IGB, true);
    board.pass(20_000);
    IGB.sample(&mut board, &mut stream);
    let mut copy = stream;
    board.pass(20_000);
    let driver = crate::by_id(IGB.id()).unwrap();
    driver.sample(&mut board, &mut copy);
    assert!(copy.totals.delivered >= stream.totals.delivered + 39);
    assert_eq!(copy.totals.attempted, copy.totals.delivered);
}

#[test]
fn nothing_lands_after_quiesce_and_a_running_nic_is_armed_anew() {
    let (mut config, mut board, mut stream) = armed(&E1000E, false);
    board.pass(20_000);
    E1000E.quiesce(&mut config, &mut board, &stream).unwrap();
    assert!(!config.bus_master.get());
    config.bus_master.set(true);
    let landed = board.fabric.landed;
    crate::poison(&mut board, &stream);
    board.pass(100_000);
    assert_eq!(board.fabric.landed, landed);
    assert_eq!(crate::first_landed(&mut board, &stream), None);
    for (mode, at) in [(Mode::Translate, TARGET), (Mode::Bypass, CANARY)] {
        board.fabric.mode = mode;
        board.fabric.write(CANARY.0 + 0x1fffd, &[POISON, 0, 1]);
        assert_eq!(crate::first_landed(&mut board, &stream), Some(at.plus(0x1fffe)));
        crate::poison(&mut board, &stream);
    }
    board.fabric.mode = Mode::Translate;
    for _ in 0..2 {
        E1000E.arm(&mut config, &mut board, &mut stream).unwrap();
        assert_eq!(stream.totals.attempted, 0);
        board.device.truth = Truth::default();
        board.pass(20_000);
        sample_still(&E1000E, &mut board, &mut stream);
        assert!(stream.totals.delivered >= 39 && stream.totals.attempted == stream.totals.delivered);
    }
}

#[test]
fn a_nic_that_a_stranger_stopped_counts_nothing() {
    for nic in [&E1000E, &IGB] {
        let (mut config, mut board, mut stream) = armed(nic, true);
        board.pass(20_000);
        sample_still(nic, &mut board, &mut stream);
        let (totals, tails) = (stream.totals, board.device.tails_written);
        let identity = Function::new(&mut config, BDF).unwrap().identity();
        let stopper = crate::stopper_for(&identity).unwrap();
        stopper.stop(&mut config, &mut board, BDF, REGISTERS).unwrap();
        for _ in 0..3 {
            board.pass(20_000);
            nic.sample(&mut board, &mut stream);
        }
        assert_eq!((stream.totals, board.device.tails_written), (totals, tails));
        assert_eq!(nic.dry_samples(&stream), 0);
    }
}

#[test]
fn a_failed_arm_says_why_and_leaves_the_function_stopped() {
    let cases = [
        (Mac { has_link: false, ..Mac::new(&E1000E) }, "NIC STATUS.LU (link)"),
        (Mac { is_stuck: true, ..Mac::new(&E1000E) }, "NIC CTRL.RST"),
    ];
    for (mac, register) in cases {
        let mut config = Config::new(0x8086, 0x10d3, 0x02_0000);
        let mut stream = stream(false);
        let mut board = Board::new(mac, &stream, Rc::clone(&config.bus_master));
        let error = E1000E.arm(&mut config, &mut board, &mut stream).unwrap_err();
        assert!(matches!(error, DmaError::Timeout { what, .. } if what == register), "{error}");
        assert!(!config.bus_master.get());
        board.pass(10_000);
        assert_eq!(board.fabric.landed, 0);
    }
}

#[test]
fn a_link_that_is_down_is_negotiated() {
    armed_with(&IGB, Mac { has_link: false, link_follows: true, ..Mac::new(&IGB) }, false);
}

#[test]
fn what_a_device_does_that_ignores_its_command_register_is_counted() {
    for ignores in [false, true] {
        let (mut config, mut board, mut stream) = armed(&E1000E, false);
        board.pass(10_000);
        E1000E.sample(&mut board, &mut stream);
        let before = stream.totals;
        if ignores {
            // What stops others does not reach this one's engine.
            board.fabric.bus_master = Rc::new(Cell::new(true));
        }
        Function::new(&mut config, BDF).unwrap().set_bus_master(false);
        board.pass(10_000);
        E1000E.sample(&mut board, &mut stream);
        assert_eq!(stream.totals.delivered > before.delivered, ignores);
    }
}

#[test]
fn a_function_that_is_gone_counts_nothing() {
    let (_config, mut board, mut stream) = armed(&E1000E, false);
    board.fabric.bus_master.set(false);
    board.device.head = u64::from(u32::MAX);
    let tails = board.device.tails_written;
    E1000E.sample(&mut board, &mut stream);
    assert_eq!((stream.totals.attempted, board.device.tails_written), (0, tails));
}

#[test]
fn drivers_are_found_by_identity_and_by_number() {
    let identity = |device| Identity { vendor: 0x8086, device, class: 0x02_0000 };
    assert_eq!(crate::driver_for(&identity(0x10d3)).unwrap().name(), "e1000e");
    assert_eq!(crate::driver_for(&identity(0x10c9)).unwrap().name(), "igb");
    assert!(crate::driver_for(&identity(0x100e)).is_none());
    let hda = Identity { vendor: 0x1022, device: 0x1457, class: 0x04_0300 };
    assert_eq!(crate::driver_for(&hda).unwrap().name(), "hda");
    for driver in crate::DRIVERS {
        assert_eq!(crate::by_id(driver.id()).unwrap().name(), driver.name(), "numbers are unique");
        assert_eq!(driver.window_bytes() % 0x1_0000, 0);
    }
    assert!(crate::by_id(0).is_none());
}

/// An 82576 with three virtual functions: its last pool is its own, and each broadcast goes to all four.
#[test]
fn a_card_with_virtual_functions_works_in_its_own_pool() {
    let mut config = Config::new(0x8086, 0x10c9, 0x02_0000);
    let put =
        |config: &mut Config, at: usize, value: u32| config.page[at..at + 4].copy_from_slice(&value.to_le_bytes());
    let words = [(0x04, 1 << 20), (0x34, 0x40), (0x40, 0x0002_0010), (0x100, 0x0001_0010)];
    for (at, value) in words.into_iter().chain([(0x108, 1), (0x10c, 0x0008_0008), (0x110, 3), (0x114, 0x0002_0080)]) {
        put(&mut config, at, value);
    }
    let mut stream = stream(true);
    let mac = Mac { queue: QUEUE_82576 + 7 * 0x40, ..Mac::new(&IGB) };
    let mut board = Board::new(mac, &stream, Rc::clone(&config.bus_master));
    IGB.arm(&mut config, &mut board, &mut stream).unwrap();
    let last = |at| board.device.pools.iter().rfind(|(offset, _)| *offset == at).map(|(_, value)| *value);
    assert_eq!(last(VFRE), Some(0b1000_0111));
    assert_eq!((last(MRQC), last(VT_CTL)), (Some(3), Some(7 << 7 | 1 << 30)));
    assert_eq!(last(CTRL_EXT), Some(1 << 22 | 1 << 14));
    for pool in 0..8 {
        assert_eq!(last(VMOLR + 4 * pool), Some(0x2600 | 1 << 27 | 1 << 24));
    }
    for mode in [Mode::Translate, Mode::Block, Mode::Translate] {
        board.fabric.mode = mode;
        board.pass(50_000);
        assert_eq!(sample_still(&IGB, &mut board, &mut stream), totals(&stream));
    }
    assert!(stream.totals.delivered > 190 && stream.totals.attempted > 290, "{:?}", stream.totals);
}

#[test]
fn a_virtual_function_needs_its_own_at_work() {
    let mut config = Config::new(0xffff, 0xffff, 0x02_0000);
    let mut stream = stream(false);
    let mac = Mac { has_link: false, ..Mac::new(&IGBVF) };
    let mut board = Board::new(mac, &stream, Rc::clone(&config.bus_master));
    let error = IGBVF.arm(&mut config, &mut board, &mut stream).unwrap_err();
    assert!(matches!(error, DmaError::Timeout { what: "NIC STATUS.LU (link)", .. }), "{error}");
    assert!(!config.bus_master.get());
    board.device.has_link = true;
    IGBVF.arm(&mut config, &mut board, &mut stream).unwrap();
    assert!(config.bus_master.get());
    assert!(IGBVF.rank() < IGB.rank(), "it is armed after its own");
}

/// A reset of the physical function enables queue 0 and takes its ring: that is no DMA of the virtual function's.
#[test]
fn a_queue_that_lost_its_ring_attempts_nothing() {
    let (_config, mut board, mut stream) = armed(&IGBVF, false);
    board.pass(20_000);
    sample_still(&IGBVF, &mut board, &mut stream);
    let before = totals(&stream);
    (board.device.head, board.device.ring_bytes, board.device.pool_good) = (0, 0, 0);
    assert!(board.device.queue_control & RXDCTL_ENABLE != 0);
    sample_still(&IGBVF, &mut board, &mut stream);
    assert_eq!(totals(&stream), before);
}

/// The link begins once, and the MAC is not reset again for it.
#[test]
fn what_has_begun_is_not_begun_again() {
    let mut config = Config::new(0x8086, 0x10c9, 0x02_0000);
    let mut stream = stream(false);
    let mac = Mac { has_link: false, link_follows: true, ..Mac::new(&IGB) };
    let mut board = Board::new(mac, &stream, Rc::clone(&config.bus_master));
    IGB.begin(&mut config, &mut board, &mut stream);
    assert!(board.device.has_link && !config.bus_master.get());
    IGB.sample(&mut board, &mut stream);
    board.device.link_follows = false;
    let begun = board.now_us;
    IGB.arm(&mut config, &mut board, &mut stream).unwrap();
    assert!(board.now_us - begun < 15_000, "{}", board.now_us - begun);
    board.pass(20_000);
    sample_still(&IGB, &mut board, &mut stream);
    assert!(stream.totals.delivered > 30);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_interleaving_loses_or_doubles_a_frame(
        rmr: bool,
        nic in 0..ALL.len(),
        every_us in 3u64..2_000,
        access_us in 0u64..3,
        foreign in prop::collection::vec(60usize..1500, 0..6),
        steps in prop::collection::vec((0u64..40_000, 0u8..4), 1..40),
    ) {
        let nic = ALL[nic];
        let (_config, mut board, mut stream) = armed_with(nic, Mac { every_us, ..Mac::new(nic) }, rmr);
        board.access_us = access_us;
        // Long frames may straddle a sample, and both windows: only where every frame is delivered is that exact.
        let with_foreign = !foreign.is_empty();
        board.device.foreign = foreign;
        for (us, mode) in steps {
            // Frames come in while the CPU looks, and the mode changes between any two samples.
            nic.sample(&mut board, &mut stream);
            if !with_foreign {
                board.fabric.mode = [Mode::Translate, Mode::Block, Mode::Bypass, Mode::Translate][usize::from(mode)];
            }
            board.pass(us);
        }
        board.device.is_still = true;
        nic.sample(&mut board, &mut stream);
        prop_assert_eq!(totals(&stream), board.device.truth);
        prop_assert_eq!(repeated_frames(&stream), 0);
    }

    #[test]
    fn blocked_frames_that_burn_the_ring_are_one_attempt_each(
        rmr: bool,
        every_us in 3u64..2_000,
        steps in prop::collection::vec((0u64..40_000, any::<bool>()), 1..30),
    ) {
        let (_config, mut board, mut stream) = armed_with(&E1000E, Mac { every_us, burns: true, ..Mac::new(&E1000E) }, rmr);
        for (us, is_blocked) in steps {
            E1000E.sample(&mut board, &mut stream);
            board.fabric.mode = if is_blocked { Mode::Block } else { Mode::Translate };
            board.pass(us);
        }
        board.device.is_still = true;
        E1000E.sample(&mut board, &mut stream);
        prop_assert_eq!(totals(&stream), board.device.truth);
    }
}
