//! PCI functions that do DMA, and what became of it.

use crate::walk::{Path, Stop};
use addr::{Iova, PhysAddr, StreamId};
use smmu::access::SmmuIndex;
use smmu::spec::cd::Cd;
use smmu::spec::ste::Ste;

/// A range that a function uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First input address.
    pub iova: Iova,
    /// Where DMA to it must land; `None` where it must not land at all.
    pub target: Option<PhysAddr>,
    /// Bytes of one transaction.
    pub bytes: u64,
    /// The function writes.
    pub write: bool,
}

impl Window {
    /// Writes of 64 bytes to `iova`, which must land at `target`.
    #[must_use]
    pub const fn new(iova: Iova, target: PhysAddr) -> Self {
        Self { iova, target: Some(target), bytes: 64, write: true }
    }
}

/// A PCI function that goes on doing DMA.
#[derive(Clone, Debug)]
pub struct Function {
    /// The SMMU before it.
    pub smmu: SmmuIndex,
    /// Its StreamID.
    pub stream: StreamId,
    /// Its PASID, if it uses one.
    pub substream: Option<u32>,
    /// What it uses.
    pub windows: Vec<Window>,
    /// It does DMA now.
    pub live: bool,
}

impl Function {
    /// A live function behind SMMU 0 without PASID.
    #[must_use]
    pub fn new(stream: StreamId, windows: &[Window]) -> Self {
        Self { smmu: SmmuIndex(0), stream, substream: None, windows: windows.to_vec(), live: true }
    }
}

/// What became of one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// Arrived where it must.
    Delivered(PhysAddr, Path),
    /// Did not arrive.
    Blocked(Stop),
    /// Arrived elsewhere, or where nothing must arrive.
    MisSteered(PhysAddr, Path),
}

impl Outcome {
    /// Arrived where it must.
    #[must_use]
    pub const fn is_delivered(self) -> bool {
        matches!(self, Self::Delivered(..))
    }

    /// Did not arrive.
    #[must_use]
    pub const fn is_blocked(self) -> bool {
        matches!(self, Self::Blocked(_))
    }

    /// Arrived at the physical address that equals its input address, which is not its target.
    #[must_use]
    pub const fn is_identity(self) -> bool {
        matches!(self, Self::MisSteered(_, Path::Bypass | Path::Disabled))
    }
}

/// One transaction, or several in a row with the same result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Number of the first access of the CPU after which it was tried.
    pub access: u64,
    /// Index of the function.
    pub function: usize,
    /// Index of its window.
    pub window: usize,
    /// What became of it.
    pub outcome: Outcome,
    /// The STE that was used.
    pub ste: Option<Ste>,
    /// The CD that was used.
    pub cd: Option<Cd>,
    /// The step of the policy that had begun.
    pub step: &'static str,
    /// How many in a row.
    pub count: u32,
}

/// What was seen, bounded.
#[derive(Clone, Debug, Default)]
pub struct Record {
    rows: Vec<Seen>,
    /// The last row of each function and window.
    last: Vec<((usize, usize), usize)>,
    dropped: u64,
}

impl Record {
    /// Rows kept.
    const MOST: usize = 1 << 14;

    /// The rows, in order of their first transaction.
    #[must_use]
    pub fn rows(&self) -> &[Seen] {
        &self.rows
    }

    /// Transactions that found no room: a test that looks at all of them must find 0 here.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn add(&mut self, seen: Seen) {
        let key = (seen.function, seen.window);
        let last = self.last.iter_mut().find(|(known, _)| *known == key);
        if let Some((_, index)) = &last
            && let Some(row) = self.rows.get_mut(*index)
            && (Seen { access: seen.access, count: 1, ..*row }) == seen
        {
            row.count = row.count.saturating_add(1);
            return;
        }
        if self.rows.len() == Self::MOST {
            self.dropped += 1;
            return;
        }
        match last {
            Some((_, index)) => *index = self.rows.len(),
            None => self.last.push((key, self.rows.len())),
        }
        self.rows.push(seen);
    }

    /// Transactions whose outcome `which` selects.
    #[must_use]
    pub fn count(&self, which: impl Fn(&Seen) -> bool) -> u64 {
        self.rows.iter().filter(|row| which(row)).map(|row| u64::from(row.count)).sum()
    }
}
