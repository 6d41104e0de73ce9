extern crate std;

use super::{Anomaly, Damage, Item, Reader};
use crate::{
    Record, WriteError, Writer,
    line::{LINE_MAX, PAYLOAD_MAX},
    record::{IortOrigin, Outcome, Phase, Severity, VERSION, Verdict},
};
use proptest::prelude::*;
use std::{format, string::String, vec, vec::Vec};

/// What a reader reports, owned; records as postcard bytes with their number.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Record(u32, Vec<u8>),
    Anomaly(Anomaly),
    Text(String),
}

fn packed(record: &Record<'_>) -> Vec<u8> {
    let mut bytes = [0; PAYLOAD_MAX];
    postcard::to_slice(record, &mut bytes).unwrap().to_vec()
}

fn read(chunks: &[&[u8]]) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut note = |item: Item<'_>| {
        seen.push(match item {
            Item::Record { sequence, record } => Seen::Record(sequence, packed(&record)),
            Item::Anomaly(anomaly) => Seen::Anomaly(anomaly),
            Item::Text(text) => Seen::Text(String::from_utf8_lossy(text).into()),
        });
    };
    let mut reader = Reader::new();
    for chunk in chunks {
        reader.feed(chunk, &mut note);
    }
    reader.finish(&mut note);
    seen
}

fn write(records: &[Record<'_>]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for (sequence, record) in (0..).zip(records) {
        let mut line = vec![0; 2 * LINE_MAX];
        let mut rest = &mut line[..];
        Writer::new(&mut rest, sequence).write(record).unwrap();
        let left = rest.len();
        line.truncate(2 * LINE_MAX - left);
        lines.push(line);
    }
    lines
}

const PHASE: Phase = Phase { attempted: Some(300), delivered: 299, blocked: Some(0), mis_steered: 1 };

/// One of each kind.
fn one_of_each() -> Vec<Record<'static>> {
    vec![
        Record::Hello { wire: VERSION, version: "0.1.0", image: "primary", el: 2, e2h: false, counter_hz: 62_500_000 },
        Record::Finding {
            severity: Severity::Error,
            table: "IORT",
            id: "rmr-zero",
            offset: Some(48),
            text: "no length",
        },
        Record::Iort { origin: IortOrigin::Amended, firmware_sha256: Some([1; 32]), sha256: [2; 32], bytes: 236 },
        Record::Smmu {
            index: 0,
            base: 0x0905_0000,
            idr0: 1,
            idr1: 2,
            idr3: 3,
            idr5: 4,
            iidr: 5,
            aidr: 6,
            cr0: 7,
            gbpa: 8,
            coherent: true,
        },
        Record::Endpoint {
            bdf: "0000:00:02.0",
            vendor: 0x8086,
            device: 0x10C9,
            class: 0x02_0000,
            smmu: Some(0),
            stream_id: Some(16),
            driver: "igb",
            bus_master_before_exit: None,
            bus_master: true,
            armed: true,
            denied: false,
        },
        Record::Rmr { base: 0x8000_0000, bytes: 0x1_0000, smmu: None, stream_id: 24, flags: 1 },
        Record::Armed { run: 0, cycle: 1, streams: 3 },
        Record::RunBegin { run: 0, scenario: "adopt", cycles: 100, plant: "" },
        Record::Check {
            run: 0,
            cycle: 1,
            id: "adopt.smmuen-kept",
            verdict: Verdict::Pass,
            expected: Verdict::Pass,
            must_run: true,
            reason: "",
            source: "IHI 0070 6.3.9",
        },
        Record::Stream {
            run: 0,
            cycle: 1,
            bdf: "0000:00:02.0",
            stream_id: 16,
            endpoint: "igb",
            rmr: false,
            unit: "frames",
            witness: "sequence number",
            phases: [PHASE, PHASE, Phase { attempted: None, blocked: None, ..PHASE }],
            gap_ticks: Some(1 << 40),
        },
        Record::Sample { run: 0, cycle: 1, ticks: 9, bdf: "0000:00:02.0", delivered: 4, blocked: None, mis_steered: 0 },
        Record::Event {
            run: 0,
            cycle: 1,
            smmu: 0,
            id: 2,
            name: "C_BAD_STREAMID",
            stream_id: 16,
            bdf: "0000:00:02.0",
            input_address: u64::MAX,
            read: true,
            count: 3,
        },
        Record::Access {
            run: 0,
            cycle: 1,
            index: 4,
            ticks: 5,
            smmu: 0,
            kind: 1,
            name: "CR0",
            address: 0x20,
            value: 9,
            count: 1,
            stride: 64,
            unbacked: true,
        },
        Record::Step { run: 0, cycle: 1, index: 4, name: "command queue" },
        Record::Register { run: 0, cycle: 1, smmu: 0, name: "CR0", before: 13, after: 9 },
        Record::Abort { run: 0, cycle: 1, step: "watch", esr: 1, elr: 2, far: 3, serror: true, count: 4 },
        Record::Timing {
            run: 0,
            cycle: 1,
            crash_to_kdump: 1,
            takeover: 2,
            hold: 3,
            watch: 4,
            counted: 10,
            cycle_total: 5,
        },
        Record::Cycle { run: 0, cycle: 1, outcome: Outcome::Fail, checks: 30, failed: 1 },
        Record::CycleStream { run: 0, cycle: 1, bdf: "0000:00:02.0", phases: [PHASE; 3] },
        Record::RunEnd { run: 0, outcome: Outcome::Pass, cycles: 1, cycles_failed: 0 },
        Record::Lost { reason: "the image's digest is wrong" },
        Record::End { outcome: Outcome::Pass, runs: 1 },
        Record::Crash {
            run: 0,
            cycle: 1,
            boot_cpu: 0,
            taker_cpu: 1 << 32,
            cause: 3,
            esr: 0x9600_0004,
            far: 0xffff_ffff_fff8,
            spins: [1, 2, 3],
            rings: [4, 5, 6],
        },
        Record::Attach {
            run: 0,
            cycle: 1,
            bdf: "0000:00:02.0",
            stream_id: 0x10,
            asid: 3,
            vmid: 0,
            attempted: 9,
            delivered: 5,
            mis_steered: 4,
        },
        Record::PcieFunction { bdf: "0000:00:02.0", requester: "0000:00:02.0", state: &[0xff; 68] },
        Record::PcieErrors { run: 0, cycle: 1, bdf: "0000:01:00.0", phase: 2, state: &[0xff; 72] },
        Record::Hold { run: 0, cycle: 1, phase: 1 },
        Record::Watched { run: 0, cycle: 1, smmu: 0, marks: false, how: "all DMA is refused" },
        Record::Mark {
            run: 0,
            cycle: 1,
            smmu: 0,
            stream_id: None,
            bdf: "",
            address: 0x4000_0000,
            bytes: 1 << 30,
            written: Some(true),
            first: 1,
            last: 2,
            scans: 3,
        },
        Record::Pooled { run: 0, cycle: 1, bdf: "0000:01:00.0" },
        Record::Died {
            run: 1,
            cycle: 3,
            scenario: "adopt",
            phase: 1,
            steps: 5,
            step: "adopt.validate",
            memory: true,
            watchdog_s: 60,
            next: Some(2),
        },
        Record::Firmware { vendor: "EDK II", revision: 0x1_0000 },
    ]
}

fn expected(records: &[Record<'_>]) -> Vec<Seen> {
    (0..).zip(records).map(|(sequence, record)| Seen::Record(sequence, packed(record))).collect()
}

#[test]
fn lines_have_golden_bytes() {
    let lines =
        write(&[Record::Armed { run: 1, cycle: 300, streams: 3 }, Record::End { outcome: Outcome::Pass, runs: 2 }]);
    assert_eq!(String::from_utf8_lossy(&lines[0]), "@inflight 000000 BgGsAgM f8567adb\r\n");
    assert_eq!(String::from_utf8_lossy(&lines[1]), "@inflight 000001 FQAC f3d09831\r\n");
}

#[test]
fn every_kind_of_record_round_trips() {
    let records = one_of_each();
    let lines = write(&records).concat();
    assert_eq!(read(&[&lines]), expected(&records));
}

#[test]
fn noise_between_and_before_lines_is_text() {
    let lines = write(&one_of_each()[..3]);
    let mut console = b"\x1b[2J\x1b[01;01HUEFI firmware\r\r\nLoading ... ".to_vec();
    console.extend(&lines[0]);
    console.extend(b"\nok 1 adopt\r\n\x1b[0m");
    console.extend(&lines[1]);
    console.extend(&lines[2][..lines[2].len() - 2]);
    console.extend(b"\x1b[1m and no line end");
    let seen = read(&[&console]);
    let mut wanted = expected(&one_of_each()[..3]);
    wanted.insert(0, Seen::Text("UEFI firmware".into()));
    wanted.insert(1, Seen::Text("Loading ... ".into()));
    wanted.insert(3, Seen::Text("ok 1 adopt".into()));
    assert_eq!(seen, wanted);
    // However the console cuts it.
    let bytes: Vec<&[u8]> = console.chunks(1).collect();
    assert_eq!(read(&bytes), wanted);
}

#[test]
fn two_lines_run_together_are_two_lines() {
    let lines = write(&one_of_each()[..2]);
    let console = [&lines[0][..lines[0].len() - 2], &lines[1]].concat();
    assert_eq!(read(&[&console]), expected(&one_of_each()[..2]));
}

#[test]
fn a_line_interrupted_by_another_is_cut_and_lost() {
    let lines = write(&one_of_each()[..2]);
    let console = [&lines[0][..20], &lines[1]].concat();
    let seen = read(&[&console]);
    assert_eq!(seen[0], Seen::Anomaly(Anomaly::Damaged(Damage::Cut)));
    assert_eq!(seen[1], Seen::Anomaly(Anomaly::Lost { first: 0, count: 1 }));
    assert_eq!(seen[2..], expected(&one_of_each()[..2])[1..]);
}

#[test]
fn a_capture_that_ends_inside_a_line_says_so() {
    let lines = write(&one_of_each()[..1]);
    assert_eq!(read(&[&lines[0][..30]]), [Seen::Anomaly(Anomaly::Damaged(Damage::Cut))]);
}

#[test]
fn doubled_late_and_restarted_lines_are_told_apart() {
    let records = one_of_each();
    let lines = write(&records[..4]);
    let twice = [&lines[0][..], &lines[0], &lines[1], &lines[1]].concat();
    let doubled = |sequence| Seen::Anomaly(Anomaly::Doubled { sequence });
    let all = expected(&records[..4]);
    assert_eq!(read(&[&twice]), [all[0].clone(), doubled(0), all[1].clone(), doubled(1)]);

    let reset = [&lines[0][..], &lines[1], &lines[0], &lines[1]].concat();
    let restarted = Seen::Anomaly(Anomaly::Restarted { last: 1 });
    assert_eq!(read(&[&reset]), [all[0].clone(), all[1].clone(), restarted, all[0].clone(), all[1].clone()]);

    let late = [&lines[0][..], &lines[2], &lines[1]].concat();
    let lost = Seen::Anomaly(Anomaly::Lost { first: 1, count: 1 });
    assert_eq!(read(&[&late]), [all[0].clone(), lost, all[2].clone(), doubled(1)]);
}

#[test]
fn numbers_pass_from_image_to_image_and_wrap() {
    let mut buffer = [0; 4 * LINE_MAX];
    let mut rest = &mut buffer[..];
    let mut writer = Writer::new(&mut rest, 0x00FF_FFFE);
    for _ in 0..3 {
        writer.write(&Record::End { outcome: Outcome::Pass, runs: 0 }).unwrap();
    }
    assert_eq!(writer.next_sequence(), 1);
    writer.set_next_sequence(0x0100_0005);
    assert_eq!(writer.next_sequence(), 5);
    let seen = read(&[&buffer]);
    // The reader was not there for the first 2^24 - 2: they count as late or lost, whichever is nearer.
    let numbers: Vec<&Seen> = seen.iter().filter(|seen| matches!(seen, Seen::Record(..))).collect();
    assert_eq!(numbers.len(), 1);

    let mut reader = Reader { expected: 0x00FF_FFFE, ..Reader::new() };
    let mut numbers = Vec::new();
    reader.feed(&buffer, |item| match item {
        Item::Record { sequence, .. } => numbers.push(sequence),
        Item::Anomaly(anomaly) => panic!("{anomaly}"),
        Item::Text(_) => {}
    });
    assert_eq!(numbers, [0x00FF_FFFE, 0x00FF_FFFF, 0]);
}

#[test]
fn long_text_is_cut_and_long_names_are_refused() {
    let long = "ü".repeat(2000);
    let lines = write(&[Record::Lost { reason: &long }]);
    assert!(lines[0].len() <= LINE_MAX + 2);
    assert_eq!(read(&[&lines[0]]), expected(&[Record::Lost { reason: &long[..240] }]));

    let mut sink = [0; 2 * LINE_MAX];
    let mut writer = Writer::new(&mut sink[..], 7);
    let step = Record::Step { run: 0, cycle: 0, index: 0, name: &long };
    assert_eq!(writer.write(&step), Err(WriteError::TooLong));
    assert_eq!(writer.next_sequence(), 7);
    let text = "x".repeat(240);
    let largest = Record::Finding {
        severity: Severity::Error,
        table: &text,
        id: &text,
        offset: Some(u32::MAX),
        text: &text[..230],
    };
    assert_eq!(writer.write(&largest), Ok(()));
}

#[test]
fn endless_text_is_given_out_in_pieces_and_hides_no_line() {
    let lines = write(&one_of_each()[..1]);
    for filling in 900..1100 {
        let mut console = vec![b'@'; filling];
        console.extend(&lines[0]);
        let seen = read(&[&console]);
        assert_eq!(seen.last(), expected(&one_of_each()[..1]).last(), "{filling}");
        let text: usize = seen.iter().map(|seen| if let Seen::Text(text) = seen { text.len() } else { 0 }).sum();
        assert_eq!(text, filling);
    }
    let overlong = [b"@inflight ".to_vec(), vec![b'a'; 3000], b"\n".to_vec(), lines[0].clone()].concat();
    let seen = read(&[&overlong]);
    assert_eq!(seen[0], Seen::Anomaly(Anomaly::Damaged(Damage::TooLong)));
    assert_eq!(seen.last(), expected(&one_of_each()[..1]).last());
}

#[test]
fn a_record_of_another_version_is_unknown_not_misread() {
    // The payload is 200, 1, 2, 3: no such variant.
    let body = "000000 yAECAw";
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(body.as_bytes());
    let seen = read(&[format!("@inflight {body} {crc:08x}\n").as_bytes()]);
    assert_eq!(seen, [Seen::Anomaly(Anomaly::Damaged(Damage::Unknown))]);
}

fn any_record() -> impl Strategy<Value = Record<'static>> {
    prop::sample::select(one_of_each())
}

proptest! {
    #[test]
    fn records_with_any_content_round_trip(
        run: u32, cycle: u32, address: u64, value: u64, ticks: u64, count: u32, smmu: u8,
        attempted: Option<u64>, reason in "\\PC{0,80}", gap_ticks: Option<u64>,
    ) {
        let phase = Phase { attempted, delivered: value, blocked: attempted, mis_steered: ticks };
        let records = [
            Record::Access {
                run, cycle, index: count, ticks, smmu, kind: smmu, name: &reason, address, value, count,
                stride: count, unbacked: count % 2 == 0,
            },
            Record::Check {
                run, cycle, id: "x", verdict: Verdict::Fail, expected: Verdict::Skip, must_run: false,
                reason: clip(&reason), source: "",
            },
            Record::Stream {
                run, cycle, bdf: "", stream_id: count, endpoint: "", rmr: true, unit: "", witness: "",
                phases: [phase; 3], gap_ticks,
            },
        ];
        prop_assert_eq!(read(&[&write(&records).concat()]), expected(&records));
    }

    #[test]
    fn a_damaged_byte_never_makes_another_record(
        records in prop::collection::vec(any_record(), 1..6), at: prop::sample::Index, with: u8,
    ) {
        let mut console = write(&records).concat();
        let at = at.index(console.len());
        prop_assume!(console[at] != with);
        console[at] = with;
        // A good line follows, so that a loss at the end shows as well.
        let last = records.len() as u32;
        let mut tail = vec![0; 2 * LINE_MAX];
        let mut rest = &mut tail[..];
        Writer::new(&mut rest, last).write(&Record::End { outcome: Outcome::Pass, runs: 1 }).unwrap();
        let left = rest.len();
        tail.truncate(2 * LINE_MAX - left);
        let seen = read(&[&console, &tail]);
        let good = expected(&records);
        let got: Vec<&Seen> = seen.iter().filter(|seen| matches!(seen, Seen::Record(..))).collect();
        for record in got.iter().take(got.len() - 1) {
            prop_assert!(good.contains(record));
        }
        // Either everything arrived, or the reader says that something did not.
        let whole = got.len() == records.len() + 1;
        let noticed = seen.iter().any(|seen| matches!(seen, Seen::Anomaly(_)));
        prop_assert!(whole || noticed);
    }

    #[test]
    fn a_lost_or_doubled_line_is_noticed(
        records in prop::collection::vec(any_record(), 2..8), at: prop::sample::Index, doubled: bool,
    ) {
        let mut lines = write(&records);
        // The last one's loss is the host's to see: it is the end record that does not come.
        let at = at.index(lines.len() - 1);
        if doubled {
            lines.insert(at, lines[at].clone());
        } else {
            lines.remove(at);
        }
        let seen = read(&[&lines.concat()]);
        let anomalies: Vec<&Seen> = seen.iter().filter(|seen| matches!(seen, Seen::Anomaly(_))).collect();
        let wanted = if doubled {
            Anomaly::Doubled { sequence: at as u32 }
        } else {
            Anomaly::Lost { first: at as u32, count: 1 }
        };
        prop_assert_eq!(anomalies, [&Seen::Anomaly(wanted)]);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_make_no_record(
        noise in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"@inflight 0aZ\x1b[m\n".to_vec())], 0..4000),
        cut: prop::sample::Index,
    ) {
        let (first, second) = noise.split_at(cut.index(noise.len() + 1));
        let seen = read(&[first, second]);
        let is_record = |seen: &Seen| matches!(seen, Seen::Record(..));
        prop_assert!(!seen.iter().any(is_record));
        // And a good line after it is found once the noise has ended.
        let line = write(&one_of_each()[..1]).concat();
        let seen = read(&[&noise, b"\x1bm\n", &line]);
        prop_assert!(seen.iter().any(is_record));
    }
}

fn clip(text: &str) -> &str {
    let mut end = text.len().min(240);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
