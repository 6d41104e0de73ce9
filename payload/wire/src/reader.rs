//! The host's side: finds machine lines in what a console sends, and notices what is missing.

pub use crate::line::Damage;
use crate::{
    Record,
    line::{LINE_MAX, PREFIX, SEQUENCE_MASK, decode},
};

#[cfg(test)]
mod tests;

/// Something wrong with the stream of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Anomaly {
    /// Lines are missing. A damaged line is also missing, and so are lines from before the capture began.
    #[error("{count} line(s) missing from number {first} on")]
    Lost {
        /// Number of the first one.
        first: u32,
        /// How many.
        count: u32,
    },
    /// A line came again, or late; its record is not reported twice.
    #[error("line {sequence} came twice")]
    Doubled {
        /// Its number.
        sequence: u32,
    },
    /// A line is damaged.
    #[error("damaged line: {0}")]
    Damaged(Damage),
    /// The payload started again in the middle: the board was reset.
    #[error("the payload started again after line {last}")]
    Restarted {
        /// Number of the last line before.
        last: u32,
    },
}

/// One thing found on the console.
#[expect(clippy::large_enum_variant, reason = "it is lent to a closure and never stored")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item<'a> {
    /// A record, whole and in its place.
    Record {
        /// Its number.
        sequence: u32,
        /// The record.
        record: Record<'a>,
    },
    /// Something wrong.
    Anomaly(Anomaly),
    /// Other text: firmware, KTAP, noise. Escape sequences are removed; may be part of a line if that is very long.
    Text(&'a [u8]),
}

/// Where the reader is in an ANSI escape sequence (ECMA-48, 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    None,
    Begun,
    Control,
}

/// Reads a console, byte by byte, with whatever is mixed in.
#[derive(Debug)]
pub struct Reader {
    segment: [u8; LINE_MAX + 24],
    len: usize,
    is_line: bool,
    escape: Escape,
    expected: u32,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    /// A reader at the start of a boot.
    #[must_use]
    pub const fn new() -> Self {
        Self { segment: [0; LINE_MAX + 24], len: 0, is_line: false, escape: Escape::None, expected: 0 }
    }

    /// Takes what came from the console and reports what is complete. Chunks may be cut anywhere.
    pub fn feed(&mut self, bytes: &[u8], mut report: impl FnMut(Item<'_>)) {
        for byte in bytes {
            self.take(*byte, &mut report);
        }
    }

    /// Ends the capture: a line without its end is reported as cut, or as the text it is.
    pub fn finish(&mut self, mut report: impl FnMut(Item<'_>)) {
        self.flush(&mut report);
    }

    fn take(&mut self, byte: u8, report: &mut impl FnMut(Item<'_>)) {
        let escape = self.escape;
        self.escape = match (escape, byte) {
            (_, 0x1B) => Escape::Begun,
            (Escape::Begun, b'[') => Escape::Control,
            (Escape::Control, b' '..=b'?') => Escape::Control,
            _ => Escape::None,
        };
        match byte {
            // A line's end also ends a cut sequence.
            b'\r' | b'\n' => self.flush(report),
            0x1B => {}
            _ if escape == Escape::None => self.push(byte, report),
            _ => {}
        }
    }

    fn push(&mut self, byte: u8, report: &mut impl FnMut(Item<'_>)) {
        if self.len == self.segment.len() {
            self.make_room(report);
        }
        if let Some(slot) = self.segment.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
        // A prefix begins a line wherever it stands: its predecessor may have lost its end.
        if byte == b' '
            && let Some(before) = self.len.checked_sub(PREFIX.len())
            && self.segment.get(before..self.len) == Some(PREFIX.as_bytes())
        {
            self.len = before;
            self.flush(report);
            self.is_line = true;
            self.len = PREFIX.len();
            self.segment[..PREFIX.len()].copy_from_slice(PREFIX.as_bytes());
        }
    }

    /// Gives out most of an overlong segment; keeps what may be the beginning of a prefix.
    fn make_room(&mut self, report: &mut impl FnMut(Item<'_>)) {
        let kept = self.len - (PREFIX.len() - 1);
        if self.is_line {
            report(Item::Anomaly(Anomaly::Damaged(Damage::TooLong)));
            self.is_line = false;
        } else {
            report(Item::Text(self.segment.get(..kept).unwrap_or(&[])));
        }
        self.segment.copy_within(kept..self.len, 0);
        self.len -= kept;
    }

    fn flush(&mut self, report: &mut impl FnMut(Item<'_>)) {
        let (len, is_line) = (self.len, self.is_line);
        self.len = 0;
        self.is_line = false;
        let Some(segment) = self.segment.get(..len) else { return };
        if !is_line {
            if !segment.is_empty() {
                report(Item::Text(segment));
            }
            return;
        }
        let mut payload = [0; LINE_MAX];
        match decode(segment, &mut payload) {
            Ok((sequence, record)) => place(&mut self.expected, sequence, record, report),
            Err(damage) => report(Item::Anomaly(Anomaly::Damaged(damage))),
        }
    }
}

/// Reports a record where its number says that it belongs, and what is missing before it.
fn place(expected: &mut u32, sequence: u32, record: Record<'_>, report: &mut impl FnMut(Item<'_>)) {
    let ahead = sequence.wrapping_sub(*expected) & SEQUENCE_MASK;
    let is_late = ahead > SEQUENCE_MASK / 2;
    // The first line of a boot, doubled, is only a doubled line.
    if is_late && sequence == 0 && *expected > 1 && matches!(record, Record::Hello { .. }) {
        report(Item::Anomaly(Anomaly::Restarted { last: *expected - 1 }));
    } else if is_late {
        report(Item::Anomaly(Anomaly::Doubled { sequence }));
        return;
    } else if ahead > 0 {
        report(Item::Anomaly(Anomaly::Lost { first: *expected, count: ahead }));
    }
    *expected = sequence.wrapping_add(1) & SEQUENCE_MASK;
    report(Item::Record { sequence, record });
}
