//! Findings made before there is a console, kept until there is one.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use tables::{Finding, Words};
use wire::{Record, record::Severity};

struct Note {
    severity: Severity,
    table: String,
    id: &'static str,
    offset: Option<u32>,
    text: String,
}

/// Findings in the order in which they were made.
#[derive(Default)]
pub(crate) struct Notes(Vec<Note>);

impl Notes {
    /// Keeps a finding of the payload's own.
    pub(crate) fn add(&mut self, severity: Severity, about: &str, id: &'static str, text: impl Into<String>) {
        self.0.push(Note { severity, table: about.into(), id, offset: None, text: text.into() });
    }

    /// Keeps what is wrong in configuration space.
    pub(crate) fn pci(&mut self, fault: &pci::Fault) {
        let (id, offset) = (fault.id(), Some(fault.offset.into()));
        self.0.push(Note { severity: Severity::Warning, table: "PCI".into(), id, offset, text: fault.to_string() });
    }

    /// Keeps what a table reader found.
    pub(crate) fn table(&mut self, finding: Finding) {
        let severity = match finding.severity() {
            tables::Severity::Note => Severity::Note,
            tables::Severity::Warning => Severity::Warning,
            tables::Severity::Error => Severity::Error,
        };
        let table = format!("{}", finding.table.escape_ascii());
        self.0.push(Note {
            severity,
            table,
            id: finding.id(),
            offset: finding.offset,
            text: Words(&finding).to_string(),
        });
    }

    /// Writes and forgets them.
    pub(crate) fn say(&mut self) {
        for note in self.0.drain(..) {
            arch::console::record(&Record::Finding {
                severity: note.severity,
                table: &note.table,
                id: note.id,
                offset: note.offset,
                text: &note.text,
            });
        }
    }
}
