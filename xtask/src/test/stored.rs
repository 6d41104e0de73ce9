//! What the kernel of `ci/guest` says that its stores were meant to do (`do=stores`), against what the witness logged: each word with
//! what it held before and after, and nothing else there.

use std::collections::BTreeMap;

use serde_json::Value;

use super::expect::{self, Expected, ensure};

/// Address, before, after.
type Change = (u64, u64, u64);

/// The log has exactly these stores, in their order. One that is made in two parts of a word is two there.
pub fn exact(run: &Value, console: &str) -> Expected {
    let told = console.lines().filter_map(told).collect::<Result<Vec<_>, _>>()?;
    let first = told.iter().flat_map(|(_, changes)| changes).next().copied().ok_or("the kernel tells of no store")?;
    let words = first.0..first.0 + 512;
    let logged = expect::array(run, "access_log")?.iter().filter(|access| access["kind"] == "store");
    let logged = logged.map(change).collect::<Result<Vec<_>, _>>()?;
    let mut logged = logged.into_iter().filter(|(at, old, new)| words.contains(at) && old != new).peekable();
    // What the kernel fills the words with before.
    while logged.next_if(|change| *change != first).is_some() {}
    for (name, changes) in told {
        for changes in [changes.clone(), changes.into_iter().map(|(at, old, new)| (at, new, old)).collect()] {
            one(&mut logged, &changes).map_err(|what| format!("store {name}: {what}"))?;
        }
    }
    Ok(())
}

/// Each store to a word finds what the one before has left there, and one word has `least` of them.
pub fn chained(run: &Value, least: usize) -> Expected {
    let mut words: BTreeMap<u64, (u64, usize)> = BTreeMap::new();
    for access in expect::array(run, "access_log")?.iter().filter(|access| access["foreign"]["old"].is_string()) {
        let (at, old, new) = change(access)?;
        let (before, count) = words.get(&at).copied().unwrap_or((old, 0));
        ensure(before == old, || format!("{at:#x} was {before:#x}, and then {old:#x}: {access}"))?;
        words.insert(at, (new, count + 1));
    }
    let most = words.values().map(|(_, count)| *count).max().unwrap_or(0);
    ensure(most >= least, || format!("{most} stores to a word, and not {least}"))
}

/// The entries of one instruction, or of what undoes it.
fn one(logged: &mut impl Iterator<Item = Change>, changes: &[Change]) -> Expected {
    let wanted: BTreeMap<u64, (u64, u64)> = changes.iter().map(|(at, old, new)| (*at, (*old, *new))).collect();
    let mut seen: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let mut last = 0;
    while seen != wanted {
        let (at, old, new) = logged.next().ok_or_else(|| format!("the log ends before {:x?}", changes))?;
        let (first, before) = *seen.entry(at).or_insert((old, old));
        ensure(before == old && at >= last && wanted.contains_key(&at), || {
            format!("log entry {at:#x}: {old:#x} to {new:#x}, of {changes:x?}")
        })?;
        seen.insert(at, (first, new));
        last = at;
        ensure(seen.len() <= wanted.len(), || format!("{seen:x?}, not {wanted:x?}"))?;
    }
    Ok(())
}

/// `guest: store NAME: right: ADDRESS BEFORE AFTER, ... .`; loads have no changes.
fn told(line: &str) -> Option<Result<(String, Vec<Change>), String>> {
    let (name, rest) = line.split_once("guest: store ")?.1.split_once(": right: ")?;
    let change = |text: &str| match text.split_whitespace().map(hex).collect::<Option<Vec<_>>>()?[..] {
        [at, old, new] => Some((at, old, new)),
        _ => None,
    };
    let whole = rest.trim().strip_suffix('.');
    let each = whole.map(|rest| rest.split(", ").filter(|text| !text.is_empty()).map(change));
    let changes = each.and_then(Iterator::collect::<Option<Vec<_>>>);
    Some(changes.map(|changes| (name.to_owned(), changes)).ok_or_else(|| format!("not understood: {line}")))
}

fn change(access: &Value) -> Result<Change, String> {
    let number = |value: &Value| value.as_str().and_then(hex);
    let parts = (number(&access["address"]), number(&access["foreign"]["old"]), number(&access["value"]));
    match parts {
        (Some(at), Some(old), Some(new)) => Ok((at, old, new)),
        // What a table held when it was found has no value before.
        (Some(at), None, Some(new)) => Ok((at, new, new)),
        _ => Err(format!("no store: {access}")),
    }
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const CONSOLE: &str = "noise\r\nguest: store a: right: 0x1000 0x1 0x5, 0x1008 0x2 0x6.\r\nguest: store b: right: .\r\nguest: stores: 2 tried\r\n";

    fn run(stores: &[Change]) -> Value {
        let access = |(at, old, new): &Change| {
            let [at, old, new] = [at, old, new].map(|number| format!("{number:#x}"));
            json!({ "kind": "store", "address": at, "value": new, "foreign": { "old": old } })
        };
        json!({ "scenario": "witness", "access_log": stores.iter().map(access).collect::<Vec<_>>() })
    }

    #[test]
    fn a_lost_store_breaks_the_chain() {
        let counted = [(0x1000, 1, 2), (0x1008, 7, 9), (0x1000, 2, 3)];
        assert_eq!(chained(&run(&counted), 2), Ok(()));
        assert!(chained(&run(&counted), 3).is_err());
        assert!(chained(&run(&[(0x1000, 1, 2), (0x1000, 1, 2)]), 2).is_err());
    }

    #[test]
    fn a_log_is_compared_store_by_store() {
        let fill = [(0x1000, 0, 1), (0x1008, 0, 2)];
        let with = |more: &[Change]| exact(&run(&[&fill, more].concat()), CONSOLE);
        let undone = [(0x1000, 5, 1), (0x1008, 6, 2)];
        let all = |more: &[Change]| with(&[more, &undone].concat());
        assert_eq!(all(&[(0x1000, 1, 5), (0x1008, 2, 6)]), Ok(()));
        // In halves; with another value between; with a store of another word; without one of them; in another order.
        assert_eq!(all(&[(0x1000, 1, 5), (0x1008, 2, 4), (0x1008, 4, 6)]), Ok(()));
        assert!(all(&[(0x1000, 1, 5), (0x1008, 3, 6)]).is_err());
        assert!(all(&[(0x1000, 1, 5), (0x1010, 0, 9), (0x1008, 2, 6)]).is_err());
        assert!(all(&[(0x1000, 1, 5)]).is_err());
        assert!(with(&[(0x1000, 1, 5), (0x1008, 2, 6)]).is_err());
        assert!(exact(&run(&fill), "guest: stores: 0 tried").is_err());
    }
}
