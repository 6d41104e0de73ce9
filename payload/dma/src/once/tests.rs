extern crate std;
use super::*;
use crate::fake::*;
use proptest::prelude::*;
use std::rc::Rc;

#[derive(Clone, Copy, Default, Debug, PartialEq)]
struct Truth {
    attempted: u64,
    delivered: u64,
    mis_steered: u64,
}

/// The device: a transfer is due some time after it was started.
struct Model {
    is_edu: bool,
    late_us: u64,
    liveness: u32,
    destination: u64,
    count: u32,
    command: u32,
    due_us: u64,
    now_us: u64,
    mask: u64,
    truth: Truth,
    is_stuck: bool,
    is_gone: bool,
}

impl Model {
    fn new() -> Self {
        Self::of(&EDU)
    }

    fn of(device: &Once) -> Self {
        Self {
            is_edu: device.is_edu,
            late_us: if device.is_edu { 100_000 } else { 3 },
            liveness: 0,
            destination: 0,
            count: 0,
            command: 0,
            due_us: 0,
            now_us: 0,
            mask: u64::MAX,
            truth: Truth::default(),
            is_stuck: false,
            is_gone: false,
        }
    }
}

impl Device for Model {
    fn read(&mut self, _fabric: &mut Fabric, offset: u64, _bytes: u8) -> u32 {
        match offset {
            _ if self.is_gone => u32::MAX,
            EDU_LIVENESS if self.is_edu => !self.liveness,
            EDU_COMMAND if self.is_edu => self.command,
            EXERCISER_PASID if !self.is_edu => self.liveness,
            EXERCISER_CONTROL if !self.is_edu => self.command,
            other => panic!("read of {other:#x}"),
        }
    }

    fn write(&mut self, _fabric: &mut Fabric, offset: u64, _bytes: u8, value: u32) {
        let is_free = self.command & 1 == 0;
        match (offset, self.is_edu) {
            (EDU_LIVENESS, true) => self.liveness = value,
            (EXERCISER_PASID, false) => self.liveness = value & 0xf_ffff,
            (EDU_INTERRUPT_ACKNOWLEDGE, true) => {}
            _ if !is_free => panic!("write of {offset:#x} while a transfer is due"),
            (EDU_SOURCE, true) => assert_eq!(value, EDU_BUFFER),
            (EDU_DESTINATION, true) => self.destination = value.into(),
            (EXERCISER_STATUS, false) => assert_eq!(value, EXERCISER_STATUS_CLEAR),
            (EXERCISER_OFFSET, false) => assert_eq!(value, 0),
            (EXERCISER_ADDRESS, false) => self.destination = self.destination & !0xffff_ffff | u64::from(value),
            (0x14, false) => self.destination = self.destination & 0xffff_ffff | u64::from(value) << 32,
            (EDU_COUNT, true) | (EXERCISER_LENGTH, false) => self.count = value,
            (EDU_COMMAND, true) | (EXERCISER_CONTROL, false) => {
                assert_eq!(value, if self.is_edu { EDU_WRITE } else { EXERCISER_WRITE });
                self.command = value;
                self.due_us = self.now_us + self.late_us;
            }
            other => panic!("write of {other:x?}"),
        }
    }

    fn advance(&mut self, fabric: &mut Fabric, now_us: u64) {
        self.now_us = now_us;
        if self.command & 1 == 0 || now_us < self.due_us || self.is_stuck {
            return;
        }
        self.command &= !1;
        self.truth.attempted += 1;
        let to = self.destination;
        if to & self.mask != to {
            return;
        }
        let before = fabric.landed;
        fabric.write(to, &std::vec![0; self.count as usize]);
        let is_identity = (RMR.0..RMR.0 + 0x1_0000).contains(&to);
        if fabric.landed != before {
            match fabric.mode {
                Mode::Bypass if !is_identity => self.truth.mis_steered += 1,
                _ => self.truth.delivered += 1,
            }
        }
    }
}

fn armed(rmr: bool) -> (Config, Board<Model>, Stream) {
    armed_of(&EDU, rmr)
}

fn armed_of(device: &Once, rmr: bool) -> (Config, Board<Model>, Stream) {
    let mut config = Config::new(device.vendor, device.device, 0x00_ff00);
    let mut stream = stream(rmr);
    let mut board = Board::new(Model::of(device), &stream, Rc::clone(&config.bus_master));
    device.arm(&mut config, &mut board, &mut stream).unwrap();
    board.device.truth = Truth::default();
    (config, board, stream)
}

fn totals(stream: &Stream) -> Truth {
    let totals = stream.totals;
    Truth { attempted: totals.attempted, delivered: totals.delivered, mis_steered: totals.mis_steered }
}

/// Time in steps, a sample after each.
fn watch(device: &Once, board: &mut Board<Model>, stream: &mut Stream, steps: u64) {
    for _ in 0..steps {
        board.pass(10_000);
        device.sample(board, stream);
    }
    assert_eq!(board.device.truth, totals(stream));
}

#[test]
fn each_transfer_is_counted_where_it_went() {
    for (device, rmr) in [(&EDU, false), (&EDU, true), (&EXERCISER, false), (&EXERCISER, true)] {
        let (config, mut board, mut stream) = armed_of(device, rmr);
        assert!(config.bus_master.get() && stream.flags == 0);
        for mode in [Mode::Translate, Mode::Block, Mode::Bypass, Mode::Translate, Mode::Bypass, Mode::Block] {
            board.fabric.mode = mode;
            let before = totals(&stream);
            watch(device, &mut board, &mut stream, 100);
            let now = totals(&stream);
            let (good, stray) = (now.delivered - before.delivered, now.mis_steered - before.mis_steered);
            let wanted = if device.is_edu { 8..=10 } else { 99..=100 };
            assert!(wanted.contains(&(now.attempted - before.attempted)));
            match mode {
                Mode::Translate => assert_eq!((good, stray), (now.attempted - before.attempted, 0)),
                Mode::Block => assert_eq!((good, stray), (0, 0)),
                Mode::Bypass if rmr => assert!(good.abs_diff(stray) <= 1),
                Mode::Bypass => assert_eq!((good, stray), (0, now.attempted - before.attempted)),
            }
        }
    }
}

#[test]
fn a_transfer_started_before_is_counted_by_another_image() {
    let (_config, board, stream) = armed(true);
    let (mut board, mut copy) = (board, stream);
    board.pass(500_000);
    crate::by_id(EDU.id()).unwrap().sample(&mut board, &mut copy);
    assert_eq!(totals(&copy), Truth { attempted: 1, delivered: 1, mis_steered: 0 });
    board.pass(50_000);
    EDU.sample(&mut board, &mut copy);
    assert_eq!(copy.totals.attempted, 1);
}

#[test]
fn nothing_lands_after_quiesce_and_a_sample_starts_nothing_then() {
    let (mut config, mut board, mut stream) = armed(false);
    board.pass(20_000);
    EDU.quiesce(&mut config, &mut board, &stream).unwrap();
    assert!(!config.bus_master.get());
    config.bus_master.set(true);
    let (landed, before) = (board.fabric.landed, stream.totals);
    crate::poison(&mut board, &stream);
    for _ in 0..30 {
        board.pass(10_000);
        EDU.sample(&mut board, &mut stream);
    }
    assert_eq!((board.fabric.landed, crate::first_landed(&mut board, &stream)), (landed, None));
    assert_eq!(stream.totals, before);
    for _ in 0..2 {
        // The second time it is found at work.
        EDU.arm(&mut config, &mut board, &mut stream).unwrap();
        board.device.truth = Truth::default();
        watch(&EDU, &mut board, &mut stream, 50);
        assert!(stream.totals.delivered >= 4);
    }
    board.device.is_gone = true;
    let before = stream.totals;
    EDU.sample(&mut board, &mut stream);
    assert_eq!(stream.totals, before);
}

#[test]
fn a_failed_arm_says_why_and_leaves_the_function_stopped() {
    let cases = [
        (Model { mask: (1 << 28) - 1, ..Model::new() }, "dma_mask"),
        (Model { is_stuck: true, ..Model::new() }, "DMA start bit"),
        (Model { is_gone: true, ..Model::new() }, "DMA start bit"),
    ];
    for (model, text) in cases {
        let mut config = Config::new(0x1234, 0x11e8, 0x00_ff00);
        let mut stream = stream(false);
        let mut board = Board::new(model, &stream, Rc::clone(&config.bus_master));
        let error = EDU.arm(&mut config, &mut board, &mut stream).unwrap_err();
        assert!(std::format!("{error}").contains(text), "{error}");
        assert!(!config.bus_master.get() && board.fabric.landed == 0);
    }
    let (mut config, mut board, mut stream) = armed(false);
    stream.window.iova.0 = 0xffff_0000 + 0x1000;
    assert!(matches!(EDU.arm(&mut config, &mut board, &mut stream), Err(DmaError::Unsupported(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn no_interleaving_loses_or_doubles_a_transfer(
        rmr: bool,
        steps in prop::collection::vec((0u64..250_000, 0usize..3), 1..30),
    ) {
        let (_config, mut board, mut stream) = armed(rmr);
        for (us, mode) in steps {
            board.pass(us);
            EDU.sample(&mut board, &mut stream);
            // A mode for each transfer.
            if board.device.command & 1 != 0 {
                board.fabric.mode = [Mode::Translate, Mode::Block, Mode::Bypass][mode];
            }
        }
        board.pass(100_000);
        EDU.sample(&mut board, &mut stream);
        prop_assert_eq!(board.device.truth, totals(&stream));
    }
}
