use wire::record::{Outcome as Said, Record, Verdict};

use super::counts::Phase;
use super::model::{Outcome, Report};
use super::{from_log, html, junit, ktap, terminal, write};
use crate::capture::fixture::*;
use crate::cli::ReportArgs;

fn judged(records: &[Record<'_>]) -> Report {
    from_log(&log(Some(&request()), records))
}

/// A change to the first record of a kind, which tells whether it was that kind.
macro_rules! change {
    ($pattern:pat => $change:expr) => {
        |record: &mut Record<'static>| match record {
            $pattern => {
                $change;
                true
            }
            _ => false,
        }
    };
}

/// The two runs with one record changed.
fn with(mut change: impl FnMut(&mut Record<'static>) -> bool) -> Report {
    let mut records = two_runs();
    assert_eq!(records.iter_mut().filter_map(|record| change(record).then_some(())).take(1).count(), 1);
    judged(&records)
}

/// Outcome and everything that the host found.
fn verdict(report: &Report) -> (Outcome, String) {
    let runs = report.runs.iter().flat_map(|run| &run.problems);
    (report.outcome, report.problems.iter().chain(runs).cloned().collect::<Vec<_>>().join("; "))
}

/// Adopt alone with `cycles` cycles: the first whole, the others in short but those that `whole` names.
fn many(cycles: u32, failed: &[u32]) -> Vec<Record<'static>> {
    let mut records = vec![hello("primary"), begin(0, "adopt", cycles)];
    for number in 0..cycles {
        if failed.contains(&number) {
            records
                .extend(STREAMS.map(|bdf| stream(0, number, bdf, [phase(10, 0, 0), phase(0, 7, 0), phase(30, 0, 0)])));
            records.push(check(0, number, "dma.delivered", Verdict::Fail, Verdict::Pass));
            records.push(end_of_cycle(0, number, Said::Fail, 1, 1));
        } else if number == 0 {
            records.extend(cycle(0, 0, true));
        } else {
            let phases = [phase(1, 0, 0), phase(2, 0, 0), phase(3, 0, 0)];
            records.extend(STREAMS.map(|bdf| Record::CycleStream { run: 0, cycle: number, bdf, phases }));
            records.push(end_of_cycle(0, number, Said::Pass, 2, 0));
        }
    }
    let count = u32::try_from(failed.len()).unwrap();
    let outcome = if count == 0 { Said::Pass } else { Said::Fail };
    records.push(Record::RunEnd { run: 0, outcome, cycles, cycles_failed: count });
    records.push(Record::End { outcome, runs: 1 });
    records
}

fn judged_many(cycles: u32, failed: &[u32]) -> Report {
    let mut asked = request();
    (asked.scenarios, asked.cycles) = (vec!["adopt".into()], cycles);
    from_log(&log(Some(&asked), &many(cycles, failed)))
}

#[test]
fn the_json_has_exactly_the_contracts_keys_and_values() {
    let json = serde_json::to_value(judged(&two_runs())).unwrap();
    assert_eq!(json["schema"], "inflight-report/1");
    assert_eq!((&json["board"], &json["outcome"]), (&"qemu-virt".into(), &"pass".into()));
    let platform = &json["platform"];
    for key in ["iort", "smmus", "endpoints", "rmrs", "findings"] {
        assert!(!platform[key].is_null(), "{key}");
    }
    assert_eq!(platform["iort"]["origin"], "amended");
    assert_eq!(platform["iort"]["sha256"], "ab".repeat(32));
    assert_eq!(platform["iort"]["firmware_sha256"], "11".repeat(32));
    assert_eq!(platform["endpoints"].as_array().unwrap().len(), 1, "told twice, one function");
    assert_eq!(platform["endpoints"][0]["armed"], true);

    let (adopt, reset) = (&json["runs"][0], &json["runs"][1]);
    assert_eq!((&adopt["scenario"], &adopt["cycles"], &adopt["outcome"]), (&"adopt".into(), &1.into(), &"pass".into()));
    let wanted = serde_json::json!({
        "id": "adopt.smmuen-kept", "verdict": "pass", "expected": "pass", "must_run": true, "reason": null,
        "source": "IHI 0070 6.3.9"
    });
    assert_eq!(adopt["checks"][0], wanted);
    let wanted = serde_json::json!({
        "bdf": "0000:00:03.0", "stream_id": 16, "endpoint": "hda", "rmr": true, "unit": "bytes",
        "witness": "poisoned buffer",
        "before": { "attempted": 10, "delivered": 10, "blocked": 0, "mis_steered": 0 },
        "blackout": { "attempted": 20, "delivered": 20, "blocked": 0, "mis_steered": 0 },
        "after": { "attempted": 30, "delivered": 0, "blocked": 25, "mis_steered": 5 },
        "gap_ticks": null
    });
    assert_eq!(reset["streams"][1], wanted);
    let wanted = serde_json::json!({
        "smmu": 0, "id": 2, "name": "C_BAD_STREAMID", "stream_id": 16, "bdf": "0000:00:02.0",
        "input_address": "0x80000000", "read": true, "count": 3
    });
    assert_eq!(reset["events"][0], wanted);
    let wanted = serde_json::json!({
        "counter_hz": 1_000_000, "crash_to_kdump": 1, "takeover": 2, "hold": 3, "watch": 4, "counted": 10,
        "cycle": 10
    });
    assert_eq!(reset["timing"], wanted);
    let log = adopt["access_log"].as_array().unwrap();
    let write = log.iter().find(|access| access["kind"] == "write32").unwrap();
    assert_eq!(
        (&write["step"], &write["name"], &write["value"]),
        (&"adopt.queues-off".into(), &"CR0".into(), &"0x1".into())
    );
    let scan = log.iter().find(|access| access["name"] == "STE").unwrap();
    assert_eq!((&scan["kind"], &scan["count"], &scan["stride"]), (&"load".into(), &17.into(), &64.into()));
}

#[test]
fn a_stream_without_attempt_count_has_null_and_not_zero() {
    let report = with(|record| match record {
        Record::Stream { run: 0, phases, .. } => {
            for phase in phases {
                (phase.attempted, phase.blocked) = (None, None);
            }
            true
        }
        _ => false,
    });
    assert_eq!(verdict(&report), (Outcome::Pass, String::new()));
    let json = serde_json::to_value(&report).unwrap();
    assert!(json["runs"][0]["streams"][0]["after"]["attempted"].is_null());
    assert!(html::render(&report).unwrap().contains("not known"));
}

#[test]
fn nothing_passes_on_the_payloads_word_alone() {
    let fail = |change: fn(&mut Record<'static>) -> bool, wanted: &str| {
        let (outcome, found) = verdict(&with(change));
        assert_eq!(outcome, Outcome::Fail, "{wanted}");
        assert!(found.contains(wanted), "`{found}` lacks `{wanted}`");
    };
    fail(change!(Record::Check { verdict, .. } => *verdict = Verdict::Fail), "passed by the payload with 1 unexpected");
    fail(
        change!(Record::Check { verdict, expected, .. } => (*verdict, *expected) = (Verdict::NotCovered, Verdict::NotCovered)),
        "passed by the payload with 1 unexpected",
    );
    fail(change!(Record::Cycle { checks, .. } => *checks = 3), "3 check(s) counted by the payload, 2 reported");
    fail(
        change!(Record::Stream { phases, .. } => phases[1].delivered = 19),
        "0000:00:02.0 blackout: the counts do not add up",
    );
    fail(
        change!(Record::RunEnd { cycles, .. } => *cycles = 2),
        "1 cycle(s) announced, 2 counted by the payload, 1 reported",
    );
    fail(
        change!(Record::RunEnd { cycles_failed, .. } => *cycles_failed = 1),
        "1 failed cycle(s) counted by the payload, 0 reported",
    );
    fail(change!(Record::End { runs, .. } => *runs = 3), "the payload counts 3 run(s), its records hold 2");
    fail(
        change!(Record::Stream { endpoint, .. } => *endpoint = "nvme"),
        "endpoint 0000:00:02.0 has the driver nvme, expected hda",
    );
    fail(change!(Record::Check { run, .. } => *run = 1), "run 1: a record of a cycle came outside of the run");
}

#[test]
fn zero_streams_or_checks_or_runs_fail() {
    let without = |drop: fn(&Record<'_>) -> bool| {
        verdict(&judged(&two_runs().into_iter().filter(|record| !drop(record)).collect::<Vec<_>>()))
    };
    let (outcome, found) = without(|record| matches!(record, Record::Stream { run: 0, .. }));
    assert_eq!(outcome, Outcome::Fail);
    assert!(
        found.contains("cycle 0: no stream") && found.contains("endpoint 0000:00:03.0 (hda) is no stream"),
        "{found}"
    );
    let report = with(change!(Record::Cycle { checks, .. } => *checks = 0));
    assert!(verdict(&report).1.contains("cycle 0: no check"));
    let records = [hello("primary"), Record::End { outcome: Said::Pass, runs: 0 }];
    let (outcome, found) = verdict(&judged(&records));
    assert_eq!(outcome, Outcome::Fail);
    assert!(found.contains("no scenario ran"), "{found}");
}

#[test]
fn a_planted_fault_never_passes_even_if_all_is_as_expected() {
    let report = with(change!(Record::RunBegin { plant, .. } => *plant = "leaf-canary"));
    assert_eq!((report.outcome, report.planted.as_deref()), (Outcome::Fail, Some("leaf-canary")));
    // Asked for and not planted: as bad.
    let mut asked = request();
    asked.plant = Some("leaf-canary".into());
    let report = from_log(&log(Some(&asked), &two_runs()));
    assert_eq!((report.outcome, report.planted.as_deref()), (Outcome::Fail, Some("leaf-canary")));
    assert_eq!(report.problems[0], "adopt: asked to plant leaf-canary, the payload planted none");
}

#[test]
fn totals_of_many_cycles_are_the_sum_of_their_lines() {
    let report = judged_many(5, &[]);
    assert_eq!(verdict(&report), (Outcome::Pass, String::new()));
    let run = &report.runs[0];
    assert_eq!((run.cycles, run.cycles_done, run.cycles_failed, run.cycle_lines.len()), (5, 5, 0, 5));
    assert_eq!(
        run.streams[0].phases.after,
        Phase { attempted: Some(42), delivered: 42, blocked: Some(0), mis_steered: 0 }
    );
    assert!(run.failed_cycles.is_empty());
    let sum: u64 = run.cycle_lines.iter().map(|line| line.streams[1].phases.before.delivered).sum();
    assert_eq!(run.streams[1].phases.before.delivered, sum);
}

#[test]
fn a_census_has_no_blackout() {
    let named = |name: &'static str| with(change!(Record::RunBegin { scenario, .. } => *scenario = name));
    assert!(named("bypass").runs[0].blackout.is_some());
    assert_eq!(named("census").runs[0].blackout, None);
}

#[test]
fn a_failed_cycle_is_kept_whole_and_named() {
    let report = judged_many(5, &[3]);
    assert_eq!(verdict(&report), (Outcome::Fail, String::new()));
    let run = &report.runs[0];
    assert_eq!((run.cycles_done, run.cycles_failed, run.failed_cycles.len()), (5, 1, 1));
    assert_eq!((run.failed_cycles[0].cycle, run.failed_cycles[0].streams.len()), (3, 2));
    assert_eq!(run.streams[0].phases.blackout.blocked, Some(7));
    assert!(terminal::summary(&report).contains("failed cycles: 3"));
    assert!(junit::render(&report).unwrap().contains("cycle 3: dma.delivered"));
}

#[test]
fn a_missing_cycle_or_stream_of_a_cycle_fails() {
    let mut asked = request();
    (asked.scenarios, asked.cycles) = (vec!["adopt".into()], 4);
    let without = |drop: &dyn Fn(&Record<'_>) -> bool| {
        let records: Vec<_> = many(4, &[]).into_iter().filter(|record| !drop(record)).collect();
        verdict(&from_log(&log(Some(&asked), &records)))
    };
    let (outcome, found) =
        without(&|record| matches!(record, Record::Cycle { cycle: 2, .. } | Record::CycleStream { cycle: 2, .. }));
    assert_eq!(outcome, Outcome::Fail);
    assert!(found.contains("3 reported") && found.contains("cycle 3 follows where cycle 2 is due"), "{found}");
    let (outcome, found) =
        without(&|record| matches!(record, Record::CycleStream { cycle: 2, bdf, .. } if *bdf == STREAMS[1]));
    assert_eq!(outcome, Outcome::Fail);
    assert!(found.contains("stream 0000:00:03.0 is in 3 of 4 cycle(s)"), "{found}");
}

#[test]
fn page_and_terminal_say_what_the_smmu_was_found_with() {
    let found = |gbpa| {
        let mut records = two_runs();
        let (idr0, idr1, idr3, idr5) = (0x0D44_101B, 0x0273_0010, 0x1414, 0x74);
        let (index, base, iidr, aidr, cr0, coherent) = (0, 0x905_0000, 0x4873_143B, 2, 0, true);
        let smmu = Record::Smmu { index, base, idr0, idr1, idr3, idr5, iidr, aidr, cr0, gbpa, coherent };
        records.insert(1, smmu);
        let report = judged(&records);
        (terminal::summary(&report), html::render(&report).unwrap())
    };
    let (summary, page) = found(1 << 20);
    assert!(summary.contains("SMMU 0: SMMUv3.2, Arm MMU-700 r3p1, found with GBPA abort"), "{summary}");
    assert!(page.contains("<td>SMMUv3.2</td><td>Arm MMU-700 r3p1</td><td>yes</td><td>abort</td>"));
    assert!(page.contains("COHACC 1 (coherent walks)") && page.contains(">0xd44101b<"));
    assert!(found(0).0.contains("found with GBPA bypass"));
}

#[test]
fn the_terminal_shows_failed_checks_and_the_comparison() {
    let mut report = judged(&two_runs());
    report.runs[1].scenario = "reset-evtq".into();
    let summary = terminal::summary(&report);
    let rows: Vec<Vec<&str>> = summary.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(rows.contains(&vec!["pass", "adopt:", "3", "of", "3", "checks", "as", "expected"]), "{summary}");
    assert!(rows.contains(&vec!["adopt", STREAMS[0], "hda", "50", "bytes", "0", "0", "1.50", "ms", "0"]), "{summary}");
    assert!(
        rows.contains(&vec![
            "reset-evtq",
            STREAMS[1],
            "hda",
            "RMR",
            "20",
            "bytes",
            "25",
            "5",
            "never",
            "3",
            "(750000/s)"
        ]),
        "{summary}"
    );
    let failed = with(change!(Record::Check { verdict, .. } => *verdict = Verdict::Fail));
    let summary = terminal::summary(&failed);
    assert!(summary.contains("adopt.smmuen-kept: fail, expected pass: no reason given [IHI 0070 6.3.9]"), "{summary}");
}

#[test]
fn many_scenarios_are_one_line_each_and_few_show_their_streams() {
    let mut report = judged(&two_runs());
    report.runs[1].scenario = "reset-evtq".into();
    while report.runs.len() < 8 {
        report.runs.push(report.runs[1].clone());
    }
    let summary = terminal::summary(&report);
    assert!(summary.contains("0000:00:03.0 hda RMR"), "{summary}");
    assert!(
        summary.contains("reset-evtq: 3 C_BAD_STREAMID (750000/s) of 0000:00:02.0, read of page 0x80000000"),
        "{summary}"
    );
    report.runs.push(report.runs[1].clone());
    let summary = terminal::summary(&report);
    let rows: Vec<Vec<&str>> = summary.lines().map(|line| line.split_whitespace().collect()).collect();
    let brief = |scenario, counts: [&'static str; 3]| {
        let of = counts.into_iter().flat_map(|count| [count, "of", "2"]);
        [scenario, "pass", "3", "of", "3"].into_iter().chain(of).collect::<Vec<_>>()
    };
    assert!(rows.iter().any(|row| row.starts_with(&brief("adopt", ["2", "0", "0"]))), "{summary}");
    assert!(rows.iter().any(|row| row.starts_with(&brief("reset-evtq", ["0", "2", "2"]))), "{summary}");
    assert!(!summary.contains("pass adopt: 3 of 3"), "what passed needs no second line: {summary}");
    assert!(!summary.contains("0000:00:03.0 hda RMR") && summary.contains("the report has each stream"), "{summary}");
}

#[test]
fn the_page_tells_registers_accesses_and_failures_in_words() {
    let mut records = two_runs();
    for record in &mut records {
        match record {
            Record::Register { run: 1, name: "GBPA", before, after, .. } => (*before, *after) = (0, 1 << 20),
            Record::Check { run: 1, id: "adopt.smmuen-kept", reason, .. } => {
                *reason = "0000:00:03.0: STE word 0 was 0x7ab0900b, is 0x9";
            }
            _ => {}
        }
    }
    let page = html::render(&judged(&records)).unwrap();
    for needed in [
        "GBPA: ABORT 0→1 (bypass to abort)",
        "CONFIG 5→4 (stage 1 translates to bypass)",
        "CFGI_ALL",
        "6.3.14",
        "href=\"#run-1\"",
        "id=\"run-1\"",
        "SMMUEN 1, CMDQEN 1",
        "adopt.queues-off",
    ] {
        assert!(page.contains(needed), "{needed}");
    }
}

#[test]
fn the_firmware_is_named_where_it_has_named_itself() {
    let mut records = two_runs();
    records.insert(1, Record::Firmware { vendor: "A & B", revision: 0x1_0000 });
    let (named, nameless) = (judged(&records), judged(&two_runs()));
    let wanted = serde_json::json!({ "vendor": "A & B", "revision": "0x10000" });
    assert_eq!(serde_json::to_value(&named).unwrap()["platform"]["firmware"], wanted);
    assert!(serde_json::to_value(&nameless).unwrap()["platform"].get("firmware").is_none());
    let sentence = "Firmware, by its own word";
    assert!(html::render(&named).unwrap().contains(&format!("{sentence}: A &amp; B, revision 0x10000.")));
    assert!(!html::render(&nameless).unwrap().contains(sentence));
}

#[test]
fn html_escapes_what_comes_from_the_machine() {
    let report = judged(&two_runs());
    let page = html::render(&report).unwrap();
    assert!(page.contains("node type &lt;9&gt; &amp; more") && !page.contains("<9>"));
    assert!(page.contains("it &lt;says&gt;") && !page.contains("<says>"));
    for needed in ["adopt.smmuen-kept", "mis-steered", "C_BAD_STREAMID", "Access log", STREAMS[1], "amended"] {
        assert!(page.contains(needed), "{needed}");
    }
    let links = page.matches("href=").count();
    assert!(links > 0 && links == page.matches("href=\"#").count(), "links lead into the page");
    assert!(!page.contains("src=") && !page.contains("url(") && !page.contains("<link"), "self-contained");
}

#[test]
fn junit_counts_only_expected_passes_as_passed() {
    let xml = junit::render(&judged(&two_runs())).unwrap();
    // 6 checks (one fails as expected), 2 outcomes, 1 for the boot.
    assert!(xml.contains(r#"tests="9" skipped="1" failures="0" errors="0""#), "{xml}");
    assert_eq!(xml.matches("<skipped").count(), 1);
    let failed = with(change!(Record::Check { verdict, .. } => *verdict = Verdict::NotCovered));
    let xml = junit::render(&failed).unwrap();
    assert!(xml.contains("not-covered, expected pass"), "{xml}");
    let cut = lines(&log(Some(&request()), &two_runs()))[..10].concat();
    let xml = junit::render(&from_log(&cut)).unwrap();
    assert!(xml.contains("<error") && xml.contains("last seen"), "{xml}");
}

#[test]
fn ktap_marks_expected_failures_and_ends_with_the_hosts_outcome() {
    let text = ktap::render(&judged(&two_runs()));
    assert!(text.starts_with("# inflight: start of results\nKTAP version 1\n1..2\n"), "{text}");
    assert!(text.contains("  ok 1 adopt.smmuen-kept\n") && text.contains("ok 1 adopt\n"), "{text}");
    assert!(text.contains("  not ok 1 adopt.smmuen-kept # XFAIL"), "{text}");
    assert!(text.ends_with("# inflight: end of results: pass\n"), "{text}");
    let cut = lines(&log(Some(&request()), &two_runs()))[..10].concat();
    let text = ktap::render(&from_log(&cut));
    assert!(text.contains("not ok 1 adopt\n") && text.ends_with("end of results: lost\n"), "{text}");
}

#[test]
fn files_are_written_together_and_an_old_report_does_not_survive() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &judged(&two_runs())).unwrap();
    let mut names: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["junit.xml", "ktap.txt", "report.html", "report.json"], "and nothing half written");
    super::clear(folder.path()).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    super::clear(folder.path()).unwrap();
    assert!(write(&folder.path().join("missing"), &judged(&two_runs())).is_err());
}

fn anybodys() -> ReportArgs {
    ReportArgs {
        command: None,
        log: None,
        board: None,
        scenario: Vec::new(),
        report: None,
        waivers: None,
        system_map: None,
    }
}

#[test]
fn a_log_that_others_captured_is_judged_by_what_was_asked_for() {
    use crate::exit::{Exit, one_line};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.log");
    let judged = |bytes: &[u8], board: Option<&str>| {
        std::fs::write(&path, bytes).unwrap();
        let (board, scenario) = (board.map(Into::into), vec!["adopt".into(), "bypass".into()]);
        super::run(&ReportArgs { log: Some(path.clone()), board, scenario, ..anybodys() })
    };
    let bare = log(None, &two_runs());
    assert_eq!(judged(&bare, None).unwrap(), Exit::Pass);
    // The log has adopt and reset.
    assert_eq!(judged(&bare, Some("ampere/altra")).unwrap(), Exit::Fail);
    let text = std::fs::read_to_string(folder.path().join("report.json")).unwrap();
    assert!(text.contains("ampere/altra") && text.contains("bypass"), "{text}");
    // Kept with the line in front: it can be judged again without the command line.
    let kept = std::fs::read(folder.path().join("console.log")).unwrap();
    assert_eq!(judged(&kept, None).unwrap(), Exit::Fail);
    let error = one_line(&judged(&kept, Some("ampere/altra")).unwrap_err());
    assert!(error.contains("says in its first line what was asked for"), "{error}");
    assert!(one_line(&judged(&bare, Some("ampere/altr")).unwrap_err()).contains("did you mean `ampere/altra`"));
}

#[test]
fn a_log_is_rendered_again_where_it_is_or_where_it_is_asked_for() {
    use crate::exit::{Exit, status_of};
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = folder.path().join("board.log");
    let rendered = |bytes: &[u8], report| {
        std::fs::write(&path, bytes).unwrap();
        super::run(&ReportArgs { log: Some(path.clone()), report, ..anybodys() })
    };
    let whole = log(Some(&request()), &two_runs());
    assert_eq!(rendered(&whole, None).unwrap(), Exit::Pass);
    assert_eq!(std::fs::read(folder.path().join("console.log")).unwrap(), whole);
    assert!(folder.path().join("report.json").is_file());
    assert_eq!(rendered(&whole[..whole.len() / 2], Some(other.path().join("new"))).unwrap(), Exit::Lost);
    assert!(other.path().join("new/report.html").is_file());
    // Lost before the first record: the host's own line tells that it is a log.
    assert_eq!(rendered(&lines(&whole)[..2].concat(), None).unwrap(), Exit::Lost);
    let error = rendered(b"root:x:0:0", Some(other.path().join("none"))).unwrap_err();
    assert_eq!(status_of(&error), Exit::Usage);
    assert!(!other.path().join("none").exists(), "nothing is written for what is no log");
}

#[test]
fn a_run_of_many_cycles_cut_anywhere_has_a_summary() {
    let log = log(Some(&request()), &many(5, &[]));
    let lines = lines(&log);
    for count in 1..lines.len() {
        let report = from_log(&lines[..count].concat());
        assert_eq!(report.outcome, Outcome::Lost, "{count} lines");
        assert!(terminal::summary(&report).contains("lost: "), "{count} lines");
        assert!(report.runs.iter().all(|run| run.cycles_failed <= run.cycles_done), "{count} lines");
    }
}

#[test]
fn a_scenario_that_the_board_forbids_is_skipped_and_alone_is_no_pass() {
    let skipped = |run, id| {
        let skipped = check(run, 0, id, Verdict::Skip, Verdict::Skip);
        [begin(run, "reset", 1), skipped, Record::RunEnd { run, outcome: Said::Pass, cycles: 0, cycles_failed: 0 }]
    };
    let forbidden = |run| skipped(run, "scenario.allowed");
    let alone = [&[hello("primary")], &forbidden(0)[..], &[Record::End { outcome: Said::Pass, runs: 1 }]].concat();
    let report = from_log(&log(None, &alone));
    assert_eq!(report.outcome, Outcome::Fail);
    assert!(report.problems[0].contains("allow-risks"), "{:?}", report.problems);
    assert!(ktap::render(&report).contains("not ok 2 boot # no scenario ran"), "{}", ktap::render(&report));
    let mut beside = many(1, &[]);
    beside.pop();
    beside.extend(forbidden(1));
    beside.push(Record::End { outcome: Said::Pass, runs: 2 });
    let report = from_log(&log(None, &beside));
    assert_eq!((report.outcome, report.runs[1].outcome), (Outcome::Pass, Outcome::Pass), "{}", verdict(&report).1);
    // The same for what the machine lacks; another check that is skipped alone is no reason.
    for (id, wanted) in [("scenario.possible", Outcome::Pass), ("cpu.others-ran", Outcome::Fail)] {
        let mut beside = many(1, &[]);
        beside.pop();
        beside.extend(skipped(1, id));
        beside.push(Record::End { outcome: Said::Pass, runs: 2 });
        assert_eq!(from_log(&log(None, &beside)).outcome, wanted, "{id}");
    }
}

#[test]
fn a_damaged_line_of_the_host_is_lost() {
    let log = log(Some(&request()), &two_runs());
    let text = String::from_utf8(log).unwrap();
    let report = from_log(text.replacen("\"board\"", "\"bo", 1).as_bytes());
    assert_eq!(report.outcome, Outcome::Lost);
    assert!(report.lost.unwrap().reason.contains("the host itself"));
}

#[test]
fn a_kept_log_whose_request_is_longer_than_a_line_of_the_reader_is_read_as_it_was() {
    let mut asked = request();
    // Names that were asked for and never ran fail the report; they do not lose it.
    asked.scenarios.extend((0..200).map(|number| format!("adopt+{number:04}-of-a-long-name")));
    let report = from_log(&log(Some(&asked), &two_runs()));
    assert_eq!(report.lost, None);
    assert_eq!(report.outcome, Outcome::Fail);
}
