//! Logs as a payload writes them, made with the payload's own writer.

pub mod kernel;
pub mod takeover;

use smmu::takeover::Policy;
use wire::record::{IortOrigin, Outcome, Phase, Record, Severity, Verdict};
use wire::{Anomaly, Item, Reader, Writer};

use super::{Expected, HostLine, Request};

/// Functions of the fixture's streams; the second is in an RMR.
pub const STREAMS: [&str; 2] = ["0000:00:02.0", "0000:00:03.0"];

/// What the host asked for in [`two_runs`].
pub fn request() -> Request {
    Request {
        board: "qemu-virt".into(),
        scenarios: vec!["adopt".into(), "reset".into()],
        cycles: 1,
        by_time: false,
        plant: None,
        endpoints: STREAMS.iter().map(|bdf| Expected { bdf: (*bdf).into(), driver: "hda".into() }).collect(),
        expectations: Vec::new(),
        kernel: None,
        provenance: None,
    }
}

/// A phase whose counts add up.
pub fn phase(delivered: u64, blocked: u64, mis_steered: u64) -> Phase {
    let attempted = Some(delivered + blocked + mis_steered);
    Phase { attempted, delivered, blocked: Some(blocked), mis_steered }
}

pub fn hello(image: &str) -> Record<'_> {
    Record::Hello { wire: wire::record::VERSION, version: "0.1.0", image, el: 2, e2h: false, counter_hz: 1_000_000 }
}

pub fn begin(run: u32, scenario: &str, cycles: u32) -> Record<'_> {
    Record::RunBegin { run, scenario, cycles, plant: "" }
}

pub fn check(run: u32, cycle: u32, id: &str, verdict: Verdict, expected: Verdict) -> Record<'_> {
    let reason = if verdict == Verdict::Pass { "" } else { "it <says> \"why\" & where" };
    Record::Check { run, cycle, id, verdict, expected, must_run: true, reason, source: "IHI 0070 6.3.9" }
}

pub fn stream(run: u32, cycle: u32, bdf: &str, phases: [Phase; 3]) -> Record<'_> {
    let gap_ticks = (phases[2].delivered > 0).then_some(1500);
    let (rmr, unit, witness) = (bdf == STREAMS[1], "bytes", "poisoned buffer");
    Record::Stream { run, cycle, bdf, stream_id: 16, endpoint: "hda", rmr, unit, witness, phases, gap_ticks }
}

pub fn end_of_cycle<'a>(run: u32, cycle: u32, outcome: Outcome, checks: u32, failed: u32) -> Record<'a> {
    Record::Cycle { run, cycle, outcome, checks, failed }
}

/// The machine.
pub fn platform() -> Vec<Record<'static>> {
    let iort =
        Record::Iort { origin: IortOrigin::Amended, firmware_sha256: Some([0x11; 32]), sha256: [0xab; 32], bytes: 300 };
    let finding = Record::Finding {
        severity: Severity::Warning,
        table: "IORT",
        id: "iort.node-unknown",
        offset: Some(48),
        text: "node type <9> & more",
    };
    let endpoint = |armed| Record::Endpoint {
        bdf: STREAMS[0],
        vendor: 0x8086,
        device: 0x293e,
        class: 0x0004_0300,
        smmu: Some(0),
        stream_id: Some(16),
        driver: "hda",
        bus_master_before_exit: Some(true),
        bus_master: false,
        armed,
        denied: false,
    };
    vec![iort, finding, endpoint(false), endpoint(true)]
}

pub fn timing<'a>(run: u32, cycle: u32) -> Record<'a> {
    let (crash_to_kdump, takeover, hold, watch) = (1, 2, 3, 4);
    Record::Timing { run, cycle, crash_to_kdump, takeover, hold, watch, counted: 10, cycle_total: 10 }
}

/// One cycle, sent whole, of a scenario that delivers everything or blocks everything.
pub fn cycle<'a>(run: u32, cycle: u32, delivers: bool) -> Vec<Record<'a>> {
    let verdict = if delivers { Verdict::Pass } else { Verdict::Fail };
    let after = if delivers { phase(30, 0, 0) } else { phase(0, 25, 5) };
    let mut records = vec![Record::Armed { run, cycle, streams: 2 }];
    records.extend(STREAMS.map(|bdf| stream(run, cycle, bdf, [phase(10, 0, 0), phase(20, 0, 0), after])));
    records.push(check(run, cycle, "adopt.smmuen-kept", verdict, verdict));
    records.push(check(run, cycle, "cpu.no-serror", Verdict::Pass, Verdict::Pass));
    let policy = if delivers { Policy::Adopt } else { Policy::Reset };
    records.extend(takeover::records(run, cycle, policy, false));
    if !delivers {
        let (name, bdf, input_address) = ("C_BAD_STREAMID", STREAMS[0], 0x8000_0000);
        let event =
            Record::Event { run, cycle, smmu: 0, id: 2, name, stream_id: 16, bdf, input_address, read: true, count: 3 };
        records.push(event);
    }
    records.push(timing(run, cycle));
    records.push(end_of_cycle(run, cycle, Outcome::Pass, 2, 0));
    records
}

/// Adopt and reset, one cycle each, all as expected.
pub fn two_runs() -> Vec<Record<'static>> {
    let mut records = vec![hello("primary")];
    records.extend(platform());
    for (run, scenario) in [(0, "adopt"), (1, "reset")] {
        records.push(begin(run, scenario, 1));
        records.push(hello("kdump"));
        records.extend(cycle(run, 0, run == 0));
        records.push(Record::RunEnd { run, outcome: Outcome::Pass, cycles: 1, cycles_failed: 0 });
    }
    records.push(Record::End { outcome: Outcome::Pass, runs: 2 });
    records
}

/// A console log with these records among firmware's text.
pub fn log(request: Option<&Request>, records: &[Record<'_>]) -> Vec<u8> {
    let mut bytes = request.map_or_else(String::new, |request| HostLine::Request(request.clone()).write()).into_bytes();
    bytes.extend(b"\x1b[2JUEFI firmware (version 1)\r\n");
    let mut writer = Writer::new(bytes, 0);
    for record in records {
        writer.write(record).unwrap();
    }
    std::mem::take(writer.console())
}

/// The log cut into its lines, ends included.
pub fn lines(log: &[u8]) -> Vec<Vec<u8>> {
    log.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// Position of the line that holds the first record for which `is` holds.
pub fn line_of(lines: &[Vec<u8>], mut is: impl FnMut(&Record<'_>) -> bool) -> usize {
    let mut reader = Reader::new();
    for (number, line) in lines.iter().enumerate() {
        let mut is_here = false;
        reader.feed(line, |item| match item {
            Item::Record { record, .. } => is_here |= is(&record),
            Item::Anomaly(Anomaly::Damaged(_) | _) | Item::Text(_) => {}
        });
        if is_here {
            return number;
        }
    }
    panic!("no such record");
}
