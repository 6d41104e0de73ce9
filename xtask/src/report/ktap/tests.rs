//! The rules of the kernel's Documentation/dev-tools/ktap.rst, as a reader of its own: what it refuses the kernel's parser
//! (tools/testing/kunit/kunit_parser.py) counts as an error or passes over.

use wire::record::{Record, Verdict};

use super::render;
use crate::capture::fixture::*;
use crate::report::from_log;

const DIRECTIVES: [&str; 5] = ["SKIP", "TODO", "XFAIL", "TIMEOUT", "ERROR"];

/// A result line.
#[derive(Debug, PartialEq)]
struct Line {
    ok: bool,
    name: String,
    directive: Option<&'static str>,
}

/// A test with its subtests. The version line comes first, then the plan, then the results, numbered from 1.
fn block<'a>(
    lines: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>,
    indent: &str,
) -> Result<Vec<(Line, usize)>, String> {
    let mut next = || loop {
        match lines.peek() {
            Some(line) if line.trim_start().starts_with('#') => drop(lines.next()),
            other => return other.copied(),
        }
    };
    let version = next().and_then(|line| line.strip_prefix(indent));
    if version != Some("KTAP version 1") {
        return Err(format!("{version:?} where a version line is due"));
    }
    lines.next();
    let plan = lines.next().and_then(|line| line.strip_prefix(indent)?.strip_prefix("1..")?.parse::<usize>().ok());
    let plan = plan.ok_or("no plan after the version line")?;
    let deeper = format!("{indent}  ");
    let mut results = Vec::new();
    let mut inside = 0;
    while let Some(line) = lines.peek().copied() {
        if line.trim_start().starts_with('#') {
            lines.next();
        } else if line.strip_prefix(&deeper).is_some_and(|rest| !rest.starts_with(' ')) {
            inside = block(lines, &deeper)?.len();
        } else if let Some(rest) = line.strip_prefix(indent).filter(|rest| !rest.starts_with(' ')) {
            let result = result(rest, results.len() + 1)?;
            results.push((result, std::mem::take(&mut inside)));
            lines.next();
        } else {
            break;
        }
    }
    if results.len() == plan { Ok(results) } else { Err(format!("{} results, {plan} planned", results.len())) }
}

/// `<ok|not ok> <number> [<description>][ # [<directive>] [<diagnostic data>]]`.
fn result(line: &str, number: usize) -> Result<Line, String> {
    let wrong = |what: &str| Err(format!("`{line}`: {what}"));
    let (ok, rest) = match (line.strip_prefix("ok "), line.strip_prefix("not ok ")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return wrong("neither `ok` nor `not ok`"),
    };
    let Some((count, rest)) = rest.split_once(' ') else { return wrong("no description") };
    if count.parse() != Ok(number) {
        return wrong(&format!("number {number} is due"));
    }
    let (name, diagnostics) = rest.split_once(" # ").unwrap_or((rest, ""));
    if name.is_empty() || name.contains('#') || name.ends_with(' ') {
        return wrong("the description is empty, ends in a blank or holds a #");
    }
    let word = diagnostics.split(' ').next().unwrap_or_default();
    let directive = DIRECTIVES.into_iter().find(|known| *known == word);
    // Otherwise a reader takes a reason for a directive.
    if directive.is_none() && word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return wrong("a directive that there is not");
    }
    Ok(Line { ok, name: name.to_owned(), directive })
}

fn read(text: &str) -> Result<Vec<(Line, usize)>, String> {
    let mut lines = text.lines().peekable();
    let results = block(&mut lines, "")?;
    match lines.next() {
        None => Ok(results),
        Some(line) => Err(format!("`{line}` comes after the last result")),
    }
}

#[test]
fn the_kernels_rules_accept_what_is_written() {
    let report = from_log(&log(Some(&request()), &two_runs()));
    let results = read(&render(&report)).unwrap();
    let told: Vec<(&str, bool, usize)> = results.iter().map(|(line, inside)| (&*line.name, line.ok, *inside)).collect();
    assert_eq!(told, [("adopt", true, 3), ("reset", true, 3)]);
}

#[test]
fn a_lost_boot_a_planted_fault_and_odd_reasons_keep_to_the_rules() {
    let mut records = two_runs();
    for record in &mut records {
        match record {
            Record::Check { id: "cpu.no-serror", verdict, expected, reason, .. } => {
                (*verdict, *expected, *reason) = (Verdict::Skip, Verdict::Skip, "a # in it\nok 1 forged # SKIP");
            }
            Record::Check { verdict, reason, .. } => (*verdict, *reason) = (Verdict::NotCovered, "SKIP me"),
            _ => {}
        }
    }
    let mut report = from_log(&log(Some(&request()), &records));
    report.planted = Some("leaf-canary\nnot ok 1 forged".into());
    let results = read(&render(&report)).unwrap();
    assert_eq!(results.iter().filter(|(line, _)| line.ok).count(), 0);
    let lost = read(&render(&from_log(b""))).unwrap();
    assert_eq!(lost.iter().map(|(line, _)| (&*line.name, line.ok)).collect::<Vec<_>>(), [("boot", false)]);
}

#[test]
fn this_reader_refuses_what_the_rules_do() {
    let good = "KTAP version 1\n1..1\n  KTAP version 1\n  1..2\n  ok 1 a\n  not ok 2 b # XFAIL why\nok 1 all\n";
    assert!(read(good).is_ok());
    for (from, to) in [
        ("1..2", "1..3"),
        ("not ok 2", "not ok 3"),
        ("  1..2\n", ""),
        ("KTAP version 1\n1..1", "1..1"),
        ("ok 1 a", "okay 1 a"),
        ("ok 1 a", "ok 1 a # WAIVED why"),
        ("ok 1 all", "ok 1 #all"),
        ("ok 1 all\n", "ok 1 all\n  ok 3 c\n"),
    ] {
        assert!(read(&good.replacen(from, to, 1)).is_err(), "{from} to {to}");
    }
}
