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
    kind: Kind,
    late_us: u64,
    liveness: u32,
    destination: u64,
    compared: u64,
    attributes: u32,
    result: u32,
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
            kind: device.kind,
            late_us: if device.kind == Kind::Edu { 100_000 } else { 3 },
            liveness: 0,
            destination: 0,
            compared: 0,
            attributes: 0,
            result: u32::MAX,
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

/// Half of a register of 64 bits.
fn put(register: &mut u64, is_high: bool, value: u32) {
    let shift = if is_high { 32 } else { 0 };
    *register = *register & !(0xffff_ffff << shift) | u64::from(value) << shift;
}

impl Model {
    /// Makes the transfer.
    fn make(&mut self, fabric: &mut Fabric) -> bool {
        self.truth.attempted += 1;
        let to = self.destination;
        let lands = to & self.mask == to && fabric.write(to, &std::vec![0; self.count as usize]);
        let is_identity = (RMR.0..RMR.0 + 0x1_0000).contains(&to);
        let is_stray = lands && fabric.mode == Mode::Bypass && !is_identity;
        self.truth.mis_steered += u64::from(is_stray);
        self.truth.delivered += u64::from(lands && !is_stray);
        lands
    }

    /// A read of `iommu-testdev`'s first register: without a look at bus mastering.
    fn trigger(&mut self, fabric: &mut Fabric) -> u32 {
        if self.result != TESTDEV_ARMED {
            self.result = 0xdead_0005;
            return 0;
        }
        let to = self.destination;
        let target = if to >= CANARY.0 { TARGET.0 + (to - CANARY.0) } else { to };
        assert_eq!((self.compared, self.attributes), (target, TESTDEV_NON_SECURE));
        let is_master = fabric.bus_master.replace(true);
        self.result = if self.make(fabric) { 0 } else { 0xdead_0002 };
        fabric.bus_master.set(is_master);
        0
    }

    fn write_testdev(&mut self, offset: u64, value: u32) {
        match offset {
            0x04 | 0x08 => put(&mut self.destination, offset == 0x08, value),
            0x1c | 0x20 => put(&mut self.compared, offset == 0x20, value),
            TESTDEV_LENGTH => self.count = value,
            TESTDEV_ATTRIBUTES => self.attributes = value,
            TESTDEV_DOORBELL => self.result = if value & TESTDEV_ARM != 0 { TESTDEV_ARMED } else { u32::MAX },
            other => panic!("write of {other:#x}"),
        }
    }
}

impl Device for Model {
    fn read(&mut self, fabric: &mut Fabric, offset: u64, _bytes: u8) -> u32 {
        match (offset, self.kind) {
            _ if self.is_gone => u32::MAX,
            (EDU_LIVENESS, Kind::Edu) => !self.liveness,
            (EDU_COMMAND, Kind::Edu) | (EXERCISER_CONTROL, Kind::Exerciser) => self.command,
            (EXERCISER_PASID, Kind::Exerciser) => self.liveness,
            (TESTDEV_TRIGGER, Kind::Testdev) => self.trigger(fabric),
            (TESTDEV_RESULT, Kind::Testdev) => self.result,
            other => panic!("read of {:#x}", other.0),
        }
    }

    fn write(&mut self, _fabric: &mut Fabric, offset: u64, _bytes: u8, value: u32) {
        let is_free = self.command & 1 == 0;
        match (offset, self.kind) {
            (_, Kind::Testdev) => self.write_testdev(offset, value),
            (EDU_LIVENESS, Kind::Edu) => self.liveness = value,
            (EXERCISER_PASID, Kind::Exerciser) => self.liveness = value & 0xf_ffff,
            (EDU_INTERRUPT_ACKNOWLEDGE, Kind::Edu) => {}
            _ if !is_free => panic!("write of {offset:#x} while a transfer is due"),
            (EDU_SOURCE, Kind::Edu) => assert_eq!(value, EDU_BUFFER),
            (EDU_DESTINATION, Kind::Edu) => self.destination = value.into(),
            (EXERCISER_STATUS, Kind::Exerciser) => assert_eq!(value, EXERCISER_STATUS_CLEAR),
            (EXERCISER_OFFSET, Kind::Exerciser) => assert_eq!(value, 0),
            (0x10 | 0x14, Kind::Exerciser) => put(&mut self.destination, offset == 0x14, value),
            (EDU_COUNT, Kind::Edu) | (EXERCISER_LENGTH, Kind::Exerciser) => self.count = value,
            (EDU_COMMAND, Kind::Edu) | (EXERCISER_CONTROL, Kind::Exerciser) => {
                assert_eq!(value, if self.kind == Kind::Edu { EDU_WRITE } else { EXERCISER_WRITE });
                self.command = value;
                self.due_us = self.now_us + self.late_us;
            }
            _ => panic!("write of {offset:#x}: {value:#x}"),
        }
    }

    fn advance(&mut self, fabric: &mut Fabric, now_us: u64) {
        self.now_us = now_us;
        if self.command & 1 != 0 && now_us >= self.due_us && !self.is_stuck {
            self.command &= !1;
            self.make(fabric);
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
    let both = |device| [(device, false), (device, true)];
    for (device, rmr) in [&EDU, &EXERCISER, &TESTDEV].into_iter().flat_map(both) {
        let (config, mut board, mut stream) = armed_of(device, rmr);
        assert!(config.bus_master.get() && stream.flags == 0);
        for mode in [Mode::Translate, Mode::Block, Mode::Bypass, Mode::Translate, Mode::Bypass, Mode::Block] {
            board.fabric.mode = mode;
            let before = totals(&stream);
            watch(device, &mut board, &mut stream, 100);
            let now = totals(&stream);
            let (good, stray) = (now.delivered - before.delivered, now.mis_steered - before.mis_steered);
            let wanted = if device.kind == Kind::Edu { 8..=10 } else { 99..=100 };
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
    for device in [&EDU, &TESTDEV] {
        let (mut config, mut board, mut stream) = armed_of(device, false);
        board.pass(20_000);
        device.quiesce(&mut config, &mut board, &stream).unwrap();
        assert!(!config.bus_master.get());
        config.bus_master.set(true);
        let (landed, before) = (board.fabric.landed, stream.totals);
        crate::poison(&mut board, &stream);
        for _ in 0..30 {
            board.pass(10_000);
            device.sample(&mut board, &mut stream);
        }
        assert_eq!((board.fabric.landed, crate::first_landed(&mut board, &stream)), (landed, None));
        assert_eq!(stream.totals, before);
        for _ in 0..2 {
            // The second time it is found at work.
            device.arm(&mut config, &mut board, &mut stream).unwrap();
            board.device.truth = Truth::default();
            watch(device, &mut board, &mut stream, 50);
            assert!(stream.totals.delivered >= 4);
        }
        board.device.is_gone = true;
        let before = stream.totals;
        device.sample(&mut board, &mut stream);
        assert_eq!(stream.totals, before);
    }
}

#[test]
fn iommu_testdev_asks_for_no_bus_mastering_and_a_reset_silences_it() {
    let (config, mut board, mut stream) = armed_of(&TESTDEV, false);
    config.bus_master.set(false);
    watch(&TESTDEV, &mut board, &mut stream, 3);
    assert_eq!(stream.totals.delivered, 3);
    board.device.result = u32::MAX;
    watch(&TESTDEV, &mut board, &mut stream, 3);
    assert_eq!((stream.totals.attempted, board.device.result), (3, u32::MAX));
}

#[test]
fn a_failed_arm_says_why_and_leaves_the_function_stopped() {
    let cases = [
        (&EDU, Model { mask: (1 << 28) - 1, ..Model::new() }, "dma_mask"),
        (&EDU, Model { is_stuck: true, ..Model::new() }, "DMA start bit"),
        (&EDU, Model { is_gone: true, ..Model::new() }, "DMA start bit"),
        // As good as another device with its IDs.
        (&TESTDEV, Model { is_gone: true, ..Model::of(&TESTDEV) }, "pci-testdev"),
    ];
    for (device, model, text) in cases {
        let mut config = Config::new(device.vendor, device.device, 0x00_ff00);
        let mut stream = stream(false);
        let mut board = Board::new(model, &stream, Rc::clone(&config.bus_master));
        let error = device.arm(&mut config, &mut board, &mut stream).unwrap_err();
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
