//! The taker's reserved region: what lies where, written afresh for each crash.
//!
//! ```text
//! image and its zeroed data │ first page tables │ boot block │ report │ crash note │ last words │ options │ IORT … │ devicetree … │ oracle │ stack │ heap
//! ```

use crate::{
    firmware::Reserved,
    kdump_image::{KdumpImage, Pristine, make_equal},
    machine::Machine,
    platform::Described,
};
use addr::PhysAddr;
use alloc::{format, string::String, vec::Vec};
use arch::{
    cache, cpu,
    mmu::{self, Kind, Regime, Region},
};
use core::slice;
use handover::{
    boot::{self, Boot},
    crash_note::CrashNote,
    last_words::LastWords,
    oracle,
    report::Report,
};
use scenario::{Plant, options::RunOptions};
use zerocopy::{FromBytes, IntoBytes};

/// The whole region.
///
/// A reset needs a stream table of its own for each SMMU: up to 4 MiB where the hardware has no two-level tables.
pub(crate) const BYTES: u64 = 32 << 20;
const TABLES_BYTES: u64 = 1 << 20;
const OPTIONS_BYTES: u64 = 4096;
const STACK_BYTES: u64 = 256 << 10;

/// Places in the region.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    region: Reserved,
    image: PhysAddr,
    tables: PhysAddr,
    boot: PhysAddr,
    report: PhysAddr,
    note: PhysAddr,
    words: PhysAddr,
    options: PhysAddr,
    iort: PhysAddr,
    devicetree: PhysAddr,
    oracle: PhysAddr,
    stack: PhysAddr,
    heap: PhysAddr,
}

/// What does not change from crash to crash: a taker's relocated image, and the map that it starts with.
pub(crate) struct Prepared {
    /// The kernel that it watches, where it does.
    guest: boot::Guest,
    pristine: Pristine,
    tables: Vec<u8>,
    regime: Regime,
    e2h: bool,
}

impl Places {
    /// Lays the region out, for any taker that needs no more than `image_bytes`.
    ///
    /// # Errors
    /// One line where the image and the tables leave no room for a heap.
    pub(crate) fn new(region: Reserved, image_bytes: u64, described: &Described) -> Result<Self, String> {
        let mut next = region.start;
        let mut take = |bytes: u64| {
            let at = next;
            next = next.plus(bytes.next_multiple_of(4096));
            at
        };
        let places = Self {
            region,
            image: take(image_bytes),
            tables: take(TABLES_BYTES),
            boot: take(size_of::<Boot>() as u64),
            report: take(size_of::<Report>() as u64),
            note: take(size_of::<CrashNote>() as u64),
            words: take(size_of::<LastWords>() as u64),
            options: take(OPTIONS_BYTES),
            iort: take(described.iort.as_ref().map_or(0, |iort| iort.bytes.len()) as u64),
            devicetree: take(described.devicetree.len() as u64),
            oracle: take(oracle::MAX_BYTES as u64),
            stack: take(STACK_BYTES),
            heap: take(0),
        };
        if places.heap.0.saturating_add(1 << 20) > region.start.0 + region.bytes {
            return Err(format!("the kdump region of {:#x} bytes is too small for image and tables", region.bytes));
        }
        Ok(places)
    }

    /// Where the oracle is written.
    pub(crate) fn oracle(&mut self) -> &mut [u8] {
        // SAFETY: inside the region, which `Machine` maps and nobody else uses while the primary runs; the borrow of
        // `self` keeps a second slice from being made.
        unsafe { slice::from_raw_parts_mut(pointer(self.oracle), oracle::MAX_BYTES) }
    }

    /// What the kdump image left.
    pub(crate) fn report(&self) -> Report {
        // SAFETY: inside the region, as above; read only after the kdump image handed back.
        let bytes = unsafe { slice::from_raw_parts(pointer(self.report).cast_const(), size_of::<Report>()) };
        Report::read_from_bytes(bytes).unwrap_or_default()
    }

    /// Where the crashing code and the other CPUs make their notes.
    pub(crate) const fn note(&self) -> PhysAddr {
        self.note
    }

    /// Where the last words are kept.
    pub(crate) const fn words(&self) -> PhysAddr {
        self.words
    }

    /// The words that a boot before this one left there, if it did.
    pub(crate) fn words_found(&self) -> Option<LastWords> {
        // SAFETY: inside the region, as above; whatever stands there is bytes.
        let bytes = unsafe { slice::from_raw_parts(pointer(self.words).cast_const(), size_of::<LastWords>()) };
        LastWords::find(bytes).ok()
    }

    /// Prepares the image and its first page tables, once the machine's map is final.
    ///
    /// # Errors
    /// One line where the tables do not fit their place.
    pub(crate) fn prepare(
        &self,
        machine: &Machine,
        image: KdumpImage,
        guest: boot::Guest,
        options: &RunOptions,
    ) -> Result<Prepared, String> {
        let e2h = options.e2h || cpu::is_e2h();
        let mut regions = machine.regions();
        if options.plant == Some(Plant::BusError) {
            regions.push(Region { start: cpu::last_page(), bytes: 0x1000, kind: Kind::Device });
        }
        regions.push(Region { start: self.image, bytes: image.memory_bytes(), kind: Kind::Image });
        let (tables, regime) = mmu::identity_map(&regions, self.tables, e2h, cpu::pa_range())
            .map_err(|error| format!("the taker's map: {error}"))?;
        if tables.len() as u64 > TABLES_BYTES {
            return Err(format!("the taker's map takes {:#x} bytes of {TABLES_BYTES:#x}", tables.len()));
        }
        Ok(Prepared { guest, pristine: image.relocated_to(self.image), tables, regime, e2h })
    }

    /// Loads the image afresh and writes everything it is given but the oracle. Returns the boot block, not yet sealed.
    ///
    /// # Errors
    /// One line where the options do not fit their place.
    pub(crate) fn fill(&mut self, machine: &Machine, prepared: &Prepared, options: &str) -> Result<Boot, String> {
        let Prepared { guest, pristine, tables, regime, e2h } = prepared;
        if options.len() as u64 > OPTIONS_BYTES {
            return Err(format!("the options take {} bytes of {OPTIONS_BYTES}", options.len()));
        }
        // SAFETY: the image's place inside the region, as above.
        let image = unsafe { pristine.load() };
        // SAFETY: the tables' place inside the region, whose length `prepare` checked.
        unsafe { make_equal(self.tables, tables) };
        let iort = machine.iort.as_ref().map_or(&[][..], |iort| iort.bytes);
        let tree = machine.devicetree;
        for (place, bytes) in [(self.options, options.as_bytes()), (self.iort, iort), (self.devicetree, tree)] {
            // SAFETY: a place of the region, as above, with room for the bytes (checked here and in `new`).
            unsafe { slice::from_raw_parts_mut(pointer(place), bytes.len()) }.copy_from_slice(bytes);
        }
        // SAFETY: as above; a report of an earlier cycle must not be taken for one of this, nor a note.
        unsafe { slice::from_raw_parts_mut(pointer(self.report), size_of::<Report>()) }.fill(0);
        // SAFETY: as above; no other CPU is on yet.
        unsafe { slice::from_raw_parts_mut(pointer(self.note), size_of::<CrashNote>()) }.fill(0);
        let end = self.region.start.plus(self.region.bytes);
        let held = |base, bytes: usize| boot::Region { base, bytes: bytes as u64 };
        Ok(Boot {
            region: boot::Region { base: self.region.start, bytes: self.region.bytes },
            image,
            stack_top: self.stack.plus(STACK_BYTES),
            heap: boot::Region { base: self.heap, bytes: end.0 - self.heap.0 },
            translation: boot::Translation {
                ttbr: regime.ttbr0,
                tcr: regime.tcr,
                mair: regime.mair,
                sctlr: regime.sctlr,
            },
            e2h: u32::from(*e2h),
            tables: boot::Tables {
                iort: held(self.iort, iort.len()),
                devicetree: held(self.devicetree, tree.len()),
                ..boot::Tables::default()
            },
            options: held(self.options, options.len()),
            oracle: held(self.oracle, oracle::MAX_BYTES),
            way_back: boot::WayBack { report: self.report, ..boot::WayBack::default() },
            boot_cpu: cpu::affinity(),
            crash_note: self.note,
            guest: *guest,
            ..Boot::default()
        })
    }

    /// Writes the sealed boot block and cleans what the taker is given to PoC: it starts with caches off. Its stack and
    /// heap are not given: it writes there before it reads, with its caches on. Returns the block's address.
    pub(crate) fn publish(&mut self, prepared: &Prepared, boot: &Boot) -> PhysAddr {
        let tables_end = self.tables.plus(prepared.tables.len() as u64);
        // SAFETY: the boot block's place inside the region, as above.
        unsafe { slice::from_raw_parts_mut(pointer(self.boot), size_of::<Boot>()) }.copy_from_slice(boot.as_bytes());
        for (start, end) in [(self.region.start, tables_end), (self.boot, self.stack)] {
            cache::clean_invalidate(start, end.0 - start.0);
        }
        cache::invalidate_instructions();
        self.boot
    }

    /// Damages one byte of the loaded image: the planted fault that its digest must show.
    pub(crate) fn damage_image(&mut self) {
        // SAFETY: the image's first bytes inside the region, as above.
        let bytes = unsafe { slice::from_raw_parts_mut(pointer(self.image), 4096) };
        bytes[4095] ^= 1;
    }
}

fn pointer(at: PhysAddr) -> *mut u8 {
    core::ptr::with_exposed_provenance_mut(at.0 as usize)
}
