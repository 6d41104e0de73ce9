use wire::Record;
use wire::record;

use super::*;
use crate::capture::fixture::*;
use crate::report::{Report, from_log, html, terminal};

const HZ: u64 = 1_000_000;

/// A run of one function: its counts, and what its DMA did since the crash, in microseconds.
fn requester(
    phases: [record::Phase; 3],
    last_dma: Option<u64>,
    last_attempt: Option<u64>,
    stopped: Option<record::Stopped<'static>>,
) -> (Requester, Report) {
    let mut records = two_runs();
    let bdf = STREAMS[0];
    for record in &mut records {
        match record {
            Record::Hello { counter_hz, .. } => *counter_hz = HZ,
            Record::Stream { run: 0, cycle: 0, bdf: of, phases: told, .. } if *of == bdf => *told = phases,
            _ => {}
        }
    }
    let at = records.iter().position(|record| matches!(record, Record::Stream { .. })).unwrap();
    let (run, cycle, first_dma) = (0, 0, last_dma);
    let told = Record::Requester {
        run,
        cycle,
        bdf,
        requester: bdf,
        bus_master: true,
        answers: true,
        first_dma,
        last_dma,
        first_attempt: last_attempt,
        last_attempt,
        stopped,
    };
    records.insert(at, told);
    let report = from_log(&log(Some(&request()), &records));
    (report.runs[0].requesters[0].clone(), report)
}

fn stopped(means: Means, last_dma: Option<u64>) -> Option<record::Stopped<'static>> {
    Some(record::Stopped { means: means.name(), told: 2_000, done: 5_000, last_dma, landed: None, attempted: None })
}

#[test]
fn how_dma_ended_is_told_from_what_was_seen() {
    let (moves, none) = (phase(10, 0, 0), phase(0, 0, 0));
    let cases = [
        ([moves; 3], None, Ending::StillGoing, "was still doing DMA 9.00 ms after the crash, when the watch ended"),
        (
            [moves, moves, phase(0, 5, 0)],
            None,
            Ending::StillGoing,
            "was still trying to do DMA 9.00 ms after the crash, when the watch ended; the last that landed was 3.00 ms after it",
        ),
        ([moves, moves, none], None, Ending::ByItself, "stopped by itself"),
        ([none; 3], None, Ending::NotSeen, "did no DMA that was seen"),
        (
            [moves, none, none],
            stopped(Means::Flr, None),
            Ending::ByReset,
            "was doing DMA when the function level reset came, 2.00 ms after the crash; nothing landed after that",
        ),
        (
            [moves, none, none],
            stopped(Means::BusReset, Some(700)),
            Ending::ByReset,
            "when the secondary bus reset came, 2.00 ms after the crash; the last DMA landed 0.70 ms after that",
        ),
        ([moves, none, none], stopped(Means::BusMaster, None), Ending::WhenTold, "when the bus-master disable came"),
        (
            [moves, none, moves],
            stopped(Means::Flr, Some(3_001)),
            Ending::StillGoing,
            "was still doing DMA 3.00 ms after the function level reset",
        ),
    ];
    for (phases, stopped, ending, words) in cases {
        let (seen, _) = requester(phases, Some(3_000), Some(9_000), stopped);
        assert_eq!(seen.ending, ending, "{}", seen.sentence);
        assert!(seen.sentence.contains(words), "`{}` lacks `{words}`", seen.sentence);
        assert_eq!((seen.last_dma_us, seen.last_attempt_us), (Some(3_000), Some(9_000)));
    }
}

#[test]
fn devices_have_the_names_of_the_repository() {
    assert_eq!(name(0x8086, 0x10d3).unwrap(), "Intel Corporation 82574L Gigabit Network Connection");
    assert_eq!(name(0x8086, 0xffff).unwrap(), "Intel Corporation device ffff");
    assert_eq!((name(0x0009, 1), name(0x1_0000, 1)), (None, None));
}

#[test]
fn the_page_has_a_sentence_and_the_terminal_those_of_devices_that_were_stopped() {
    let (seen, report) = requester([phase(10, 0, 0); 3], Some(1), Some(1), stopped(Means::Flr, None));
    assert!(html::render(&report).unwrap().contains(&format!("<li>{}.</li>", seen.sentence)));
    assert!(terminal::summary(&report).contains(&seen.sentence));
    let (seen, report) = requester([phase(10, 0, 0); 3], Some(1), Some(1), None);
    assert!(html::render(&report).unwrap().contains(&seen.sentence));
    assert!(!terminal::summary(&report).contains(&seen.sentence));
}

/// A census by marks: one function and somebody without a name were found, another function was quiet; and `more`.
fn census_by_marks(watched: record::Verdict, more: &[Record<'static>]) -> Report {
    let (run, cycle, smmu) = (0, 0, 0);
    let mut records = vec![hello("primary")];
    records.extend(platform());
    records.push(begin(0, "census", 1));
    if let Record::Hello { counter_hz, .. } = &mut records[0] {
        *counter_hz = HZ;
    }
    let bdf = STREAMS[0];
    let how = "hardware marks what was used, and what was written, and nothing is refused";
    records.push(Record::Watched { run, cycle, smmu, marks: true, how });
    let mark = |stream_id: Option<u32>, address, bytes, written, last, scans| {
        let bdf = if stream_id.is_some() { bdf } else { "" };
        Record::Mark { run, cycle, smmu, stream_id, bdf, address, bytes, written, first: 100, last, scans }
    };
    records.push(mark(Some(16), 0x8020_0000, 2 << 20, Some(true), 990_000, 900));
    records.push(mark(Some(16), 0x1_0000_0000, 1 << 30, Some(false), 500, 3));
    records.push(mark(None, 0x1_4000_0000, 1 << 30, None, 4_000, 7));
    for (bdf, attempt) in [(bdf, Some(100)), (STREAMS[1], None)] {
        records.push(Record::Requester {
            run,
            cycle,
            bdf,
            requester: bdf,
            bus_master: true,
            answers: true,
            first_dma: None,
            last_dma: None,
            first_attempt: attempt,
            last_attempt: attempt.map(|_| 990_000),
            stopped: None,
        });
    }
    records.push(Record::Timing {
        run,
        cycle,
        crash_to_kdump: 0,
        takeover: 0,
        hold: 0,
        watch: 1_000_000,
        counted: 1_000_000,
        cycle_total: 1_000_100,
    });
    records.extend_from_slice(more);
    records.push(check(0, 0, "census.watched", watched, record::Verdict::Pass));
    records.push(check(0, 0, "census.quiet", record::Verdict::Fail, record::Verdict::Pass));
    let failed = 1 + u32::from(watched != record::Verdict::Pass);
    records.push(end_of_cycle(0, 0, record::Outcome::Fail, 2, failed));
    records.push(Record::RunEnd { run, outcome: record::Outcome::Fail, cycles: 1, cycles_failed: 1 });
    records.push(Record::End { outcome: record::Outcome::Fail, runs: 1 });
    from_log(&log(None, &records))
}

/// The second function, with this StreamID.
const fn of_second(stream_id: u32) -> Record<'static> {
    Record::Endpoint {
        bdf: STREAMS[1],
        vendor: 0x1af4,
        device: 0x1005,
        class: 0x00ff_0000,
        smmu: Some(0),
        stream_id: Some(stream_id),
        driver: "",
        bus_master_before_exit: None,
        bus_master: true,
        armed: false,
        denied: false,
    }
}

#[test]
fn what_a_census_did_not_watch_is_not_said_to_have_done_no_dma() {
    let pooled = Record::Pooled { run: 0, cycle: 0, bdf: STREAMS[1] };
    let (pass, not_covered) = (record::Verdict::Pass, record::Verdict::NotCovered);
    let cases = [
        (pass, vec![of_second(17)], "did no DMA; it is bus mastering"),
        (pass, vec![], "was not watched: it is behind no SMMU"),
        (not_covered, vec![of_second(17)], "did no DMA that was seen, but not everything was watched"),
        (
            pass,
            vec![of_second(17), pooled],
            "watched together with all StreamIDs of SMMU 0 that have no tables of their own: 1 block(s)",
        ),
    ];
    for (watched, more, words) in cases {
        let report = census_by_marks(watched, &more);
        let quiet = &report.runs[0].requesters[1];
        assert!(quiet.sentence.contains(words), "`{}` lacks `{words}`", quiet.sentence);
    }
}

#[test]
fn who_shares_a_stream_id_is_named_with_the_others_and_what_was_refused_is_told() {
    let (run, cycle, smmu, bdf, stream_id, name) = (0, 0, 0, STREAMS[0], 16, "F_ACCESS");
    let refused = Record::Event {
        run,
        cycle,
        smmu,
        id: 0x12,
        name,
        stream_id,
        bdf,
        input_address: 0x9000_0000,
        read: true,
        count: 3,
    };
    let report = census_by_marks(record::Verdict::Pass, &[of_second(16), refused]);
    let [first, ..] = &report.runs[0].requesters[..] else { panic!("{:?}", report.runs[0].requesters) };
    assert!(
        first.sentence.contains(&format!(", watched together with {}, was doing DMA", STREAMS[1])),
        "{}",
        first.sentence
    );
    assert!(first.sentence.contains("; 3 refusals, among them reads of page 0x90000000"), "{}", first.sentence);
    assert!(!first.sentence.contains("refused"), "{}", first.sentence);
}

#[test]
fn a_census_by_marks_says_whose_blocks_and_that_nothing_of_it_was_refused() {
    let report = census_by_marks(record::Verdict::Pass, &[of_second(17)]);
    let [named, quiet, nobody] = &report.runs[0].requesters[..] else { panic!("{:?}", report.runs[0].requesters) };
    let words = "(StreamID 0x10) was doing DMA that nobody of ours has started: written in 900 scan(s): the 2 MiB at \
                 0x80200000, used, not written, in 3 scan(s): the 1 GiB at 0x100000000, from 0.10 ms to 990.00 ms of the census; \
                 nothing of it was refused";
    assert!(named.sentence.contains(words), "{}", named.sentence);
    assert_eq!((named.ending, named.marks.len(), named.faults.len()), (Ending::StillGoing, 2, 0));
    assert!(quiet.sentence.contains("did no DMA"), "{}", quiet.sentence);
    assert_eq!((quiet.ending, quiet.marks.len()), (Ending::NotSeen, 0));
    assert!(nobody.sentence.starts_with("somebody behind SMMU 0"), "{}", nobody.sentence);
    assert!(nobody.sentence.contains("used in 7 scan(s): the 1 GiB at 0x140000000, from 0.10 ms to 4.00 ms"));
    assert_eq!((nobody.ending, nobody.stream_id, &*nobody.bdf), (Ending::ByItself, None, NOBODY));
    let watched = &report.runs[0].watched[..];
    assert!(matches!(watched, [Watched { smmu: 0, marks: true, .. }]), "{watched:?}");
    assert!(watched[0].how.ends_with("nothing is refused; DMA to ranges without memory leaves no marks"));
    let (terminal, page) = (terminal::summary(&report), html::render(&report).unwrap());
    for text in ["written in 900 scan(s)", "used in 7 scan(s)", &watched[0].how] {
        assert!(terminal.contains(text) && page.contains(text), "{text}");
    }
}
