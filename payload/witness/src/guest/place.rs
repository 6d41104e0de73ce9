//! Where kernel, initrd, devicetree and core header go in the memory that the crash kernel may use (Linux,
//! Documentation/arch/arm64/booting.rst).
//!
//! The kernel lies at the beginning and everything else at the end, so that what is left between is in one piece.

use super::image::{ALIGNMENT, Image};
use addr::PhysAddr;
use core::ops::Range;
use thiserror::Error;

/// Largest page that a kernel may have: what it reserves page by page shares none.
const PAGE: u64 = 0x1_0000;
/// Kernel and initrd have to lie in one window of this size, whose beginning is a multiple of [`WINDOW_ALIGNMENT`].
const WINDOW: u64 = 32 << 30;
const WINDOW_ALIGNMENT: u64 = 1 << 30;
/// Longest devicetree that a kernel takes.
pub const MAX_TREE_BYTES: u64 = 2 << 20;

/// What has to be placed, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The kernel.
    pub image: Image,
    /// The initrd; 0 for none.
    pub initrd: u64,
    /// The devicetree with everything that is going to be added.
    pub tree: u64,
    /// The core header, and what else has to last (the memory map of UEFI).
    pub kept: u64,
    /// What the kernel needs beside to work with.
    pub least_free: u64,
}

/// Where everything is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The kernel's first instruction.
    pub entry: PhysAddr,
    /// Everything of the kernel, with its BSS.
    pub kernel: Range<PhysAddr>,
    /// The initrd, if there is one.
    pub initrd: Option<Range<PhysAddr>>,
    /// The devicetree.
    pub tree: Range<PhysAddr>,
    /// Core header and memory map.
    pub kept: Range<PhysAddr>,
}

/// It cannot be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoRoom {
    /// There is too little memory.
    #[error(
        "no room for the kernel in {start:#x}..{end:#x} ({have} KiB): {need} KiB are needed, {kernel} of them for the \
         kernel, {initrd} for the initrd, {rest} for devicetree and core header, {free} to work with"
    )]
    TooLittle {
        /// First byte that may be used.
        start: u64,
        /// The first byte behind.
        end: u64,
        /// KiB that are there, from the first 2 MiB boundary on.
        have: u64,
        /// KiB that are needed.
        need: u64,
        /// KiB of the kernel.
        kernel: u64,
        /// KiB of the initrd.
        initrd: u64,
        /// KiB of devicetree and core header.
        rest: u64,
        /// KiB that have to stay free.
        free: u64,
    },
    /// The kernel would not take it.
    #[error("the devicetree has {0} bytes: a kernel takes {MAX_TREE_BYTES} at most")]
    TreeTooLong(u64),
}

/// Finds a place for everything in `usable`.
///
/// # Errors
/// [`NoRoom`], with the figures.
pub fn place(usable: Range<PhysAddr>, wanted: &Wanted) -> Result<Placement, NoRoom> {
    if wanted.tree > MAX_TREE_BYTES {
        return Err(NoRoom::TreeTooLong(wanted.tree));
    }
    let (start, end) = (usable.start.0, usable.end.0);
    let pages = |bytes: u64| bytes.checked_next_multiple_of(PAGE).unwrap_or(u64::MAX);
    let kernel = pages(wanted.image.text_offset.saturating_add(wanted.image.memory_bytes));
    let (initrd, tree, kept) = (pages(wanted.initrd), pages(wanted.tree), pages(wanted.kept));
    let rest = tree.saturating_add(kept);
    let need = [kernel, initrd, rest, wanted.least_free].iter().fold(0, |sum: u64, bytes| sum.saturating_add(*bytes));
    let base = start.checked_next_multiple_of(ALIGNMENT).unwrap_or(u64::MAX);
    let window_end = (base & !(WINDOW_ALIGNMENT - 1)).saturating_add(WINDOW);
    let top = end.min(window_end) & !(PAGE - 1);
    let have = top.saturating_sub(base);
    if have < need {
        let kib = |bytes: u64| bytes.div_ceil(1024);
        return Err(NoRoom::TooLittle {
            start,
            end,
            have: have / 1024,
            need: kib(need),
            kernel: kib(kernel),
            initrd: kib(initrd),
            rest: kib(rest),
            free: kib(wanted.least_free),
        });
    }
    // From the top down; that it fits was just seen.
    let range = |start: u64, bytes: u64| PhysAddr(start)..PhysAddr(start.saturating_add(bytes));
    let kept_at = top.saturating_sub(kept);
    let tree_at = kept_at.saturating_sub(tree);
    let initrd_at = tree_at.saturating_sub(initrd);
    let entry = base.saturating_add(wanted.image.text_offset);
    Ok(Placement {
        entry: PhysAddr(entry),
        kernel: range(entry, wanted.image.memory_bytes),
        initrd: (wanted.initrd != 0).then(|| range(initrd_at, wanted.initrd)),
        tree: range(tree_at, wanted.tree),
        kept: range(kept_at, wanted.kept),
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::guest::image::Pages;
    use proptest::prelude::*;
    use std::string::ToString;
    use std::vec::Vec;

    const MIB: u64 = 1 << 20;

    fn wanted(text_offset: u64, kernel: u64, initrd: u64) -> Wanted {
        let image =
            Image { text_offset, memory_bytes: kernel, pages: Pages::Of4K, is_anywhere: true, has_efi_stub: false };
        Wanted { image, initrd, tree: 0x1_2345, kept: 0x2000, least_free: 64 * MIB }
    }

    #[test]
    fn kernel_first_and_the_rest_at_the_end() {
        let usable = PhysAddr(0x6000_0000)..PhysAddr(0x8000_0000);
        let placed = place(usable, &wanted(0, 0x0324_0000, 0x10_0001)).expect("room");
        assert_eq!(placed.entry, PhysAddr(0x6000_0000));
        assert_eq!(placed.kernel, PhysAddr(0x6000_0000)..PhysAddr(0x6324_0000));
        assert_eq!(placed.kept, PhysAddr(0x7FFF_0000)..PhysAddr(0x7FFF_2000));
        assert_eq!(placed.tree, PhysAddr(0x7FFD_0000)..PhysAddr(0x7FFE_2345));
        assert_eq!(placed.initrd, Some(PhysAddr(0x7FEC_0000)..PhysAddr(0x7FFC_0001)));
    }

    #[test]
    fn figures_are_told_where_there_is_no_room() {
        let usable = PhysAddr(0x6000_1000)..PhysAddr(0x6800_0000);
        let text = place(usable, &wanted(0, 0x0324_0000, 32 * MIB)).err().map(|error| error.to_string());
        let expected = "no room for the kernel in 0x60001000..0x68000000 (129024 KiB): 149952 KiB are needed, 51456 of them \
                        for the kernel, 32768 for the initrd, 192 for devicetree and core header, 65536 to work with";
        assert_eq!(text.as_deref(), Some(expected));
        let long = Wanted { tree: 3 * MIB, ..wanted(0, MIB, 0) };
        assert_eq!(place(PhysAddr(0)..PhysAddr(1 << 40), &long), Err(NoRoom::TreeTooLong(3 * MIB)));
    }

    #[test]
    fn kernel_and_initrd_stay_within_32_gib() {
        let placed = place(PhysAddr(0x40_4000_0000)..PhysAddr(0x100_0000_0000), &wanted(0, MIB, MIB)).expect("room");
        assert!(placed.initrd.is_some_and(|initrd| initrd.end.0 <= 0x40_4000_0000 + (32 << 30)));
    }

    proptest! {
        #[test]
        fn what_is_placed_is_inside_aligned_and_apart(
            start in 0_u64..1 << 40, bytes in 0_u64..1 << 31, pages in 0_u64..512, kernel in 1_u64..1 << 28,
            initrd in prop_oneof![Just(0), 1_u64..1 << 28],
        ) {
            let usable = PhysAddr(start)..PhysAddr(start + bytes);
            let wanted = wanted(pages * 0x1000, kernel, initrd);
            let sum = wanted.image.text_offset + kernel + initrd + wanted.tree + wanted.kept + wanted.least_free;
            match place(usable.clone(), &wanted) {
                Err(NoRoom::TooLittle { .. }) => prop_assert!(sum + 2 * MIB + 5 * PAGE > bytes, "there was room"),
                Err(other) => prop_assert!(false, "{other}"),
                Ok(placed) => {
                    prop_assert_eq!((placed.entry.0 - wanted.image.text_offset) % (2 * MIB), 0);
                    let mut all: Vec<_> = [Some(placed.kernel), placed.initrd, Some(placed.tree), Some(placed.kept)]
                        .into_iter().flatten().map(|range| (range.start.0, range.end.0)).collect();
                    all.sort_unstable();
                    prop_assert!(all.iter().all(|(start, end)| *start >= usable.start.0 && *end <= usable.end.0));
                    prop_assert!(all.windows(2).all(|two| two[0].1.next_multiple_of(PAGE) <= two[1].0), "{:x?}", all);
                    let used: u64 = all.iter().map(|(start, end)| end - start).sum();
                    prop_assert_eq!(used, kernel + initrd + wanted.tree + wanted.kept);
                    // The kernel is the lowest; behind it there is what was asked for.
                    prop_assert!(all[1].0 - all[0].1 >= wanted.least_free);
                }
            }
        }
    }
}
