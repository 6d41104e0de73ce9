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
