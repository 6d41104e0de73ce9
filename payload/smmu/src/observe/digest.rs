//! Digests of all structures that decide where DMA goes, to show that a takeover left them byte for byte.

use super::{Budget, CdTable, Entry, ObserveError, Registers, cds, for_each_ste};
use crate::access::Access;

/// Folds 64-bit words into one: a step is a bijection of the state for any word, and of the word for any state, so that a
/// single word that changes always shows, and what a stray DMA leaves does but for one case in 2^64. A CRC byte by byte
/// takes ten times as long, in every crash.
pub struct Fold(u64);

impl Fold {
    /// Odd, so that multiplying by it is a bijection: 2^64 divided by the golden ratio.
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

    const fn new() -> Self {
        Self(Self::FACTOR)
    }

    /// Digest of `bytes`, as little-endian words; a last word that is not whole is not read.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> u64 {
        let mut fold = Self::new();
        for word in bytes.as_chunks().0 {
            fold.words(&[u64::from_le_bytes(*word)]);
        }
        fold.0
    }

    fn words(&mut self, words: &[u64]) {
        for word in words {
            self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(Self::FACTOR);
        }
    }
}

/// Digests of the structures, word by word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The linear stream table, or level 1.
    pub level1: u64,
    /// The level-2 tables that a look-up can reach, in level-1 order.
    pub level2: u64,
    /// CDs and their level-1 descriptors that valid stage-1 STEs lead to, in StreamID order.
    pub contexts: u64,
    /// Bytes under the three.
    pub bytes: u64,
}

/// Reads every structure that the registers lead to, in StreamID order; translation tables are not included.
///
/// # Errors
/// [`ObserveError`] where a structure lies outside memory, or all together are larger than `limit` bytes.
pub fn digest(hw: &mut dyn Access, registers: &Registers, limit: u64) -> Result<Digest, ObserveError> {
    let (mut level1, mut level2, mut contexts) = (Fold::new(), Fold::new(), Fold::new());
    let linear = registers.stream_table().split.is_none();
    let mut budget = Budget::new(limit);
    for_each_ste(hw, registers, &mut budget, &mut |hw: &mut dyn Access, budget: &mut Budget, entry| {
        let ste = match entry {
            Entry::Level1(descriptor) => {
                level1.words(&[descriptor.into_bits()]);
                return Ok(());
            }
            Entry::Ste { ste, .. } => ste,
        };
        let table = if linear { &mut level1 } else { &mut level2 };
        table.words(&ste);
        cds(hw, registers, &ste, budget, &mut |_: &mut dyn Access, _: &mut Budget, item| {
            match item {
                CdTable::Level1(descriptor) => contexts.words(&[descriptor.into_bits()]),
                CdTable::Cd { cd, .. } => contexts.words(&cd),
            }
            Ok::<(), ObserveError>(())
        })
    })?;
    Ok(Digest { level1: level1.0, level2: level2.0, contexts: contexts.0, bytes: budget.used() })
}
