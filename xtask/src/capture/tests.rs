use wire::record::{Outcome as Said, Record};

use super::fixture::*;
use super::{HostLine, Request};
use crate::report::{Outcome, Report, from_log};

fn judged(records: &[Record<'_>]) -> Report {
    from_log(&log(Some(&request()), records))
}

/// A lost report, with the reason and the last thing seen.
fn lost(log: &[u8]) -> (String, String) {
    let report = from_log(log);
    assert_eq!(report.outcome, Outcome::Lost);
    let lost = report.lost.unwrap();
    (lost.reason, lost.last_seen)
}

/// A kernel's console is the machine's: it writes between records, and breaks its own lines for them.
#[test]
fn text_of_a_kernel_between_records_damages_none() {
    const TEXTS: [&str; 5] = [
        "[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x413fd0c1]\r\n",
        "[    1.2345",
        "67] arm-smmu-v3 arm-smmu-v3.0.auto: ias 44-bit\r\n\r\n",
        "\x1b[32m# inflight @inflight\r",
        "ok 1 adopt\n1..9\n@infl",
    ];
    let whole = log(Some(&request()), &two_runs());
    let lines = lines(&whole);
    let mixed = lines.iter().enumerate().flat_map(|(at, line)| {
        let text = if at == 0 { "" } else { TEXTS.get(at % 7).copied().unwrap_or_default() };
        [text.as_bytes(), line].concat()
    });
    let (mixed, plain) = (from_log(&mixed.collect::<Vec<_>>()), from_log(&whole));
    assert_eq!((mixed.outcome, &mixed.lost, &mixed.problems), (Outcome::Pass, &None, &plain.problems));
    let runs = |report: &Report| serde_json::to_value(report).unwrap()["runs"].take();
    assert_eq!(runs(&mixed), runs(&plain));
}

#[test]
fn a_whole_log_passes() {
    let report = judged(&two_runs());
    assert_eq!((report.outcome, report.lost.as_ref()), (Outcome::Pass, None), "{report:?}");
    assert!(report.runs.iter().all(|run| run.outcome == Outcome::Pass && run.problems.is_empty()));
}

#[test]
fn a_log_cut_anywhere_is_lost() {
    let whole = log(Some(&request()), &two_runs());
    let lines = lines(&whole);
    for kept in 2..lines.len() {
        let (reason, last_seen) = lost(&lines[..kept].concat());
        assert_eq!(reason, "the console ends before the last record");
        assert!(!last_seen.is_empty());
    }
    // Inside of the last line.
    let (reason, last_seen) = lost(&whole[..whole.len() - 12]);
    assert!(reason.contains("cut short"), "{reason}");
    assert_eq!(last_seen, "run 1: end (Pass)");
}

#[test]
fn every_single_lost_line_is_noticed() {
    let lines = lines(&log(Some(&request()), &two_runs()));
    // Lines 0 and 1 are the host's and the firmware's.
    for missing in 2..lines.len() {
        let mut cut = lines.clone();
        cut.remove(missing);
        lost(&cut.concat());
    }
}

#[test]
fn every_single_damaged_line_is_noticed() {
    let lines = lines(&log(Some(&request()), &two_runs()));
    for damaged in 2..lines.len() {
        let mut bad = lines.clone();
        let middle = bad[damaged].len() / 2;
        bad[damaged][middle] ^= 1;
        lost(&bad.concat());
    }
}

#[test]
fn every_single_doubled_line_is_noticed() {
    let lines = lines(&log(Some(&request()), &two_runs()));
    for doubled in 2..lines.len() {
        let mut twice = lines.clone();
        twice.insert(doubled, lines[doubled].clone());
        lost(&twice.concat());
    }
}

#[test]
fn damage_in_one_run_leaves_the_verdict_of_the_other() {
    let lines = lines(&log(Some(&request()), &two_runs()));
    let check = line_of(&lines, |record| matches!(record, Record::Check { run: 1, .. }));
    let mut cut = lines;
    cut.remove(check);
    let report = from_log(&cut.concat());
    let outcomes: Vec<_> = report.runs.iter().map(|run| run.outcome).collect();
    assert_eq!((report.outcome, outcomes), (Outcome::Lost, vec![Outcome::Pass, Outcome::Lost]));
}

#[test]
fn a_board_that_starts_again_is_lost() {
    let one = log(Some(&request()), &two_runs());
    let cut = lines(&one)[..12].concat();
    let again = log(None, &two_runs());
    let (reason, _) = lost(&[cut, again].concat());
    assert!(reason.contains("started again"), "{reason}");
}

#[test]
fn the_payloads_own_lost_and_the_hosts_are_both_kept() {
    let mut records = two_runs();
    let end = records.len() - 1;
    records[end] = Record::Lost { reason: "SError in step enable" };
    records.push(Record::End { outcome: Said::Lost, runs: 2 });
    let (reason, last_seen) = lost(&log(Some(&request()), &records));
    assert_eq!(reason, "the payload gave up: SError in step enable");
    assert_eq!(last_seen, "end of 2 run(s) (Lost)");

    let mut cut = lines(&log(Some(&request()), &two_runs()))[..6].concat();
    cut.extend(HostLine::Lost("no output for 30 s\nat all".into()).write().bytes());
    let (reason, _) = lost(&cut);
    assert_eq!(reason, "no output for 30 s at all");
}

#[test]
fn the_last_thing_seen_may_be_plain_text() {
    let mut cut = lines(&log(Some(&request()), &two_runs()))[..3].concat();
    cut.extend(b"Synchronous Exception at 0x\x07\r\n");
    let (_, last_seen) = lost(&cut);
    assert_eq!(last_seen, "console text `Synchronous Exception at 0x?` after start of image primary at EL2");
    assert_eq!(lost(b"UEFI\r\n").1, "console text `UEFI`, no record yet");
    assert_eq!(lost(b"").1, "nothing");
}

#[test]
fn another_version_of_the_records_is_refused() {
    let mut records = two_runs();
    records[0] = Record::Hello { wire: 99, version: "9", image: "primary", el: 2, e2h: false, counter_hz: 1 };
    let (reason, _) = lost(&log(Some(&request()), &records));
    assert!(reason.contains("version 99"), "{reason}");
}

#[test]
fn fewer_runs_or_cycles_than_asked_for_fail() {
    let mut more = request();
    more.scenarios.push("adopt@panic".into());
    let report = from_log(&log(Some(&more), &two_runs()));
    assert_eq!(report.outcome, Outcome::Fail);
    assert_eq!(report.problems, ["asked for adopt,reset,adopt@panic, ran adopt,reset"]);

    let mut more = request();
    more.cycles = 2;
    let report = from_log(&log(Some(&more), &two_runs()));
    assert_eq!(report.outcome, Outcome::Fail);
    assert_eq!(report.problems[0], "adopt: asked for 2 cycle(s), ran 1");
}

#[test]
fn a_finding_of_the_host_survives_its_line_and_ends_no_run() {
    let finding = HostLine::Finding { id: "frames-not-sent".into(), text: "eth1 is gone".into() };
    let mut text = log(Some(&request()), &two_runs());
    text.extend(finding.write().bytes());
    let report = from_log(&text);
    assert_eq!((report.outcome, report.lost.is_none()), (Outcome::Pass, true));
    let told = report.platform.findings.last().unwrap();
    assert_eq!(
        (&*told.severity, &*told.table, &*told.id, &*told.text),
        ("warning", "host", "frames-not-sent", "eth1 is gone")
    );
    assert_eq!(HostLine::read(finding.write().trim()), Some(finding));
}

#[test]
fn a_request_survives_its_line() {
    let mut long = request();
    long.scenarios = (0..200).map(|number| format!("adopt+{number}@jump")).collect();
    let line = HostLine::Request(long.clone());
    assert_eq!(HostLine::read(line.write().trim_end()), Some(line));
    // Longer than the reader keeps text together, and still used.
    let report = from_log(&log(Some(&long), &two_runs()));
    assert!(report.problems[0].starts_with("asked for adopt+0@jump,"), "{:?}", report.problems);
    assert_eq!(HostLine::read("# inflight host: request {"), None);
    assert_eq!(HostLine::read("# inflight: end of results: pass"), None);
    assert_eq!(from_log(&log(None, &two_runs())).board, "unknown");
    assert_eq!(Request::default().cycles, 0);
}

/// What the board tells after a death in a run: as it was kept, and the scenarios that are left.
fn after_death(run: u32, next: Option<u32>) -> Vec<u8> {
    let died = Record::Died {
        run,
        cycle: 0,
        scenario: if run == 0 { "adopt" } else { "reset" },
        phase: 1,
        steps: 3,
        step: "probe",
        memory: true,
        watchdog_s: 60,
        next,
    };
    let mut records = vec![hello("primary"), died];
    records.extend(platform());
    let all = two_runs();
    for left in next.into_iter().flat_map(|next| next..2) {
        let begins = |record: &Record<'_>| matches!(record, Record::RunBegin { run, .. } if *run == left);
        let ends = |record: &Record<'_>| matches!(record, Record::RunEnd { run, .. } if *run == left);
        let (from, to) = (all.iter().position(begins).unwrap(), all.iter().position(ends).unwrap());
        records.extend(&all[from..=to]);
    }
    records.push(Record::End { outcome: Said::Lost, runs: 2 });
    log(None, &records)
}

#[test]
fn a_board_that_died_in_this_capture_says_where_and_the_rest_is_judged() {
    let all = two_runs();
    let torn = all.iter().position(|record| matches!(record, Record::Timing { run: 0, .. })).unwrap();
    let mut bytes = log(Some(&request()), &all[..torn]);
    bytes.extend(after_death(0, Some(1)));
    let report = from_log(&bytes);
    assert_eq!((report.outcome, report.payload_outcome), (Outcome::Lost, Some(Outcome::Lost)));
    let reason = report.lost.unwrap().reason;
    assert!(
        reason.starts_with("the boot before died in adopt, cycle 0, in the blackout, step 3 (probe); "),
        "{reason}"
    );
    let outcomes: Vec<_> = report.runs.iter().map(|run| (run.scenario.as_str(), run.outcome)).collect();
    assert_eq!(outcomes, [("adopt", Outcome::Lost), ("reset", Outcome::Pass)]);
    // The machine was told twice, and is there once.
    assert_eq!(report.platform.findings.len(), 1, "{:?}", report.platform.findings);
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

#[test]
fn a_board_that_goes_on_with_work_nobody_heard_of_is_lost() {
    let mut bytes = log(Some(&request()), &[]);
    bytes.extend(after_death(0, Some(1)));
    let report = from_log(&bytes);
    assert_eq!(report.outcome, Outcome::Lost);
    let outcomes: Vec<_> = report.runs.iter().map(|run| (run.scenario.as_str(), run.outcome)).collect();
    assert_eq!(outcomes, [("adopt", Outcome::Lost), ("reset", Outcome::Pass)]);
    // The second as well: the first was told to somebody else.
    let report = from_log(&after_death(1, Some(2)));
    let outcomes: Vec<_> = report.runs.iter().map(|run| (run.scenario.as_str(), run.outcome)).collect();
    assert_eq!(outcomes, [("?", Outcome::Lost), ("reset", Outcome::Lost)]);
}

#[test]
fn an_earlier_death_of_a_board_that_begins_anew_is_a_finding() {
    let mut records = two_runs();
    let died = Record::Died {
        run: 1,
        cycle: 0,
        scenario: "reset",
        phase: 0,
        steps: 0,
        step: "",
        memory: false,
        watchdog_s: 0,
        next: Some(0),
    };
    records.insert(1, died);
    let report = judged(&records);
    assert_eq!((report.outcome, report.lost.as_ref()), (Outcome::Pass, None), "{report:?}");
    let told = report.platform.findings.iter().find(|finding| finding.id == "died-before").unwrap();
    assert!(told.text.contains("died in reset; where, its memory did not keep"), "{}", told.text);
    // One that gives up instead has no verdict.
    let report = from_log(&after_death(0, None));
    assert!(report.lost.unwrap().reason.contains("died too often"));
}
