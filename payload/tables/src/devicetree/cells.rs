//! Property values: 32-bit big-endian cells, and strings.

use zerocopy::FromBytes;
use zerocopy::big_endian::U32;

/// Cells of a property that are still to be read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cells<'a>(&'a [U32]);

impl<'a> Cells<'a> {
    /// The cells of a value; bytes behind the last whole one are left out.
    pub(super) fn new(value: &'a [u8]) -> Self {
        let (cells, _) = <[U32]>::ref_from_prefix_with_elems(value, value.len() / 4).unwrap_or_default();
        Self(cells)
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes one cell.
    pub(super) fn cell(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first.get())
    }

    /// Takes `count` cells.
    pub(super) fn take(&mut self, count: usize) -> Option<Self> {
        let (first, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(Self(first))
    }

    /// Takes a number of `count` cells, high cell first; of three cells or more the last two count, which is what
    /// devicetree calls the address in a PCI address.
    pub(super) fn number(&mut self, count: usize) -> Option<u64> {
        let cells = self.take(count)?;
        Some(cells.0.iter().fold(0_u64, |number, cell| number << 32 | u64::from(cell.get())))
    }
}

/// The strings of a list. What is no text ends it.
pub(super) fn strings(value: &[u8]) -> impl Iterator<Item = &str> {
    let value = value.strip_suffix(&[0]).unwrap_or(value);
    value.split(|byte| *byte == 0).map_while(|text| core::str::from_utf8(text).ok())
}
