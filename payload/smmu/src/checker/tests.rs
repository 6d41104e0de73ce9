//! The checker on logs written by hand, on the logs of the policies, and on mutants of them.

mod bounds;
mod commands;
mod guards;
mod mutation;
mod order;
mod pairs;
mod policies;
mod profiles;
mod text;
mod world;

use super::*;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use text::log;
use world::{SMMU, enabled, off};

/// A log that keeps a rule, and one that breaks it.
struct Pair {
    rule: &'static str,
    found: Found,
    keeps: Vec<Entry>,
    breaks: Vec<Entry>,
}

/// Both logs in the words of [`text::log`], with what they have in common before and after.
fn pair(rule: &'static str, found: Found, before: &str, keeps: &str, breaks: &str, after: &str) -> Pair {
    let of = |own: &str| log(&format!("{before}\n{own}\n{after}"));
    Pair { rule, found, keeps: of(keeps), breaks: of(breaks) }
}

fn judged(found: Found, entries: &[Entry]) -> Report {
    check(&[found], Coverage::ALL, entries, true)
}

/// Rules that a log breaks, by name.
fn broken(report: &Report) -> Vec<&str> {
    report.found.iter().map(|found| found.rule).collect()
}
