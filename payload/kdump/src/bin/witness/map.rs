//! What the kernel reaches by itself, and what brings it here: its stage 2.

use crate::{attention::Attention, load::Parts};
use addr::PhysAddr;
use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};
use arch::{
    el1::GuestTlb,
    frames::FrameRange,
    stage2::{self, Guest, Stage2, Table},
};
use core::ops::Range;
use handover::boot::{Boot, Region};
use smmu::frames::Frames;
use witness::watch::{FRAME_BYTES, Witness};

const PAGE: u64 = 4096;
/// Tables: 1 GiB of pages one by one, and what joins them.
const TABLES: u64 = 512 + 32;

/// The map.
pub(crate) struct Map<'a> {
    stage2: Stage2<'a>,
    /// Where memory for tables comes from.
    pub(crate) frames: &'a mut FrameRange,
    /// Memory that is none of the kernel's business.
    hidden: Vec<Range<u64>>,
    /// Frames of the SMMUs: their registers are carried out, whatever the kernel takes them for.
    registers: Vec<Range<u64>>,
    /// Pages with tables of an SMMU, by number.
    watched: BTreeSet<u64>,
    /// The witness's when they were looked at last.
    generation: Option<u64>,
    /// What the kernel may do with a page that is watched.
    allowed: Guest,
    /// Tables are followed.
    is_watching: bool,
    /// A page was opened because the kernel works there by instructions that are not emulated.
    pub(crate) is_partial: bool,
}

impl<'a> Map<'a> {
    /// A map in which the SMMUs' frames and hidden memory are closed. `mmfr0` is ID_AA64MMFR0_EL1.
    pub(crate) fn new(boot: &Boot, frames: &'a mut FrameRange, mmfr0: u64, parts: &Parts) -> Result<Self, String> {
        let root = stage2::root_bytes(mmfr0);
        let at = frames.allocate(TABLES * PAGE, root).ok_or("no memory for the tables of stage 2")?;
        let tables = core::ptr::with_exposed_provenance::<Table>(at.0 as usize);
        // SAFETY: frames of our own, zeroed, and given to nobody else.
        let tables = unsafe { core::slice::from_raw_parts(tables, TABLES as usize) };
        let stage2 = Stage2::new(tables, at, mmfr0).map_err(|error| error.to_string())?;
        let allowed = if parts.watch_reads { Guest::Closed } else { Guest::ReadOnly };
        let hidden = [boot.region].into_iter().chain(boot.guest.hidden).filter(|region| region.bytes != 0);
        let hidden = hidden.map(|Region { base, bytes }| base.0..base.0.saturating_add(bytes)).collect();
        let is_watching = parts.attention == Attention::Watched;
        let registers = boot
            .smmus()
            .iter()
            .filter(|_| is_watching)
            .map(|smmu| smmu.base.0..smmu.base.0.saturating_add(FRAME_BYTES))
            .collect();
        let mut map = Self {
            stage2,
            frames,
            hidden,
            registers,
            watched: BTreeSet::new(),
            generation: None,
            allowed,
            is_watching,
            is_partial: false,
        };
        for Range { start, end } in map.registers.iter().chain(&map.hidden).cloned().collect::<Vec<_>>() {
            map.set(start, end - start, Guest::Closed)?;
        }
        Ok(map)
    }

    /// VTCR_EL2 and VTTBR_EL2.
    pub(crate) const fn registers(&self) -> (u64, u64) {
        (self.stage2.vtcr(), self.stage2.vttbr())
    }

    /// Nothing is mapped at an address: `true` where that was only because nobody had turned to it.
    pub(crate) fn fault(&mut self, at: u64) -> Result<bool, String> {
        self.stage2.fault(PhysAddr(at), &mut GuestTlb).map_err(|error| error.to_string())
    }

    /// Whether the kernel has no business there.
    pub(crate) fn is_hidden(&self, at: u64) -> bool {
        !self.watched.contains(&(at / PAGE)) && self.hidden.iter().any(|range| range.contains(&at))
    }

    /// Loads from tables come here, too.
    pub(crate) fn is_watching_loads(&self) -> bool {
        self.allowed == Guest::Closed
    }

    /// What the kernel may do at an address.
    pub(crate) fn allowed(&self, at: u64) -> Guest {
        self.stage2.allowed(PhysAddr(at)).unwrap_or(Guest::Closed)
    }

    /// The kernel has ended: no CPU of its goes on.
    pub(crate) fn close_all(&mut self) {
        self.stage2.close_all(&mut GuestTlb);
    }

    /// Has accesses to a page come here.
    pub(crate) fn close(&mut self, at: u64) -> Result<(), String> {
        self.set(at, 1, Guest::Closed)
    }

    /// Leaves a page to the kernel.
    pub(crate) fn open(&mut self, at: u64) -> Result<(), String> {
        self.set(at, 1, Guest::Open)
    }

    /// Has a page with a table watched after it was open.
    pub(crate) fn watch_again(&mut self, at: u64) -> Result<(), String> {
        self.set(at, 1, self.allowed)
    }

    /// Leaves a page with a table to the kernel for good: its exclusives and atomics would never come to an end otherwise. Whether it
    /// was one.
    pub(crate) fn give_up(&mut self, at: u64) -> Result<bool, String> {
        let is_watched = self.watched.contains(&(at / PAGE));
        if is_watched {
            self.is_partial = true;
            self.open(at)?;
        }
        Ok(is_watched)
    }

    /// Watches the tables that the witness knows now.
    pub(crate) fn follow(&mut self, witness: &Witness) -> Result<(), String> {
        if !self.is_watching || self.generation.replace(witness.generation()) == Some(witness.generation()) {
            return Ok(());
        }
        // A pointer of the kernel's may lead anywhere: what is closed for good stays so.
        let is_closed =
            |page: &u64| self.hidden.iter().chain(&self.registers).any(|range| range.contains(&(page * PAGE)));
        let pages = witness.pages().flat_map(|range| range.start / PAGE..range.end / PAGE);
        let pages = pages.filter(|page| !is_closed(page)).collect();
        let old = core::mem::replace(&mut self.watched, pages);
        let (gone, new): (Vec<u64>, Vec<u64>) =
            (old.difference(&self.watched).copied().collect(), self.watched.difference(&old).copied().collect());
        for page in gone {
            self.open(page * PAGE)?;
        }
        for page in new {
            self.set(page * PAGE, 1, self.allowed)?;
        }
        Ok(())
    }

    fn set(&mut self, at: u64, bytes: u64, guest: Guest) -> Result<(), String> {
        let set = self.stage2.set_guest(PhysAddr(at), bytes, guest, &mut GuestTlb);
        set.map_err(|error| format!("{error} (at {at:#x})"))
    }
}
