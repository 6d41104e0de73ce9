//! From text to what is written, with as many of its mistakes as can be told.

use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

use crate::BoardError;
use crate::error::from_toml;

/// What a text says, and its mistakes. Beside mistakes there is something only where they are unknown keys: what else is
/// wrong makes the rest of the file a guess.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, text: &str) -> (Option<T>, Vec<BoardError>) {
    let (mut table, syntax) = DeTable::parse_recoverable(text);
    if !syntax.is_empty() {
        return (None, syntax.iter().map(|error| from_toml(path, text, error)).collect());
    }
    let mut mistakes = Vec::new();
    let mut are_unknown_keys = true;
    // Each turn takes an entry out, or is the last.
    loop {
        let error = match T::deserialize(Deserializer::from(table.clone())) {
            Ok(value) => return (Some(value).filter(|_| are_unknown_keys), mistakes),
            Err(error) => error,
        };
        let is_missing = error.message().starts_with("missing ");
        // What was taken out is missed, then.
        if !is_missing || are_unknown_keys {
            mistakes.push(from_toml(path, text, &error));
        }
        are_unknown_keys &= error.message().starts_with("unknown field");
        // Of a section that lacks something no more can be told, and of the others there can.
        let is_cut = error.span().is_some_and(|at| cut(table.get_mut(), &at));
        if !is_cut {
            return (None, mistakes);
        }
    }
}

/// Takes the innermost entry out that a mistake is at; `false` where there is none.
fn cut(table: &mut DeTable<'_>, at: &Range<usize>) -> bool {
    if table.iter_mut().any(|(_, value)| cut_inside(value.get_mut(), at)) {
        return true;
    }
    let is_here = |(key, value): &(&Spanned<_>, &Spanned<_>)| holds(&key.span(), at) || holds(&value.span(), at);
    let found = table.iter().find(is_here).map(|(key, _)| key.clone());
    found.is_some_and(|key| table.remove(&key).is_some())
}

fn cut_inside(value: &mut DeValue<'_>, at: &Range<usize>) -> bool {
    match value {
        DeValue::Table(table) => cut(table, at),
        DeValue::Array(items) => {
            if items.iter_mut().any(|item| cut_inside(item.get_mut(), at)) {
                return true;
            }
            let before = items.len();
            let all = std::mem::replace(items, DeArray::new());
            *items = all.into_iter().filter(|item| !holds(&item.span(), at)).collect();
            items.len() < before
        }
        _ => false,
    }
}

fn holds(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end && outer.start < outer.end
}
