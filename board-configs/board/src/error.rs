//! What can be wrong with a board file, and where.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::suggest::nearest;
use crate::{Credentials, Power, Serial};

/// Why a board cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// A file or folder cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no such board.
    #[error("no board `{name}`; {hint}")]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The nearest name, or all.
        hint: String,
    },
    /// A mistake in a board file.
    #[error("{}:{line}:{column}: {text}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong, and what would be right.
        text: String,
    },
}

impl BoardError {
    pub(crate) fn unknown(name: &str, names: &[String]) -> Self {
        let hint = match nearest(name, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", names.join(", ")),
        };
        Self::Unknown { name: name.to_owned(), hint }
    }

    /// Line and column, for an order; the first where there is no other.
    pub(crate) fn place(&self) -> (usize, usize) {
        match self {
            Self::Invalid { line, column, .. } => (*line, *column),
            _ => (0, 0),
        }
    }

    pub(crate) fn at(path: &Path, text: &str, span: Range<usize>, message: String) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Self::Invalid { path: path.to_owned(), line, column, text: message }
    }
}

/// Turns a parser's error into one line with its place, and a suggestion where a name is unknown.
pub(crate) fn from_toml(path: &Path, text: &str, error: &toml::de::Error) -> BoardError {
    let message = error.message().split('\n').collect::<Vec<_>>().join(" ");
    let span = error.span().unwrap_or(0..0);
    if message.starts_with("wanted exactly 1 element")
        && let Some((section, keys)) = choice(text, span.start)
    {
        let found = if message.ends_with("0 elements") { "none is here" } else { "several are here" };
        return BoardError::at(path, text, span, format!("`{section}` is exactly one of {keys}; {found}"));
    }
    let message =
        suggestion(&message).map_or_else(|| message.clone(), |near| format!("{message}; did you mean `{near}`?"));
    BoardError::at(path, text, span, message)
}

/// The nearest of the names that serde lists: "unknown field `a`, expected one of `b`, `c`".
fn suggestion(message: &str) -> Option<&str> {
    if !message.starts_with("unknown ") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let word = quoted.next()?;
    nearest(word, quoted)
}

/// The section whose key stands at or before `at` in its line, of those that hold one thing of several, and the keys of these.
fn choice(text: &str, at: usize) -> Option<(&'static str, String)> {
    let (before, after) = text.split_at_checked(at)?;
    let line = before.rsplit('\n').next()?;
    let key = after.split([']', '=', '\n']).next()?;
    let last = |text: &str| {
        let words = text.rsplit(|c: char| !c.is_ascii_lowercase());
        words.filter_map(|word| ["serial", "power", "credentials"].into_iter().find(|known| *known == word)).next()
    };
    let section = last(line).or_else(|| last(key))?;
    let keys = match section {
        "serial" => keys::<Serial>(),
        "power" => keys::<Power>(),
        _ => keys::<Credentials>(),
    };
    Some((section, keys?))
}

/// The keys that serde lists where it knows none: "unknown variant ``, expected one of `a`, `b`".
fn keys<T: DeserializeOwned>() -> Option<String> {
    let error = toml::from_str::<T>("'' = ''").err()?;
    let (_, keys) = error.message().split_once("expected ")?;
    Some(keys.trim_start_matches("one of ").to_owned())
}
