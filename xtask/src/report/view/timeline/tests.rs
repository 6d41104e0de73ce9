use super::*;
use crate::capture::fixture::*;
use crate::report::from_log;

/// A run of 1,000 ticks of a microsecond from tick 5,000 on; the stream had moved 10 units before.
fn run() -> Run {
    let mut run = from_log(&log(Some(&request()), &two_runs())).runs.remove(0);
    let timing = run.timing.as_mut().unwrap();
    (timing.counted, timing.crash_to_kdump) = (1_000, 100);
    run.streams.truncate(1);
    run.streams[0].gap_ticks = Some(800);
    let sample = |tick, delivered, blocked, astray| (tick, STREAMS[0].to_owned(), delivered, Some(blocked), astray);
    run.samples = vec![sample(5_200, 10, 0, 0), sample(5_500, 30, 0, 0), sample(6_000, 30, 15, 5)];
    for (access, ticks) in run.access_log.iter_mut().zip(5_300..) {
        access.ticks = ticks;
    }
    run.access_log.last_mut().unwrap().ticks = 5_400;
    run
}

fn kinds(lane: &Lane) -> Vec<(&'static str, f64, f64, f64)> {
    lane.segments.iter().map(|it| (it.kind, it.x, it.width, it.height)).collect()
}

#[test]
fn segments_are_what_came_between_samples_at_their_times() {
    let timeline = of_run(&run()).unwrap();
    let x = |ticks: f64| BEFORE + ticks / 1_000.0 * (WIDTH - BEFORE);
    let width = |ticks: f64| ticks / 1_000.0 * (WIDTH - BEFORE);
    let wanted = [
        ("delivered", 0.0, BEFORE, HEIGHT),
        ("nothing", x(0.0), width(200.0), 2.0),
        ("delivered", x(200.0), width(300.0), HEIGHT),
        ("blocked", x(500.0), width(500.0), HEIGHT * 0.75),
        ("mis-steered", x(500.0), width(500.0), HEIGHT * 0.25),
    ];
    let lane = &timeline.lanes[0];
    assert_eq!(kinds(lane), wanted);
    assert_eq!((lane.first, &*lane.stream), (Some(x(800.0)), "0000:00:02.0 hda"));
    assert_eq!(lane.segments[3].told, "0.50 ms to 1.00 ms: 0 bytes delivered, 15 blocked, 5 mis-steered");
    let takeover = timeline.phases.iter().find(|phase| phase.name == "takeover").unwrap();
    assert_eq!((takeover.x, takeover.width), (x(300.0), width(100.0)));
    assert_eq!(timeline.axis[0], (7.0, "crash".to_owned()));
    assert_eq!(timeline.axis.last().unwrap(), &(100.0, "1 ms".to_owned()));
    assert!(timeline.axis.len() <= 1 + LABELS as usize);
}

/// A kernel's log begins before its takeover with what was found, and goes on until its end.
#[test]
fn the_takeover_of_a_kernel_is_as_long_as_it_was_counted() {
    let mut run = run();
    run.timing.as_mut().unwrap().takeover = 300;
    run.timing.as_mut().unwrap().watch = 400;
    let mut kernel = witness::fake::Kernel::new();
    let boot = kernel::boot(kernel::Recorded::of(&mut kernel), [phase(0, 0, 0); 2], &[(1, 0)]);
    let watched = from_log(&boot.log()).runs.remove(0).witness;
    assert!(watched.is_some());
    let told = |run: &Run| of_run(run).unwrap().phases.into_iter().map(|phase| phase.told).collect::<Vec<_>>();
    assert_eq!(told(&run)[3..], ["takeover 0.30 ms to 0.40 ms", "watch 0.40 ms to 1.00 ms"]);
    run.witness = watched;
    assert_eq!(told(&run)[2..], ["hold 0.10 ms to 0.30 ms", "takeover 0.30 ms to 0.60 ms", "watch 0.60 ms to 1.00 ms"]);
}

#[test]
fn where_the_last_samples_were_not_kept_the_first_move_tells_when_the_crash_was() {
    let mut run = run();
    let last = run.samples.pop().unwrap();
    // As many as are kept, all of the beginning: the last of them is not the watch's end.
    run.samples.extend((0..KEPT_SAMPLES as u64).map(|number| (5_500 + number, last.1.clone(), 30, Some(0), 0)));
    let mut requester = Requester {
        bdf: STREAMS[0].into(),
        name: None,
        chain: String::new(),
        stream_id: None,
        driver: None,
        bus_master: true,
        answers: true,
        first_dma_us: Some(500),
        last_dma_us: None,
        first_attempt_us: Some(500),
        last_attempt_us: None,
        unit: None,
        moved: None,
        faults: Vec::new(),
        marks: Vec::new(),
        stopped: None,
        ending: crate::report::model::Ending::StillGoing,
        sentence: String::new(),
    };
    run.requesters = vec![requester.clone()];
    let told = |run: &Run| of_run(run).map(|timeline| timeline.lanes[0].segments[1].told.clone());
    assert_eq!(told(&run).as_deref(), Some("0.00 ms to 0.20 ms: 0 bytes delivered"));
    requester.bdf = "another".into();
    run.requesters = vec![requester];
    assert_eq!(told(&run), None, "nobody says when the crash was");
}

#[test]
fn without_samples_or_time_there_is_no_picture() {
    let mut run = run();
    run.timing.as_mut().unwrap().counted = 0;
    assert_eq!(of_run(&run), None);
    run.samples.clear();
    run.timing = None;
    assert_eq!(of_run(&run), None);
}
