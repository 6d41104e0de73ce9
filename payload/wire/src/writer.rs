//! The payload's side: records out, in sequence.

use crate::{
    Record,
    line::{Line, SEQUENCE_MASK},
};
use embedded_io::Write;

/// Free text in a record is cut to this many bytes, so that the line stays short enough.
const TEXT_MAX: usize = 240;

/// Why a record or line was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError<E> {
    /// The record's names are longer than a line; nothing was written.
    #[error("the record is longer than a line")]
    TooLong,
    /// The console refused.
    #[error("the console refused the line")]
    Console(E),
}

/// Writes records and KTAP lines to a console.
#[derive(Debug)]
pub struct Writer<W> {
    pub(crate) console: W,
    sequence: u32,
}

impl<W: Write> Writer<W> {
    /// A writer whose first record has number `next_sequence`: 0 at the start of a boot, else what the other image left.
    pub const fn new(console: W, next_sequence: u32) -> Self {
        Self { console, sequence: next_sequence & SEQUENCE_MASK }
    }

    /// Number of the next record; it passes from image to image.
    pub const fn next_sequence(&self) -> u32 {
        self.sequence
    }

    /// Goes on where another image stopped.
    pub const fn set_next_sequence(&mut self, sequence: u32) {
        self.sequence = sequence & SEQUENCE_MASK;
    }

    /// The console, for plain text between lines.
    pub const fn console(&mut self) -> &mut W {
        &mut self.console
    }

    /// Writes one record. Free text in it is cut to what a line holds.
    ///
    /// # Errors
    /// [`WriteError`]. The number of a record that the console refused is used up, so that the host notices the loss.
    pub fn write(&mut self, record: &Record<'_>) -> Result<(), WriteError<W::Error>> {
        let line = Line::encode(self.sequence, &clipped(*record)).ok_or(WriteError::TooLong)?;
        self.sequence = self.sequence.wrapping_add(1) & SEQUENCE_MASK;
        self.console.write_all(line.as_bytes()).map_err(WriteError::Console)
    }
}

fn clipped(record: Record<'_>) -> Record<'_> {
    match record {
        Record::Finding { severity, table, id, offset, text } => {
            Record::Finding { severity, table: clip(table), id: clip(id), offset, text: clip(text) }
        }
        Record::Check { run, cycle, id, verdict, expected, must_run, reason, source } => {
            let (reason, source) = (clip(reason), clip(source));
            Record::Check { run, cycle, id, verdict, expected, must_run, reason, source }
        }
        Record::Hello { wire, version, image, el, e2h, counter_hz } => {
            Record::Hello { wire, version: clip(version), image: clip(image), el, e2h, counter_hz }
        }
        Record::RunBegin { run, scenario, cycles, plant } => {
            Record::RunBegin { run, scenario: clip(scenario), cycles, plant: clip(plant) }
        }
        Record::Lost { reason } => Record::Lost { reason: clip(reason) },
        other => other,
    }
}

fn clip(text: &str) -> &str {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or("")
}
