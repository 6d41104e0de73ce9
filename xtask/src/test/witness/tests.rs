use std::ops::Range;

use serde_json::json;

use super::claim::{Claim, Stream};
use super::trace::{Entry, Reg, Through};
use super::{Moved, compare, moved, parse};

/// Bring-up, DMA, crash, observation, takeover, DMA: as QEMU 10 writes it.
const TRACE: &str = "\
smmuv3_cmdq_consume_out prod:0, cons:0, prod_wrap:0, cons_wrap:0
smmuv3_read_mmio addr: 0x0 val:0xd44101b size: 0x4(0)
smmuv3_write_mmio addr: 0x80 val:0x4000000040254000 size: 0x8(0)
smmuv3_translate_disable smmuv3-iommu-memory-region-16-0 sid=0x10 bypass (smmu disabled) iova:0x1000 is_write=0
smmuv3_write_mmio addr: 0x20 val:0xd size: 0x4(0)
smmuv3_translate_success smmuv3-iommu-memory-region-16-0 sid=0x10 iova=0x48001000 translated=0x48005000 perm=0x3 stage=1
smmuv3_translate_success smmuv3-iommu-memory-region-24-0 sid=0x18 iova=0x50000010 translated=0x50000010 perm=0x3 stage=1
smmuv3_read_mmio addr: 0x0 val:0xd44101b size: 0x4(0)
smmuv3_read_mmio addr: 0x20 val:0xd size: 0x4(0)
smmuv3_translate_success smmuv3-iommu-memory-region-16-0 sid=0x10 iova=0x48001000 translated=0x48005000 perm=0x3 stage=1
smmuv3_translate_success smmuv3-iommu-memory-region-24-0 sid=0x18 iova=0x48002000 translated=0x48006000 perm=0x3 stage=1
smmuv3_write_mmio addr: 0x20 val:0x1 size: 0x4(0)
smmuv3_write_mmio addr: 0x90 val:0x4000000040100004 size: 0x8(0)
smmuv3_write_mmio addr: 0x20 val:0x9 size: 0x4(0)
smmuv3_translate_success smmuv3-iommu-memory-region-16-0 sid=0x10 iova=0x48001000 translated=0x48005000 perm=0x3 stage=1
smmuv3_translate_success smmuv3-iommu-memory-region-24-0 sid=0x18 iova=0x48002000 translated=0x48006000 perm=0x3 stage=1
";

/// The reserved range of stream 0x18.
const RESERVED: &[Range<u64>] = &[Range { start: 0x5000_0000, end: 0x5001_0000 }];

fn claim() -> Claim {
    let stream = |stream_id, reserved| Stream { stream_id, phases: [(1, 0); 3], reserved, is_silent: false };
    Claim {
        writes: vec![(0x20, 1), (0x90, 0x4010_0004), (0x94, 0x4000_0000), (0x20, 9)],
        kernel: None,
        streams: vec![stream(0x10, vec![]), stream(0x18, RESERVED.to_vec())],
        has_fetches: false,
    }
}

fn differences(trace: &str, claim: &Claim) -> Vec<String> {
    compare(&parse(trace).unwrap(), claim)
}

#[test]
fn a_report_that_agrees_has_no_difference() {
    assert_eq!(differences(TRACE, &claim()), [] as [String; 0]);
}

#[test]
fn lines_are_read_as_qemu_writes_them() {
    let entries = parse(TRACE).unwrap();
    assert_eq!(entries.len(), 15);
    assert_eq!(entries[1], Entry::Write(Reg { offset: 0x80, value: 0x4000_0000_4025_4000, bytes: 8 }));
    assert_eq!(entries[2], Entry::Dma { stream_id: 0x10, address: 0x1000, through: Through::Bypassed });
    let moved = Entry::Dma { stream_id: 0x10, address: 0x4800_1000, through: Through::Translated(0x4800_5000) };
    assert_eq!(entries[4], moved);
    let abort =
        "12@34.5:smmuv3_translate_abort smmuv3-iommu-memory-region-24-0 sid=0x18 abort on iova:0x5000 is_write=1";
    let refused = Entry::Dma { stream_id: 0x18, address: 0x5000, through: Through::Refused };
    assert_eq!(parse(abort).unwrap(), [refused]);
}

#[test]
fn a_cut_line_is_an_error() {
    for cut in
        ["smmuv3_write_mmio addr: 0x20 val:", "smmuv3_write_mmio", "smmuv3_translate_success x sid=0x10 iova=0x1"]
    {
        assert!(parse(cut).is_err(), "{cut}");
    }
}

#[test]
fn a_write_missing_on_either_side_is_noticed() {
    let dropped = TRACE.replace("smmuv3_write_mmio addr: 0x90 val:0x4000000040100004 size: 0x8(0)\n", "");
    assert!(differences(&dropped, &claim())[0].contains("takeover write 1"));
    for index in 0..claim().writes.len() {
        let mut short = claim();
        short.writes.remove(index);
        assert_eq!(differences(TRACE, &short).len(), 1, "write {index}");
    }
    let extra = TRACE.replace(
        "addr: 0x20 val:0x9 size: 0x4(0)\n",
        "addr: 0x20 val:0x9 size: 0x4(0)\nsmmuv3_write_mmio addr: 0xa0 val:0x0 size: 0x8(0)\n",
    );
    assert!(differences(&extra, &claim())[0].contains("the access log nothing"));
}

#[test]
fn an_altered_value_or_offset_is_noticed() {
    for (from, to) in
        [("0x4000000040100004", "0x4000000040100005"), ("val:0x9 ", "val:0xd "), ("addr: 0x90", "addr: 0xa0")]
    {
        assert_eq!(differences(&TRACE.replace(from, to), &claim()).len(), 1, "{from}");
    }
}

#[test]
fn writes_in_another_order_are_noticed() {
    let mut swapped = claim();
    swapped.writes.swap(0, 3);
    assert_eq!(differences(TRACE, &swapped).len(), 1);
}

#[test]
fn a_64_bit_write_may_arrive_in_two_halves() {
    let halves = "smmuv3_write_mmio addr: 0x90 val:0x40100004 size: 0x4(0)\nsmmuv3_write_mmio addr: 0x94 val:0x40000000 size: 0x4(0)";
    let split = TRACE.replace("smmuv3_write_mmio addr: 0x90 val:0x4000000040100004 size: 0x8(0)", halves);
    assert_eq!(differences(&split, &claim()), [] as [String; 0]);
}

#[test]
fn a_trace_without_takeover_is_noticed() {
    let only_bring_up: String = TRACE.lines().take(7).map(|line| format!("{line}\n")).collect();
    assert_eq!(differences(&only_bring_up, &claim()).len(), 1);
    assert_eq!(differences("", &claim()).len(), 1);
}

#[test]
fn delivered_without_a_translation_is_noticed() {
    let last = TRACE.trim_end().rfind('\n').unwrap();
    let found = differences(&TRACE[..last], &claim());
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("0x18, after: 1 delivered"), "{found:?}");
}

#[test]
fn a_translation_without_delivery_is_noticed() {
    for phase in 0..3 {
        let mut silent = claim();
        silent.streams[0].phases[phase] = (0, 0);
        assert_eq!(differences(TRACE, &silent).len(), 1, "phase {phase}");
        silent.has_fetches = true;
        assert_eq!(differences(TRACE, &silent), [] as [String; 0]);
    }
}

#[test]
fn an_untranslated_access_must_be_reported_as_mis_steered() {
    let page =
        "smmuv3_translate_bypass smmuv3-iommu-memory-region-24-0 sid=0x18 STE bypass iova:0x48002000 is_write=1\n";
    let line = &format!("{page}{}", page.replace("0x48002000", "0x48001000"));
    let found = differences(&format!("{TRACE}{line}"), &claim());
    assert!(found.len() == 1 && found[0].contains("none mis-steered"), "{found:?}");
    let mut reported = claim();
    reported.streams[1].phases[2] = (1, 1);
    assert_eq!(differences(&format!("{TRACE}{line}"), &reported), [] as [String; 0]);
    assert_eq!(differences(TRACE, &reported).len(), 1);
    // The same access inside the stream's reserved range is right.
    let inside = page.replace("0x48002000", "0x50000000");
    assert_eq!(differences(&format!("{TRACE}{inside}"), &claim()), [] as [String; 0]);
    // One page beside it may be the position of HD Audio, which nobody counts; where nothing is reserved, none may.
    assert_eq!(differences(&format!("{TRACE}{page}"), &claim()), [] as [String; 0]);
    let other = page.replace("sid=0x18", "sid=0x10");
    assert_eq!(differences(&format!("{TRACE}{other}"), &claim()).len(), 1);
}

#[test]
fn what_goes_astray_between_the_last_look_and_the_crash_may_be_counted_before_it() {
    let astray = |page: &str| format!("sid=0x18 iova={page} translated={page} perm=0x3 stage=1");
    let both = format!("{}\nsmmuv3_translate_success x {}", astray("0x48002000"), astray("0x48001000"));
    let trace = TRACE.replacen("sid=0x18 iova=0x48002000 translated=0x48006000 perm=0x3 stage=1", &both, 1);
    assert_eq!(differences(&trace, &claim()).len(), 1);
    let mut early = claim();
    early.streams[1].phases[0].1 = 1;
    assert_eq!(differences(&trace, &early), [] as [String; 0]);
}

#[test]
fn an_identity_translation_outside_a_reserved_range_is_mis_steered() {
    let line = "smmuv3_translate_success x sid=0x10 iova=0x48001000 translated=0x48001000 perm=0x3 stage=1\n";
    assert_eq!(differences(&format!("{TRACE}{line}"), &claim()).len(), 1);
}

#[test]
fn a_stream_that_never_reached_the_smmu_claims_nothing() {
    let mut nothing = Claim { writes: Vec::new(), ..claim() };
    let before: String = TRACE.lines().take(7).map(|line| format!("{line}\n")).collect();
    assert_eq!(differences(&before, &nothing), [] as [String; 0]);
    nothing.streams[0].phases[0] = (0, 0);
    assert_eq!(differences(&before, &nothing).len(), 1);
}

#[test]
fn what_the_primary_cleans_up_afterwards_is_no_part_of_the_takeover() {
    // After the watch: a look, endpoints off, the SMMU behind ABORT.
    let clean_up = "smmuv3_read_mmio addr: 0x0 val:0xd44101b size: 0x4(0)\n\
                    smmuv3_write_mmio addr: 0x44 val:0x80100000 size: 0x4(0)\n\
                    smmuv3_write_mmio addr: 0x20 val:0x0 size: 0x4(0)\n\
                    smmuv3_translate_disable x sid=0x10 bypass (smmu disabled) iova:0x48001000 is_write=0\n";
    assert_eq!(differences(&format!("{TRACE}{clean_up}"), &claim()), [] as [String; 0]);
}

#[test]
fn of_several_cycles_the_last_is_compared() {
    let mut late = claim();
    late.streams[0].phases[0] = (0, 0);
    // In the first cycle the stream moved, in the second it did not.
    let silent = TRACE.replacen("sid=0x10 iova=0x48001000 translated", "sid=0x99 iova=0x48001000 translated", 1);
    assert_eq!(differences(&format!("{TRACE}{silent}"), &late), [] as [String; 0]);
    assert_eq!(differences(&format!("{silent}{TRACE}"), &late).len(), 1);
}

#[test]
fn a_claim_of_a_failed_cycle_goes_before_that_of_the_run() {
    let phase = json!({ "delivered": 0, "mis_steered": 0 });
    let log = |value: &str| json!([{ "smmu": 0, "kind": "write32", "address": "0x20", "value": value }]);
    let streams = json!([{ "stream_id": 1, "before": phase, "blackout": phase, "after": phase }]);
    let failed = json!([{ "cycle": 1, "access_log": log("0x9"), "streams": streams }]);
    let run = json!({ "access_log": log("0x1"), "streams": [], "failed_cycles": failed });
    let claim = Claim::from_report(&json!({ "runs": [run] })).unwrap();
    assert_eq!((claim.writes, claim.streams.len()), (vec![(0x20, 9)], 1));
}

#[test]
fn a_claim_is_read_from_the_report() {
    let phase = json!({ "attempted": 5, "delivered": 4, "blocked": 0, "mis_steered": 1 });
    let report = json!({
        "platform": { "rmrs": [{ "base": "0x50000000", "bytes": 65536, "stream_id": 24 }] },
        "runs": [{
            "access_log": [
                { "smmu": 0, "kind": "read32", "address": "0x20", "value": "0xd" },
                { "smmu": 0, "kind": "write32", "address": "0x20", "value": "0x1" },
                { "smmu": 0, "kind": "store", "address": "0x40000000", "value": "0x1" },
                { "smmu": 0, "kind": "write64", "address": "0x100a8", "value": "0x100000002" },
            ],
            "streams": [{ "stream_id": 24, "before": phase, "blackout": phase, "after": phase }],
        }],
    });
    let claim = Claim::from_report(&report).unwrap();
    assert_eq!(claim.writes, [(0x20, 1), (0xa8, 2), (0xac, 1)]);
    assert_eq!(claim.streams[0].phases, [(4, 1); 3]);
    assert_eq!(claim.streams[0].reserved, RESERVED);
    assert!(Claim::from_report(&json!({})).is_err());
}

#[test]
fn an_event_handler_may_write_after_the_takeover_and_nothing_else() {
    let more = |line: &str| {
        TRACE.replace("addr: 0x20 val:0x9 size: 0x4(0)\n", &format!("addr: 0x20 val:0x9 size: 0x4(0)\n{line}\n"))
    };
    for line in
        ["smmuv3_write_mmio addr: 0x100ac val:0x5 size: 0x4(0)", "smmuv3_write_mmio addr: 0x64 val:0x4 size: 0x4(0)"]
    {
        assert_eq!(differences(&more(line), &claim()), [] as [String; 0]);
    }
    assert_eq!(differences(&more("smmuv3_write_mmio addr: 0x20 val:0x0 size: 0x4(0)"), &claim()).len(), 1);
    // Before it, it is a write of the takeover that the log lacks.
    let early = TRACE.replace(
        "smmuv3_write_mmio addr: 0x20 val:0x1 size: 0x4(0)",
        "smmuv3_write_mmio addr: 0x100ac val:0x5 size: 0x4(0)\nsmmuv3_write_mmio addr: 0x20 val:0x1 size: 0x4(0)",
    );
    assert_eq!(differences(&early, &claim()).len(), 1);
}

#[test]
fn a_silent_stream_that_reaches_the_smmu_is_noticed() {
    let mut silent = claim();
    silent.streams[0].is_silent = true;
    silent.streams[0].phases[2] = (0, 0);
    let found = differences(TRACE, &silent);
    assert!(found.iter().any(|line| line.contains("stream 0x10, after: silent")), "{found:?}");
    let refused = "smmuv3_translate_abort x sid=0x10 abort on iova:0x48001000 is_write=1\n";
    let last = "smmuv3_translate_success smmuv3-iommu-memory-region-16-0 sid=0x10 iova=0x48001000 translated=0x48005000 perm=0x3 stage=1\n";
    let at = TRACE.rfind(last).unwrap();
    let cut = format!("{}{}", &TRACE[..at], &TRACE[at + last.len()..]);
    assert_eq!(differences(&cut, &silent), [] as [String; 0]);
    assert_eq!(differences(&format!("{cut}{refused}"), &silent).len(), 1);
}

/// After [`TRACE`]: a look, three commands, DMA of the stream in its new domain, and the primary's shut-down.
fn attached(dma: &str) -> Result<Moved, String> {
    let command = "smmuv3_write_mmio addr: 0x98 val:0x8 size: 0x4(0)\n";
    let look = "smmuv3_read_mmio addr: 0x0 val:0xd44101b size: 0x4(0)\n";
    let old = translated(0x4800_1000, 0x4800_5000);
    let off = "smmuv3_write_mmio addr: 0x20 val:0x0 size: 0x4(0)\n";
    // What comes before the last command, or after the attach, is another translation's.
    let trace = format!("{TRACE}{look}{old}{look}{command}{command}{dma}{off}{old}");
    assert_eq!(differences(&trace, &claim()), [] as [String; 0]);
    moved(&parse(&trace).unwrap(), &claim(), 0x10)
}

fn translated(from: u64, to: u64) -> String {
    format!(
        "smmuv3_translate_success smmuv3-iommu-memory-region-16-0 sid=0x10 iova={from:#x} translated={to:#x} perm=0x3 stage=1\n"
    )
}

#[test]
fn a_moved_stream_is_told_from_one_that_is_still_translated_as_before() {
    let fresh = translated(0x4800_1010, 0x7700_1010);
    assert_eq!(attached(&fresh), Ok(Moved { fresh: 1, ..Moved::default() }));
    let stale = translated(0x4800_1010, 0x4800_5010);
    assert_eq!(attached(&format!("{stale}{fresh}{stale}")), Ok(Moved { fresh: 1, stale: 2, ..Moved::default() }));
    let refused = "smmuv3_translate_abort x sid=0x10 abort on iova:0x48001000 is_write=1\n";
    assert_eq!(attached(refused), Ok(Moved { refused: 1, ..Moved::default() }));
    // A reserved range leads to itself before and after.
    assert_eq!(attached(&translated(0x5000_0000, 0x5000_0000)), Ok(Moved { fresh: 1, ..Moved::default() }));
    assert!(moved(&parse(TRACE).unwrap(), &claim(), 0x10).is_err(), "nothing was attached");
}

#[test]
fn what_follows_the_takeover_is_not_claimed_to_belong_to_it() {
    let write = |step: &str| json!({ "smmu": 0, "kind": "write32", "address": "0x98", "value": "0x8", "step": step });
    let report = json!({ "runs": [{
        "access_log": [write("adopt.invalidate"), write("attach.deferred"), write("attach.install")],
        "streams": [],
    }] });
    assert_eq!(Claim::from_report(&report).unwrap().writes, [(0x98, 8)]);
}

/// A kernel's part of [`TRACE`], from its first read of IDR0 after the crash, as a report has it; it polls CR0ACK twice.
fn kernels_report() -> serde_json::Value {
    let access = |index: usize, kind: &str, address: &str, value: &str, count: u64| json!({ "index": index, "smmu": 0, "kind": kind, "address": address, "value": value, "count": count });
    json!({ "runs": [{
        "witness": { "taken_over": 5 },
        "access_log": [
            access(0, "read32", "0x0", "0xd44101b", 1),
            access(1, "read32", "0x20", "0xd", 1),
            access(2, "write32", "0x20", "0x1", 1),
            access(3, "write64", "0x90", "0x4000000040100004", 1),
            access(4, "store", "0x61000000", "0x4", 1),
            access(5, "write32", "0x20", "0x9", 1),
            access(6, "read32", "0x24", "0x9", 2),
            access(7, "write32", "0x20", "0x0", 1),
        ],
        "streams": [],
    }] })
}

/// [`TRACE`] with what the kernel does at its end, and the look of an image that takes back.
fn kernels_trace() -> String {
    let ack = "smmuv3_read_mmio addr: 0x24 val:0x9 size: 0x4(0)\n";
    let off = "smmuv3_write_mmio addr: 0x20 val:0x0 size: 0x4(0)\n";
    let astray = "smmuv3_translate_disable x sid=0x10 bypass (smmu disabled) iova:0x48001000 is_write=0\n";
    format!("{TRACE}{ack}{ack}{off}{astray}smmuv3_read_mmio addr: 0x0 val:0xd44101b size: 0x4(0)\n")
}

fn kernels_claim(change: impl FnOnce(&mut serde_json::Value)) -> Claim {
    let mut report = kernels_report();
    change(&mut report["runs"][0]["access_log"]);
    Claim { streams: claim().streams, ..Claim::from_report(&report).unwrap() }
}

#[test]
fn a_kernels_log_equals_the_trace_access_by_access() {
    assert_eq!(differences(&kernels_trace(), &kernels_claim(|_| {})), [] as [String; 0]);
    // Not one may be missing, be there twice, have another value or size, or another place.
    type Change = fn(&mut serde_json::Value);
    let changes: [(&str, Change); 6] = [
        ("access 1 of the kernel, of 8: ", |log| log[1]["value"] = json!("0xc")),
        ("access 7 of the kernel, of 9: ", |log| log[6]["count"] = json!(3)),
        ("access 6 of the kernel, of 7: ", |log| log[6]["count"] = json!(1)),
        ("the access log a write of 4 bytes at 0x90", |log| log[3]["kind"] = json!("write32")),
        ("access 2 of the kernel, of 8: ", |log| log.as_array_mut().unwrap().swap(2, 3)),
        ("the access log a write of 4 bytes at 0x20, 0x1", |log| drop(log.as_array_mut().unwrap().remove(1))),
    ];
    for (words, change) in changes {
        let found = differences(&kernels_trace(), &kernels_claim(change));
        assert!(found.len() == 1 && found[0].contains(words), "{words}: {found:?}");
    }
    // What the trace has besides is noticed, too.
    let extra = kernels_trace().replace(
        "smmuv3_write_mmio addr: 0x90",
        "smmuv3_read_mmio addr: 0x44 val:0x0 size: 0x4(0)\nsmmuv3_write_mmio addr: 0x90",
    );
    let found = differences(&extra, &kernels_claim(|_| {}));
    assert!(
        found[0].contains("the trace has a read of 4 bytes at 0x44, 0x0, the access log a write of 8 bytes at 0x90"),
        "{found:?}"
    );
    assert_eq!(differences("", &kernels_claim(|_| {})), ["the trace has no register access"]);
}

#[test]
fn a_kernels_streams_are_compared_until_it_turns_the_smmu_off() {
    // DMA that goes untranslated after that is not counted in any phase.
    let mut lost = kernels_claim(|_| {});
    lost.streams[0].phases[2] = (0, 0);
    let found = differences(&kernels_trace(), &lost);
    assert!(found.len() == 1 && found[0].contains("stream 0x10, after: none delivered"), "{found:?}");
    let before_off = kernels_trace().replace("smmuv3_read_mmio addr: 0x24 val:0x9 size: 0x4(0)\nsmmuv3_write", "smmuv3_read_mmio addr: 0x24 val:0x9 size: 0x4(0)\nsmmuv3_translate_bypass x sid=0x10 STE bypass iova:0x48001000 is_write=1\nsmmuv3_write");
    let found = differences(&before_off, &kernels_claim(|_| {}));
    assert!(found.len() == 1 && found[0].contains("stream 0x10, after: none mis-steered"), "{found:?}");
}
