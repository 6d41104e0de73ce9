extern crate std;
use super::*;
use crate::fake::*;
use crate::frame::Frame;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

const NOTIFY: u64 = 0x3000;
const DEVICE: u64 = 0x2000;

#[derive(Clone, Copy, Default, Debug, PartialEq)]
struct Truth {
    delivered: u64,
    mis_steered: u64,
}

/// A device that uses a buffer each `every_us`, and knows itself what became of it.
struct Model {
    kind: Kind,
    offered: u64,
    accepted: u64,
    half: [u32; 2],
    status: u8,
    most: u16,
    size: u16,
    queue: [u64; 3],
    is_enabled: bool,
    sectors: u64,
    next: u16,
    /// Requests that a disk has taken.
    taken: VecDeque<u16>,
    used: u16,
    every_us: u64,
    due_us: u64,
    sequence: u64,
    /// Frames of others, in bytes, in between.
    foreign: Vec<usize>,
    truth: Truth,
    notifications: usize,
    is_still: bool,
    is_stuck: bool,
    is_gone: bool,
    refuses_features: bool,
}

impl Model {
    fn new(device: &Virtio) -> Self {
        Self {
            kind: device.kind,
            offered: VERSION_1 | ACCESS_PLATFORM | ORDER_PLATFORM | MRG_RXBUF | 1 << 5,
            accepted: 0,
            half: [0; 2],
            status: 0,
            most: if device.kind == Kind::Entropy { 8 } else { 256 },
            size: 0,
            queue: [0; 3],
            is_enabled: false,
            sectors: 3,
            next: 0,
            taken: VecDeque::new(),
            used: 0,
            every_us: if device.kind == Kind::Entropy { 25_000 } else { 1_000 },
            due_us: 0,
            sequence: 0,
            foreign: Vec::new(),
            truth: Truth::default(),
            notifications: 0,
            is_still: false,
            is_stuck: false,
            is_gone: false,
            refuses_features: false,
        }
    }

    fn reset(&mut self) {
        (self.status, self.is_enabled, self.queue) = (0, false, [0; 3]);
        self.taken.clear();
        (self.size, self.next, self.used, self.accepted) = (self.most, 0, 0, 0);
    }

    fn put(&mut self, fabric: &mut Fabric, id: u16, bytes: u32) {
        let at = self.queue[2] + 4 + 8 * u64::from(self.used % self.size);
        let mut entry = u32::from(id).to_le_bytes().to_vec();
        entry.extend(bytes.to_le_bytes());
        fabric.write(at, &entry);
        self.used = self.used.wrapping_add(1);
        fabric.write(self.queue[2] + 2, &self.used.to_le_bytes());
    }

    /// Looks for the next buffer.
    fn take(&mut self, fabric: &mut Fabric) -> Option<u16> {
        let index = u16::from_le_bytes(fabric.read(self.queue[1] + 2));
        if index.wrapping_sub(self.next) > self.size {
            // A ring that cannot be read says nonsense.
            self.status |= NEEDS_RESET;
            return None;
        }
        if index == self.next {
            return None;
        }
        let head = u16::from_le_bytes(fabric.read(self.queue[1] + 4 + 2 * u64::from(self.next % self.size)));
        self.next = self.next.wrapping_add(1);
        Some(head)
    }

    /// One buffer; whether it lies in the identity window. `None` where there is none.
    fn fill(&mut self, fabric: &mut Fabric, data: &[u8]) -> Option<bool> {
        let head = if self.kind == Kind::Block { self.taken.pop_front() } else { self.take(fabric) }?;
        let (mut at, mut is_identity) = (head, false);
        loop {
            let descriptor: [u8; 16] = fabric.read(self.queue[0] + 16 * u64::from(at));
            let address = u64::from_le_bytes(descriptor[..8].try_into().unwrap());
            let bytes = u32::from_le_bytes(descriptor[8..12].try_into().unwrap()) as usize;
            let flags = u16::from_le_bytes(descriptor[12..14].try_into().unwrap());
            if flags & WRITE == 0 {
                let request: [u8; 16] = fabric.read(address);
                assert_eq!(request, [0; 16], "not a read of sector 0");
            } else if bytes == 1 {
                fabric.write(address, &[0]);
            } else {
                assert!(data.len() <= bytes);
                is_identity = (RMR.0..RMR.0 + 0x1_0000).contains(&address);
                fabric.write(address, data);
            }
            if flags & NEXT == 0 {
                break;
            }
            at = u16::from_le_bytes(descriptor[14..].try_into().unwrap());
        }
        self.put(fabric, head, data.len() as u32);
        Some(is_identity)
    }

    fn use_one(&mut self, fabric: &mut Fabric) -> bool {
        self.sequence += 1;
        let content = match self.kind {
            // Never what a buffer is filled with while nothing has come: real random bytes are that once in 2^512.
            Kind::Entropy => vec![self.sequence as u8 & 0x7f | 1; 64],
            Kind::Block => vec![0; 512],
            Kind::Network => {
                let mut frame = vec![0; 12];
                match self.foreign.pop() {
                    Some(bytes) => {
                        frame.extend([0xff; 6]);
                        frame.resize(12 + bytes, 0x11);
                    }
                    None => frame.extend(Frame { stream: 7, sequence: self.sequence }.encode()),
                }
                frame
            }
        };
        let room = if self.kind == Kind::Network { 256 } else { 512 };
        let mut first = None;
        for piece in content.chunks(room) {
            let Some(is_identity) = self.fill(fabric, piece) else {
                self.sequence -= 1;
                return false;
            };
            first = first.or(Some(is_identity));
        }
        match (fabric.mode, first) {
            (Mode::Bypass, Some(false)) => self.truth.mis_steered += 1,
            (Mode::Block, _) => {}
            _ => self.truth.delivered += 1,
        }
        true
    }
}

impl Device for Model {
    fn read(&mut self, _fabric: &mut Fabric, offset: u64, bytes: u8) -> u32 {
        if self.is_gone {
            return u32::MAX;
        }
        match (offset, bytes) {
            (DEVICE_FEATURE, 4) => (self.offered >> (32 * self.half[0])) as u32,
            (DEVICE_STATUS, 1) => self.status.into(),
            (QUEUE_SIZE, 2) => self.size.into(),
            (QUEUE_ENABLE, 2) => self.is_enabled.into(),
            (QUEUE_NOTIFY_OFF, 2) => 2,
            (DEVICE, 4) => self.sectors as u32,
            (0x2004, 4) => 0,
            other => panic!("read of {other:x?}"),
        }
    }

    fn write(&mut self, fabric: &mut Fabric, offset: u64, bytes: u8, value: u32) {
        match (offset, bytes) {
            (DEVICE_FEATURE_SELECT, 4) => self.half[0] = value,
            (DRIVER_FEATURE_SELECT, 4) => self.half[1] = value,
            (DRIVER_FEATURE, 4) => self.accepted |= u64::from(value) << (32 * self.half[1]),
            (DEVICE_STATUS, 1) if value == 0 => {
                if !self.is_stuck {
                    self.reset();
                }
            }
            (DEVICE_STATUS, 1) => {
                self.status = value as u8;
                if self.refuses_features {
                    self.status &= !FEATURES_OK;
                }
            }
            (CONFIG_MSIX_VECTOR | QUEUE_MSIX_VECTOR, 2) => assert_eq!(value, 0xffff),
            (QUEUE_SELECT, 2) => assert_eq!(value, 0),
            (QUEUE_SIZE, 2) => self.size = value as u16,
            (QUEUE_ENABLE, 2) => self.is_enabled = value == 1,
            (0x20..0x38, 4) => {
                let (field, shift) = ((offset - 0x20) / 8, 8 * (offset & 4));
                self.queue[field as usize] |= u64::from(value) << shift;
            }
            (0x3008, 2) => {
                assert_eq!(self.status & DRIVER_OK, DRIVER_OK, "notified before DRIVER_OK");
                self.notifications += 1;
                while self.kind == Kind::Block
                    && let Some(head) = self.take(fabric)
                {
                    self.taken.push_back(head);
                }
            }
            other => panic!("write of {other:x?}"),
        }
    }

    fn advance(&mut self, fabric: &mut Fabric, now_us: u64) {
        let works = self.status & (DRIVER_OK | NEEDS_RESET) == DRIVER_OK && fabric.bus_master.get();
        if !works || !self.is_enabled || self.is_still || self.is_gone {
            self.due_us = now_us + self.every_us;
            return;
        }
        while self.due_us <= now_us {
            if !self.use_one(fabric) {
                self.due_us = now_us + 1;
                return;
            }
            self.due_us += self.every_us;
        }
    }
}

fn capability(config: &mut Config, at: usize, kind: u8, bar: u8, place: (u32, u32), next: u8) {
    config.page[at..at + 4].copy_from_slice(&[VENDOR_SPECIFIC, next, 16, kind]);
    config.page[at + 4] = bar;
    config.page[at + 8..at + 12].copy_from_slice(&place.0.to_le_bytes());
    config.page[at + 12..at + 16].copy_from_slice(&place.1.to_le_bytes());
}

fn config(device: &Virtio) -> Config {
    let mut config = Config { bar: (4, 0x4000), ..Config::new(0x1af4, device.device, 0x00_ff00) };
    config.page[6] = 0x10;
    config.page[0x34] = 0x40;
    // A window on the structures in configuration space comes first, and a structure in another BAR.
    capability(&mut config, 0x40, 5, 0, (0, 0), 0x54);
    capability(&mut config, 0x54, COMMON_CFG, 2, (0, 0x1000), 0x64);
    capability(&mut config, 0x64, COMMON_CFG, 4, (0, 0x1000), 0x74);
    capability(&mut config, 0x74, NOTIFY_CFG, 4, (NOTIFY as u32, 0x1000), 0x88);
    config.page[0x84] = 4;
    capability(&mut config, 0x88, DEVICE_CFG, 4, (DEVICE as u32, 0x1000), 0);
    config
}

fn armed_with(device: &Virtio, model: Model, rmr: bool) -> (Config, Board<Model>, Stream) {
    let mut config = config(device);
    let mut stream = stream(rmr);
    let mut board = Board::new(model, &stream, Rc::clone(&config.bus_master));
    device.arm(&mut config, &mut board, &mut stream).unwrap();
    (config, board, stream)
}

fn armed(device: &Virtio, rmr: bool) -> (Config, Board<Model>, Stream) {
    armed_with(device, Model::new(device), rmr)
}

fn sample_still(device: &Virtio, board: &mut Board<Model>, stream: &mut Stream) -> Truth {
    board.device.is_still = true;
    device.sample(board, stream);
    board.device.is_still = false;
    board.device.truth
}

fn totals(stream: &Stream) -> Truth {
    assert_eq!(stream.totals.attempted, stream.totals.delivered + stream.totals.mis_steered);
    Truth { delivered: stream.totals.delivered, mis_steered: stream.totals.mis_steered }
}

const ALL: [(&Virtio, bool); 5] = [(&RNG, false), (&RNG, true), (&NET, false), (&NET, true), (&BLK, false)];

#[test]
fn a_translated_stream_delivers_every_buffer() {
    for (device, rmr) in ALL {
        let (config, mut board, mut stream) = armed(device, rmr);
        assert!(config.bus_master.get());
        assert!(stream.flags & STREAM_NO_ATTEMPTS != 0);
        let wanted = VERSION_1 | ACCESS_PLATFORM | ORDER_PLATFORM;
        let merges = if device.kind == Kind::Network { MRG_RXBUF } else { 0 };
        assert_eq!(board.device.accepted, wanted | merges);
        for _ in 0..40 {
            board.pass(50_000);
            assert_eq!(sample_still(device, &mut board, &mut stream), totals(&stream));
        }
        assert!(stream.totals.delivered >= 79, "{}: {:?}", device.name, stream.totals);
        assert_eq!((stream.totals.mis_steered, device.dry_samples(&stream), repeated_frames(&stream)), (0, 0, 0));
        assert_eq!(device.refusals(&stream), 0);
    }
}

#[test]
fn indices_of_16_bits_come_round() {
    let (_config, mut board, mut stream) = armed_with(&NET, Model { every_us: 25, ..Model::new(&NET) }, false);
    for _ in 0..360 {
        board.pass(5_000);
        sample_still(&NET, &mut board, &mut stream);
    }
    assert!(stream.totals.delivered > 1 << 16);
    assert_eq!(board.device.truth, totals(&stream));
}

#[test]
fn bypassed_buffers_are_told_apart_and_a_refusal_is_the_end() {
    for (device, rmr) in ALL {
        let (_config, mut board, mut stream) = armed(device, rmr);
        for mode in [Mode::Translate, Mode::Bypass, Mode::Translate, Mode::Bypass] {
            board.fabric.mode = mode;
            let before = stream.totals;
            for _ in 0..3 {
                board.pass(50_000);
                assert_eq!(sample_still(device, &mut board, &mut stream), totals(&stream), "{}", device.name);
            }
            let good = stream.totals.delivered - before.delivered;
            let stray = stream.totals.mis_steered - before.mis_steered;
            assert!(good + stray >= 5);
            match mode {
                Mode::Bypass if rmr => assert!(good.abs_diff(stray) <= 2, "{good} {stray}"),
                Mode::Bypass => assert_eq!(good, 0),
                _ => assert_eq!(stray, 0),
            }
        }
        board.fabric.mode = Mode::Block;
        board.pass(60_000);
        sample_still(device, &mut board, &mut stream);
        // A disk is asked by the first sample, and has answered by the second.
        sample_still(device, &mut board, &mut stream);
        let before = stream.totals;
        let refused = device.refusals(&stream);
        assert!(board.device.status & NEEDS_RESET != 0 && refused > 0);
        board.fabric.mode = Mode::Translate;
        board.pass(60_000);
        let since = stream;
        sample_still(device, &mut board, &mut stream);
        assert_eq!((stream.totals, device.refusals(&stream)), (before, refused + 1));
        assert_eq!(device.tried(&since, &stream), 1);
    }
}

#[test]
fn a_queue_used_up_stops_and_goes_on_after_the_sample() {
    for (device, most) in [(&RNG, 8), (&NET, 256), (&BLK, 85)] {
        let (_config, mut board, mut stream) = armed(device, false);
        board.pass(500_000);
        assert_eq!(sample_still(device, &mut board, &mut stream), totals(&stream));
        assert_eq!((stream.totals.delivered, device.dry_samples(&stream)), (most, 1));
        board.pass(60_000);
        assert_eq!(sample_still(device, &mut board, &mut stream), totals(&stream));
        assert!(stream.totals.delivered > most && device.dry_samples(&stream) == 1);
    }
}

#[test]
fn frames_of_others_are_counted_once_and_ours_by_their_numbers() {
    let model = Model { foreign: vec![1500, 60, 342, 244, 245], ..Model::new(&NET) };
    let (_config, mut board, mut stream) = armed_with(&NET, model, false);
    board.pass(20_000);
    assert_eq!(sample_still(&NET, &mut board, &mut stream), totals(&stream));
    assert!(board.device.foreign.is_empty());
    board.device.sequence -= 3;
    board.pass(20_000);
    let truth = sample_still(&NET, &mut board, &mut stream);
    assert_eq!(repeated_frames(&stream), 3);
    assert_eq!(totals(&stream).delivered + 3, truth.delivered);
}

#[test]
fn another_image_goes_on_from_the_state_alone() {
    for (device, rmr) in ALL {
        let (_config, mut board, mut stream) = armed(device, rmr);
        board.pass(60_000);
        device.sample(&mut board, &mut stream);
        let (mut copy, given) = (stream, board.device.notifications);
        board.pass(60_000);
        crate::by_id(device.id()).unwrap().sample(&mut board, &mut copy);
        assert!(copy.totals.delivered >= stream.totals.delivered + 2);
        assert_eq!(board.device.notifications, given + 1);
    }
}

#[test]
fn nothing_lands_after_quiesce_and_a_device_found_at_work_is_armed_anew() {
    for (device, rmr) in ALL {
        let (mut config, mut board, mut stream) = armed(device, rmr);
        board.pass(60_000);
        device.quiesce(&mut config, &mut board, &stream).unwrap();
        assert!(!config.bus_master.get());
        config.bus_master.set(true);
        let landed = board.fabric.landed;
        crate::poison(&mut board, &stream);
        board.pass(100_000);
        assert_eq!((board.fabric.landed, crate::first_landed(&mut board, &stream)), (landed, None));
        for _ in 0..2 {
            device.arm(&mut config, &mut board, &mut stream).unwrap();
            board.device.truth = Truth::default();
            board.pass(60_000);
            assert_eq!(sample_still(device, &mut board, &mut stream), totals(&stream));
            assert!(stream.totals.delivered >= 2);
        }
    }
}

#[test]
fn a_device_that_a_stranger_stopped_is_left_alone() {
    for (device, rmr) in ALL {
        let (mut config, mut board, mut stream) = armed(device, rmr);
        board.pass(60_000);
        sample_still(device, &mut board, &mut stream);
        let (totals, given) = (stream.totals, board.device.notifications);
        let identity = Function::new(&mut config, BDF).unwrap().identity();
        crate::stopper_for(&identity).unwrap().stop(&mut config, &mut board, BDF, REGISTERS).unwrap();
        for _ in 0..3 {
            board.pass(60_000);
            device.sample(&mut board, &mut stream);
        }
        assert_eq!((stream.totals, board.device.notifications), (totals, given));
        board.device.is_gone = true;
        device.sample(&mut board, &mut stream);
        assert_eq!(stream.totals, totals);
    }
}

fn arm_fails(device: &Virtio, model: Model, change: impl Fn(&mut Config)) -> DmaError {
    let mut config = config(device);
    change(&mut config);
    let mut stream = stream(false);
    let mut board = Board::new(model, &stream, Rc::clone(&config.bus_master));
    let error = device.arm(&mut config, &mut board, &mut stream).unwrap_err();
    assert!(!config.bus_master.get());
    board.pass(100_000);
    assert_eq!(board.fabric.landed, 0);
    error
}

#[test]
fn a_failed_arm_says_why_and_leaves_the_function_stopped() {
    let says = |error: DmaError, text: &str| assert!(std::format!("{error}").contains(text), "{error}");
    let no_change = |_: &mut Config| {};
    let model = || Model::new(&RNG);
    let past = Model { offered: VERSION_1, ..model() };
    says(arm_fails(&RNG, past, no_change), "ACCESS_PLATFORM: its DMA goes past the SMMU");
    says(arm_fails(&RNG, Model { offered: ACCESS_PLATFORM, ..model() }, no_change), "none of virtio 1");
    let unmerged = Model { offered: VERSION_1 | ACCESS_PLATFORM, ..Model::new(&NET) };
    says(arm_fails(&NET, unmerged, no_change), "merge receive buffers");
    says(arm_fails(&RNG, Model { refuses_features: true, ..model() }, no_change), "does not accept the features");
    says(arm_fails(&RNG, Model { most: 0, ..model() }, no_change), "no queue");
    says(arm_fails(&RNG, Model { most: 1, ..model() }, no_change), "less than two");
    says(arm_fails(&RNG, Model { is_stuck: true, status: 7, ..model() }, no_change), "virtio device_status");
    says(arm_fails(&RNG, Model { is_gone: true, ..model() }, no_change), "still reads 0xff");
    says(arm_fails(&BLK, Model { sectors: 0, ..Model::new(&BLK) }, no_change), "the disk has no sector");
    says(arm_fails(&RNG, model(), |config| config.page[0x34] = 0), "elsewhere than in BAR 4");
    says(arm_fails(&RNG, model(), |config| config.page[0x68] = 1), "elsewhere than in BAR 4");
    says(arm_fails(&RNG, model(), |config| config.page[0x6e] = 1), "elsewhere than in BAR 4");
    says(arm_fails(&RNG, model(), |config| config.page[0x85] = 0xff), "outside its structure");
    says(arm_fails(&RNG, model(), |config| config.page[0x89] = 0x40), "does not end");
    says(arm_fails(&RNG, model(), |config| (config.page[0x65], config.page[0x68]) = (0x40, 0)), "does not end");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn no_interleaving_loses_or_doubles_a_buffer(
        pick in 0usize..5,
        steps in prop::collection::vec((0u64..400_000, any::<bool>()), 1..24),
    ) {
        let (device, rmr) = ALL[pick];
        let (_config, mut board, mut stream) = armed(device, rmr);
        for (us, bypass) in steps {
            device.sample(&mut board, &mut stream);
            board.fabric.mode = if bypass { Mode::Bypass } else { Mode::Translate };
            board.pass(us);
        }
        prop_assert_eq!(sample_still(device, &mut board, &mut stream), totals(&stream));
    }

    #[test]
    fn a_nonsense_used_ring_is_survived_and_bounded(
        pick in 0usize..5,
        bytes in prop::collection::vec(any::<u8>(), 2..0x900),
        in_canary: bool,
    ) {
        let (device, rmr) = ALL[pick];
        let (_config, mut board, mut stream) = armed(device, rmr);
        board.device.is_still = true;
        let (size, buffers) = queue::sizes(&stream);
        for _ in 0..3 {
            let before = stream.totals.attempted;
            let at = if in_canary { CANARY } else { TARGET };
            board.copy_to(at.plus(USED_AT), &bytes);
            device.sample(&mut board, &mut stream);
            prop_assert!(stream.totals.attempted - before <= size.min(buffers));
        }
    }
}
