//! Rules of an adoption, and the recognition of profiles.

use super::*;
use crate::log::Op;
use crate::spec::registers as reg;
use crate::takeover::Policy;
use world::{adopted, crashed, taken};

/// `text` before the first register write.
fn before_first_write(entries: &[Entry], text: &str) -> Vec<Entry> {
    let place = entries.iter().position(|entry| entry.op == Op::RegWrite32).unwrap();
    [&entries[..place], &log(text)[..], &entries[place..]].concat()
}

fn adoption(rule: &'static str, text: &str) -> Pair {
    let (found, keeps) = adopted();
    let breaks = before_first_write(&keeps, text);
    Pair { rule, found, keeps, breaks }
}

pub(super) fn pairs() -> Vec<Pair> {
    let (found, entries) = adopted();
    let with_cd = |asid: u64| {
        let text =
            format!("S cd 0x50009008 0x5000a000; B publish; S cd 0x50009000 {:#x}; B publish", asid << 48 | 1 << 31);
        [&entries[..], &log(&text)[..]].concat()
    };
    vec![
        adoption("adopt.smmuen", "W CR0 0; R CR0ACK 0"),
        adoption("adopt.strtab", "W64 STRTAB_BASE 0x4000000040254000"),
        adoption("adopt.cr1-cr2", "W CR2 6"),
        adoption("adopt.gbpa", "W GBPA 0x80101000; R GBPA 0x101000"),
        adoption("adopt.output-queues", "W EVENTQ_CONS 0"),
        adoption("adopt.table-store", "S ste 0x40260400 0x4027008b"),
        Pair { rule: "adopt.identifier-reused", found, keeps: with_cd(5), breaks: with_cd(2) },
    ]
}

fn followed(found: Found, entries: &[Entry]) -> Followed {
    judged(found, entries).followed[&SMMU].clone()
}

#[test]
fn revision_7_reads_no_stes() {
    let (found, entries) = adopted();
    let v7: Vec<Entry> =
        entries.iter().filter(|entry| entry.op != Op::Load || entry.name() == "L1STD").copied().collect();
    assert_eq!(followed(found, &v7), Followed { profile: Some(Profile::AdoptV7), ..Followed::default() });
    assert_eq!(followed(found, &entries), Followed { profile: Some(Profile::AdoptV10), ..Followed::default() });
}

#[test]
fn the_place_where_a_profile_is_left_is_the_first_entry_that_does_not_fit() {
    let (found, entries) = adopted();
    let place =
        entries.iter().position(|entry| entry.address == u64::from(reg::CMDQ_CONS) && entry.op.is_write()).unwrap();
    let mut dropped = entries.clone();
    dropped.remove(place);
    let left = followed(found, &dropped).left.unwrap();
    let next = dropped[place..].iter().position(|entry| entry.op.is_write()).unwrap() + place;
    assert_eq!((left.at, left.expected.as_str()), (next as u64, "CMDQ_CONS written 0x0"));
    assert!(left.found.contains("CR0 written 0x9"));
}

#[test]
fn a_log_that_ends_too_early_leaves_its_profile_at_its_end_unless_it_was_cut() {
    let (found, entries) = adopted();
    for count in 0..entries.len() {
        let whole = check(&[found], Coverage::ALL, &entries[..count], true);
        let cut = check(&[found], Coverage::ALL, &entries[..count], false);
        assert_eq!(cut.violations().count(), 0, "{count}");
        assert_eq!(cut.departures().count(), 0, "{count}");
        let left = whole.followed[&SMMU].left.as_ref();
        assert!(whole.followed[&SMMU].profile.is_none() || left.is_some_and(|left| left.at == count as u64), "{count}");
    }
}

#[test]
fn nothing_is_recognised_where_nothing_was_written() {
    assert_eq!(followed(off(), &log("R IDR0 0; R CR0 0")), Followed::default());
    assert_eq!(followed(off(), &log("W GERRORN 0; W CR0 0x40; W IRQ_CTRL 7")).profile, None);
}

#[test]
fn each_smmu_has_a_profile_of_its_own() {
    let (first, one) = adopted();
    let (second, mut two) = taken(Policy::Reset, crashed(), None);
    two.iter_mut()
        .filter(|entry| entry.op != Op::Barrier && entry.op != Op::Step)
        .for_each(|entry| entry.smmu = SmmuIndex(1));
    let found = [first, Found { smmu: SmmuIndex(1), ..second }];
    // Access by access in turn.
    let mut entries = Vec::new();
    for place in 0..one.len().max(two.len()) {
        entries.extend(one.get(place).into_iter().chain(two.get(place)).copied());
    }
    let report = check(&found, Coverage::ALL, &entries, true);
    assert_eq!(report.found, []);
    assert_eq!(report.followed[&SMMU].profile, Some(Profile::AdoptV10));
    assert_eq!(report.followed[&SmmuIndex(1)].profile, Some(Profile::Reset));
    assert_eq!(report.departures().count(), 0);
    // And what nothing was told of is not judged.
    let report = check(&found[..1], Coverage::ALL, &entries, true);
    assert!(report.unjudged > 0 && report.found.is_empty());
}

#[test]
fn a_combined_interrupt_has_no_message_addresses() {
    let (found, entries) = adopted();
    let is_message = |entry: &&Entry| entry.op == Op::RegWrite64 && entry.name().contains("IRQ_CFG0");
    let combined: Vec<Entry> = entries.iter().filter(|entry| !is_message(entry)).copied().collect();
    assert_eq!(followed(found, &combined).left, None);
}

/// Accesses of a real kernel, as QEMU traced them (facts: adopting-kernel.md 3, 7): registers alone.
fn traced(found: Found, text: &str) -> Report {
    check(&[found], Coverage::REGISTERS, &log(text), true)
}

const PROBE: &str = "R IDR0 0xd44101b; R IDR1 0x2730010; R IDR3 0x1404; R IDR5 0x74; R IIDR 0";
const RESTART: &str = "W64 CMDQ_BASE 0x4000000041000008; W CMDQ_PROD 0; W CMDQ_CONS 0";
const INVALIDATE: &str = "W CMDQ_PROD 2; R CMDQ_CONS 2; W CMDQ_PROD 4; R CMDQ_CONS 4";
const MESSAGES: &str = "W IRQ_CTRL 0; R IRQ_CTRLACK 0; W64 GERROR_IRQ_CFG0 0; W64 EVENTQ_IRQ_CFG0 0";
const DISABLE: &str =
    "R CR0 0xd; R GBPA 0x1000; W GBPA 0x80101000; R GBPA 0x101000; W CR0 0; R CR0ACK 0; W CR1 0xd75; W CR2 6;
    W64 STRTAB_BASE 0x4000000041100000; W STRTAB_BASE_CFG 0x10210";

#[test]
fn the_trace_of_the_real_adopting_kernel_is_adopt_v7() {
    let text = format!(
        "{PROBE}; R CR0 0xd; R GERROR 0; R GERRORN 0; R STRTAB_BASE_CFG 0x10210; R64 STRTAB_BASE 0x4000000040254000
         R CR0 0xd; W CR0 1; R CR0ACK 1; R GERROR 0; R GERRORN 0; {RESTART}; W CR0 9; R CR0ACK 9; {INVALIDATE}
         {MESSAGES}; W IRQ_CTRL 1; R IRQ_CTRLACK 1; W CR0 9; R CR0ACK 9"
    );
    let report = traced(enabled(), &text);
    assert_eq!(report.followed[&SMMU], Followed { profile: Some(Profile::AdoptV7), ..Followed::default() });
    assert_eq!(report.found, []);
}

#[test]
fn the_traces_of_its_fallback_and_of_the_released_kernel_are_resets() {
    let fallback = format!(
        "{PROBE}; R CR0 0xd; R GERROR 0; R GERRORN 0; R STRTAB_BASE_CFG 0x10210; R64 STRTAB_BASE 0x4000000040254000
         {DISABLE}; R GERROR 0; R GERRORN 0; {RESTART}; W CR0 8; R CR0ACK 8; {INVALIDATE}
         {MESSAGES}; W IRQ_CTRL 1; R IRQ_CTRLACK 1; W CR0 9; R CR0ACK 9"
    );
    let released = format!(
        "{PROBE}; {DISABLE}; {RESTART}; W CR0 8; R CR0ACK 8; {INVALIDATE}
         W64 EVENTQ_BASE 0x4000000041200008; W EVENTQ_PROD 0; W EVENTQ_CONS 0; W CR0 0xc; R CR0ACK 0xc
         {MESSAGES}; W IRQ_CTRL 5; R IRQ_CTRLACK 5; W CR0 9; R CR0ACK 9"
    );
    for (text, profile) in [(fallback, Profile::Fallback), (released, Profile::Reset)] {
        let report = traced(enabled(), &text);
        assert_eq!(report.followed[&SMMU], Followed { profile: Some(profile), ..Followed::default() });
        assert_eq!(report.found, []);
    }
}
