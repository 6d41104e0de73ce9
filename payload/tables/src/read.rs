//! Reading a layout at an offset, inside the bytes or not at all.

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Reads one `T` at `offset`; `None` where it would cross the end.
pub(crate) fn record<T: FromBytes + Unaligned>(bytes: &[u8], offset: usize) -> Option<T> {
    T::read_from_prefix(bytes.get(offset..)?).ok().map(|(value, _)| value)
}

/// Borrows `count` of `T` at `offset`; `None` where the array would cross the end.
pub(crate) fn array<T>(bytes: &[u8], offset: u32, count: u32) -> Option<&[T]>
where
    T: FromBytes + Unaligned + Immutable + KnownLayout,
{
    let rest = bytes.get(usize::try_from(offset).ok()?..)?;
    <[T]>::ref_from_prefix_with_elems(rest, usize::try_from(count).ok()?).ok().map(|(array, _)| array)
}
