extern crate std;

mod controller;

use super::*;
use crate::fake::*;
use crate::xhci::device::{Hid, find_hid, interval_exponent};
use controller::*;
use proptest::prelude::*;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

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
