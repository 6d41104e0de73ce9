extern crate std;

mod controller;

use super::*;
use crate::fake::*;
use controller::{Controller, Truth};
use proptest::prelude::*;
use std::rc::Rc;
use std::vec;

fn config() -> Config {
    Config::new(0x1b36, 0x0010, 0x01_0802)
}

fn armed_with(controller: Controller, rmr: bool) -> (Config, Board<Controller>, Stream) {
    let mut config = config();
    let mut stream = stream(rmr);
    let mut board = Board::new(controller, &stream, Rc::clone(&config.bus_master));
    Nvme.arm(&mut config, &mut board, &mut stream).unwrap();
    (config, board, stream)
}

fn armed(rmr: bool) -> (Config, Board<Controller>, Stream) {
    armed_with(Controller::new(), rmr)
}

/// No completion while the CPU looks, so that the device's own count and the totals are of one instant.
fn sample_still(board: &mut Board<Controller>, stream: &mut Stream) -> Truth {
    board.device.is_still = true;
    Nvme.sample(board, stream);
    board.device.is_still = false;
    board.device.truth
}

fn totals(stream: &Stream) -> Truth {
    assert_eq!(stream.totals.attempted, 0, "nobody counts attempts");
    Truth { delivered: stream.totals.delivered, mis_steered: stream.totals.mis_steered }
}

#[test]
fn a_translated_stream_delivers_every_completion() {
    for (rmr, shuffles) in [(false, false), (true, false), (false, true), (true, true)] {
        let (config, mut board, mut stream) = armed_with(Controller { shuffles, ..Controller::new() }, rmr);
        assert!(config.bus_master.get());
        assert_eq!(board.device.events_armed, 1);
        for _ in 0..30 {
            board.pass(33_333);
            assert_eq!(sample_still(&mut board, &mut stream), totals(&stream));
        }
        assert!(stream.totals.delivered > 7 * ENTRIES, "the queues wrapped: {:?}", stream.totals);
        assert_eq!((Nvme.refusals(&stream), Nvme.dry_samples(&stream)), (0, 0));
        assert_eq!(board.device.pages_read, 32);
    }
}

#[test]
fn bypassed_completions_are_mis_steered_and_the_queue_goes_on() {
    for rmr in [false, true] {
        let (_config, mut board, mut stream) = armed(rmr);
        for mode in [Mode::Bypass, Mode::Translate, Mode::Bypass] {
            sample_still(&mut board, &mut stream);
            board.fabric.mode = mode;
            let before = stream.totals;
            board.pass(50_000);
            assert_eq!(sample_still(&mut board, &mut stream), totals(&stream));
            let delivered = stream.totals.delivered - before.delivered;
            let mis_steered = stream.totals.mis_steered - before.mis_steered;
            assert!(delivered + mis_steered >= 98);
            match mode {
                Mode::Translate => assert_eq!(mis_steered, 0),
                _ if rmr => assert!(delivered.abs_diff(mis_steered) <= 8, "half lies in the RMR"),
                _ => assert_eq!(delivered, 0),
            }
        }
        assert_eq!(Nvme.refusals(&stream), 0);
    }
}

#[test]
fn a_fatal_status_and_what_it_still_owes_are_signs_of_refusal() {
    for rmr in [false, true] {
        let (_config, mut board, mut stream) = armed_with(Controller { retries: true, ..Controller::new() }, rmr);
        for _ in 0..20 {
            board.pass(250);
            Nvme.sample(&mut board, &mut stream);
        }
        assert_eq!(Nvme.refusals(&stream), 0);
        board.fabric.mode = Mode::Block;
        let since = stream;
        board.pass(1_000);
        Nvme.sample(&mut board, &mut stream);
        assert_eq!(Nvme.refusals(&stream), 1, "raised");
        assert_eq!(Nvme.tried(&since, &stream) >= Nvme.round(), !rmr, "of two queues nobody knows which");
        Nvme.sample(&mut board, &mut stream);
        assert_eq!(Nvme.refusals(&stream), 1, "once");
        board.pass(70_000);
        let since = stream;
        Nvme.sample(&mut board, &mut stream);
        assert!(Nvme.refusals(&stream) > 1, "standing, and nothing arrives");
        assert!(Nvme.tried(&since, &stream) >= Nvme.round());
        assert_eq!(stream.totals.delivered, since.totals.delivered);
        // QEMU goes on where it can again: no new sign.
        board.fabric.mode = Mode::Translate;
        board.pass(5_000);
        Nvme.sample(&mut board, &mut stream);
        let signs = Nvme.refusals(&stream);
        board.pass(2_000);
        sample_still(&mut board, &mut stream);
        assert_eq!(Nvme.refusals(&stream), signs);
        assert!(stream.totals.delivered > since.totals.delivered);
    }
}

#[test]
fn lost_posted_completions_are_seen_by_the_entries_passed_over() {
    let (_config, mut board, mut stream) = armed(false);
    board.pass(10_000);
    sample_still(&mut board, &mut stream);
    let before = stream.totals.delivered;
    board.fabric.mode = Mode::Block;
    board.pass(5_000);
    board.fabric.mode = Mode::Translate;
    board.pass(5_000);
    assert_eq!(sample_still(&mut board, &mut stream), totals(&stream));
    assert_eq!(Nvme.refusals(&stream), board.device.refused);
    assert!(board.device.refused >= 9 && stream.totals.delivered >= before + 9);
    // All that was lost is asked for again.
    board.pass(100_000);
    assert_eq!(sample_still(&mut board, &mut stream), totals(&stream));
    assert!(stream.totals.delivered >= before + 200);
}

#[test]
fn posted_completions_that_are_all_lost_are_owed_for_too_long() {
    let (_config, mut board, mut stream) = armed(false);
    for _ in 0..20 {
        board.pass(250);
        Nvme.sample(&mut board, &mut stream);
    }
    board.fabric.mode = Mode::Block;
    board.pass(50_000);
    Nvme.sample(&mut board, &mut stream);
    assert_eq!(Nvme.refusals(&stream), 0, "it may be slow");
    board.pass(50_000);
    Nvme.sample(&mut board, &mut stream);
    assert_eq!(Nvme.refusals(&stream), 1);
}

#[test]
fn a_slow_drive_is_not_refused() {
    let (_config, mut board, mut stream) = armed_with(Controller { every_us: 20_000, ..Controller::new() }, false);
    for _ in 0..1_000 {
        board.pass(250);
        Nvme.sample(&mut board, &mut stream);
    }
    assert!(stream.totals.delivered >= 10);
    assert_eq!(Nvme.refusals(&stream), 0);
}

#[test]
fn all_reads_done_is_a_dry_sample_and_it_goes_on() {
    let (_config, mut board, mut stream) = armed(true);
    board.pass(500_000);
    assert_eq!(sample_still(&mut board, &mut stream), totals(&stream));
    assert_eq!(stream.totals.delivered, ENTRIES - 2);
    assert_eq!(Nvme.dry_samples(&stream), 2);
    board.pass(50_000);
    assert_eq!(sample_still(&mut board, &mut stream), totals(&stream));
    assert!(stream.totals.delivered > ENTRIES + 90);
    assert_eq!(Nvme.dry_samples(&stream), 2);
}

#[test]
fn another_image_goes_on_from_the_state_alone() {
    let (_config, mut board, mut stream) = armed(true);
    board.pass(20_000);
    Nvme.sample(&mut board, &mut stream);
    let mut copy = stream;
    board.pass(20_000);
    crate::by_id(Nvme.id()).unwrap().sample(&mut board, &mut copy);
    assert!(copy.totals.delivered >= stream.totals.delivered + 39);
    assert!(Nvme.tried(&stream, &copy) >= Nvme.round());
    assert_eq!(Nvme.tried(&copy, &copy), 0);
}

#[test]
fn one_silent_queue_of_two_is_not_tried() {
    let (_config, mut board, mut stream) = armed(true);
    board.pass(5_000);
    sample_still(&mut board, &mut stream);
    let since = stream;
    board.device.reads.retain(|(queue, _)| *queue == 1);
    board.pass(5_000);
    Nvme.sample(&mut board, &mut stream);
    assert!(stream.totals.delivered > since.totals.delivered);
    assert_eq!(Nvme.tried(&since, &stream), 0);
}

#[test]
fn nothing_lands_after_quiesce_and_a_running_controller_is_armed_anew() {
    let (mut config, mut board, mut stream) = armed(true);
    board.pass(20_000);
    Nvme.quiesce(&mut config, &mut board, &stream).unwrap();
    assert!(!config.bus_master.get() && board.device.cc & CC_EN == 0);
    config.bus_master.set(true);
    let landed = board.fabric.landed;
    board.pass(100_000);
    assert_eq!(board.fabric.landed, landed);
    for _ in 0..2 {
        board.device.is_still = true;
        Nvme.sample(&mut board, &mut stream);
        (board.device.is_still, board.device.truth) = (false, Truth::default());
        Nvme.arm(&mut config, &mut board, &mut stream).unwrap();
        assert_eq!(totals(&stream), Truth::default());
        board.pass(20_000);
        assert_eq!(sample_still(&mut board, &mut stream), totals(&stream));
        assert!(stream.totals.delivered >= 39);
    }
}

#[test]
fn a_controller_that_a_stranger_stopped_owes_nothing() {
    let (mut config, mut board, mut stream) = armed(true);
    board.pass(20_000);
    sample_still(&mut board, &mut stream);
    let before = stream;
    let identity = Function::new(&mut config, BDF).unwrap().identity();
    let stopper = crate::stopper_for(&identity).unwrap();
    stopper.stop(&mut config, &mut board, BDF, REGISTERS).unwrap();
    for _ in 0..3 {
        board.pass(200_000);
        Nvme.sample(&mut board, &mut stream);
    }
    assert_eq!((stream.totals, Nvme.refusals(&stream)), (before.totals, 0));
    assert_eq!(Nvme.tried(&before, &stream), 0);
}

#[test]
fn the_controllers_limits_are_kept() {
    // Queues of 16 entries, doorbells 32 bytes apart, blocks of 4096 bytes.
    let small = |mdts, blocks| Controller {
        cap: 1 << 37 | 3 << 32 | 1 << 24 | 15,
        mdts,
        blocks,
        format: 12 << 16,
        ..Controller::new()
    };
    for (mdts, blocks, pages) in [(0, 1 << 20, 256), (1, 1 << 20, 2), (2, 1 << 20, 4), (9, 3, 3), (255, 1 << 40, 256)] {
        let mut controller = small(mdts, blocks);
        // The device's own check is for sizes that it can express.
        controller.mdts = if mdts < 10 { mdts } else { 0 };
        let (_config, mut board, mut stream) = armed_with(controller, true);
        board.pass(5_000);
        assert_eq!(sample_still(&mut board, &mut stream), totals(&stream));
        assert!(stream.totals.delivered >= 9);
        assert_eq!(board.device.pages_read, pages, "MDTS {mdts}, {blocks} blocks");
    }
}

#[test]
fn nothing_but_reads_is_ever_sent() {
    let (_config, mut board, mut stream) = armed(true);
    board.pass(20_000);
    Nvme.sample(&mut board, &mut stream);
    let known = [IDENTIFY, SET_FEATURES, CREATE_COMPLETION_QUEUE, CREATE_SUBMISSION_QUEUE, ASYNCHRONOUS_EVENT_REQUEST];
    // I/O queues are checked at each fetch.
    assert!(board.device.opcodes.iter().all(|opcode| known.contains(opcode)), "{:?}", board.device.opcodes);
}

fn arm_fails(controller: Controller, rmr: bool) -> DmaError {
    let mut config = config();
    let mut stream = stream(rmr);
    let mut board = Board::new(controller, &stream, Rc::clone(&config.bus_master));
    let error = Nvme.arm(&mut config, &mut board, &mut stream).unwrap_err();
    assert!(!config.bus_master.get());
    let landed = board.fabric.landed;
    board.pass(10_000);
    assert_eq!(board.fabric.landed, landed);
    error
}

#[test]
fn a_failed_arm_says_why_and_leaves_the_function_stopped() {
    let new = Controller::new;
    let cases = [
        (Controller { namespaces: vec![], ..new() }, "no active namespace"),
        (Controller { blocks: 0, ..new() }, "no active namespace"),
        (Controller { format: 9 << 16 | 8, ..new() }, "without metadata"),
        (Controller { format: 13 << 16, ..new() }, "512 to 4096"),
        (Controller { cap: 1 << 24 | 2047, ..new() }, "no NVM command set"),
        (Controller { cap: 1 << 48 | new().cap, ..new() }, "CAP.MPSMIN"),
        (Controller { cap: 1 << 37, ..new() }, "no room for a queue"),
        (Controller { cap: 15 << 32 | new().cap, ..new() }, "no room for a queue"),
        (Controller { cap: u64::MAX, cc: u32::MAX, csts: u32::MAX, ..new() }, "all ones"),
        (Controller { granted: 0, ..new() }, "an RMR needs two"),
        (Controller { is_stuck: true, ..new() }, "NVMe CSTS.RDY"),
        (Controller { is_mute: true, ..new() }, "NVMe admin completion"),
    ];
    for (controller, wanted) in cases {
        let text = std::format!("{}", arm_fails(controller, true));
        assert!(text.contains(wanted), "{text}, not {wanted}");
    }
}

#[test]
fn a_function_that_is_gone_counts_nothing() {
    let (_config, mut board, mut stream) = armed(false);
    (board.device.csts, board.device.cc) = (u32::MAX, u32::MAX);
    board.device.is_still = true;
    board.pass(300_000);
    Nvme.sample(&mut board, &mut stream);
    assert_eq!((totals(&stream), Nvme.refusals(&stream)), (Truth::default(), 0));
}

#[test]
fn a_stream_that_was_never_armed_or_whose_state_is_nonsense_is_left_alone() {
    let mut stream = stream(false);
    let mut board = Board::new(Controller::new(), &stream, Rc::default());
    for word in [0, u64::MAX, 1, 0xffff, 257 | 1 << 16, 256 | 2 << 16] {
        stream.state[STATE_SHAPE] = word;
        Nvme.sample(&mut board, &mut stream);
        assert_eq!(totals(&stream), Truth::default());
    }
}

#[test]
fn what_the_controller_fetches_untranslated_is_harmless() {
    let (_config, mut board, _stream) = armed(false);
    board.fabric.mode = Mode::Bypass;
    let stream = stream(false);
    for (at, bytes) in [(SUBMISSIONS_AT, ENTRIES * COMMAND_BYTES), (LISTS_AT, 31 * 8)] {
        let (mut target, mut canary) = (vec![0; bytes as usize], vec![1; bytes as usize]);
        board.copy_from(stream.window.target.plus(at), &mut target);
        board.copy_from(stream.window.canary.plus(at), &mut canary);
        assert_eq!(target, canary);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_interleaving_loses_or_doubles_a_completion(
        rmr: bool,
        shuffles: bool,
        retries: bool,
        every_us in 3u64..2_000,
        access_us in 0u64..3,
        steps in prop::collection::vec((0u64..40_000, 0u8..4), 1..40),
    ) {
        let (_config, mut board, mut stream) =
            armed_with(Controller { every_us, shuffles, retries, ..Controller::new() }, rmr);
        board.access_us = access_us;
        for (us, mode) in steps {
            // Completions are posted while the CPU looks, and the mode changes between any two samples.
            Nvme.sample(&mut board, &mut stream);
            board.fabric.mode = [Mode::Translate, Mode::Block, Mode::Bypass, Mode::Translate][usize::from(mode)];
            board.pass(us);
        }
        board.device.is_still = true;
        Nvme.sample(&mut board, &mut stream);
        // What was lost in the end leaves no entry behind it; the rest is exact.
        prop_assert_eq!(totals(&stream), board.device.truth);
        if !retries {
            let lost = board.device.refused;
            prop_assert!(stream.state[STATE_POSTED[0]] + stream.state[STATE_POSTED[1]] <= lost + stream.totals.delivered + stream.totals.mis_steered);
        }
    }
}
