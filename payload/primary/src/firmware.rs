//! What a front end gives: options, tables, memory.

use addr::{Bdf, PhysAddr};
use alloc::{boxed::Box, string::String, vec::Vec};
use arch::{mmu::Region, power::Conduit};
use handover::boot::Efi;
use tables::{fadt, iort::rmr_place::MemoryRange};

/// Memory that was reserved for us.
#[derive(Clone, Copy, Debug)]
pub struct Reserved {
    /// First address.
    pub start: PhysAddr,
    /// Length.
    pub bytes: u64,
}

/// What memory is reserved for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The payload itself.
    Own,
    /// Whoever comes after it too: to be named in memory maps.
    Kept,
}

/// An ACPI table's signature and bytes.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its first four bytes.
    pub signature: [u8; 4],
    /// All of it.
    pub bytes: Vec<u8>,
}

/// How the machine is described.
#[derive(Debug)]
pub enum Description {
    /// By ACPI tables, or why there are none.
    Acpi(Result<Vec<Found>, String>),
    /// By a devicetree.
    Devicetree(Vec<u8>),
}

/// What is there from the start.
#[derive(Debug)]
pub struct Given {
    /// Load options as text; `None` where they are not text.
    pub load_options: Option<String>,
    /// Text of the option file.
    pub option_file: Option<String>,
    /// Bytes that replace the firmware's IORT.
    pub iort_file: Option<Box<[u8]>>,
    /// Of the machine.
    pub description: Description,
    /// The image itself.
    pub image: Region,
    /// Its heap.
    pub heap: Reserved,
    /// The firmware's vendor and revision, where it tells them.
    pub made_by: Option<(String, u32)>,
}

/// The way to PSCI that the tables name.
#[must_use]
pub const fn conduit(named: fadt::Conduit) -> Conduit {
    match named {
        fadt::Conduit::Smc => Conduit::Smc,
        fadt::Conduit::Hvc => Conduit::Hvc,
        fadt::Conduit::None => Conduit::None,
    }
}

/// What firmware leaves behind.
#[derive(Debug, Default)]
pub struct Left {
    /// RAM that may be mapped write-back, in order, without what was reserved for good.
    pub ram: Vec<Region>,
    /// What its runtime services take beside that; these lie over the RAM.
    pub runtime: Vec<Region>,
    /// How a kernel reaches UEFI, where [`Firmware::bundle`] was called.
    pub efi: Efi,
}

/// Who owns memory until the payload takes the machine.
pub trait Firmware {
    /// Reserves `bytes` at a multiple of `alignment` (a power of two, at least a page), below `limit`.
    ///
    /// # Errors
    /// One line with the largest range that is free.
    fn reserve(
        &mut self,
        what: &str,
        bytes: u64,
        alignment: u64,
        limit: u64,
        purpose: Purpose,
    ) -> Result<Reserved, String>;

    /// Reserves exactly `start..start + bytes` for good, if it is free.
    ///
    /// # Errors
    /// Why not, in some words.
    fn reserve_at(&mut self, start: PhysAddr, bytes: u64) -> Result<Reserved, String>;

    /// Brings the bundle of a witness (`handover::bundle`) into memory that is kept and mapped: a file beside the image, or what a
    /// boot loader left at `at`. To be called once, before anything else is reserved.
    ///
    /// # Errors
    /// Why there is none, in some words.
    fn bundle(&mut self, at: Option<PhysAddr>) -> Result<Reserved, String>;

    /// Memory with its UEFI type (UEFI 2.11, 7.2.3); what front ends without UEFI call reserved is of type 0. Empty where it
    /// cannot be had.
    fn memory_map(&self) -> Vec<MemoryRange>;

    /// Functions that are bus mastering now; `None` where the firmware cannot be asked.
    fn bus_masters(&mut self) -> Option<Vec<Bdf>>;

    /// Has the firmware reset the machine where its own work does not end within so many seconds.
    fn watch(&mut self, seconds: u32);

    /// What [`Self::keep`] kept, of an earlier start too.
    fn kept(&mut self) -> Option<Vec<u8>>;

    /// Keeps bytes beyond a reset in the place of those before, or none. It may be called when [`Self::leave`] was, and what that
    /// returned is mapped.
    ///
    /// # Errors
    /// Why not, in some words, the first time.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), String>;

    /// Ends the firmware's work; its console, files and allocator are gone.
    fn leave(&mut self) -> Left;
}
