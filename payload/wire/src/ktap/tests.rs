extern crate std;

use crate::{
    Writer,
    record::{
        Outcome,
        Verdict::{self, Fail, NotCovered, Pass, Skip},
    },
};
use std::{string::String, vec::Vec};

fn written(write: impl FnOnce(&mut Writer<&mut [u8]>)) -> String {
    let mut buffer = [0; 4096];
    let mut writer = Writer::new(&mut buffer[..], 0);
    write(&mut writer);
    let left = writer.console().len();
    String::from_utf8(buffer[..4096 - left].to_vec()).unwrap()
}

fn check(verdict: Verdict, expected: Verdict, reason: &str) -> String {
    written(|writer| writer.ktap_check(1, 12, "dma.no-blocked", verdict, expected, reason).unwrap())
}

#[test]
fn a_boot_has_golden_lines() {
    let text = written(|writer| {
        writer.ktap_start().unwrap();
        writer.ktap_plan(0, 1).unwrap();
        writer.ktap_comment(1, "adopt, cycle 0").unwrap();
        writer.ktap_version(1).unwrap();
        writer.ktap_plan(1, 4_294_967_295).unwrap();
        writer.ktap_check(1, 1, "adopt.smmuen-kept", Pass, Pass, "why").unwrap();
        writer.ktap_result(0, 1, "adopt", Outcome::Pass).unwrap();
        writer.ktap_end(Outcome::Pass).unwrap();
    });
    let golden = [
        "# inflight: start of results",
        "KTAP version 1",
        "1..1",
        "  # adopt, cycle 0",
        "  KTAP version 1",
        "  1..4294967295",
        "  ok 1 adopt.smmuen-kept",
        "ok 1 adopt",
        "# inflight: end of results: pass",
        "",
    ];
    assert_eq!(text, golden.join("\r\n"));
}

#[test]
fn only_what_passed_as_expected_is_a_bare_ok() {
    assert_eq!(check(Pass, Pass, ""), "  ok 12 dma.no-blocked\r\n");
    assert_eq!(check(Skip, Skip, "no RMR"), "  ok 12 dma.no-blocked # SKIP no RMR\r\n");
    assert_eq!(check(Fail, Fail, "3 blocked"), "  not ok 12 dma.no-blocked # XFAIL 3 blocked\r\n");
    assert_eq!(check(NotCovered, Pass, "no DMA"), "  not ok 12 dma.no-blocked # not covered: no DMA\r\n");
    let all = [Pass, Fail, Skip, NotCovered];
    let pairs: Vec<_> = all.iter().flat_map(|verdict| all.iter().map(move |expected| (*verdict, *expected))).collect();
    for (verdict, expected) in pairs {
        let line = check(verdict, expected, "reason");
        let is_ok = line.starts_with("  ok ");
        assert_eq!(is_ok, verdict == expected && matches!(verdict, Pass | Skip), "{line}");
        assert_eq!(line.contains(" # XFAIL "), (verdict, expected) == (Fail, Fail), "{line}");
    }
}

#[test]
fn a_reason_cannot_end_the_line_or_begin_another() {
    assert_eq!(check(Fail, Pass, "a\r\nok 13 b\u{1b}[2Jü"), "  not ok 12 dma.no-blocked # a??ok 13 b?[2J??\r\n");
}

#[test]
fn outcomes_end_the_boot_in_words() {
    for (outcome, word) in [(Outcome::Pass, "pass"), (Outcome::Fail, "fail"), (Outcome::Lost, "lost")] {
        let text = written(|writer| writer.ktap_end(outcome).unwrap());
        assert_eq!(text.trim_end(), std::format!("# inflight: end of results: {word}"));
        let text = written(|writer| writer.ktap_result(0, 10, "x", outcome).unwrap());
        assert_eq!(text.starts_with("ok 10"), outcome == Outcome::Pass);
    }
}
