//! RSDP to table addresses, by the `acpi` crate and for nothing else: it finds tables, `tables` reads them.

use acpi::{AcpiError, AcpiTables, Handler, PciAddress, RawPhysicalMapping};
use addr::PhysAddr;
use alloc::{format, string::String, vec::Vec};
use core::ptr::NonNull;
use primary::firmware::Found;

/// A table longer than this is taken for damage (the largest known IORT has 0.1 MB).
const LONGEST: usize = 4 << 20;

/// Copies every table that the XSDT names, whatever its checksum.
///
/// # Errors
/// Where RSDP or XSDT cannot be used: one line.
///
/// # Safety
/// `rsdp` is the address from the firmware's configuration table, and boot services' identity map is in force.
pub(crate) unsafe fn copy_all(rsdp: PhysAddr) -> Result<Vec<Found>, String> {
    // SAFETY: the caller's promise; the handler maps nothing because all is mapped.
    let root = unsafe { AcpiTables::from_rsdp(Mapped, rsdp.0 as usize) }
        .map_err(|error| format!("the RSDP at {rsdp} or its XSDT cannot be used: {}", reason(&error)))?;
    let mut found = Vec::new();
    for at in root.table_entries().filter(|at| *at != 0) {
        // SAFETY: an entry of a validated XSDT: a table with a 36-byte header, in memory that the identity map covers.
        let header = unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance::<u8>(at), 36) };
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        if !(36..=LONGEST).contains(&length) {
            continue;
        }
        // SAFETY: the firmware's table, in memory that its identity map covers; copied before anything trusts it.
        let bytes = unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance::<u8>(at), length) };
        found.push(Found { signature: *bytes.first_chunk::<4>().unwrap_or(&[0; 4]), bytes: bytes.to_vec() });
    }
    Ok(found)
}

/// What `from_rsdp` does not accept: the crate's own names of all its errors would take half a kilobyte of the image.
const fn reason(error: &AcpiError) -> &'static str {
    match error {
        AcpiError::RsdpIncorrectSignature => "no RSDP there",
        AcpiError::SdtInvalidChecksum(_) => "checksum",
        _ => "header",
    }
}

/// Physical addresses are mapped to themselves. There are no I/O ports here, and AML, which alone would use ports and
/// configuration space, is not built: both read as all ones and ignore writes.
#[derive(Clone, Copy)]
struct Mapped;

macro_rules! memory {
    ($read:ident, $write:ident, $load:ident, $store:ident, $type:ty) => {
        fn $read(&self, address: usize) -> $type {
            // SAFETY: `acpi` reads addresses that tables name; they are identity-mapped.
            unsafe { arch::mmio::$load(address as u64) }
        }
        fn $write(&self, address: usize, value: $type) {
            // SAFETY: as above; discovery writes nothing.
            unsafe { arch::mmio::$store(address as u64, value) }
        }
    };
}

macro_rules! no_such_space {
    ($read:ident, $write:ident, $type:ty, $($where:ident: $space:ty),+) => {
        fn $read(&self, $(_: $space),+) -> $type {
            <$type>::MAX
        }
        fn $write(&self, $(_: $space),+, _: $type) {}
    };
}

impl Handler for Mapped {
    unsafe fn map_physical_region<T>(&self, physical_address: usize, size: usize) -> RawPhysicalMapping<T> {
        let at = NonNull::new(core::ptr::with_exposed_provenance_mut(physical_address)).unwrap_or(NonNull::dangling());
        // SAFETY: the identity map covers the firmware's tables, and nothing is ever unmapped or written.
        unsafe { RawPhysicalMapping::new(physical_address, at, size, size) }
    }

    unsafe fn unmap_physical_region<T>(&self, _: RawPhysicalMapping<T>) {}

    memory!(read_u8, write_u8, read8, write8, u8);
    memory!(read_u16, write_u16, read16, write16, u16);
    memory!(read_u32, write_u32, read32, write32, u32);
    memory!(read_u64, write_u64, read64, write64, u64);
    no_such_space!(read_io_u8, write_io_u8, u8, port: u16);
    no_such_space!(read_io_u16, write_io_u16, u16, port: u16);
    no_such_space!(read_io_u32, write_io_u32, u32, port: u16);
    no_such_space!(read_pci_u8, write_pci_u8, u8, function: PciAddress, offset: u16);
    no_such_space!(read_pci_u16, write_pci_u16, u16, function: PciAddress, offset: u16);
    no_such_space!(read_pci_u32, write_pci_u32, u32, function: PciAddress, offset: u16);

    fn nanos_since_boot(&self) -> u64 {
        const NANOS: u64 = 1_000_000_000;
        let (ticks, frequency) = (arch::timer::now(), arch::timer::frequency());
        // Whole seconds and the rest apart: their product with 10^9 stays inside 64 bits.
        (ticks / frequency).wrapping_mul(NANOS).wrapping_add(ticks % frequency * NANOS / frequency)
    }

    fn stall(&self, microseconds: u64) {
        arch::timer::sleep_us(microseconds);
    }

    fn sleep(&self, milliseconds: u64) {
        arch::timer::sleep_us(milliseconds.saturating_mul(1000));
    }
}
