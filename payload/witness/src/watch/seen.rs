//! An entry of the log, with what only a witness knows of it.

use smmu::log::{Entry, Log, Merge, What};

/// How the witness came to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The access itself trapped.
    Trapped,
    /// A command, read from the queue when it was announced.
    Announced,
    /// What a table held when something began to point to it, or when watching began: stored by somebody, at some time before.
    Snapshot,
}

/// Something that a foreign kernel did. Entries of our own policies have no such company: whatever stands in this log is
/// foreign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// As our own policies log it, and as checker and judge take it.
    pub entry: Entry,
    /// Virtual address of the instruction, in the kernel's own terms; of the one that announced or published otherwise.
    pub pc: u64,
    /// Affinity of the CPU that made it.
    pub cpu: u64,
    /// What a stored word held before.
    pub old: Option<u64>,
    /// How it is known.
    pub how: How,
}

impl Merge for Seen {
    /// A poll is one entry as long as it is one instruction of one CPU that polls.
    fn merge(&mut self, next: &Self) -> bool {
        let is_alike = (self.pc, self.cpu) == (next.pc, next.cpu)
            && self.how == next.how
            && self.old.is_none()
            && next.old.is_none();
        is_alike && self.entry.merge(&next.entry)
    }
}

/// The log, of which a part may have been told.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    pub(super) log: Log<Seen>,
    /// So many entries stay as they are.
    pub(super) closed: usize,
    /// The CPU whose trap is handled.
    pub(super) cpu: u64,
    /// The last access to a register for which there was no room.
    pub(super) beyond: Option<Seen>,
}

impl Journal {
    pub(super) fn record(&mut self, seen: Seen) {
        if self.log.entries().len() > self.closed {
            self.log.record(seen);
        } else {
            self.log.add(seen);
        }
        if self.log.overflowed() && seen.entry.what == What::Register {
            self.beyond = Some(seen);
        }
    }
}
