use super::*;
use crate::capture::fixture::*;
use crate::report::from_log;

/// The second run is of a policy that leaves the event queue on.
fn view() -> View {
    let mut report = from_log(&log(Some(&request()), &two_runs()));
    report.runs[1].scenario = "reset-evtq".into();
    View::of(&report)
}

#[test]
fn a_run_is_one_line_of_streams_counted() {
    let lines = view().lines;
    let [adopt, reset] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((adopt.outcome, adopt.as_expected, adopt.checks, adopt.streams), ("pass", 3, 3, 2));
    assert_eq!((adopt.delivered, adopt.blocked, adopt.mis_steered, adopt.events), (2, 0, 0, 0));
    assert_eq!((reset.delivered, reset.blocked, reset.mis_steered, reset.events), (0, 2, 2, 3));
    // Crash to kdump 1, hold 3, takeover 2 ticks of a microsecond; the watch is none of it.
    assert_eq!(adopt.blackout, "0.00 ms");
    let mut run = from_log(&log(Some(&request()), &two_runs())).runs.remove(0);
    run.timing.as_mut().unwrap().takeover = 1230;
    assert_eq!(blackout(&run), "1.23 ms");
    run.timing = None;
    assert_eq!(blackout(&run), "not known");
    run.scenario = "census".into();
    assert_eq!(blackout(&run), "none");
}

#[test]
fn the_comparison_has_gap_blackout_events_and_their_rate() {
    let rows = view().comparison;
    let reset = rows.last().unwrap();
    assert_eq!((reset.scenario.as_str(), reset.stream.as_str()), ("reset-evtq", "0000:00:03.0 hda RMR"));
    assert_eq!((reset.delivered.as_str(), reset.blocked.as_str(), reset.mis_steered), ("20 bytes", "25", 5));
    assert_eq!((reset.gap.as_str(), reset.events, reset.rate.as_str()), ("never", 3, "750000/s"));
    assert_eq!((rows[0].gap.as_str(), rows[0].rate.as_str()), ("1.50 ms", ""));
}

#[test]
fn events_are_told_by_stream_page_and_direction_most_first() {
    let mut run = from_log(&log(Some(&request()), &two_runs())).runs.remove(1);
    assert_eq!(events(&run)[0].rate, "", "reset leaves the queue off: they are of before the takeover");
    run.scenario = "reset-evtq".into();
    let mut other = run.events[0].clone();
    (other.count, other.read, other.input_address.0) = (4, false, 0x9000);
    run.events.push(other);
    let rows = events(&run);
    let cells = |row: &EventRow| (row.page.clone(), row.direction, row.count, row.rate.clone());
    assert_eq!(cells(&rows[0]), ("0x9000".into(), "write", 4, "1000000/s".into()));
    assert_eq!(cells(&rows[1]), ("0x80000000".into(), "read", 3, "750000/s".into()));
    run.events[0].input_address.0 = 0;
    assert_eq!((rows.len(), events(&run)[1].direction), (2, "not told"));
}

#[test]
fn a_run_says_in_words_which_registers_differ_and_what_failed() {
    let mut report = from_log(&log(Some(&request()), &two_runs()));
    let run = &mut report.runs[0];
    let cr0 = run.registers.iter_mut().find(|register| register.name == "CR0").unwrap();
    (cr0.before.0, cr0.after.0) = (0xD, 0x8);
    let seen = RunView::of(run, false);
    assert!(seen.changes.contains(&"SMMU 0 CR0: SMMUEN 1→0, EVENTQEN 1→0".to_owned()), "{:?}", seen.changes);
    assert!(!seen.has_failures && !seen.is_open);
    run.checks[0].verdict = crate::report::model::Verdict::Fail;
    let seen = RunView::of(run, false);
    assert!(seen.has_failures && seen.unexpected[0] && !seen.unexpected[1]);
    // A check that fails as expected is shown with its difference too.
    assert!(RunView::of(&report.runs[1], false).has_failures);
}
