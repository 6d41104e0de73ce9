extern crate std;
use super::*;
use crate::fake::*;
use addr::Bdf;
use proptest::prelude::*;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

/// A controller with one codec: plain registers, and a capture stream that goes on with time.
struct Controller {
    registers: Vec<u8>,
    has_immediate: bool,
    rirb_wp: u16,
    /// Set by the codec verbs.
    converter_tag: u8,
    format: u16,
    /// Node that the verbs went to.
    converter_node: u8,
    /// Node of the analogue input; 7Fh: there is none.
    input_node: u8,
    /// What inputs can do.
    pcm: u32,
    is_stuck: bool,
    /// List as fetched at RUN; QEMU keeps it, silicon fetches again.
    list: Option<Vec<(u64, u32)>>,
    refetches: bool,
    position: u64,
    now_us: u64,
    started_us: u64,
    /// Bytes moved since RUN.
    moved: u64,
    /// DMA moves only in steps of so many bytes.
    grain: u64,
    /// What the microphone delivers.
    sample: [u8; 4],
    truth: Truth,
}

/// What the device knows of its own attempts.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
struct Truth {
    attempted: u64,
    delivered: u64,
    mis_steered: u64,
}

impl Controller {
    fn new() -> Self {
        let mut controller = Self {
            registers: vec![0; 0x4000],
            has_immediate: true,
            rirb_wp: 0,
            converter_tag: 0,
            format: 0,
            converter_node: 0,
            input_node: 4,
            pcm: PCM_48K_16,
            is_stuck: false,
            list: None,
            refetches: false,
            position: 0,
            now_us: 0,
            started_us: 0,
            moved: 0,
            grain: 4,
            sample: [0; 4],
            truth: Truth::default(),
        };
        controller.reset();
        controller
    }

    fn reset(&mut self) {
        self.registers.fill(0);
        self.put(GCAP, 0x4401);
        self.put(CORBSIZE, 0x42);
        self.put(RIRBSIZE, 0x42);
        self.list = None;
        self.rirb_wp = 0;
    }

    fn get(&self, at: u64) -> u32 {
        u32::from_le_bytes(self.registers[at as usize..at as usize + 4].try_into().unwrap())
    }

    fn put(&mut self, at: u64, value: u16) {
        self.registers[at as usize..at as usize + 2].copy_from_slice(&value.to_le_bytes());
    }

    fn codec(&mut self, command: u32) -> u32 {
        let (codec, node, verb) = (command >> 28, (command >> 20 & 0x7f) as u8, command & 0xf_ffff);
        assert_eq!(codec, 2, "a codec that is not there is asked");
        let input = self.input_node;
        match (node, verb) {
            // Root: group 1. Group: nodes 2 to 9.
            (0, 0xf0004) => 0x0001_0001,
            (1, 0xf0005) => 0x101,
            (1, 0xf0004) => 0x0002_0008,
            (1, 0xf000a) => self.pcm,
            (_, 0xf0009) if node == input => 0x0010_0000,
            // A digital input, which is second choice, and one that cannot do 48 kHz.
            (2, 0xf0009) => 0x0010_0211,
            (2, 0xf000a) => self.pcm,
            (3, 0xf0009) => 0x0010_0011,
            (3, 0xf000a) => 0x0002_0020,
            (_, 0xf0009) => 0x0040_0000,
            (_, _) if verb >> 16 == 2 => {
                self.format = verb as u16;
                0
            }
            (_, _) if verb >> 8 == 0x706 => {
                self.converter_node = node;
                self.converter_tag = (verb >> 4 & 0xf) as u8;
                0
            }
            _ => 0,
        }
    }

    fn is_running(&self) -> bool {
        let control = self.get(SD_CTL);
        control & SD_CTL_RUN != 0 && control >> 20 & 0xf == u32::from(self.converter_tag)
    }

    fn fetch_list(&self, fabric: &mut Fabric) -> Vec<(u64, u32)> {
        let base = u64::from(self.get(SD_BDPU)) << 32 | u64::from(self.get(SD_BDPL));
        (0..u64::from(self.get(SD_LVI) & 0xff) + 1)
            .map(|entry| {
                let raw: [u8; 16] = fabric.read(base + 16 * entry);
                (u64::from_le_bytes(raw[..8].try_into().unwrap()), u32::from_le_bytes(raw[8..12].try_into().unwrap()))
            })
            .collect()
    }

    fn move_word(&mut self, fabric: &mut Fabric) {
        let (mut entry, mut within) = (0, self.position);
        let list = self.list.as_ref().unwrap();
        while within >= u64::from(list[entry].1) {
            within -= u64::from(list[entry].1);
            entry += 1;
        }
        let address = list[entry].0 + within;
        let is_identity = (RMR.0..RMR.0 + 0x1_0000).contains(&address);
        fabric.write(address, &self.sample);
        self.truth.attempted += 4;
        match fabric.mode {
            Mode::Translate => self.truth.delivered += 4,
            Mode::Bypass if is_identity => self.truth.delivered += 4,
            Mode::Bypass => self.truth.mis_steered += 4,
            Mode::Block => {}
        }
        self.position = (self.position + 4) % u64::from(self.get(SD_CBL));
    }
}

impl Device for Controller {
    fn read(&mut self, _fabric: &mut Fabric, offset: u64, _bytes: u8) -> u32 {
        match offset {
            RIRBWP => self.rirb_wp.into(),
            SD_LPIB => self.position as u32,
            _ => self.get(offset),
        }
    }

    fn write(&mut self, fabric: &mut Fabric, offset: u64, bytes: u8, value: u32) {
        let was_running = self.is_running();
        if offset == GCTL && self.is_stuck {
            return;
        }
        let at = offset as usize;
        self.registers[at..at + usize::from(bytes)].copy_from_slice(&value.to_le_bytes()[..usize::from(bytes)]);
        match offset {
            GCTL if value & 1 == 0 => self.reset(),
            GCTL => self.put(STATESTS, 1 << 2),
            ICS if value as u16 & ICS_ICB != 0 && self.has_immediate => {
                let answer = self.codec(self.get(ICW));
                self.registers[IRR as usize..IRR as usize + 4].copy_from_slice(&answer.to_le_bytes());
                self.put(ICS, ICS_IRV);
            }
            ICS if value as u16 & ICS_IRV != 0 => self.put(ICS, 0),
            CORBWP if self.registers[CORBCTL as usize] & 2 != 0 => {
                let base = u64::from(self.get(CORBLBASE)) | u64::from(self.get(CORBUBASE)) << 32;
                let command = u32::from_le_bytes(fabric.read(base + 4 * u64::from(value)));
                let answer = self.codec(command);
                self.rirb_wp = (self.rirb_wp + 1) % 256;
                let base = u64::from(self.get(RIRBLBASE)) | u64::from(self.get(RIRBUBASE)) << 32;
                fabric.write(base + 8 * u64::from(self.rirb_wp), &answer.to_le_bytes());
            }
            RIRBWP => self.rirb_wp = 0,
            _ => {}
        }
        if self.is_running() && !was_running {
            assert_eq!(self.format, FORMAT_48K_16_STEREO);
            self.list = Some(self.fetch_list(fabric));
            self.position = 0;
            self.moved = 0;
            self.started_us = self.now_us;
        }
    }

    fn advance(&mut self, fabric: &mut Fabric, now_us: u64) {
        self.now_us = now_us;
        if !self.is_running() || self.list.is_none() {
            return;
        }
        let due = (now_us - self.started_us) * BYTES_PER_SECOND / 1_000_000 / self.grain * self.grain;
        if due == self.moved {
            return;
        }
        if self.refetches {
            let list = self.fetch_list(fabric);
            // A refused fetch: the engine goes on with what it has.
            if list.iter().all(|(address, _)| *address != 0) {
                self.list = Some(list);
            }
        }
        while self.moved < due {
            self.move_word(fabric);
            self.moved += 4;
        }
        if self.get(DPLBASE) & 1 != 0 {
            let base = u64::from(self.get(DPLBASE) & !0x7f) | u64::from(self.get(DPUBASE)) << 32;
            fabric.write(base, &(self.position as u32).to_le_bytes());
        }
    }
}

fn armed_with(controller: Controller, rmr: bool) -> (Config, Board<Controller>, Stream) {
    let mut config = Config::new(0x8086, 0x293e, 0x04_0300);
    let mut stream = stream(rmr);
    let mut board = Board::new(controller, &stream, Rc::clone(&config.bus_master));
    Hda.arm(&mut config, &mut board, &mut stream).unwrap();
    (config, board, stream)
}

fn armed(rmr: bool) -> (Config, Board<Controller>, Stream) {
    armed_with(Controller::new(), rmr)
}

/// Stops time, so that the device's own count and the totals are of one instant.
fn sample_still(board: &mut Board<Controller>, stream: &mut Stream) -> Truth {
    board.access_us = 0;
    let truth = board.device.truth;
    Hda.sample(board, stream);
    board.access_us = 1;
    // A blocked stream makes the sample wait; what moved in that time belongs to the next one.
    truth
}

fn totals(stream: &Stream) -> Truth {
    let totals = stream.totals;
    Truth { attempted: totals.attempted, delivered: totals.delivered, mis_steered: totals.mis_steered }
}

#[test]
fn a_translated_stream_delivers_every_byte() {
    for rmr in [false, true] {
        let (config, mut board, mut stream) = armed(rmr);
        assert!(config.bus_master.get());
        for _ in 0..40 {
            board.pass(23_457);
            assert_eq!(sample_still(&mut board, &mut stream), totals(&stream));
        }
        assert!(stream.totals.attempted > 5 * CYCLE_BYTES, "the buffer wrapped");
        assert_eq!(stream.totals.attempted, stream.totals.delivered);
        assert_eq!(Hda.overruns(&stream), 0);
        let (delivered, mis_steered) = position_buffer_seen(&stream);
        assert!(delivered >= 40 && mis_steered == 0);
    }
}

#[test]
fn blocked_and_bypassed_bytes_are_told_apart() {
    for rmr in [false, true] {
        let (_config, mut board, mut stream) = armed(rmr);
        for mode in [Mode::Translate, Mode::Block, Mode::Bypass, Mode::Translate, Mode::Bypass, Mode::Block] {
            sample_still(&mut board, &mut stream);
            board.fabric.mode = mode;
            let before = stream.totals;
            board.pass(50_000);
            assert_eq!(sample_still(&mut board, &mut stream), totals(&stream));
            let attempted = stream.totals.attempted - before.attempted;
            let delivered = stream.totals.delivered - before.delivered;
            let mis_steered = stream.totals.mis_steered - before.mis_steered;
            assert!(attempted > 9_000);
            match mode {
                Mode::Translate => assert_eq!((delivered, mis_steered), (attempted, 0)),
                Mode::Block => {
                    assert!(delivered + mis_steered <= 200, "of before the switch: {delivered} {mis_steered}");
                }
                Mode::Bypass if rmr => assert!(delivered.abs_diff(mis_steered) <= 400, "half lies in the RMR"),
                Mode::Bypass => assert!(mis_steered + 200 >= attempted),
            }
        }
    }
}

#[test]
fn another_image_goes_on_from_the_state_alone() {
    let (_config, mut board, mut stream) = armed(true);
    board.pass(10_003);
    Hda.sample(&mut board, &mut stream);
    let mut copy = stream;
    board.pass(10_003);
    crate::by_id(Hda.id()).unwrap().sample(&mut board, &mut copy);
    assert_eq!(copy.totals.attempted, copy.totals.delivered);
    assert!(copy.totals.attempted > stream.totals.attempted + 1_900);
}

#[test]
fn a_microphone_near_silence_is_counted_like_zeros() {
    for sample in [[0, 0, 0, 0], [0xff; 4], [0xa5, 0x00, 0xa5, 0x00], [0xa5, 0xff, 0xa5, 0xff]] {
        let (_config, mut board, mut stream) = armed_with(Controller { sample, ..Controller::new() }, false);
        board.pass(100_000);
        sample_still(&mut board, &mut stream);
        assert!(stream.totals.attempted > 19_000);
        assert_eq!(stream.totals.attempted, stream.totals.delivered);
    }
}

#[test]
fn a_late_sample_is_said_and_the_next_one_is_right_again() {
    let (_config, mut board, mut stream) = armed(true);
    board.pass(400_000);
    sample_still(&mut board, &mut stream);
    assert_eq!(Hda.overruns(&stream), 1);
    board.fabric.mode = Mode::Block;
    board.pass(100_000);
    sample_still(&mut board, &mut stream);
    let before = stream.totals;
    board.pass(50_000);
    sample_still(&mut board, &mut stream);
    assert_eq!(stream.totals.delivered, before.delivered, "what a missed cycle left is not taken for this one's");
    assert_eq!(Hda.overruns(&stream), 1);
    // Not late: within one cycle.
    board.pass(150_000);
    sample_still(&mut board, &mut stream);
    assert_eq!(Hda.overruns(&stream), 1);
}

#[test]
fn nothing_lands_after_quiesce() {
    let (mut config, mut board, mut stream) = armed(false);
    board.pass(20_000);
    Hda.quiesce(&mut config, &mut board, &stream).unwrap();
    assert!(!config.bus_master.get());
    config.bus_master.set(true);
    let landed = board.fabric.landed;
    board.pass(100_000);
    assert_eq!(board.fabric.landed, landed);
    Hda.arm(&mut config, &mut board, &mut stream).unwrap();
    assert_eq!(stream.totals.attempted, 0);
    board.device.truth = Truth::default();
    board.pass(20_000);
    sample_still(&mut board, &mut stream);
    assert!(stream.totals.delivered > 3_000);
}

#[test]
fn a_controller_that_a_stranger_stopped_counts_nothing() {
    let (mut config, mut board, mut stream) = armed(true);
    board.pass(20_000);
    sample_still(&mut board, &mut stream);
    let totals = stream.totals;
    assert_ne!(stream.state[STATE_POSITION], 0);
    let identity = Function::new(&mut config, BDF).unwrap().identity();
    crate::stopper_for(&identity).unwrap().stop(&mut config, &mut board, BDF, REGISTERS).unwrap();
    // Long enough to be late, were there anything to be late for.
    for _ in 0..3 {
        board.pass(100_000);
        Hda.sample(&mut board, &mut stream);
    }
    assert_eq!((stream.totals, Hda.overruns(&stream)), (totals, 0));
}

#[test]
fn a_controller_found_running_is_armed_anew() {
    let (mut config, mut board, mut stream) = armed(false);
    board.pass(33_333);
    Hda.arm(&mut config, &mut board, &mut stream).unwrap();
    board.device.truth = Truth { ..Truth::default() };
    let start = board.device.moved;
    board.pass(33_333);
    sample_still(&mut board, &mut stream);
    assert_eq!(stream.totals.attempted, stream.totals.delivered);
    assert!(start + stream.totals.attempted >= 6_300 && stream.totals.attempted < 7_000);
}

#[test]
fn the_rings_serve_where_there_are_no_immediate_commands() {
    for mode in [Mode::Translate, Mode::Bypass] {
        let mut config = Config::new(0x8086, 0x293e, 0x04_0300);
        let mut stream = stream(false);
        let controller = Controller { has_immediate: false, ..Controller::new() };
        let mut board = Board::new(controller, &stream, Rc::clone(&config.bus_master));
        board.fabric.mode = mode;
        Hda.arm(&mut config, &mut board, &mut stream).unwrap();
        assert_eq!(board.device.converter_tag, TAG);
    }
}

fn arm_fails(controller: Controller) -> DmaError {
    let mut config = Config::new(0x8086, 0x293e, 0x04_0300);
    let mut stream = stream(false);
    let mut board = Board::new(controller, &stream, Rc::clone(&config.bus_master));
    let error = Hda.arm(&mut config, &mut board, &mut stream).unwrap_err();
    assert!(!config.bus_master.get());
    board.pass(10_000);
    assert_eq!(board.fabric.landed, 0);
    error
}

#[test]
fn a_failed_arm_says_why_and_leaves_the_function_stopped() {
    let mut stuck = Controller { is_stuck: true, ..Controller::new() };
    stuck.put(GCTL, 1);
    let error = arm_fails(stuck);
    assert!(matches!(error, DmaError::Timeout { what: "HDA GCTL.CRST", last: 1, .. }), "{error}");
    let error = arm_fails(Controller { pcm: PCM_48K_16 & !(1 << 6), ..Controller::new() });
    assert_eq!(error, DmaError::Unsupported("no codec has an input converter for 48 kHz and 16 bits"));
}

#[test]
fn an_analogue_input_is_preferred_and_a_digital_one_will_do() {
    let (_config, board, _stream) = armed(false);
    assert_eq!(board.device.converter_node, 4);
    let (_config, board, _stream) = armed_with(Controller { input_node: 0x7f, ..Controller::new() }, false);
    assert_eq!(board.device.converter_node, 2);
}

#[test]
fn windows_are_checked_before_anything_is_touched() {
    let (mut config, mut board, good) = armed(true);
    let mut small = good;
    small.window.bytes = 0x1000;
    let error = Hda.arm(&mut config, &mut board, &mut small).unwrap_err();
    assert_eq!(error, DmaError::WindowTooSmall { has: 0x1000, needs: 0x1_0000 });
    let mut small = good;
    small.rmr.bytes = 0x1000;
    assert!(Hda.arm(&mut config, &mut board, &mut small).is_err());
    let mut elsewhere = good;
    elsewhere.bdf = Bdf::new(0, 9, 0, 0);
    assert_eq!(Hda.arm(&mut config, &mut board, &mut elsewhere), Err(DmaError::Gone));
    board.pass(1_000);
    assert!(config.bus_master.get(), "the running stream was not touched");
}

#[test]
fn a_function_that_is_gone_counts_nothing() {
    let (_config, mut board, mut stream) = armed(false);
    board.device.position = u64::from(u32::MAX);
    board.device.list = None;
    Hda.sample(&mut board, &mut stream);
    assert_eq!(stream.totals.attempted, 0);
}

#[test]
fn a_stream_that_was_never_armed_is_never_late() {
    let bus_master = Rc::default();
    let mut stream = stream(false);
    let mut board = Board::new(Controller::new(), &stream, bus_master);
    board.pass(1_000_000);
    Hda.sample(&mut board, &mut stream);
    assert_eq!((Hda.overruns(&stream), Hda.dry_samples(&stream)), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_interleaving_loses_or_doubles_a_byte(
        rmr: bool,
        refetches: bool,
        grain in prop::sample::select(vec![4u64, 64, 256, 2048]),
        access_us in 0u64..200,
        steps in prop::collection::vec((0u64..60_000, 0u8..4), 1..40),
    ) {
        let (_config, mut board, mut stream) = armed_with(Controller { grain, refetches, ..Controller::new() }, rmr);
        for (us, mode) in steps {
            // Samples while the device goes on under them, and the mode changes between any two of them.
            board.access_us = access_us.min(2);
            Hda.sample(&mut board, &mut stream);
            board.fabric.mode = [Mode::Translate, Mode::Block, Mode::Bypass, Mode::Translate][usize::from(mode)];
            board.pass(us);
        }
        // No wrap in what is left uncounted: the last sample ends at a standstill.
        board.fabric.mode = Mode::Translate;
        board.access_us = 0;
        board.pass(2_000);
        let truth = board.device.truth;
        Hda.sample(&mut board, &mut stream);
        prop_assert_eq!(Hda.overruns(&stream), 0);
        prop_assert_eq!(totals(&stream), truth);
    }
}
