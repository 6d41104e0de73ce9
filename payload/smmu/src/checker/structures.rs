//! Stream table and CDs: what changes under the SMMU's eyes, and in which order (IHI 0070, 3.21.3).

use super::change::{Change, covers, is_valid, judge_change};
pub(super) use super::geometry::Geometry;
use super::geometry::{Tables, Target};
use super::queue::Sent;
use super::rules;
use super::unit::Context;
use crate::access::Structure;
use crate::log::{Entry, Op};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

/// Words, tables, fills and open changes that are kept; past that nothing is claimed about structures any more.
const MAX_WORDS: usize = 1 << 16;
const MAX_FILLS: usize = 1 << 8;
const MAX_CHANGES: usize = 1 << 8;
/// Words of a live table that one fill may change and still be judged one by one.
const MAX_FILLED: u32 = 1 << 12;

/// A word whose value is known; `at` is the log entry of the store, none for one that was only read.
#[derive(Clone, Copy, Debug)]
struct Word {
    value: u64,
    at: Option<u64>,
}

/// The same word many times.
#[derive(Clone, Copy, Debug)]
struct Fill {
    start: u64,
    stride: u64,
    count: u64,
    word: Word,
}

impl Fill {
    const fn covers(&self, at: u64) -> bool {
        match at.checked_sub(self.start) {
            Some(distance) => distance % self.stride == 0 && distance / self.stride < self.count,
            None => false,
        }
    }
}

/// Memory that nothing points to any more, which the SMMU may still use.
#[derive(Clone, Copy, Debug)]
struct Retired {
    owner: u64,
    target: Target,
    at: u64,
}

/// What is known of the structures of one SMMU.
#[derive(Clone, Debug, Default)]
pub(super) struct Structures {
    words: BTreeMap<u64, Word>,
    fills: Vec<Fill>,
    tables: Tables,
    changes: BTreeMap<u64, Change>,
    retired: Vec<Retired>,
    last_store: Option<u64>,
    /// Too much to remember: nothing is claimed any more.
    is_full: bool,
}

impl Structures {
    /// Takes a load, store or fill of any structure.
    pub(super) fn take(&mut self, cx: &mut Context<'_>, geometry: &Geometry, entry: &Entry, structure: Structure) {
        if self.is_full || !cx.coverage.structures || entry.unbacked {
            return;
        }
        match entry.op {
            Op::Load => {
                // Of merged loads only the first value is known.
                if matches!(structure, Structure::L1Std | Structure::Ste | Structure::L1Cd | Structure::Cd) {
                    self.learn(structure, entry.address, entry.value, None);
                }
            }
            Op::Fill if self.tables.place(geometry, entry.address).is_none() => self.fill(cx, entry, structure),
            _ if entry.count > MAX_FILLED => self.is_full = true,
            _ => {
                for step in 0..u64::from(entry.count) {
                    let at = entry.address.wrapping_add(step.wrapping_mul(entry.stride.into()));
                    self.store(cx, geometry, structure, at, entry.value);
                }
            }
        }
        self.is_full |= self.words.len() + self.tables.len() > MAX_WORDS
            || self.fills.len() > MAX_FILLS
            || self.changes.len() > MAX_CHANGES
            || self.retired.len() > MAX_CHANGES;
    }

    /// A fill of memory that is in no table in force.
    fn fill(&mut self, cx: &mut Context<'_>, entry: &Entry, structure: Structure) {
        self.judge_reuse(cx, structure, entry.address);
        let (start, count) = (entry.address, u64::from(entry.count));
        let word = Word { value: entry.value, at: Some(cx.index) };
        let fill = Fill { start, stride: u64::from(entry.stride).max(8), count, word };
        let end = start.saturating_add(fill.stride.saturating_mul(count));
        let stale: Vec<u64> = self.words.range(start..end).map(|(at, _)| *at).filter(|at| fill.covers(*at)).collect();
        for at in stale {
            self.words.remove(&at);
        }
        self.fills.retain(|old| old.start != start || old.stride != fill.stride || old.count > count);
        self.fills.push(fill);
        self.last_store = Some(cx.index);
    }

    fn store(&mut self, cx: &mut Context<'_>, geometry: &Geometry, structure: Structure, at: u64, value: u64) {
        self.judge_reuse(cx, structure, at);
        let place = self.tables.place(geometry, at);
        if let Some(place) = place.filter(|place| place.structure != structure) {
            let (new, old) = (crate::log::structure_name(structure), crate::log::structure_name(place.structure));
            cx.add(&rules::STRUCTURE_REUSED, &[], format!("a {new} is stored at {at:#x}, in a live table of {old}s"));
        }
        if !matches!(structure, Structure::L1Std | Structure::Ste | Structure::L1Cd | Structure::Cd) {
            return;
        }
        let old = self.value(at);
        if let Some(place) = place.filter(|place| place.structure == structure && old != Some(value)) {
            let first = self.value(place.at);
            let change = self.changes.entry(place.at).or_insert_with(|| Change::new(place));
            judge_change(cx, change, first, at, value);
            let is_pointer = place.at == at;
            let before = old.filter(|_| is_pointer).and_then(|word| Target::of(structure, word));
            let after = Target::of(structure, value).filter(|_| is_pointer);
            if let Some(target) = after.filter(|new| before.is_none_or(|old| old.start != new.start)) {
                self.judge_target(cx, target);
            }
            if let Some(target) = before.filter(|old| after.is_none_or(|new| new.start != old.start)) {
                self.retired.push(Retired { owner: place.at, target, at: cx.index });
            }
        }
        self.last_store = Some(cx.index);
        self.learn(structure, at, value, Some(cx.index));
    }

    /// The value of a word, where it is known.
    fn value(&self, at: u64) -> Option<u64> {
        let fill = || self.fills.iter().rev().find(|fill| fill.covers(at)).map(|fill| fill.word);
        self.words.get(&at).copied().or_else(fill).map(|word| word.value)
    }

    fn learn(&mut self, structure: Structure, at: u64, value: u64, stored: Option<u64>) {
        let is_pointer = !matches!(structure, Structure::Ste) || at.is_multiple_of(64);
        if is_pointer {
            let target = |word| Target::of(structure, word);
            self.tables.replace(at, self.value(at).and_then(target), target(value));
        }
        let at_store = stored.or_else(|| self.words.get(&at).and_then(|word| word.at));
        self.words.insert(at, Word { value, at: at_store });
    }

    /// Memory that was given up a moment ago.
    fn judge_reuse(&self, cx: &mut Context<'_>, structure: Structure, at: u64) {
        if let Some(retired) = self.retired.iter().find(|retired| retired.target.contains(at)) {
            let name = crate::log::structure_name(structure);
            let text = format!(
                "a {name} is stored at {at:#x}, which the structure at {:#x} pointed to: no CFGI and SYNC since",
                retired.owner
            );
            cx.add(&rules::STRUCTURE_REUSED, &[Some(retired.at)], text);
        }
    }

    /// A live pointer begins to lead to `target`.
    fn judge_target(&self, cx: &mut Context<'_>, target: Target) {
        let end = target.start.saturating_add(target.bytes);
        let words = self.words.range(target.start..end).filter_map(|(_, word)| word.at);
        let fills = self.fills.iter().filter(|fill| fill.start < end && target.start <= fill.start);
        let last = words.chain(fills.filter_map(|fill| fill.word.at)).max();
        if let Some(last) =
            last.filter(|last| cx.coverage.barriers && cx.barriers.publish.is_none_or(|barrier| barrier < *last))
        {
            let text =
                format!("a live structure points to {:#x}, and what was stored there is not published", target.start);
            cx.add(&rules::STRUCTURE_TARGET, &[Some(last)], text);
        }
    }

    /// Commands were announced: an invalidation comes after the word that it is for was published.
    pub(super) fn announced(&mut self, cx: &mut Context<'_>, commands: &[Sent]) {
        for sent in commands {
            for change in self.changes.values_mut() {
                if change.is_with_leaf_only(sent.command) {
                    change.leaf = Some(cx.index);
                }
                let is_published = cx.barriers.publish.is_some_and(|barrier| barrier > change.last);
                if covers(sent.command, change) && !is_published && cx.coverage.barriers {
                    let text = format!("{:#x} was changed and not published before its CFGI", change.place.at);
                    cx.add(&rules::STRUCTURE_BARRIER, &[Some(change.last)], text);
                }
            }
        }
    }

    /// A command is complete.
    pub(super) fn complete(&mut self, sent: &Sent) {
        let Self { changes, retired, .. } = self;
        changes.retain(|at, change| {
            let is_done = covers(sent.command, change) && sent.at > change.last;
            if is_done {
                retired.retain(|retired| retired.owner != *at);
            }
            !is_done
        });
    }

    /// SMMUEN is 0: nothing is read any more, and everything has to be invalidated before it is again.
    pub(super) fn disabled(&mut self) {
        self.changes.clear();
        self.retired.clear();
    }

    /// The last store, if it is not published.
    pub(super) fn unpublished(&self, publish: Option<u64>) -> Option<u64> {
        self.last_store.filter(|stored| publish.is_none_or(|barrier| barrier < *stored))
    }

    /// A live STE whose translated requests are checked by stage 1 only (EATS 0b10).
    pub(super) fn split_ats(&self, geometry: &Geometry) -> Option<u64> {
        let is_split = |at: u64, word: &Word| {
            at % 64 == 8
                && word.value >> 28 & 3 == 2
                && self.value(at - 8).is_some_and(|first| is_valid(Structure::Ste, first))
        };
        let is_ste = |at: u64| self.tables.place(geometry, at).is_some_and(|place| place.structure == Structure::Ste);
        self.words.iter().find(|(at, word)| is_split(**at, word) && is_ste(**at)).map(|(at, _)| at - 8)
    }

    /// The log ends, unbroken.
    pub(super) fn finish(&self, cx: &mut Context<'_>) {
        if self.is_full || !cx.coverage.commands {
            return;
        }
        for change in self.changes.values() {
            let name = crate::log::structure_name(change.place.structure);
            let (rule, what) = match change.leaf {
                Some(_) => (&rules::STRUCTURE_LEAF, "and only CFGI_STE with Leaf=1 followed"),
                None => (&rules::STRUCTURE_NO_CFGI, "and no matching CFGI with SYNC followed"),
            };
            let text = format!("the live {name} at {:#x} was changed, {what}", change.place.at);
            cx.out.add(rule, cx.smmu, &[Some(change.last), change.leaf], text);
        }
    }
}
