//! The first map: the image, and where the devicetree is.

use addr::PhysAddr;
use arch::{
    cpu,
    first_map::{BLOCK, FirstMap, NotMapped, Table},
    mmu::{Kind, Regime},
};
use core::{cell::UnsafeCell, mem::MaybeUninit};

/// A devicetree is no longer than this, and lies in as many bytes (booting.rst).
pub(crate) const DEVICETREE_MOST: u64 = BLOCK;
/// A root, and two tables for each of image, devicetree, initrd, console and the bundle of a kernel; each may pass a border of
/// 1 GiB once.
const TABLES: usize = 20;

/// What is written with the MMU off; it is not zeroed with the rest.
struct First {
    tables: [Table; TABLES],
    regime: Regime,
    map: MaybeUninit<FirstMap<'static>>,
}

struct Place(UnsafeCell<First>);

// SAFETY: used by one CPU, first by `map` and then by the one `Map`.
unsafe impl Sync for Place {}

#[unsafe(link_section = ".first")]
static FIRST: Place = Place(UnsafeCell::new(First {
    tables: [Table::EMPTY; TABLES],
    regime: Regime { ttbr0: 0, tcr: 0, mair: 0, sctlr: 0 },
    map: MaybeUninit::uninit(),
}));

/// Makes the map, with the MMU off: no atomics, no unaligned accesses, no heap. Returns what puts it in force.
pub(crate) extern "C" fn map(image: u64, end: u64, devicetree: u64) -> *const Regime {
    let is_el1_format = cpu::current_el() == 1 || cpu::is_e2h();
    // SAFETY: called once, by the entry, before anything else runs.
    let first: &'static mut First = unsafe { &mut *FIRST.0.get() };
    let at = PhysAddr(first.tables.as_ptr().addr() as u64);
    let mut map = FirstMap::new(&mut first.tables, at, is_el1_format);
    // Both lie in RAM below 2^48, where they were loaded. Otherwise the next instruction after the MMU is on faults, and
    // there is nobody to tell.
    let _ = map.map(PhysAddr(image), end - image, Kind::Image);
    // Only what is sure to be RAM: the block in which the devicetree begins. Behind its end may be anything.
    let _ = map.map(PhysAddr(devicetree), 1, Kind::Image);
    first.regime = map.regime(cpu::pa_range());
    first.map.write(map);
    &raw const first.regime
}

/// The map that is in force, to be extended.
pub(crate) struct Map(&'static mut FirstMap<'static>);

impl Map {
    /// # Safety
    /// [`map`] was called, and this was not.
    pub(crate) unsafe fn in_force() -> Self {
        // SAFETY: the caller's promise: nobody else uses it any more.
        let first: &'static mut First = unsafe { &mut *FIRST.0.get() };
        // SAFETY: the caller's promise: it was written.
        Self(unsafe { first.map.assume_init_mut() })
    }

    /// Maps memory that a boot loader filled. In the first map all memory is of one kind.
    ///
    /// # Errors
    /// [`NotMapped`].
    pub(crate) fn memory(&mut self, start: PhysAddr, bytes: u64) -> Result<(), NotMapped> {
        self.add(start, bytes, Kind::Image)
    }

    /// Maps the page of registers at `start`.
    ///
    /// # Errors
    /// [`NotMapped`].
    pub(crate) fn device(&mut self, start: PhysAddr) -> Result<(), NotMapped> {
        self.add(start, 4096, Kind::Device)
    }

    fn add(&mut self, start: PhysAddr, bytes: u64, kind: Kind) -> Result<(), NotMapped> {
        let mapped = self.0.map(start, bytes, kind);
        // An entry that was not valid is in no TLB: it is enough that the walker sees the new one (DDI 0487, D8.14).
        cpu::dsb();
        cpu::isb();
        mapped
    }
}
