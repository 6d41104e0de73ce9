//! What is wrong with a table, as a value: never a panic, never silence.

use crate::rule::Rule;
use core::fmt;

/// How much a finding takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing is lost.
    Note,
    /// Firmware broke a rule; the table is still read as it was meant.
    Warning,
    /// Part of the table has no meaning and is left out.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One thing that is wrong with one table. Displays as one line: what, where, and what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule that the table broke: id, severity and words.
    pub rule: &'static Rule,
    /// Signature of the table.
    pub table: [u8; 4],
    /// Byte offset from the start of the table, where one place is to blame.
    pub offset: Option<u32>,
    /// The value found.
    pub found: Option<u64>,
    /// The bound or the other value that `found` disagrees with.
    pub against: Option<u64>,
}

impl Finding {
    /// A finding about the table as a whole.
    #[must_use]
    pub const fn new(rule: &'static Rule, table: [u8; 4]) -> Self {
        Self { rule, table, offset: None, found: None, against: None }
    }

    /// Names the place.
    #[must_use]
    pub fn at(mut self, offset: usize) -> Self {
        self.offset = u32::try_from(offset).ok();
        self
    }

    /// Names the value found there.
    #[must_use]
    pub fn found(mut self, value: impl Into<u64>) -> Self {
        self.found = Some(value.into());
        self
    }

    /// Names what the value found disagrees with.
    #[must_use]
    pub fn against(mut self, value: impl Into<u64>) -> Self {
        self.against = Some(value.into());
        self
    }

    /// Stable name of the broken rule, as in `E_MAP_LOOP`.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        self.rule.id
    }

    /// How much the finding takes away.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.rule.severity
    }
}

/// The words of a finding without its severity, id and place: what is wrong, and what would be right.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a>(pub &'a Finding);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { rule, found, against, .. } = self.0;
        f.write_str(rule.says)?;
        match (found, against) {
            (Some(found), Some(against)) => write!(f, " ({found:#x}, against {against:#x})")?,
            (Some(found), None) => write!(f, " ({found:#x})")?,
            (None, Some(against)) => write!(f, " (against {against:#x})")?,
            (None, None) => {}
        }
        write!(f, "; right: {}", rule.right)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.rule.severity, self.rule.id, self.table.escape_ascii())?;
        if let Some(offset) = self.offset {
            write!(f, "+{offset:#x}")?;
        }
        write!(f, ": {}", Words(self))
    }
}

/// Takes findings as they are made, so that making them needs no memory.
pub type Sink<'s> = dyn FnMut(Finding) + 's;

/// A table that cannot be read at all, with the finding that says why. The sink had it already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub Finding);

/// Delivers `finding` and makes it the reason why a table is not read.
pub(crate) fn refuse(finding: Finding, sink: &mut Sink<'_>) -> Unreadable {
    sink(finding);
    Unreadable(finding)
}
