//! What the checker notices of a policy that does one access wrong.

extern crate std;

use super::mutants::{Kind, Mutant, is_caught, judge, mutants};
use super::*;
use crate::access::Structure;
use crate::log::Op;
use crate::spec::command::opcode;
use crate::spec::registers as reg;
use crate::takeover::Policy;
use addr::PhysAddr;
use alloc::collections::BTreeMap;
use std::println;
use world::{L2, taken, variants};

/// Why a mutant that is not caught is none that changes what the SMMU does.
const LOOK: &str = "a look has no effect, and no write depends on this one";
const SAME_AGAIN: &str = "the same value again, or the same poll";
const NOT_ANNOUNCED: &str = "the order of stores to memory that is not handed over yet, and of reads, is free";
const UNUSED_BITS: &str = "bits that are RES0 or that the command does not use";
/// Why one that would is not seen: what it takes is not in the log.
const MEMORY_BEHIND: &str = "NOT IN THE LOG: how much memory is behind a queue";
const WHICH_RMR: &str = "NOT IN THE LOG: which streams have RMR nodes";
const INSIDE_A_SCAN: &str = "NOT IN THE LOG: values inside a merged scan, here the STE that names the CD";

const WHOSE_CPU: &str = "NOT IN THE LOG: whether the CPU runs with E2H, which CR2.E2H follows";

fn is_register(entry: &Entry, offsets: &[u32]) -> bool {
    entry.what == What::Register && offsets.iter().any(|offset| u64::from(*offset) == entry.address)
}

/// A read that nothing waits for.
fn is_look(entry: &Entry) -> bool {
    let is_read = matches!(entry.op, Op::RegRead32 | Op::RegRead64 | Op::Load);
    is_read && !is_poll(entry)
}

fn is_poll(entry: &Entry) -> bool {
    entry.op == Op::RegRead32 && is_register(entry, &[reg::CR0ACK, reg::IRQ_CTRLACK, reg::CMDQ_CONS, reg::GBPA])
}

fn is_memory(entry: &Entry) -> bool {
    matches!(entry.op, Op::Store | Op::Fill)
}

/// The reason for which a mutant need not be caught, if it is one of those.
fn excused(log: &[Entry], mutant: &Mutant) -> Option<&'static str> {
    let entry = &log[mutant.at];
    let next = log[mutant.at + 1..].iter().find(|entry| entry.op != Op::Step);
    let is_ste = entry.what == What::Structure(Structure::Ste);
    match mutant.kind {
        Kind::Dropped if is_poll(entry) && next.is_some_and(|next| is_poll(next) && next.address == entry.address) => {
            Some(SAME_AGAIN)
        }
        Kind::Altered(1) if is_register(entry, &[reg::CR2]) => Some(WHOSE_CPU),
        Kind::Dropped if entry.what == What::Structure(Structure::Cd) && is_look(entry) => Some(INSIDE_A_SCAN),
        Kind::Dropped if is_ste && entry.op == Op::Store => Some(WHICH_RMR),
        // A poll of GBPA with Update 0 before its write: Update was found 0, and nobody else writes it.
        Kind::Altered(_) if is_register(entry, &[reg::GBPA]) && entry.op == Op::RegRead32 => Some(LOOK),
        Kind::Dropped | Kind::Altered(_) if is_look(entry) => Some(LOOK),
        Kind::Doubled if is_look(entry) || is_poll(entry) || is_memory(entry) || entry.op == Op::Barrier => {
            Some(SAME_AGAIN)
        }
        Kind::Doubled if is_register(entry, &[reg::CMDQ_PROD]) && entry.value != 0 => Some(SAME_AGAIN),
        Kind::Swapped => {
            let next = next?;
            let is_passive = |entry: &Entry| is_look(entry) || is_memory(entry);
            let is_free = (is_passive(entry) && is_passive(next))
                || (is_poll(entry) && is_passive(next))
                || (is_look(entry) && (next.op == Op::Barrier || is_poll(next)))
                || (entry.op == Op::Barrier && is_look(next));
            is_free.then_some(NOT_ANNOUNCED)
        }
        Kind::Altered(1) if is_register(entry, &[reg::STRTAB_BASE]) => Some(UNUSED_BITS),
        Kind::Altered(1) if is_register(entry, &[reg::CMDQ_BASE, reg::EVENTQ_BASE, reg::PRIQ_BASE]) => {
            Some(MEMORY_BEHIND)
        }
        // MSIAddr of a CMD_SYNC that signals by SEV.
        Kind::Altered(0x40) if entry.what == What::Structure(Structure::Command) && entry.address % 16 == 8 => {
            let before = &log[mutant.at - 1];
            (before.value as u8 == opcode::SYNC).then_some(UNUSED_BITS)
        }
        _ => None,
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Dropped => "dropped",
        Kind::Doubled => "doubled",
        Kind::Swapped => "swapped",
        Kind::Altered(_) => "altered",
    }
}

/// Logs that are mutated: adoption, reset and fallback on every fake.
fn logs() -> Vec<(String, Found, Vec<Entry>)> {
    let mut logs = Vec::new();
    for (name, fake) in variants() {
        let mut damaged = fake.clone();
        damaged.poke(PhysAddr(L2 + 7 * 64), 0b0011);
        let ways = [
            ("adopt", Policy::Adopt, fake.clone()),
            ("reset", Policy::Reset, fake),
            ("fallback", Policy::Adopt, damaged),
        ];
        for (way, policy, fake) in ways {
            let (found, log) = taken(policy, fake, None);
            logs.push((format!("{way}, {name}"), found, log));
        }
    }
    logs
}

#[test]
fn every_mutant_that_changes_behaviour_is_caught() {
    let mut reasons: BTreeMap<&str, u32> = BTreeMap::new();
    let (mut missed, mut unhelpful) = (Vec::new(), Vec::new());
    println!("{:28} {:>13} {:>13} {:>13} {:>13}", "mutants caught of made", "dropped", "doubled", "swapped", "altered");
    for (log_name, found, log) in logs() {
        let mut counts: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
        for mutant in mutants(&log) {
            let report = judge(&[found], &mutant);
            let count = counts.entry(name(mutant.kind)).or_default();
            count.1 += 1;
            if is_caught(&report) {
                count.0 += 1;
                let is_pointed = report.found.iter().flat_map(|found| &found.entries).all(|at| *at < report.entries);
                if !is_pointed {
                    unhelpful.push(mutant.at);
                }
                continue;
            }
            match excused(&log, &mutant) {
                Some(reason) => *reasons.entry(reason).or_default() += 1,
                None => missed.push(format!("{log_name}: entry {} {:?} {:?}", mutant.at, mutant.kind, log[mutant.at])),
            }
        }
        let cell = |kind| counts.get(kind).map_or(String::new(), |(caught, made)| format!("{caught} of {made}"));
        let [a, b, c, d] = ["dropped", "doubled", "swapped", "altered"].map(cell);
        println!("{log_name:28} {a:>13} {b:>13} {c:>13} {d:>13}");
        let made: u32 = counts.values().map(|(_, made)| made).sum();
        assert!(made >= 40 && counts.values().all(|(caught, _)| *caught > 0), "{log_name}");
    }
    println!("\nnot caught, and why:");
    reasons.iter().for_each(|(reason, count)| println!("{count:6} {reason}"));
    assert_eq!(missed, Vec::<String>::new());
    assert_eq!(unhelpful, []);
    // A reason that excuses nothing is one too many.
    assert_eq!(reasons.len(), 8, "{reasons:?}");
}
